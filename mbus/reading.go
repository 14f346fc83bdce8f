package mbus

import "github.com/openusm/meter/obis"

// codeKind says how the groups of a code are filled from a record.
type codeKind uint8

const (
	codeKindNone codeKind = iota
	codeRegister          // D fixed, E tariff, F storage number
	codeDemand            // likewise, D also says minimum or maximum, C the phase
	codeThermal           // D by function and storage number, E tariff
	codeGas               // D by the conditions of measurement, F storage number
	codeAngle
	codeObject // fixed
)

// codeRow is a row of the table of codes.
type codeRow struct {
	code       obis.Code // of the current value
	setDate    obis.Code // of the value of the set date, if the kind is thermal
	c          [3]byte   // group C for export, net and absolute values
	kind       codeKind
	rule       obis.Rule
	tariffRule obis.Rule
	dateRule   obis.Rule // of setDate
}

// storageTime is the time that a record gives for the values of its storage number.
type storageTime struct {
	storage  uint64
	function Function
	exact    bool // with time of day
	time     obis.Time
}

// AppendReadings appends a reading for each record of the telegram, in order.
// Its code is the one that the telegram declares, else that of the standard's
// table, else that of the manufacturer's table, else one that is derived.
// Its RawID is the record's ID, its Source the record's index. The values of a
// storage number get the time that a record of the same number and function has.
func (d *Decoder) AppendReadings(dst []obis.Reading, t *Telegram) []obis.Reading {
	if cap(dst) == 0 {
		dst = make([]obis.Reading, 0, len(t.Records))
	}
	medium := t.Header.Address.Type.Medium()
	status := obis.FromStatus(obis.StatusMBus, uint64(t.Header.Status))
	if t.Header.Form == HeaderNone && t.Content != ContentFixed {
		status = obis.Quality{}
	}
	if t.Security.Unverified {
		status.Flags |= obis.Unverified
	}
	if t.Security.Ambiguous {
		status.Flags |= obis.Questionable
	}
	open := len(t.Records) // the first record that was not encrypted, of a telegram that was
	for t.Security.Encrypted && t.Content != ContentCompact && open > 0 && t.Records[open-1].Offset >= t.open {
		open--
	}
	declared := d.survey(t.Records)
	rules := d.rulesOf(t.Header.Address.Manufacturer)
	for i := range t.Records {
		r := &t.Records[i]
		if r.Function >= ManufacturerData && len(r.Data) == 0 {
			continue
		}
		if len(dst) < cap(dst) {
			dst = dst[:len(dst)+1]
		} else {
			dst = append(dst, obis.Reading{})
		}
		// Field by field: a literal would be built elsewhere and copied.
		out := &dst[len(dst)-1]
		out.Code, out.Rule = r.code(medium, t.Header.Address.Type)
		out.Unit, out.Value, out.RawID, out.Source = r.Unit, r.Value, r.ID, uint32(i)
		out.Quality, out.Start, out.Time = status, obis.Time{}, obis.Time{}
		out.UnitText = nil
		if r.Error != 0 || r.flags != 0 || r.Function == ErrorState {
			out.Quality = r.qualityWith(status)
		}
		if r.Unit == obis.OtherUnit {
			d.unnamed(out, r)
		}
		if r.Qualifiers&profileQualifiers != 0 {
			out.Unit = obis.UnitUnknown // of the elements, not of the octets
		}
		if k := r.Value.Kind(); k == obis.KindText || k == obis.KindOctets {
			out.Doubt()
			if r.Quantity == QuantityDate || r.Quantity == QuantityDateTime {
				out.Quality.Flags |= obis.Invalid
			}
		}
		if i >= open && !t.Security.Verified {
			out.Quality.Flags |= obis.Unverified
		}
		if rules != nil && out.Rule != obis.RuleStandard {
			d.ownCode(out, r, rules)
		}
		if at := d.timeOf(r); at != nil && r.Value.Kind() != obis.KindTime && (at.exact || r.Storage != 0) {
			// Without a time of day the date of storage number 0 is that of
			// the next reading day, not today.
			out.Time = at.time
		}
		if declared {
			declare(out, t.Records, i)
			out.Doubt()
		}
	}
	return dst
}

// unnamed keeps the text of a unit that the model does not have. One in plain
// text is not understood; what extensions make of a unit is.
func (d *Decoder) unnamed(out *obis.Reading, r *Record) {
	if r.plainLen > 0 {
		out.UnitText = d.reversed(r.ID[r.plainAt : r.plainAt+r.plainLen])
		out.Quality.Flags |= obis.Questionable
		return
	}
	if r.unitChange != 0 {
		at := len(d.scratch)
		d.scratch = append(append(d.scratch, r.baseUnit().String()...), unitChanges[r.unitChange]...)
		out.UnitText = d.scratch[at:len(d.scratch):len(d.scratch)]
	}
}

// qualityWith joins the quality of the record with that of the telegram.
func (r *Record) qualityWith(status obis.Quality) obis.Quality {
	q := r.Quality()
	q.Flags |= status.Flags
	if q.Kind == obis.StatusNone {
		q.Raw, q.Kind = status.Raw, status.Kind
	}
	if r.Function == ErrorState {
		q.Flags |= obis.Questionable
	}
	return q
}

// survey collects the times of the storage numbers, and reports whether a
// record declares the code of another.
func (d *Decoder) survey(records []Record) (declared bool) {
	d.times = d.times[:0]
	for i := range records {
		r := &records[i]
		if r.Qualifiers&QualifierOBISDeclaration != 0 {
			declared = true
			continue
		}
		if r.Value.Kind() != obis.KindTime || r.Qualifiers != 0 || r.Tariff != 0 || r.Subunit != 0 ||
			r.Quantity != QuantityDate && r.Quantity != QuantityDateTime {
			continue
		}
		t, _ := r.Value.Time()
		if t.HasDate() {
			d.addTime(storageTime{r.Storage, r.Function, t.HasClock(), t})
		}
	}
	return declared
}

func (d *Decoder) addTime(s storageTime) {
	for i := range d.times {
		if have := &d.times[i]; have.storage == s.storage && have.function == s.function {
			if s.exact && !have.exact {
				*have = s
			}
			return
		}
	}
	d.times = append(d.times, s)
}

// timeOf returns the time of the values of a storage number, nil if there is none.
func (d *Decoder) timeOf(r *Record) *storageTime {
	for i := range d.times {
		if t := &d.times[i]; t.storage == r.Storage && t.function == r.Function {
			return t
		}
	}
	return nil
}

const (
	qualifierDirection = QualifierImport | QualifierExport | QualifierImportMinusExport | QualifierImportPlusExport
	qualifierPhase     = QualifierL1 | QualifierL2 | QualifierL3 | QualifierNeutral | QualifierL1L2 | QualifierL2L3 | QualifierL3L1
	qualifierQuadrant  = QualifierQ1 | QualifierQ2 | QualifierQ3 | QualifierQ4
	qualifierGas       = QualifierUncorrected | QualifierBaseConditions
	// These say how the value is coded, not what it is.
	qualifierNeutralCoding = QualifierUnsigned | QualifierBoolean | QualifierStandardConform
)

// code returns the OBIS code of the record of a meter, and the rule that gave it.
func (r *Record) code(medium obis.Medium, device DeviceType) (obis.Code, obis.Rule) {
	if int(medium) >= len(codeTable) {
		return obis.Code{}, obis.RuleNone
	}
	row := &codeTable[medium][r.Quantity]
	switch {
	case row.kind == codeKindNone && device != combinedHeatCooling:
		return obis.Code{}, obis.RuleNone
	case r.simple == simpleCurrent && row.kind != codeAngle && row.kind != codeKindNone:
		return row.code, row.rule
	case r.simple == simpleSetDate && row.kind == codeThermal:
		return row.setDate, row.dateRule
	}
	return r.qualifiedCode(medium, device)
}

// combinedHeatCooling is the device type whose cooling energy is counted as negative heat.
const combinedHeatCooling = 0x0D

// setDateD is group D of a value of the set date.
const setDateD = 2

// qualifiedCode fills the groups of a code by all that the headers say.
func (r *Record) qualifiedCode(medium obis.Medium, device DeviceType) (obis.Code, obis.Rule) {
	q := r.Qualifiers &^ qualifierNeutralCoding
	if device == combinedHeatCooling && q == QualifierExport {
		medium, q = obis.Cooling, 0
	}
	row := &codeTable[medium][r.Quantity]
	if row.kind == codeKindNone || r.Function > Minimum || r.unitChange != 0 || r.Subunit > 64 || r.Tariff > 63 {
		return obis.Code{}, obis.RuleNone
	}
	code, rule := row.code, row.rule
	code[1] = byte(r.Subunit)
	if row.kind != codeObject {
		code[4] = byte(r.Tariff)
	}
	if r.Tariff != 0 {
		rule = row.tariffRule
	}
	if r.Subunit != 0 {
		rule = obis.RuleDerived
	}
	ok := false
	switch row.kind {
	case codeObject:
		ok = q == 0 && r.Storage == 0 && r.Function == Instantaneous && r.Tariff == 0
	case codeRegister, codeDemand:
		ok = r.electricity(&code, &rule, row, q)
	case codeThermal:
		ok = r.thermal(&code, &rule, row, q)
	case codeGas:
		ok = r.gas(&code, &rule, q)
	case codeAngle:
		ok = r.angle(&code, q)
	}
	if !ok {
		return obis.Code{}, obis.RuleNone
	}
	return code, rule
}

// history puts a storage number into group F.
func (r *Record) history(code *obis.Code, rule *obis.Rule) bool {
	if r.Storage > 99 {
		return false
	}
	if r.Storage > 0 {
		code[5], *rule = byte(r.Storage), obis.RuleDerived
	}
	return true
}

// electricity fills groups C, D and F of registers and demands.
func (r *Record) electricity(code *obis.Code, rule *obis.Rule, row *codeRow, q Qualifiers) bool {
	if q&^(qualifierDirection|qualifierPhase|qualifierQuadrant) != 0 || !r.history(code, rule) {
		return false
	}
	switch q & qualifierDirection {
	case 0, QualifierImport:
	case QualifierExport:
		code[2] = row.c[0]
	case QualifierImportMinusExport:
		code[2], *rule = row.c[1], obis.RuleDerived
	case QualifierImportPlusExport:
		code[2], *rule = row.c[2], obis.RuleDerived
	default:
		return false
	}
	if quadrant := q & qualifierQuadrant; quadrant != 0 {
		if code[2] != 3 || q&qualifierDirection != 0 {
			return false
		}
		code[2] = quadrantC(quadrant)
	}
	if !phase(code, q&qualifierPhase) {
		return false
	}
	if code[2] > 80 {
		*rule = obis.RuleDerived // neutral, and from phase to phase
	}
	if r.Function != Instantaneous {
		if row.kind != codeDemand {
			return false
		}
		code[3], *rule = 6, obis.RuleDerived
		if r.Function == Minimum {
			code[3] = 3
		}
	}
	return code[2] != 0
}

func quadrantC(q Qualifiers) byte {
	switch q {
	case QualifierQ1:
		return 5
	case QualifierQ2:
		return 6
	case QualifierQ3:
		return 7
	case QualifierQ4:
		return 8
	}
	return 0
}

// phase moves group C to a phase.
func phase(code *obis.Code, q Qualifiers) bool {
	c := &code[2]
	if q == 0 {
		return true
	}
	if *c == 0 || *c > 20 || code[0] != 1 {
		return false
	}
	switch q {
	case QualifierL1:
		*c += 20
	case QualifierL2:
		*c += 40
	case QualifierL3:
		*c += 60
	case QualifierNeutral:
		switch *c {
		case 11:
			*c = 91
		case 12:
			*c = 92
		default:
			return false
		}
	case QualifierL1L2, QualifierL2L3, QualifierL3L1:
		if *c != 12 {
			return false
		}
		*c = betweenPhasesC(q)
	default:
		return false
	}
	return true
}

// betweenPhasesC is group C of a voltage between two phases.
func betweenPhasesC(q Qualifiers) byte {
	switch q {
	case QualifierL2L3:
		return 125
	case QualifierL3L1:
		return 126
	}
	return 124
}

// thermal fills groups D and F of heat, cooling, water and heat cost allocation.
func (r *Record) thermal(code *obis.Code, rule *obis.Rule, row *codeRow, q Qualifiers) bool {
	if q&^(QualifierImport|QualifierUncorrected) != 0 {
		return false
	}
	switch {
	case r.Function == Minimum:
		code[3], *rule = 4, obis.RuleDerived
	case r.Function == Maximum:
		code[3], *rule = 5, obis.RuleDerived
	case r.Storage == 1:
		code[3] = setDateD
		if r.Tariff == 0 && r.Subunit == 0 {
			*rule = row.dateRule
		}
		return true
	case r.Storage > 1:
		code[3], *rule = 1, obis.RuleDerived
	}
	return r.Storage == 0 || r.history(code, rule)
}

// gas fills groups D and F of gas volumes.
func (r *Record) gas(code *obis.Code, rule *obis.Rule, q Qualifiers) bool {
	if q&^(QualifierImport|qualifierGas) != 0 || r.Function != Instantaneous {
		return false
	}
	if q&QualifierBaseConditions != 0 {
		code[3], *rule = 2, obis.RuleDerived
	}
	return q&qualifierGas != qualifierGas && r.history(code, rule)
}

// angle fills group E with the two signals between which the angle is.
func (r *Record) angle(code *obis.Code, q Qualifiers) bool {
	if r.Function != Instantaneous || r.Storage != 0 || r.Tariff != 0 {
		return false
	}
	voltages := r.Quantity == QuantityPhaseAngleUU
	switch {
	case voltages && q == QualifierL1L2:
		code[4] = 1
	case voltages && q == QualifierL3L1:
		code[4] = 2
	case voltages && q == QualifierL2L3:
		code[4] = 12
	case !voltages && q == QualifierL1:
		code[4] = 4
	case !voltages && q == QualifierL2:
		code[4] = 15
	case !voltages && q == QualifierL3:
		code[4] = 26
	default:
		return false
	}
	return true
}

// declare gives a reading the code that another record declares for it: one
// with the same headers but for the extension.
func declare(out *obis.Reading, records []Record, i int) {
	r := &records[i]
	if r.Qualifiers&QualifierOBISDeclaration != 0 {
		out.Code, out.Rule = obis.Code{}, obis.RuleNone
		return
	}
	for k := range records {
		d := &records[k]
		if d.Qualifiers != r.Qualifiers|QualifierOBISDeclaration || d.Quantity != r.Quantity || d.Function != r.Function ||
			d.Storage != r.Storage || d.Tariff != r.Tariff || d.Subunit != r.Subunit || !sameVIF(d, r) {
			continue
		}
		if code, ok := declaredCode(d.Data); ok {
			out.Code, out.Rule = code, obis.RuleDeclared
		}
		return
	}
}

func sameVIF(a, b *Record) bool {
	va, vb := a.VIB(), b.VIB()
	if len(va) == 0 || len(vb) == 0 {
		return false // DIF 7F has none
	}
	ta, ia := tableOf(va)
	tb, ib := tableOf(vb)
	return ta == tb && va[ia]&0x7F == vb[ib]&0x7F
}

// declaredCode reads the six groups of a declaration. Whether A or F comes first
// is told by group F, which is 255 or a billing period while A is a medium.
func declaredCode(data []byte) (obis.Code, bool) {
	if len(data) != 6 {
		return obis.Code{}, false
	}
	c := obis.Code(data)
	if c[0] == obis.FCurrent && c[5] <= 15 {
		c = obis.Code{c[5], c[4], c[3], c[2], c[1], c[0]}
	}
	return c, c.Valid()
}

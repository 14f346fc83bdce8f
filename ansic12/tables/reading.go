package tables

import (
	"fmt"

	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/obis"
)

// The codes of what is no register.
var (
	codeSerial = obis.Code{0, 0, 96, 1, 0, 255}
	codeClock  = obis.Code{0, 0, 1, 0, 0, 255}
	codeErrors = obis.Code{0, 0, 97, 97, 0, 255}
	codeResets = obis.Code{1, 0, 0, 1, 0, 255}
)

// AppendReadings appends what a table shows: registers under their OBIS codes,
// all else under the names of the fields. For each reading it appends where it
// stood, and the reading's Source is the index of that. On an error the readings
// before the fault are returned with it.
func (d *Device) AppendReadings(dst []obis.Reading, sources []ansic12.Source, table uint16, b []byte) ([]obis.Reading, []ansic12.Source, error) {
	r := registers{d: d, table: table, readings: dst, sources: sources, quality: d.quality()}
	r.period = obis.FCurrent
	more := false
	if table >= 24 && table <= 26 {
		r.period = 0
	}
	err := d.Walk(table, b, func(f *Field) {
		if f.repeated && f.Length == 0 {
			return // nothing stands for it
		}
		if len(r.readings)-len(dst) < maxReadings {
			r.visit(f)
			return
		}
		more = true
	})
	if more && err == nil {
		err = &ParseError{Table: table, Field: "table", Err: errReadings}
	}
	return r.readings, r.sources, err
}

// maxReadings is how many readings a table shows: 255 sources, in all tiers and
// occurrences, are less. An octet of zeros may be eight of them, of hundreds of octets each.
const maxReadings = 1 << 14

var errReadings = fmt.Errorf("more than %d readings", maxReadings)

// fieldStatus is the status in table 03.
const fieldStatus = "ED_STD_STATUS1"

// quality is what table 03 says of all that the meter measures.
func (d *Device) quality() obis.Quality {
	status, known := d.values[fieldKey{3, fieldStatus}]
	if !known || status == 0 {
		return obis.Quality{}
	}
	return obis.FromStatus(obis.StatusC1219, uint64(status))
}

// registers turns the fields of a table into readings.
type registers struct {
	d        *Device
	table    uint16
	readings []obis.Reading
	sources  []ansic12.Source
	quality  obis.Quality
	period   byte      // group F
	end      obis.Time // of the period, in tables 24 to 26
	times    []obis.Time
	demands  [256]obis.Time // first occurrence of each demand, for coincident values
	clock    int            // index of the reading of the clock, if table 52 or 55
}

func (r *registers) visit(f *Field) {
	switch r.table {
	case 5:
		r.add(f, codeSerial, obis.UnitUnknown, f.Value, nil)
	case 3:
		if f.Name == fieldStatus {
			r.add(f, codeErrors, obis.UnitUnknown, f.Value, nil)
			return
		}
		r.plain(f)
	case 12:
		r.unit(f)
	case 23, 24, 25, 26:
		r.register(f)
	case 28:
		r.present(f)
	case 52, 55:
		r.time(f)
	default:
		r.plain(f)
	}
}

// plain adds a field under its name, or under the code that the description declares.
func (r *registers) plain(f *Field) {
	if f.Code.Valid() {
		r.add(f, f.Code, obis.Count, f.Value, nil)
		r.readings[len(r.readings)-1].Rule = obis.RuleManufacturer
		return
	}
	r.add(f, obis.Code{}, obis.UnitUnknown, f.Value, nil)
}

// add appends a reading and its source.
func (r *registers) add(f *Field, code obis.Code, unit obis.Unit, v obis.Value, uom *ansic12.UOM) {
	x := obis.Reading{Code: code, Unit: unit, Value: v, Rule: obis.RuleNone, Quality: r.quality.With(f.Flags), Source: uint32(len(r.sources))}
	if code.Valid() {
		x.Rule = obis.RuleDerived
	}
	x.RawID = fmt.Appendf(nil, "%d.%s", r.table, f.ID())
	r.readings = append(r.readings, x)
	source := ansic12.Source{Table: r.table, Offset: f.Offset, Field: f.ID()}
	if uom != nil {
		source.UOM, source.Code = uom.String(), fmt.Sprintf("0x%08x", uint32(*uom))
		source.Unconfirmed = !uom.Confirmed() && (code.Valid() || unit != obis.UnitUnknown)
	}
	r.sources = append(r.sources, source)
}

// unit shows what an entry of table 12 stands for. There is no value.
func (r *registers) unit(f *Field) {
	if f.Name != "UOM_ENTRY" {
		return
	}
	n, _, _ := f.Value.Decimal()
	uom := ansic12.UOM(n)
	code, _ := uom.Code(ansic12.Present, 0)
	r.add(f, code, uom.Unit(), obis.Value{}, &uom)
	r.readings[len(r.readings)-1].Quality.Flags |= obis.Missing
}

// source adds the value of a source.
func (r *registers) source(f *Field, table uint16, field string, index int, role ansic12.Role, tier int) *obis.Reading {
	s := r.d.source(r.d.selected(table, field, index))
	v, unit, flags := s.scale(f.Value)
	var code obis.Code
	var uom *ansic12.UOM
	if s.known {
		uom = &s.uom
		code, _ = s.uom.Code(role, uint8(min(tier, 255)))
		if code.Valid() {
			code[5] = r.period
		}
	}
	r.add(f, code, unit, v, uom)
	x := &r.readings[len(r.readings)-1]
	x.Quality.Flags |= flags
	x.Time = r.end
	return x
}

// selected returns an element of a list of sources in table 22 or 27, -1 where it is not known.
func (d *Device) selected(table uint16, field string, index int) int {
	limits := uint16(21)
	at := index
	switch field {
	case "DEMAND_SELECT":
		at += d.get(limits, "NBR_SUMMATIONS")
	case "COINCIDENT_SELECT", "COIN_DEMAND_ASSOC":
		demands := d.get(limits, "NBR_DEMANDS")
		at += d.get(limits, "NBR_SUMMATIONS") + demands + (demands+7)/8
		if field == "COIN_DEMAND_ASSOC" {
			at += d.get(limits, "NBR_COIN_VALUES")
		}
	case "PRESENT_VALUE_SELECT":
		at += d.get(limits, "NBR_PRESENT_DEMANDS")
	}
	if b := d.raw[table]; at < len(b) && index >= 0 {
		return int(b[at])
	}
	return -1
}

// isMaximum reports whether a demand is a maximum (MIN_OR_MAX_FLAGS).
func (d *Device) isMaximum(demand int) bool {
	at := d.get(21, "NBR_SUMMATIONS") + d.get(21, "NBR_DEMANDS")
	b := d.raw[22]
	return at <= len(b) && Set(b[at:]).Has(demand)
}

// register takes a field of the tables 23 to 26.
func (r *registers) register(f *Field) {
	path := f.Path
	if len(path) > 0 && path[0].Name == "SELF_READS_ENTRIES" {
		r.period = byte(path[0].Index % 100)
		path = path[1:]
	}
	tier := 0
	if len(path) > 1 && path[0].Name == "TIER_DATA_BLOCK" {
		tier = path[0].Index + 1
	}
	switch f.Name {
	case "END_DATE_TIME":
		r.end, _ = f.Value.Time()
		r.plain(f)
	case "NBR_DEMAND_RESETS":
		n, _, _ := f.Value.Decimal()
		if r.period != obis.FCurrent {
			r.period = byte(n % 100)
		}
		code := codeResets
		code[5] = r.period
		r.add(f, code, obis.Count, f.Value, nil)
	case "SUMMATIONS":
		r.source(f, 22, "SUMMATION_SELECT", last(f), ansic12.Present, tier)
	case "EVENT_TIME":
		if last(f) == 0 {
			r.times = r.times[:0]
		}
		t, _ := f.Value.Time()
		r.times = append(r.times, t)
	case "CUM_DEMAND":
		r.source(f, 22, "DEMAND_SELECT", parent(f), ansic12.Cumulative, tier)
	case "CONT_CUM_DEMAND":
		r.source(f, 22, "DEMAND_SELECT", parent(f), ansic12.Cumulative, tier)
		r.uncode()
	case "DEMAND":
		r.demand(f, tier)
	case "COINCIDENT_VALUES":
		x := r.source(f, 22, "COINCIDENT_SELECT", parent(f), ansic12.Present, tier)
		if demand := r.d.selected(22, "COIN_DEMAND_ASSOC", parent(f)); demand >= 0 && last(f) == 0 {
			x.Time = r.demands[demand]
		}
		r.uncode()
	default:
		r.plain(f)
	}
}

// uncode removes the code of the last reading: OBIS has none for what it is.
func (r *registers) uncode() {
	x := &r.readings[len(r.readings)-1]
	x.Code, x.Rule = obis.Code{}, obis.RuleNone
}

func (r *registers) demand(f *Field, tier int) {
	role := ansic12.Minimum
	if r.d.isMaximum(parent(f)) {
		role = ansic12.Maximum
	}
	x := r.source(f, 22, "DEMAND_SELECT", parent(f), role, tier)
	var t obis.Time
	if i := last(f); i < len(r.times) {
		t = r.times[i]
		x.Time = t
	}
	if last(f) == 0 && parent(f) < len(r.demands) {
		r.demands[parent(f)] = t
	}
	if n := r.d.get(21, "NBR_OCCUR"); last(f) >= n-1 {
		r.times = r.times[:0]
	}
}

// last returns the index of the field in its array, parent that of the record around it.
func last(f *Field) int { return f.Path[len(f.Path)-1].Index }

func parent(f *Field) int {
	if len(f.Path) < 2 {
		return -1
	}
	return f.Path[len(f.Path)-2].Index
}

// present takes a field of table 28.
func (r *registers) present(f *Field) {
	switch f.Name {
	case "DEMAND_VALUE":
		r.source(f, 27, "PRESENT_DEMAND_SELECT", parent(f), ansic12.PresentDemand, 0)
	case "PRESENT_VALUE":
		r.source(f, 27, "PRESENT_VALUE_SELECT", last(f), ansic12.Present, 0)
	default:
		r.plain(f)
	}
}

// time takes a field of the clock.
func (r *registers) time(f *Field) {
	switch f.Name {
	case "CLOCK_CALENDAR":
		r.clock = len(r.readings)
		r.add(f, codeClock, obis.UnitUnknown, f.Value, nil)
	case "TIME_DATE_QUAL":
		qual, _, _ := f.Value.Decimal()
		if r.clock < len(r.readings) {
			x := &r.readings[r.clock]
			t, _ := x.Value.Time()
			x.Value = obis.Moment(qualified(t, uint8(qual)))
		}
	case "STATUS", "CURR_SUMM_TIER", "CURR_DEMAND_TIER", "TIER_DRIVE", "SPECIAL_SCHD_ACTIVE", "SEASON":
		r.plain(f)
	}
}

// Meter returns the identity from the tables 01 and 05 that were added.
func (d *Device) Meter() obis.Meter {
	m := obis.Meter{Medium: [...]obis.Medium{obis.Gas, obis.Water, obis.Electricity, obis.Unknown}[min(d.Config.Nameplate, 3)]}
	m.Manufacturer = d.manufacturer()
	var version [4]int64
	text := func(f *Field) string {
		b, _ := f.Value.Bytes()
		if d.Config.BCD {
			return fmt.Sprintf("%X", b)
		}
		return string(b)
	}
	if b, ok := d.raw[1]; ok {
		_ = d.Walk(1, b, func(f *Field) {
			n, _, _ := f.Value.Decimal()
			switch f.Name {
			case "ED_MODEL":
				raw, _ := f.Value.Bytes()
				m.Model = string(raw)
			case "HW_VERSION_NUMBER":
				version[0] = n
			case "HW_REVISION_NUMBER":
				version[1] = n
			case "FW_VERSION_NUMBER":
				version[2] = n
			case "FW_REVISION_NUMBER":
				version[3] = n
			case "MFG_SERIAL_NUMBER":
				m.Serial = text(f)
			}
		})
		m.Version = fmt.Sprintf("%d.%d", version[0], version[1])
		m.Firmware = fmt.Sprintf("%d.%d", version[2], version[3])
	}
	if b, ok := d.raw[5]; ok {
		_ = d.Walk(5, b, func(f *Field) {
			if f.Name == "IDENTIFICATION" {
				m.ID = text(f)
			}
		})
	}
	if m.ID == "" {
		m.ID = m.Serial
	}
	return m
}

package iec61850

import (
	"fmt"
	"slices"
	"strings"
)

var basicTypes = map[string]Type{
	"BOOLEAN":      {Kind: Boolean},
	"INT8":         {Kind: Integer, Size: 8},
	"INT16":        {Kind: Integer, Size: 16},
	"INT24":        {Kind: Integer, Size: 24},
	"INT32":        {Kind: Integer, Size: 32},
	"INT64":        {Kind: Integer, Size: 64},
	"INT128":       {Kind: Integer, Size: 64},
	"INT8U":        {Kind: Unsigned, Size: 8},
	"INT16U":       {Kind: Unsigned, Size: 16},
	"INT24U":       {Kind: Unsigned, Size: 24},
	"INT32U":       {Kind: Unsigned, Size: 32},
	"FLOAT32":      {Kind: Float, Size: 32},
	"FLOAT64":      {Kind: Float, Size: 64},
	"Enum":         {Kind: Integer, Size: 8},
	"Dbpos":        {Kind: BitString, Size: 2},
	"Tcmd":         {Kind: BitString, Size: 2},
	"Quality":      {Kind: BitString, Size: -QualityBits},
	"Check":        {Kind: BitString, Size: -2},
	"OptFlds":      {Kind: BitString, Size: -10},
	"TrgOps":       {Kind: BitString, Size: -6},
	"Timestamp":    {Kind: UTCTime},
	"EntryTime":    {Kind: EntryTime},
	"VisString32":  {Kind: VisibleString, Size: 32},
	"VisString64":  {Kind: VisibleString, Size: 64},
	"VisString65":  {Kind: VisibleString, Size: 65},
	"VisString129": {Kind: VisibleString, Size: 129},
	"ObjRef":       {Kind: VisibleString, Size: 129},
	"VisString255": {Kind: VisibleString, Size: 255},
	"Currency":     {Kind: VisibleString, Size: 3},
	"Unicode255":   {Kind: UTF8String, Size: 255},
	"Octet64":      {Kind: OctetString, Size: -64},
	"EntryID":      {Kind: OctetString, Size: 8},
}

// BasicType returns the type that SCL calls by this name (bType).
func BasicType(name string) (Type, bool) {
	t, ok := basicTypes[name]
	return t, ok
}

// structures are the constructed attribute classes: name, type.
var structures = map[string][][2]string{
	"AnalogueValue": {{"f", "FLOAT32"}},
	"Vector":        {{"mag", "AnalogueValue"}, {"ang", "AnalogueValue"}},
	"Unit":          {{"SIUnit", "Enum"}, {"multiplier", "Enum"}},
	"Originator":    {{"orCat", "Enum"}, {"orIdent", "Octet64"}},
	"ScaledValue":   {{"scaleFactor", "FLOAT32"}, {"offset", "FLOAT32"}},
	"RangeConfig": {{"hhLim", "AnalogueValue"}, {"hLim", "AnalogueValue"}, {"lLim", "AnalogueValue"}, {"llLim", "AnalogueValue"},
		{"min", "AnalogueValue"}, {"max", "AnalogueValue"}},
}

// enums are the enumerations of attributes of the common data classes.
var enums = map[string]string{
	"SIUnit": "SIUnit", "multiplier": "Multiplier", "orCat": "OrCat", "ctlModel": "CtlModels", "range": "Range",
	"seqT": "SeqT", "hvRef": "HvReference", "angRef": "AngleReference", "sboClass": "SboClasses",
}

// Rows are "name type FC triggers", triggers being d (data change), q (quality
// change) and u (data update); a leading "?" marks what an object has only on
// request, "*" before the name a sub-data object with its class as type.
var classes = map[string]string{
	"SPS":  "stVal BOOLEAN ST d;q Quality ST q;t Timestamp ST;?subEna BOOLEAN SV;?subVal BOOLEAN SV;?subQ Quality SV;?subID VisString64 SV;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"DPS":  "stVal Dbpos ST d;q Quality ST q;t Timestamp ST;?subEna BOOLEAN SV;?subVal Dbpos SV;?subQ Quality SV;?subID VisString64 SV;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"INS":  "stVal INT32 ST d;q Quality ST q;t Timestamp ST;?subEna BOOLEAN SV;?subVal INT32 SV;?subQ Quality SV;?subID VisString64 SV;?units Unit CF d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"ENS":  "stVal Enum ST d;q Quality ST q;t Timestamp ST;?subEna BOOLEAN SV;?subVal Enum SV;?subQ Quality SV;?subID VisString64 SV;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"VSS":  "stVal VisString255 ST d;q Quality ST q;t Timestamp ST;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"ACT":  "general BOOLEAN ST d;?phsA BOOLEAN ST d;?phsB BOOLEAN ST d;?phsC BOOLEAN ST d;?neut BOOLEAN ST d;q Quality ST q;t Timestamp ST;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"ACD":  "general BOOLEAN ST d;dirGeneral Enum ST d;q Quality ST q;t Timestamp ST;?d VisString255 DC;?dataNs VisString255 EX",
	"BCR":  "actVal INT64 ST d;?frVal INT64 ST u;?frTm Timestamp ST;q Quality ST q;t Timestamp ST;?units Unit CF d;pulsQty FLOAT32 CF d;?frEna BOOLEAN CF d;?strTm Timestamp CF d;?frPd INT32 CF d;?frRs BOOLEAN CF d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"MV":   "?instMag AnalogueValue MX;mag AnalogueValue MX d;?range Enum MX d;q Quality MX q;t Timestamp MX;?subEna BOOLEAN SV;?subMag AnalogueValue SV;?subQ Quality SV;?subID VisString64 SV;?units Unit CF d;?db INT32U CF d;?zeroDb INT32U CF d;?sVC ScaledValue CF d;?rangeC RangeConfig CF d;?smpRate INT32U CF d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"CMV":  "?instCVal Vector MX;cVal Vector MX d;?range Enum MX d;q Quality MX q;t Timestamp MX;?subEna BOOLEAN SV;?subCVal Vector SV;?subQ Quality SV;?subID VisString64 SV;?units Unit CF d;?db INT32U CF d;?zeroDb INT32U CF d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"SAV":  "instMag AnalogueValue MX;q Quality MX q;?t Timestamp MX;?units Unit CF d;?d VisString255 DC;?dataNs VisString255 EX",
	"WYE":  "?*phsA CMV;?*phsB CMV;?*phsC CMV;?*neut CMV;?*net CMV;?*res CMV;?angRef Enum CF d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"DEL":  "?*phsAB CMV;?*phsBC CMV;?*phsCA CMV;?angRef Enum CF d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"SEQ":  "*c1 CMV;*c2 CMV;*c3 CMV;seqT Enum MX;?phsRef Enum CF d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"HMV":  "har[] Vector MX d;q Quality MX q;t Timestamp MX;numHar INT16U CF d;numCyc INT16U CF d;evalTm INT16U CF d;?units Unit CF d;frequency FLOAT32 CF d;?d VisString255 DC;?dataNs VisString255 EX",
	"HWYE": "phsAHar[] Vector MX d;?phsBHar[] Vector MX d;?phsCHar[] Vector MX d;?neutHar[] Vector MX d;q Quality MX q;t Timestamp MX;numHar INT16U CF d;numCyc INT16U CF d;evalTm INT16U CF d;?units Unit CF d;frequency FLOAT32 CF d;?d VisString255 DC;?dataNs VisString255 EX",
	"HDEL": "phsABHar[] Vector MX d;?phsBCHar[] Vector MX d;?phsCAHar[] Vector MX d;q Quality MX q;t Timestamp MX;numHar INT16U CF d;numCyc INT16U CF d;evalTm INT16U CF d;?units Unit CF d;frequency FLOAT32 CF d;?d VisString255 DC;?dataNs VisString255 EX",
	"SPC":  "origin? Originator ST;stVal BOOLEAN ST d;q Quality ST q;t Timestamp ST;?stSeld BOOLEAN ST d;?opRcvd BOOLEAN OR d;ctlModel Enum CF d;?sboTimeout INT32U CF d;?sboClass Enum CF d;?operTimeout INT32U CF d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"DPC":  "origin? Originator ST;stVal Dbpos ST d;q Quality ST q;t Timestamp ST;?stSeld BOOLEAN ST d;ctlModel Enum CF d;?sboTimeout INT32U CF d;?sboClass Enum CF d;?operTimeout INT32U CF d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"INC":  "origin? Originator ST;stVal INT32 ST d;q Quality ST q;t Timestamp ST;?stSeld BOOLEAN ST d;ctlModel Enum CF d;?sboTimeout INT32U CF d;?sboClass Enum CF d;?operTimeout INT32U CF d;?minVal INT32 CF d;?maxVal INT32 CF d;?stepSize INT32U CF d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"ENC":  "origin? Originator ST;stVal Enum ST d;q Quality ST q;t Timestamp ST;?stSeld BOOLEAN ST d;ctlModel Enum CF d;?sboTimeout INT32U CF d;?sboClass Enum CF d;?operTimeout INT32U CF d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"APC":  "origin? Originator MX;mxVal AnalogueValue MX d;q Quality MX q;t Timestamp MX;?stSeld BOOLEAN MX d;ctlModel Enum CF d;?sboTimeout INT32U CF d;?sboClass Enum CF d;?operTimeout INT32U CF d;?units Unit CF d;?db INT32U CF d;?minVal AnalogueValue CF d;?maxVal AnalogueValue CF d;?stepSize AnalogueValue CF d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"SPG":  "setVal BOOLEAN SP d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"ING":  "setVal INT32 SP d;?units Unit CF d;?minVal INT32 CF d;?maxVal INT32 CF d;?stepSize INT32U CF d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"ENG":  "setVal Enum SP d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"ASG":  "setMag AnalogueValue SP d;?units Unit CF d;?minVal AnalogueValue CF d;?maxVal AnalogueValue CF d;?stepSize AnalogueValue CF d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"VSG":  "setVal VisString255 SP d;?d VisString255 DC;?dU Unicode255 DC;?dataNs VisString255 EX",
	"DPL":  "vendor VisString255 DC;?hwRev VisString255 DC;?swRev VisString255 DC;?serNum VisString255 DC;?model VisString255 DC;?location VisString255 DC;?name VisString64 DC;?owner VisString255 DC;?d VisString255 DC;?dataNs VisString255 EX",
	"LPL":  "vendor VisString255 DC;swRev VisString255 DC;d VisString255 DC;?dU Unicode255 DC;?configRev VisString255 DC;?paramRev INT32 ST d;?ldNs VisString255 EX;?lnNs VisString255 EX;?dataNs VisString255 EX",
}

// DefaultHarmonics is the number of elements of harmonic arrays of objects that [NewObject] makes: DC, fundamental and 39 harmonics.
const DefaultHarmonics = 41

// Class reports whether NewObject knows a common data class.
func Class(cdc string) bool { return classes[cdc] != "" }

// NewObject returns a data object of a common data class with its mandatory
// attributes and those that optional names: attributes, or phases of WYE, DEL
// and HWYE.
func NewObject(name, cdc string, optional ...string) (*Object, error) {
	spec := classes[cdc]
	if spec == "" {
		return nil, fmt.Errorf("iec61850: object %s of class %q, which is not known", name, cdc)
	}
	o := &Object{Name: name, CDC: cdc}
	for row := range strings.SplitSeq(spec, ";") {
		row, wish := strings.CutPrefix(row, "?")
		row, sub := strings.CutPrefix(row, "*")
		f := strings.Fields(row)
		if bare, ok := strings.CutSuffix(f[0], "?"); ok {
			f[0], wish = bare, true
		}
		plain := strings.TrimSuffix(f[0], "[]")
		if wish && !slices.Contains(optional, plain) {
			continue
		}
		if sub {
			member, err := NewObject(plain, f[1], optional...)
			if err != nil {
				return nil, err
			}
			o.Objects = append(o.Objects, member)
			continue
		}
		fc, _ := ParseFC(f[2])
		trigger := Trigger(0)
		if len(f) > 3 {
			trigger = map[string]Trigger{"d": DataChange, "q": QualityChange, "u": DataUpdate}[f[3]]
		}
		a, err := newAttribute(plain, f[1], fc, trigger)
		if err != nil {
			return nil, err
		}
		if plain != f[0] {
			a = NewArray(a, DefaultHarmonics)
		}
		o.Attributes = append(o.Attributes, a)
	}
	if len(o.Objects) > 0 { // what describes a phase belongs to the whole, too, where asked for; its own name is enough
		o.Attributes = slices.DeleteFunc(o.Attributes, func(a *Attribute) bool { return a.Name == "d" || a.Name == "dataNs" || a.Name == "dU" })
	}
	return o, nil
}

func newAttribute(name, typ string, fc FC, trigger Trigger) (*Attribute, error) {
	members := structures[typ]
	if members == nil {
		a, err := NewAttribute(name, fc, typ, trigger)
		if err == nil && typ == "Enum" {
			a.Enum = enums[name]
		}
		return a, err
	}
	list := make([]*Attribute, len(members))
	for i, m := range members {
		var err error
		if list[i], err = newAttribute(m[0], m[1], fc, trigger); err != nil {
			return nil, err
		}
	}
	return NewStruct(name, fc, trigger, list...), nil
}

// ControlModel says how an object may be operated (ctlModel).
type ControlModel uint8

// The control models.
const (
	StatusOnly ControlModel = iota
	DirectNormal
	SelectNormal
	DirectEnhanced
	SelectEnhanced
)

// AddControl gives an object of a controllable class its ctlModel and the
// attributes SBO or SBOw, Oper and Cancel.
func (o *Object) AddControl(model ControlModel) error {
	kind := map[string]string{"SPC": "BOOLEAN", "DPC": "BOOLEAN", "INC": "INT32", "ENC": "Enum", "APC": "AnalogueValue"}[o.CDC]
	mode := o.Attribute("ctlModel", CF)
	if kind == "" || mode == nil || model > SelectEnhanced {
		return fmt.Errorf("iec61850: %s of class %s cannot be controlled", o.Name, o.CDC)
	}
	if err := mode.Init(Int(int64(model))); err != nil {
		return err
	}
	if model == StatusOnly {
		return nil
	}
	switch model {
	case SelectNormal:
		a, err := NewAttribute("SBO", CO, "ObjRef", 0)
		if err != nil {
			return err
		}
		o.Attributes = append(o.Attributes, a)
	case SelectEnhanced:
		a, err := operation("SBOw", kind, true)
		if err != nil {
			return err
		}
		o.Attributes = append(o.Attributes, a)
	}
	oper, err := operation("Oper", kind, true)
	if err != nil {
		return err
	}
	o.Attributes = append(o.Attributes, oper)
	if model == SelectNormal || model == SelectEnhanced {
		cancel, err := operation("Cancel", kind, false)
		if err != nil {
			return err
		}
		o.Attributes = append(o.Attributes, cancel)
	}
	return nil
}

// operation returns the structure of SBOw, Oper or, without the check, Cancel.
func operation(name, kind string, check bool) (*Attribute, error) {
	rows := [][2]string{{"ctlVal", kind}, {"origin", "Originator"}, {"ctlNum", "INT8U"}, {"T", "Timestamp"}, {"Test", "BOOLEAN"}, {"Check", "Check"}}
	if !check {
		rows = rows[:5]
	}
	var members []*Attribute
	for _, r := range rows {
		a, err := newAttribute(r[0], r[1], CO, 0)
		if err != nil {
			return nil, err
		}
		members = append(members, a)
	}
	return NewStruct(name, CO, 0, members...), nil
}

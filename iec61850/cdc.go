package iec61850

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
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
	"INT64U":       {Kind: Unsigned, Size: 64},
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
	"Octet6":       {Kind: OctetString, Size: 6},
	"Octet16":      {Kind: OctetString, Size: 16},
	"EntryID":      {Kind: OctetString, Size: 8},
	"SvOptFlds":    {Kind: BitString, Size: -5},
	"LogOptFlds":   {Kind: BitString, Size: -1},
	"PhyComAddr": {Kind: Structure, Members: []Member{{"Addr", Type{Kind: OctetString, Size: 6}}, {"PRIORITY", Type{Kind: Unsigned, Size: 8}},
		{"VID", Type{Kind: Unsigned, Size: 16}}, {"APPID", Type{Kind: Unsigned, Size: 16}}}},
}

// BasicType returns the type that SCL calls by this name (bType).
func BasicType(name string) (Type, bool) {
	t, ok := basicTypes[name]
	return t, ok
}

//go:generate go run ../internal/gen/iec61850

// ClassRow is an attribute of a common data class, a sub-data object where it
// has no constraint (Type is its class then), or a member of a structure.
type ClassRow struct {
	Name     string
	Type     string // basic type of SCL, or name of a structure
	Enum     string // "" where the object decides
	FC       FC
	Trigger  Trigger
	Array    bool // one element for each harmonic
	Optional bool
}

// ClassRows returns the rows of a common data class, none where it is not known.
func ClassRows(cdc string) iter.Seq[ClassRow] { return slices.Values(classes[cdc]) }

// EnumValue is a value of an enumeration.
type EnumValue struct {
	Ord  int
	Name string
}

// Enumeration is a type of Basic "Enum".
type Enumeration struct {
	Name   string
	Values []EnumValue
}

// StandardEnumeration returns an enumeration of the standard's by its name.
func StandardEnumeration(name string) (Enumeration, bool) {
	v, ok := enumerations[name]
	return Enumeration{name, v}, ok
}

// Enumeration returns the enumeration of that name: the model's own, or the standard's.
func (m *Model) Enumeration(name string) (Enumeration, bool) {
	for _, e := range m.Enums {
		if e.Name == name {
			return e, true
		}
	}
	return StandardEnumeration(name)
}

// Text returns the name of a value.
func (e Enumeration) Text(ord int) (string, bool) {
	for _, v := range e.Values {
		if v.Ord == ord {
			return v.Name, true
		}
	}
	return "", false
}

// Ord returns the value of a name.
func (e Enumeration) Ord(name string) (int, bool) {
	for _, v := range e.Values {
		if v.Name == name {
			return v.Ord, true
		}
	}
	return 0, false
}

// DefaultHarmonics is the number of elements of harmonic arrays of objects that [NewObject] makes: DC, fundamental and 39 harmonics.
const DefaultHarmonics = 41

// Class reports whether NewObject knows a common data class.
func Class(cdc string) bool { return classes[cdc] != nil }

// NewObject returns a data object of a common data class with its mandatory
// attributes and those that optional names: attributes, or phases of WYE, DEL
// and HWYE.
func NewObject(name, cdc string, optional ...string) (*Object, error) {
	rows := classes[cdc]
	if rows == nil {
		return nil, fmt.Errorf("iec61850: object %s of class %q, which is not known", name, cdc)
	}
	o := &Object{Name: name, CDC: cdc}
	for _, r := range rows {
		if r.Optional && !slices.Contains(optional, r.Name) {
			continue
		}
		if r.FC == 0 {
			member, err := NewObject(r.Name, r.Type, optional...)
			if err != nil {
				return nil, err
			}
			o.Objects = append(o.Objects, member)
			continue
		}
		a, err := r.attribute(r.FC, r.Trigger, objectEnums[name])
		if err != nil {
			return nil, err
		}
		if r.Array {
			a = NewArray(a, DefaultHarmonics)
		}
		o.Attributes = append(o.Attributes, a)
	}
	if len(o.Objects) > 0 { // what describes a phase belongs to the whole, too, where asked for; its own name is enough
		o.Attributes = slices.DeleteFunc(o.Attributes, func(a *Attribute) bool { return a.Name == "d" || a.Name == "dataNs" || a.Name == "dU" })
	}
	return o, nil
}

// newAttribute returns an attribute of a basic type or of a constructed one of the standard's.
func newAttribute(name, typ string, fc FC, trigger Trigger) (*Attribute, error) {
	return ClassRow{Name: name, Type: typ}.attribute(fc, trigger, objectEnums[name])
}

// attribute returns the attribute of a row. enum is the enumeration of one that the row leaves to the object.
func (r ClassRow) attribute(fc FC, trigger Trigger, enum string) (*Attribute, error) {
	members := structures[r.Type]
	if members == nil {
		a, err := NewAttribute(r.Name, fc, r.Type, trigger)
		if err == nil && r.Type == "Enum" {
			a.Enum = cmp.Or(r.Enum, enum)
		}
		return a, err
	}
	list := make([]*Attribute, len(members))
	for i, m := range members {
		var err error
		if list[i], err = m.attribute(fc, trigger, enum); err != nil {
			return nil, err
		}
	}
	return NewStruct(r.Name, fc, trigger, list...), nil
}

// Structure returns the name of the constructed attribute class that an
// attribute's members make up, "" where it is none of the standard's.
func (a *Attribute) Structure() string {
	for name, rows := range structures {
		if slices.EqualFunc(rows, a.Attributes, func(r ClassRow, m *Attribute) bool {
			return r.Name == m.Name && m.Count == 0 && (r.Type == m.Basic && r.Enum == m.Enum || m.Basic == "Struct" && r.Type == m.Structure())
		}) {
			return name
		}
	}
	return ""
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
		a, err := o.operation("SBOw", kind, true)
		if err != nil {
			return err
		}
		o.Attributes = append(o.Attributes, a)
	}
	oper, err := o.operation("Oper", kind, true)
	if err != nil {
		return err
	}
	o.Attributes = append(o.Attributes, oper)
	if model == SelectNormal || model == SelectEnhanced {
		cancel, err := o.operation("Cancel", kind, false)
		if err != nil {
			return err
		}
		o.Attributes = append(o.Attributes, cancel)
	}
	return nil
}

// operation returns the structure of SBOw, Oper or, without the check, Cancel.
func (o *Object) operation(name, kind string, check bool) (*Attribute, error) {
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
	if kind == "Enum" {
		members[0].Enum = objectEnums[o.Name]
	}
	return NewStruct(name, CO, 0, members...), nil
}

package iec61850

import (
	"fmt"
	"strings"
)

// The classes of service tracking (IEC 61850-7-3), as rows like those of the other
// classes. All attributes have the constraint SR and are data updates.
const (
	trackedService = "objRef ObjRef;serviceType Enum;errorCode Enum;originatorID Octet64;t Timestamp"
	trackedReport  = ";rptID VisString129;rptEna BOOLEAN"
	trackedEvents  = ";datSet ObjRef;confRev INT32U;optFlds OptFlds;bufTm INT32U"
	trackedPeriod  = ";trgOps TrgOps;intgPd INT32U;gi BOOLEAN"
	trackedControl = ";origin Originator;ctlNum INT8U;T Timestamp;Test BOOLEAN;Check Check;respAddCause Enum"
)

// tracking is what each object of the logical node LTRK has: its class and its rows.
var tracking = map[string][2]string{
	"GenTrk":  {"CST", trackedService},
	"UrcbTrk": {"UTS", trackedService + trackedReport + ";resv BOOLEAN" + trackedEvents + ";sqNum INT8U" + trackedPeriod},
	"BrcbTrk": {"BTS", trackedService + trackedReport + trackedEvents + ";sqNum INT16U" + trackedPeriod +
		";purgeBuf BOOLEAN;entryID EntryID;timeOfEntry EntryTime;resvTms INT16"},
	"LocbTrk": {"LTS", trackedService + ";logEna BOOLEAN;logRef ObjRef;datSet ObjRef;oldEntrTm EntryTime;newEntrTm EntryTime;oldEntr EntryID;newEntr EntryID;trgOps TrgOps;intgPd INT32U"},
	"SgcbTrk": {"STS", trackedService + ";numOfSG INT8U;actSG INT8U;editSG INT8U;cnfEdit BOOLEAN;lActTm Timestamp;resvTms INT16U"},
	"SpcTrk":  {"CTS", trackedService + ";ctlVal BOOLEAN" + trackedControl},
	"DpcTrk":  {"CTS", trackedService + ";ctlVal BOOLEAN" + trackedControl},
	"IncTrk":  {"CTS", trackedService + ";ctlVal INT32" + trackedControl},
	"EncTrk1": {"CTS", trackedService + ";ctlVal Enum" + trackedControl},
	"ApcFTrk": {"CTS", trackedService + ";ctlVal AnalogueValue" + trackedControl},
}

// NewTracking returns an object of the logical node LTRK, in which a server notes
// the services that clients asked for: GenTrk, UrcbTrk, BrcbTrk, LocbTrk, SgcbTrk,
// SpcTrk, DpcTrk, IncTrk, EncTrk1 or ApcFTrk.
func NewTracking(name string) (*Object, error) {
	spec, ok := tracking[name]
	if !ok {
		return nil, fmt.Errorf("iec61850: no service is tracked in %q", name)
	}
	o := &Object{Name: name, CDC: spec[0]}
	for row := range strings.SplitSeq(spec[1], ";") {
		attribute, typ, _ := strings.Cut(row, " ")
		a, err := trackedAttribute(attribute, typ)
		if err != nil {
			return nil, err
		}
		o.Attributes = append(o.Attributes, a)
	}
	return o, nil
}

// trackedAttribute returns an attribute of a basic type, or of one of the two
// structures that controls have.
func trackedAttribute(name, typ string) (*Attribute, error) {
	rows := map[string][][2]string{"Originator": {{"orCat", "Enum"}, {"orIdent", "Octet64"}}, "AnalogueValue": {{"f", "FLOAT32"}}}[typ]
	if rows == nil {
		return NewAttribute(name, SR, typ, DataUpdate)
	}
	var members []*Attribute
	for _, row := range rows {
		m, err := NewAttribute(row[0], SR, row[1], DataUpdate)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	return NewStruct(name, SR, DataUpdate, members...), nil
}

// AddTimedControl gives an object of a controllable class what AddControl does,
// with operTm in SBOw, Oper and Cancel, so that clients may say when to operate.
func (o *Object) AddTimedControl(model ControlModel) error {
	if err := o.AddControl(model); err != nil {
		return err
	}
	if model == DirectNormal || model == DirectEnhanced { // what waits for its time can be cancelled
		cancel := o.Attribute("Oper", CO).clone()
		o.Attributes = append(o.Attributes, NewStruct("Cancel", CO, 0, cancel.Attributes[:len(cancel.Attributes)-1]...))
	}
	for i, a := range o.Attributes {
		if a.FC != CO || a.Leaf() {
			continue
		}
		operTm, err := NewAttribute("operTm", CO, "Timestamp", 0)
		if err != nil {
			return err
		}
		members := append([]*Attribute{a.Attributes[0], operTm}, a.Attributes[1:]...)
		o.Attributes[i] = NewStruct(a.Name, CO, 0, members...)
	}
	return nil
}

func (a *Attribute) clone() *Attribute {
	c := *a
	c.Attributes = make([]*Attribute, len(a.Attributes))
	for i, m := range a.Attributes {
		c.Attributes[i] = m.clone()
	}
	return &c
}

package client

import (
	"fmt"
	"time"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/mms"
)

// Report is a report of a control block.
type Report struct {
	ID       string
	Options  iec61850.ReportOptions // which of the fields below were sent
	Sequence uint64
	Time     time.Time
	DataSet  string
	Overflow bool
	EntryID  string // eight octets
	ConfRev  uint64
	Segment  uint64
	More     bool // segments follow
	Members  int  // of the data set
	Data     []Datum
}

// Datum is one member of the data set in a report.
type Datum struct {
	Member    int    // of the data set, from 0
	Reference string // where it was sent
	Value     iec61850.Value
	Reason    iec61850.Trigger // 0 where it was not sent
}

// ParseReport reads a report. It is not ok where the information is something
// else, as the end of a control.
func ParseReport(i mms.Information) (r Report, ok bool, err error) {
	if !i.Variables.Named || i.Variables.List.Scope != mms.ScopeVMD || string(i.Variables.List.Item) != "RPT" {
		return Report{}, false, nil
	}
	f := fields{results: i.Results}
	r.ID = f.next(iec61850.VisibleString).Text()
	options := f.next(iec61850.BitString)
	r.Options = iec61850.ReportOptions(options.Bits())
	has := func(o iec61850.ReportOptions) bool { return r.Options&o != 0 }
	if has(iec61850.SequenceNumber) {
		r.Sequence, _ = f.next(iec61850.Unsigned).Uint()
	}
	if has(iec61850.ReportTime) {
		r.Time = f.next(iec61850.EntryTime).EntryTime()
	}
	if has(iec61850.DataSetName) {
		r.DataSet = f.next(iec61850.VisibleString).Text()
	}
	if has(iec61850.BufferOverflow) {
		r.Overflow = f.next(iec61850.Boolean).Bool()
	}
	if has(iec61850.EntryID) {
		r.EntryID = f.next(iec61850.OctetString).Text()
	}
	if has(iec61850.ConfRevision) {
		r.ConfRev, _ = f.next(iec61850.Unsigned).Uint()
	}
	if has(iec61850.Segmentation) {
		r.Segment, _ = f.next(iec61850.Unsigned).Uint()
		r.More = f.next(iec61850.Boolean).Bool()
	}
	included := f.next(iec61850.BitString)
	r.Members = included.BitLen()
	for m := range included.BitLen() {
		if included.Bit(m) {
			r.Data = append(r.Data, Datum{Member: m})
		}
		if len(r.Data) > len(i.Results) {
			return Report{}, true, fmt.Errorf("client: report %s: more members than values", r.ID)
		}
	}
	if has(iec61850.DataReference) {
		for k := range r.Data {
			r.Data[k].Reference = f.next(iec61850.VisibleString).Text()
		}
	}
	for k := range r.Data {
		r.Data[k].Value = f.next(iec61850.None)
	}
	if has(iec61850.ReasonForInclusion) {
		for k := range r.Data {
			v := f.next(iec61850.BitString)
			r.Data[k].Reason = iec61850.Trigger(v.Bits() >> max(v.BitLen()-6, 0))
		}
	}
	return r, true, f.err
}

// fields takes the values of a report one after the other.
type fields struct {
	results []mms.Result
	at      int
	err     error
}

// next returns the next value, of the kind unless that is None.
func (f *fields) next(kind iec61850.Kind) iec61850.Value {
	if f.err != nil {
		return iec61850.Value{}
	}
	if f.at == len(f.results) {
		f.err = fmt.Errorf("client: report ends at value %d, %v expected", f.at, kind)
		return iec61850.Value{}
	}
	v := f.results[f.at].Value
	f.at++
	if kind != iec61850.None && v.Kind() != kind {
		f.err = fmt.Errorf("client: report: value %d is a %v, %v expected", f.at-1, v.Kind(), kind)
	}
	return v
}

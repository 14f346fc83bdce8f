package ied

import (
	"cmp"
	"time"

	"github.com/openusm/meter/iec61850/scl"
	"github.com/openusm/meter/iec61850/server"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/ied"
	"github.com/openusm/meter/result"
)

// SCLOptions describe the IED that [AppendSCL] makes of a meter. Nil SCLOptions work.
type SCLOptions struct {
	IED    string // name; "" means METER
	IP     string // address of the server; "" leaves the addresses out, which makes the file an ICD
	Mask   string // "" means 255.255.255.0
	Values bool   // write what the meter measured, too, as initial values
}

// AppendSCL appends a file of the substation configuration language (IEC
// 61850-6) that describes a meter as an IED of its own. lost names
// what that IED cannot show in full.
func AppendSCL(dst []byte, r *result.Result, o *SCLOptions) (doc []byte, lost []string, err error) {
	if o == nil {
		o = &SCLOptions{}
	}
	device, losses, err := ied.New(r.Meter, r.Readings, &ied.Options{IED: o.IED, Clock: r.Clock, Received: receivedAt(r)})
	if err != nil {
		return dst, nil, err
	}
	f := scl.File{Model: device.Model, Values: o.Values}
	if o.IP != "" {
		f.Address = scl.MMSAddress(o.IP, cmp.Or(o.Mask, "255.255.255.0"))
	}
	doc, err = f.AppendText(dst)
	return doc, lossTexts(r, losses), err
}

// Simulate returns a simulated IED that serves the model of an SCL file, of which
// name chooses the IED; "" takes the only one.
func Simulate(file []byte, name string) (*server.Server, error) {
	f, err := scl.Parse(file, &scl.Options{IED: name})
	if err != nil {
		return nil, err
	}
	return server.New(f.Model, nil)
}

// receivedAt returns when a result came: now, where it does not say.
func receivedAt(r *result.Result) time.Time {
	if r.Received.IsZero() {
		return time.Now()
	}
	return r.Received
}

func lossTexts(r *result.Result, lost []mapping.Loss) (texts []string) {
	d := &mapping.Data{Readings: r.Readings}
	for _, l := range d.Gather(lost) {
		texts = append(texts, d.Describe(l))
	}
	return texts
}

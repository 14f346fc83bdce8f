package meter

import (
	"cmp"
	"fmt"
	"time"

	"github.com/openusm/meter/iec61850/scl"
	"github.com/openusm/meter/iec61850/server"
	"github.com/openusm/meter/mapping/ied"
)

// SCLOptions describe the IED that [Result.AppendSCL] makes of a meter. Nil SCLOptions work.
type SCLOptions struct {
	IED    string // name; "" means METER, as the face "iec61850" has it
	IP     string // address of the server; "" leaves the addresses out, which makes the file an ICD
	Mask   string // "" means 255.255.255.0
	Values bool   // write what the meter measured, too, as initial values
}

// AppendSCL appends a file of the substation configuration language (IEC
// 61850-6) that describes the meter as the IED that the face "iec61850" shows.
// lost names what that IED cannot show in full.
func (r *Result) AppendSCL(dst []byte, o *SCLOptions) (doc []byte, lost []string, err error) {
	if o == nil {
		o = &SCLOptions{}
	}
	device, losses, err := ied.New(r.Meter, r.Readings, &ied.Options{IED: o.IED, Clock: r.Clock, Received: time.Now()})
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

// NewIED returns a simulated IED that serves the model of an SCL file, of which
// name chooses the IED; "" takes the only one.
func NewIED(file []byte, name string) (Simulator, error) {
	f, err := scl.Parse(file, &scl.Options{IED: name})
	if err != nil {
		return nil, err
	}
	s, err := server.New(f.Model, nil)
	if err != nil {
		return nil, fmt.Errorf("meter: %w", err)
	}
	return s, nil
}

package meter

import (
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/obis"
)

// apdu decodes one PDU and adds what it carries.
func (d *dlmsDecoder) apdu(b []byte) error {
	p, n, err := apdu.Parse(b)
	if err != nil {
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	if n < len(b) {
		d.result.warn("%d octets behind the %s", len(b)-n, p.Name())
	}
	if d.result.Protocol == "" {
		d.result.Protocol = DLMS
	}
	switch p.(type) {
	case apdu.Ciphered, apdu.GeneralCiphered, apdu.GeneralCiphering, apdu.GeneralSigning:
		return d.protected(b[:n], p)
	}
	return d.pdu(p)
}

// maxBlocks bounds what is gathered from the blocks of one long answer.
const maxBlocks = 64 << 20

func (d *dlmsDecoder) pdu(p apdu.PDU) error {
	layer := Layer{Name: p.Name()}
	switch p := p.(type) {
	case apdu.GeneralBlockTransfer:
		d.result.Layers = append(d.result.Layers, layer)
		return d.gather(p.Data, p.Last, d.apdu)
	case apdu.GetResponseWithBlock:
		d.result.Layers = append(d.result.Layers, layer)
		if p.Code != cosem.Success {
			d.decoded = true
			d.result.warn("get-response: %v", p.Code)
			return nil
		}
		return d.gather(p.Raw, p.Last, d.longGet)
	}
	d.decoded = true
	d.result.Layers = append(d.result.Layers, layer)
	switch p := p.(type) {
	case apdu.DataNotification:
		at, _ := cosem.ParseTime(p.Time)
		d.pushed(p.Body, at)
	case apdu.EventNotification:
		at, _ := cosem.ParseTime(p.Time)
		d.attribute(p.Attribute, p.Data, at)
	case apdu.AARQ:
		d.clientTitle = p.CallingAPTitle
	case apdu.AARE:
		d.serverTitle = p.RespondingAPTitle
	case apdu.GetRequestNormal:
		d.asked = []apdu.Get{p.Get}
	case apdu.GetRequestWithList:
		d.asked = p.List
	case apdu.GetResponseNormal:
		d.answers([]apdu.Result{p.Result})
	case apdu.GetResponseWithList:
		d.answers(p.List)
	case apdu.ExceptionResponse:
		d.result.warn("%v", error(p))
	case apdu.ConfirmedServiceError:
		d.result.warn("%v", error(p))
	case apdu.Unknown:
		return fmt.Errorf("meter: %w: unknown PDU", ErrFrame)
	}
	return nil
}

// gather joins blocks, and hands the whole on behind the last of them.
func (d *dlmsDecoder) gather(part []byte, last bool, whole func([]byte) error) error {
	if len(d.blocks)+len(part) > maxBlocks {
		return fmt.Errorf("meter: %w: more than %d octets in blocks", ErrFrame, maxBlocks)
	}
	d.blocks = append(d.blocks, part...)
	if !last || len(d.blocks) == 0 {
		return nil
	}
	b := d.blocks
	d.blocks = nil
	return whole(b)
}

// longGet reads what the blocks of a get-response held.
func (d *dlmsDecoder) longGet(b []byte) error {
	d.decoded = true
	if len(d.asked) > 1 {
		results, err := apdu.ParseResults(b)
		if err != nil {
			return fmt.Errorf("meter: %w: %w", ErrFrame, err)
		}
		d.answers(results)
		return nil
	}
	data, _, err := cosem.ParseData(b)
	if err != nil {
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	d.answers([]apdu.Result{{Data: data}})
	return nil
}

// answers adds the results of a get-response, under the names that were asked
// for where the capture holds the request.
func (d *dlmsDecoder) answers(results []apdu.Result) {
	asked := d.asked
	d.asked = nil
	for i, r := range results {
		if r.Code != cosem.Success {
			d.result.warn("get-response: %v", r.Code)
			continue
		}
		if len(asked) == len(results) {
			d.attribute(asked[i].Attribute, r.Data, obis.Time{})
			continue
		}
		d.pushed(r.Data, obis.Time{})
	}
}

// attribute adds the value of an attribute whose name is known.
func (d *dlmsDecoder) attribute(a cosem.Attribute, data cosem.Data, at obis.Time) {
	l, ok := cosem.RegisterAttributes(a.Class)
	if !ok || a.Index != l.Value {
		d.pushed(data, at)
		return
	}
	r := cosem.Register{Class: a.Class, Name: a.Name}
	r.Set(a.Index, data)
	part := &Result{Protocol: DLMS, Readings: r.AppendReadings(nil)}
	for i := range part.Readings {
		if part.Readings[i].Time.IsZero() {
			part.Readings[i].Time = at
		}
	}
	part.attributeSources(func(obis.Reading) cosem.Attribute { return a })
	d.result.add(part)
}

// pushed adds the readings of data that name themselves.
func (d *dlmsDecoder) pushed(data cosem.Data, at obis.Time) {
	var list cosem.Readings
	new(cosem.Pushes).Append(&list, data, at)
	part := &Result{Protocol: DLMS, Readings: list.List}
	part.Meter = cosem.Identify(part.Readings)
	if part.Meter.ID == "" {
		part.Meter.ID = part.Meter.Serial // pushes seldom carry the logical device name
	}
	part.attributeSources(func(r obis.Reading) cosem.Attribute { return list.Attributes[r.Source] })
	d.result.add(part)
}

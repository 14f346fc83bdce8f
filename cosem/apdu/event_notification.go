package apdu

import "github.com/openusm/meter/cosem"

// EventNotification tells of one attribute without having been asked.
type EventNotification struct {
	Time      []byte // a COSEM date-time; nil for none
	Attribute cosem.Attribute
	Data      cosem.Data
}

// Name returns "event-notification-request".
func (EventNotification) Name() string { return "event-notification-request" }

func (r *reader) eventNotification() PDU {
	r.Uint8("tag")
	p := EventNotification{}
	if r.optional("time") {
		p.Time = r.octets("time")
	}
	p.Attribute = r.attribute()
	p.Data = r.data("attribute-value")
	return p
}

// AppendBinary appends the encoding. It never fails.
func (p EventNotification) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(dst, TagEventNotification)
	if p.Time == nil {
		dst = append(dst, 0)
	} else {
		dst = appendOctets(append(dst, 1), p.Time)
	}
	return appendData(p.Attribute.Append(dst), p.Data), nil
}

package apdu

import "github.com/openusm/meter/cosem"

// DataNotification is what a meter pushes.
type DataNotification struct {
	Invoke LongInvokeID
	Time   []byte // a COSEM date-time, or empty
	Tagged bool   // the time came with a tag before it, as some meters send it
	Body   cosem.Data
}

// Name returns "data-notification".
func (DataNotification) Name() string { return "data-notification" }

func (r *reader) dataNotification() PDU {
	r.Uint8("tag")
	p := DataNotification{Invoke: LongInvokeID(r.Uint32("long-invoke-id-and-priority"))}
	tag, _ := r.Peek()
	p.Time = r.time()
	p.Tagged = tag == byte(cosem.TagOctetString) && len(p.Time) == 12
	p.Body = r.data("notification-body")
	return p
}

// AppendBinary appends the encoding. It never fails.
func (p DataNotification) AppendBinary(dst []byte) ([]byte, error) {
	dst = appendUint32(append(dst, TagDataNotification), uint32(p.Invoke))
	if p.Tagged {
		dst = append(dst, byte(cosem.TagOctetString))
	}
	return appendData(appendOctets(dst, p.Time), p.Body), nil
}

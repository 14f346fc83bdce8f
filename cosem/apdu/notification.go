package apdu

import (
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/internal/wire"
)

// DataNotification is what a meter pushes.
type DataNotification struct {
	Invoke LongInvokeID
	Time   []byte // a COSEM date-time, or empty
	Tagged bool   // the time came with a tag before it, as some meters send it
	Body   cosem.Data
}

// Name returns "data-notification".
func (DataNotification) Name() string { return "data-notification" }

// ParseDataNotification is [Parse] for a DataNotification alone. It does not
// allocate but for one whose body [cosem.ParseBare] must read.
func ParseDataNotification(b []byte) (p DataNotification, n int, err error) {
	r := reader{Cursor: wire.NewCursor(b), b: b}
	if tag, ok := r.Peek(); ok && tag != TagDataNotification {
		r.Fail("tag", 0, fmt.Errorf("0x%02x: %w", tag, errTag))
	}
	p = r.dataNotification()
	err = r.err()
	if err != nil || r.Offset() < len(b) {
		if p, ok := bareNotification(b); ok {
			return p, len(b), nil
		}
	}
	if err != nil {
		return DataNotification{}, 0, err
	}
	return p, r.Offset(), nil
}

// bareNotification reads one with a body of the dialect of [cosem.ParseBare], all
// of b. What A-XDR makes of the first octets of such a body may look complete.
func bareNotification(b []byte) (p DataNotification, ok bool) {
	if len(b) == 0 || b[0] != TagDataNotification {
		return DataNotification{}, false
	}
	r := reader{Cursor: wire.NewCursor(b), b: b}
	p = r.notificationHead()
	if r.err() != nil {
		return DataNotification{}, false
	}
	p.Body, ok = cosem.ParseBare(b[r.Offset():])
	return p, ok
}

func (r *reader) dataNotification() DataNotification {
	p := r.notificationHead()
	p.Body = r.data("notification-body")
	return p
}

func (r *reader) notificationHead() DataNotification {
	r.Uint8("tag")
	p := DataNotification{Invoke: LongInvokeID(r.Uint32("long-invoke-id-and-priority"))}
	tag, _ := r.Peek()
	p.Time = r.time()
	p.Tagged = tag == byte(cosem.TagOctetString) && len(p.Time) == 12
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

package dlms

import (
	"bytes"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/wrapper"
)

// tracer is [Config.Trace].
type tracer func(send bool, frame []byte)

func (t tracer) trace(send bool, frame []byte) {
	if t != nil {
		t(send, frame)
	}
}

// redacting returns a tracer for one connection that shows "*" for the octets of
// passwords (of low level security). Checksums stay what they were.
func redacting(t tracer) tracer {
	if t == nil {
		return nil
	}
	var cut [2]bool // an AARQ goes on in the next frame of this direction
	return func(send bool, frame []byte) {
		way := 0
		if send {
			way = 1
		}
		var from, to int
		if from, to, cut[way] = secret(frame, cut[way]); to > from {
			frame = bytes.Clone(frame)
			copy(frame[from:to], bytes.Repeat([]byte{'*'}, to-from))
		}
		t(send, frame)
	}
}

// secret returns where a frame holds a password, and whether its AARQ goes on in
// the next one. Of an AARQ in several frames all is secret behind the name of the
// mechanism.
func secret(frame []byte, goesOn bool) (from, to int, more bool) {
	var b []byte
	var at int
	if f, n, err := hdlc.Parse(frame); err == nil {
		if b, more = f.Info, f.Segmented; len(b) == 0 {
			return 0, 0, goesOn
		}
		at = n - 3 - len(b) // before checksum and flag
	} else if w, n, err := wrapper.Parse(frame); err == nil {
		b, at = w.APDU, n-len(w.APDU)
	} else {
		return 0, 0, false
	}
	if goesOn && !isLLC(b) {
		return at, at + len(b), more
	}
	if isLLC(b) {
		b, at = b[3:], at+3
	}
	if len(b) > 3 && b[0] == apdu.TagGatewayRequest && len(b) > 3+int(b[2]) {
		n := 3 + int(b[2])
		b, at = b[n:], at+n
	}
	if len(b) == 0 || b[0] != apdu.TagAARQ {
		return 0, 0, false
	}
	if p, _, err := apdu.Parse(b); err == nil {
		q, ok := p.(apdu.AARQ)
		if !ok || q.Mechanism != apdu.MechanismLow || len(q.Value) == 0 {
			return 0, 0, false
		}
		field := append([]byte{0xAC, byte(len(q.Value) + 2), 0x80, byte(len(q.Value))}, q.Value...)
		if i := bytes.Index(b, field); i >= 0 {
			return at + i + 4, at + i + len(field), false
		}
	}
	if i := bytes.Index(b, mechanismName); i >= 0 {
		return at + i + len(mechanismName), at + len(b), more
	}
	return at, at + len(b), more
}

// mechanismName is how the name of an authentication mechanism begins; its number follows.
var mechanismName = []byte{0x60, 0x85, 0x74, 0x05, 0x08, 0x02}

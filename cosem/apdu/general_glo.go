package apdu

import (
	"fmt"

	"github.com/openusm/meter/internal/wire"
)

// GeneralCiphered is any PDU, ciphered with the global or the dedicated key of
// the sender that is named.
type GeneralCiphered struct {
	Dedicated   bool
	SystemTitle []byte // of the sender; empty where the receiver knows it
	Contents    []byte // security control, invocation counter, payload, authentication tag
}

// Name returns "general-glo-ciphering" or "general-ded-ciphering".
func (p GeneralCiphered) Name() string {
	if p.Dedicated {
		return "general-ded-ciphering"
	}
	return "general-glo-ciphering"
}

// ParseGeneralCiphered is [Parse] for a GeneralCiphered alone. It does not allocate.
func ParseGeneralCiphered(b []byte) (p GeneralCiphered, n int, err error) {
	r := reader{Cursor: wire.NewCursor(b), b: b}
	if tag, ok := r.Peek(); ok && tag != TagGeneralGloCiphering && tag != TagGeneralDedCiphering {
		r.Fail("tag", 0, fmt.Errorf("0x%02x: %w", tag, errTag))
	}
	p = r.generalCiphered()
	if err := r.err(); err != nil {
		return GeneralCiphered{}, 0, err
	}
	return p, r.Offset(), nil
}

func (r *reader) generalCiphered() GeneralCiphered {
	return GeneralCiphered{
		Dedicated:   r.Uint8("tag") == TagGeneralDedCiphering,
		SystemTitle: r.octets("system-title"),
		Contents:    r.octets("ciphered-content"),
	}
}

// AppendBinary appends the encoding. It never fails.
func (p GeneralCiphered) AppendBinary(dst []byte) ([]byte, error) {
	tag := byte(TagGeneralGloCiphering)
	if p.Dedicated {
		tag = TagGeneralDedCiphering
	}
	return appendOctets(appendOctets(append(dst, tag), p.SystemTitle), p.Contents), nil
}

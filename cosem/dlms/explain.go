package dlms

import (
	"encoding/hex"
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/security"
)

// Explain calls note for each field of an APDU, in wire order, as
// [apdu.Explain] does. Where it is ciphered or signed, the fields of the
// protection follow, and with the keys of sec, which may be nil, what it
// protects: one level deeper, at the offsets of the octets from which each field
// was deciphered. It returns the error at which reading or deciphering broke.
func Explain(sec *Security, b []byte, note apdu.Note) error {
	o, err := NewOpener(sec)
	if err != nil {
		return err
	}
	return (&explainer{opener: o, note: note}).explain(b, 0, 0)
}

type explainer struct {
	opener *Opener
	note   apdu.Note
}

// at shifts notes to where their octets lie in the whole, and how deep.
func (e *explainer) at(offset, depth int) apdu.Note {
	return func(off, length, d int, field, meaning string) { e.note(offset+off, length, depth+d, field, meaning) }
}

func (e *explainer) explain(b []byte, offset, depth int) error {
	if err := apdu.Explain(b, e.at(offset, depth)); err != nil {
		return err
	}
	if len(b) == 0 || !isProtected(b[0]) || depth > 3 {
		return nil
	}
	p, err := parse(b)
	if err != nil {
		return err
	}
	start, plainLen := e.protection(p, b, offset, depth+1)
	inner, err := e.opener.layer(b)
	if err != nil {
		return err
	}
	inner = append([]byte(nil), inner...)
	if len(inner) != plainLen {
		return fmt.Errorf("dlms: %d octets of plaintext, want %d: %w", len(inner), plainLen, errProtocol)
	}
	return e.explain(inner, offset+start, depth+1)
}

// protection notes the fields of a protection, and returns where what it
// protects starts in b and how long that is.
func (e *explainer) protection(p apdu.PDU, b []byte, offset, depth int) (start, n int) {
	var contents []byte
	switch p := p.(type) {
	case apdu.GeneralSigning:
		tail := len(cosem.AppendLength(nil, len(p.Signature))) + len(p.Signature)
		return len(b) - tail - len(p.Contents), len(p.Contents)
	case apdu.Ciphered:
		contents = p.Contents
	case apdu.GeneralCiphered:
		contents = p.Contents
	case apdu.GeneralCiphering:
		contents = p.Contents
	}
	c, err := security.ParseContents(contents)
	if err != nil {
		return 0, 0
	}
	at := len(b) - len(contents)
	e.note(offset+at, 1, depth, "security-control", c.Control.String())
	e.note(offset+at+1, 4, depth, "invocation-counter", fmt.Sprint(c.Counter))
	n = len(c.Text)
	if c.Control&security.Authenticated != 0 && n >= 12 {
		n -= 12
		e.note(offset+len(b)-12, 12, depth, "authentication-tag", hex.EncodeToString(c.Text[n:]))
	}
	return at + 5, n
}

package dlms

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/cosem/wrapper"
)

// Note is called for a field: where it lies, how deeply it is nested, its name,
// what it means and its octets. What was joined or deciphered is in memory of its
// own: the offsets of its fields count from its start, of which a note tells.
type Note = func(offset, length, depth int, field, meaning string, octets []byte)

// Explainer tells every field of what meters and their clients send: frames,
// segments and blocks that are joined, protections and what they held. It reads
// as a [Receiver] does.
type Explainer struct{ r *Receiver }

// NewExplainer returns an explainer that knows what cfg does.
func NewExplainer(cfg *ReceiverConfig) *Explainer { return &Explainer{NewReceiver(cfg)} }

// Explain calls note for each field of the frame at the start of b and of the
// message that it completes, and returns how many octets the frame has. An error
// that wraps [io.ErrUnexpectedEOF] means that b does not hold all of it, and
// nothing was noted of what it carries; with any other one n octets are to be
// skipped.
func (e *Explainer) Explain(b []byte, note Note) (n int, err error) {
	if len(b) == 0 {
		return 0, &hdlc.ParseError{Field: "flag", Err: io.ErrUnexpectedEOF}
	}
	if e.r.link == LinkAuto {
		e.r.link = LinkHDLC
		if b[0] == 0 {
			e.r.link = LinkWrapper
		}
	}
	if e.r.link == LinkWrapper {
		return e.wrapper(b, note)
	}
	return e.hdlc(b, note)
}

// APDU explains one whole APDU that another carrier brought.
func (e *Explainer) APDU(b []byte, note Note) error {
	x := &explainer{note: note}
	if isLLC(b) {
		note(0, 3, 0, "LLC", "", b[:3])
		x.offset, b = 3, b[3:]
	}
	return x.run(e.r, func() (*Message, error) { return e.r.APDU(b) })
}

func (e *Explainer) wrapper(b []byte, note Note) (n int, err error) {
	f, n, err := wrapper.Parse(b)
	x := &explainer{note: note, depth: 1, offset: n - len(f.APDU)}
	_ = wrapper.Explain(b, func(off, length, depth int, field, meaning string) {
		if field != "APDU" {
			note(off, length, depth, field, meaning, b[off:off+length])
		}
	})
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return 0, err
	case err != nil:
		return len(b), err
	}
	return n, x.run(e.r, func() (*Message, error) { return e.r.wrapped(f) })
}

func (e *Explainer) hdlc(b []byte, note Note) (n int, err error) {
	fill := 0
	for fill+1 < len(b) && b[fill] == 0x7E && b[fill+1] == 0x7E {
		fill++
	}
	if fill > 0 {
		note(0, fill, 0, "flag", "between frames", b[:fill])
	}
	f, n, err := hdlc.Parse(b[fill:])
	x := &explainer{note: note, depth: 1}
	_ = hdlc.Explain(b[fill:], func(off, length, depth int, field, meaning string) {
		if off += fill; field != "information" || err != nil {
			note(off, length, depth, field, meaning, b[off:off+length])
			return
		}
		x.offset, x.info = off, f.Info
		switch {
		case !f.Control.IsInformation() && f.Control.Kind() != hdlc.UI:
			note(off, length, depth, "parameters", parameters(f.Info), f.Info)
		case f.Segmented:
			note(off, length, depth, field, "a segment", f.Info)
		}
		err = x.run(e.r, func() (*Message, error) { return e.r.frame(f) })
	})
	if n == 0 {
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			n = len(b)
			for i := fill + 1; i < len(b); i++ {
				if b[i] == 0x7E {
					n = i
					break
				}
			}
		}
		return n, err
	}
	if len(f.Info) == 0 {
		_, err = e.r.frame(f)
	}
	n += fill
	if n < len(b) && b[n]&0xF0 == 0xA0 {
		n-- // the closing flag opens the next frame
	}
	return n, err
}

func parameters(info []byte) string {
	p, err := hdlc.ParseParameters(info)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("information %d/%d octets, window %d/%d (send/receive)", p.MaxInfoSend, p.MaxInfoReceive, p.WindowSend, p.WindowReceive)
}

// explainer is told by a receiver what it reads. A nil one does nothing.
type explainer struct {
	note   Note
	offset int // of what is read next
	depth  int
	info   []byte // of the frame
}

func (x *explainer) run(r *Receiver, read func() (*Message, error)) error {
	r.explain = x
	defer func() { r.explain = nil }()
	_, err := read()
	return skipped(err)
}

// reassembled is told of the information of the frame that completes a PDU.
func (x *explainer) reassembled(pdu []byte, joined bool, llc int) {
	if x == nil {
		return
	}
	if joined {
		x.note(x.offset, len(x.info), 0, "information", "the last segment", x.info)
		x.joined("reassembled PDU", pdu)
	}
	if llc > 0 {
		x.note(x.offset, llc, x.depth, "LLC", "", pdu[:llc])
		x.offset += llc
	}
}

// joined is told of what pieces make up together.
func (x *explainer) joined(field string, whole []byte) {
	if x == nil {
		return
	}
	x.note(0, len(whole), x.depth, field, fmt.Sprintf("%d octets; the offsets of its fields count from its start", len(whole)), whole)
	x.offset = 0
	x.depth++
}

// pdu is told of an APDU before it is read.
func (x *explainer) pdu(b []byte) {
	if x != nil {
		_ = apdu.Explain(b, func(off, length, depth int, field, meaning string) {
			x.note(x.offset+off, length, x.depth+depth, field, meaning, b[off:off+length])
		})
	}
}

// inside is told that the APDU to be read next lies behind n octets of the one before.
func (x *explainer) inside(n int) {
	if x != nil {
		x.offset += n
		x.depth++
	}
}

// sealed is told of an APDU that is protected.
func (x *explainer) sealed(b []byte, s *sealed) {
	if x == nil {
		return
	}
	x.pdu(b)
	if s.signing != nil {
		return
	}
	at := len(b) - len(s.contents)
	field := func(off, n int, name, meaning string) {
		x.note(x.offset+off, n, x.depth+1, name, meaning, b[off:off+n])
	}
	field(at, 1, "security-control", s.layer.Control.String())
	field(at+1, 4, "invocation-counter", fmt.Sprint(s.layer.Counter))
	if tag := len(b) - 12; s.layer.Control&security.Authenticated != 0 && tag >= at+5 {
		field(tag, 12, "authentication-tag", hex.EncodeToString(b[tag:]))
	}
}

var trustWords = [...]string{
	security.Plain: "not protected", security.Unsigned: "no tag", security.Unverified: "not checked", security.Verified: "verified",
}

// opened is told of what a protection held.
func (x *explainer) opened(plain []byte, l *Layer) {
	if x == nil {
		return
	}
	x.note(0, len(plain), x.depth, "deciphered", fmt.Sprintf("%d octets, %s; the offsets of the fields count from their start",
		len(plain), trustWords[l.Trust]), plain)
	x.offset = 0
	x.depth++
}

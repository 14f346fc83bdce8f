package meter

import (
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/cosem/wrapper"
	"github.com/openusm/meter/iec62056/p1"
)

// dlms explains the frames of a capture.
func (e *explainer) dlms() error {
	if isWrapper(e.b) {
		return e.wrapper()
	}
	return e.hdlc()
}

func (e *explainer) wrapper() error {
	for at := 0; at < len(e.b); {
		part := e.b[at:]
		f, n, err := wrapper.Parse(part)
		note := e.at(part, at, 0)
		inner := wrapper.Explain(part, func(off, length, depth int, field, meaning string) {
			if field != "APDU" {
				note(off, length, depth, field, meaning)
			}
		})
		if err := errors.Join(err, inner); err != nil {
			return err
		}
		if err := e.apdu(f.APDU, at+n-len(f.APDU), 1); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// hdlc explains frames; a PDU that came in segments is explained behind its last one.
func (e *explainer) hdlc() error {
	segments := map[[2]hdlc.Address][]byte{}
	for at := 0; at < len(e.b); {
		part := e.b[at:]
		if len(part) == 1 && part[0] == 0x7E {
			return nil // the closing flag of the frame before, sent again
		}
		f, n, err := hdlc.Parse(part)
		note := e.at(part, at, 0)
		inner := hdlc.Explain(part, func(off, length, depth int, field, meaning string) {
			if field != "information" || f.Segmented {
				note(off, length, depth, field, meaning)
				return
			}
			err = e.information(segments, f, at+off)
		})
		if err := errors.Join(err, inner); err != nil {
			return err
		}
		if f.Segmented {
			way := [2]hdlc.Address{f.Destination, f.Source}
			segments[way] = append(segments[way], f.Info...)
		}
		at += n
	}
	return nil
}

// information explains the information of the frame that completes a PDU.
func (e *explainer) information(segments map[[2]hdlc.Address][]byte, f hdlc.Frame, offset int) error {
	if !f.Control.IsInformation() && f.Control.Kind() != hdlc.UI {
		e.note(Note{Offset: offset, Octets: f.Info, Field: "parameters", Meaning: parameters(f.Info)})
		return nil
	}
	way := [2]hdlc.Address{f.Destination, f.Source}
	pdu := f.Info
	if before := segments[way]; len(before) > 0 {
		delete(segments, way)
		e.note(Note{Offset: offset, Octets: f.Info, Field: "information", Meaning: "the last segment"})
		pdu = append(before, f.Info...)
		e.note(Note{Octets: pdu, Field: "reassembled PDU", Meaning: fmt.Sprintf("%d octets; the offsets of its fields count from its start", len(pdu))})
		offset = 0
	}
	body := withoutLLC(pdu)
	if llc := len(pdu) - len(body); llc > 0 {
		e.note(Note{Offset: offset, Octets: pdu[:llc], Depth: 1, Field: "LLC"})
		offset += llc
	}
	err := e.apdu(body, offset, 1)
	if err != nil && len(body) == len(pdu) && f.Control.IsInformation() {
		e.note(Note{Offset: offset, Octets: pdu, Depth: 1, Field: "segment", Meaning: "its beginning is not in the capture"})
		return nil
	}
	return err
}

func parameters(info []byte) string {
	p, err := hdlc.ParseParameters(info)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("information %d/%d octets, window %d/%d (send/receive)", p.MaxInfoSend, p.MaxInfoReceive, p.WindowSend, p.WindowReceive)
}

// apdu explains one PDU and, with the key, what it protects.
func (e *explainer) apdu(b []byte, offset, depth int) error {
	if len(b) == 0 {
		return io.ErrUnexpectedEOF
	}
	if err := apdu.Explain(b, e.at(b, offset, depth)); err != nil {
		return err
	}
	p, n, err := apdu.Parse(b)
	if err != nil {
		return err
	}
	if e.titles == nil {
		e.titles = &dlmsDecoder{cfg: e.cfg, result: &Result{}}
	}
	switch p := p.(type) {
	case apdu.AARQ:
		e.titles.clientTitle = p.CallingAPTitle
	case apdu.AARE:
		e.titles.serverTitle = p.RespondingAPTitle
	case apdu.Ciphered, apdu.GeneralCiphered, apdu.GeneralCiphering, apdu.GeneralSigning:
		return e.protected(b[:n], p, depth)
	case apdu.GeneralBlockTransfer:
		return e.titles.gather(p.Data, p.Last, func(whole []byte) error {
			e.note(Note{Octets: whole, Depth: depth, Field: "joined blocks", Meaning: fmt.Sprintf("%d octets; the offsets of the fields count from their start", len(whole))})
			return e.apdu(whole, 0, depth+1)
		})
	}
	return nil
}

// protected explains what a PDU protects.
func (e *explainer) protected(b []byte, p apdu.PDU, depth int) error {
	plain, layers, err := e.titles.open(b, p)
	if err != nil {
		return err
	}
	l := layers[len(layers)-1]
	e.note(Note{Octets: plain, Depth: depth, Field: "deciphered", Meaning: fmt.Sprintf(
		"%d octets, %s, %s; the offsets of the fields count from their start", len(plain), l.Control, trustWords[l.Trust])})
	if len(plain) > 0 && plain[0] == '/' {
		return e.each(plain, depth+1, p1.Explain, p1.ExplainCut)
	}
	if err := e.apdu(plain, 0, depth+1); err != nil {
		if l.Trust == security.Verified {
			return err
		}
		return fmt.Errorf("%w: %w: %w", ErrAuth, dlms.ErrWrongKey, err)
	}
	return nil
}

var trustWords = map[security.Trust]string{
	security.Plain: "not protected", security.Unsigned: "no tag", security.Unverified: "tag not checked", security.Verified: "tag right",
}

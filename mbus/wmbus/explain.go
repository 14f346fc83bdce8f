package wmbus

import (
	"fmt"

	"github.com/openusm/meter/mbus"
)

// Explain calls note for each field of the first telegram in b, in wire order,
// as far as it can be read, and returns how many octets it took, and the error
// where it broke. Where n is 0 the link layer could not be read and nothing was
// noted; an error that wraps [io.ErrUnexpectedEOF] then asks for more octets. A
// field that a CRC divides is noted in parts. Of encrypted fields the plain text
// is noted.
func (d *Decoder) Explain(b []byte, note mbus.Note) (n int, err error) {
	t, err := d.Parse(b)
	if len(t.Frame.Payload) == 0 && t.Frame.C == 0 { // the link layer could not be read
		return 0, err
	}
	_, _, n, _ = Detect(b)
	x := explainer{format: t.Format, sync: t.sync, end: headerLen + len(t.Frame.Payload), note: note}
	if x.sync > 0 {
		note(0, x.sync, 0, "sync word", "mode C, format "+t.Format.String())
	}
	x.header(&t.Frame, b[x.sync])
	at := x.ell(&t)
	at = x.afl(&t, at)
	switch {
	case at >= x.end:
	case d.inner.at == at:
		explained := d.Decoder.Explain(d.inner.octets, d.inner.lower, func(offset, length, depth int, field, meaning string) {
			x.field(at+offset, length, depth+1, field, meaning)
			x.last = at + offset + length
		})
		if x.last < x.end && explained != nil {
			x.field(x.last, x.end-x.last, 1, "rest", "cannot be read")
		}
		if err == nil && t.Broken != nil {
			err = t.Broken
		}
	case t.AFL.Fragment() > 0:
		x.field(at, x.end-at, 1, "fragment", fmt.Sprintf("number %d", t.AFL.Fragment()))
	default:
		x.field(at, x.end-at, 1, "payload", meaningOf(err))
	}
	x.closingCRC()
	return n, err
}

func meaningOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// explainer notes fields of the frame without CRCs at their places in the frame
// as it came.
type explainer struct {
	format Format
	sync   int
	end    int // of the frame without CRCs
	last   int // where the last inner field ended
	crcs   int // how many CRCs were noted
	note   mbus.Note
}

// field notes a field, in parts where a CRC divides it.
func (x *explainer) field(at, length, depth int, field, meaning string) {
	for length > 0 {
		x.crcBefore(at)
		part := min(length, x.block(at)-at)
		x.note(raw(x.format, at)+x.sync, part, depth, field, meaning)
		at, length = at+part, length-part
		meaning = "continued"
	}
}

// block returns where the block ends in which an octet stands.
func (x *explainer) block(at int) int {
	switch {
	case x.format == FormatA && at < headerLen:
		return headerLen
	case x.format == FormatA:
		return headerLen + ((at-headerLen)/blockLen+1)*blockLen
	case x.format == FormatB && at < firstPartB:
		return firstPartB
	}
	return x.end
}

// crcBefore notes the CRC in front of an octet that begins a block.
func (x *explainer) crcBefore(at int) {
	if n := (raw(x.format, at) - at) / crcLen; n > x.crcs {
		x.crcs = n
		x.note(raw(x.format, at)-crcLen+x.sync, crcLen, 0, "CRC", "correct")
	}
}

func (x *explainer) closingCRC() {
	if x.format != Bare {
		x.note(raw(x.format, x.end-1)+1+x.sync, crcLen, 0, "CRC", "correct")
	}
}

func (x *explainer) header(f *Frame, l byte) {
	x.field(0, 1, 0, "L", fmt.Sprintf("%d octets", l))
	x.field(1, 1, 0, "C", f.C.String())
	x.address(2, f.Address, 0)
}

// address notes an address in the order of the link layer.
func (x *explainer) address(at int, a mbus.Address, depth int) {
	x.field(at, 2, depth, "manufacturer", a.Manufacturer.String())
	x.field(at+2, 4, depth, "ID", fmt.Sprintf("%08X", a.ID))
	x.field(at+6, 1, depth, "version", fmt.Sprint(a.Version))
	x.field(at+7, 1, depth, "device type", a.Type.String())
}

// ell notes the extended link layer and returns where it ends.
func (x *explainer) ell(t *Telegram) int {
	at := headerLen
	e := &t.ELL
	if e.CI == 0 {
		return at
	}
	x.field(at, 1, 1, "CI", mbus.CI(e.CI).String())
	x.field(at+1, 1, 1, "communication control", fmt.Sprintf("0x%02x", e.Control))
	x.field(at+2, 1, 1, "access number", fmt.Sprint(e.Access))
	at += 3
	if e.CI >= 0x8E {
		x.address(at, e.Receiver, 1)
		at += 8
	}
	if !e.secured() {
		return at
	}
	x.field(at, 4, 1, "session number", fmt.Sprintf("0x%08x, encryption %d", e.Session, e.Encryption()))
	if !e.Verified {
		return at + 4
	}
	x.field(at+4, crcLen, 1, "CRC of the payload", "correct")
	return at + 4 + crcLen
}

// afl notes the authentication and fragmentation layer and returns where it ends.
func (x *explainer) afl(t *Telegram, at int) int {
	a := &t.AFL
	if a.size == 0 {
		return at
	}
	first := at
	next := func(n int, field, meaning string) {
		x.field(at, n, 1, field, meaning)
		at += n
	}
	next(1, "CI", mbus.CI(0x90).String())
	next(1, "length", fmt.Sprintf("%d octets", a.size-2))
	next(2, "FCL", fmt.Sprintf("0x%04x, fragment %d", a.fragment, a.Fragment()))
	if a.fragment&fclMessage != 0 {
		next(1, "MCL", fmt.Sprintf("0x%02x", a.Message))
	}
	if a.fragment&fclKeyInfo != 0 {
		next(2, "KI", fmt.Sprintf("0x%04x", a.KeyInfo))
	}
	if a.fragment&fclCounter != 0 {
		next(4, "MCR", fmt.Sprint(a.Counter))
	}
	if a.fragment&fclMAC != 0 {
		next(a.macLen, "MAC", macText(t))
	}
	if a.fragment&fclLength != 0 {
		next(2, "ML", fmt.Sprintf("%d octets", a.Length))
	}
	if rest := first + a.size - at; rest > 0 {
		next(rest, "rest of the AFL", "")
	}
	return at
}

func macText(t *Telegram) string {
	switch {
	case t.Security.Verified:
		return "correct"
	case t.Security.Unverified:
		return "not checked: no key, or of a kind that is not known"
	}
	return "not checked"
}

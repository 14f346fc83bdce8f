package wmbus

import (
	"errors"

	"github.com/openusm/meter/mbus"
)

// Telegram is a telegram with all its layers. It aliases the input, and the
// memory of the [Decoder] that read it.
type Telegram struct {
	mbus.Telegram        // the layers from the transport layer on
	Format        Format // how the frame came
	Frame         Frame
	ELL           ELL
	AFL           AFL
	sync          int // octets of the sync word in front
}

// Decoder reads telegrams. It is not safe for use by several goroutines. The
// zero Decoder has no keys.
type Decoder struct {
	mbus.Decoder // keys and formats; AppendReadings

	frame     []byte // octets without CRC
	plain     []byte // of the ELL
	fragments fragments
	afl       AFL   // of the last telegram, for its code
	inner     inner // of the last telegram
}

// Parse reads a telegram of a format that it finds out. It fails where a layer
// cannot be read; with an [*mbus.SecurityError] the telegram has what could be
// read, and [ErrFragment] means that more telegrams are needed.
func (d *Decoder) Parse(b []byte) (t Telegram, err error) {
	if t.Frame, t.Format, _, err = detect(d.buffer(), b); err != nil {
		return Telegram{}, err
	}
	t.sync = syncLen(b)
	err = d.layers(&t)
	if t.Format == Bare && !t.Security.Verified && !t.ELL.Verified && damagedB(b) {
		t.Security.Ambiguous = true
	}
	return t, err
}

// ParseFormat reads a telegram of a known format.
func (d *Decoder) ParseFormat(b []byte, format Format) (t Telegram, err error) {
	t.Format = format
	if t.Frame, _, err = parse(d.buffer(), b, format); err != nil {
		return Telegram{}, err
	}
	return t, d.layers(&t)
}

// syncLen is the length of the sync word of mode C at the start of b.
func syncLen(b []byte) int {
	if len(b) >= 2 && b[0] == syncC && (b[1] == syncCA || b[1] == syncCB) {
		return 2
	}
	return 0
}

func (d *Decoder) buffer() []byte {
	if d.frame == nil {
		d.frame, d.plain = make([]byte, 0, 256), make([]byte, 0, 256) // L is one octet
	}
	return d.frame[:0]
}

// layers reads the payload of the frame.
func (d *Decoder) layers(t *Telegram) error {
	err := d.unwrap(t)
	if err == nil {
		t.Telegram, err = d.Decoder.Parse(d.inner.octets, d.inner.lower)
		t.Broken = t.rawOffset(shift(t.Broken, d.inner.at))
	}
	return t.rawOffset(shift(err, d.inner.at))
}

// inner is what the layers of radio carry.
type inner struct {
	octets []byte // from the CI field of the transport or application layer on
	at     int    // where it stands in the frame without CRCs; -1 if it was put together of fragments
	lower  mbus.Lower
}

// unwrap reads the extended link layer and the AFL, if there are such.
func (d *Decoder) unwrap(t *Telegram) error {
	d.inner = inner{octets: t.Frame.Payload, at: headerLen, lower: mbus.Lower{Radio: true, Address: t.Frame.Address}}
	in := &d.inner
	if len(in.octets) > 0 && 0x8C <= in.octets[0] && in.octets[0] <= 0x8F {
		var n int
		var err error
		if t.ELL, n, err = parseELL(in.octets); err != nil {
			return err
		}
		in.octets, in.at = in.octets[n:], in.at+n
		if t.ELL.secured() {
			plain, err := t.ELL.open(d.plain[:0], in.octets, t.Frame.Address, &d.Decoder)
			if err != nil {
				t.Header.Address, t.Payload = t.Frame.Address, in.octets
				return err
			}
			in.octets, in.at = plain, in.at+crcLen
			in.lower.Deciphered = t.ELL.Deciphered
		}
	}
	if len(in.octets) == 0 || in.octets[0] != 0x90 {
		return nil
	}
	var err error
	if t.AFL, err = parseAFL(in.octets); err != nil {
		return err
	}
	rest := in.octets[t.AFL.size:]
	if t.AFL.Fragment() > 0 {
		t.Header.Address = t.Frame.Address
		if rest, err = d.fragments.add(t.Frame.Address, &t.AFL, rest); err != nil {
			return err
		}
		in.at = -1
	} else {
		in.at += t.AFL.size
	}
	in.octets = rest
	in.lower.Counter, in.lower.Counted = t.AFL.Counter, t.AFL.Control&fclCounter != 0
	if t.AFL.MAC != nil {
		d.afl = t.AFL
		in.lower.MAC = &d.afl
	}
	return nil
}

// shift adds to the offset of an error that counts from another place. Errors in
// a message of several fragments keep theirs.
func shift(err error, by int) error {
	if err == nil || by < 0 {
		return err
	}
	var own *ParseError
	var app *mbus.ParseError
	switch {
	case errors.As(err, &own):
		own.Offset += by
	case errors.As(err, &app):
		app.Offset += by
	}
	return err
}

// rawOffset makes an offset in the frame without CRCs one in the frame as it came.
func (t *Telegram) rawOffset(err error) error {
	if err == nil {
		return nil
	}
	var own *ParseError
	var app *mbus.ParseError
	switch {
	case errors.As(err, &own):
		own.Offset = raw(t.Format, own.Offset) + t.sync
	case errors.As(err, &app):
		app.Offset = raw(t.Format, app.Offset) + t.sync
	}
	return err
}

// raw returns where an octet of the frame without CRCs stands in one of a format.
func raw(format Format, at int) int {
	switch {
	case format == FormatA && at >= headerLen:
		return at + crcLen*(1+(at-headerLen)/blockLen)
	case format == FormatB && at >= firstPartB:
		return at + crcLen
	}
	return at
}

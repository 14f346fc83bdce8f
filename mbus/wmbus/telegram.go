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
}

// Decoder reads telegrams. It is not safe for use by several goroutines. The
// zero Decoder has no keys.
type Decoder struct {
	mbus.Decoder // keys and formats; AppendReadings

	frame     []byte // octets without CRC
	plain     []byte // of the ELL
	fragments fragments
}

// Parse reads a telegram of a format that it finds out. It fails where a layer
// cannot be read; with an [*mbus.SecurityError] the telegram has what could be
// read, and [ErrFragment] means that more telegrams are needed.
func (d *Decoder) Parse(b []byte) (t Telegram, err error) {
	if t.Frame, t.Format, _, err = detect(d.buffer(), b); err != nil {
		return Telegram{}, err
	}
	return t, d.layers(&t)
}

// ParseFormat reads a telegram of a known format.
func (d *Decoder) ParseFormat(b []byte, format Format) (t Telegram, err error) {
	t.Format = format
	if t.Frame, _, err = parse(d.buffer(), b, format); err != nil {
		return Telegram{}, err
	}
	return t, d.layers(&t)
}

func (d *Decoder) buffer() []byte {
	if d.frame == nil {
		d.frame, d.plain = make([]byte, 0, 256), make([]byte, 0, 256) // L is one octet
	}
	return d.frame[:0]
}

// layers reads the payload of the frame.
func (d *Decoder) layers(t *Telegram) error {
	rest := t.Frame.Payload
	lower := mbus.Lower{Radio: true, Address: t.Frame.Address}
	if len(rest) > 0 && 0x8C <= rest[0] && rest[0] <= 0x8F {
		var n int
		var err error
		if t.ELL, n, err = parseELL(rest); err != nil {
			return err
		}
		rest = rest[n:]
		if t.ELL.secured() {
			plain, err := t.ELL.open(d.plain[:0], rest, t.Frame.Address, d.Keys)
			if err != nil {
				t.Header.Address, t.Payload = t.Frame.Address, rest
				return err
			}
			rest = plain
		}
	}
	if len(rest) > 0 && rest[0] == 0x90 {
		var err error
		if t.AFL, err = parseAFL(rest); err != nil {
			return err
		}
		rest = rest[t.AFL.afterwards:]
		if t.AFL.Fragment() > 0 {
			if rest, err = d.fragments.add(t.Frame.Address, &t.AFL, rest); err != nil {
				t.Header.Address = t.Frame.Address
				return err
			}
		}
		lower.Counter, lower.Counted = t.AFL.Counter, t.AFL.Control&fclCounter != 0
	}
	var err error
	t.Telegram, err = d.Decoder.Parse(rest, lower)
	if t.AFL.present() && t.AFL.MAC != nil {
		err = d.authenticate(t, rest, err)
	}
	return err
}

// authenticate checks the MAC of the AFL. Where it is wrong, a plain text that
// could be read tells a wrong MAC from a wrong key.
func (d *Decoder) authenticate(t *Telegram, message []byte, parsed error) error {
	fail := func(err error) error {
		return &mbus.SecurityError{Address: t.Header.Address, Layer: "AFL", Mode: t.Security.Mode, Err: err}
	}
	if parsed != nil {
		return parsed
	}
	var key *mbus.Key
	if d.Keys != nil {
		key = d.Keys(t.Header.Address)
	}
	if key == nil {
		t.Security.Unverified = true // readable, but not proved
		return nil
	}
	ok, err := t.AFL.verify(message, key, t.Header.Address.ID)
	switch {
	case errors.Is(err, mbus.ErrUnsupported):
		t.Security.Unverified = true
		return nil
	case err != nil:
		return err
	case !ok:
		return fail(mbus.ErrBadMAC)
	}
	t.Security.Verified = true
	return nil
}

package meter

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"

	"github.com/openusm/meter/driver"
	"github.com/openusm/meter/mbus/wmbus"
	"github.com/openusm/meter/obis"
)

// Decode decodes the messages in b, one after the other, to one result. It
// finds out the protocol where cfg does not name it. What could be decoded is
// returned even beside an error that wraps [ErrPartial]. A result is of one meter:
// the messages of others are left out, which is such an error; see [DecodeMeters].
func Decode(b []byte, cfg *Config) (*Result, error) {
	return once(b, cfg, (*Decoder).Decode)
}

// DecodeMeters is [Decode] for a capture of several meters: a result for each, in the
// order in which they first said who they are. A message that does not say is of the
// meter before it, and a conversation of DLMS or C12 is with one meter.
func DecodeMeters(b []byte, cfg *Config) ([]*Result, error) {
	d := NewDecoder(cfg)
	r, err := d.decode(b)
	if r == nil {
		return nil, err
	}
	return append([]*Result{r}, d.others...), err
}

// maxPooled is how long a capture may be whose decoder's memory is kept.
const maxPooled = 1 << 16

// pool has decoders whose readers know no key, and remember nothing of what they decoded.
var pool = sync.Pool{New: func() any { return NewDecoder(nil) }}

// once decodes with a decoder of its own, or seems to: the result has its own memory.
func once(b []byte, cfg *Config, decode func(*Decoder, []byte) (*Result, error)) (*Result, error) {
	if len(b) > maxPooled || cfg != nil && !keyless(cfg) {
		return decode(NewDecoder(cfg), b)
	}
	d := pool.Get().(*Decoder)
	*d.cfg = Config{}
	if cfg != nil {
		*d.cfg = *cfg
	}
	r, err := decode(d, b)
	if err != nil {
		return r, err
	}
	r = r.Detach()
	d.readers = slices.DeleteFunc(d.readers, remembers)
	pool.Put(d)
	return r, nil
}

// keyless reports whether the drivers of a configuration are ours, and have nothing to open
// messages with.
func keyless(cfg *Config) bool {
	return reflect.ValueOf(&cfg.Keys).Elem().IsZero() && len(cfg.AcceptUnprotected)+len(cfg.Drivers) == 0
}

// remembers reports whether a reader may have learnt from a capture what it would
// use for the next.
func remembers(known reader) bool {
	f, ok := known.Reader.(driver.Forgetter)
	return !ok || !f.Forgot()
}

// Decoder decodes captures one after the other, and uses its memory again. It
// is not safe for concurrent use.
//
// [Decoder.Decode] takes a capture as a whole; Feed, End and Next take one that
// is too long for that, message by message.
type Decoder struct {
	cfg     *Config
	readers []reader // by driver, made when they are first needed
	result  Result
	part    Result
	others  []*Result // of the other meters of a capture
	octets  []byte    // of a line

	reader Reader // of what is fed
}

type reader struct {
	driver *Driver
	Reader
}

// NewDecoder returns a decoder; cfg may be nil.
func NewDecoder(cfg *Config) *Decoder { return &Decoder{cfg: driver.Prepared(cfg, false)} }

// Decode is [Decode], whose result is valid until the next use of d.
func (d *Decoder) Decode(b []byte) (*Result, error) {
	r, err := d.decode(b)
	for _, other := range d.others {
		r.Warn("messages of another meter, %s, are left out", other.Meter.ID)
	}
	if n := len(d.others); n > 0 {
		err = errors.Join(err, fmt.Errorf("meter: %w: messages of %d other meters", ErrPartial, n))
	}
	return r, err
}

// decode decodes a capture, whose other meters are then in d.others.
func (d *Decoder) decode(b []byte) (*Result, error) {
	d.others = nil
	if len(b) == 0 {
		return nil, fmt.Errorf("meter: %w: no octets", ErrFrame)
	}
	driver, err := driver.Detect(d.cfg, b)
	if err != nil {
		return nil, err
	}
	r, err := d.open(driver)
	if err != nil {
		return nil, err
	}
	d.result.Reset()
	d.result.Clock = d.cfg.Clock
	r.Feed(b)
	r.End()
	return d.gather(r)
}

// open returns a reader for a capture that begins.
func (d *Decoder) open(driver *Driver) (Reader, error) {
	if driver.Reader == nil {
		return nil, fmt.Errorf("meter: decode %s: %w", driver.Protocol, ErrNotSupported)
	}
	for _, known := range d.readers {
		if known.driver == driver {
			return known.Reader, nil
		}
	}
	r, err := driver.Reader(d.cfg)
	if err != nil {
		return nil, err
	}
	d.readers = append(d.readers, reader{driver, r})
	return r, nil
}

// gather joins the messages of a capture: all that was decoded, with an error
// for what was not.
func (d *Decoder) gather(r Reader) (*Result, error) {
	all := &d.result
	last := all              // that of the meter of the last message
	var partial, first error // what was decoded in part; the first of which nothing was
	for decoded := 0; ; {
		into := all
		if decoded > 0 {
			into = &d.part
			into.Reset()
		}
		err := r.Next(into)
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return gathered(all, decoded, partial, first)
		case err == nil, errors.Is(err, ErrPartial):
			partial = errors.Join(partial, err)
			if decoded++; decoded > 1 {
				last = d.resultOf(into, last)
				last.Add(into.Clone())
			} else if r.Pending() > 0 {
				*all = *all.Clone()
			}
		default:
			if first == nil {
				first = err
			}
			if decoded == 0 {
				all.Reset()
				all.Clock = d.cfg.Clock
				continue
			}
			last.Warn("%v", err)
		}
	}
}

// resultOf returns the result of the meter of a message, the last one where it does not say.
// The answers of a conversation (DLMS, C12) each know another part of an identity: it is of
// one meter.
func (d *Decoder) resultOf(message, last *Result) *Result {
	m := &message.Meter
	switch message.Protocol {
	case DLMS, APDU, C1218, C1222:
		return last
	}
	if m.ID == "" || last.Meter.ID == "" || sameMeter(m, &last.Meter) {
		return last
	}
	if sameMeter(m, &d.result.Meter) {
		return &d.result
	}
	for _, r := range d.others {
		if sameMeter(m, &r.Meter) {
			return r
		}
	}
	r := &Result{Clock: d.cfg.Clock}
	d.others = append(d.others, r)
	return r
}

// sameMeter reports whether two identities are of one meter, of which one may know more.
func sameMeter(a, b *obis.Meter) bool {
	return a.ID == b.ID || a.Serial == b.Serial && a.Serial != "" && (a.Manufacturer == b.Manufacturer || a.Manufacturer == "" || b.Manufacturer == "")
}

// gathered returns what there is of a capture, with an error for what there is not.
func gathered(r *Result, decoded int, partial, first error) (*Result, error) {
	empty := len(r.Readings)+len(r.Profiles)+len(r.Events) == 0
	switch {
	case decoded == 0 && first == nil:
		return nil, fmt.Errorf("meter: %w: no message", ErrFrame)
	case decoded == 0, empty && (errors.Is(first, ErrAuth) || errors.Is(first, ErrMissingKey)):
		return nil, first
	case first != nil:
		return r, errors.Join(partial, fmt.Errorf("meter: %w: %w", ErrPartial, first))
	}
	return r, partial
}

// Feed adds octets of a capture that is decoded message by message. The first
// ones must be enough to tell the protocol, where the configuration does not
// name it: a few hundred octets.
func (d *Decoder) Feed(b []byte) error {
	if d.reader == nil {
		driver, err := driver.Detect(d.cfg, b)
		if err != nil {
			return err
		}
		if d.reader, err = d.open(driver); err != nil {
			return err
		}
	}
	d.reader.Feed(b)
	return nil
}

// End says that the capture has no more octets.
func (d *Decoder) End() {
	if d.reader != nil {
		d.reader.End()
	}
}

// Next returns what the next message says, valid until the next use of d. The
// error is io.ErrUnexpectedEOF where more octets are needed, and io.EOF behind
// the last message; any other one is that of one message.
func (d *Decoder) Next() (*Result, error) {
	if d.reader == nil {
		return nil, io.EOF
	}
	d.result.Reset()
	d.result.Clock = d.cfg.Clock
	err := d.reader.Next(&d.result)
	switch {
	case err == io.EOF:
		d.reader = nil
		return nil, err
	case err != nil && !errors.Is(err, ErrPartial):
		return nil, err
	}
	return &d.result, err
}

// DecodeText decodes one line of a log: the hexadecimal digits of a frame, or
// a line of a radio receiver (rtl-wmbus, CUL).
func DecodeText(line string, cfg *Config) (*Result, error) {
	return once([]byte(line), cfg, (*Decoder).DecodeText)
}

// DecodeText is [DecodeText], whose result is valid until the next use of d.
func (d *Decoder) DecodeText(line []byte) (*Result, error) {
	if b, ok := unhex(d.octets[:0], line); ok && d.cfg.Protocol != WMBus {
		d.octets = b
		return d.Decode(b)
	}
	reception, radio := wmbus.ParseLine(line)
	if radio != nil {
		return nil, fmt.Errorf("meter: %w: the line is neither hexadecimal nor that of a radio receiver", ErrFrame)
	}
	protocol := d.cfg.Protocol
	defer func() { d.cfg.Protocol = protocol }()
	d.cfg.Protocol = WMBus
	return d.Decode(reception.Frame)
}

// unhex appends the octets of hexadecimal digits, between which white space may stand.
func unhex(dst, text []byte) ([]byte, bool) {
	high, odd := byte(0), false
	for _, c := range text {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			continue
		default:
			return dst, false
		}
		if odd {
			dst = append(dst, high<<4|c)
		}
		high, odd = c, !odd
	}
	return dst, !odd && len(dst) > 0
}

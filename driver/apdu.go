package driver

import (
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/result"
)

// dlmsReader reads what meters and their clients send.
type dlmsReader struct {
	*dlms.Receiver
	cfg     *Config
	bare    []byte // an APDU that was fed and not read yet
	link    dlms.Link
	ended   bool
	port    *p1Reader // of the telegrams that ciphers hold
	sources []attributeSource
	control map[hdlc.Control]string // texts
	secured map[security.Control]string
}

func newDLMSReader(cfg *Config, link dlms.Link) (*dlmsReader, error) {
	own, err := receiverConfig(cfg, link)
	if err != nil {
		return nil, err
	}
	return &dlmsReader{
		Receiver: dlms.NewReceiver(own), cfg: cfg, link: link, control: map[hdlc.Control]string{}, secured: map[security.Control]string{},
	}, nil
}

// Feed adds octets. A bare APDU is what is fed at once.
func (r *dlmsReader) Feed(b []byte) {
	if r.link == dlms.LinkNone {
		r.bare = append(r.bare[:0], b...)
		return
	}
	r.Receiver.Feed(b)
}

func (r *dlmsReader) End()         { r.ended = true }
func (r *dlmsReader) Pending() int { return len(r.bare) + r.Receiver.Pending() + r.Gathered() }

func (r *dlmsReader) Next(into *Result) error {
	if b := r.bare; len(b) > 0 {
		r.bare = b[:0]
		return r.apdu(b, into)
	}
	m, err := r.Receiver.Next()
	switch {
	case err == nil:
		return r.message(m, into)
	case !errors.Is(err, io.ErrUnexpectedEOF):
		return r.lost(err, into)
	case !r.ended:
		return io.ErrUnexpectedEOF
	}
	r.ended = false
	if r.cfg.live { // what was begun over several datagrams may go on
		for r.Receiver.Pending() > 0 {
			r.Receiver.Skip()
		}
		return io.EOF
	}
	m, err = r.Receiver.End()
	if m == nil && err == nil {
		return io.EOF
	}
	r.ended = true
	if m != nil {
		_ = r.message(m, into)
	}
	return r.lost(err, into)
}

// lost makes a partial result of a capture of which a piece is missing.
func (r *dlmsReader) lost(err error, into *Result) error {
	if !errors.Is(err, dlms.ErrLost) || r.cfg.live {
		return dlmsError(err)
	}
	into.Protocol = DLMS
	into.Warn("%v", err)
	return fmt.Errorf("meter: %w: %w", ErrPartial, err)
}

// apdu adds what an APDU says that another carrier brought.
func (r *dlmsReader) apdu(b []byte, into *Result) error {
	m, err := r.Receiver.APDU(b)
	if err != nil {
		return r.lost(err, into)
	}
	if m == nil { // a block
		return nil
	}
	return r.message(m, into)
}

// message adds what a message says.
func (r *dlmsReader) message(m *dlms.Message, into *Result) error {
	into.Protocol = DLMS
	for i := range m.Layers {
		into.Layers = append(into.Layers, r.layer(&m.Layers[i]))
	}
	for _, err := range m.Warnings {
		into.Warn("%v", err)
	}
	if m.PDU == nil && len(m.Plain) > 0 { // a telegram of a customer port
		if r.port == nil {
			r.port = &p1Reader{}
		}
		return r.port.plain(m, into)
	}
	if into.Meter = m.Meter; into.Meter.ID == "" {
		into.Meter.ID = into.Meter.Serial // pushes seldom carry the logical device name
	}
	into.Readings, into.Profiles = append(into.Readings, m.Readings...), append(into.Profiles, m.Profiles...)
	if cap(r.sources) < len(m.Attributes) {
		r.sources = make([]attributeSource, len(m.Attributes))
	}
	r.sources = r.sources[:len(m.Attributes)]
	for i, a := range m.Attributes {
		into.Sources = append(into.Sources, r.sources[i].of(a))
	}
	return nil
}

func (r *dlmsReader) layer(l *dlms.Layer) Layer {
	out := Layer{Name: l.Name}
	if l.Name == "hdlc" {
		out.Control = remembered(r.control, l.Link)
	}
	if l.Control != 0 || l.Trust != security.Plain {
		out.Security, out.Counter, out.Counted = remembered(r.secured, l.Control), l.Counter, true
	}
	switch l.Trust {
	case security.Verified:
		out.Tag = result.TagVerified
	case security.Unverified:
		out.Tag = result.TagUnchecked
	}
	return out
}

// remembered returns the text of an octet, made once.
func remembered[T interface {
	comparable
	String() string
}](texts map[T]string, of T) string {
	text, ok := texts[of]
	if !ok {
		text = of.String()
		texts[of] = text
	}
	return text
}

// attributeSource is what DLMS knows of a reading beside the model.
type attributeSource cosem.Attribute

// of returns the source of an attribute, nil where nobody told it.
func (s *attributeSource) of(a cosem.Attribute) Source {
	if a.Class == 0 {
		return nil
	}
	*s = attributeSource(a)
	return s
}

func (s *attributeSource) AppendJSON(dst []byte) []byte {
	return (*cosem.Attribute)(s).AppendJSON(dst)
}

func (*attributeSource) Clone(list []Source) int { return len(result.Copies[*attributeSource](list)) }

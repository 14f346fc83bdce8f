package dlms

import (
	"fmt"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/security"
)

// Layer is a protection that was taken off a message.
type Layer struct {
	Name    string // of the APDU, as the standard has it: "general-glo-ciphering"
	Control security.Control
	Counter uint32         // invocation counter
	Title   security.Title // of the sender; zero where the message does not name it
	Trust   security.Trust
}

// Opener deciphers messages outside an association: captures, and what meters push.
type Opener struct {
	channel *channel
	layers  []Layer
}

// NewOpener returns an opener that knows the keys of sec; sec.Peer is the sender
// of messages that do not name it, and sec may be nil. Without sec.Counters
// messages may come in any order, and more than once.
func NewOpener(sec *Security) (*Opener, error) {
	if sec != nil && sec.Counters == nil {
		s := *sec
		s.Counters = anyCounter{}
		sec = &s
	}
	c, err := newChannel(sec)
	return &Opener{channel: c}, err
}

// anyCounter accepts every counter.
type anyCounter struct{}

func (anyCounter) Next(security.CounterID) (uint32, error) { return 0, security.ErrExhausted }
func (anyCounter) Accept(security.CounterID, uint32) error { return nil }
func (anyCounter) Reset(security.CounterID, uint32) error  { return nil }

// SetDedicated puts a dedicated key to use, for messages that are ciphered with one.
func (o *Opener) SetDedicated(key security.Key) error {
	if o.channel.sec == nil {
		return fmt.Errorf("dlms: dedicated key: %w", security.ErrNoKey)
	}
	return o.channel.setDedicated(key)
}

// Open returns the plain APDU that b carries, and the layers that were taken
// off, outermost first; those are also returned with an error, as far as they
// could be read. The results are valid until the next call.
func (o *Opener) Open(b []byte) (plain []byte, layers []Layer, err error) {
	o.layers = o.layers[:0]
	for range 4 {
		if len(b) == 0 || !isProtected(b[0]) {
			return b, o.layers, nil
		}
		if b, err = o.layer(b); err != nil {
			return nil, o.layers, err
		}
	}
	return nil, o.layers, fmt.Errorf("dlms: too many layers of protection: %w", errProtocol)
}

// layer takes one layer off.
func (o *Opener) layer(b []byte) ([]byte, error) {
	p, err := parse(b)
	if err != nil {
		return nil, err
	}
	l := Layer{Name: p.Name()}
	var contents, title []byte
	switch p := p.(type) {
	case apdu.Ciphered:
		contents = p.Contents
	case apdu.GeneralCiphered:
		contents, title = p.Contents, p.SystemTitle
	case apdu.GeneralCiphering:
		contents, title = p.Contents, p.Originator
	case apdu.GeneralSigning:
		title = p.Originator
	}
	if len(title) == security.TitleLen {
		l.Title = security.Title(title)
	}
	if contents != nil {
		c, err := security.ParseContents(contents)
		if err != nil {
			return nil, err
		}
		l.Control, l.Counter = c.Control, c.Counter
	}
	if o.channel.sec == nil {
		o.layers = append(o.layers, l)
		return nil, fmt.Errorf("dlms: %s: %w", l.Name, security.ErrNoKey)
	}
	var how protection
	plain, err := o.channel.open(b, &how)
	l.Trust = how.trust
	o.layers = append(o.layers, l)
	return plain, err
}

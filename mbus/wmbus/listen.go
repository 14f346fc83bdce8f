package wmbus

import (
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/mbus"
)

// Listener reads telegrams from what a receiver sends, or from a capture: it finds
// them, joins fragments, and reads them as its [Decoder] does. What it returns is
// valid until the next call of a method.
type Listener struct {
	Decoder
	Receiver

	ended    bool
	begun    error // the fragment of a message whose others did not come
	telegram Telegram
}

// End says that a capture has no more octets: Next returns io.EOF behind its last
// telegram, and the next octets are of another capture.
func (l *Listener) End() { l.ended = true }

// Next returns the next telegram. The error is io.ErrUnexpectedEOF where more octets
// are needed; any other is that of one telegram.
func (l *Listener) Next() (*Telegram, error) {
	for {
		reception, err := l.Receiver.Next()
		if errors.Is(err, io.ErrUnexpectedEOF) && l.ended {
			reception, err = l.Flush()
		}
		if err != nil {
			return nil, l.end(err)
		}
		if reception.checked() {
			l.telegram, err = l.ParseFormat(reception.Frame, Bare)
		} else {
			l.telegram, err = l.Parse(reception.Frame)
		}
		switch {
		case err == nil:
			l.begun = nil
			return &l.telegram, nil
		case errors.Is(err, ErrFragment):
			l.begun = err
		default:
			l.begun = nil
			return nil, cut(err)
		}
	}
}

// cut makes sure that a telegram that ends too early is not taken for one of which
// more is to come.
func cut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w (%v)", errCut, err)
	}
	return err
}

var errCut = &ParseError{Field: "telegram", Err: errors.New("cut off")}

// end returns what a receiver's error means, also behind the end of a capture.
func (l *Listener) end(err error) error {
	switch {
	case !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case !l.ended:
		return io.ErrUnexpectedEOF
	case l.begun != nil:
		err, l.begun = l.begun, nil
		return err
	}
	l.ended = false
	if formats, ok := l.Formats.(*mbus.MemoryFormats); ok && l.Counters == nil {
		formats.Reset()
	}
	return io.EOF
}

package mbus

import (
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/mbus/link"
)

// Message is what a [Receiver] found: a frame and what it carries.
type Message struct {
	Frame    link.Frame
	Telegram *Telegram // nil for frames without one
	Report   *Report   // what it says
	APDU     []byte    // of DLMS/COSEM, which the frame completes; nil for none
}

// Receiver reads the frames of a wired bus, of a line or of a capture: it finds
// them, joins the segments of APDUs of DLMS/COSEM, and reads telegrams as its
// [Decoder] does. What it returns is valid until the next call of a method.
type Receiver struct {
	Decoder

	scanner  link.Scanner
	carrier  Carrier
	ended    bool
	fed      int // octets
	begun    int // of them, before the oldest APDU that is not complete
	telegram Telegram
	message  Message
}

// Feed adds a copy of what arrived.
func (r *Receiver) Feed(b []byte) {
	r.fed += len(b)
	r.scanner.Feed(b)
}

// End says that a capture has no more octets: Next returns io.EOF behind its last
// message, and the next octets are of another line.
func (r *Receiver) End() { r.ended = true }

// Stats returns what was seen so far.
func (r *Receiver) Stats() link.Stats { return r.scanner.Stats() }

// Pending returns how many octets wait for the rest of a frame, or of an APDU.
func (r *Receiver) Pending() int {
	if len(r.carrier.open) > 0 {
		return r.fed - r.begun
	}
	return len(r.scanner.Pending())
}

// Next returns the next message. The error is io.ErrUnexpectedEOF where more octets
// are needed; any other is that of one message. Frames that complete nothing give
// no message.
func (r *Receiver) Next() (*Message, error) {
	for {
		frame, err := r.scanner.Next()
		if err != nil {
			return nil, r.end(err)
		}
		r.message = Message{Frame: frame}
		if len(frame.Payload) == 0 {
			return &r.message, nil
		}
		if CI(frame.Payload[0]).Content() != ContentDLMS {
			r.last = r.ended && len(r.scanner.Pending()) == 0 && r.forgets() != nil
			r.telegram, err = r.Parse(frame.Payload, Lower{})
			r.last = false
			if err != nil {
				return nil, err
			}
			r.message.Telegram, r.message.Report = &r.telegram, r.Report(&r.telegram)
			return &r.message, nil
		}
		if len(r.carrier.open) == 0 {
			r.begun = r.fed - len(r.scanner.Pending()) - len(frame.Payload) - (link.MaxFrame - link.MaxPayload)
		}
		carried, err := r.carrier.Add(frame.A, frame.Payload)
		switch {
		case err == nil:
			r.message.APDU = carried.APDU
			return &r.message, nil
		case !errors.Is(err, io.ErrUnexpectedEOF):
			return nil, err
		}
	}
}

// end returns what a scanner's error means, also behind the end of a capture.
func (r *Receiver) end(err error) error {
	switch {
	case !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case !r.ended:
		return io.ErrUnexpectedEOF
	case len(r.scanner.Pending()) > 0:
		r.scanner = link.Scanner{}
		return &ParseError{Field: "frame", Err: errCut}
	}
	r.ended = false
	if formats := r.forgets(); formats != nil {
		formats.Reset()
	}
	return io.EOF
}

// forgets returns the formats that are forgotten at the end of a capture, nil where
// they are kept.
func (r *Receiver) forgets() *MemoryFormats {
	formats, ok := r.Formats.(*MemoryFormats)
	if !ok || r.Counters != nil {
		return nil
	}
	return formats
}

var errCut = fmt.Errorf("the capture ends within a frame: %w", io.ErrUnexpectedEOF)

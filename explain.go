package meter

import (
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/ansic12/osgp"
	"github.com/openusm/meter/iec61850/goose"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/iec62056/p1"
	"github.com/openusm/meter/iec62056/sml"
	"github.com/openusm/meter/mbus"
)

// Note is one field of an explained message.
type Note struct {
	Offset  int    // octets from the start of the input
	Octets  []byte // the field's octets; they alias the input, or what was deciphered from it
	Depth   int    // nesting: the fields of a field lie one deeper
	Field   string // as its standard names it
	Meaning string
}

// Explain calls note for each field of the messages in b, in the order of
// the octets, as far as they can be read, and returns the error where it broke.
func Explain(b []byte, cfg *Config, note func(Note)) error {
	if cfg == nil {
		cfg = &Config{}
	}
	protocol := cfg.Protocol
	if protocol == "" || protocol == Auto {
		var err error
		if protocol, err = Detect(b); err != nil {
			return err
		}
	}
	e := explainer{b: b, cfg: cfg, note: note}
	var err error
	switch protocol {
	case DLMS:
		err = e.dlms()
	case APDU:
		body := withoutLLC(b)
		err = e.apdu(body, len(b)-len(body), 0)
	case IEC62056:
		err = e.iec62056()
	case P1:
		err = e.each(b, 0, p1.Explain, p1.ExplainCut)
	case SML:
		err = e.each(b, 0, sml.Explain, sml.ExplainCut)
	case WMBus:
		err = e.wmbus()
	case C1218:
		err = e.psem()
	case C1222:
		err = e.epsem()
	case C1219:
		err = e.table()
	case OSGP:
		err = osgp.Explain(b, e.at(b, 0, 0))
	case MBus:
		err = e.mbus()
	case MMS:
		err = mms.Explain(b, e.at(b, 0, 0))
	case GOOSE:
		err = goose.Explain(b, e.at(b, 0, 0))
	default:
		return fmt.Errorf("meter: explain %s: %w", protocol, ErrNotSupported)
	}
	switch {
	case err == nil, errors.Is(err, ErrMissingKey), errors.Is(err, ErrAuth), errors.Is(err, ErrFrame):
		return err
	case errors.As(err, new(*mbus.SecurityError)):
		return mbusError(err)
	}
	return fmt.Errorf("meter: %w: %w", ErrFrame, err)
}

// each explains the messages of b one after the other.
func (e *explainer) each(b []byte, depth int, explain func([]byte, mbus.Note) (int, error), cut func([]byte, mbus.Note) error) (first error) {
	for at := 0; at < len(b); {
		note := e.at(b[at:], at, depth)
		n, err := explain(b[at:], note)
		if n == 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			n, err = len(b)-at, cut(b[at:], note)
		}
		if first == nil {
			first = err
		}
		at += n
	}
	return first
}

// explainer collects the notes of the protocols' own Explain functions.
type explainer struct {
	b    []byte
	cfg  *Config
	note func(Note)

	titles *dlmsDecoder // knows the system titles that the capture has told so far
}

// at returns a function that notes fields of the part of octets that lies at
// offset in the input and is nested depth deep.
func (e *explainer) at(octets []byte, offset, depth int) func(off, n, d int, field, meaning string) {
	return func(off, n, d int, field, meaning string) {
		var part []byte
		if 0 <= off && off <= off+n && off+n <= len(octets) {
			part = octets[off : off+n]
		}
		e.note(Note{Offset: offset + off, Octets: part, Depth: depth + d, Field: field, Meaning: meaning})
	}
}

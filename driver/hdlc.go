package driver

import (
	"errors"
	"io"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/hdlc"
)

// hdlcDriver speaks DLMS/COSEM, and reads it in HDLC frames; the drivers below
// read it in others.
func hdlcDriver() Driver {
	return Driver{
		Protocol: DLMS,
		Detect:   hdlc.Detect,
		Reader:   func(cfg *Config) (Reader, error) { return newDLMSReader(cfg, dlms.LinkHDLC) },
		Heard:    HeardAlways,
		Explainer: func(cfg *Config, note func(Note)) (Explainer, error) {
			return newDLMSExplainer(cfg, dlms.LinkHDLC, note)
		},
		Dial: dialDLMS,
		Tries: func(t Target) []Try {
			switch t.Scheme {
			case "tcp":
				return []Try{{"DLMS wrapper", 20, quick(dialOver(dlms.LinkWrapper))}, {"DLMS HDLC", 21, quick(dialOver(dlms.LinkHDLC))}}
			case "udp":
				return []Try{{"DLMS wrapper", 20, quick(dialOver(dlms.LinkWrapper))}}
			case "serial":
				return []Try{{"DLMS HDLC at 9600 8N1", 20, quick(dialOver(dlms.LinkHDLC))}}
			}
			return nil
		},
		Scan:     scanDLMS,
		Simulate: simulateDLMS,
	}
}

func wrapperDriver() Driver {
	return Driver{
		Protocol:  DLMS,
		Detect:    isWrapper,
		Reader:    func(cfg *Config) (Reader, error) { return newDLMSReader(cfg, dlms.LinkWrapper) },
		Heard:     HeardAlways,
		Unchecked: true,
		Explainer: func(cfg *Config, note func(Note)) (Explainer, error) {
			return newDLMSExplainer(cfg, dlms.LinkWrapper, note)
		},
	}
}

func apduDriver() Driver {
	return Driver{
		Protocol: APDU,
		Of:       DLMS,
		Detect:   dlms.IsAPDU,
		Reader:   func(cfg *Config) (Reader, error) { return newDLMSReader(cfg, dlms.LinkNone) },
		Explainer: func(cfg *Config, note func(Note)) (Explainer, error) {
			return newDLMSExplainer(cfg, dlms.LinkNone, note)
		},
	}
}

// cutDriver reads a bare APDU of which the end is missing, as far as it goes.
func cutDriver() Driver {
	d := apduDriver()
	d.Detect = apdu.Begins
	return d
}

// isWrapper knows frames with an APDU each, or a frame of which the end is missing.
func isWrapper(b []byte) bool {
	return dlms.IsWrapper(b) || len(b) > 8 && b[0] == 0 && b[1] == 1 && apdu.Begins(b[8:])
}

// dlmsExplainer explains frames, or a bare APDU.
type dlmsExplainer struct {
	*dlms.Explainer
	link dlms.Link
	note func(Note)
}

func newDLMSExplainer(cfg *Config, link dlms.Link, note func(Note)) (Explainer, error) {
	own, err := receiverConfig(cfg, link)
	if err != nil {
		return nil, err
	}
	return &dlmsExplainer{dlms.NewExplainer(own), link, note}, nil
}

func (e *dlmsExplainer) Explain(b []byte, offset int) (int, error) {
	note := func(at, _, depth int, field, meaning string, octets []byte) {
		e.note(Note{Offset: offset + at, Octets: octets, Depth: depth, Field: field, Meaning: meaning})
	}
	if e.link == dlms.LinkNone {
		return len(b), dlmsError(e.APDU(b, note))
	}
	n, err := e.Explainer.Explain(b, note)
	switch {
	case n == 0 && errors.Is(err, io.ErrUnexpectedEOF):
		return n, err
	case errors.Is(err, dlms.ErrLost):
		e.note(Note{Offset: offset, Field: "lost", Meaning: err.Error()})
		return n, nil
	}
	return n, dlmsError(err)
}

func (e *dlmsExplainer) End(b []byte, offset int) error {
	_, err := e.Explain(b, offset)
	return err
}

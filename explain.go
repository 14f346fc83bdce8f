package meter

import (
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/driver"
)

// Explain calls note for each field of the messages in b, in the order of
// the octets, as far as they can be read, and returns the error where it broke.
func Explain(b []byte, cfg *Config, note func(Note)) error {
	e, err := NewExplainer(b, cfg, note)
	if err != nil {
		return err
	}
	for at := 0; at < len(b); {
		n, err := e.Explain(b[at:], at)
		if n == 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			err = e.End(b[at:], at)
			n = len(b) - at
		}
		if err != nil {
			return err
		}
		at += n
	}
	return nil
}

// NewExplainer returns what explains messages of the protocol that cfg names, or
// of which the octets in head are. Messages are given to it one after the other.
func NewExplainer(head []byte, cfg *Config, note func(Note)) (Explainer, error) {
	cfg = driver.Prepared(cfg, false)
	driver, err := driver.Detect(cfg, head)
	if err != nil {
		return nil, err
	}
	if driver.Explainer == nil {
		return nil, fmt.Errorf("meter: explain %s: %w", driver.Protocol, ErrNotSupported)
	}
	e, err := driver.Explainer(cfg, note)
	if err != nil {
		return nil, explained(err)
	}
	return explainer{e}, nil
}

// explainer gives errors their sentinels, and sees to it that explaining advances.
type explainer struct{ Explainer }

func (e explainer) Explain(b []byte, offset int) (int, error) {
	n, err := e.Explainer.Explain(b, offset)
	if err == nil && n <= 0 {
		err = fmt.Errorf("%d octets: %w", len(b), io.ErrUnexpectedEOF)
	}
	return n, explained(err)
}

func (e explainer) End(b []byte, offset int) error { return explained(e.Explainer.End(b, offset)) }

func explained(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrMissingKey), errors.Is(err, ErrAuth), errors.Is(err, ErrNotSupported), errors.Is(err, ErrFrame):
		return err
	}
	return fmt.Errorf("meter: %w: %w", ErrFrame, err)
}

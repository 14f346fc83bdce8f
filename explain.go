package meter

import (
	"errors"
	"fmt"
	"io"
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
	cfg = cfg.prepared(false)
	driver, err := cfg.detect(head)
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

// noter returns a function that notes fields of the part of octets that lies at
// offset in the input and is nested depth deep.
func noter(note func(Note), octets []byte, offset, depth int) func(off, n, d int, field, meaning string) {
	return func(off, n, d int, field, meaning string) {
		var part []byte
		if 0 <= off && off <= off+n && off+n <= len(octets) {
			part = octets[off : off+n]
		}
		note(Note{Offset: offset + off, Octets: part, Depth: depth + d, Field: field, Meaning: meaning})
	}
}

// fieldNote is how the packages of the protocols note a field.
type fieldNote = func(offset, length, depth int, field, meaning string)

// explains is an Explainer made of functions of a protocol: one explains the first
// message of b and returns its length, the other what a capture ends with; nil is
// the first one.
type explains struct {
	note  func(Note)
	first func(b []byte, note fieldNote) (int, error)
	end   func(b []byte, note fieldNote) error
}

func (e explains) Explain(b []byte, offset int) (int, error) {
	return e.first(b, noter(e.note, b, offset, 0))
}

func (e explains) End(b []byte, offset int) error {
	if e.end == nil {
		_, err := e.Explain(b, offset)
		return err
	}
	return e.end(b, noter(e.note, b, offset, 0))
}

// whole makes of a function that explains all of b one that says how long that is.
func whole(explain func(b []byte, note fieldNote) error) func([]byte, fieldNote) (int, error) {
	return func(b []byte, note fieldNote) (int, error) { return len(b), explain(b, note) }
}

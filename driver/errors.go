package driver

import (
	"errors"
	"fmt"
	"strings"

	"github.com/openusm/meter/obis"
)

// Errors on which callers branch. They are wrapped, with the cause in words.
var (
	ErrPartial      = errors.New("partial result")
	ErrConnect      = errors.New("cannot connect")
	ErrTimeout      = errors.New("no answer in time")
	ErrHungUp       = errors.New("the other side closed the connection")
	ErrAuth         = errors.New("authentication or decryption refused")
	ErrMissingKey   = errors.New("key missing")
	ErrRefused      = errors.New("refused by the meter")
	ErrFrame        = errors.New("bad frame")
	ErrUnknown      = errors.New("no known protocol")
	ErrNotSupported = errors.New("the meter or its protocol has no such thing")
)

// cause says which of our errors an error of a protocol is.
type cause struct{ is, means error }

// sentinel gives err the first of the errors that it is, nil where it is none.
func sentinel(err error, causes []cause) error {
	for _, c := range causes {
		if errors.Is(err, c.is) {
			return fmt.Errorf("meter: %w: %w", c.means, err)
		}
	}
	return nil
}

// partial returns what could be read of r beside the error, or the error alone
// where nothing could.
func partial(r *Result, err error) (*Result, error) {
	if r == nil || len(r.Readings)+len(r.Profiles)+len(r.Events) == 0 {
		return nil, err
	}
	r.Warn("%v", err)
	return r, fmt.Errorf("meter: %w: %w", ErrPartial, err)
}

// Choose keeps the readings that match one of the patterns, where there are
// any, and says which patterns match none.
func Choose(r *Result, patterns []obis.Pattern) (*Result, error) {
	missing := r.Choose(patterns)
	switch {
	case missing == nil:
		return r, nil
	case len(r.Readings) == 0:
		return nil, fmt.Errorf("meter: %w: %s", ErrNotSupported, strings.Join(missing, ", "))
	}
	return r, fmt.Errorf("meter: %w: the meter has no %s", ErrPartial, strings.Join(missing, ", "))
}

package meter

import (
	"errors"
	"fmt"
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
func (r *Result) partial(err error) (*Result, error) {
	if r == nil || len(r.Readings)+len(r.Profiles)+len(r.Events) == 0 {
		return nil, err
	}
	r.warn("%v", err)
	return r, fmt.Errorf("meter: %w: %w", ErrPartial, err)
}

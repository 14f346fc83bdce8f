package driver

import (
	"errors"

	"github.com/openusm/meter/obis"
)

// Found is a meter that a scan found.
type Found struct {
	Protocol Protocol
	Address  string // what Config.Address or Config.DLMS.Server must be to reach it
	Meter    obis.Meter
	Note     string // what else there is to say: a collision that could not be resolved
}

// Scanner is told how a scan goes. Nil functions hear nothing.
type Scanner struct {
	Found    func(Found)
	Progress func(done float64) // from 0 to 1
	// Primary tries all primary addresses of an M-Bus; Secondary searches the
	// secondary ones. Neither means both.
	Primary, Secondary bool
}

func (s *Scanner) found(f Found) {
	if s.Found != nil {
		s.Found(f)
	}
}

func (s *Scanner) progress(done float64) {
	if s.Progress != nil {
		s.Progress(done)
	}
}

// ErrSeveral reports answers that garble each other, as those of several meters do.
var ErrSeveral = errors.New("several meters answer at once")

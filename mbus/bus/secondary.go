package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/link"
)

const ciSelect = 0x52

// Select selects the slaves that an address matches, see [mbus.Address.Matches]:
// they then answer to [link.Selected], all others no longer do. ErrNoAnswer
// means that there is none.
func (m *Master) Select(ctx context.Context, a mbus.Address) error {
	return m.choose(ctx, a.AppendSecondary([]byte{ciSelect}))
}

// SelectFabrication is Select for slaves whose secondary addresses are equal:
// it also gives the fabrication number, eight digits with F for any.
func (m *Master) SelectFabrication(ctx context.Context, a mbus.Address, number uint32) error {
	p := append(a.AppendSecondary([]byte{ciSelect}), 0x0C, 0x78)
	return m.choose(ctx, binary.LittleEndian.AppendUint32(p, number))
}

func (m *Master) choose(ctx context.Context, payload []byte) error {
	f := link.Frame{Form: link.Long, C: link.SndUD.WithFCB(false), A: link.Selected, Payload: payload}
	reply, err := m.ask(ctx, f)
	if err != nil {
		return err
	}
	if reply.Form != link.Ack {
		return fmt.Errorf("%w: %s frame to a selection", ErrUnexpected, reply.Form)
	}
	m.fcb[link.Selected], m.reset[link.Selected] = true, true
	return nil
}

// ReadSecondary selects a slave and reads all its telegrams. The address may
// have wildcards if only one slave matches.
func (m *Master) ReadSecondary(ctx context.Context, a mbus.Address) ([]mbus.Telegram, error) {
	if err := m.Select(ctx, a); err != nil {
		return nil, err
	}
	all, err := m.readAll(ctx, link.Selected)
	for i := range all {
		if h := all[i].Header; h.Form == mbus.HeaderLong && !h.Address.Matches(a) {
			return nil, fmt.Errorf("%w: from %s, selected was %s", ErrUnexpected, h.Address, a)
		}
	}
	return all, err
}

// Found is a slave that a scan found.
type Found struct {
	Primary   byte         // the slave's own, also where a scan by secondary address found it
	Address   mbus.Address // the zero Address where the slave did not tell it
	Collision bool         // several slaves answer to this address and could not be told apart
	Telegram  mbus.Telegram
}

// Scan is how a scan goes about. The zero Scan, and nil, are usable.
type Scan struct {
	First, Last byte         // of the primary addresses; both 0: 0 to 250
	Within      mbus.Address // only slaves that this matches; the zero Address: all
	Retries     int          // repetitions of a request that nobody answers: many on a line that loses frames make a scan slow; 0: none
	// Manufacturers are tried where slaves agree in all but the manufacturer,
	// besides those that were seen on the bus. Nil: none.
	Manufacturers []mbus.Manufacturer

	Found    func(Found)                   // is told of each slave at once; nil: nobody
	Progress func(done float64, found int) // is told how far the scan is, from 0 to 1; nil: nobody
}

// scanner is a scan under way.
type scanner struct {
	*Master
	Scan
	slaves   []Found
	answered byte                       // the primary address in the last answer
	alike    []mbus.Address             // several slaves answer to it, given all but the manufacturer
	makers   map[mbus.Manufacturer]bool // those seen on the bus, and those to be tried anyway
	done     float64
}

func (m *Master) scanner(cfg *Scan) *scanner {
	s := &scanner{Master: m, makers: map[mbus.Manufacturer]bool{}}
	if cfg != nil {
		s.Scan = *cfg
	}
	if s.First == 0 && s.Last == 0 {
		s.Last = link.MaxPrimary
	}
	if s.Within == (mbus.Address{}) {
		s.Within = mbus.AnyAddress()
	}
	for _, maker := range s.Manufacturers {
		s.makers[maker] = true
	}
	return s
}

func (s *scanner) add(f Found) {
	s.slaves = append(s.slaves, f)
	if f.Address != (mbus.Address{}) {
		s.makers[f.Address.Manufacturer] = true
	}
	if s.Found != nil {
		s.Found(f)
	}
}

// progress reports that a part of the whole is done; it never goes back.
func (s *scanner) progress(done float64) {
	s.done = max(s.done, done)
	if s.Progress != nil {
		s.Progress(s.done, len(s.slaves))
	}
}

// ScanPrimary tries the primary addresses one after the other. On an error,
// that of the context or of the connection, it returns what it found so far.
func (m *Master) ScanPrimary(ctx context.Context, cfg *Scan) ([]Found, error) {
	s := m.scanner(cfg)
	last := min(int(s.Last), link.MaxPrimary)
	total := float64(last - int(s.First) + 1)
	for a := int(s.First); a <= last; a++ {
		if err := s.primary(ctx, byte(a)); err != nil {
			return s.slaves, err
		}
		s.progress(float64(a-int(s.First)+1) / total)
	}
	return s.slaves, nil
}

// primary tries one primary address.
func (s *scanner) primary(ctx context.Context, a byte) error {
	there, err := s.knock(ctx, link.Frame{Form: link.Short, C: link.SndNKE, A: a})
	if err != nil || !there {
		return err
	}
	s.fcb[a], s.reset[a] = true, true
	t, collision, err := s.identify(ctx, a)
	if err != nil {
		return err
	}
	s.add(Found{Primary: a, Address: t.Header.Address, Collision: collision, Telegram: t})
	return nil
}

// knock sends a frame to which slaves answer E5, and reports whether anything came.
func (s *scanner) knock(ctx context.Context, f link.Frame) (there bool, err error) {
	for range s.Retries + 1 {
		_, err = s.exchange(ctx, f)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, ErrGarbled):
			return true, s.idle(ctx)
		case !errors.Is(err, ErrNoAnswer):
			return false, err
		}
	}
	return false, nil
}

// identify asks for data. A garbled answer, twice, is that of several slaves.
func (s *scanner) identify(ctx context.Context, a byte) (t mbus.Telegram, collision bool, err error) {
	for range 2 {
		t, err = s.once(ctx, a)
		var pe *mbus.ParseError
		var se *mbus.SecurityError
		switch {
		case err == nil, errors.As(err, &pe), errors.As(err, &se):
			return t, false, nil // it is there, whatever it says
		case errors.Is(err, ErrGarbled), errors.Is(err, ErrUnexpected):
			if err := s.idle(ctx); err != nil {
				return t, false, err
			}
			collision = true
		case errors.Is(err, ErrNoAnswer):
		default:
			return t, false, err
		}
	}
	return mbus.Telegram{}, collision, nil
}

// once asks for data without repetition.
func (s *scanner) once(ctx context.Context, a byte) (mbus.Telegram, error) {
	f := link.Frame{Form: link.Short, C: link.ReqUD2.WithFCB(s.fcb[a]), A: a}
	reply, err := s.exchange(ctx, f)
	if err != nil {
		return mbus.Telegram{}, err
	}
	s.fcb[a] = !s.fcb[a]
	s.answered = reply.A
	if reply.Form == link.Ack || reply.Form == link.Short {
		return mbus.Telegram{}, fmt.Errorf("%w: %s frame to a request for data", ErrUnexpected, reply.Form)
	}
	t, err := s.decoder.Parse(reply.Payload, mbus.Lower{})
	return t.Clone(), err
}

// ScanSecondary finds slaves by secondary address: it selects with wildcards,
// and where several answer goes on with one more digit given. The digits of the
// ID are tried from 0 to 9 and A to E; F means any, so that a slave with an F in
// its ID is only found where no other has the same digits before it. Where IDs
// are equal it goes on with type,
// version and manufacturer. It ends, at the latest, when all these were tried;
// slaves that still answer together are reported as a collision.
func (m *Master) ScanSecondary(ctx context.Context, cfg *Scan) ([]Found, error) {
	s := m.scanner(cfg)
	if err := m.Reset(ctx, link.Selected); err != nil && !errors.Is(err, ErrGarbled) {
		return nil, err
	}
	there, err := s.branch(ctx, s.Within, stepID, 0, 1)
	if err == nil && !there {
		err = s.firstDigits(ctx)
	}
	if err != nil {
		return s.slaves, err
	}
	if err := s.resolve(ctx); err != nil {
		return s.slaves, err
	}
	s.progress(1)
	return s.slaves, nil
}

// firstDigits tries each first digit although nobody answered to the selection of
// all: there are slaves that no selection without a digit selects.
func (s *scanner) firstDigits(ctx context.Context) error {
	next, _ := s.values(s.Within, stepID)
	for i, a := range next {
		part := 1 / float64(len(next))
		if _, err := s.branch(ctx, a, stepID+1, float64(i)*part, part); err != nil {
			return err
		}
		s.progress(float64(i+1) * part)
	}
	return nil
}

// resolve tells slaves apart that agree in all but the manufacturer, by the
// manufacturers that the whole scan has seen.
func (s *scanner) resolve(ctx context.Context) error {
	for _, a := range s.alike {
		before := len(s.slaves)
		for _, maker := range slices.Sorted(maps.Keys(s.makers)) {
			b := a
			b.Manufacturer = maker
			if _, err := s.branch(ctx, b, stepEnd, 1, 0); err != nil {
				return err
			}
		}
		if len(s.slaves)-before < 2 { // another one is still there
			s.add(Found{Address: a, Collision: true})
		}
	}
	return nil
}

// step is what a scan gives next of an address.
type step int

const (
	stepID           step = iota // eight steps, one for each digit
	stepType         step = 8
	stepVersion      step = 9
	stepManufacturer step = 10 // put off until all others were found
	stepEnd          step = 11
)

// branch finds the slaves that match, of which it knows nothing yet. The branch
// is the part of the scan from lo to lo+span. It reports whether anybody answered.
func (s *scanner) branch(ctx context.Context, a mbus.Address, at step, lo, span float64) (there bool, err error) {
	f := link.Frame{Form: link.Long, C: link.SndUD.WithFCB(false), A: link.Selected, Payload: a.AppendSecondary([]byte{ciSelect})}
	if there, err = s.knock(ctx, f); err != nil || !there {
		return there, err
	}
	s.fcb[link.Selected], s.reset[link.Selected] = true, true
	t, collision, err := s.identify(ctx, link.Selected)
	switch {
	case err != nil:
		return true, err
	case t.Header.Form == mbus.HeaderLong || t.Content == mbus.ContentFixed:
		s.add(Found{Primary: s.answered, Address: t.Header.Address, Telegram: t})
		return true, nil
	case t.CI == 0 && !collision: // acknowledged, but no data: was it a disturbance?
		if there, err = s.knock(ctx, f); err != nil || !there {
			return false, err
		}
	}
	return true, s.descend(ctx, a, at, lo, span, collision)
}

// divide goes through the values of the next part of an address.
func (s *scanner) divide(ctx context.Context, a mbus.Address, at step, lo, span float64, collision bool) error {
	next, wild := s.values(a, at)
	if !wild { // the part is given already
		return s.descend(ctx, a, at+1, lo, span, collision)
	}
	heard := false
	part := span / float64(len(next)+1)
	for i, b := range next {
		there, err := s.branch(ctx, b, at+1, lo+float64(i)*part, part)
		if err != nil {
			return err
		}
		heard = heard || there
		s.progress(lo + float64(i+1)*part)
	}
	if !heard {
		// Whoever answered has a value here that cannot be given, like F for a digit.
		return s.descend(ctx, a, at+1, lo+span-part, part, collision)
	}
	return nil
}

// descend goes on with the next part without asking again. Slaves that only
// acknowledge are taken as found when all digits are given.
func (s *scanner) descend(ctx context.Context, a mbus.Address, at step, lo, span float64, collision bool) error {
	switch {
	case at == stepManufacturer && collision && a.Manufacturer == 0xFFFF:
		s.alike = append(s.alike, a)
	case at >= stepManufacturer, at >= stepType && !collision:
		s.add(Found{Address: a, Collision: collision})
	default:
		return s.divide(ctx, a, at, lo, span, collision)
	}
	return nil
}

// values returns the addresses with each value of a part given, and whether the
// part is a wildcard at all.
func (s *scanner) values(a mbus.Address, at step) (next []mbus.Address, wild bool) {
	switch {
	case at < stepType:
		shift := 28 - 4*int(at)
		if a.ID>>shift&0xF != 0xF {
			return nil, false
		}
		for d := range uint32(15) {
			b := a
			b.ID = a.ID&^(0xF<<shift) | d<<shift
			next = append(next, b)
		}
	case at == stepType:
		if a.Type != 0xFF {
			return nil, false
		}
		for t := range mbus.DeviceType(0xFF) {
			b := a
			b.Type = t
			next = append(next, b)
		}
	case at == stepVersion:
		if a.Version != 0xFF {
			return nil, false
		}
		for v := range byte(0xFF) {
			b := a
			b.Version = v
			next = append(next, b)
		}
	}
	return next, true
}

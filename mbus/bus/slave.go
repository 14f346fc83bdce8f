package bus

import (
	"context"
	"fmt"
	"strconv"

	"github.com/openusm/meter/mbus"
)

// anySlave is the primary address that every slave answers; it works with one slave on the line.
const anySlave = 254

// Slave is a slave by its primary or by its secondary address.
type Slave struct {
	Primary   byte
	Secondary mbus.Address
	Selected  bool // by Secondary
}

// ParseSlave reads a primary address, 0 to 254, or a secondary one such as
// 12345678 or 12345678ABC0407. "" is the only slave on the line.
func ParseSlave(text string) (s Slave, err error) {
	if text == "" {
		return Slave{Primary: anySlave}, nil
	}
	if len(text) <= 3 {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil || n > anySlave {
			return s, fmt.Errorf("bus: address %q: want 0 to 254, or a secondary address such as 12345678", text)
		}
		return Slave{Primary: byte(n)}, nil
	}
	s.Selected = true
	if s.Secondary, err = mbus.ParseAddress(text); err != nil {
		return s, fmt.Errorf("bus: address %q: %w", text, err)
	}
	return s, nil
}

// Begin resets or selects a slave, so that it answers from its first telegram on.
func (m *Master) Begin(ctx context.Context, s Slave) error {
	if s.Selected {
		return m.Select(ctx, s.Secondary)
	}
	return m.Reset(ctx, s.Primary)
}

// ReadAll reads all telegrams of a slave.
func (m *Master) ReadAll(ctx context.Context, s Slave) ([]mbus.Telegram, error) {
	if s.Selected {
		return m.ReadSecondary(ctx, s.Secondary)
	}
	return m.Read(ctx, s.Primary)
}

// ScanAll searches primary addresses, secondary ones or both. Slaves that both
// find are told once; progress counts from 0 to 1 over both.
func (m *Master) ScanAll(ctx context.Context, primary, secondary bool, found func(Found), progress func(float64)) error {
	share, base := 1.0, 0.0
	if primary && secondary {
		share = 0.5
	}
	seen := map[mbus.Address]bool{}
	scan := &Scan{
		Found: func(f Found) {
			known := f.Address != (mbus.Address{}) && !f.Collision
			if !known || !seen[f.Address] {
				seen[f.Address] = known
				found(f)
			}
		},
		Progress: func(done float64, _ int) { progress(base + share*done) },
	}
	if primary {
		if _, err := m.ScanPrimary(ctx, scan); err != nil {
			return err
		}
		base = 1 - share
	}
	if secondary {
		if _, err := m.ScanSecondary(ctx, scan); err != nil {
			return err
		}
	}
	progress(1)
	return nil
}

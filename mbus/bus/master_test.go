package bus_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/bus"
	"github.com/openusm/meter/mbus/link"
	"github.com/openusm/meter/mbus/mbussim"
	"github.com/stretchr/testify/require"
)

// start is the time at which a bubble of synctest begins.
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// on runs a test with a master on a simulated bus, in time of its own.
func on(t *testing.T, sim *mbussim.Config, cfg *bus.Config, test func(t *testing.T, m *bus.Master)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- mbussim.New(sim).Serve(context.Background(), far) }()
		m := bus.NewMaster(near, cfg)
		t.Cleanup(func() {
			require.NoError(t, m.Close())
			require.NoError(t, <-done)
		})
		test(t, m)
	})
}

func TestReadPrimary(t *testing.T) {
	on(t, nil, nil, func(t *testing.T, m *bus.Master) {
		for address, want := range []string{1: "heat", 2: "water", 3: "gas", 4: "electricity"} {
			if want == "" {
				continue
			}
			telegrams := 1
			if want == "electricity" {
				telegrams = 2
			}
			for range 3 {
				all, err := m.Read(t.Context(), byte(address))
				require.NoError(t, err)
				require.Equal(t, want, all[0].Meter().Medium.String())
				require.Len(t, all, telegrams)
			}
		}
		_, err := m.Read(t.Context(), 5)
		require.ErrorIs(t, err, bus.ErrNoAnswer)
	})
}

// Each fault of the line, one at a time: the readout succeeds all the same.
func TestReadDisturbed(t *testing.T) {
	for name, faults := range map[string]mbussim.Faults{
		"echo":            {Echo: true},
		"stray octets":    {Noise: 1},
		"wrong octets":    {Damage: 2},
		"lost requests":   {Lose: 2},
		"slow":            {Delay: 180 * time.Millisecond},
		"echo and damage": {Echo: true, Damage: 3, Noise: 2},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, &mbussim.Config{Faults: faults}, nil, func(t *testing.T, m *bus.Master) {
				for range 5 {
					all, err := m.Read(t.Context(), 4)
					require.NoError(t, err)
					require.Len(t, all, 2)
					require.Equal(t, all[0].Header.Access+1, all[1].Header.Access, "no telegram is lost or doubled")
				}
			})
		})
	}
}

// The frame count bit alternates with each valid answer and stays for repetitions.
func TestFrameCountBit(t *testing.T) {
	var sent []link.C
	cfg := &bus.Config{Trace: func(send bool, frame []byte) {
		if f, _, err := link.Parse(frame); send && err == nil {
			sent = append(sent, f.C)
		}
	}}
	on(t, &mbussim.Config{Faults: mbussim.Faults{Lose: 3}}, cfg, func(t *testing.T, m *bus.Master) {
		all, err := m.Read(t.Context(), 4) // NKE, REQ, lost REQ, REQ
		require.NoError(t, err)
		require.Len(t, all, 2)
		_, err = m.Read(t.Context(), 4) // REQ, lost REQ, REQ
		require.NoError(t, err)
		require.Equal(t, []link.C{0x40, 0x7B, 0x5B, 0x5B, 0x7B, 0x5B, 0x5B}, sent)
	})
}

func TestSecondary(t *testing.T) {
	meters := mbussim.Standard(20, start)
	on(t, &mbussim.Config{Meters: meters}, nil, func(t *testing.T, m *bus.Master) {
		for _, want := range meters {
			all, err := m.ReadSecondary(t.Context(), want.Address)
			require.NoError(t, err)
			require.Equal(t, want.Address, all[0].Header.Address)
		}
		unknown := meters[0].Address
		unknown.Version++
		_, err := m.ReadSecondary(t.Context(), unknown)
		require.ErrorIs(t, err, bus.ErrNoAnswer)
		_, err = m.ReadSecondary(t.Context(), mbus.AnyAddress())
		require.ErrorIs(t, err, bus.ErrGarbled)
		require.NoError(t, m.SelectFabrication(t.Context(), mbus.AnyAddress(), meters[7].Address.ID))
		all, err := m.ReadSecondary(t.Context(), meters[7].Address)
		require.NoError(t, err)
		require.Equal(t, meters[7].Address, all[0].Header.Address)
	})
}

func TestScanPrimary(t *testing.T) {
	meters := mbussim.Standard(6, start)
	meters[3].Primary = 2 // two slaves at one address
	meters[4].Primary = 250
	meters[5].Primary = 0
	on(t, &mbussim.Config{Meters: meters}, nil, func(t *testing.T, m *bus.Master) {
		last, told := 0.0, 0
		found, err := m.ScanPrimary(t.Context(), &bus.Scan{
			Progress: func(done float64, found int) {
				require.GreaterOrEqual(t, done, last)
				last = done
			},
			Found: func(bus.Found) { told++ },
		})
		require.NoError(t, err)
		require.Equal(t, 1.0, last)
		require.Equal(t, len(found), told)
		var lines []string
		for _, f := range found {
			lines = append(lines, fmt.Sprint(f.Primary, f.Address == mbus.Address{}, f.Collision))
		}
		require.Equal(t, []string{"0 false false", "1 false false", "2 true true", "3 false false", "250 false false"}, lines)
	})
}

func TestScanSecondary(t *testing.T) {
	for name, test := range map[string]struct {
		change func([]mbussim.Meter)
		faults mbussim.Faults
		scan   bus.Scan
	}{
		"digits, some hexadecimal": {},
		"answers out of step":      {faults: mbussim.Faults{Collisions: true}},
		"echo":                     {faults: mbussim.Faults{Echo: true}},
		"lossy line":               {faults: mbussim.Faults{Lose: 7}, scan: bus.Scan{Retries: 2}},
		"disturbed line":           {faults: mbussim.Faults{Damage: 5, Noise: 7}, scan: bus.Scan{Retries: 1}},
		"equal IDs of other types": {change: func(m []mbussim.Meter) {
			for i := range 4 {
				m[i].Address.ID = 0x12345678
			}
		}},
		"equal but for the version": {change: func(m []mbussim.Meter) {
			for i := range 3 {
				m[i].Address = mbus.Address{ID: 0x12345678, Manufacturer: m[0].Address.Manufacturer, Version: byte(0xA0 + i), Type: 7}
			}
		}},
		"equal but for the manufacturer": {change: func(m []mbussim.Meter) {
			for i := range 3 {
				m[i].Address = mbus.Address{ID: 0x12345678, Manufacturer: m[i+4].Address.Manufacturer, Version: 0xBC, Type: 7}
			}
		}},
		"a digit F": {change: func(m []mbussim.Meter) {
			m[0].Address.ID, m[1].Address.ID = 0x9F345678, 0x9F345679
		}},
	} {
		t.Run(name, func(t *testing.T) {
			meters := mbussim.Standard(20, start)
			if test.change != nil {
				test.change(meters)
			}
			on(t, &mbussim.Config{Meters: meters, Faults: test.faults}, nil, func(t *testing.T, m *bus.Master) {
				found, err := m.ScanSecondary(t.Context(), &test.scan)
				require.NoError(t, err)
				var have, want []string
				for _, f := range found {
					require.False(t, f.Collision)
					require.NotZero(t, f.Primary)
					have = append(have, f.Address.String())
				}
				for _, s := range meters {
					want = append(want, s.Address.String())
				}
				slices.Sort(have)
				slices.Sort(want)
				require.Equal(t, want, slices.Compact(have))
			})
		})
	}
}

// Slaves that nothing tells apart are one collision, and the scan ends.
func TestScanTwins(t *testing.T) {
	meters := mbussim.Standard(3, start)
	meters[1].Address = meters[0].Address
	on(t, &mbussim.Config{Meters: meters}, nil, func(t *testing.T, m *bus.Master) {
		found, err := m.ScanSecondary(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, 2, len(found))
		collisions := 0
		for _, f := range found {
			if f.Collision {
				collisions++
				require.Equal(t, meters[0].Address.ID, f.Address.ID)
			}
		}
		require.Equal(t, 1, collisions)
	})
}

func TestScanWithin(t *testing.T) {
	meters := mbussim.Standard(20, start)
	on(t, &mbussim.Config{Meters: meters}, nil, func(t *testing.T, m *bus.Master) {
		within := mbus.AnyAddress()
		within.Type = 0x07
		found, err := m.ScanSecondary(t.Context(), &bus.Scan{Within: within})
		require.NoError(t, err)
		require.Len(t, found, 5)
		for _, f := range found {
			require.Equal(t, mbus.DeviceType(7), f.Address.Type)
		}
	})
}

func TestScanEndsWithItsContext(t *testing.T) {
	on(t, nil, nil, func(t *testing.T, m *bus.Master) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		found, err := m.ScanPrimary(ctx, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotEmpty(t, found)
	})
}

func TestCommands(t *testing.T) {
	on(t, nil, nil, func(t *testing.T, m *bus.Master) {
		ctx := t.Context()
		require.NoError(t, m.SetPrimary(ctx, 1, 77))
		all, err := m.Read(ctx, 77)
		require.NoError(t, err)
		a := all[0].Header.Address
		require.Equal(t, "heat", all[0].Meter().Medium.String())

		require.NoError(t, m.SetID(ctx, 77, 0x11223344))
		a.ID = 0x11223344
		_, err = m.ReadSecondary(ctx, a)
		require.NoError(t, err)
		a.Version = 9
		require.NoError(t, m.SetSecondary(ctx, link.Selected, a))
		_, err = m.ReadSecondary(ctx, a)
		require.NoError(t, err)

		require.NoError(t, m.SetClock(ctx, 2, time.Date(2026, 11, 20, 14, 59, 0, 0, time.UTC)))
		require.NoError(t, m.SelectApplication(ctx, 2, bus.InstantaneousValues))
		require.NoError(t, m.SelectReadout(ctx, 2))
		require.NoError(t, m.SelectReadout(ctx, 2, []byte{0xC8, 0x13}))
		require.NoError(t, m.Send(ctx, link.Broadcast, []byte{0x50}))
		require.Error(t, m.SetPrimary(ctx, 2, 251))
		require.ErrorIs(t, m.SetBaud(ctx, 2, 9600), bus.ErrNoLine)
		_, ok, err := m.Alarm(ctx, 2)
		require.NoError(t, err)
		require.False(t, ok)
	})
}

// The clock of a meter can be set ahead, and the reset makes the first telegram the next.
func TestClockAndApplicationReset(t *testing.T) {
	on(t, nil, nil, func(t *testing.T, m *bus.Master) {
		require.NoError(t, m.SetClock(t.Context(), 1, time.Date(2026, 11, 20, 14, 59, 0, 0, time.UTC)))
		all, err := m.Read(t.Context(), 1)
		require.NoError(t, err)
		var shown string
		for _, r := range all[0].Records {
			if r.Quantity == mbus.QuantityDateTime {
				shown = r.Value.String()
			}
		}
		require.Equal(t, "2026-11-20T14:59:00", shown)
		require.NoError(t, m.ResetApplication(t.Context(), 1))
		again, err := m.Read(t.Context(), 1)
		require.NoError(t, err)
		require.Len(t, again, len(all), "from the first telegram on")
	})
}

func TestEncryptedSlave(t *testing.T) {
	meters := mbussim.Standard(2, start)
	raw := []byte("0123456789abcdef")
	meters[0].Key = raw
	key, err := mbus.NewKey(raw)
	require.NoError(t, err)
	wrong, err := mbus.NewKey(bytes.Repeat([]byte{1}, 16))
	require.NoError(t, err)
	for name, test := range map[string]struct {
		key *mbus.Key
		err error
	}{"right key": {key, nil}, "wrong key": {wrong, mbus.ErrWrongKey}, "no key": {nil, mbus.ErrNoKey}} {
		t.Run(name, func(t *testing.T) {
			cfg := &bus.Config{Keys: func(mbus.Address) *mbus.Key { return test.key }}
			on(t, &mbussim.Config{Meters: meters}, cfg, func(t *testing.T, m *bus.Master) {
				all, err := m.Read(t.Context(), 1)
				require.ErrorIs(t, err, test.err)
				if test.err == nil {
					require.True(t, all[0].Security.Encrypted)
					require.Len(t, all[0].Records, 12)
				}
				_, err = m.Read(t.Context(), 2)
				if test.key != nil {
					require.ErrorIs(t, err, mbus.ErrUnprotected)
				} else {
					require.NoError(t, err)
				}
			})
			cfg.AcceptUnprotected = func(mbus.Address) bool { return true }
			on(t, &mbussim.Config{Meters: meters}, cfg, func(t *testing.T, m *bus.Master) {
				all, err := m.Read(t.Context(), 2)
				require.NoError(t, err)
				require.Equal(t, test.key != nil, all[0].Security.Unverified)
			})
		})
	}
}

func TestAlarm(t *testing.T) {
	meters := mbussim.Standard(1, start)
	meters[0].Alarm = func(time.Time) (byte, bool) { return 0x10, true }
	on(t, &mbussim.Config{Meters: meters}, nil, func(t *testing.T, m *bus.Master) {
		tg, ok, err := m.Alarm(t.Context(), 1)
		require.NoError(t, err)
		require.True(t, ok)
		alarm, ok := tg.Alarm()
		require.True(t, ok)
		require.Equal(t, byte(0x10), alarm)
	})
}

// line is a connection whose speed can be changed.
type line struct {
	net.Conn
	bauds []int
}

func (l *line) SetLine(baud int, framing string) error {
	l.bauds = append(l.bauds, baud)
	return nil
}

func TestSetBaud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- mbussim.New(nil).Serve(context.Background(), far) }()
		l := &line{Conn: near}
		m := bus.NewMaster(l, nil)
		require.NoError(t, m.SetBaud(t.Context(), 2, 9600))
		require.Error(t, m.SetBaud(t.Context(), 2, 9601))
		require.Error(t, m.SetBaud(t.Context(), 99, 300))
		require.Equal(t, []int{9600}, l.bauds)
		require.NoError(t, m.Close())
		<-done
	})
}

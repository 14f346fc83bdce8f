package iec62056sim_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/iec62056/iec62056sim"
	"github.com/openusm/meter/iec62056/p1"
	"github.com/openusm/meter/iec62056/sml"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// read signs on and reads out at once.
func read(t *testing.T, near *iec62056sim.Port, cfg *iec62056.Config) (iec62056.Readout, error) {
	c := iec62056.NewClient(near, cfg)
	if err := c.Open(t.Context()); err != nil {
		return iec62056.Readout{}, err
	}
	return c.Readout(t.Context())
}

func TestWrongBlockCheckIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, &iec62056sim.Config{Faults: iec62056sim.Faults{WrongBlockCheck: 2}})
		r, err := read(t, near, nil)
		require.NoError(t, err)
		require.Empty(t, r.BadLines())
	})
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, &iec62056sim.Config{Faults: iec62056sim.Faults{WrongBlockCheck: 9}})
		_, err := read(t, near, nil)
		require.ErrorIs(t, err, iec62056.ErrChecksum)
	})
}

func TestSleepingMeterIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, &iec62056sim.Config{Faults: iec62056sim.Faults{DeafTo: 2}})
		_, err := read(t, near, &iec62056.Config{WakeUp: true})
		require.NoError(t, err)
	})
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, &iec62056sim.Config{Faults: iec62056sim.Faults{DeafTo: 9}})
		begin := time.Now()
		_, err := read(t, near, nil)
		require.ErrorIs(t, err, iec62056.ErrNoAnswer)
		require.Less(t, time.Since(begin), 15*time.Second, "no endless wait")
	})
}

// The meter stays at 300 baud although it acknowledged 9600, as some do when the
// option came too early: the answer is garbage, and the reader must find out.
func TestRecoveryAtTheWrongRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, &iec62056sim.Config{Faults: iec62056sim.Faults{NoSwitch: true}})
		var sent [][]byte
		r, err := read(t, near, &iec62056.Config{Trace: func(send bool, b []byte) {
			if send {
				sent = append(sent, bytes.Clone(b))
			}
		}})
		require.NoError(t, err)
		require.True(t, r.Framed)
		require.Contains(t, sent, []byte("\x06000\r\n"), "asks for the rate of the sign-on in the end")
	})
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, &iec62056sim.Config{Faults: iec62056sim.Faults{NoSwitch: true}})
		_, err := read(t, near, &iec62056.Config{Retries: -1})
		require.ErrorIs(t, err, iec62056.ErrGarbled)
		require.ErrorContains(t, err, "9600 baud")
	})
}

// A session that another reader left open at 9600 is ended before the sign-on.
func TestSessionThatWasLeftOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, nil)
		require.NoError(t, iec62056.NewClient(near, nil).Program(t.Context()))
		require.Equal(t, 9600, near.Baud())
		_, err := read(t, near, nil)
		require.NoError(t, err)
	})
}

// The change from 300 to 9600 must come after the last character of the option
// and before the first of the meter, whose reaction time is 200 ms.
func TestSwitchDelay(t *testing.T) {
	for _, delay := range []time.Duration{0, 50 * time.Millisecond, 180 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			near := serve(t, nil)
			_, err := read(t, near, &iec62056.Config{SwitchDelay: delay, Retries: -1})
			require.NoError(t, err, delay)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, nil)
		_, err := read(t, near, &iec62056.Config{SwitchDelay: time.Second, Retries: -1})
		require.Error(t, err, "the meter began before the reader listened")
	})
}

func TestHighestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, nil)
		var sent []byte
		_, err := read(t, near, &iec62056.Config{MaxBaud: 2400, Trace: func(send bool, b []byte) {
			if send {
				sent = append(sent, b...)
			}
		}})
		require.NoError(t, err)
		require.Equal(t, "/?!\r\n\x06030\r\n", string(sent))
	})
}

// A port that stays at eight bits without parity, as TCP converters do, shows
// parity bits and must send them: the trap of Landis+Gyr ZMD meters.
func TestParityThroughAnEightBitPort(t *testing.T) {
	for _, parity := range []iec62056.Parity{iec62056.ParityAuto, iec62056.ParitySoftware} {
		synctest.Test(t, func(t *testing.T) {
			near := serve(t, &iec62056sim.Config{Identification: `LGZ4\2ZMD4054407`})
			require.NoError(t, near.SetLine(300, "8N1"))
			c := iec62056.NewClient(fixed{near}, &iec62056.Config{Parity: parity})
			r, err := c.Readout(t.Context())
			require.NoError(t, err)
			require.Empty(t, r.BadLines())
			require.Equal(t, "ZMD4054407", r.Identification.Model())
		})
	}
}

// fixed is a port that cannot change its settings.
type fixed struct{ io.ReadWriteCloser }

// echo is an optical head that shows what it sends.
type echo struct {
	*iec62056sim.Port
	back bytes.Buffer
}

func (e *echo) Write(b []byte) (int, error) {
	e.back.Write(b)
	return e.Port.Write(b)
}

func (e *echo) Read(b []byte) (int, error) {
	if e.back.Len() > 0 {
		return e.back.Read(b)
	}
	return e.Port.Read(b)
}

func TestEchoOfTheOpticalHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := iec62056.NewClient(&echo{Port: serve(t, nil)}, nil)
		_, err := c.Readout(t.Context())
		require.NoError(t, err)
		_, err = c.Read(t.Context(), "1.8.0")
		require.NoError(t, err)
	})
}

func TestMultiDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := iec62056sim.Line()
		bus := newBus(far, 3)
		for i, end := range bus {
			m := iec62056sim.New(&iec62056sim.Config{Address: fmt.Sprint(1000 + i)})
			go func() { _ = m.Serve(t.Context(), end) }()
		}
		c := iec62056.NewClient(near, &iec62056.Config{Address: "1001"})
		for _, address := range []string{"1002", "1000", "1001"} {
			require.NoError(t, c.Select(t.Context(), address))
			r, err := c.Readout(t.Context())
			require.NoError(t, err)
			require.Equal(t, address, r.Meter().Serial)
		}
		require.NoError(t, c.Select(t.Context(), "7777"))
		_, err := c.Readout(t.Context())
		require.ErrorIs(t, err, iec62056.ErrNoAnswer)
		require.NoError(t, c.Close(t.Context()))
	})
}

// newBus lets several meters listen to one end of a line.
func newBus(port *iec62056sim.Port, n int) (ends []net.Conn) {
	var far []net.Conn
	for range n {
		a, b := net.Pipe()
		ends, far = append(ends, a), append(far, b)
		go func() {
			buf := make([]byte, 256)
			for {
				n, err := b.Read(buf)
				if err != nil {
					return
				}
				_, _ = port.Write(buf[:n])
			}
		}()
	}
	go func() {
		buf := make([]byte, 256)
		for {
			n, err := port.Read(buf)
			for _, c := range far {
				if err != nil {
					_ = c.Close()
				} else {
					_, _ = c.Write(buf[:n])
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return ends
}

func TestProgrammingMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, &iec62056sim.Config{Password: "12345678"})
		c := iec62056.NewClient(near, &iec62056.Config{Password: "12345678"})
		require.NoError(t, c.Program(t.Context()))
		r, err := c.Read(t.Context(), "0.2.0")
		require.NoError(t, err)
		require.Equal(t, "1.04", r.AppendReadings(nil)[0].Value.String())
		require.NoError(t, c.Write(t.Context(), "0.2.0", "1.05"))
		r, err = c.Read(t.Context(), "0.2.0")
		require.NoError(t, err)
		require.Equal(t, "1.05", r.AppendReadings(nil)[0].Value.String())
		require.NoError(t, c.Execute(t.Context(), "01()"))
		_, err = c.Read(t.Context(), "9.9.9")
		var refused *iec62056.MeterError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "(ER01)", refused.Text)
		require.NoError(t, c.Close(t.Context()))
	})
}

func TestRetriesAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		near := serve(t, &iec62056sim.Config{Faults: iec62056sim.Faults{DeafTo: 1, WrongBlockCheck: 1}})
		_, err := read(t, near, &iec62056.Config{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		require.NoError(t, err)
		require.Equal(t, 2, strings.Count(log.String(), "msg=again"), log.String())
		require.Contains(t, log.String(), "identification at 300 baud: no answer")
		require.Contains(t, log.String(), "wrong block check character")
		require.Contains(t, log.String(), "baud=9600 framing=7E1")
	})
}

func TestMeterThatKnowsR1Alone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, &iec62056sim.Config{Faults: iec62056sim.Faults{NoR5: true}})
		c := iec62056.NewClient(near, nil)
		for range 2 {
			r, err := c.Read(t.Context(), "1.8.0")
			require.NoError(t, err)
			require.Equal(t, "1-0:1.8.0*255", r.AppendReadings(nil)[0].Code.String())
		}
	})
}

func TestEveryRate(t *testing.T) {
	for _, z := range "0123456789ABCDEFGHI" {
		synctest.Test(t, func(t *testing.T) {
			near := serve(t, &iec62056sim.Config{Identification: "OUM" + string(z) + "METERSIM"})
			_, err := read(t, near, &iec62056.Config{Retries: -1})
			require.NoError(t, err)
			rate, ok := iec62056.BaudRate(byte(z))
			require.True(t, ok)
			require.Equal(t, rate, near.Baud())
		})
	}
}

func TestDamagedPartialBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
		near := serve(t, &iec62056sim.Config{Now: func() time.Time { return now }, Faults: iec62056sim.Faults{WrongBlockCheck: 2}})
		c := iec62056.NewClient(near, &iec62056.Config{BlockLines: 7})
		profiles, err := c.Profile(t.Context(), "P.01", obis.LocalTime(2026, 11, 19, 0, 0, 0), obis.LocalTime(2026, 11, 20, 0, 0, 0))
		require.NoError(t, err)
		require.Len(t, profiles, 1)
		require.Equal(t, 97, profiles[0].Len())
	})
}

func TestWrongPasswordIsCalledSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, &iec62056sim.Config{Password: "12345678"})
		c := iec62056.NewClient(near, &iec62056.Config{Password: "00000000"})
		err := c.Program(t.Context())
		require.ErrorIs(t, err, iec62056.ErrRefused)
		require.ErrorIs(t, err, iec62056.ErrPassword)
	})
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, &iec62056sim.Config{Password: "12345678"})
		c := iec62056.NewClient(near, nil)
		_, err := c.Read(t.Context(), "1.8.0")
		require.NoError(t, err, "reading needs no password")
		var refused *iec62056.MeterError
		err = c.Write(t.Context(), "1.8.0", "0")
		require.ErrorAs(t, err, &refused)
		require.ErrorIs(t, err, iec62056.ErrRefused)
		require.NotErrorIs(t, err, iec62056.ErrPassword)
	})
}

// reversed is a manufacturer's algorithm: the operand backwards, sent by P2.
type reversed struct{}

func (reversed) Answer(operand, _ []byte) (string, []byte, error) {
	var b []byte
	for i := len(operand) - 1; i >= 0; i-- {
		b = append(b, operand[i])
	}
	return "P2", b, nil
}

type failing struct{}

func (failing) Answer([]byte, []byte) (string, []byte, error) { return "", nil, errors.New("no key") }

func TestManufacturerAlgorithm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, &iec62056sim.Config{Operand: "12AB", Password: "BA21"})
		c := iec62056.NewClient(near, &iec62056.Config{Algorithm: reversed{}})
		require.NoError(t, c.Write(t.Context(), "0.2.0", "x"))
		require.NoError(t, c.Close(t.Context()))
	})
	synctest.Test(t, func(t *testing.T) {
		c := iec62056.NewClient(serve(t, nil), &iec62056.Config{Algorithm: failing{}})
		require.ErrorContains(t, c.Program(t.Context()), "no key")
	})
}

// A month with the day that has 25 hours comes back whole and in order, in one
// answer and in partial blocks.
func TestProfileOfAMonthWithADaylightSavingDay(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	now := time.Date(2026, 11, 5, 12, 0, 0, 0, zone)
	for _, lines := range []int{0, 100} {
		for name, month := range map[string]time.Month{"25 hours": time.October, "no change": time.September} {
			synctest.Test(t, func(t *testing.T) {
				near := serve(t, &iec62056sim.Config{Now: func() time.Time { return now }, Zone: zone, Days: 100})
				c := iec62056.NewClient(near, &iec62056.Config{BlockLines: lines, SeasonDigit: true})
				first := time.Date(2026, month, 1, 0, 0, 0, 0, zone)
				last := first.AddDate(0, 1, 0)
				profiles, err := c.Profile(t.Context(), "P.01", wall(first), wall(last))
				require.NoError(t, err)
				require.Len(t, profiles, 1, name)
				p := profiles[0]
				require.EqualValues(t, 900, p.Period)
				require.Equal(t, "1-0:1.5.0*255", p.Columns[0].Code.String())
				require.Equal(t, obis.Watt, p.Columns[0].Unit)
				want := first
				for row := range p.Len() {
					at, ok := p.Times[row].Instant(obis.Clock{Zone: zone})
					require.True(t, ok)
					require.True(t, want.Equal(at), "row %d is at %v, want %v", row, at, want)
					quarter := at.Unix() / 900
					m, exp, ok := p.Columns[0].At(row).Decimal()
					require.True(t, ok)
					require.EqualValues(t, 0, exp)
					require.Equal(t, quarter%97*100, m)
					require.Equal(t, at.In(zone).IsDST(), p.Quality.At(row).Flags&obis.DST != 0)
					want = want.Add(15 * time.Minute)
				}
				require.Equal(t, int(last.Sub(first)/(15*time.Minute))+1, p.Len())
			})
		}
	}
}

func wall(t time.Time) obis.Time {
	u := obis.LocalTime(t.Year(), int(t.Month()), t.Day(), t.Hour(), t.Minute(), t.Second())
	u.Status = 0
	if t.IsDST() {
		u.Status = obis.TimeDST
	}
	return u
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
		near := serve(t, &iec62056sim.Config{Now: func() time.Time { return now }})
		c := iec62056.NewClient(near, nil)
		events, err := c.Events(t.Context(), "P.98", obis.Time{}, obis.Time{})
		require.NoError(t, err)
		require.Len(t, events, 3)
		require.Equal(t, "1-0:99.98.0*255", events[0].Log.String())
		require.EqualValues(t, 0x80, events[0].ID)
		require.Equal(t, "2026-11-17T22:00:00", events[0].Time.String())
		events, err = c.Events(t.Context(), "P.98", obis.LocalTime(2026, 11, 19, 0, 0, 0), obis.Time{})
		require.NoError(t, err)
		require.Len(t, events, 1)
	})
}

// The port that was handed over is live: at the agreed rate, in eight bits, with
// nothing lost of what the other protocol sent at once.
func TestModeEHandsTheLivePortOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := serve(t, &iec62056sim.Config{
			Identification: `LGZ5\2ZMD310`,
			HandOver: func(ctx context.Context, rw io.ReadWriteCloser) error {
				b := make([]byte, 3)
				if _, err := io.ReadFull(rw, b); err != nil {
					return err
				}
				_, err := rw.Write(append([]byte{0x7E, 0xA0, 0xFF}, b...))
				return err
			},
		})
		c := iec62056.NewClient(near, nil)
		require.NoError(t, c.Open(t.Context()))
		require.Equal(t, iec62056.ModeE, c.Identification().Mode())
		rw, err := c.HandOver(t.Context())
		require.NoError(t, err)
		require.NoError(t, c.Close(t.Context()), "the port is no longer the client's")
		_, err = rw.Write([]byte{0x93, 0x7E, 0x80})
		require.NoError(t, err)
		got := make([]byte, 6)
		_, err = io.ReadFull(rw, got)
		require.NoError(t, err)
		require.Equal(t, []byte{0x7E, 0xA0, 0xFF, 0x93, 0x7E, 0x80}, got)
		deadline, ok := rw.(interface{ SetReadDeadline(time.Time) error })
		require.True(t, ok)
		require.NoError(t, deadline.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = rw.Read(got)
		require.Error(t, err)
		require.NoError(t, rw.Close())
	})
}

func TestHandOverNeedsModeE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := iec62056.NewClient(serve(t, &iec62056sim.Config{Identification: "OUM METERSIM"}), nil)
		_, err := c.HandOver(t.Context())
		require.ErrorIs(t, err, iec62056.ErrRefused)
	})
}

func TestModeDPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := iec62056sim.Line()
		m := iec62056sim.New(&iec62056sim.Config{Identification: "OUM3METERSIM"})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Push(ctx, far, 10*time.Second) }()
		c := iec62056.NewClient(near, nil)
		for range 3 {
			r, err := c.Listen(t.Context())
			require.NoError(t, err)
			require.Empty(t, r.BadLines())
			require.Equal(t, "12345678", r.Meter().Serial)
		}
		require.EqualValues(t, 3, c.Pushed().Messages)
		cancel()
		<-done
		require.NoError(t, c.Close(t.Context()))
	})
}

func TestWatchLosesNoSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := iec62056.NewClient(serve(t, &iec62056sim.Config{Baud: 9600}), &iec62056.Config{Baud: 9600})
		for range 600 {
			r, err := c.Readout(t.Context())
			require.NoError(t, err)
			require.Len(t, r.AppendReadings(nil), 32)
			time.Sleep(time.Second)
		}
	})
}

func TestContextEndsEveryWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, _ := iec62056sim.Line()
		c := iec62056.NewClient(near, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		require.ErrorIs(t, c.Open(ctx), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begin))
	})
}

func TestUnpluggedAndOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 2 {
			near := serve(t, nil)
			c := iec62056.NewClient(near, nil)
			require.NoError(t, c.Open(t.Context()))
			require.NoError(t, near.Close())
			_, err := c.Readout(t.Context())
			require.Error(t, err)
			require.NotErrorIs(t, err, iec62056.ErrNoAnswer, "says that the line is gone, not that the meter is silent")
		}
	})
}

func TestP1Pushes(t *testing.T) {
	for version, want := range map[string]string{"5.0": "5.0", "4.2": "4.2", "3": "3", "50217": "50217"} {
		synctest.Test(t, func(t *testing.T) {
			near, far := iec62056sim.Line()
			baud, framing := 115200, "8N1"
			if version == "3" {
				baud = 9600 // the reader's port stays at eight bits
			}
			require.NoError(t, near.SetLine(baud, framing))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				done <- iec62056sim.NewP1(&iec62056sim.P1Config{Version: version, BadCRC: 2}).Serve(ctx, far)
			}()
			var s p1.Stream
			buf := make([]byte, 200)
			for got := 0; got < 3; {
				n, err := near.Read(buf)
				require.NoError(t, err)
				s.Feed(buf[:n])
				for m, err := s.Next(); err == nil; m, err = s.Next() {
					require.Equal(t, want, m.Telegram.Version().Number)
					require.Empty(t, m.Telegram.BadLines())
					got++
				}
			}
			if version != "3" {
				require.EqualValues(t, 2, s.Stats().ChecksumErrors)
			}
			cancel()
			<-done
		})
	}
}

func TestSMLPushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := iec62056sim.Line()
		require.NoError(t, near.SetLine(9600, "8N1"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- iec62056sim.NewSML(&iec62056sim.SMLConfig{BadCRC: 1}).Serve(ctx, far) }()
		var s sml.Stream
		buf := make([]byte, 50)
		for got := 0; got < 3; {
			n, err := near.Read(buf)
			require.NoError(t, err)
			s.Feed(buf[:n])
			for f, err := s.Next(); err == nil; f, err = s.Next() {
				readings, err := sml.AppendReadings(nil, f)
				require.NoError(t, err)
				require.Len(t, readings, 7)
				require.Equal(t, "1OUM0060694612", f.Meter().ID)
				got++
			}
		}
		require.EqualValues(t, 1, s.Stats().ChecksumErrors)
		cancel()
		<-done
	})
}

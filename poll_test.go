package meter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// fake is a meter whose profile has a row every quarter of an hour, and which can fail.
type fake struct {
	dials, reads int
	down         error
	takes        time.Duration
	hidden       map[int64]int // rows that are missing from so many answers
	froms        []time.Time
}

func (f *fake) driver() Driver {
	return Driver{Protocol: "fake", Dial: func(context.Context, Target, *Config) (Session, error) {
		f.dials++
		if f.down != nil {
			return nil, f.down
		}
		return &fakeSession{f: f}, nil
	}}
}

type fakeSession struct{ f *fake }

func (s *fakeSession) Read(ctx context.Context, _ ...obis.Pattern) (*Result, error) {
	time.Sleep(s.f.takes)
	s.f.reads++
	if s.f.down != nil {
		return nil, s.f.down
	}
	return &Result{Readings: []obis.Reading{{Code: obis.MustParse("1-0:1.8.0"), Value: obis.Int(int64(s.f.reads), 0)}}}, nil
}

func (s *fakeSession) Profiles(context.Context) ([]*obis.Profile, error) { return nil, nil }

func (s *fakeSession) Profile(_ context.Context, _ obis.Code, from, to time.Time) (*Result, error) {
	if s.f.down != nil {
		return nil, s.f.down
	}
	s.f.froms = append(s.f.froms, from)
	p := &obis.Profile{Period: 900, Columns: []obis.Column{{Code: obis.MustParse("1-0:1.29.0")}}}
	for at := from.Truncate(15 * time.Minute); !at.After(time.Now()); at = at.Add(15 * time.Minute) {
		if at.Before(from) {
			continue
		}
		if s.f.hidden[at.Unix()] > 0 {
			s.f.hidden[at.Unix()]--
			continue
		}
		p.Times = append(p.Times, obis.FromTime(at.UTC()))
		p.Columns[0].AppendInt(at.Unix())
	}
	return &Result{Profiles: []*obis.Profile{p}}, nil
}

func (s *fakeSession) Events(context.Context, time.Time, time.Time) (*Result, error) {
	return &Result{Events: []obis.Event{
		{ID: 1, Time: obis.FromTime(time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC))},
		{ID: 2, Time: obis.FromTime(time.Now().Add(-10 * time.Minute).UTC())},
	}}, nil
}
func (s *fakeSession) Protocol() Protocol          { return "fake" }
func (s *fakeSession) Close(context.Context) error { return nil }

var errEnough = errors.New("enough")

func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time begins at midnight
		f := &fake{takes: 10 * time.Millisecond}
		cfg := &Config{Protocol: "fake", Drivers: []Driver{f.driver()}}
		time.Sleep(7 * time.Second)
		var got []string
		start := time.Now().Truncate(time.Minute)
		err := Poll(t.Context(), "tcp://192.0.2.1:1", cfg, &Plan{Jobs: []Job{{Name: "slow", Interval: time.Minute, Offset: 5 * time.Second}, {Name: "fast", Interval: 20 * time.Second}}}, func(p *Polled) error {
			require.NoError(t, p.Err)
			require.Equal(t, time.Now().Add(2*p.Job.Interval), p.Until)
			require.Less(t, p.Load, 0.1)
			got = append(got, fmt.Sprintf("%s %v", p.Job.Name, p.Tick.Sub(start)))
			if len(got) == 9 {
				return errEnough
			}
			return nil
		})
		require.ErrorIs(t, err, errEnough)
		require.Equal(t, []string{"fast 0s", "slow 5s", "fast 20s", "fast 40s", "fast 1m0s", "slow 1m5s", "fast 1m20s", "fast 1m40s", "fast 2m0s"}, got)
		require.Equal(t, 1, f.dials)
	})
}

// A meter that fails is dialled again ever later, and each tick says so.
func TestPollRedials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		cfg := &Config{Protocol: "fake", Drivers: []Driver{f.driver()}}
		failed, read := 0, 0
		err := Poll(t.Context(), "tcp://192.0.2.1:1", cfg, &Plan{Jobs: []Job{{Interval: time.Second}}}, func(p *Polled) error {
			switch {
			case p.Err == nil:
				if read++; read == 10 {
					f.down = ErrHungUp
				}
				if read == 20 {
					return errEnough
				}
			default:
				require.ErrorIs(t, p.Err, ErrHungUp)
				if failed++; failed == 300 {
					f.down = nil
				}
			}
			return nil
		})
		require.ErrorIs(t, err, errEnough)
		require.GreaterOrEqual(t, failed, 300)
		require.LessOrEqual(t, failed, 300+120)
		require.Less(t, f.dials, 15, "it is not dialled at each tick")
	})
}

// Ticks that fall into a sweep are made up for; those of a meter that cannot keep up are left out.
func TestPollBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: 3 * time.Second}
		cfg := &Config{Protocol: "fake", Drivers: []Driver{f.driver()}}
		var ticks []time.Time
		begun := time.Now()
		err := Poll(t.Context(), "tcp://192.0.2.1:1", cfg, &Plan{Jobs: []Job{{Interval: 2 * time.Second}}}, func(p *Polled) error {
			require.LessOrEqual(t, time.Since(p.Tick), (maxBehind+3)*2*time.Second)
			if ticks = append(ticks, p.Tick); len(ticks) == 40 {
				require.Greater(t, p.Load, 0.95)
				return errEnough
			}
			return nil
		})
		require.ErrorIs(t, err, errEnough)
		require.Equal(t, 120*time.Second, time.Since(begun))
		require.True(t, slices.IsSortedFunc(ticks, time.Time.Compare))
	})
}

// Rows come once each, whatever was missing meanwhile.
func TestPollFillsGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(36 * time.Hour)
		midnight := time.Now().Truncate(24 * time.Hour)
		f := &fake{hidden: map[int64]int{midnight.Add(6 * time.Hour).Unix(): 1, midnight.Add(13 * time.Hour).Unix(): 99}}
		cfg := &Config{Protocol: "fake", Drivers: []Driver{f.driver()}}
		rows := map[int64]int{}
		n := 0
		begun := time.Now()
		err := Poll(t.Context(), "tcp://192.0.2.1:1", cfg, &Plan{Jobs: []Job{{What: ProfileRows, Interval: 15 * time.Minute, Offset: time.Minute, LookBack: 12 * time.Hour}}}, func(p *Polled) error {
			if p.Err == nil {
				for row := range p.Result.Profiles[0].Times {
					v, _, _ := p.Result.Profiles[0].Columns[0].At(row).Decimal()
					rows[v]++
				}
			}
			switch n++; n {
			case 10:
				f.down = ErrTimeout
			case 18:
				f.down = nil
			case 40:
				return errEnough
			}
			return nil
		})
		require.ErrorIs(t, err, errEnough)
		want := 0
		for at := begun.Add(-12 * time.Hour); !at.After(time.Now()); at = at.Add(15 * time.Minute) {
			at := at.Truncate(15 * time.Minute)
			if !at.Before(begun.Add(-12*time.Hour)) && !at.Equal(midnight.Add(13*time.Hour)) {
				require.Equal(t, 1, rows[at.Unix()], "%v", at)
				want++
			}
		}
		require.Equal(t, want, len(rows))
		require.Less(t, time.Since(f.froms[len(f.froms)-1]), 31*time.Minute, "what never comes is not asked for for ever")
	})
}

func TestPollEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		cfg := &Config{Protocol: "fake", Drivers: []Driver{f.driver()}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var got []uint32
		err := Poll(ctx, "tcp://192.0.2.1:1", cfg, &Plan{Jobs: []Job{{What: EventLogs, Interval: 10 * time.Minute, LookBack: time.Hour, Since: time.Now().Add(-time.Hour)}}}, func(p *Polled) error {
			for _, e := range p.Result.Events {
				got = append(got, e.ID)
			}
			return nil
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, []uint32{2, 2, 2, 2, 2, 2}, got[:6], "each has a time of its own")
	})
}

// Of a meter that pushes each tick brings the newest, not the oldest that waits, and
// a meter that is silent is told of.
func TestPollPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		err := Poll(ctx, "sim:p1", &Config{Protocol: P1}, &Plan{Jobs: []Job{{Interval: 30 * time.Second}}}, func(p *Polled) error {
			require.NoError(t, p.Err)
			require.Less(t, time.Since(p.Result.Received), 11*time.Second)
			require.True(t, p.Until.After(time.Now()))
			n++
			return nil
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.InDelta(t, 20, n, 2)
	})
}

// A command is carried out between two jobs, in the same session.
func TestPollCommands(t *testing.T) {
	var commands Commands
	ctx, cancel := context.WithCancel(t.Context())
	polled := make(chan string, 100)
	done := make(chan error)
	go func() {
		done <- Poll(ctx, "sim:dlms", nil, &Plan{Jobs: []Job{{Codes: []obis.Pattern{obis.Exactly(Breaker)}, Interval: 20 * time.Millisecond}}, Commands: &commands}, func(p *Polled) error {
			if p.Err == nil {
				polled <- p.Result.Readings[0].Value.String()
			}
			return p.Err
		})
	}()
	await := func(want string) {
		for {
			select {
			case got := <-polled:
				if got == want {
					return
				}
			case err := <-done:
				t.Fatal(err)
			}
		}
	}
	await("true")
	for _, n := range []int64{0, 1} {
		_, err := commands.Command(t.Context(), site.Command{Code: Breaker, Value: obis.Enum(n)})
		require.NoError(t, err)
		await(fmt.Sprint(n == 1))
	}
	_, err := commands.Command(t.Context(), site.Command{Code: obis.MustParse("1-0:99.9.0"), Value: obis.Enum(1)})
	require.ErrorIs(t, err, ErrNotSupported)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	late, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	_, err = commands.Command(late, site.Command{Code: Breaker})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestPollRefuses(t *testing.T) {
	require.Error(t, Poll(t.Context(), "tcp://192.0.2.1", nil, &Plan{Jobs: []Job{{Interval: 1}}}, nil))
	require.ErrorContains(t, Poll(t.Context(), "sim:p1", nil, &Plan{Jobs: []Job{{Name: "x"}}}, nil), `job "x"`)
}

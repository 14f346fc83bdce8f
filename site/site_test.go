package site

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

func code(c, e byte) obis.Code { return obis.Code{1, 0, c, 8, e, 255} }

// data are registers of a meter with values.
func data(values ...int64) *mapping.Data {
	d := &mapping.Data{}
	for i, v := range values {
		d.Readings = append(d.Readings, obis.Reading{Code: code(byte(i+1), 0), Unit: obis.WattHour, Value: obis.Int(v, 0), RawID: fmt.Appendf(nil, "raw%d", i)})
	}
	return d
}

// text shows a change: what is set, with a star where it is old.
func text(c Change) string {
	if c.Data == nil {
		return string(c.Meter) + " gone"
	}
	s := string(c.Meter)
	for _, i := range c.Set {
		x := &c.Data.Readings[i]
		s += fmt.Sprintf(" %d=%v", x.Code[2], x.Value)
		if x.Quality.Flags&obis.Old != 0 {
			s += "*"
		}
	}
	for _, p := range c.Data.Profiles {
		s += fmt.Sprintf(" %d rows", p.Len())
	}
	if n := len(c.Data.Events); n > 0 {
		s += fmt.Sprintf(" %d events", n)
	}
	return s
}

// watching returns what a watcher got until everybody waits.
func watching(t *testing.T, s Source) func() []string {
	var mu sync.Mutex
	var got []string
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for c := range s.Watch(ctx) {
			mu.Lock()
			got = append(got, text(c))
			mu.Unlock()
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return func() []string {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		list := got
		got = nil
		return list
	}
}

func TestPut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		require.ErrorIs(t, s.Put("a", data(1), Stamp{}), ErrNoMeter)
		require.NoError(t, s.Add("a", obis.Meter{ID: "A"}))
		got := watching(t, s)
		require.Equal(t, []string{"a"}, got())
		require.NoError(t, s.Put("a", data(1, 2, 3), Stamp{Job: "x"}))
		require.Equal(t, []string{"a 1=1 2=2 3=3"}, got())
		before, _ := s.Last("a")
		time.Sleep(time.Second)
		require.NoError(t, s.Put("a", data(1, 2, 3), Stamp{Job: "x"}))
		require.Empty(t, got(), "nothing is new")
		after, _ := s.Last("a")
		require.Same(t, before.Data, after.Data)
		require.True(t, after.Received.After(before.Received))
		require.NoError(t, s.Put("a", data(1, 9, 3), Stamp{Job: "x"}))
		require.Equal(t, []string{"a 2=9"}, got())
		require.Equal(t, "2", before.Data.Readings[1].Value.String(), "what was told does not change")

		// A job brings a part, in any order, and new ones stand at the end.
		d := data(1, 9, 3, 4)
		d.Readings = []obis.Reading{d.Readings[3], d.Readings[0]}
		require.NoError(t, s.Put("a", d, Stamp{Job: "y"}))
		require.Equal(t, []string{"a 4=4"}, got())
		last, _ := s.Last("a")
		require.Len(t, last.Data.Readings, 4)
		clear(d.Readings[0].RawID)
		require.Equal(t, "raw3", string(last.Data.Readings[3].RawID), "nothing of what was put is kept")

		// Two readings of one code and id are two.
		d = data(5)
		d.Readings = append(d.Readings, d.Readings[0])
		d.Readings[1].Value = obis.Int(6, 0)
		require.NoError(t, s.Put("a", d, Stamp{Job: "z"}))
		require.Equal(t, []string{"a 1=5 1=6"}, got())
		require.NoError(t, s.Put("a", d, Stamp{Job: "z"}))
		require.Empty(t, got())

		d = &mapping.Data{Events: []obis.Event{{ID: 1}}, Profiles: []*obis.Profile{{Times: make([]obis.Time, 2)}}}
		require.NoError(t, s.Put("a", d, Stamp{Job: "z"}))
		require.Equal(t, []string{"a 2 rows 1 events"}, got())

		require.NoError(t, s.Add("a", obis.Meter{ID: "B"}))
		require.Equal(t, []string{"a"}, got())
		last, _ = s.Last("a")
		require.Equal(t, "B", last.Data.Meter.ID)
		require.Len(t, last.Data.Readings, 5)
		require.NoError(t, s.Remove("a"))
		require.Equal(t, []string{"a gone"}, got())
		require.ErrorIs(t, s.Remove("a"), ErrNoMeter)
		_, ok := s.Last("a")
		require.False(t, ok)
		require.NoError(t, s.Add("a", obis.Meter{}))
		require.Equal(t, []string{"a"}, got())
		require.Equal(t, []ID{"a"}, s.Meters())
	})
}

// What does not come again grows old, alone and once, and is young when it comes.
func TestAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		require.NoError(t, s.Add("a", obis.Meter{}))
		require.NoError(t, s.Add("b", obis.Meter{}))
		got := watching(t, s)
		got()
		put := func(id ID, job string, d *mapping.Data, valid time.Duration) {
			require.NoError(t, s.Put(id, d, Stamp{Job: job, Until: time.Now().Add(valid)}))
		}
		put("a", "x", data(1, 2, 3), 10*time.Second)
		put("a", "y", &mapping.Data{Readings: data(1, 2, 3, 4).Readings[3:]}, time.Minute)
		put("b", "x", data(7), 15*time.Second)
		got()
		time.Sleep(6 * time.Second)
		put("a", "x", data(1, 2), 10*time.Second) // the third does not come any more
		require.Empty(t, got())
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"a 3=3*"}, got())
		time.Sleep(4 * time.Second)
		require.Equal(t, []string{"b 1=7*"}, got())
		last, _ := s.Last("b")
		require.True(t, last.Stale)
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"a 1=1* 2=2*"}, got())
		time.Sleep(time.Hour)
		require.Equal(t, []string{"a 4=4*"}, got())
		put("a", "x", data(1, 2, 3), time.Second)
		require.Equal(t, []string{"a 1=1 2=2 3=3"}, got())
		require.NoError(t, s.Fail("a", "x", time.Time{}))
		require.Equal(t, []string{"a 1=1* 2=2* 3=3*"}, got())
		require.NoError(t, s.Fail("a", "x", time.Time{}))
		require.Empty(t, got(), "old is old")
		require.ErrorIs(t, s.Fail("none", "x", time.Time{}), ErrNoMeter)
		require.NoError(t, s.Add("c", obis.Meter{}))
		got()
		require.NoError(t, s.Fail("c", "x", time.Time{}))
		require.Equal(t, []string{"c"}, got(), "a meter that never answered is told of")
		last, _ = s.Last("c")
		require.True(t, last.Stale)
		put("b", "y", data(1, 2), time.Hour)
		put("b", "z", &mapping.Data{Readings: data(1, 2, 3).Readings[2:]}, 5*time.Second) // sooner than what is waited for
		got()
		time.Sleep(5*time.Second + time.Millisecond)
		require.Equal(t, []string{"b 3=3*"}, got())
		cancel()
		require.NoError(t, <-done)
	})
}

// A face that is slow gets the newest of each meter with all that is new to it; nobody waits for it.
func TestSlowFace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		require.NoError(t, s.Add("a", obis.Meter{}))
		require.NoError(t, s.Put("a", data(1, 2, 3), Stamp{}))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got []string
		next := make(chan bool)
		go func() {
			for c := range s.Watch(ctx) {
				got = append(got, text(c))
				<-next
			}
			close(next)
		}()
		synctest.Wait()
		require.NoError(t, s.Put("a", data(4, 2, 3), Stamp{}))
		require.NoError(t, s.Put("a", data(4, 5, 3), Stamp{}))
		require.NoError(t, s.Put("a", data(6, 5, 3), Stamp{}))
		next <- true
		synctest.Wait()
		require.Equal(t, []string{"a 1=1 2=2 3=3", "a 1=6 2=5"}, got)
		require.NoError(t, s.Remove("a"))
		require.NoError(t, s.Add("a", obis.Meter{}))
		next <- true
		synctest.Wait()
		next <- true
		synctest.Wait()
		require.Equal(t, []string{"a 1=1 2=2 3=3", "a 1=6 2=5", "a gone", "a"}, got)
		cancel()
		next <- true
		synctest.Wait()
	})
}

func TestAfter(t *testing.T) {
	s := New(&Config{Store: NewMemory(3)})
	require.NoError(t, s.Add("a", obis.Meter{}))
	last, _ := s.Last("a")
	after := func(seq uint64) (list []string) {
		for c, err := range s.After(seq) {
			if err != nil {
				list = append(list, err.Error())
				continue
			}
			list = append(list, text(c))
		}
		return list
	}
	for i := range int64(3) {
		require.NoError(t, s.Put("a", data(i), Stamp{}))
	}
	require.Equal(t, []string{"a 1=0", "a 1=1", "a 1=2"}, after(last.Seq))
	require.Equal(t, []string{"a 1=2"}, after(last.Seq+2))
	require.Empty(t, after(last.Seq+3))
	require.Equal(t, []string{ErrGap.Error(), "a 1=0", "a 1=1", "a 1=2"}, after(last.Seq+4), "a number that was never given")
	require.NoError(t, s.Put("a", data(9), Stamp{}))
	require.Equal(t, []string{ErrGap.Error(), "a 1=1", "a 1=2", "a 1=9"}, after(last.Seq))

	again := New(&Config{Store: s.store})
	require.NoError(t, again.Add("a", obis.Meter{}))
	next, _ := again.Last("a")
	newest, _ := s.Last("a")
	require.Greater(t, next.Seq, newest.Seq, "numbers go on")
}

// Rows come in any order, and more than once: they are kept in the order of time, once.
func TestRows(t *testing.T) {
	s := New(nil)
	require.NoError(t, s.Add("a", obis.Meter{}))
	start := time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC)
	put := func(rows ...int) {
		p := &obis.Profile{Code: obis.Code{1, 0, 99, 1, 0, 255}, Period: 900, Columns: []obis.Column{{Code: code(1, 0)}}}
		for n, r := range rows {
			p.Times = append(p.Times, obis.FromTime(start.Add(time.Duration(r)*15*time.Minute)))
			p.Columns[0].AppendInt(int64(r))
			if r == 3 {
				p.Quality.Add(n, obis.Quality{Flags: obis.PowerDown})
			}
			if r == 4 {
				p.Columns[0].Quality.Add(n, obis.Quality{Flags: obis.Estimated})
			}
		}
		require.NoError(t, s.Put("a", &mapping.Data{Profiles: []*obis.Profile{p}}, Stamp{}))
	}
	put(5, 6, 7)
	put(3, 4, 5)
	put(0, 1)
	put(8)
	var got []string
	for p, err := range s.Rows("a", obis.Code{1, 0, 99, 1, 0, 255}, start.Add(15*time.Minute), start.Add(105*time.Minute)) {
		require.NoError(t, err)
		for row := range p.Times {
			got = append(got, p.Columns[0].At(row).String()+p.Quality.At(row).Flags.String()+p.Columns[0].Quality.At(row).Flags.String())
		}
	}
	require.Equal(t, []string{"1goodgood", "3power-downgood", "4goodestimated", "5goodgood", "6goodgood", "7goodgood"}, got)

	// Columns that changed are a profile of their own, and so is another period.
	other := &obis.Profile{Code: obis.Code{1, 0, 99, 1, 0, 255}, Period: 900, Columns: []obis.Column{{Code: code(2, 0)}}, Times: []obis.Time{obis.FromTime(start.Add(10 * time.Hour))}}
	other.Columns[0].AppendInt(1)
	slow := other.Clone()
	slow.Period, slow.Times[0] = 3600, obis.FromTime(start.Add(11*time.Hour))
	unit := slow.Clone()
	unit.Columns[0].Unit, unit.Times[0] = obis.WattHour, obis.FromTime(start.Add(12*time.Hour))
	require.NoError(t, s.Put("a", &mapping.Data{Profiles: []*obis.Profile{other, slow, unit}}, Stamp{}))
	pages := 0
	for p, err := range s.Rows("a", other.Code, start.Add(9*time.Hour), time.Time{}) {
		require.NoError(t, err)
		require.Equal(t, 1, p.Len())
		pages++
	}
	require.Equal(t, 3, pages)
	for range s.Rows("none", other.Code, time.Time{}, time.Time{}) {
		t.Fatal("a meter that there is not")
	}
}

// A job that brings the same number of other readings, or the same in another order, is told apart.
func TestPutOrder(t *testing.T) {
	s := New(nil)
	require.NoError(t, s.Add("a", obis.Meter{}))
	d := data(1, 2, 3)
	require.NoError(t, s.Put("a", d, Stamp{}))
	slices.Reverse(d.Readings)
	require.NoError(t, s.Put("a", d, Stamp{}))
	c, _ := s.Last("a")
	require.Equal(t, "a 1=1 2=2 3=3", text(c), "nothing is new")
	d.Readings[1].RawID = []byte("another")
	require.NoError(t, s.Put("a", d, Stamp{}))
	c, _ = s.Last("a")
	require.Len(t, c.Data.Readings, 4)
	require.Equal(t, []int{3}, c.Set)
	for _, change := range []func(x *obis.Reading){
		func(x *obis.Reading) { x.Unit = obis.Watt }, func(x *obis.Reading) { x.Time = obis.LocalTime(2026, 1, 1, 0, 0, 0) },
		func(x *obis.Reading) { x.Quality.Flags = obis.Estimated }, func(x *obis.Reading) { x.Quality.Raw = 1 },
		func(x *obis.Reading) { x.Start = obis.LocalTime(2026, 1, 1, 0, 0, 0) }, func(x *obis.Reading) { x.Rule = obis.RuleDerived },
		func(x *obis.Reading) { x.Value = obis.Int(10, -1) }, func(x *obis.Reading) { x.UnitText = []byte("furlong") },
	} {
		change(&d.Readings[2])
		require.NoError(t, s.Put("a", d, Stamp{}))
		c, _ = s.Last("a")
		require.Equal(t, []int{0}, c.Set)
	}
}

func TestView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		for _, id := range []ID{"a", "b", "c"} {
			require.NoError(t, s.Add(id, obis.Meter{ID: "serial " + string(id), Serial: "1"}))
		}
		view := View{Meters: []ID{"a", "b"}, Patterns: []obis.Pattern{pattern(t, "1-0:2.8.0"), pattern(t, "0-0:96.1.0")},
			Pseudonym: func(id ID) ID { return "x" + id }}
		v := view.Of(s)
		got := watching(t, v)
		require.Equal(t, []string{"xa", "xb"}, got())
		d := data(1, 2, 3)
		d.Readings = append(d.Readings, obis.Reading{Code: obis.Code{0, 0, 96, 1, 0, 255}, Value: obis.Text([]byte("serial a"))})
		require.NoError(t, s.Put("a", d, Stamp{}))
		require.NoError(t, s.Put("c", d, Stamp{}))
		require.Equal(t, []string{"xa 2=2"}, got())
		require.NoError(t, s.Put("a", data(9, 2, 3), Stamp{}))
		require.Empty(t, got(), "what it does not show does not wake it")
		c, ok := v.Last("xa")
		require.True(t, ok)
		require.Len(t, c.Data.Readings, 1)
		require.Nil(t, c.Data.Readings[0].RawID)
		require.Equal(t, obis.Meter{ID: "xa"}, c.Data.Meter)
		for _, hidden := range []ID{"a", "c", "xc"} {
			_, ok = v.Last(hidden)
			require.False(t, ok)
		}
		n := 0
		for c, err := range v.After(0) {
			require.NoError(t, err)
			require.Contains(t, []ID{"xa", "xb"}, c.Meter)
			n++
		}
		require.Equal(t, 1, n)
		require.NoError(t, s.Remove("a"))
		require.Equal(t, []string{"xa gone"}, got())
	})
}

func TestViewThins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		require.NoError(t, s.Add("a", obis.Meter{}))
		got := watching(t, View{Interval: time.Minute}.Of(s))
		got()
		for i := range int64(150) {
			time.Sleep(time.Second)
			require.NoError(t, s.Put("a", data(i/10, i), Stamp{}))
		}
		time.Sleep(time.Minute)
		list := got()
		require.Len(t, list, 3)
		require.Equal(t, "a 1=14 2=149", list[2])
		require.NoError(t, s.Remove("a"))
		require.Equal(t, []string{"a gone"}, got())
	})
}

// Nobody gets a picture that never was, whoever does what at the same time.
func TestTogether(t *testing.T) {
	s := New(nil)
	ctx, cancel := context.WithCancel(t.Context())
	var faces, meters sync.WaitGroup
	faces.Go(func() { require.NoError(t, s.Run(ctx)) })
	for range 4 {
		faces.Go(func() {
			seen := map[ID]uint64{}
			pictures := map[ID][]obis.Reading{}
			for c := range s.Watch(ctx) {
				require.Greater(t, c.Seq, seen[c.Meter])
				seen[c.Meter] = c.Seq
				if c.Data == nil {
					delete(pictures, c.Meter)
					continue
				}
				// What the face puts together of Set is the picture.
				picture := pictures[c.Meter]
				for _, i := range c.Set {
					for len(picture) <= i {
						picture = append(picture, obis.Reading{})
					}
					picture[i] = c.Data.Readings[i]
				}
				require.Equal(t, c.Data.Readings, append([]obis.Reading(nil), picture...))
				pictures[c.Meter] = picture
				if rand.IntN(8) == 0 {
					time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
				}
			}
		})
	}
	for m := range 6 {
		meters.Go(func() {
			id := ID(fmt.Sprint(m))
			require.NoError(t, s.Add(id, obis.Meter{}))
			for i := range int64(400) {
				job := fmt.Sprint(i % 3)
				d := data(i/7, i, i%5, 4)
				d.Readings = slices.Delete(d.Readings, int(i%3), int(i%3)+1)
				var err error
				switch {
				case i%31 == 0:
					err = s.Fail(id, job, time.Time{})
				case i == 200:
					require.NoError(t, s.Remove(id))
					err = s.Add(id, obis.Meter{})
				default:
					err = s.Put(id, d, Stamp{Job: job, Until: time.Now().Add(time.Duration(i%3) * time.Millisecond)})
				}
				require.NoError(t, err)
			}
		})
	}
	meters.Wait()
	time.Sleep(20 * time.Millisecond)
	last, highest := uint64(0), uint64(0)
	for c, err := range s.After(0) {
		if err == nil {
			require.Greater(t, c.Seq, last, "the store has them in order")
			last = c.Seq
		}
	}
	for _, id := range s.Meters() {
		c, _ := s.Last(id)
		highest = max(highest, c.Seq)
	}
	require.Equal(t, highest, last)
	cancel()
	faces.Wait()
}

func TestCommands(t *testing.T) {
	_, err := Do(t.Context(), nil, Command{})
	require.ErrorIs(t, err, ErrPolicy)
	require.Equal(t, "select", Select.String())
}

// watched returns a site with a meter of 100 readings and four faces.
func watched(b *testing.B) (*Site, *mapping.Data) {
	s := New(nil)
	require.NoError(b, s.Add("a", obis.Meter{ID: "A"}))
	values := make([]int64, 100)
	d := data(values...)
	d.Meter = obis.Meter{ID: "A"}
	require.NoError(b, s.Put("a", d, Stamp{Job: "x"}))
	for range 4 {
		go func() {
			for range s.Watch(b.Context()) {
			}
		}()
	}
	time.Sleep(10 * time.Millisecond)
	return s, d
}

func BenchmarkPut(b *testing.B) {
	b.Run("unchanged", func(b *testing.B) {
		s, d := watched(b)
		b.ReportAllocs()
		for b.Loop() {
			_ = s.Put("a", d, Stamp{Job: "x", Until: time.Now().Add(time.Minute)})
		}
	})
	b.Run("five changes", func(b *testing.B) {
		s, d := watched(b)
		b.ReportAllocs()
		for n := int64(0); b.Loop(); n++ {
			for i := range 5 {
				d.Readings[i*17].Value = obis.Int(n, 0)
			}
			_ = s.Put("a", d, Stamp{Job: "x", Until: time.Now().Add(time.Minute)})
		}
	})
}

// BenchmarkMany is a put into a site of 10,000 meters of 20 readings, of which one is
// new, with eight faces.
func BenchmarkMany(b *testing.B) {
	s := New(nil)
	const meters = 10_000
	ids := make([]ID, meters)
	d := data(make([]int64, 20)...)
	for i := range ids {
		ids[i] = ID(fmt.Sprintf("meter%05d", i))
		require.NoError(b, s.Add(ids[i], obis.Meter{}))
		require.NoError(b, s.Put(ids[i], d, Stamp{Job: "x", Until: time.Now().Add(time.Hour)}))
	}
	for range 8 {
		go func() {
			for range s.Watch(b.Context()) {
			}
		}()
	}
	time.Sleep(100 * time.Millisecond)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		d.Readings[3].Value = obis.Int(int64(n), 0)
		_ = s.Put(ids[n%meters], d, Stamp{Job: "x", Until: time.Now().Add(time.Hour)})
	}
}

func pattern(t *testing.T, text string) obis.Pattern {
	p, err := obis.ParsePattern(text)
	require.NoError(t, err)
	return p
}

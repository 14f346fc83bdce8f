package obis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestColumnKeepsNumbersColumnar(t *testing.T) {
	c := Column{Exp: -3}
	c.AppendInt(1)
	c.AppendMissing()
	c.Append(Int(3, -3))
	require.Equal(t, 3, c.Len())
	require.Equal(t, Int(1, -3), c.At(0))
	require.True(t, c.At(1).IsNone())
	require.Equal(t, Int(3, -3), c.At(2))
	require.Empty(t, c.Values)
	require.Equal(t, 2, c.Present.Count())

	c.Append(Text([]byte("x")))
	require.Equal(t, 4, c.Len())
	require.Equal(t, Int(1, -3), c.At(0))
	require.True(t, c.At(1).IsNone())
	require.Equal(t, Text([]byte("x")), c.At(3))
	require.True(t, c.At(4).IsNone())
	require.True(t, c.At(-1).IsNone())
}

func TestTruncate(t *testing.T) {
	for _, rows := range []int{0, 1, 63, 64, 65, 129, 130, 200} {
		var c Column
		for i := range 130 {
			if i%3 == 0 {
				c.AppendMissing()
			} else {
				c.AppendInt(int64(i))
			}
		}
		c.Truncate(rows)
		want := min(rows, 130)
		require.Equal(t, want, c.Len())
		require.True(t, c.At(want).IsNone())
		c.AppendMissing()
		require.True(t, c.At(want).IsNone(), "nothing is left of the row that was there")
		require.Equal(t, want-(want+2)/3, c.Present.Count())
	}
}

func TestRuns(t *testing.T) {
	var r Runs
	bad := Quality{Flags: Invalid}
	r.Add(2, bad)
	r.Add(3, bad)
	r.Add(9, Quality{Flags: DST})
	require.Len(t, r, 4)
	for row, want := range map[int]Quality{0: {}, 1: {}, 2: bad, 3: bad, 4: {}, 9: {Flags: DST}, 10: {}} {
		require.Equal(t, want, r.At(row), row)
	}
}

func TestProfileReuse(t *testing.T) {
	p := Profile{Columns: make([]Column, 1)}
	fill := func() {
		p.Reset()
		for i := range 100 {
			p.Times = append(p.Times, LocalTime(2026, 1, 1, 0, 0, i%60))
			p.Columns[0].AppendInt(int64(i))
		}
	}
	fill()
	q := p.Clone()
	require.Zero(t, testing.AllocsPerRun(10, fill))
	p.Columns[0].Nums[0] = 42
	require.Equal(t, Int(0, 0), q.Columns[0].At(0))
	require.Equal(t, 100, q.Len())
}

func TestBetween(t *testing.T) {
	p := Profile{Columns: make([]Column, 1)}
	for i := range 4 {
		p.Starts = append(p.Starts, FromTime(time.Unix(int64(100*i), 0)))
		p.Times = append(p.Times, FromTime(time.Unix(int64(100*i+90), 0)))
		p.Columns[0].AppendInt(int64(i))
	}
	p.Columns[0].Quality.Add(2, Quality{Flags: Estimated})
	q := p.Between(time.Unix(200, 0), time.Unix(300, 0), Clock{})
	require.Equal(t, p.Starts[2:3], q.Starts)
	require.Equal(t, p.Times[2:3], q.Times)
	require.Equal(t, Estimated, q.Columns[0].Quality.At(0).Flags)
	c := p.Clone()
	c.Starts[0] = Time{}
	require.False(t, p.Starts[0].IsZero())
	p.Reset()
	require.Empty(t, p.Starts)
}

func TestMediumA(t *testing.T) {
	for m := Unknown; m <= Abstract; m++ {
		if a := m.A(); a != 0 {
			require.Equal(t, m, Code{a}.Medium())
		}
	}
	require.Equal(t, "hot-water", HotWater.String())
	require.EqualValues(t, 15, Other.A())
}

func TestMark(t *testing.T) {
	p := &Profile{Times: make([]Time, 5)}
	p.Quality.Add(1, Quality{Flags: Estimated})
	p.Mark(Questionable)
	require.Equal(t, Runs{
		{1, Quality{Flags: Questionable}}, {2, Quality{Flags: Questionable | Estimated}}, {5, Quality{Flags: Questionable}},
	}, p.Quality)
	p.Mark(Estimated)
	require.Equal(t, Runs{{5, Quality{Flags: Questionable | Estimated}}}, p.Quality)
	(&Profile{}).Mark(Invalid)
}

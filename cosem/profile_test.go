package cosem_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/obis"
)

// dayProfile is a get-response with a day of quarter-hours: clock, status, four
// double-long-unsigned; 3,654 octets.
func dayProfile() []byte {
	at := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	var rows []cosem.Data
	for i := range 96 {
		row := []cosem.Data{cosem.DateTime(obis.FromTime(at.Add(time.Duration(i) * 15 * time.Minute))), cosem.Uint8(0)}
		for k := range 4 {
			row = append(row, cosem.Uint32(uint32(1000000*(k+1)+i*25)))
		}
		rows = append(rows, cosem.Structure(row...))
	}
	b, _ := apdu.GetResponseNormal{Invoke: 0xC1, Result: apdu.Result{Data: cosem.Array(rows...)}}.AppendBinary(nil)
	return b
}

func dayLayout() *cosem.Layout {
	register := func(name string) cosem.Column {
		return cosem.Column{
			Capture:    cosem.Capture{Attribute: cosem.Attribute{Class: cosem.ClassRegister, Name: obis.MustParse(name), Index: 2}},
			ScalerUnit: cosem.ScalerUnit{Scaler: -1, Unit: obis.WattHour, Known: true},
		}
	}
	object := func(class cosem.Class, name string) cosem.Column {
		return cosem.Column{Capture: cosem.Capture{Attribute: cosem.Attribute{Class: class, Name: obis.MustParse(name), Index: 2}}}
	}
	return &cosem.Layout{Name: obis.MustParse("1-0:99.1.0"), Period: 900, Columns: []cosem.Column{
		object(cosem.ClassClock, "0-0:1.0.0"), object(cosem.ClassData, "0-0:96.10.1"),
		register("1-0:1.8.0"), register("1-0:2.8.0"), register("1-0:3.8.0"), register("1-0:4.8.0"),
	}}
}

func readDay(l *cosem.Layout, b []byte, p *obis.Profile) error {
	response, _, err := apdu.ParseGetResponse(b)
	if err != nil {
		return err
	}
	p.Reset()
	return l.Append(p, response.Data)
}

func TestDayProfile(t *testing.T) {
	b, l := dayProfile(), dayLayout()
	require.Greater(t, len(b), 3600)
	var p obis.Profile
	l.Describe(&p)
	require.NoError(t, readDay(l, b, &p))
	require.Equal(t, 96, p.Len())
	require.Len(t, p.Columns, 4)
	require.Equal(t, "2026-03-10T23:45:00Z", p.Times[95].String())
	require.Equal(t, "400237.5", p.Columns[3].At(95).String())
	require.Equal(t, obis.WattHour, p.Columns[3].Unit)
	require.Equal(t, 96, p.Columns[3].Present.Count())
	require.Empty(t, p.Quality)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err := readDay(l, b, &p); err != nil {
			t.Fatal(err)
		}
	}))
}

// fixedLayout is the floor: it reads what it knows to be there and checks nothing.
type fixedLayout struct {
	times  []obis.Time
	status []uint8
	nums   [4][]int64
}

func (f *fixedLayout) read(b []byte) {
	f.times, f.status = f.times[:0], f.status[:0]
	for k := range f.nums {
		f.nums[k] = f.nums[k][:0]
	}
	for at := 6; at < len(b); at += 38 {
		row := b[at : at+38]
		f.times = append(f.times, obis.TimeFromBinary([12]byte(row[4:])))
		f.status = append(f.status, row[17])
		for k := range f.nums {
			f.nums[k] = append(f.nums[k], int64(binary.BigEndian.Uint32(row[19+5*k:])))
		}
	}
}

func BenchmarkDayProfile(b *testing.B) {
	raw, l := dayProfile(), dayLayout()
	var f fixedLayout
	f.read(raw)
	const rounds = 20000
	start := time.Now()
	for range rounds {
		f.read(raw)
	}
	floor := time.Since(start) / rounds
	var p obis.Profile
	l.Describe(&p)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := readDay(l, raw, &p); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(floor)/(float64(b.Elapsed())/float64(b.N)), "of_floor")
}

// Rows of every encoding: null-data repeats, a null clock goes on by the period,
// deltas add up, what is missing stays missing, other kinds of value are kept.
func TestProfileRows(t *testing.T) {
	at := obis.LocalTime(2026, 3, 10, 23, 45, 0)
	l := dayLayout()
	l.Columns = l.Columns[:4]
	delta := func(tag cosem.Tag, v byte) cosem.Data {
		d, _, err := cosem.ParseData([]byte{byte(tag), v})
		require.NoError(t, err)
		return d
	}
	buffer := cosem.Array(
		cosem.Structure(cosem.DateTime(at), cosem.Uint8(0), cosem.Uint32(1000), cosem.Null()),
		cosem.Structure(cosem.Null(), cosem.Uint8(0x82), cosem.Null(), cosem.Uint32(7)),
		cosem.Structure(cosem.Null(), cosem.Null(), delta(cosem.TagDeltaUnsigned, 5), cosem.DontCare()),
		cosem.Structure(cosem.Null(), cosem.Uint8(0), delta(cosem.TagDeltaInteger, 0xFD), cosem.VisibleString("x")),
	)
	var p obis.Profile
	l.Describe(&p)
	require.NoError(t, l.Append(&p, buffer))
	var times, first, second []string
	for row := range p.Len() {
		times = append(times, p.Times[row].String())
		first = append(first, p.Columns[0].At(row).String())
		second = append(second, p.Columns[1].At(row).String())
	}
	require.Equal(t, []string{"2026-03-10T23:45:00", "2026-03-11T00:00:00", "2026-03-11T00:15:00", "2026-03-11T00:30:00"}, times)
	require.Equal(t, []string{"100.0", "100.0", "100.5", "100.2"}, first)
	require.Equal(t, []string{"", "0.7", "", "x"}, second)
	require.Equal(t, obis.Flags(0), p.Quality.At(0).Flags)
	require.Equal(t, obis.PowerDown|obis.ClockInvalid, p.Quality.At(1).Flags)
	require.Equal(t, obis.PowerDown|obis.ClockInvalid, p.Quality.At(2).Flags, "null-data repeats the status, too")
	require.Equal(t, obis.Flags(0), p.Quality.At(3).Flags)

	// A profile that is captured on events has no period by which a clock could go on.
	l.Period = 0
	l.Describe(&p)
	require.NoError(t, l.Append(&p, buffer))
	require.True(t, p.Times[1].IsZero())
	require.NotZero(t, p.Quality.At(1).Flags&obis.ClockInvalid)

	// Where no row is before it, a null clock has no time to go on from.
	l.Period = 900
	l.Describe(&p)
	require.NoError(t, l.Append(&p, cosem.Array(buffer.At(1), buffer.At(0))))
	require.True(t, p.Times[0].IsZero())
	require.NotZero(t, p.Quality.At(0).Flags&obis.ClockInvalid)

	// A row that does not fit the layout ends the reading; those before it stay.
	l.Describe(&p)
	err := l.Append(&p, cosem.Array(buffer.At(0), cosem.Structure(cosem.Null())))
	require.ErrorContains(t, err, "1 columns, want 4")
	require.Equal(t, 1, p.Len())
}

// Compact arrays hold the same rows without their tags.
func TestCompactProfile(t *testing.T) {
	l := dayLayout()
	l.Columns = l.Columns[1:3] // status and one register, no clock
	compact, _, err := cosem.ParseData([]byte{0x13, 0x02, 2, 0x11, 0x06, 10, 0, 0, 0, 0, 100, 0x80, 0, 0, 0, 101})
	require.NoError(t, err)
	var p obis.Profile
	l.Describe(&p)
	require.NoError(t, l.Append(&p, compact))
	require.Equal(t, 2, p.Len())
	require.Equal(t, "10.1", p.Columns[0].At(1).String())
	require.Equal(t, obis.PowerDown, p.Quality.At(1).Flags)
}

// A cell that repeats the one before, or continues it, is of its quality; a sum beyond
// all numbers is none.
func TestCellsThatLeanOnTheOneBefore(t *testing.T) {
	layout := &cosem.Layout{Name: obis.MustParse("1-0:99.1.0"), Columns: []cosem.Column{
		{Capture: cosem.Capture{Attribute: cosem.Attribute{Class: cosem.ClassRegister, Name: obis.MustParse("1-0:1.8.0"), Index: 2}}}}}
	row := func(octets ...byte) []byte { return append([]byte{2, 1}, octets...) }
	for _, test := range []struct {
		rows [][]byte
		want []string
	}{
		{[][]byte{row(6, 0, 0, 0, 5), row(0), row(28, 1)}, []string{"5 scaler-unknown", "5 scaler-unknown", "6 scaler-unknown"}},
		{[][]byte{row(20, 0x7F, 255, 255, 255, 255, 255, 255, 255), row(28, 1), row(0)}, []string{"9223372036854775807 scaler-unknown", " invalid", " invalid"}},
		{[][]byte{row(20, 0x80, 0, 0, 0, 0, 0, 0, 0), row(28, 0xFF)}, []string{"-9223372036854775808 scaler-unknown", " invalid"}},
		{[][]byte{row(6, 0, 0, 0, 5), row(28, 0)}, []string{"5 scaler-unknown", "5 scaler-unknown"}},
		{[][]byte{row(10, 1, 'A'), row(0)}, []string{"A invalid", "A invalid"}},
	} {
		b := []byte{1, byte(len(test.rows))}
		for _, r := range test.rows {
			b = append(b, r...)
		}
		d, _, err := cosem.ParseData(b)
		require.NoError(t, err)
		var p obis.Profile
		layout.Describe(&p)
		require.NoError(t, layout.Append(&p, d))
		var got []string
		for i := range test.rows {
			got = append(got, p.Columns[0].At(i).String()+" "+p.Columns[0].Quality.At(i).Flags.String())
		}
		require.Equal(t, test.want, got)
	}
}

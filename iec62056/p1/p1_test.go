package p1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

func load(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return b
}

func show(r obis.Reading) string {
	s := fmt.Sprintf("%s %s", r.Code, r.Value)
	if u := r.Unit.String(); u != "" && u != "1" {
		s += " " + u
	}
	if !r.Time.IsZero() {
		s += " @" + r.Time.String()
	}
	if r.Rule == obis.RuleNone {
		s += " raw " + string(r.RawID)
	}
	if r.Quality.Flags != 0 {
		s += " " + r.Quality.Flags.String()
	}
	return s
}

func readings(t *testing.T, telegram Telegram) (all []string) {
	for _, r := range telegram.AppendReadings(nil) {
		all = append(all, show(r))
	}
	return all
}

// The telegrams of testdata were written by hand; their CRCs come from another program.
func TestTelegrams(t *testing.T) {
	for _, test := range []struct {
		file    string
		version Version
		id      string
		subs    []SubMeter
		want    []string
	}{
		{"v5.txt", Version{"5.0", DialectDSMR}, "E0012006112000001",
			[]SubMeter{{1, 3, obis.Meter{ID: "G0026003112000002", Serial: "G0026003112000002", Medium: obis.Gas}}},
			[]string{
				"1-3:0.2.8*255 50", "0-0:1.0.0*255 2026-11-20T12:34:56", "0-0:96.1.1*255 E0012006112000001",
				"1-0:1.8.1*255 4321987 Wh", "0-0:96.14.0*255 2", "0-0:96.7.21*255 13", "1-0:32.32.0*255 2",
				"0-0:96.13.0*255 Power is off on Monday", "1-0:21.7.0*255 378 W",
				"0-1:24.1.0*255 3", "0-1:24.2.1*255 12785.123 m3 @2026-11-20T12:30:00",
			}},
		{"v3.txt", Version{"3", DialectDSMR}, "SIM0000004321",
			[]SubMeter{{1, 3, obis.Meter{ID: "G2622243", Serial: "G2622243", Medium: obis.Gas}}},
			[]string{"1-0:1.8.1*255 12345678 Wh", "0-0:96.13.1*255 ", "0-1:24.2.1*255 12.345 m3 @2026-11-20T12:00:00", "0-1:24.4.0*255 1"}},
		{"be.txt", Version{"50217", DialectEMUCS}, "1SAG0000000001",
			[]SubMeter{
				{1, 3, obis.Meter{ID: "7FLO0000000001", Serial: "7FLO0000000001", Medium: obis.Gas}},
				{2, 7, obis.Meter{ID: "8SET0000000001", Serial: "8SET0000000001", Medium: obis.Water}},
			},
			[]string{
				"0-0:96.1.4*255 50217", "1-0:1.6.0*255 3064 W @2026-11-02T11:45:00",
				"0-1:24.2.3*255 92.287 m3 @2026-11-20T12:30:02", "0-2:24.2.1*255 0.000 invalid",
			}},
		{"se.txt", Version{"", DialectTotal}, "", nil, []string{"1-0:3.8.0*255 21988 varh", "1-0:1.8.0*255 6678394 Wh"}},
		{"lu.txt", Version{"4.2", DialectLuxembourg}, "SAG1030700000001", nil, []string{"1-0:9.7.0*255 488 VA", "0-0:17.0.0*255 27600 VA"}},
	} {
		t.Run(test.file, func(t *testing.T) {
			b := load(t, test.file)
			telegram, n, err := Parse(b)
			require.NoError(t, err)
			require.Equal(t, len(b), n)
			require.Empty(t, telegram.BadLines())
			require.Equal(t, test.version, telegram.Version())
			require.Equal(t, test.id, telegram.Meter().ID)
			require.Equal(t, test.subs, telegram.SubMeters())
			require.Subset(t, readings(t, telegram), test.want)
			again, err := telegram.AppendBinary(nil)
			require.NoError(t, err)
			require.Equal(t, strings.Replace(string(b), "!2f0", "!02F0", 1), string(again))
		})
	}
}

func TestPowerFailureLog(t *testing.T) {
	telegram, _, err := Parse(load(t, "v5.txt"))
	require.NoError(t, err)
	events := telegram.Events()
	require.Len(t, events, 2)
	require.Equal(t, "1-0:99.97.0*255", events[0].Log.String())
	require.Equal(t, "2026-07-08T15:10:04", events[1].Time.String())
	require.Equal(t, "0-0:96.7.19*255 301 s @2026-07-08T15:10:04", show(events[1].Params[0]))
	berlin, err := time.LoadLocation("Europe/Amsterdam")
	require.NoError(t, err)
	at, ok := events[1].Time.Instant(obis.Clock{Zone: berlin})
	require.True(t, ok)
	require.Equal(t, "2026-07-08T13:10:04Z", at.UTC().Format(time.RFC3339))
}

func TestBelgianPeaks(t *testing.T) {
	telegram, _, err := Parse(load(t, "be.txt"))
	require.NoError(t, err)
	all := telegram.Profiles()
	require.Len(t, all, 1)
	p := all[0]
	require.Equal(t, "0-0:98.1.0*255", p.Code.String())
	require.Equal(t, 2, p.Len())
	require.Equal(t, "2026-11-01T00:00:00", p.Times[1].String())
	require.Equal(t, "2026-10-16T13:00:00", p.Columns[0].At(1).String())
	require.Equal(t, "4927", p.Columns[1].At(1).String())
	require.Equal(t, obis.Watt, p.Columns[1].Unit)
	require.True(t, p.Columns[0].At(0).IsNone())
	require.Equal(t, obis.Bad, p.Columns[1].Quality.At(0).Validity())
	require.Equal(t, obis.Good, p.Columns[1].Quality.At(1).Validity())
}

// In the hour that comes twice the letter tells which is which.
func TestSeasonLetterInTheDoubleHour(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Amsterdam")
	require.NoError(t, err)
	for letter, want := range map[string]string{"S": "2026-10-25T00:30:00Z", "W": "2026-10-25T01:30:00Z"} {
		telegram, err := Salvage([]byte("/ABC5X\r\n\r\n0-0:1.0.0(261025023000" + letter + ")\r\n"))
		require.NoError(t, err)
		moment, ok := telegram.AppendReadings(nil)[0].Value.Time()
		require.True(t, ok)
		at, ok := moment.Instant(obis.Clock{Zone: zone})
		require.True(t, ok)
		require.Equal(t, want, at.UTC().Format(time.RFC3339))
	}
}

// Users of other programs saw 220 GW because the W of a time was taken for watt.
func TestWinterIsNoWatt(t *testing.T) {
	telegram, err := Salvage([]byte("/ABC5X\r\n\r\n0-1:24.2.1(261120123000W)(00001.000*m3)\r\n0-0:1.0.0(261120123000W)\r\n"))
	require.NoError(t, err)
	for _, r := range telegram.AppendReadings(nil) {
		require.NotEqual(t, obis.Watt, r.Unit)
		require.NotEqual(t, "220", r.Value.String()[:3])
	}
}

// Tariff 1 is the day in Belgium and the night in the Netherlands: neither is said.
func TestTariffsHaveNoNames(t *testing.T) {
	for _, file := range []string{"v5.txt", "be.txt"} {
		telegram, _, err := Parse(load(t, file))
		require.NoError(t, err)
		for _, r := range telegram.AppendReadings(nil) {
			name := obis.Describe(r.Code)
			require.NotContains(t, name, "day")
			require.NotContains(t, name, "night")
			require.NotContains(t, name, "low")
		}
	}
}

// A module that only reports for a heat meter is no electricity meter.
func TestMediumOfTheMeterItself(t *testing.T) {
	heat, err := Salvage([]byte("/NWA-WARMTELINK\r\n\r\n1-3:0.2.8(50)\r\n0-0:96.1.1(ADC3100000158491)\r\n0-1:24.1.0(004)\r\n0-1:24.2.1(260215200523W)(240.860*GJ)\r\n"))
	require.NoError(t, err)
	require.Equal(t, obis.Unknown, heat.Meter().Medium)
	require.Equal(t, obis.Heat, heat.SubMeters()[0].Meter.Medium)
	require.Contains(t, readings(t, heat), "0-1:24.2.1*255 240860000000 J @2026-02-15T20:05:23 questionable")
	telegram, _, err := Parse(load(t, "v5.txt"))
	require.NoError(t, err)
	require.Equal(t, obis.Electricity, telegram.Meter().Medium)
}

func TestBadLineNeverCostsTheTelegram(t *testing.T) {
	b := []byte("/ABC5X\r\n\r\n1-0:1.8.1(000001.000*kWh)\r\n1-0:1.8.2(0000\r\n\x80\x01\x02\r\n1-0:2.8.1(000003.000*kWh)\r\nfoo(7)\r\n1-0:1.8:x(1*kWh)\r\n!\r\n")
	telegram, _, err := Parse(b)
	require.NoError(t, err)
	require.Equal(t, []string{
		"1-0:1.8.1*255 1000 Wh", "1-0:1.8.2*255  invalid", "1-0:2.8.1*255 3000 Wh",
		" 7 raw foo", " 1000 Wh raw 1-0:1.8:x",
	}, readings(t, telegram))
	bad := telegram.BadLines()
	require.Len(t, bad, 2)
	require.Equal(t, 51, bad[0].Offset)
	content := new(Decoder).Decode(telegram)
	require.Equal(t, "1-0:2.8.1(000003.000*kWh)", string(content.Line(3)))
	require.Equal(t, "1-0:1.8.2(0000", string(content.Line(1)))
}

func TestParseRefuses(t *testing.T) {
	good := string(load(t, "v5.txt"))
	for name, test := range map[string]struct {
		in    string
		field string
		is    error
	}{
		"nothing":            {"", "identification", io.ErrUnexpectedEOF},
		"half":               {good[:400], "telegram", io.ErrUnexpectedEOF},
		"half a CRC":         {good[:len(good)-4], "CRC", io.ErrUnexpectedEOF},
		"wrong CRC":          {strings.Replace(good, "01.193", "01.194", 1), "CRC", ErrChecksum},
		"encrypted":          {"\xdb\x08ABCDEFGH", "telegram", ErrEncrypted},
		"a 62056-21 readout": {"/ABC5X\r\n\x021.8.0(1)\r\n!\r\n\x03\x00", "telegram", errSTX},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := Parse([]byte(test.in))
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			require.Zero(t, n)
			require.Equal(t, test.field, pe.Field)
			require.ErrorIs(t, err, test.is)
		})
	}
}

// Every prefix waits for more. The line end behind four digits of CRC may be missing.
func TestPrefixes(t *testing.T) {
	b := load(t, "v5.txt")
	for i := range len(b) - 2 {
		_, _, err := Parse(b[:i])
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d", i)
	}
	_, n, err := Parse(b[:len(b)-2])
	require.NoError(t, err)
	require.Equal(t, len(b)-2, n)
}

func TestEncryptedIsHandedOn(t *testing.T) {
	e := Encrypted{
		SystemTitle: []byte("SAGgp\x00\x00\x01"), SecurityControl: 0x30, InvocationCounter: 0x01020304,
		Ciphertext: []byte(strings.Repeat("c", 300)), Tag: []byte("0123456789ab"),
	}
	b, err := e.AppendBinary(nil)
	require.NoError(t, err)
	got, n, err := ParseEncrypted(b)
	require.NoError(t, err)
	require.Equal(t, len(b), n)
	e.APDU = b
	require.Equal(t, e, got)
	for i := range b {
		_, _, err := ParseEncrypted(b[:i])
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
	require.NoError(t, explainAll(b, func(offset, length, _ int, _, _ string) { require.LessOrEqual(t, offset+length, len(b)) }))
}

func TestStream(t *testing.T) {
	v5, be := load(t, "v5.txt"), load(t, "be.txt")
	encrypted, err := Encrypted{SystemTitle: []byte("SAGgp\x00\x00\x01"), SecurityControl: 0x30, Ciphertext: []byte("/not a telegram!"), Tag: []byte("0123456789ab")}.AppendBinary(nil)
	require.NoError(t, err)
	broken := append([]byte(nil), v5...)
	broken[300] ^= 1
	var line []byte
	for _, part := range [][]byte{v5[500:], v5, []byte("no/ise\r\n"), broken, be, v5[:200], be, encrypted, v5} {
		line = append(line, part...)
	}
	for _, piece := range []int{1, 7, 100, len(line)} {
		var s Stream
		var got []string
		for rest := line; len(rest) > 0; {
			n := min(piece, len(rest))
			s.Feed(rest[:n])
			rest = rest[n:]
			for m := range found(&s) {
				if m.IsEncrypted() {
					got = append(got, "encrypted")
					continue
				}
				got = append(got, m.Telegram.Identification.Model())
			}
		}
		require.Equal(t, []string{"SIM5-0001", "53000001_A", "53000001_A", "encrypted", "SIM5-0001"}, got, "pieces of %d", piece)
		require.EqualValues(t, 5, s.Stats().Messages)
		require.EqualValues(t, 1, s.Stats().ChecksumErrors)
		require.EqualValues(t, 1, s.Stats().Malformed)
	}
}

func TestStreamSeesThroughParity(t *testing.T) {
	v3 := load(t, "v3.txt")
	line := append(append([]byte{0xAF, 1, 2}, v3...), v3...)
	iec62056.AddParity(line[3:])
	var s Stream
	n := 0
	for _, c := range line {
		s.Feed([]byte{c})
		for m := range found(&s) {
			require.Equal(t, string(v3), string(m.Raw))
			n++
		}
	}
	require.Equal(t, 2, n)
}

// Noise that looks like the beginning of a long encrypted telegram does not
// swallow the plain ones behind it.
func TestStreamNoiseLikeEncryption(t *testing.T) {
	v5 := load(t, "v5.txt")
	var s Stream
	s.Feed([]byte("\xdb\x08ABCDEFGH\x82\xff\xff"))
	_, err := s.Next()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	s.Feed(v5)
	m, err := s.Next()
	require.NoError(t, err)
	require.Equal(t, string(v5), string(m.Raw))
}

func TestExplain(t *testing.T) {
	b := load(t, "v5.txt")
	var got []string
	require.NoError(t, explainAll(b, func(offset, length, depth int, field, meaning string) {
		got = append(got, fmt.Sprintf("%d %s %s: %s", depth, b[offset:offset+length], field, meaning))
	}))
	require.Contains(t, got, "1 261120123456W value: 2026-11-20T12:34:56 winter time")
	require.Contains(t, got, "1 kWh unit: Wh × 10^3")
	require.Contains(t, got[len(got)-1], "correct")
}

func TestExplainGoesAsFarAsItCan(t *testing.T) {
	b := load(t, "v5.txt")
	lines := 0
	err := explainAll(b[:300], func(offset, length, _ int, field, _ string) {
		require.LessOrEqual(t, offset+length, 300)
		if field == "data set" {
			lines++
		}
	})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, 11, lines)
	b[300] ^= 1
	lines = 0
	err = explainAll(b, func(_, _, _ int, field, _ string) {
		if field == "data set" {
			lines++
		}
	})
	require.ErrorIs(t, err, ErrChecksum)
	require.Greater(t, lines, 30)
}

func TestDecodeAllocatesNothing(t *testing.T) {
	for _, name := range []string{"v3.txt", "v5.txt", "be.txt", "lu.txt", "se.txt"} {
		b := load(t, name)
		var s Stream
		var d Decoder
		decode := func() {
			s.Feed(b)
			m, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			c := d.Decode(m.Telegram)
			_ = c.Line(c.Readings[0].Source)
		}
		decode()
		require.Zero(t, testing.AllocsPerRun(100, decode), name)
	}
}

// A Decoder that is used again says what a new one does, telegram by telegram.
func TestDecoderForgets(t *testing.T) {
	var d Decoder
	for range 2 {
		for _, name := range []string{"v3.txt", "v5.txt", "be.txt", "lu.txt", "se.txt", "be.txt"} {
			telegram, _, err := Parse(load(t, name))
			require.NoError(t, err)
			fresh, c := new(Decoder).Decode(telegram), d.Decode(telegram)
			require.Equal(t, fresh.Meter, c.Meter)
			require.Equal(t, fresh.Version, c.Version)
			require.Len(t, c.Readings, len(fresh.Readings))
			for i := range c.Readings {
				require.Equal(t, fresh.Readings[i], c.Readings[i])
				require.Contains(t, string(c.Line(c.Readings[i].Source)), string(c.Readings[i].RawID))
			}
			require.Len(t, c.Events, len(fresh.Events))
			for i := range c.Events {
				require.Equal(t, fresh.Events[i], c.Events[i])
			}
			require.Len(t, c.Profiles, len(fresh.Profiles))
			for i := range c.Profiles {
				require.Equal(t, fresh.Profiles[i].Times, c.Profiles[i].Times)
				require.Equal(t, fresh.Profiles[i].Columns[1].Nums, c.Profiles[i].Columns[1].Nums)
			}
		}
	}
}

// A telegram whose version has a CRC is not believed without it, and neither is
// what was saved of a damaged one.
func TestMissingCheckIsTold(t *testing.T) {
	v5, v3 := load(t, "v5.txt"), load(t, "v3.txt")
	bang := bytes.LastIndexByte(v5, '!')
	uncheck, _, err := Parse(append(bytes.Clone(v5[:bang+1]), '\r', '\n'))
	require.NoError(t, err)
	saved, err := Salvage(v5[:bang])
	require.NoError(t, err)
	for _, telegram := range []Telegram{uncheck, saved} {
		for _, r := range new(Decoder).Decode(telegram).Readings {
			require.NotZero(t, r.Quality.Flags&obis.Questionable, r.Code)
		}
	}
	old, _, err := Parse(v3)
	require.NoError(t, err)
	for _, r := range new(Decoder).Decode(old).Readings {
		require.Zero(t, r.Quality.Flags&obis.Questionable, r.Code)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"v5.txt", "v3.txt", "be.txt"} {
		f.Add(load(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = explainAll(b, func(offset, length, _ int, field, _ string) {
			if offset < 0 || length < 0 || offset+length > len(b) {
				t.Fatalf("%s at %d+%d of %d", field, offset, length, len(b))
			}
		})
		if salvaged, err := Salvage(b); err == nil {
			salvaged.AppendReadings(nil)
			salvaged.Events()
			salvaged.Profiles()
			salvaged.SubMeters()
		}
		telegram, n, err := Parse(b)
		if err != nil {
			require.Zero(t, n)
			return
		}
		require.LessOrEqual(t, n, len(b))
		require.LessOrEqual(t, len(telegram.AppendReadings(nil)), len(b))
		again, err := telegram.AppendBinary(nil)
		require.NoError(t, err)
		second, n, err := Parse(again)
		require.NoError(t, err)
		require.Equal(t, len(again), n)
		require.Equal(t, string(telegram.Data), string(second.Data))
	})
}

func FuzzParseEncrypted(f *testing.F) {
	b, _ := Encrypted{SystemTitle: []byte("12345678"), SecurityControl: 0x30, Ciphertext: []byte("abc"), Tag: []byte("0123456789ab")}.AppendBinary(nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, n, err := ParseEncrypted(b)
		if err != nil {
			require.Zero(t, n)
			return
		}
		again, err := e.AppendBinary(nil)
		require.NoError(t, err)
		second, _, err := ParseEncrypted(again)
		require.NoError(t, err)
		second.APDU, e.APDU = nil, nil
		require.Equal(t, e, second)
	})
}

func FuzzStream(f *testing.F) {
	f.Add(load(f, "v3.txt"), 5)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		if piece <= 0 {
			return
		}
		var s Stream
		total := 0
		for rest := b; len(rest) > 0; {
			n := min(piece, len(rest))
			s.Feed(rest[:n])
			rest = rest[n:]
			for m := range found(&s) {
				total += len(m.Raw)
			}
		}
		require.LessOrEqual(t, total+int(s.Stats().Skipped), len(b))
	})
}

func Example() {
	b, err := os.ReadFile("testdata/v5.txt")
	if err != nil {
		fmt.Println(err)
		return
	}
	var s Stream // finds telegrams in what a port delivers
	var d Decoder
	s.Feed(b)
	for {
		m, err := s.Next()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break // feed it with what comes next
		}
		if err != nil {
			fmt.Println(err) // a telegram was damaged
			continue
		}
		for _, r := range d.AppendReadings(nil, m.Telegram)[3:5] {
			fmt.Println(r.Code, r.Value, r.Unit)
		}
	}
	// Output:
	// 1-0:1.8.1*255 4321987 Wh
	// 1-0:1.8.2*255 3210654 Wh
}

// BenchmarkTelegram reads a telegram of version 5 to readings, beside a floor
// that runs a byte-table CRC over the same octets.
func BenchmarkTelegram(b *testing.B) {
	raw := load(b, "v5.txt")
	table := floorTable()
	var d Decoder
	readings := 0
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		telegram, _, err := Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		readings = len(d.Decode(telegram).Readings)
	}
	golden.OfFloor(b, func() {
		var crc uint16
		for _, c := range raw {
			crc = crc>>8 ^ table[byte(crc)^c]
		}
		floorSink += crc
	})
	b.ReportMetric(float64(readings), "readings")
}

var floorSink uint16

func floorTable() (t [256]uint16) {
	for i := range t {
		c := uint16(i)
		for range 8 {
			c = c>>1 ^ 0xA001*(c&1)
		}
		t[i] = c
	}
	return t
}

// found goes through what the stream finds, past what is damaged.
func found(s *Stream) iter.Seq[Message] {
	return func(yield func(Message) bool) {
		for {
			m, err := s.Next()
			if errors.Is(err, io.ErrUnexpectedEOF) || err == nil && !yield(m) {
				return
			}
		}
	}
}

// explainAll explains a whole capture, message by message, and returns the first error.
func explainAll(b []byte, note Note) (first error) {
	for at := 0; at < len(b); {
		shifted := func(offset, length, depth int, field, meaning string) { note(at+offset, length, depth, field, meaning) }
		n, err := Explain(b[at:], shifted)
		if n == 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			err = ExplainCut(b[at:], shifted)
			n = len(b) - at
		}
		if first == nil {
			first = err
		}
		at += n
	}
	return first
}

// Every telegram of a capture is explained, and of a part of one nothing is noted
// that would be noted again.
func TestExplainStream(t *testing.T) {
	one := load(t, "v5.txt")
	line := bytes.Join([][]byte{[]byte("noise"), one, one, []byte("\r\n"), one}, nil)
	found := 0
	require.NoError(t, explainAll(line, func(offset, length, _ int, field, _ string) {
		require.LessOrEqual(t, offset+length, len(line))
		if field == "CRC" {
			found++
		}
	}))
	require.Equal(t, 3, found)
	for end := range line {
		for at := 0; at < end; {
			noted := 0
			n, err := Explain(line[at:end], func(offset, length, _ int, _, _ string) {
				noted++
				require.LessOrEqual(t, at+offset+length, end)
			})
			if n == 0 {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				require.Zero(t, noted)
				break
			}
			require.NoError(t, err)
			at += n
		}
	}
}

// BenchmarkStream reads telegrams in the pieces in which files and sockets
// deliver them, beside the telegrams one by one.
func BenchmarkStream(b *testing.B) {
	one := load(b, "v5.txt")
	capture := bytes.Repeat(one, 64)
	var s Stream
	var d Decoder
	b.SetBytes(int64(len(capture)))
	b.ReportAllocs()
	for b.Loop() {
		for rest := capture; len(rest) > 0; {
			n := min(4096, len(rest))
			s.Feed(rest[:n])
			rest = rest[n:]
			for m := range found(&s) {
				d.Decode(m.Telegram)
			}
		}
	}
	golden.OfFloor(b, func() {
		for range 64 {
			telegram, _, _ := Parse(one)
			d.Decode(telegram)
		}
	})
}

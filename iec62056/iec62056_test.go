package iec62056

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

func TestParseIdentification(t *testing.T) {
	for name, test := range map[string]struct {
		in       string
		mode     Mode
		baud     int
		model    string
		reaction time.Duration
	}{
		"mode C at 9600":         {"/LGZ52ZMD120APt.G03\r\n", ModeC, 9600, "2ZMD120APt.G03", 200 * time.Millisecond},
		"mode E":                 {"/LGZ4\\2ZMD4054407.B40\r\n", ModeE, 4800, "ZMD4054407.B40", 200 * time.Millisecond},
		"short reaction time":    {"/ISk0MT171-0133\r\n", ModeC, 300, "MT171-0133", 20 * time.Millisecond},
		"mode B at 4800":         {"/SLBDSL7000\r\n", ModeB, 4800, "SL7000", 200 * time.Millisecond},
		"mode A":                 {"/NWA-WARMTELINK\r\n", ModeA, 300, "WARMTELINK", 200 * time.Millisecond},
		"nothing behind letters": {"/ABC\r\n", ModeA, 300, "", 200 * time.Millisecond},
		"line feed alone":        {"/ELS5A1440\n", ModeC, 9600, "A1440", 200 * time.Millisecond},
		"escape without digit":   {"/ISk5\\MT382-1003\r\n", ModeC, 9600, "MT382-1003", 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			id, n, err := ParseIdentification([]byte(test.in))
			require.NoError(t, err)
			require.Equal(t, len(test.in), n)
			require.Equal(t, test.mode, id.Mode())
			require.Equal(t, test.baud, id.BaudRate())
			require.Equal(t, test.model, id.Model())
			require.Equal(t, test.reaction, id.ReactionTime())
			require.Equal(t, test.in[1:4], string(id.Manufacturer[:]))
		})
	}
}

func TestBaudCharacters(t *testing.T) {
	for z, rate := range map[byte]int{'0': 300, '1': 600, '2': 1200, '3': 2400, '4': 4800, '5': 9600, '6': 19200,
		'A': 600, 'B': 1200, 'C': 2400, 'D': 4800, 'E': 9600, 'F': 19200} {
		got, ok := BaudRate(z)
		require.True(t, ok)
		require.Equal(t, rate, got, "%c", z)
	}
	_, ok := BaudRate('x')
	require.False(t, ok)
	z, ok := BaudCharacter(9600)
	require.True(t, ok)
	require.Equal(t, byte('5'), z)
	_, ok = BaudCharacter(14400)
	require.False(t, ok)
}

func TestParseIdentificationRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		in     string
		field  string
		offset int
		short  bool
	}{
		"nothing":             {"", "identification", 0, true},
		"an STX":              {"\x02", "identification", 0, false},
		"half":                {"/ABC5XY", "identification", 7, true},
		"no line feed yet":    {"/ABC5XY\r", "identification", 8, true},
		"digit among letters": {"/A1C5XY\r\n", "manufacturer", 2, false},
		"two letters":         {"/AB\r\n", "manufacturer", 3, false},
		"control character":   {"/ABC5X\x07\r\n", "identification", 6, false},
		"a request":           {"/?!\r\n", "manufacturer", 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := ParseIdentification([]byte(test.in))
			requireRefused(t, n, err, test.field, test.offset, test.short)
		})
	}
}

func requireRefused(t *testing.T, n int, err error, field string, offset int, short bool) {
	t.Helper()
	var pe *ParseError
	require.ErrorAs(t, err, &pe)
	require.Zero(t, n)
	require.Equal(t, field, pe.Field)
	require.Equal(t, offset, pe.Offset)
	require.Equal(t, short, errors.Is(err, io.ErrUnexpectedEOF))
}

// show writes a reading as one line.
func show(r obis.Reading) string {
	s := fmt.Sprintf("%s %s", r.Code, r.Value)
	if u := r.Unit.String(); u != "" {
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

func TestReadings(t *testing.T) {
	for in, want := range map[string][]string{
		"1.8.0(001846.0*kWh)":                           {"1-0:1.8.0*255 1846000 Wh"},
		"1.8.1*03(000012.345*kWh)":                      {"1-0:1.8.1*3 12345 Wh"},
		"1.8.1&03(000012.345*kWh)":                      {"1-0:1.8.1*3 12345 Wh"},
		"1-0:1.7.0*255(001688.21*W)":                    {"1-0:1.7.0*255 1688.21 W"},
		"1-0:1.8.0*255(000001.2963)":                    {"1-0:1.8.0*255 1.2963"},
		"0.0.0( 20000)":                                 {"1-0:0.0.0*255  20000"},
		"F.F(00000000)":                                 {"0-0:97.97.0*255 00000000"},
		"C.1.0(0012345)":                                {"0-0:96.1.0*255 0012345"},
		"1.6.1(0.123*kW)(0901161030)":                   {"1-0:1.6.1*255 123 W @2009-01-16T10:30:00"},
		"1.6.1(0901161030)(0.123*kW)":                   {"1-0:1.6.1*255 123 W @2009-01-16T10:30:00"},
		"1.6.1(0.123*kW)(0000000000)":                   {"1-0:1.6.1*255 123 W"},
		"1.6.1(0.123*kW)(09-01-16)(10:30)":              {"1-0:1.6.1*255 123 W @2009-01-16T10:30:00"},
		"1.6.1(0.1*kW)(0901161030)(0.2*kW)(0901161045)": {"1-0:1.6.1*255 100 W @2009-01-16T10:30:00", "1-0:1.6.1*255 200 W @2009-01-16T10:45:00"},
		"0.9.1(12:34:56)":                               {"1-0:0.9.1*255 12:34:56"},
		"0.9.1(1123456)":                                {"1-0:0.9.1*255 12:34:56"},
		"0.9.2(09-01-16)":                               {"1-0:0.9.2*255 2009-01-16"},
		"0.1.2*07(0901010000)":                          {"1-0:0.1.2*7 2009-01-01T00:00:00"},
		"1-1:30D(5)":                                    {" 5 raw 1-1:30D"},
		"2.8.A(0001.0*kWh)":                             {" 1000 Wh raw 2.8.A"},
		"1-0:96.1.255*255(1ESY1336001560)":              {"1-0:96.1.255*255 1ESY1336001560"},
		"1-0:0.3.0(1000*imp/kWh)":                       {"1-0:0.3.0*255 1.000 1/Wh"},
		"32.7.0(0230.0*V)":                              {"1-0:32.7.0*255 230.0 V"},
		"1.8.0(------*kWh)":                             {"1-0:1.8.0*255  Wh missing"},
		"1.8.0(00ERR0*kWh)":                             {"1-0:1.8.0*255 00ERR0 Wh invalid"},
		"1.8.0(12*furlong)":                             {"1-0:1.8.0*255 12 other questionable"},
		"1.8.1(1*kWh)1.8.2(2*kWh)":                      {"1-0:1.8.1*255 1000 Wh", "1-0:1.8.2*255 2000 Wh"},
		"7-0:3.0.0(00012.345*m3)":                       {"7-0:3.0.0*255 12.345 m3"},
		"0.2.2()":                                       {"1-0:0.2.2*255 "},
		"1.8.0(0012.3*kWh":                              {"1-0:1.8.0*255  invalid"},
	} {
		t.Run(in, func(t *testing.T) {
			r := Salvage([]byte(in))
			var got []string
			for _, reading := range r.AppendReadings(nil) {
				got = append(got, show(reading))
			}
			require.Equal(t, want, got)
		})
	}
}

func TestBadLineLeavesTheOthers(t *testing.T) {
	b := framed("1.8.0(0001.0*kWh)\r\nbro\x07ken(1)\r\n1.8.1(0002.0\r\n(a(b))\r\nnothing\r\n2.8.0(0003.0*kWh)\r\n!\r\n")
	r, n, err := ParseReadout(b)
	require.NoError(t, err)
	require.Equal(t, len(b), n)
	var got []string
	for _, reading := range r.AppendReadings(nil) {
		got = append(got, show(reading))
	}
	require.Equal(t, []string{"1-0:1.8.0*255 1000 Wh", "1-0:1.8.1*255  invalid", "1-0:2.8.0*255 3000 Wh"},
		[]string{got[0], got[1], got[len(got)-1]})
	bad := r.BadLines()
	require.Len(t, bad, 4)
	for i, at := range []int{23, 44, 48, 61} {
		require.Equal(t, at, bad[i].Offset, "%v", &bad[i])
	}
	require.Equal(t, "2.8.0(0003.0*kWh)", string(new(Decoder).Decode(r).Line(5)))
}

// framed adds STX, ETX and the block check character.
func framed(data string) []byte {
	b, _ := Message{Kind: KindData, Data: []byte(data)}.AppendBinary(nil)
	return b
}

func TestParseReadoutRefuses(t *testing.T) {
	whole := string(framed("1.8.0(1*kWh)\r\n!\r\n"))
	wrong := whole[:len(whole)-1] + string(whole[len(whole)-1]^1)
	for name, test := range map[string]struct {
		in     string
		field  string
		offset int
		short  bool
	}{
		"nothing":                 {"", "data block", 0, true},
		"identification alone":    {"/ABC5X\r\n", "data block", 8, true},
		"half a block":            {whole[:9], "data block", 9, true},
		"no block check yet":      {whole[:len(whole)-1], "data block", len(whole) - 1, true},
		"wrong block check":       {wrong, "BCC", len(wrong) - 1, false},
		"lines without any frame": {"1.8.0(1)\r\n!\r\n", "data block", 0, false},
		"bare block without end":  {"/ABC5X\r\n\r\n1.8.0(1)\r\n", "data block", 20, true},
		"no line feed behind !":   {"/ABC5X\r\n\r\n1.8.0(1)\r\n!", "end", 21, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := ParseReadout([]byte(test.in))
			requireRefused(t, n, err, test.field, test.offset, test.short)
			require.Equal(t, test.field == "BCC", errors.Is(err, ErrChecksum))
		})
	}
}

func TestParity(t *testing.T) {
	b := []byte("/LGZ52ZMD120APt.G03\r\n")
	onLine := append([]byte(nil), b...)
	AddParity(onLine)
	require.Equal(t, "b1", hex.EncodeToString([]byte{'1' | 0x80}), "what an 8N1 port shows of a 1")
	require.True(t, hasParity(onLine))
	require.False(t, hasParity([]byte("aabb")))
	require.Zero(t, StripParity(onLine))
	require.Equal(t, b, onLine)
	require.Equal(t, 1, StripParity([]byte{'1'}))
}

func TestBlockCheckOfEveryLength(t *testing.T) {
	b := []byte("The quick brown fox jumps over the lazy dog")
	for n := range len(b) + 1 {
		var want byte
		for _, c := range b[:n] {
			want ^= c
		}
		require.Equal(t, want, BlockCheck(b[:n]))
	}
}

func TestParseMessage(t *testing.T) {
	for name, test := range map[string]struct {
		in   string
		want Message
	}{
		"request":              {"/?!\r\n", Message{Kind: KindRequest, Address: []byte{}}},
		"request with address": {"/?12345678!\r\n", Message{Kind: KindRequest, Address: []byte("12345678")}},
		"wake-up":              {"\x00\x00/?!\r\n", Message{Kind: KindRequest, Address: []byte{}}},
		"option":               {"\x06050\r\n", Message{Kind: KindOption, Option: Option{'0', '5', '0'}}},
		"ack":                  {"\x06", Message{Kind: KindAck}},
		"nak":                  {"\x15", Message{Kind: KindNak}},
		"break":                {"\x01B0\x03\x71", Message{Kind: KindCommand, Command: [2]byte{'B', '0'}, Data: []byte{}}},
		"operand":              {"\x01P0\x02(00000000)\x03\x60", Message{Kind: KindCommand, Command: [2]byte{'P', '0'}, Data: []byte("(00000000)"), HasData: true}},
		"partial block":        {"\x02(1)\x04\x34", Message{Kind: KindData, Data: []byte("(1)"), Partial: true}},
	} {
		t.Run(name, func(t *testing.T) {
			m, n, err := ParseMessage([]byte(test.in))
			require.NoError(t, err)
			require.Equal(t, len(test.in), n)
			require.Equal(t, test.want, m)
		})
	}
}

func TestMeterError(t *testing.T) {
	m, _, err := ParseMessage(framed("(ERROR)"))
	require.NoError(t, err)
	var me *MeterError
	require.ErrorAs(t, m.Err(), &me)
	require.Equal(t, "(ERROR)", me.Text)
	m, _, err = ParseMessage(framed("1.8.0(1)"))
	require.NoError(t, err)
	require.NoError(t, m.Err())
}

func TestReadoutMeter(t *testing.T) {
	r, _, err := ParseReadout(append([]byte("/LGZ4\\2ZMD405\r\n"), framed("C.1.0(00123456)\r\n0.0.0(77)\r\n0.2.0(B14)\r\n1.8.0(1*kWh)\r\n!\r\n")...))
	require.NoError(t, err)
	require.Equal(t, obis.Meter{ID: "LGZ00123456", Manufacturer: "LGZ", Serial: "00123456", Model: "ZMD405", Firmware: "B14", Medium: obis.Electricity}, r.Meter())
}

func TestExplainAgreesWithParser(t *testing.T) {
	b := append([]byte("\x00/?!\r\n/LGZ52ZMD\r\n\x06050\r\n"), framed("1.8.0(0001.0*kWh)\r\n1.6.0(1*kW)(0901161030)\r\nbad\r\n!\r\n")...)
	b = append(b, "\x01P0\x02(00000000)\x03\x60\x01B0\x03\x71"...)
	at := 0
	var fields []string
	require.NoError(t, explainAll(b, func(offset, length, depth int, field, meaning string) {
		if depth == 0 {
			require.GreaterOrEqual(t, offset, at)
			at = offset
		}
		require.LessOrEqual(t, offset+length, len(b))
		fields = append(fields, field)
	}))
	require.Contains(t, fields, "bad line")
	require.Contains(t, fields, "option select")
	require.Equal(t, "BCC", fields[len(fields)-1])
}

func TestExplainGoesAsFarAsItCan(t *testing.T) {
	whole := framed("1.8.0(1*kWh)\r\n2.8.0(1*kWh)\r\n!\r\n")
	wrong := append([]byte(nil), whole...)
	wrong[len(wrong)-1] ^= 1
	for name, test := range map[string]struct {
		in string
		is error
	}{
		"wrong BCC":         {string(wrong), ErrChecksum},
		"no end":            {string(whole[:len(whole)-4]), io.ErrUnexpectedEOF},
		"bare without end":  {"/ABC5X\r\n\r\n1.8.0(1*kWh)\r\n2.8.0(1*kWh)\r\n", io.ErrUnexpectedEOF},
		"command with none": {"\x01R5\x021.8.0(1)\r\n2.8.0(1)", io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			sets := 0
			err := explainAll([]byte(test.in), func(offset, length, _ int, field, _ string) {
				require.LessOrEqual(t, offset+length, len(test.in))
				if field == "data set" {
					sets++
				}
			})
			require.ErrorIs(t, err, test.is)
			require.Equal(t, 2, sets)
		})
	}
}

func TestAppendReadingsAllocatesNothing(t *testing.T) {
	r := benchReadout(t)
	dst := r.AppendReadings(nil)
	require.Zero(t, testing.AllocsPerRun(100, func() { dst = r.AppendReadings(dst[:0]) }))
}

func benchReadout(t testing.TB) Readout {
	t.Helper()
	b := benchBytes(t)
	r, _, err := ParseReadout(b)
	require.NoError(t, err)
	return r
}

func benchBytes(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/readout.txt")
	require.NoError(t, err)
	return append([]byte("/OUM5METERSIM\r\n"), framed(string(data))...)
}

func FuzzParseReadout(f *testing.F) {
	f.Add(benchBytes(f))
	f.Add([]byte("/ABC5X\r\n\r\n1.8.0(1)(2)\r\n(3)\r\n!\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := ParseReadout(b)
		_ = explainAll(b, func(offset, length, _ int, field, _ string) {
			if offset < 0 || length < 0 || offset+length > len(b) {
				t.Fatalf("%s at %d+%d of %d", field, offset, length, len(b))
			}
		})
		if err != nil {
			require.Zero(t, n)
			return
		}
		require.LessOrEqual(t, n, len(b))
		readings := r.AppendReadings(nil)
		require.LessOrEqual(t, len(readings), len(b))
		again, err := r.AppendBinary(nil)
		require.NoError(t, err)
		r2, n2, err := ParseReadout(again)
		require.NoError(t, err)
		require.Equal(t, len(again), n2)
		require.Equal(t, string(r.Data), string(r2.Data))
		require.Equal(t, r.Framed, r2.Framed)
		for i := range min(n, 200) {
			_, _, err := ParseReadout(b[:i])
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "prefix of %d", i)
		}
	})
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte("\x00\x00/?123!\r\n"))
	f.Add([]byte("\x06050\r\n"))
	f.Add([]byte("\x01R1\x021.8.0()\x03\x5a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, n, err := ParseMessage(b)
		if err != nil {
			require.Zero(t, n)
			return
		}
		require.LessOrEqual(t, n, len(b))
		again, err := m.AppendBinary(nil)
		require.NoError(t, err)
		m2, n2, err := ParseMessage(again)
		require.NoError(t, err)
		require.Equal(t, len(again), n2)
		require.Equal(t, m, m2)
	})
}

// BenchmarkReadout reads a readout of 30 lines to readings, beside a floor that
// runs the block check and finds the lines of the same octets.
func BenchmarkReadout(b *testing.B) {
	raw := benchBytes(b)
	var d Decoder
	readings := 0
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		r, _, err := ParseReadout(raw)
		if err != nil {
			b.Fatal(err)
		}
		readings = len(d.Decode(r).Readings)
	}
	golden.OfFloor(b, func() {
		var bcc byte
		for _, c := range raw {
			bcc ^= c
		}
		lines := 0
		for i, c := range raw {
			if c == '\n' {
				lines += i
			}
		}
		sink += lines + int(bcc)
	})
	b.ReportMetric(float64(readings), "readings")
}

var sink int

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

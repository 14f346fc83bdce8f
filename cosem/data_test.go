package cosem

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/obis"
)

func TestDataOfEveryType(t *testing.T) {
	for name, test := range map[string]struct {
		hex  string
		want string // of String
	}{
		"null-data":             {"00", "null-data"},
		"boolean":               {"0301", "boolean true"},
		"bit-string":            {"040AA540", "bit-string 0b1010010101"},
		"double-long":           {"05FFFFFFFE", "double-long -2"},
		"double-long-unsigned":  {"06FFFFFFFE", "double-long-unsigned 4294967294"},
		"octet-string":          {"0903010203", "octet-string 0x010203"},
		"visible-string":        {"0A0341424D", "visible-string ABM"},
		"utf8-string":           {"0C02C3A4", "utf8-string ä"},
		"bcd":                   {"0D42", "bcd 42"},
		"integer":               {"0FFF", "integer -1"},
		"long":                  {"10FF00", "long -256"},
		"unsigned":              {"11FF", "unsigned 255"},
		"long-unsigned":         {"12FF00", "long-unsigned 65280"},
		"long64":                {"148000000000000000", "long64 -9223372036854775808"},
		"long64-unsigned":       {"15FFFFFFFFFFFFFFFF", "long64-unsigned 18446744073709551615"},
		"enum":                  {"161E", "enum 30"},
		"float32":               {"1743666000", "float32 230.375"},
		"float64":               {"18400921FB54442D18", "float64 3.141592653589793"},
		"date-time":             {"1907EA0B14050C2238FF800000", "date-time 2026-11-20T12:34:56"},
		"date":                  {"1A07EA0B1405", "date 2026-11-20"},
		"time":                  {"1B0C223800", "time 12:34:56"},
		"delta-integer":         {"1CFF", "delta-integer -1"},
		"delta-long":            {"1DFFFE", "delta-long -2"},
		"delta-double-long":     {"1EFFFFFFFD", "delta-double-long -3"},
		"delta-unsigned":        {"1FFF", "delta-unsigned 255"},
		"delta-long-unsigned":   {"20FFFF", "delta-long-unsigned 65535"},
		"delta-double-unsigned": {"2100000001", "delta-double-long-unsigned 1"},
		"dont-care":             {"FF", "dont-care"},
		"array":                 {"010211011102", "array{unsigned 1, unsigned 2}"},
		"structure":             {"02020F031620", "structure{integer 3, enum 32}"},
		"nested":                {"0201010202001101", "structure{array{structure{}, unsigned 1}}"},
		"long length":           {"098103AABBCC", "octet-string 0xaabbcc"},
		"compact array of long": {"13120400010002", "compact array{long-unsigned 1, long-unsigned 2}"},
		"compact array of structures": {"1302021109050201AA0200",
			"compact array{structure{unsigned 2, octet-string 0xaa}, structure{unsigned 2, octet-string 0x}}"},
		"compact array of arrays": {"13010002110401020304", "compact array{array{unsigned 1, unsigned 2}, array{unsigned 3, unsigned 4}}"},
	} {
		t.Run(name, func(t *testing.T) {
			b := unhex(t, test.hex)
			d, n, err := ParseData(append(b, 0xEE))
			require.NoError(t, err)
			require.Equal(t, len(b), n)
			require.Equal(t, test.want, d.String())
			require.Equal(t, b, d.append(nil))
			for cut := range b {
				_, n, err := ParseData(b[:cut])
				require.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut at %d", cut)
				require.Zero(t, n)
			}
		})
	}
}

func TestDataRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		hex    string
		field  string
		offset int
		err    error
	}{
		"unknown type":              {"07", "tag", 0, errTag},
		"unknown type in a list":    {"0202110107", "tag", 4, errTag},
		"length of 64 bits":         {"0988FFFFFFFFFFFFFFFF", "octet-string", 1, errLength},
		"nested too deeply":         {strings.Repeat("0101", 40), "array", 64, errDepth},
		"compact array of nothing":  {"1300020000", "compact-array", 3, errEmpty},
		"compact array, odd end":    {"131203000102", "long-unsigned", 6, errContent},
		"compact array that blooms": {"1302 02 11 01FFFF 00 02 0101", "compact-array", 10, ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := ParseData(unhex(t, strings.ReplaceAll(test.hex, " ", "")))
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			require.Zero(t, n)
			require.ErrorIs(t, err, test.err)
			require.Equal(t, test.field, pe.Field)
			require.Equal(t, test.offset, pe.Offset)
		})
	}
}

func TestBuild(t *testing.T) {
	at := obis.LocalTime(2026, 3, 1, 12, 0, 0)
	d := Structure(Null(), Bool(true), Int8(-1), Int16(-2), Int32(-3), Int64(-4), Uint8(1), Uint16(2), Uint32(3), Uint64(4), Enum(5),
		Float32(math.Float32bits(1.5)), Float64(math.Float64bits(2.5)), OctetString([]byte{1}), VisibleString("a"), UTF8String("b"),
		BitString([]byte{0xF0}, 4), Name(obis.MustParse("1-0:1.8.0")), DateTime(at), DateTimeTagged(at), Array(Uint8(1), Uint8(2)))
	parsed, n, err := ParseData(d.Binary())
	require.NoError(t, err)
	require.Equal(t, len(d.Binary()), n)
	require.True(t, parsed.Equal(d))
	require.Equal(t, 21, parsed.Len())
	require.Equal(t, TagUnsigned, parsed.At(20).At(1).Tag())
	got, ok := parsed.At(18).Time()
	require.True(t, ok)
	require.Equal(t, at, got)
}

func TestFromValue(t *testing.T) {
	for _, v := range []obis.Value{
		obis.Int(-5, -2), obis.Int(5_000_000_000, 3), obis.Uint(math.MaxUint64, 0), obis.Float32(0x40000000, 0), obis.Bool(true),
		obis.Enum(3), obis.Bits([]byte{0xA0}, 3), obis.Octets([]byte{1, 2}), obis.Text([]byte("x")), {},
	} {
		d, scaler, ok := FromValue(v)
		require.True(t, ok)
		back, _ := d.Value().Shift(int(scaler))
		require.True(t, v.Equal(back), "%v → %v", v, d)
	}
}

// Rows that begin alike and go on otherwise, and elements that together are as
// long as if they were alike, are told apart.
func TestAtOfElementsThatDiffer(t *testing.T) {
	for name, list := range map[string]Data{
		"strings of 1, 3, 2": Array(OctetString([]byte{1}), OctetString([]byte{1, 2, 3}), OctetString([]byte{1, 2}), OctetString([]byte{9, 9})),
		"types of one size":  Array(Uint32(1), Int32(-2), Uint32(3), Float32(4), Uint32(5)),
		"rows": Array(Structure(Uint32(1), Uint16(2)), Structure(Uint32(3), Uint16(4)), Structure(Uint32(5), Uint16(6)),
			Structure(Uint32(7), Uint16(8)), Structure(Uint16(9), Uint32(10)), Structure(Uint32(11), Uint16(12))),
		"nothing and something": Array(Null(), Null(), Null(), Null(), Uint8(1)),
	} {
		t.Run(name, func(t *testing.T) {
			parsed, _, err := ParseData(list.Binary())
			require.NoError(t, err)
			for i, e := range list.Elements() {
				require.True(t, e.Equal(parsed.At(i)), "%d: %v, want %v", i, parsed.At(i), e)
			}
			require.True(t, parsed.At(list.Len()).IsNull())
			require.True(t, parsed.At(-1).IsNull())
		})
	}
}

// BenchmarkAt walks a profile of 960 rows by the numbers of its rows: the cost
// of a row does not grow with the rows before it.
func BenchmarkAt(b *testing.B) {
	for _, rows := range []int{96, 960} {
		list := make([]Data, rows)
		for i := range list {
			list[i] = Structure(Uint32(uint32(i)), Uint16(1), Uint32(7))
		}
		d, _, err := ParseData(Array(list...).Binary())
		require.NoError(b, err)
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for i := range rows {
					if v, _ := d.At(i).At(0).Uint(); v != uint64(i) {
						b.Fatal(i)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
		})
	}
}

func FuzzParseData(f *testing.F) {
	for _, s := range []string{"00", "0202090107120005", "13020211090402AA0101", "040A0000", "0101010101010101", "1302021109050201AA0200",
		"0105020211010604030201020211020604030201020211030604030201020211040604030201020211050704030201", "010509020102090201020902010209020102090101"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, n, err := ParseData(b)
		noted := 0
		_, explainErr := Explain(b, 0, func(off, length, _ int, _, _ string) {
			if off < 0 || length < 0 || off+length > len(b) {
				t.Fatalf("note of octets %d to %d of %d", off, off+length, len(b))
			}
			noted++
		})
		require.Equal(t, err == nil, explainErr == nil, "%v / %v", err, explainErr)
		if err != nil {
			require.Zero(t, n)
			return
		}
		require.Positive(t, noted)
		require.Equal(t, b[:n], d.Binary())
		expanded, err := d.Expand(nil)
		require.NoError(t, err)
		require.LessOrEqual(t, len(expanded.Binary()), 17*(n+32))
		for i, e := range d.Elements() {
			if !d.At(i).Equal(e) {
				t.Fatalf("At(%d) is %v, the element is %v", i, d.At(i), e)
			}
			again, m, err := ParseData(e.Binary())
			require.NoError(t, err)
			require.Equal(t, len(e.Binary()), m)
			require.Equal(t, e.Len(), again.Len())
			if i == 50 {
				break
			}
		}
		_ = d.String()
		_ = d.Value().String()
		_ = AppendPushed(nil, d, obis.Time{})
		_, _ = ParseObjectList(d, 3)
		var p obis.Profile
		l := Layout{Columns: []Column{{}, {Capture: Capture{Attribute: Attribute{Class: ClassClock, Index: 2}}}}}
		l.Describe(&p)
		_ = l.Append(&p, d)
		for cut := range n {
			if _, _, err := ParseData(b[:cut]); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
	})
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

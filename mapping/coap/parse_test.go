package coap

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// A secondary unit comes with the version that has them, a primary one without.
func TestVersion(t *testing.T) {
	for unit, want := range map[obis.Unit]bool{obis.WattHour: true, obis.VarHour: true, obis.VoltAmpereHour: true, obis.Hour: true, obis.Minute: true, obis.Percent: true,
		obis.DecibelMilliwatt: true, obis.AmpereHour: true, obis.Watt: false, obis.Volt: false, obis.CubicMetre: false, obis.Var: false, obis.Joule: false, obis.Celsius: false} {
		d := &mapping.Data{Meter: obis.Meter{ID: "1"}, Readings: []obis.Reading{
			{Code: obis.MustParse("1-0:32.7.0"), Unit: obis.Volt, Value: obis.Int(2301, -1)}, {Code: obis.MustParse("1-0:1.8.0"), Unit: unit, Value: obis.Int(5, 0)}}}
		pack, _ := AppendSenML([]byte("x"), d)
		require.Equal(t, want, strings.HasPrefix(string(pack), `x[{"bver":26,"bn":"1/",`), "%v: %s", unit, pack)
		require.True(t, json.Valid(pack[1:]))
		binary, _ := AppendSenMLCBOR([]byte("x"), d)
		require.Equal(t, want, strings.Contains(string(binary), "\x20\x18\x1A"), "%v: %x", unit, binary)
		for _, parse := range []func() (*mapping.Data, []string, error){
			func() (*mapping.Data, []string, error) { return ParseSenML(pack[1:]) },
			func() (*mapping.Data, []string, error) { return ParseSenMLCBOR(binary[1:]) },
		} {
			back, unread, err := parse()
			require.NoError(t, err)
			require.Empty(t, unread)
			require.Len(t, back.Readings, 2)
			require.Equal(t, unit, back.Readings[1].Unit)
			require.True(t, back.Readings[1].Value.Equal(obis.Int(5, 0)))
		}
	}
	for unit, want := range map[string]string{"kWh": "5000 Wh", "mV": "0.005 V", "hPa": "500 Pa", "l/s": "0.005 m3/s", "g": "0.005 kg", "/1000": "0.5 %", "/100": "5 %", "%": "5 1", "/": "5 1", "VAh": "5 VAh", "km": "5000 m"} {
		d, unread, err := ParseSenML(fmt.Appendf(nil, `[{"bver":26,"n":"a","u":%q,"v":5}]`, unit))
		require.NoError(t, err)
		require.Empty(t, unread)
		require.Equal(t, want, fmt.Sprint(d.Readings[0].Value, " ", d.Readings[0].Unit))
	}
}

// Numbers are exact as far as 64 bits and a power of ten go; beyond, what is not is said.
func TestNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"18446744073709551615": "18446744073709551615", "-9223372036854775808": "-9223372036854775808", "9000000000000000000000": "9000000000000000000000",
		"12345678901234567.89": "12345678901234567.89", "0.10": "0.10", "1.5E3": "1500", "-0.0000000000000000001": "-0.0000000000000000001", "1e-30": "0.000000000000000000000000000001", "1844674407370955161.5": "1844674407370955161.5",
	} {
		d, unread, err := ParseSenML([]byte(`[{"n":"a","v":` + text + `}]`))
		require.NoError(t, err, text)
		require.Empty(t, unread)
		require.Equal(t, want, d.Readings[0].Value.String())
	}
	d, unread, err := ParseSenML([]byte(`[{"n":"a","v":99999999999999999999},{"n":"b","v":230.10000000000000853},{"n":"c","v":-9223372036854775809}]`))
	require.NoError(t, err)
	require.Equal(t, []string{"a and 2 more: digits beyond those of a float"}, unread)
	f, _ := d.Readings[1].Value.Float64()
	require.InDelta(t, 230.10000000000002, f, 0)
	for _, v := range []obis.Value{obis.Uint(math.MaxUint64, 0), obis.Uint(math.MaxUint64, 5), obis.Int(math.MinInt64, 0), obis.Int(math.MinInt64, -100), obis.Float64(math.Float64bits(1e300), 0), obis.Float32(math.Float32bits(0.1), 0)} {
		in := &mapping.Data{Readings: []obis.Reading{{Code: obis.MustParse("1-0:1.8.0"), Value: v}}}
		pack, lost := AppendSenML(nil, in)
		require.Empty(t, lost)
		back, unread, err := ParseSenML(pack)
		require.NoError(t, err)
		require.Empty(t, unread, "%s", pack)
		require.Equal(t, v.String(), back.Readings[0].Value.String())
	}
}

// Times that count from the reception of the pack are no times, and named.
func TestRelativeTimes(t *testing.T) {
	d, unread, err := ParseSenML([]byte(`[{"n":"a","v":1,"t":-60},{"n":"b","v":1,"t":0},{"n":"c","v":1},{"n":"d","v":1,"t":1795176000.25}]`))
	require.NoError(t, err)
	require.Equal(t, []string{"a: its time, which counts from when the pack was received"}, unread)
	require.Equal(t, "   2026-11-20T12:00:00.25Z", fmt.Sprint(d.Readings[0].Time, " ", d.Readings[1].Time, " ", d.Readings[2].Time, " ", d.Readings[3].Time))
}

// Whose codes a table or a rule gave is not to be taken for what the meter sent.
func TestRules(t *testing.T) {
	for rule, said := range map[obis.Rule]bool{obis.RuleTransmitted: false, obis.RuleDeclared: false, obis.RuleStandard: true, obis.RuleDerived: true, obis.RuleManufacturer: true} {
		r := obis.Reading{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(5, 0), Rule: rule}
		_, lost := AppendSenML(nil, &mapping.Data{Readings: []obis.Reading{r}})
		require.Equal(t, said, len(lost) == 1, "%v: %v", rule, lost)
	}
}

// Base names that differ, ids of octets, values out of order.
func TestNames(t *testing.T) {
	d, _, err := ParseSenML([]byte(`[{"bn":"a/","n":"1-0:1.8.0","v":1},{"bn":"b/","n":"1-0:1.8.0","v":2},{"n":"0x0c06","v":3}]`))
	require.NoError(t, err)
	require.Empty(t, d.Meter.ID)
	require.Equal(t, "1-0:1.8.0*255 1-0:1.8.0*255", fmt.Sprint(d.Readings[0].Code, " ", d.Readings[1].Code))
	d, _, err = ParseSenML([]byte(`[{"n":"0x0c06","v":3}]`))
	require.NoError(t, err)
	require.Equal(t, []byte{0x0C, 0x06}, d.Readings[0].RawID)
	d, _, err = ParseSenML([]byte(`[{"bt":1795176000,"n":"a","v":1,"t":10},{"n":"a","v":2,"t":0},{"n":"a","v":3,"t":5},{"n":"b","v":1},{"n":"b","v":2}]`))
	require.NoError(t, err)
	require.Equal(t, 3, d.Profiles[0].Len())
	require.Len(t, d.Readings, 2)
}

func TestSenMLCBORRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "unexpected EOF",
		"00":                                  "no array",
		"8100":                                "no map",
		"81a1":                                "unexpected EOF",
		"81a10261":                            "record 0: 2",
		"81a1021c":                            "begins no data item",
		"81a100ff":                            "no text",
		"81a10061ff":                          "not UTF-8",
		"81a102c48202":                        "unexpected EOF",
		"81a102c482c48200":                    "neither an integer",
		"81a104f6":                            "",
		"81a104f7":                            "",
		"81a10400":                            "neither true nor false",
		"81a1201b7fffffffffffffff":            "version",
		"81a162785f00":                        "must be understood",
		"8000":                                "behind the pack",
		"81a118641e":                          "begins no data item",
		"81a1f500":                            "label",
		"81a11864" + strings.Repeat("81", 20): "too deep",
		"81a10041":                            "no text",
		"81a1025affffffff":                    "neither an integer",
		"81a1085affffffff":                    "unexpected EOF",
		"9bffffffffffffffff":                  "unexpected EOF",
		"81" + "bb7fffffffffffffff" + "0001" + "02": "no text",
	} {
		raw, err := hex.DecodeString(text)
		require.NoError(t, err, text)
		_, _, err = ParseSenMLCBOR(raw)
		if want == "" {
			require.NoError(t, err, text)
			continue
		}
		require.ErrorContains(t, err, want, text)
	}
	// All of indefinite length, a half, bignums, a label that is not known with what it holds.
	raw, err := hex.DecodeString("9fbf007f61616162ff02f93e0018645f42010241ffff1865bf0102ffff" + "a200616302c24900ffffffffffffffff" + "ff")
	require.NoError(t, err)
	d, _, err := ParseSenMLCBOR(raw)
	require.NoError(t, err)
	require.Equal(t, "ab 1.5 c 18446744073709551615", fmt.Sprint(string(d.Readings[0].RawID), " ", d.Readings[0].Value, " ", string(d.Readings[1].RawID), " ", d.Readings[1].Value))
	for n := range raw {
		_, _, err := ParseSenMLCBOR(raw[:n])
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%x", raw[:n])
	}
}

// A pack of many series takes no longer than its number.
func TestManySeries(t *testing.T) {
	var pack strings.Builder
	pack.WriteString("[")
	for i := range 20000 {
		fmt.Fprintf(&pack, `{"n":"a%d","v":1,"t":1795176000},{"n":"a%d","v":1,"t":1795177%03d},`, i, i, i%1000)
	}
	start := time.Now()
	d, _, err := ParseSenML([]byte(strings.TrimSuffix(pack.String(), ",") + "]"))
	require.NoError(t, err)
	require.NotEmpty(t, d.Profiles)
	require.Less(t, time.Since(start), 5*time.Second)
}

// BenchmarkParseSenML reads a thousand readings, beside encoding/json and a struct.
func BenchmarkParseSenML(b *testing.B) {
	doc, _ := AppendSenML(nil, thousand())
	packed, _ := AppendSenMLCBOR(nil, thousand())
	run := func(name string, doc []byte, parse func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				if err := parse(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/reading")
		})
	}
	run("json", doc, func() error {
		_, _, err := ParseSenML(doc)
		return err
	})
	run("cbor", packed, func() error {
		_, _, err := ParseSenMLCBOR(packed)
		return err
	})
	run("encoding/json", doc, func() error {
		var pack []struct {
			BaseName    string      `json:"bn"`
			BaseVersion int         `json:"bver"`
			Name        string      `json:"n"`
			Unit        string      `json:"u"`
			Value       json.Number `json:"v"`
			Time        json.Number `json:"t"`
		}
		return json.Unmarshal(doc, &pack)
	})
}

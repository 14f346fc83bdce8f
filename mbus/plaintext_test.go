package mbus

import (
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

func readingsOf(t *testing.T, hex string) []obis.Reading {
	t.Helper()
	var d Decoder
	tg, err := d.Parse(golden.Unhex(t, hex), Lower{})
	require.NoError(t, err)
	require.NoError(t, tg.Broken)
	return d.AppendReadings(nil, &tg)
}

// Units in plain text come in either order, one behind the other too.
func TestPlainTextUnits(t *testing.T) {
	for hex, want := range map[string][]string{
		// A humidity sensor: text before the extension, three times.
		"7802fc0348522574221522fc0348522574240d12fc0348522574c31c0265 2e08": {"54.10 %", "33.64 %", "73.63 %", "20.94 Cel"},
		"78 02fc740348522522 15 22fc7403485225240d":                         {"54.10 %", "33.64 %"}, // the order of the standard
		"78 02fc034852257422 15":                                            {"54.10 %"},
		"78 027c034852 25 2215":                                             {"5410 %"},
		"78 027c0368576b 2215":                                              {"5410000 Wh"},
		"78 02fc0368576b 74 2215 01fd1700":                                  {"54100 Wh", "0b00000000 "},
		"78 027c0143 2215":                                                  {"5410 other questionable C"},
		"78 027c03 7a7978 2215":                                             {"5410 other questionable xyz"},
		"78 02fc037a797874 2215 02fc037a797874 2215":                        {"54.10 other questionable xyz", "54.10 other questionable xyz"},
		"78 027c02 43b0 2215":                                               {"5410 Cel"},
	} {
		var got []string
		for _, r := range readingsOf(t, hex) {
			s := r.Value.String() + " " + r.Unit.String()
			if r.Quality.Flags != 0 {
				s += " " + r.Quality.Flags.String()
			}
			if r.UnitText != nil {
				s += " " + string(r.UnitText)
			}
			got = append(got, s)
		}
		require.Equal(t, want, got, hex)
	}
}

// What extensions make of a unit is understood, and named.
func TestUnitsWithoutAName(t *testing.T) {
	got := readingsOf(t, "78 0283 2c 2215") // Wh per litre
	require.Equal(t, obis.OtherUnit, got[0].Unit)
	require.Equal(t, "Wh/L", string(got[0].UnitText))
	require.Equal(t, obis.Good, got[0].Quality.Validity())
}

// A compact profile with registers goes on from its base value, as one without.
func TestCompactProfileWithRegisters(t *testing.T) {
	var d Decoder
	tg, err := d.Parse(golden.Unhex(t, "78 82046c2129 8c041333000000 8d04931e 0e 3cfe 330000004300000034180000"), Lower{})
	require.NoError(t, err)
	require.NoError(t, tg.Broken)
	p := d.AppendProfiles(nil, &tg)
	require.Len(t, p, 1)
	require.Equal(t, []string{"2017-10-01", "2017-11-01", "2017-12-01"}, []string{p[0].Times[0].String(), p[0].Times[1].String(), p[0].Times[2].String()})
	require.Equal(t, "0.043", p[0].Columns[0].At(1).String())
	require.Equal(t, "1.834", p[0].Columns[0].At(2).String())
	require.Equal(t, obis.CubicMetre, p[0].Columns[0].Unit)
	all := d.AppendReadings(nil, &tg)
	require.Equal(t, obis.UnitUnknown, all[2].Unit, "octets have none")
}

// Telegrams of the modes of old are named and not read, even where their cipher
// text looks like records; by radio always.
func TestOldModes(t *testing.T) {
	records := golden.Unhex(t, "0413010000002f2f0413010000002f2f")
	for mode, config := range map[Config]Config{1: 0x0110, 2: 0x0210, 3: 0x0308, 4: 0x0410, 8: 0x0810, 9: 0x0910, 15: 0x0F00} {
		h := Header{Form: HeaderLong, Address: Address{ID: 1}, Config: config}
		var d Decoder
		tg, err := d.Parse(append(h.AppendBinary([]byte{0x72}), records...), Lower{Radio: true})
		require.ErrorIs(t, err, ErrUnsupported)
		require.Empty(t, tg.Records)
		require.NotContains(t, err.Error(), "reserved", "mode %d", mode)
		if mode < 2 || mode > 4 {
			continue
		}
		tg, err = d.Parse(append(h.AppendBinary([]byte{0x72}), records...), Lower{})
		require.ErrorIs(t, err, ErrUnsupported)
		require.ErrorContains(t, err, modeName(int(mode)))
		require.Empty(t, tg.Records)
	}
}

package iec62056

import (
	"strings"
	"testing"

	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// decoded reads the lines of a meter with the identification.
func decoded(t *testing.T, identification, lines string) *Content {
	t.Helper()
	r, _, err := ParseReadout(append([]byte(identification+"\r\n"), framed(lines+"\r\n!\r\n")...))
	require.NoError(t, err)
	return new(Decoder).Decode(r)
}

// A Siemens 2WR numbers its registers as the UH50 that came after it.
func TestListsOfRegisters(t *testing.T) {
	for _, identification := range []string{"/SIE32WR5", "/SIE2WR5", "/SIe42WR6 4.1", "/LUGCUH50", "/LUG42WR6"} {
		c := decoded(t, identification, "6.8(0029.055*MWh)6.26(01589.28*m3)9.21(00010213)9.20(64030874)\r\n"+
			"6.26*01(01500.00*m3)6.6(17.2*kW)6.6*01(16.9*kW)6.35(60*m)\r\n9.4(088*C&082*C)6.31(0012345*h)\r\n0.0(00010213)")
		var got []string
		for _, r := range c.Readings {
			got = append(got, show(r))
			require.Equal(t, obis.Good, r.Quality.Validity(), show(r))
		}
		require.Equal(t, []string{
			"6-0:1.0.0*255 29055000 Wh", "6-0:2.0.0*255 1589.28 m3", " 00010213 raw 9.21", " 64030874 raw 9.20",
			"6-0:2.0.0*1 1500.00 m3", " 17200 W raw 6.6", " 16900 W raw 6.6*01", " 60 min raw 6.35",
			" 88 Cel raw 9.4", " 82 Cel raw 9.4", " 12345 h raw 6.31", " 00010213 raw 0.0",
		}, got, identification)
		require.Equal(t, obis.Heat, c.Meter.Medium)
		require.Equal(t, "64030874", c.Meter.Serial)
	}
	_, err := readLists()
	require.NoError(t, err)
}

// Of a meter that nobody knows the units tell that its registers are no codes.
func TestUnitsThatContradictTheCode(t *testing.T) {
	c := decoded(t, "/XYZ3HEAT", strings.Join([]string{
		"6.8(0029.055*MWh)", "6.8(12*GJ)", "6.26(01589.28*m3)", "6.6(17.2*kW)", "1.8.0(5*m3)", "1.8.0(5*kW)", "1.7.0(5*kWh)",
		"32.7.0(230*A)", "1-0:31.7.0*255(1*V)", "1.6.1(5*kWh)(0901161030)", "6-0:1.0.0(5*m3)", "8-0:1.0.0(5*kWh)", "7-0:3.0.0(5*kWh)", "1.8.0*03(1*l)", "14.7(50*V)",
	}, "\r\n"))
	for _, r := range c.Readings {
		require.Equal(t, obis.Inconsistent, r.Quality.Flags, show(r))
	}
	c = decoded(t, "/XYZ3METER", strings.Join([]string{
		"1.8.0(5*kWh)", "1.8.0(5*GJ)", "1.7.0(5*kW)", "1.4.0(5*kW)", "1.9.1(5*kWh)", "1.2.1(5*kW)", "1.29.0(5*Wh)", "5.8.0(1*kvarh)", "9.8.0(1*kVAh)", "9.7.0(1*kVA)",
		"31.7.0(1*A)", "32.7.0(230*V)", "14.7(50.0*Hz)", "6-0:1.0.0(5*GJ)", "6-0:2.0.0(5*m3)", "8-0:1.0.0(5*m3)", "7-0:3.0.0(5*m3)", "0.4.2(40)", "13.7(0.98)", "1.31.0(10*kW)",
		"1.32.0(3)", "81.7.1(120*deg)", "11.8.0(2*Ah)", "1-0:1.8.0(12)",
	}, "\r\n"))
	for _, r := range c.Readings {
		require.Equal(t, obis.Good, r.Quality.Validity(), show(r))
	}
	profiles, err := ParseProfiles([]byte("P.01(0090116104500)(00)(15)(2)(1.5)(kW)(6.8)(GJ)\r\n(1)(2)\r\n"))
	require.NoError(t, err)
	require.Equal(t, obis.Good, profiles[0].Columns[0].Quality.At(0).Validity())
	require.Equal(t, obis.Doubtful, profiles[0].Columns[1].Quality.At(0).Validity())
}

// Units in the wrong letters are read where they have one meaning; those that
// are not understood leave their text, and a mark on the value.
func TestUnitsOfTheField(t *testing.T) {
	for line, want := range map[string]string{
		"1.8.0(123456.789*kwh)":   "1-0:1.8.0*255 123456789 Wh",
		"1.8.0(1*KWH)":            "1-0:1.8.0*255 1000 Wh",
		"1.8.0(1*Kwh)":            "1-0:1.8.0*255 1000 Wh",
		"1.8.0(1*MWH)":            "1-0:1.8.0*255 1000000 Wh",
		"1.8.0(1*gj)":             "1-0:1.8.0*255 1 other questionable gj",
		"1.7.0(01.193*kw)":        "1-0:1.7.0*255 1193 W",
		"1.7.0(01.193*mw)":        "1-0:1.7.0*255 1.193 other questionable mw",
		"32.7.0(220.1*v)":         "1-0:32.7.0*255 220.1 V",
		"31.7.0(16*a)":            "1-0:31.7.0*255 16 other questionable a",
		"3.8.0(2*KVARH)":          "1-0:3.8.0*255 2000 varh",
		"3.8.0(2*Kvarh)":          "1-0:3.8.0*255 2000 varh",
		"14.7(50.0*HZ)":           "1-0:14.7.0*255 50.0 Hz",
		"7-0:3.0.0(5*M3)":         "7-0:3.0.0*255 5 m3",
		"81.7.1(120*Deg)":         "1-0:81.7.1*255 120 deg",
		"96.8.0(12*secs)":         "0-0:96.8.0*255 12 s",
		"96.8.0(12*hours)":        "0-0:96.8.0*255 12 h",
		"96.9.0(21.5*C)":          "0-0:96.9.0*255 21.5 Cel",
		"6-0:10.0.0(21.5*'C)":     "6-0:10.0.0*255 21.5 Cel",
		"1.8.0(12*furlong)":       "1-0:1.8.0*255 12 other questionable furlong",
		"1.8.0(12* k W h )":       "1-0:1.8.0*255 12 other questionable  k W h ",
		"1.6.1(1*kx)(0901161030)": "1-0:1.6.1*255 1 other @2009-01-16T10:30:00 questionable kx",
		"0.3.0(1000*Imp/kWh)":     "1-0:0.3.0*255 1.000 1/Wh",
		"9.9.9(7*m)":              "1-0:9.9.9*255 7 other questionable m",
	} {
		r := decoded(t, "/XYZ3METER", line).Readings[0]
		got := show(r)
		if r.UnitText != nil {
			got += " " + string(r.UnitText)
		}
		require.Equal(t, want, got, line)
	}
	own := decoded(t, "/XYZ3METER", "1.8.0(12*furlong)").Readings
	obis.OwnReadings(own)
	require.Equal(t, "furlong", string(own[0].UnitText))
}

// Two values of one billing period, one stored by the clock and one by hand, are
// two, whichever comes first; a meter that is only reset by hand keeps its codes.
func TestResetsAreToldApart(t *testing.T) {
	for lines, want := range map[string][]string{
		"1.8.1*12(75.5341*kWh)\r\n1.8.1&12(0.0*kWh)\r\n1.8.2&12(3*kWh)":    {"1-0:1.8.1*12 75534.1 Wh", " 0 Wh raw 1.8.1&12", "1-0:1.8.2*12 3000 Wh"},
		"1.8.1&12(0.0*kWh)\r\n1.8.1*12(75.5341*kWh)":                       {" 0 Wh raw 1.8.1&12", "1-0:1.8.1*12 75534.1 Wh"},
		"1-1:1.6.1&02(1*kW)(0901161030)\r\n1-1:1.6.1*02(2*kW)(0902161030)": {" 1000 W @2009-01-16T10:30:00 raw 1-1:1.6.1&02", "1-1:1.6.1*2 2000 W @2009-02-16T10:30:00"},
		"1.8.1&12(1*kWh)\r\n1.8.1&11(2*kWh)\r\n1.8.1*10(2*kWh)":            {"1-0:1.8.1*12 1000 Wh", "1-0:1.8.1*11 2000 Wh", "1-0:1.8.1*10 2000 Wh"},
	} {
		var got []string
		for _, r := range decoded(t, "/LGZ5ZMD", lines).Readings {
			got = append(got, show(r))
		}
		require.Equal(t, want, got)
	}
}

// Where the unit of one register is of no electricity meter, the numbers of the others
// are no codes either, although their units do not say so.
func TestNumbersBesideUnitsOfHeat(t *testing.T) {
	c := decoded(t, "/XYZ3HEAT", "6.8(0029.055*MWh)\r\n6.26(01589.28*m3)\r\n9.21(66153690)\r\n1.7(5*kW)\r\n0.0(66153690)\r\n1-0:1.8.0(5*kWh)")
	var got []string
	for _, r := range c.Readings {
		got = append(got, string(r.RawID)+" "+r.Quality.Flags.String())
	}
	require.Equal(t, []string{"6.8 inconsistent", "6.26 inconsistent", "9.21 questionable", "1.7 questionable", "0.0 questionable", "1-0:1.8.0 good"}, got)
}

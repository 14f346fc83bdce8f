package iec62056

import (
	"errors"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// What users of other readers asked for or complained about, one test each.
// The change of the rate, unplugging and echoes are tested beside the simulated
// meter, floods of CRC errors and the W of a time beside P1.

func shown(lines string) (all []string) {
	for _, r := range Salvage([]byte(lines)).AppendReadings(nil) {
		all = append(all, show(r))
	}
	return all
}

// "&" before F marks a value stored by hand, and was fatal elsewhere (EMH ITZ).
func TestAmpersandInIDs(t *testing.T) {
	require.Equal(t, []string{"1-0:0.1.2*7 2009-01-01T00:00:00", "1-0:1.8.1*7 12000 Wh"}, shown("0.1.2&07(0901010000)\r\n1.8.1&07(12*kWh)"))
}

// Letters stand for numbers in some ids and for a vendor's fancy in others.
func TestLettersAndVendorIDs(t *testing.T) {
	require.Equal(t, []string{
		"0-0:96.1.0*255 123", "0-0:97.97.0*255 00", "1-0:98.1.0*255 x", // C.1.0, F.F, L.1
		" 0000.1 raw 1-1:30D", " 5000 Wh raw 2.8.P", " 1 raw \xa7\xa7",
		"1-0:96.1.255*255 1ABC", "1-0:1.7.255*255 230 W",
	}, shown("C.1.0(123)\r\nF.F(00)\r\nL.1(x)\r\n1-1:30D(0000.1)\r\n2.8.P(5*kWh)\r\n\xa7\xa7(1)\r\n1-0:96.1.255*255(1ABC)\r\n1-0:1.7.255*255(230*W)"))
}

// What no table knows is shown all the same.
func TestUnmappedCodesAreKept(t *testing.T) {
	require.Equal(t, []string{"1-0:199.133.7*255 42", "254-3:77.88.99*255 7 Wh"}, shown("199.133.7(42)\r\n254-3:77.88.99(7*Wh)"))
}

// A float of 32 bits would make 123456.784 kWh of this.
func TestNoDigitIsLost(t *testing.T) {
	require.Equal(t, []string{"1-0:1.8.0*255 123456789.012345 Wh"}, shown("1.8.0(123456.789012345*kWh)"))
	require.Equal(t, []string{"1-0:1.8.0*255 999999999999999 Wh"}, shown("1.8.0(999999999999.999*kWh)"))
}

// Two tariffs are two readings, and none is named day or night.
func TestTariffsAreNumbers(t *testing.T) {
	for _, r := range Salvage([]byte("1.8.1(1*kWh)\r\n1.8.2(2*kWh)")).AppendReadings(nil) {
		tariff, ok := r.Code.Tariff()
		require.True(t, ok)
		require.Equal(t, r.Value.String(), string('0'+tariff)+"000")
		require.NotContains(t, obis.Describe(r.Code), "night")
	}
}

// Landis+Gyr ZMD: a port of eight bits shows 0xB1 for "1".
func TestZMDTrap(t *testing.T) {
	line := []byte("1.8.0(11*kWh)\r\n")
	AddParity(line)
	require.EqualValues(t, 0xB1, line[0])
	require.Zero(t, StripParity(line))
	require.Equal(t, []string{"1-0:1.8.0*255 11000 Wh"}, shown(string(line)))
}

// Landis+Gyr ZMD: the status of a profile has 32 bits of the manufacturer's own.
func TestZMDProfile(t *testing.T) {
	all, err := ParseProfiles([]byte("P.01(1090116104500)(00000008)(15)(2)(1.5)(kW)(5.8)(kvarh)\r\n(0.045)(1.0)\r\n(0.0471)(------)\r\n" +
		"P.01(1090116120000)(00000080)(15)(2)(1.5)(kW)(5.8)(kvarh)\r\n(0.1)(2.0)\r\n"))
	require.NoError(t, err)
	require.Len(t, all, 1)
	p := all[0]
	require.Equal(t, 3, p.Len())
	require.Equal(t, "2009-01-16T11:00:00", p.Times[1].String())
	require.Equal(t, "2009-01-16T12:00:00", p.Times[2].String())
	require.Equal(t, obis.TimeDST, p.Times[1].Status)
	require.Equal(t, obis.Quality{Raw: 0x80, Kind: obis.StatusVendor}, p.Quality.At(2))
	require.Equal(t, "47.1", p.Columns[0].At(1).String())
	require.Equal(t, "100", p.Columns[0].At(2).String())
	require.True(t, p.Columns[1].At(1).IsNone())
	require.Equal(t, obis.VarHour, p.Columns[1].Unit)
	require.Equal(t, "2000", p.Columns[1].At(2).String())
}

// VDEW: the status of two digits has known bits, and holds until the next header.
func TestProfileStatus(t *testing.T) {
	all, err := ParseProfiles([]byte("P.01(0090116104500)(80)(15)(1)(1.5)(kW)\r\n(1)\r\n(2)\r\nP.01(0090116111500)(00)(15)(1)(1.5)(kW)\r\n(3)\r\n"))
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, obis.PowerDown, all[0].Quality.At(1).Flags)
	require.Equal(t, obis.Quality{}, all[0].Quality.At(2))
}

func TestProfileOfOtherColumnsIsAnotherProfile(t *testing.T) {
	all, err := ParseProfiles([]byte("P.01(0090116104500)(00)(15)(1)(1.5)(kW)(1)\r\nP.02(0090117000000)(00)(1440)(1)(1.8)(kWh)(7)\r\nP.01(0090116110000)(00)(15)(1)(2.5)(kW)(3)"))
	require.NoError(t, err)
	require.Len(t, all, 3)
	require.EqualValues(t, 86400, all[1].Period)
	require.Equal(t, "1-0:99.2.0*255", all[1].Code.String())
}

func TestProfileThatWasCutOff(t *testing.T) {
	all, err := ParseProfiles([]byte("x(1)\r\nP.01(0090116104500)(00)(15)(2)(1.5)(kW)(2.5)(kW)\r\n(1)(2)\r\n(3)\r\n"))
	var pe *ParseError
	require.ErrorAs(t, err, &pe)
	require.Equal(t, 6, pe.Offset)
	require.Len(t, all, 1)
	require.Equal(t, 1, all[0].Len())
	require.Equal(t, 1, all[0].Columns[0].Len())
}

func TestLogEntries(t *testing.T) {
	events := ParseEvents([]byte("P.98(0090116104500)(0080)()(0)\r\nP.98(1090716104501)(2000)()(2)(0.9.1)()(1.8.0)(kWh)(10:45:00)(12.5)\r\n"))
	require.Len(t, events, 2)
	require.EqualValues(t, 0x2000, events[1].ID)
	require.Equal(t, "2009-07-16T10:45:01", events[1].Time.String())
	require.Len(t, events[1].Params, 2)
	require.Equal(t, "10:45:00", events[1].Params[0].Value.String())
	require.Equal(t, "12500 Wh", events[1].Params[1].Value.String()+" "+events[1].Params[1].Unit.String())
}

// Ultraheat registers look like OBIS codes of reactive energy and are none.
func TestUltraheat(t *testing.T) {
	r, _, err := ParseReadout(append([]byte("/LUGCUH50\r\n"), framed("6.8(0328.871*GJ)6.26(03329.45*m3)9.21(66153690)\r\n6.26*01(03000.00*m3)9.4(098.5*C&096.1*C)\r\n!\r\n")...))
	require.NoError(t, err)
	var got []string
	for _, reading := range r.AppendReadings(nil) {
		got = append(got, show(reading))
	}
	require.Equal(t, []string{
		"6-0:1.0.0*255 328871000000 J", "6-0:2.0.0*255 3329.45 m3", " 66153690 raw 9.21",
		"6-0:2.0.0*1 3000.00 m3", " 98.5 Cel raw 9.4", " 96.1 Cel raw 9.4",
	}, got)
	require.Equal(t, obis.Heat, r.Meter().Medium)
}

// A second reader that joins the same line in the middle finds the next readout.
func TestReaderThatJoinsInTheMiddle(t *testing.T) {
	whole := append([]byte("/OUM3METERSIM\r\n"), framed("1.8.0(1*kWh)\r\n!\r\n")...)
	broken := append([]byte(nil), whole...)
	broken[20] ^= 1
	line := strings.Join([]string{string(whole[25:]), string(broken), "no/ise", string(whole), string(whole[:17]), string(whole)}, "")
	for _, piece := range []int{1, 5, len(line)} {
		var s Stream
		n := 0
		for rest := []byte(line); len(rest) > 0; {
			size := min(piece, len(rest))
			s.Feed(rest[:size])
			rest = rest[size:]
			for r := range found(&s) {
				require.Equal(t, "1.8.0(1*kWh)", string(r.Readout.Data))
				n++
			}
		}
		require.Equal(t, 2, n)
		require.Equal(t, uint64(1), s.Stats().ChecksumErrors)
	}
}

func FuzzParseProfiles(f *testing.F) {
	f.Add([]byte("P.01(0090116104500)(00)(15)(2)(1.5)(kW)(2.5)(kW)\r\n(1)(2)\r\n(3)(4)\r\n"))
	f.Add([]byte("P.98(0090116104500)(0080)()(0)"))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, _ := ParseProfiles(b)
		for _, p := range all {
			require.LessOrEqual(t, p.Len()*len(p.Columns), len(b))
			for i := range p.Columns {
				require.Equal(t, p.Len(), p.Columns[i].Len())
			}
		}
		require.LessOrEqual(t, len(ParseEvents(b)), len(b))
	})
}

func FuzzStream(f *testing.F) {
	f.Add(append([]byte("9*kWh)\r\n!\r\n/OUM3METERSIM\r\n"), framed("1.8.0(1*kWh)\r\n!\r\n")...), 7)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		if piece <= 0 {
			return
		}
		s := Stream{MaxSize: 300}
		n := uint64(0)
		for rest := b; len(rest) > 0; {
			size := min(piece, len(rest))
			s.Feed(rest[:size])
			rest = rest[size:]
			for r := range found(&s) {
				r.Readout.AppendReadings(nil)
				n++
			}
		}
		require.Equal(t, n, s.Stats().Messages)
		require.LessOrEqual(t, s.Stats().Skipped, uint64(len(b)))
	})
}

// found goes through what the stream finds, past what is damaged.
func found(s *Stream) iter.Seq[Incoming] {
	return func(yield func(Incoming) bool) {
		for {
			in, err := s.Next()
			if errors.Is(err, io.ErrUnexpectedEOF) || err == nil && !yield(in) {
				return
			}
		}
	}
}

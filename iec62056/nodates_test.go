package iec62056

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is written as a date and is none is not the quantity beside it; what has
// no unit where its neighbour has one is something else.
func TestDatesThatDoNotExist(t *testing.T) {
	for lines, want := range map[string][]string{
		"1.6.1*01(1.234*kW)(2613201215)":        {"1-0:1.6.1*1 1234 W clock-invalid", "1-0:1.6.1*1 2613201215 invalid,clock-invalid"},
		"1.6.1(1.234*kW)(2602301215)":           {"1-0:1.6.1*255 1234 W clock-invalid", "1-0:1.6.1*255 2602301215 invalid,clock-invalid"},
		"1.6.1(1.234*kW)(261131 1215)":          {"1-0:1.6.1*255 1234 W clock-invalid", "1-0:1.6.1*255 261131 1215 invalid,clock-invalid"},
		"1.6.1(1.234*kW)(26-11-31 12:15)":       {"1-0:1.6.1*255 1234 W clock-invalid", "1-0:1.6.1*255 26-11-31 12:15 invalid,clock-invalid"},
		"1.6.1(1.234)(2602301215)":              {"1-0:1.6.1*255 1.234 clock-invalid", "1-0:1.6.1*255 2602301215 invalid,clock-invalid"},
		"1.6.1(1.234*kW)(2602281215)":           {"1-0:1.6.1*255 1234 W @2026-02-28T12:15:00"},
		"1.4.0(05)(1.234*kW)":                   {"1-0:1.4.0*255 5 questionable", "1-0:1.4.0*255 1234 W"},
		"1.6.1(1.1*kW)(1.2*kW)":                 {"1-0:1.6.1*255 1100 W", "1-0:1.6.1*255 1200 W"},
		"1.8.0(ABC)":                            {"1-0:1.8.0*255 ABC invalid"},
		"1.8.3(12.3.4)":                         {"1-0:1.8.3*255 12.3.4 invalid"},
		"0.9.2(26-02-30)":                       {"1-0:0.9.2*255 26-02-30 invalid"},
		"0.9.1(25:61:00)":                       {"1-0:0.9.1*255 25:61:00 invalid"},
		"0.2.0(V1.2)\r\n96.14.0(A)\r\nC.5(0x1)": {"1-0:0.2.0*255 V1.2", "0-0:96.14.0*255 A", "0-0:96.5.0*255 0x1"},
	} {
		require.Equal(t, want, shown(lines), lines)
	}
}

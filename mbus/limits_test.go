package mbus

import (
	"bytes"
	"io"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// Ten extensions are read, eleven are refused.
func TestExtensionLimits(t *testing.T) {
	var d Decoder
	for n, ok := range map[int]bool{0: true, 1: true, 9: true, 10: true, 11: false, 12: false} {
		for name, b := range map[string][]byte{
			"VIFE":                     bytes.Join([][]byte{{0x01, byte(0x13 | min(n, 1)<<7)}, chain(n), {5}}, nil),
			"VIFE of the manufacturer": bytes.Join([][]byte{{0x01, byte(0x7F | min(n, 1)<<7)}, chain(n), {5}}, nil),
			"DIFE":                     bytes.Join([][]byte{{byte(0x01 | min(n, 1)<<7)}, chain(n), {0x13, 5}}, nil),
		} {
			if n == 0 && name == "VIFE of the manufacturer" {
				continue
			}
			_, err := d.AppendRecords(nil, b)
			require.Equal(t, ok, err == nil, "%d %s: %v", n, name, err)
		}
	}
}

// chain is n extensions, of which only the last has no other behind it.
func chain(n int) []byte {
	b := bytes.Repeat([]byte{0x80}, n)
	if n > 0 {
		b[n-1] = 0
	}
	return b
}

func TestNoNumbers(t *testing.T) {
	var d Decoder
	for name, s := range map[string]string{
		"NaN": "0513 0000c07f", "infinity": "0513 0000807f", "minus infinity": "0513 000080ff", "signalling NaN": "0513 0100807f",
		"the most negative octet": "0113 80", "all ones of an unsigned": "01fd08 ff", "digits above 9": "0a13 1a00",
	} {
		records, err := d.AppendRecords(nil, golden.Unhex(t, s))
		require.NoError(t, err)
		require.True(t, records[0].Value.IsNone(), name)
		require.NotZero(t, records[0].Quality().Flags&obis.Invalid, name)
	}
}

// Every prefix of a header, and of what security puts behind it, is too short.
func TestHeadersAreTooShort(t *testing.T) {
	key, err := NewKey(make([]byte, 16))
	require.NoError(t, err)
	for name, test := range map[string]struct {
		hex  string
		need int
	}{
		"long header":                     {"72 78563412 9315 33 03 2a 00 0000", 13},
		"short header":                    {"7a 2a 00 0000", 5},
		"most significant octet first":    {"76 12345678 1593 33 03 2a 00 0000", 13},
		"mode 5":                          {"7a 2a 00 1005 00112233445566778899aabbccddeeff", 21},
		"mode 7 with counter and version": {"7a 2a 00 1027 50 01020304 01 00112233445566778899aabbccddeeff", 27},
		"mode 10, all encrypted":          {"7a 2a 00 ff2a 1001 01020304 0011223344556677", 19},
		"mode 10, number given":           {"7a 2a 00 022a 1001 01020304 1122 0011223344556677", 21},
		"compact frame":                   {"79 a8ed 0102", 5},
		"format frame":                    {"69 05 0102 0413 00", 7},
		"fixed data structure":            {"77 78563412 0a 00 e9 7e 01000000 35010000", 17},
	} {
		t.Run(name, func(t *testing.T) {
			whole := golden.Unhex(t, test.hex)
			d := Decoder{Keys: func(Address) *Key { return key }}
			for n := range test.need {
				_, err := d.Parse(whole[:n], Lower{Radio: true})
				require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d octets", n)
			}
			_, err := d.Parse(whole, Lower{Radio: true})
			require.NotErrorIs(t, err, io.ErrUnexpectedEOF)
		})
	}
}

// Formats of strangers do not fill the memory, and do not replace what is known.
func TestFormatsAreBounded(t *testing.T) {
	var m MemoryFormats
	for n := range 1 << 16 {
		m.SetFormat(uint16(n), []byte{1})
	}
	require.Len(t, m.headers, maxFormats)
	m.SetFormat(7, []byte{2})
	require.Equal(t, []byte{2}, m.Format(7))
}

func TestTableOf(t *testing.T) {
	for vib, want := range map[string][2]int{
		"": {0, 0}, "\x13": {0, 0}, "\xfb": {0, 0}, "\xfd": {0, 0}, "\xfb\x01": {1, 1}, "\xfd\x01": {2, 1}, "\xfd\xfd": {2, 1}, "\xfd\xfd\x01": {3, 2}, "\x93\xfb\x01": {0, 0},
	} {
		table, at := tableOf([]byte(vib))
		require.Equal(t, want, [2]int{table, at}, "% x", vib)
	}
}

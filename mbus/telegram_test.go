package mbus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

func TestContents(t *testing.T) {
	for name, test := range map[string]struct {
		hex     string
		content Content
		check   func(t *testing.T, tg Telegram)
	}{
		"application error": {"70 08", ContentError, func(t *testing.T, tg Telegram) {
			e, ok := tg.AppError()
			require.True(t, ok)
			require.Equal(t, "mbus: application error: application too busy", e.Error())
		}},
		"application error without a code": {"70", ContentError, func(t *testing.T, tg Telegram) {
			e, ok := tg.AppError()
			require.True(t, ok && !e.Known)
		}},
		"alarm": {"71 42", ContentAlarm, func(t *testing.T, tg Telegram) {
			a, ok := tg.Alarm()
			require.True(t, ok)
			require.Equal(t, byte(0x42), a)
		}},
		"DLMS": {"7c 78563412 9315 33 02 2a 00 0000 c4014100 0600000001", ContentDLMS, func(t *testing.T, tg Telegram) {
			require.Equal(t, golden.Unhex(t, "c4014100 0600000001"), tg.Payload)
			require.Equal(t, "ELS12345678", tg.Meter().ID)
		}},
		"manufacturer": {"a2 010203", ContentManufacturer, func(t *testing.T, tg Telegram) {
			require.Equal(t, []byte{1, 2, 3}, tg.Payload)
		}},
		"most significant octet first": {"76 12345678 1593 33 07 2a 00 0000 0413 00000102 026c 3c3f", ContentRecords, func(t *testing.T, tg Telegram) {
			require.Equal(t, Address{ID: 0x12345678, Manufacturer: 0x1593, Version: 0x33, Type: 7}, tg.Header.Address)
			require.Equal(t, "0.258", tg.Records[0].Value.String())
			require.Equal(t, "2025-12-31", tg.Records[1].Value.String())
		}},
		"fixed": {"73 78563412 0a 00 e9 7e 01000000 35010000", ContentFixed, func(t *testing.T, tg Telegram) {
			require.Equal(t, "12345678 water", tg.Meter().ID+" "+tg.Meter().Medium.String())
			require.Equal(t, "0.001 0.135", tg.Records[0].Value.String()+" "+tg.Records[1].Value.String())
			require.Equal(t, uint64(1), tg.Records[1].Storage, "the second counter is a historic value")
			r := new(Decoder).AppendReadings(nil, &tg)
			require.Equal(t, "8-0:1.0.0*255 8-0:1.2.0*255", r[0].Code.String()+" "+r[1].Code.String())
		}},
		"fixed, binary, stored": {"73 78563412 07 03 45 3f fbffffff 08000000", ContentFixed, func(t *testing.T, tg Telegram) {
			require.Equal(t, "-5000 Wh", tg.Records[0].Value.String()+" "+tg.Records[0].UnitText())
			require.Equal(t, uint64(1), tg.Records[0].Storage)
			require.Equal(t, "gas", DeviceType(3).Medium().String())
		}},
		"more follows": {"78 0413 01000000 1f", ContentRecords, func(t *testing.T, tg Telegram) {
			require.True(t, tg.More)
			require.Len(t, new(Decoder).AppendReadings(nil, &tg), 1)
		}},
		"transport alone": {"8a 07 04 0000", ContentTransport, func(t *testing.T, tg Telegram) {
			require.Equal(t, byte(StatusLowPower), tg.Header.Status)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			tg, err := Parse(golden.Unhex(t, test.hex))
			require.NoError(t, err)
			require.NoError(t, tg.Broken)
			require.Equal(t, test.content, tg.Content)
			test.check(t, tg)
		})
	}
}

// A record that cannot be read leaves those before it, and becomes a reading without a value.
func TestBroken(t *testing.T) {
	for name, test := range map[string]struct {
		hex     string
		field   string
		offset  int
		records int
		short   bool
	}{
		"data cut off":    {"78 0113 05 0413 0102", "data", 8, 2, true},
		"VIF cut off":     {"78 0113 05 04", "VIF", 5, 1, true},
		"DIFE cut off":    {"78 0113 05 84", "DIFE", 5, 1, true},
		"VIFE cut off":    {"78 0113 05 0493", "VIFE", 6, 2, true},
		"reserved DIF":    {"78 0113 05 3f 01", "DIF", 4, 1, false},
		"eleven DIFE":     {"78 0113 05 84 80808080808080808080 00 13 01", "DIFE", 15, 1, false},
		"eleven VIFE":     {"78 0113 05 04 93 80808080808080808080 00 01", "VIFE", 16, 2, false},
		"reserved length": {"78 0113 05 0d13 fb", "LVAR", 6, 2, false},
		"text cut off":    {"78 0113 05 0dfd11 05 41", "data", 9, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			tg, err := d.Parse(golden.Unhex(t, test.hex), Lower{})
			require.NoError(t, err)
			var pe *ParseError
			require.ErrorAs(t, tg.Broken, &pe)
			require.Equal(t, test.field, pe.Field)
			require.Equal(t, test.offset, pe.Offset)
			require.Equal(t, test.short, errors.Is(tg.Broken, io.ErrUnexpectedEOF))
			require.Len(t, tg.Records, test.records)
			r := d.AppendReadings(nil, &tg)
			require.Equal(t, "0.005", r[0].Value.String())
			if test.records == 2 {
				require.True(t, r[1].Value.IsNone())
				require.Equal(t, obis.Invalid, r[1].Quality.Flags)
			}
		})
	}
}

func TestTooManyRecords(t *testing.T) {
	b := []byte{0x78}
	for range defaultRecords + 1 {
		b = append(b, 0x00, 0x13)
	}
	tg, err := Parse(b)
	require.NoError(t, err)
	require.Error(t, tg.Broken)
	require.Len(t, tg.Records, defaultRecords)
	tg, err = (&Decoder{MaxRecords: 3}).Parse(b, Lower{})
	require.NoError(t, err)
	require.Len(t, tg.Records, 3)
}

// The unit in plain text stands behind the extensions, in older meters before them.
func TestPlainTextUnit(t *testing.T) {
	for name, s := range map[string]string{
		"no extension":                "78 02 7c 03 686d6b 3700 0113 07",
		"behind the extension":        "78 02 fc 74 03 686d6b 3700 0113 07",
		"before the extension":        "78 02 fc 03 686d6b 74 3700 0113 07",
		"before a selected extension": "78 02 fc 03 686d6b 74 3700 42 6c 3f3c 0113 07",
	} {
		t.Run(name, func(t *testing.T) {
			tg, err := Parse(golden.Unhex(t, s))
			require.NoError(t, err)
			require.NoError(t, tg.Broken)
			r := &tg.Records[0]
			require.Equal(t, "kmh", r.UnitText())
			want := "0.55"
			if strings.HasPrefix(name, "no") {
				want = "55"
			}
			require.Equal(t, want, r.Value.String())
			require.Equal(t, "0.007", tg.Records[len(tg.Records)-1].Value.String())
		})
	}
}

func TestUnits(t *testing.T) {
	for s, want := range map[string]string{
		"02 9322 0500":          "0.005 m3/h m3/h",
		"02 832c 0500":          "5 Wh/L other",
		"02 ab38 0500":          "5 W.s/A other",
		"02 fb6b 0010":          "1.000000000000 1 1",
		"02 93 3d 0500":         "5  ",
		"04 9370 01000000":      "0.000000001 m3 m3",
		"02 da79 c800":          "20.01 Cel Cel",
		"0c 78 78563412":        "12345678  ",
		"04 fd17 01000000":      "0b00000000000000000000000000000001  ",
		"02 6e ffff":            "-1 HCA HCA",
		"05 5b 000046c1":        "-12.375 Cel Cel",
		"0d 13 c2 3412":         "1.234 m3 m3",
		"0d 13 d1 05":           "-0.005 m3 m3",
		"0d 13 e1 ff":           "-0.001 m3 m3",
		"0d fd3b 02 0102":       "0x0102  ",
		"06 6d 0037 2a 543b 00": "2026-11-20T10:55:00  ",
	} {
		tg, err := Parse(append([]byte{0x78}, golden.Unhex(t, s)...))
		require.NoError(t, err)
		require.NoError(t, tg.Broken, s)
		r := &tg.Records[0]
		require.Equal(t, want, fmt.Sprint(r.Value, " ", r.UnitText(), " ", r.Unit), s)
	}
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]Address{
		"12345678":         {ID: 0x12345678, Manufacturer: 0xFFFF, Version: 0xFF, Type: 0xFF},
		"1234567893153303": {ID: 0x12345678, Manufacturer: 0x1593, Version: 0x33, Type: 3},
		"ELS12345678":      {ID: 0x12345678, Manufacturer: 0x1593, Version: 0xFF, Type: 0xFF},
		"FFFFFFABFFFFFFFF": {ID: 0xFFFFFFAB, Manufacturer: 0xFFFF, Version: 0xFF, Type: 0xFF},
	} {
		a, err := ParseAddress(text)
		require.NoError(t, err)
		require.Equal(t, want, a)
		b, err := ParseAddress(a.String())
		require.NoError(t, err)
		require.Equal(t, a, b)
		require.Equal(t, a, SecondaryAddress([8]byte(a.AppendSecondary(nil))))
		require.Equal(t, a, LinkAddress([8]byte(a.AppendLink(nil))))
	}
	for _, bad := range []string{"", "1234567", "123456789", "12345678ABCDEFG1", "1L!12345678", "ELS1234567X"} {
		_, err := ParseAddress(bad)
		require.Error(t, err, bad)
	}
	a := Address{ID: 0x1234567B, Manufacturer: 0x1593, Version: 0x33, Type: 3}
	for selection, want := range map[string]bool{
		"FFFFFFFF": true, "FFFFFFFB": true, "FFFFFFFA": false, "1234567B93153303": true, "1234567B93153403": false, "FFFFFFFF9315FFFF": true, "FFFFFFFF9316FFFF": false,
	} {
		s, err := ParseAddress(selection)
		require.NoError(t, err)
		require.Equal(t, want, a.Matches(s), selection)
	}
}

func TestAppendTimeF(t *testing.T) {
	for _, year := range []int{1981, 1999, 2000, 2026, 2080, 2081, 2199, 2299} {
		want := time.Date(year, 2, 28, 23, 59, 0, 0, time.UTC)
		b, err := AppendTimeF(nil, want)
		require.NoError(t, err)
		have, ok := timeF(b)
		require.True(t, ok)
		at, ok := have.Instant(obis.Clock{Zone: time.UTC})
		require.True(t, ok)
		require.True(t, want.Equal(at), "%s %s", want, at)
	}
	for _, year := range []int{1980, 2300} {
		_, err := AppendTimeF(nil, time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC))
		require.Error(t, err)
	}
}

func TestExplainFrame(t *testing.T) {
	var lines []string
	var d Decoder
	raw := golden.Unhex(t, "681a1a6808fd7278563412931533032a000000 2f 0c1427048502 02fd1700 00 3f16")
	sum := byte(0)
	for _, c := range raw[4 : len(raw)-2] {
		sum += c
	}
	raw[1], raw[2], raw[len(raw)-2] = byte(len(raw)-6), byte(len(raw)-6), sum
	n, err := d.ExplainFrame(raw, func(offset, length, depth int, field, meaning string) {
		lines = append(lines, fmt.Sprintf("%2d+%d %s%s: %s", offset, length, strings.Repeat(" ", depth), field, meaning))
	})
	require.NoError(t, err)
	require.Equal(t, len(raw), n)
	require.Equal(t, strings.TrimSpace(`
 0+1 start: control or long frame
 1+1 length: 27 octets
 2+1 second length: the same
 3+1 second start: 
 4+1 C: RSP_UD
 5+1 A: the selected slave
 6+1  CI: full M-Bus frame
 7+4   ID: 12345678
11+2   manufacturer: ELS
13+1   version: 51
14+1   device type: gas
15+1   access number: 42
16+1   status: no error
17+2   configuration: mode 0 (none)
19+1   filler: 
20+1   DIB: instantaneous, storage 0, tariff 0, subunit 0
21+1   VIB: volume, in m3
22+4   data: 28504.27 m3
26+1   DIB: instantaneous, storage 0, tariff 0, subunit 0
27+2   VIB: error flags
29+2   data: 0b0000000000000000
31+1 checksum: correct
32+1 stop: long frame ends`), strings.TrimSpace(strings.Join(lines, "\n")))
}

// Every frame of a capture is explained, damaged ones as far as they go.
func TestExplainFrames(t *testing.T) {
	one := benchFrame(t)
	damaged := bytes.Clone(one)
	damaged[20] ^= 1
	line := bytes.Join([][]byte{{0xFF, 0x00}, one, {0xE5}, damaged, one, one[:9]}, nil)
	var d Decoder
	correct, wrong, at := 0, 0, 0
	for {
		noted := 0
		n, err := d.ExplainFrame(line[at:], func(offset, length, _ int, field, _ string) {
			noted++
			require.LessOrEqual(t, at+offset+length, len(line))
			if field == "checksum" {
				correct++
			}
		})
		if n == 0 {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.Zero(t, noted)
			break
		}
		if err != nil {
			wrong++
		}
		at += n
	}
	require.Equal(t, []int{2, 1, len(line) - 9}, []int{correct, wrong, at})
}

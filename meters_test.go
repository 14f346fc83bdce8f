package meter_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter"
)

// The readings of one meter are not those of another that is in the same capture.
func TestCaptureOfSeveralMeters(t *testing.T) {
	telegram := func(id, value string) string {
		return "/KFM5KAIFA-METER\r\n\r\n0-0:96.1.0(" + id + ")\r\n1-0:1.8.0(" + value + "*kWh)\r\n!\r\n"
	}
	frame := func(number byte, value byte) string {
		body := []byte{0x08, 1, 0x72, number, 0x34, 0x12, 0x78, 0x24, 0x23, 1, 4, 0x55, 0, 0, 0, 0x04, 0x06, value, 0, 0, 0}
		sum := byte(0)
		for _, c := range body {
			sum += c
		}
		return string([]byte{0x68, byte(len(body)), byte(len(body)), 0x68}) + string(body) + string([]byte{sum, 0x16})
	}
	unnamed := func() string {
		b, err := hex.DecodeString("e5")
		require.NoError(t, err)
		return string(b)
	}()
	for name, test := range map[string]struct {
		capture string
		want    []string
	}{
		"P1, interleaved":    {telegram("11111111", "1") + telegram("22222222", "2") + telegram("11111111", "3"), []string{"11111111: 1000 3000", "22222222: 2000"}},
		"P1, of one meter":   {telegram("11111111", "1") + telegram("11111111", "3"), []string{"11111111: 1000 3000"}},
		"M-Bus, interleaved": {frame(1, 7) + unnamed + frame(2, 8) + frame(1, 9) + frame(3, 1), []string{"78123401: 7000 9000", "78123402: 8000", "78123403: 1000"}},
	} {
		list, err := meter.DecodeMeters([]byte(test.capture), nil)
		require.NoError(t, err, name)
		var got []string
		for _, r := range list {
			text := r.Meter.Serial + ":"
			for _, x := range r.Readings {
				if x.Unit.String() == "Wh" {
					text += " " + strings.TrimSuffix(x.Value.String(), ".000")
				}
			}
			got = append(got, text)
		}
		require.Equal(t, test.want, got, name)

		r, err := meter.Decode([]byte(test.capture), nil)
		if len(test.want) == 1 {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, meter.ErrPartial, name)
		require.Equal(t, list[0].Meter, r.Meter, name)
		require.Len(t, r.Readings, len(list[0].Readings), name)
		require.Contains(t, r.Warnings[0], "messages of another meter")
	}
}

package meter_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter"
	"github.com/openusm/meter/internal/golden"
)

// A connect request and a GOOSE message, by name and as far as they are recognised.
func TestExplainIEC61850(t *testing.T) {
	for name, test := range map[string]struct {
		protocol meter.Protocol
		hex      string
		first    string
	}{
		"MMS, found out": {"", "0300001611e00000000100c0010dc1020001c2020001", "TPKT"},
		"a bare PDU":     {meter.MMS, "a00e020101a109a003800109a1028000", "confirmed request"},
		"GOOSE":          {meter.GOOSE, "3fff003500000000612b800141810207d082014284086b00aff736c8b4a0850103860104870100880101890100" + "8a0101ab03830101", "APPID"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := golden.Unhex(t, test.hex)
			var fields []string
			octets := 0
			require.NoError(t, meter.Explain(raw, &meter.Config{Protocol: test.protocol}, func(n meter.Note) {
				fields = append(fields, n.Field)
				octets += len(n.Octets)
			}))
			require.Equal(t, test.first, fields[0])
			require.Equal(t, len(raw), octets)
			require.ErrorIs(t, meter.Explain(raw[:len(raw)-1], &meter.Config{Protocol: test.protocol}, func(meter.Note) {}), meter.ErrFrame)
		})
	}
}

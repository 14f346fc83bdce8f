package meter_test

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter"
	"github.com/openusm/meter/iec61850/client"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/iec61850/scl"
	"github.com/openusm/meter/internal/golden"
)

// The file of a simulated meter has no errors, and the IED that serves it has the values that were asked for.
func TestAppendSCL(t *testing.T) {
	ctx := t.Context()
	session, err := meter.Dial(ctx, "sim:dlms", nil)
	require.NoError(t, err)
	r, err := session.Read(ctx)
	require.NoError(t, err)
	require.NoError(t, session.Close(context.WithoutCancel(ctx)))
	for name, o := range map[string]*meter.SCLOptions{"ICD": nil, "CID": {IED: "HOUSE", IP: "192.0.2.1", Values: true}} {
		t.Run(name, func(t *testing.T) {
			doc, _, err := r.AppendSCL([]byte("\n"), o)
			require.NoError(t, err)
			doc = doc[1:]
			for _, f := range scl.Validate(doc) {
				t.Errorf("%v", f)
			}
			ied, err := meter.NewIED(doc, "")
			require.NoError(t, err)
			near, far := net.Pipe()
			go func() { _ = ied.Serve(ctx, far) }()
			c, err := client.New(ctx, near, nil)
			require.NoError(t, err)
			defer c.Close()
			device, want := "METERMTR", "0"
			if o != nil {
				device = "HOUSEMTR"
			}
			v, err := c.ReadOne(ctx, mms.DomainName(device, "MMTR1$ST$DmdWh$actVal"))
			require.NoError(t, err)
			if o != nil {
				require.NotEqual(t, want, v.String())
			} else {
				require.Equal(t, want, v.String())
			}
		})
	}
}

func TestNewIEDRefuses(t *testing.T) {
	_, err := meter.NewIED([]byte("<SCL/>"), "")
	require.ErrorIs(t, err, scl.ErrMissing)
}

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

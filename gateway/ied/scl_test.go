package ied_test

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter"
	"github.com/openusm/meter/gateway/ied"
	"github.com/openusm/meter/iec61850/client"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/iec61850/scl"
)

// The file of a simulated meter has no errors, and the IED that serves it has the values that were asked for.
func TestAppendSCL(t *testing.T) {
	ctx := t.Context()
	session, err := meter.Dial(ctx, "sim:dlms", nil)
	require.NoError(t, err)
	r, err := session.Read(ctx)
	require.NoError(t, err)
	require.NoError(t, session.Close(context.WithoutCancel(ctx)))
	for name, o := range map[string]*ied.SCLOptions{"ICD": nil, "CID": {IED: "HOUSE", IP: "192.0.2.1", Values: true}} {
		t.Run(name, func(t *testing.T) {
			doc, _, err := ied.AppendSCL([]byte("\n"), r, o)
			require.NoError(t, err)
			doc = doc[1:]
			for _, f := range scl.Validate(doc) {
				t.Errorf("%v", f)
			}
			sim, err := ied.Simulate(doc, "")
			require.NoError(t, err)
			near, far := net.Pipe()
			go func() { _ = sim.Serve(ctx, far) }()
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

func TestSimulateRefuses(t *testing.T) {
	_, err := ied.Simulate([]byte("<SCL/>"), "")
	require.ErrorIs(t, err, scl.ErrMissing)
}

package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850/client"
)

// A file has no errors, be it straight from a meter or from its readings.
func TestSCL(t *testing.T) {
	dir := t.TempDir()
	cid, readings := filepath.Join(dir, "meter.cid"), filepath.Join(dir, "meter.json")
	got := run(t, "", "scl", "sim:iec62056", "--ip", "192.0.2.1", "-o", cid)
	require.Equal(t, exitOK, got.exit, got.stderr)
	require.Empty(t, got.stdout)
	got = run(t, "", "scl", "--check", cid)
	require.Equal(t, exitOK, got.exit, got.stdout)

	got = run(t, "", "read", "sim:iec62056", "-o", "json")
	require.NoError(t, os.WriteFile(readings, []byte(got.stdout), 0o600))
	got = run(t, "", "scl", readings, "--ip", "192.0.2.1")
	require.Equal(t, exitOK, got.exit, got.stderr)
	require.NoError(t, os.WriteFile(cid, []byte(got.stdout), 0o600))
	checked := run(t, "", "scl", "--check", cid)
	require.Equal(t, exitOK, checked.exit, checked.stdout)
	require.Empty(t, checked.stdout)
	require.Contains(t, got.stdout, `<Val>1-0:1.8.0*255</Val>`)

	require.NoError(t, os.WriteFile(cid, []byte(strings.Replace(got.stdout, `cdc="DPL"`, `cdc="SPS"`, 1)), 0o600))
	got = run(t, "", "scl", "--check", cid)
	require.Equal(t, exitFrame, got.exit)
	require.Contains(t, got.stdout, "error:")
	for _, args := range [][]string{{"scl"}, {"scl", "sim:dlms", "--check", cid}, {"scl", "--check", "none.cid"}, {"sim", "iec61850", "--listen", "tcp://127.0.0.1:0"}} {
		require.Equal(t, exitUsage, run(t, "", args...).exit, args)
	}
}

// The IED of a file answers a client.
func TestSimulatedIED(t *testing.T) {
	cid := filepath.Join(t.TempDir(), "meter.cid")
	require.Equal(t, exitOK, run(t, "", "scl", "sim:dlms", "--ied", "HOUSE", "--values", "-o", cid).exit)
	ied, err := simulatedIED(cid, "HOUSE")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	near, far := net.Pipe()
	go func() { _ = ied.Serve(ctx, far) }()
	c, err := client.New(ctx, near, nil)
	require.NoError(t, err)
	defer c.Close()
	identity, err := c.Identify(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, identity.Vendor)
}

func TestExplainMMS(t *testing.T) {
	got := run(t, "", "explain", "--protocol", "mms", "a00e020101a109a003800109a1028000")
	require.Equal(t, exitOK, got.exit, got.stderr)
	require.Contains(t, got.stdout, "get name list")
}

func TestMapToIEC61850(t *testing.T) {
	got := run(t, mapInput, "map", "--to", "iec61850")
	require.Equal(t, exitOK, got.exit, got.stderr)
	require.Contains(t, got.stdout, "METERMTR/MMTR1.DmdWh.actVal[ST]=")
	rules := filepath.Join(t.TempDir(), "rules.csv")
	require.NoError(t, os.WriteFile(rules, []byte("obis,class,object,cdc,siunit,sign,when\n1-0:1.8.0,MMTR,TotWh,BCR,72,1,\n"), 0o600))
	got = run(t, mapInput, "map", "--to", "iec61850", "--rules", rules)
	require.Equal(t, exitOK, got.exit, got.stderr)
	require.Contains(t, got.stdout, "METERMTR/MMTR1.TotWh.actVal[ST]=")
	require.NoError(t, os.WriteFile(rules, []byte("obis\n"), 0o600))
	require.Equal(t, exitConfig, run(t, mapInput, "map", "--to", "iec61850", "--rules", rules).exit)
}

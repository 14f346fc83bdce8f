package main

import (
	"bytes"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
)

func TestMapToParquet(t *testing.T) {
	read := run(t, "", "read", "sim:dlms", "-o", "json")
	require.Zero(t, read.exit, read.stderr)
	out := run(t, read.stdout, "map", "--to", "parquet")
	require.Zero(t, out.exit, out.stderr)
	rows, err := parquet.Read[parquetRow](bytes.NewReader([]byte(out.stdout)), int64(len(out.stdout)))
	require.NoError(t, err)
	found := false
	for _, r := range rows {
		if r.OBIS == "1-0:1.8.0*255" {
			found = true
			require.Equal(t, "Wh", r.Unit)
			require.NotNil(t, r.Mantissa)
			require.InDelta(t, *r.Value, float64(*r.Mantissa)*0.1, 0.001)
		}
	}
	require.True(t, found)
}

package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	rules, err := parse(table)
	require.NoError(t, err)
	var out, warnings strings.Builder
	require.NoError(t, run(strings.NewReader(`{"schema":"meterctl/v1","readings":[
		{"obis":"1-0:1.8.0*255","value":1234567,"unit":"Wh","quality":["good"]},{"obis":"1-0:32.7.0*255","value":230.10,"unit":"V","quality":["old"]},
		{"obis":"1-0:2.8.0*255","value":1,"unit":"W"},{"obis":"1-0:31.7.0*255","value":1,"unit":"A"}],"events":[{"id":1}]}`), &out, &warnings, rules))
	require.Equal(t, `[{"point":"import_kwh","value":1234.567,"good":true},{"point":"u1","value":230.10,"good":false}]`+"\n", out.String())
	require.Contains(t, warnings.String(), "1-0:31.7.0*255")
	require.Contains(t, warnings.String(), "another unit")
	require.Contains(t, warnings.String(), "event")
	require.Error(t, run(strings.NewReader("{"), &out, &warnings, rules))
	for _, bad := range []string{"h\nx,y,Wh,0", "a,b,c,d\nxx,y,Wh,0", "a,b,c,d\n1-0:1.8.0,y,furlong,0", "a,b,c,d\n1-0:1.8.0,y,Wh,much"} {
		_, err := parse(bad)
		require.Error(t, err, bad)
	}
}

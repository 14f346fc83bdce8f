package site

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/obis"
)

type recorder []Command

func (r *recorder) Command(_ context.Context, c Command) (Answer, error) {
	*r = append(*r, c)
	return Answer{}, nil
}

func TestGuard(t *testing.T) {
	rows, err := ReadAllowances(strings.NewReader(`actor,meter,code,lowest,highest
# who may do what
dlms:head-end, *, 0-0:96.3.10,,
iec104, meter1, 0-0:17.0.0, 1000, 5000.5
*,meter2,1-0:x.x.x,-1,
`))
	require.NoError(t, err)
	breaker, limiter := obis.MustParse("0-0:96.3.10"), obis.MustParse("0-0:17.0.0")
	head, any104 := Actor{Face: "dlms", Name: "head-end"}, Actor{Face: "iec104", Name: "10.0.0.1"}
	var done recorder
	g := Guard(rows, Meters{"meter1": &done, "meter2": &done})
	for _, c := range []Command{
		{Actor: head, Meter: "meter1", Code: breaker, Value: obis.Enum(0)},
		{Actor: head, Meter: "meter1", Code: breaker, Class: 70, Method: 1},
		{Actor: any104, Meter: "meter1", Code: limiter, Value: obis.Int(1000, 0)},
		{Actor: any104, Meter: "meter1", Code: limiter, Value: obis.Int(50005, -1)},
		{Actor: any104, Meter: "meter1", Code: limiter, Value: obis.Int(2, 3)},
		{Actor: Actor{}, Meter: "meter2", Code: code(1, 0), Value: obis.Int(9, 100)},
		{Actor: Actor{}, Meter: "meter2", Code: code(1, 0), Value: obis.Bool(true)},
	} {
		_, err := g.Command(t.Context(), c)
		require.NoError(t, err, "%+v", c)
	}
	require.Len(t, done, 7)
	for _, c := range []Command{
		{},
		{Actor: Actor{Face: "dlms", Name: "other"}, Meter: "meter1", Code: breaker},
		{Actor: Actor{Face: "coap", Name: "head-end"}, Meter: "meter1", Code: breaker},
		{Actor: any104, Meter: "meter2", Code: limiter, Value: obis.Int(2000, 0)},
		{Actor: any104, Meter: "meter1", Code: limiter, Value: obis.Int(5001, 0)},
		{Actor: any104, Meter: "meter1", Code: limiter, Value: obis.Int(9999, -1)},
		{Actor: any104, Meter: "meter1", Code: limiter, Value: obis.Int(9, 100)},
		{Actor: any104, Meter: "meter1", Code: limiter, Value: obis.Text([]byte("2000"))},
		{Actor: any104, Meter: "meter1", Code: limiter, Class: 71, Attribute: 4, Payload: []byte{6, 0, 0, 7, 0xD0}},
		{Actor: any104, Meter: "meter1", Code: limiter},
		{Actor: head, Meter: "meter1", Code: limiter, Value: obis.Int(2000, 0)},
	} {
		_, err := g.Command(t.Context(), c)
		require.ErrorIs(t, err, ErrPolicy, "%+v", c)
	}
	require.Len(t, done, 7)
	_, err = Guard(rows, Meters{}).Command(t.Context(), Command{Actor: head, Meter: "meter1", Code: breaker})
	require.ErrorIs(t, err, ErrUnknown)
	_, err = Guard(rows, nil).Command(t.Context(), Command{Actor: head, Meter: "meter1", Code: breaker})
	require.ErrorIs(t, err, ErrPolicy)

	for bad, says := range map[string]string{
		"": "EOF", "a,b\n": "columns", "actor,meter,code,lowest,highest\nx,y\n": "fields", "actor,meter,code,lowest,highest\nx,y,zz,,\n": "line 2",
		"actor,meter,code,lowest,highest\nx,y,1-0:1.8.0,low,\n": "number", "actor,meter,code,lowest,highest\nx,,1-0:1.8.0,,\n": "meter",
	} {
		_, err := ReadAllowances(strings.NewReader(bad))
		require.ErrorContains(t, err, says)
	}
}

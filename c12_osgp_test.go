package meter

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/osgp"
	"github.com/openusm/meter/keys"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/result"
)

// osgpCapture is a capture of the tables of a simulated device, each read in parts.
func osgpCapture(t *testing.T, key osgp.Key, to osgp.Address, tables ...uint16) (capture []byte) {
	t.Helper()
	sim := ansicsim.New(&ansicsim.Config{OSGP: ansicsim.OSGPConfig{Key: key, Address: to}})
	sequence := uint32(0)
	ask := func(q osgp.Request) osgp.Response {
		sequence++
		q.Sequence = sequence
		require.NoError(t, q.Sign(&key, to))
		b, err := q.AppendBinary(nil)
		require.NoError(t, err)
		answer := sim.AnswerOSGP(b)
		capture = append(append(capture, b...), answer...)
		r, _, err := q.ParseResponse(answer)
		require.NoError(t, err)
		return r
	}
	for _, table := range tables {
		if ask(osgp.Request{Service: osgp.ReadTable, Table: table}).Status == osgp.OK {
			continue
		}
		for offset, count := 0, osgp.MaxRead; count > 0; {
			r := ask(osgp.Request{Service: osgp.ReadPart, Table: table, Offset: uint32(offset), Count: uint16(count)})
			if offset += len(r.Data); r.Status != osgp.OK {
				count /= 2
			}
		}
	}
	return capture
}

func TestOSGP(t *testing.T) {
	key, to := osgp.Key(secret(7, osgp.KeyLen)), osgp.Address{Subnet: 1, Node: 2}
	capture := osgpCapture(t, key, to, 0, 1, 5, 11, 12, 15, 16, 21, 22, 23, 71, 74)
	cfg := &Config{Protocol: OSGP, OSGP: OSGPConfig{Address: "1.2"}, Keys: keys.Set{Key: key[:]}}
	r, err := Decode(capture, cfg)
	require.NoError(t, err)
	require.Equal(t, "OUSM", r.Meter.Manufacturer)
	require.NotEmpty(t, r.Events)
	codes := map[obis.Code]bool{}
	for _, x := range r.Readings {
		codes[x.Code] = true
		require.Zero(t, x.Quality.Flags&obis.Unverified)
	}
	require.True(t, codes[obis.MustParse("1-0:1.8.0")])
	require.Equal(t, Layer{Name: "osgp", Control: "full read BT 0", Security: "OMA digest (broken)", Tag: result.TagVerified}, r.Layers[0])

	unknown, err := Decode(capture, &Config{Protocol: OSGP})
	require.NoError(t, err)
	require.Len(t, unknown.Readings, len(r.Readings))
	require.NotZero(t, unknown.Readings[0].Quality.Flags&obis.Unverified)
	require.NotEmpty(t, unknown.Warnings)

	at := 0
	require.NoError(t, Explain(capture, cfg, func(n Note) {
		require.Equal(t, at, n.Offset)
		at += len(n.Octets)
	}))
	require.Equal(t, len(capture), at)

	other := *cfg
	other.OSGP.Address = "1.3"
	_, err = Decode(capture, &other)
	require.ErrorIs(t, err, ErrAuth)
	other.OSGP.Address = "1.2.3"
	_, err = Decode(capture, &other)
	require.Error(t, err)
	_, err = Decode(capture[:1], cfg)
	require.ErrorIs(t, err, ErrFrame)
	_, err = Decode(capture[:len(capture)-1], cfg)
	require.ErrorIs(t, err, ErrPartial)
}

// A response alone is the table that is named.
func TestOSGPResponse(t *testing.T) {
	table0 := make([]byte, 19)
	table0[0], table0[1] = 2, 2
	b := append([]byte{0, 0, 0, 20}, "OUSM0000000000000042"...)
	r, err := Decode(append(b, make([]byte, 8)...), &Config{Protocol: OSGP, C12: C12Config{Table: 5, Table0: table0}})
	require.NoError(t, err)
	require.Equal(t, "OUSM0000000000000042", r.Meter.ID)
}

package ansicsim

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/osgp"
	"github.com/openusm/meter/internal/golden"
)

// Whatever services come in a message, the meter answers with a message that can be read, or not at all.
func FuzzNetwork(f *testing.F) {
	for _, body := range []string{"0120", "0f50000220202020202020202020 20003c", "033000000 83f00010000000010", "12400007000409000101f5", "0525800141 20"} {
		f.Add(byte(0x80), golden.Unhex(f, body))
	}
	meter := New(&Config{Password: "secret"})
	f.Fuzz(func(t *testing.T, control byte, body []byte) {
		raw, err := epsem.Message{Control: control &^ 0x1C, Body: body, Elements: []epsem.Element{
			{Tag: epsem.TagCalling, Content: []byte{0x80, 1, 7}}, {Tag: epsem.TagCallingID, Content: []byte{2, 1, 1}},
		}}.AppendBinary(nil)
		if err != nil {
			return
		}
		message, _, err := epsem.Parse(raw)
		require.NoError(t, err)
		station := newStation(meter)
		for range 2 {
			answer := station.answer(&message, raw, "")
			if answer == nil {
				continue
			}
			got, n, err := epsem.Parse(answer)
			require.NoError(t, err)
			require.Equal(t, len(answer), n)
			services, err := got.Services()
			require.NoError(t, err)
			require.NotEmpty(t, services)
		}
	})
}

// Whatever request of OSGP comes, the answer can be read and fits into a message.
func FuzzOSGP(f *testing.F) {
	f.Add(byte(osgp.ReadPart), uint16(23), uint32(0), uint16(8), []byte(nil))
	f.Add(byte(osgp.WriteTable), uint16(7), uint32(0), uint16(0), []byte{9, 0, 1, 1})
	f.Fuzz(func(t *testing.T, service byte, table uint16, offset uint32, count uint16, data []byte) {
		meter := New(nil)
		q := osgp.Request{Service: osgp.Service(service), Table: table, Offset: offset, Count: count, Data: data}
		if q.Sign(&osgp.Key{}, osgp.Address{}) != nil {
			return
		}
		b, err := q.AppendBinary(nil)
		require.NoError(t, err)
		answer := meter.AnswerOSGP(b)
		require.Equal(t, len(b) > osgp.MaxAPDU, answer == nil)
		if answer == nil {
			return
		}
		require.LessOrEqual(t, len(answer), osgp.MaxAPDU)
		_, _, err = osgp.ParseResponse(answer)
		require.NoError(t, err)
	})
}

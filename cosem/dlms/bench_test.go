package dlms

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
)

// BenchmarkReceivePush reads a push of 20 registers, authenticated and encrypted
// with suite 0, in one HDLC frame. The floor checks the frame, deciphers it with a
// cipher that is ready, and copies codes and numbers from where they lie.
func BenchmarkReceivePush(b *testing.B) {
	list := make([]cosem.Data, 20)
	for i := range list {
		list[i] = cosem.Structure(cosem.Name(obis.Code{1, 0, byte(i + 1), 8, 0, 255}), cosem.Uint32(uint32(1000*i)),
			cosem.ScalerUnit{Scaler: -1, Unit: obis.WattHour, Known: true}.Data())
	}
	plain := encode(b, apdu.DataNotification{Invoke: 1, Time: make([]byte, 12), Body: cosem.Array(list...)})
	sealed := glo(b, pusher, both, 9, plain)
	frame := segmentFrame(b, hdlc.UI, false, append([]byte{0xE6, 0xE7, 0}, sealed...))
	r := NewReceiver(&ReceiverConfig{Keys: knows(pushKey, pushAuth)})
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		r.Feed(frame)
		m, err := r.Next()
		if err != nil || len(m.Readings) != 20 || m.Trust != security.Verified || m.Unverified {
			b.Fatal(err)
		}
	}
	cipher, err := security.NewCipher(pushKey, pushAuth)
	require.NoError(b, err)
	readings := make([]obis.Reading, 20)
	var out []byte
	golden.OfFloor(b, func() {
		f, _, _ := hdlc.Parse(frame)
		p, _, _ := apdu.ParseGeneralCiphered(f.Info[3:])
		c, _ := security.ParseContents(p.Contents)
		out, _, _ = cipher.Open(out[:0], c.Control, security.IV(pusher, c.Counter), nil, c.Text)
		for i := range readings {
			row := out[20+21*i:]
			readings[i] = obis.Reading{Code: obis.Code(row[4:]), Value: obis.Int(int64(row[14]), int8(row[18])), Unit: obis.Unit(row[20]), RawID: row[4:11]}
		}
	})
}

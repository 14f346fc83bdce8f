package dlms

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/apdu"
)

// Whichever single block or acknowledgement is lost, the whole arrives.
func TestTransferRecovers(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 50)
	for _, window := range []uint8{1, 3, 10, 63} {
		for lost := range 40 {
			t.Run(fmt.Sprintf("window %d, block %d lost", window, lost), func(t *testing.T) {
				a, b := newTransfer(window, 30), newTransfer(window, 30)
				a.limit, b.limit = 1000, 1000
				a.send(want)
				sent, idle := 0, 0
				for range 1000 {
					moved := false
					for _, way := range []struct{ from, to *transfer }{{&a, &b}, {&b, &a}} {
						for _, frame := range way.from.poll(nil) {
							moved = true
							if sent++; sent == lost {
								continue
							}
							p, _, err := apdu.Parse(frame)
							require.NoError(t, err)
							whole, done, err := way.to.feed(p.(apdu.GeneralBlockTransfer))
							require.NoError(t, err)
							if done {
								require.Equal(t, want, whole)
								return
							}
						}
					}
					if !moved {
						a.repeat() // the one that waits for the other has a timeout
						idle++
						require.Less(t, idle, 5)
					}
				}
				t.Fatal("the transfer does not end")
			})
		}
	}
}

func TestTransferRefuses(t *testing.T) {
	x := newTransfer(1, 30)
	x.limit = 10
	_, _, err := x.feed(apdu.GeneralBlockTransfer{Number: 1, Data: make([]byte, 11)})
	require.ErrorIs(t, err, ErrProtocol)
	_, _, err = x.feed(apdu.GeneralBlockTransfer{Number: 0, Data: []byte{1}})
	require.ErrorIs(t, err, ErrProtocol)
	_, done, err := x.feed(apdu.GeneralBlockTransfer{Number: 7, Last: true, Data: []byte{1}})
	require.NoError(t, err)
	require.False(t, done, "a block out of order is not taken")
}

func FuzzTransfer(f *testing.F) {
	f.Add([]byte{0x81, 0, 1, 0, 0, 1, 7, 0x41, 0, 1, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		x := newTransfer(3, 20)
		x.limit = 1000
		x.send(bytes.Repeat([]byte{1}, 100))
		for len(b) >= 6 {
			n := min(int(b[5])%8, len(b)-6)
			whole, _, _ := x.feed(apdu.GeneralBlockTransfer{
				Last: b[0]&0x80 != 0, Streaming: b[0]&0x40 != 0, Window: b[0] & 0x3F,
				Number: uint16(b[1])<<8 | uint16(b[2]), Ack: uint16(b[3])<<8 | uint16(b[4]), Data: b[6 : 6+n],
			})
			require.LessOrEqual(t, len(whole), 1000)
			require.LessOrEqual(t, len(x.poll(nil)), 64)
			b = b[6+n:]
		}
	})
}

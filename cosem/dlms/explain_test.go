package dlms

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/cosem/wrapper"
)

func TestExplainCiphered(t *testing.T) {
	sender, err := newChannel(suite0(1))
	require.NoError(t, err)
	plain, err := energyValue.AppendBinary(nil)
	require.NoError(t, err)
	for _, style := range []Style{StyleService, StyleGeneral, StyleCiphering} {
		sender.peer = security.Title{9}
		b, err := sender.protect(plain, protection{control: sender.control(), style: style})
		require.NoError(t, err)
		explain := func(sec *Security) (fields map[string]string, err error) {
			fields = map[string]string{}
			e := NewExplainer(&ReceiverConfig{Keys: func(security.Title) *Security { return sec }})
			err = e.APDU(b, func(off, length, _ int, field, meaning string, octets []byte) {
				require.Len(t, octets, length)
				fields[field] = fmt.Sprintf("%d+%d %s", off, length, meaning)
			})
			return fields, err
		}
		receiver := suite0(2)
		receiver.Peer, receiver.Title = suite0(1).Title, suite0(1).Title
		fields, err := explain(receiver)
		require.NoError(t, err)
		// The fields of the plaintext lie where it starts.
		require.Equal(t, "5+6 1-0:1.8.0*255 active energy import total", fields["instance-id"])
		require.Contains(t, fields["security-control"], fmt.Sprintf("%d+1 suite 0, authenticated, encrypted", len(b)-12-len(plain)-5))
		require.Contains(t, fields["authentication-tag"], fmt.Sprintf("%d+12 ", len(b)-12))
		require.Contains(t, fields["deciphered"], fmt.Sprintf("0+%d ", len(plain)))

		fields, err = explain(nil)
		require.ErrorIs(t, err, security.ErrNoKey)
		require.NotEmpty(t, fields["invocation-counter"])
		wrong := suite0(2)
		wrong.Peer, wrong.Title, wrong.Unicast = receiver.Peer, receiver.Peer, receiver.Authentication
		_, err = explain(wrong)
		require.ErrorIs(t, err, security.ErrAuthentication)
	}
}

func FuzzExplain(f *testing.F) {
	sender, err := newChannel(suite0(1))
	require.NoError(f, err)
	b, _ := apdu.GetRequestNext{Invoke: 1}.AppendBinary(nil)
	b, err = sender.protect(b, protection{control: sender.control(), style: StyleGeneral})
	require.NoError(f, err)
	f.Add(b, uint8(0))
	frame, _ := wrapper.Frame{Source: 1, Destination: 16, APDU: b}.AppendBinary(nil)
	f.Add(frame, uint8(1))
	frame, _ = hdlc.Frame{Source: hdlc.Server(1, 0), Destination: hdlc.Client(16), Control: hdlc.UI, Info: append([]byte{0xE6, 0xE7, 0}, b...)}.AppendBinary(nil)
	f.Add(frame, uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, carried uint8) {
		e := NewExplainer(&ReceiverConfig{Link: LinkAuto, Keys: func(security.Title) *Security { return suite0(1) }})
		note := func(off, length, _ int, field, _ string, octets []byte) {
			if off < 0 || len(octets) != length {
				t.Fatalf("note of %s: %d octets at %d, of which there are %d", field, length, off, len(octets))
			}
		}
		if carried%2 == 0 {
			_ = e.APDU(b, note)
			return
		}
		for len(b) > 0 {
			n, err := e.Explain(b, note)
			if n < 0 || n > len(b) {
				t.Fatalf("%d of %d octets", n, len(b))
			}
			if n == 0 {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				return
			}
			b = b[n:]
		}
	})
}

// A capture is explained frame by frame; a PDU that came in pieces is explained
// behind the last of them.
func TestExplainCapture(t *testing.T) {
	sealed := glo(t, pusher, both, 9, pushPDU(5))
	block := func(n uint16, last bool, part []byte) []byte {
		return append([]byte{0xE6, 0xE7, 0}, encode(t, apdu.GeneralBlockTransfer{Last: last, Number: n, Data: part})...)
	}
	two := block(2, true, sealed[20:])
	capture := segmentFrame(t, hdlc.UI, false, block(1, false, sealed[:20]))
	capture = append(capture, segmentFrame(t, hdlc.UI, true, two[:15])[1:]...) // the flag between them is one
	capture = append(capture, segmentFrame(t, hdlc.UI, false, two[15:])...)
	e := NewExplainer(&ReceiverConfig{Link: LinkAuto, Keys: knows(pushKey, pushAuth)})
	text, frames := "", 0
	for len(capture) > 0 {
		_, err := e.Explain(capture[:5], func(int, int, int, string, string, []byte) {})
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		n, err := e.Explain(capture, func(off, length, depth int, field, meaning string, octets []byte) {
			require.Len(t, octets, length)
			switch field {
			case "information", "LLC", "reassembled PDU", "joined blocks", "deciphered", "authentication-tag", "instance-id", "double-long-unsigned", "block-number":
				text += fmt.Sprintf("%d: %d %d+%d %s %s\n", frames, depth, off, length, field, strings.SplitN(meaning, ";", 2)[0])
			}
		})
		require.NoError(t, err)
		capture = capture[n:]
		frames++
	}
	require.Equal(t, 3, frames)
	for _, want := range []string{
		"0: 1 8+3 LLC", "0: 1 13+2 block-number 1", "1: 0 8+15 information a segment", "reassembled PDU", "joined blocks 57 octets", "2: 0 8+32 information the last segment",
		"authentication-tag", "deciphered 29 octets, verified", "double-long-unsigned 5",
	} {
		require.Contains(t, text, want)
	}
}

package dlms

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/security"
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
			err = Explain(sec, b, func(off, length, _ int, field, meaning string) {
				require.LessOrEqual(t, off+length, len(b))
				fields[field] = fmt.Sprintf("%d+%d %s", len(b)-off, length, meaning)
			})
			return fields, err
		}
		receiver := suite0(2)
		receiver.Peer = suite0(1).Title
		fields, err := explain(receiver)
		require.NoError(t, err)
		// The fields of the plaintext lie where their ciphered octets do: before the tag at the end.
		require.Equal(t, "20+6 1-0:1.8.0*255 active energy import total", fields["instance-id"])
		require.Contains(t, fields["security-control"], "30+1 suite 0, authenticated, encrypted")
		require.Contains(t, fields["authentication-tag"], "12+12 ")

		fields, err = explain(nil)
		require.ErrorIs(t, err, security.ErrNoKey)
		require.NotEmpty(t, fields["invocation-counter"])
		wrong := suite0(2)
		wrong.Peer, wrong.Unicast = receiver.Peer, receiver.Authentication
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
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = Explain(suite0(2), b, func(off, length, _ int, _, _ string) {
			if off < 0 || length < 0 || off+length > len(b) {
				t.Fatalf("note of octets %d to %d of %d", off, off+length, len(b))
			}
		})
	})
}

package coap

import (
	"context"
	"testing"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/udp/coder"
	"github.com/stretchr/testify/require"
)

// Whatever a client sends, the answer is one that fits into a datagram, and what
// is remembered of the client stays within its limits.
func FuzzRequest(f *testing.F) {
	f.Add(observeText)
	f.Add([]byte{0x40, 1, 0, 1, 0xBB, '.', 'w', 'e', 'l', 'l', '-', 'k', 'n', 'o', 'w', 'n', 4, 'c', 'o', 'r', 'e', 0x44, 'r', 't', '=', '*'})
	f.Add([]byte{0x41, 1, 0, 1, 7, 0x44, 1, 2, 3, 4, 0x20, 0x51, 'm', 0x61, 110, 0x61, 0x12})
	f.Add([]byte{0x40, 2, 0, 1, 0xB1, 'm', 0xFF, 1})
	s, err := NewServer(&Config{MaxObservations: 4, MaxTransfers: 2})
	require.NoError(f, err)
	s.Update(sample(401))
	r := &remote{server: s, proof: newProof(false), notifying: true, observations: map[string]*observation{}, transfers: map[query]*transfer{}}
	s.remotes[nil] = r
	f.Fuzz(func(t *testing.T, datagram []byte) {
		req := pool.NewMessage(context.Background())
		if _, err := req.UnmarshalWithDecoder(coder.DefaultCoder, datagram); err != nil {
			return
		}
		answer := pool.NewMessage(context.Background())
		answer.SetType(message.Acknowledgement)
		answer.SetMessageID(1)
		answer.SetToken(req.Token())
		allowed := r.credit + amplification*len(datagram)
		s.respond(nil, req, answer)
		require.Contains(t, []codes.Code{codes.Content, codes.Valid, codes.BadRequest, codes.BadOption, codes.NotFound, codes.MethodNotAllowed, codes.NotAcceptable, codes.ProxyingNotSupported, codes.Unauthorized}, answer.Code())
		raw, err := answer.MarshalWithEncoder(coder.DefaultCoder)
		require.NoError(t, err)
		require.LessOrEqual(t, len(raw), 1200)
		if !r.proven {
			require.LessOrEqual(t, len(raw), allowed)
			require.GreaterOrEqual(t, r.credit, 0)
		}
		if answer.Code() >= codes.BadRequest {
			require.False(t, answer.HasOption(message.Observe))
		}
		require.LessOrEqual(t, len(r.observations), 4)
		require.LessOrEqual(t, len(r.transfers), 2)
	})
}

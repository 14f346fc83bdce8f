package dlms

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/cosem/wrapper"
	"github.com/openusm/meter/internal/golden"
)

// sessionRow is a frame of dlms_sessions.jsonl.
type sessionRow struct {
	Seq         int                        `json:"seq"`
	Dir         string                     `json:"dir"`
	Hex         string                     `json:"hex"`
	Plain       string                     `json:"plain_hex"`
	APDU        string                     `json:"apdu_hex"`
	Keys        map[string]json.RawMessage `json:"keys"`
	Source      string                     `json:"source"`
	Step        string                     `json:"step"`
	Suspect     bool                       `json:"peer_reply_suspect"`
	DecodeError string                     `json:"decode_error"`
}

func (r sessionRow) octets(name string) []byte {
	var s string
	if json.Unmarshal(r.Keys[name], &s) != nil {
		return nil
	}
	b, _ := hex.DecodeString(s)
	return b
}

// side is what goes one way in a session.
type side struct {
	channel *channel
	info    []byte // of HDLC segments
	blocks  []byte // of a general block transfer
}

func newSide(t *testing.T, r sessionRow, sender string) *side {
	var suite string
	_ = json.Unmarshal(r.Keys["suite"], &suite)
	sec := &Security{
		Suite: security.Suite(suite[0] - '0'), Unicast: r.octets("ek"), Authentication: r.octets("ak"), Master: r.octets("kek"),
		Title: security.Title(r.octets("server_system_title")), Peer: security.Title(r.octets("client_system_title")),
		PeerSigning: r.octets("client_sign_pub"),
	}
	if sender == "RX" {
		sec.Title, sec.Peer, sec.PeerSigning = sec.Peer, sec.Title, r.octets("server_sign_pub")
	}
	c, err := newChannel(sec)
	require.NoError(t, err)
	if key := r.octets("dedicated"); key != nil {
		require.NoError(t, c.setDedicated(key))
	}
	return &side{channel: c}
}

// malformed says why an APDU of a session is none of the standard's, "" where it is one.
func malformed(b []byte, step string) string {
	switch {
	case b[0] == 0x55 || step == "unsupported APDU tag 0x55 (raw)":
		return "sent on purpose, and its answer, of which the first octets are missing"
	case b[0] == apdu.TagRLRE && int(b[1]) < len(b)-2:
		return "Gurux Java: the lengths of an RLRE with user-information are 4 and 1 too small"
	case hex.EncodeToString(b) == "c501c100060074cbb1060012d687":
		return "Gurux Java: rest of an earlier answer behind a set-response"
	}
	return ""
}

func TestCorpusSessions(t *testing.T) {
	sides := map[string]map[string]*side{}
	frames, apdus, ciphered := 0, 0, 0
	for _, row := range golden.Corpus[sessionRow](t, "dlms_sessions.jsonl") {
		session := row.Source + string(row.Keys["ek"]) // a key may be replaced on the way
		if sides[session] == nil {
			sides[session] = map[string]*side{"TX": newSide(t, row, "TX"), "RX": newSide(t, row, "RX")}
		}
		s := sides[session][row.Dir]
		t.Run(fmt.Sprintf("%s %d %s", row.Source[18:], row.Seq, row.Step), func(t *testing.T) {
			frames++
			b := s.frame(t, golden.Unhex(t, row.Hex))
			if b == nil {
				return
			}
			if row.Suspect || row.DecodeError != "" || malformed(b, row.Step) != "" {
				_, _ = reencode("apdu", b) // must not panic, whatever it is
				return
			}
			apdus++
			plain, how := s.plain(t, b)
			if how.control != 0 {
				ciphered++
			}
			if row.Plain != "" {
				require.Equal(t, row.Plain, hex.EncodeToString(plain))
			}
		})
	}
	t.Logf("%d frames, %d APDUs, %d of them ciphered", frames, apdus, ciphered)
}

// frame takes a frame apart, encodes it again, and returns the APDU that it completes.
func (s *side) frame(t *testing.T, b []byte) []byte {
	if b[0] == 0 {
		f, n, err := wrapper.Parse(b)
		require.NoError(t, err)
		require.Equal(t, len(b), n)
		again, err := f.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, b, again)
		return s.block(t, f.APDU)
	}
	f, n, err := hdlc.Parse(b)
	require.NoError(t, err)
	require.Equal(t, len(b), n)
	again, err := f.AppendBinary(nil)
	require.NoError(t, err)
	require.Equal(t, b, again)
	if !f.Control.IsInformation() && f.Control.Kind() != hdlc.UI {
		return nil
	}
	s.info = append(s.info, f.Info...)
	if f.Segmented {
		return nil
	}
	info := s.info
	s.info = nil
	require.Greater(t, len(info), 3)
	return s.block(t, info[3:])
}

// block puts general block transfers together.
func (s *side) block(t *testing.T, b []byte) []byte {
	if b[0] != apdu.TagGeneralBlockTransfer {
		return b
	}
	again, err := reencode("apdu", b)
	require.NoError(t, err)
	require.Equal(t, b, again)
	p, err := parse(b)
	require.NoError(t, err)
	g := p.(apdu.GeneralBlockTransfer)
	if g.Number == 1 {
		s.blocks = nil
	}
	s.blocks = append(s.blocks, g.Data...)
	if !g.Last || len(s.blocks) == 0 {
		return nil
	}
	whole := s.blocks
	s.blocks = nil
	return whole
}

// plain deciphers an APDU, encodes it and what is in it again, and returns
// what is in it; for an AARQ, AARE, RLRQ or RLRE the initiate inside.
func (s *side) plain(t *testing.T, b []byte) ([]byte, protection) {
	again, err := reencode("apdu", b)
	require.NoError(t, err, "%x", b)
	require.Equal(t, hex.EncodeToString(b), hex.EncodeToString(again))
	p, err := parse(b)
	require.NoError(t, err)
	inner := b
	switch p := p.(type) {
	case apdu.AARQ:
		inner = p.UserInformation
	case apdu.AARE:
		inner = p.UserInformation
	}
	plain, how, err := s.channel.unprotect(inner)
	require.NoError(t, err)
	if len(plain) == 0 {
		return plain, how
	}
	again, err = reencode("apdu", plain)
	require.NoError(t, err)
	require.Equal(t, hex.EncodeToString(plain), hex.EncodeToString(again))
	if how.control&security.Authenticated != 0 {
		require.Equal(t, security.Verified, how.trust)
	}
	return plain, how
}

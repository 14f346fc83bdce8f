package dlms

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/cosem/wrapper"
	"github.com/openusm/meter/internal/golden"
)

// recording is a recorded conversation.
type recording struct {
	name   string
	rows   []sessionRow
	frames [][]byte
}

func corpusSessions(t testing.TB) (all []*recording) {
	byName := map[string]*recording{}
	for _, row := range golden.Corpus[sessionRow](t, "dlms_sessions.jsonl") {
		name := row.Source + string(row.Keys["ek"]) // a key may be replaced on the way
		s := byName[name]
		if s == nil {
			s = &recording{name: row.Source}
			byName[name] = s
			all = append(all, s)
		}
		s.rows, s.frames = append(s.rows, row), append(s.frames, golden.Unhex(t, row.Hex))
	}
	return all
}

// keys returns the keys of both sides.
func (s *recording) keys() func(security.Title) *Security {
	r := s.rows[0]
	if r.octets("ek") == nil {
		return nil
	}
	var suite string
	_ = json.Unmarshal(r.Keys["suite"], &suite)
	client, server := security.Title(r.octets("client_system_title")), security.Title(r.octets("server_system_title"))
	return func(title security.Title) *Security {
		sec := &Security{
			Suite: security.Suite(suite[0] - '0'), Unicast: r.octets("ek"), Authentication: r.octets("ak"), Master: r.octets("kek"),
			Title: client, Peer: server, PeerSigning: r.octets("server_sign_pub"),
		}
		if title == client {
			sec.PeerSigning = r.octets("client_sign_pub")
		}
		return sec
	}
}

// A receiver reads all sessions of the corpus, and deciphers what another
// program deciphered from them.
func TestReceiverCorpusSessions(t *testing.T) {
	for _, s := range corpusSessions(t) {
		t.Run(s.name[strings.LastIndex(s.name, " ")+1:], func(t *testing.T) {
			r := NewReceiver(&ReceiverConfig{Link: LinkAuto, Keys: s.keys()})
			values := map[string]bool{}
			profiles := 0
			for i, frame := range s.frames {
				row := s.rows[i]
				b, _ := hex.DecodeString(row.APDU)
				strange := row.Suspect || row.DecodeError != "" || strings.HasPrefix(row.Step, "SET") || len(b) > 0 && malformed(b, row.Step) != "" || strings.Contains(row.Step, "RLRQ") || strings.Contains(row.Step, "0x55")
				r.Feed(frame)
				for {
					m, err := r.Next()
					if errors.Is(err, io.ErrUnexpectedEOF) {
						break
					}
					if strange || errors.As(err, new(*wrapper.ParseError)) { // octets of the row before
						continue
					}
					require.NoError(t, err, "%d %s", i, row.Step)
					if row.Plain != "" && m.PDU != nil && m.PDU.Name() != "AARQ" && m.PDU.Name() != "AARE" && row.Plain != hex.EncodeToString(m.Plain) {
						_, isLong := m.PDU.(apdu.GetResponseNormal) // of which the corpus has the last block
						require.True(t, isLong, "%d %s", i, row.Step)
						require.True(t, strings.HasSuffix(row.Plain, hex.EncodeToString(m.Plain[len(m.Plain)-20:])))
					}
					for _, x := range m.Readings {
						values[fmt.Sprint(x.ID(), " ", x.Value, " ", x.Unit, " ", x.Quality.Flags)] = true
						require.Equal(t, x.Code, m.Attributes[x.Source].Name)
					}
					profiles += len(m.Profiles)
				}
			}
			if len(s.frames) < 20 || strings.Contains(s.name, "gbt2") || strings.Contains(s.name, "protrel") {
				return
			}
			flags := "good"
			if strings.Contains(s.name, "_enc") { // encrypted, and nothing to check
				flags = "unverified"
			}
			require.Contains(t, values, "1-0:1.8.0*255 123456.7 Wh "+flags)
			require.Contains(t, values, "0-0:42.0.0*255 CAP0000000000002  "+flags)
			if len(s.frames) > 40 {
				require.Equal(t, 3, profiles)
			}
		})
	}
}

// Every protected APDU of the corpus is opened, whatever protects it, and one with
// a changed bit is refused.
func TestReceiverCorpusCrypto(t *testing.T) {
	type row struct {
		Hex    string         `json:"hex"`
		Plain  string         `json:"plain_hex"`
		Layer  string         `json:"layer"`
		Source string         `json:"source"`
		Keys   map[string]any `json:"keys"`
	}
	opened := 0
	for i, row := range golden.Corpus[row](t, "dlms_crypto.jsonl") {
		if !strings.HasPrefix(row.Layer, "apdu/") {
			continue
		}
		t.Run(fmt.Sprint(i, " ", row.Layer), func(t *testing.T) {
			octets := func(name string) []byte {
				b, _ := hex.DecodeString(fmt.Sprint(row.Keys[name]))
				if row.Keys[name] == nil || len(b) == 0 {
					return nil
				}
				return b
			}
			sec := &Security{
				Suite: security.Suite(fmt.Sprint(row.Keys["suite"])[0] - '0'), Unicast: octets("ek"), Broadcast: octets("broadcast_ek"),
				Authentication: octets("ak"), DedicatedKey: octets("dedicated"), Master: octets("kek"),
				PeerAgreement: octets("client_agree_pub"), PeerSigning: octets("client_sign_pub"),
				BareData: strings.Contains(row.Source, "gurux-aad"),
			}
			if private := octets("server_agree_priv"); private != nil {
				agreement, err := security.NewAgreementKey(sec.Suite, private)
				require.NoError(t, err)
				sec.Agreement = agreement
			}
			sender := title(octets("system_title"))
			if sender == (security.Title{}) {
				sender = title(octets("client_st"))
			}
			sec.Title, sec.Peer = sender, sender
			keys := func(security.Title) *Security { return sec }
			b := golden.Unhex(t, row.Hex)
			require.True(t, IsAPDU(b))
			m, err := NewReceiver(&ReceiverConfig{Keys: keys}).APDU(b)
			require.NoError(t, err)
			require.Equal(t, row.Plain, hex.EncodeToString(m.Plain))
			require.Equal(t, sender, m.Title)
			authentic := m.Control&security.Authenticated != 0 || row.Layer == "apdu/general-signing"
			require.Equal(t, authentic, m.Trust == security.Verified)
			require.Equal(t, !authentic, m.Unverified)
			opened++
			b[len(b)-1] ^= 1
			if m, err = NewReceiver(&ReceiverConfig{Keys: keys}).APDU(b); authentic {
				require.Error(t, err)
			} else if err == nil {
				require.True(t, m.Unverified)
			}
			_, err = NewReceiver(nil).APDU(b)
			if row.Layer != "apdu/general-signing" {
				require.ErrorIs(t, err, security.ErrNoKey)
			}
		})
	}
	require.Equal(t, 52, opened)
}

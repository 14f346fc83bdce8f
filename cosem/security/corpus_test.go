package security

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/internal/golden"
)

// cryptoRow is a row of dlms_crypto.jsonl.
type cryptoRow struct {
	Source string                     `json:"source"`
	Layer  string                     `json:"layer"`
	Hex    string                     `json:"hex"`
	Plain  string                     `json:"plain_hex"`
	Keys   map[string]json.RawMessage `json:"keys"`
}

// octets returns a key, nil where the row has none.
func (r cryptoRow) octets(t *testing.T, name string) []byte {
	var s string
	if r.Keys[name] == nil || json.Unmarshal(r.Keys[name], &s) != nil {
		return nil
	}
	b, err := hex.DecodeString(s)
	require.NoError(t, err, name)
	return b
}

func (r cryptoRow) number(name string) int {
	n, _ := strconv.Atoi(strings.Trim(string(r.Keys[name]), `"`))
	return n
}

func TestCorpus(t *testing.T) {
	for i, row := range golden.Corpus[cryptoRow](t, "dlms_crypto.jsonl") {
		t.Run(fmt.Sprintf("%d %s", i, row.Source), func(t *testing.T) {
			b, plain := golden.Unhex(t, row.Hex), golden.Unhex(t, row.Plain)
			switch row.Layer {
			case "apdu/glo", "apdu/ded", "apdu/general":
				requireSealed(t, row, b, plain)
			case "keywrap":
				wrapped, err := Wrap(row.octets(t, "kek"), plain)
				require.NoError(t, err)
				require.Equal(t, b, wrapped)
				key, err := Unwrap(row.octets(t, "kek"), b)
				require.NoError(t, err)
				require.Equal(t, plain, []byte(key))
			case "hls":
				requireHandshake(t, row, b)
			case "kdf":
				client, err := NewAgreementKey(Suite(row.number("suite")), row.octets(t, "client_eph_priv"))
				require.NoError(t, err)
				require.Equal(t, row.octets(t, "client_eph_pub"), client.Public())
				z, err := client.Agree(row.octets(t, "server_eph_pub"))
				require.NoError(t, err)
				require.Equal(t, row.octets(t, "z"), z)
				require.Equal(t, b, []byte(DeriveKey(Suite(row.number("suite")), z, row.octets(t, "client_st"), row.octets(t, "server_st"))))
			case "key-agreement":
				half := len(b) / 2
				id := byte(row.number("key_id"))
				require.NoError(t, VerifySignature(Suite(row.number("suite")), row.octets(t, "client_sign_pub"), append([]byte{id}, b[:half]...), b[half:]))
			case "apdu/general-ciphering":
				requireGeneral(t, row, b, plain)
			case "apdu/general-signing":
				requireSigned(t, row, b, plain)
			default:
				t.Fatalf("layer %q", row.Layer)
			}
		})
	}
}

// requireSealed deciphers an APDU, and ciphers it to the same octets again.
func requireSealed(t *testing.T, row cryptoRow, b, plain []byte) {
	p, n, err := apdu.Parse(b)
	require.NoError(t, err)
	require.Equal(t, len(b), n)
	key := row.octets(t, "ek")
	for _, other := range []string{"dedicated", "broadcast_ek"} {
		if k := row.octets(t, other); k != nil {
			key = k
		}
	}
	var contents []byte
	switch p := p.(type) {
	case apdu.Ciphered:
		contents = p.Contents
	case apdu.GeneralCiphered:
		contents = p.Contents
		require.Equal(t, row.octets(t, "system_title"), p.SystemTitle)
	}
	c, err := ParseContents(contents)
	require.NoError(t, err)
	s, err := NewCipher(key, row.octets(t, "ak"))
	require.NoError(t, err)
	sender := Title(row.octets(t, "system_title"))
	got, trust, err := s.Open(nil, c.Control, IV(sender, c.Counter), nil, c.Text)
	require.NoError(t, err)
	require.Equal(t, plain, got)
	require.Equal(t, map[bool]Trust{true: Verified, false: Unsigned}[c.Control&Authenticated != 0], trust)
	again, err := AppendSealed(nil, s, c.Control, sender, c.Counter, nil, plain)
	require.NoError(t, err)
	require.Equal(t, contents, again)

	// Without the authentication key the data come, and are marked.
	blind, err := NewCipher(key, nil)
	require.NoError(t, err)
	got, trust, err = blind.Open(nil, c.Control, IV(sender, c.Counter), nil, c.Text)
	require.NoError(t, err)
	require.Equal(t, plain, got)
	require.NotEqual(t, Verified, trust)

	// With a wrong key a tag does not fit.
	if c.Control&Authenticated != 0 {
		wrong := append([]byte{}, key...)
		wrong[0] ^= 1
		s, err = NewCipher(wrong, row.octets(t, "ak"))
		require.NoError(t, err)
		_, _, err = s.Open(nil, c.Control, IV(sender, c.Counter), nil, c.Text)
		require.ErrorIs(t, err, ErrAuthentication)
	}
}

func requireHandshake(t *testing.T, row cryptoRow, answer []byte) {
	suite := Suite(row.number("suite"))
	client := strings.Contains(row.Source, "pass3")
	h := Handshake{Mechanism: uint8(row.number("mechanism")), Suite: suite, Secret: []byte(row.octets(t, "secret"))}
	own, peer := "client_st", "server_st"
	h.OwnChallenge, h.PeerChallenge = row.octets(t, "ctos"), row.octets(t, "stoc")
	if !client {
		own, peer = peer, own
		h.OwnChallenge, h.PeerChallenge = h.PeerChallenge, h.OwnChallenge
	}
	if b := row.octets(t, own); b != nil {
		h.Own, h.Peer = Title(b), Title(row.octets(t, peer))
	}
	var err error
	switch h.Mechanism {
	case 5:
		h.Suite = Suite(answer[0] & 0x0F)
		h.Own = Title(row.octets(t, "system_title"))
		h.OwnCounter = uint32(row.number("invocation_counter"))
		h.Sealer, err = NewCipher(row.octets(t, "ek"), row.octets(t, "ak"))
		require.NoError(t, err)
	case 7:
		h.Signer, err = NewSigningKey(suite, row.octets(t, "client_sign_priv"))
		require.NoError(t, err)
		require.Equal(t, row.octets(t, "client_sign_pub"), h.Signer.(*SigningKey).Public())
	}
	got, err := h.Answer()
	require.NoError(t, err)
	if h.Mechanism != 7 {
		require.Equal(t, answer, got)
	}
	// The other side accepts the vector, and our own answer, and nothing else.
	other := h
	other.Own, other.Peer = h.Peer, h.Own
	other.OwnChallenge, other.PeerChallenge = h.PeerChallenge, h.OwnChallenge
	other.PeerPublic = row.octets(t, "client_sign_pub")
	require.NoError(t, other.Check(answer))
	require.NoError(t, other.Check(got))
	got[len(got)-1] ^= 1
	require.Error(t, other.Check(got))
}

// endToEnd returns what one side of a row knows.
func endToEnd(t *testing.T, row cryptoRow, own, peer string) *EndToEnd {
	e := &EndToEnd{
		Suite: Suite(row.number("suite")), Authentication: row.octets(t, "ak"), Unicast: row.octets(t, "ek"),
		Master: row.octets(t, "kek"), BareData: strings.Contains(row.Source, "gurux-aad"),
		PeerAgreement: row.octets(t, peer+"_agree_pub"), PeerSigning: row.octets(t, peer+"_sign_pub"),
	}
	if k := row.octets(t, own+"_agree_priv"); k != nil {
		var err error
		e.Agreement, err = NewAgreementKey(e.Suite, k)
		require.NoError(t, err)
		e.Signing, err = NewSigningKey(e.Suite, row.octets(t, own+"_sign_priv"))
		require.NoError(t, err)
	}
	return e
}

func requireGeneral(t *testing.T, row cryptoRow, b, plain []byte) {
	parsed, _, err := apdu.Parse(b)
	require.NoError(t, err)
	p := parsed.(apdu.GeneralCiphering)
	client, server := endToEnd(t, row, "client", "server"), endToEnd(t, row, "server", "client")
	got, trust, err := server.Open(p)
	require.NoError(t, err)
	require.Equal(t, plain, got)
	require.Equal(t, Verified, trust)
	c, err := ParseContents(p.Contents)
	require.NoError(t, err)
	again, err := client.Seal(p, c.Control, c.Counter, plain)
	require.NoError(t, err)
	got, _, err = server.Open(again)
	require.NoError(t, err)
	require.Equal(t, plain, got)
	if p.Key.Kind == apdu.KeyIdentified || p.Key.Kind == apdu.KeyAgreed && p.Key.Parameters[0] == StaticUnified {
		require.Equal(t, p, again) // nothing in it is random
	}
}

func requireSigned(t *testing.T, row cryptoRow, b, plain []byte) {
	parsed, _, err := apdu.Parse(b)
	require.NoError(t, err)
	p := parsed.(apdu.GeneralSigning)
	client, server := endToEnd(t, row, "client", "server"), endToEnd(t, row, "server", "client")
	trust, err := server.Verify(p)
	require.NoError(t, err)
	require.Equal(t, Verified, trust)
	again, err := client.Sign(p.Header, p.Contents)
	require.NoError(t, err)
	_, err = server.Verify(again)
	require.NoError(t, err)
	again.Signature[5] ^= 1
	_, err = server.Verify(again)
	require.ErrorIs(t, err, ErrSignature)
	if inner, ok := mustParse(t, p.Contents).(apdu.Ciphered); ok {
		c, err := ParseContents(inner.Contents)
		require.NoError(t, err)
		s, err := NewCipher(row.octets(t, "ek"), row.octets(t, "ak"))
		require.NoError(t, err)
		got, _, err := s.Open(nil, c.Control, IV(Title(row.octets(t, "client_st")), c.Counter), nil, c.Text)
		require.NoError(t, err)
		require.Equal(t, plain, got)
		return
	}
	require.Equal(t, plain, p.Contents)
}

func mustParse(t *testing.T, b []byte) apdu.PDU {
	p, _, err := apdu.Parse(b)
	require.NoError(t, err)
	return p
}

package meter

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/keys"
	"github.com/openusm/meter/obis"
)

// row is what the corpus files have in common.
type row struct {
	ID       string
	Hex      string
	Text     string
	Layer    string
	Kind     string
	Trust    string
	Protocol string
	Keys     map[string]any
	Key      string
	Expected struct {
		CRC   string `json:"crc"`
		CRCOK *bool  `json:"crc_ok"`
	}
}

func (r row) octets(t *testing.T) []byte {
	if r.Text != "" {
		return []byte(r.Text)
	}
	b, err := hex.DecodeString(r.Hex)
	require.NoError(t, err, r.ID)
	return b
}

// decodes checks that a row decodes without being told its protocol, that
// nothing of it breaks its explanation, and that its JSON form comes back.
func decodes(t *testing.T, r row) *Result {
	t.Helper()
	b := r.octets(t)
	cfg := &Config{}
	if key, err := hex.DecodeString(r.Key); err == nil {
		cfg.Keys.Key = key
	}
	result, err := Decode(b, cfg)
	if err != nil && !errors.Is(err, ErrPartial) {
		t.Errorf("%s: %v", r.ID, err)
		return nil
	}
	doc, err := json.Marshal(result)
	require.NoError(t, err, r.ID)
	var back Result
	require.NoError(t, json.Unmarshal(doc, &back), r.ID)
	again, err := json.Marshal(&back)
	require.NoError(t, err, r.ID)
	require.JSONEq(t, string(doc), string(again), r.ID)
	return result
}

// notDLMS are rows that must not decode, and why.
var notDLMS = map[string]string{
	"2d0d3d129573": "its FCS is wrong, and so is its content: octets were replaced when it was made anonymous",
	"cf9c23143acb": "the lengths of the RLRE and of its user-information are wrong",
}

func TestCorpusDLMS(t *testing.T) {
	n := 0
	for _, r := range golden.Corpus[row](t, "dlms.jsonl") {
		if len(r.Keys) > 0 || r.Layer == "apdu/unit" { // parts of PDUs, which package cosem reads
			continue
		}
		if why := notDLMS[r.ID]; why != "" {
			_, err := Decode(r.octets(t), nil)
			require.Error(t, err, "%s: %s", r.ID, why)
			continue
		}
		n++
		if decodes(t, r) != nil {
			if err := Explain(r.octets(t), nil, func(Note) {}); err != nil {
				t.Errorf("%s: explain: %v", r.ID, err)
			}
		}
	}
	require.NotZero(t, n)
}

func TestCorpusMBus(t *testing.T) {
	for _, r := range golden.Corpus[row](t, "mbus.jsonl") {
		if r.Kind != "wired" || r.Trust != "agreed" || r.Key != "" {
			continue
		}
		if result := decodes(t, r); result != nil {
			require.NotEmpty(t, result.Readings, r.ID)
			if err := Explain(r.octets(t), nil, func(Note) {}); err != nil {
				t.Logf("%s: explain: %v", r.ID, err)
			}
		}
	}
}

func TestCorpusIEC62056(t *testing.T) {
	for _, r := range golden.Corpus[row](t, "ansi_iec.jsonl") {
		switch r.Protocol {
		case "c1218", "c1222":
			result := decodes(t, r)
			require.NotEmpty(t, result.Layers, r.ID)
			require.NoError(t, Explain(r.octets(t), nil, func(Note) {}), r.ID)
		case "iec62056-21", "dsmr", "sml":
			if ok := r.Expected.CRCOK; ok != nil && !*ok || r.ID == "1f1031665193" {
				_, err := Decode(r.octets(t), nil)
				require.ErrorIs(t, err, ErrFrame, "%s: its CRC is wrong", r.ID)
				continue
			}
			decodes(t, r)
		}
	}
}

func TestCorpusRadio(t *testing.T) {
	for _, r := range golden.Corpus[row](t, "mbus.jsonl") {
		if r.Kind != "wireless" || r.Trust != "agreed" {
			continue
		}
		if r.ID == "b7dfa9b49299" || r.ID == "b4f585fc9f0d" { // cut off within the header
			continue
		}
		decodes(t, r)
	}
}

// Pushes in HDLC, general block transfer and M-Bus frames, with their keys.
func TestCorpusCipheredPushes(t *testing.T) {
	n := 0
	for _, r := range golden.Corpus[row](t, "dlms.jsonl") {
		key, ok := r.Keys["guek"].(string)
		if !ok {
			continue
		}
		n++
		cfg := &Config{}
		var err error
		cfg.Keys.Encryption, err = hex.DecodeString(key)
		require.NoError(t, err)
		if gak, ok := r.Keys["gak"].(string); ok {
			cfg.Keys.Authentication, err = hex.DecodeString(gak)
			require.NoError(t, err)
		}
		result, err := Decode(r.octets(t), cfg)
		require.NoError(t, err, r.ID)
		require.NotEmpty(t, result.Readings, r.ID)
		verified := result.Verified()
		for _, x := range result.Readings {
			require.Equal(t, !verified, x.Quality.Flags&obis.Unverified != 0, "%s: nobody can tell who sent it", r.ID)
		}
		require.NoError(t, Explain(r.octets(t), cfg, func(Note) {}), r.ID)

		_, err = Decode(r.octets(t), nil)
		require.ErrorIs(t, err, ErrMissingKey, r.ID)
		wrong := *cfg
		wrong.Keys.Encryption = append(keys.Secret{^cfg.Keys.Encryption[0]}, cfg.Keys.Encryption[1:]...)
		_, err = Decode(r.octets(t), &wrong)
		require.ErrorIs(t, err, ErrAuth, r.ID)
	}
	require.NotZero(t, n)
}

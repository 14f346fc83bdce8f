package dlms

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/internal/golden"
)

func TestDetect(t *testing.T) {
	pdu := pushPDU(5)
	llc := append([]byte{0xE6, 0xE7, 0}, pdu...)
	frame, wrapped := segmentFrame(t, hdlc.UI, false, llc), wrap(t, 1, 16, pdu)
	sealed := encode(t, apdu.GeneralCiphering{Header: apdu.Header{Transaction: make([]byte, 8), Originator: make([]byte, 8), Recipient: make([]byte, 8)},
		Key: &apdu.KeyInfo{Kind: apdu.KeyIdentified}, Contents: append([]byte{0x31, 0, 0, 0, 1}, make([]byte, 250)...)})
	require.Greater(t, len(sealed), 222)
	for name, test := range map[string]struct {
		b                   []byte
		hdlc, wrapper, apdu bool
	}{
		"HDLC":                       {frame, true, false, false},
		"HDLC behind noise":          {append([]byte("\x7E\xA0noise\x7E"), frame...), true, false, false},
		"HDLC, a wrong checksum":     {disturbed(frame), false, false, false},
		"wrapper":                    {wrapped, false, true, false},
		"wrapper, the last one cut":  {append(append([]byte{}, wrapped...), wrapped[:12]...), false, true, false},
		"wrapper, cut":               {wrapped[:20], false, false, false},
		"wrapper of octets":          {wrap(t, 1, 16, []byte{0x55, 1, 2}), false, false, false},
		"APDU":                       {pdu, false, false, true},
		"APDU with LLC":              {llc, false, false, true},
		"APDU, an octet behind":      {append(append([]byte{}, pdu...), 0), false, false, false},
		"APDU, cut":                  {pdu[:len(pdu)-1], false, false, false},
		"general-ciphering":          {sealed, false, false, true},
		"general-ciphering, a title": {append([]byte{0xDD, 8, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3}, sealed[19:]...), false, false, false},
		"general-glo-ciphering":      {glo(t, pusher, both, 1, pdu), false, false, true},
		"ciphered with suite 9":      {glo(t, pusher, both|9, 1, pdu), false, false, false},
		"nothing":                    {nil, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, []bool{test.hdlc, test.wrapper, test.apdu}, []bool{IsHDLC(test.b), IsWrapper(test.b), IsAPDU(test.b)})
		})
	}
}

// Of a million lines of noise hardly one is taken for DLMS.
func TestDetectNoise(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	found := 0
	b := make([]byte, 64)
	for range 100_000 {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		n := 16 + r.IntN(48)
		if IsHDLC(b[:n]) || IsWrapper(b[:n]) || IsAPDU(b[:n]) {
			found++
		}
	}
	require.LessOrEqual(t, found, 20)
}

// All of the corpus is known for what it is.
func TestDetectCorpus(t *testing.T) {
	for _, row := range golden.Corpus[corpusRow](t, "dlms.jsonl") {
		b := golden.Unhex(t, row.Hex)
		switch {
		case damaged[row.ID] != "":
		case row.Layer == "wire" || row.Layer == "hdlc+push":
			require.True(t, IsHDLC(b) != IsWrapper(b), row.ID)
			require.False(t, IsAPDU(b), row.ID)
		case row.Layer == "apdu-push" || row.Layer == "llc+push":
			require.True(t, IsAPDU(b), "%s %s", row.ID, row.Source)
		}
	}
}

package meter

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever the octets are, they give readings or an error, the readings have a
// JSON form that comes back, and the explanation stays within the input.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"6828286808017278563412430401042a0000000c05452301000c13100235000b2b0042000a5a03070a5e02053a16",
		"105b015c16",
		"7ea00703219300000f017e",
		"0001000100100009c401c100120203e8",
		"e6e7000f0000000000020209060100010800ff0600000001",
		"2f4f554d354d455445520d0a02312e382e3028312a6b5768290d0a210d0a0355",
		"2f4b464d354b414946410d0a0d0a312d303a312e382e312830303135382e3132332a6b5768290d0a210d0a",
		"1b1b1b1b0101010176",
	} {
		b, _ := hex.DecodeString(seed)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		result, err := Decode(b, nil)
		if err != nil && !errors.Is(err, ErrPartial) {
			require.Nil(t, result)
			require.NotEmpty(t, err.Error())
		}
		if result != nil {
			doc, err := json.Marshal(result)
			require.NoError(t, err)
			require.True(t, json.Valid(doc))
		}
		// Deciphered and reassembled octets are not of the input; all others are.
		_ = Explain(b, nil, func(n Note) {
			require.GreaterOrEqual(t, n.Offset, 0)
			require.GreaterOrEqual(t, n.Depth, 0)
			require.NotEmpty(t, n.Field)
		})
	})
}

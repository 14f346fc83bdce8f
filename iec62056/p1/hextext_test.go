package p1

import (
	"testing"

	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// Ids and messages are octet strings, written as digits; nothing else is.
func TestIsHexText(t *testing.T) {
	for code, want := range map[string]bool{
		"0-0:96.1.0": true, "0-0:96.1.1": true, "0-1:96.1.0": true, "0-1:96.1.1": true, "0-0:96.13.0": true, "0-0:96.13.1": true, "0-0:42.0.0": true,
		"0-0:96.1.4": false, "0-0:96.14.0": false, "0-0:96.7.21": false, "1-0:42.7.0": false, "1-0:1.8.1": false, "0-1:24.2.1": false,
	} {
		c, err := obis.ParseCode(code)
		require.NoError(t, err)
		require.Equal(t, want, isIDCode(c) || isMessage(c), code)
	}
}

// An octet that looks like the "/" of a line with parity, and is none, is noise:
// what follows is found as it came.
func TestNoiseLikeParity(t *testing.T) {
	v5 := load(t, "v5.txt")
	for _, noise := range []string{"\xaf\xaf\xaf\xaf", "\xafABC", "\xaf\x01\x02\x03\x04", "\xaf/", "\xaf\xb0\x31\x32"} {
		var s Stream
		s.Feed(append([]byte(noise), v5...))
		m, err := s.Next()
		require.NoError(t, err, "%q", noise)
		require.Equal(t, string(v5), string(m.Raw))
		require.EqualValues(t, len(noise), s.Stats().Skipped)
	}
}

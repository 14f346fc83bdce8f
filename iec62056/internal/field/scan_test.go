package field

import (
	"testing"

	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// FuzzCode holds the fast path against the parser of package obis.
func FuzzCode(f *testing.F) {
	for _, s := range []string{"1-0:1.8.0", "1.8.0", "96.1.0", "95.1.1", "C.1.0", "1-0:1.8.0*255", "1-0:99:97.0", "256.1.1", "1-0:1.8", "0001.8.0", "1-1:30D", "1..0", "."} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, id []byte) {
		want, err := obis.ParseBytes(id)
		got, ok := Code(id)
		require.Equal(t, err == nil, ok, "%q", id)
		if ok {
			require.Equal(t, want.Code, got, "%q", id)
		}
	})
}

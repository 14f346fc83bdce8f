package meter

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/osgp"
	"github.com/openusm/meter/driver"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/keys"
)

// Captures of the protocols that have to be named give readings or an error, too, and the
// finder of pushed messages comes to an end.
func FuzzDecodeC12(f *testing.F) {
	key := secret(7, osgp.KeyLen)
	f.Add(golden.Unhex(f, "06ee0000000001201310"), uint16(0))
	f.Add(golden.Unhex(f, "600cbe0a28088106800120012001"), uint16(5))
	f.Add(golden.Unhex(f, "003f0040000102005400000008010203040506070800000000 0102030405060708"), uint16(64))
	f.Fuzz(func(t *testing.T, b []byte, table uint16) {
		for _, protocol := range []Protocol{C1218, C1219, C1222, OSGP} {
			cfg := &Config{Protocol: protocol, C12: C12Config{Table: table}}
			result, err := Decode(b, cfg)
			if err != nil && !errors.Is(err, ErrPartial) {
				require.Nil(t, result)
			}
			if result != nil {
				doc, err := json.Marshal(result)
				require.NoError(t, err)
				require.True(t, json.Valid(doc))
			}
			_ = Explain(b, cfg, func(n Note) { require.NotEmpty(t, n.Field) })
		}
		_, _ = Decode(b, &Config{Protocol: OSGP, Keys: keys.Set{Key: key}})
		l, err := newListener(driver.Prepared(&Config{Protocol: C1222}, true), func(*Result, error) {})
		require.NoError(t, err)
		l.datagram(b)
		require.Zero(t, l.finders[0].Pending())
	})
}

package wrapper

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Explain calls note for each field of the frame at the start of b, in wire
// order, as far as it can be read, and returns the error at which reading broke.
func Explain(b []byte, note func(offset, length, depth int, field, meaning string)) error {
	f, _, err := Parse(b)
	for i, field := range []string{"version", "source wPort", "destination wPort", "length"} {
		if len(b) < 2*i+2 {
			return err
		}
		note(2*i, 2, 0, field, fmt.Sprint(binary.BigEndian.Uint16(b[2*i:])))
		if i == 0 && binary.BigEndian.Uint16(b) != version {
			return err
		}
	}
	if err == nil && len(f.APDU) > 0 {
		note(headerLen, len(f.APDU), 0, "APDU", hex.EncodeToString(f.APDU))
	}
	return err
}

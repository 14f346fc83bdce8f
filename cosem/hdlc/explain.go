package hdlc

import (
	"encoding/hex"
	"fmt"
)

// Explain calls note for each field of the frame at the start of b, in wire
// order, as far as it can be read, and returns the error at which reading broke.
func Explain(b []byte, note func(offset, length, depth int, field, meaning string)) error {
	f, n, err := Parse(b)
	if len(b) == 0 || b[0] != flag {
		return err
	}
	note(0, 1, 0, "flag", "7e")
	if len(b) < 3 || b[1]&0xF0 != frameType>>8 {
		return err
	}
	length := int(b[1]&7)<<8 | int(b[2])
	meaning := fmt.Sprintf("type 3, %d octets", length)
	if b[1]&(segmented>>8) != 0 {
		meaning += ", more segments follow"
	}
	note(1, 2, 0, "format", meaning)
	have := b[:min(len(b), 1+length)]
	at := 3
	for _, field := range []string{"destination address", "source address"} {
		a, end, addressErr := parseAddress(field, have, at)
		if addressErr != nil {
			return err
		}
		note(at, end-at, 0, field, a.String())
		at = end
	}
	if at >= len(have) {
		return err
	}
	note(at, 1, 0, "control", Control(have[at]).String())
	if err != nil {
		return err
	}
	if at++; len(f.Info) > 0 {
		note(at, 2, 0, "HCS", hex.EncodeToString(b[at:at+2]))
		note(at+2, len(f.Info), 0, "information", hex.EncodeToString(f.Info))
	}
	note(n-3, 2, 0, "FCS", hex.EncodeToString(b[n-3:n-1]))
	note(n-1, 1, 0, "flag", "7e")
	return nil
}

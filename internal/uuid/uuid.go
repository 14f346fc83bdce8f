// Package uuid makes name-based UUIDs (RFC 9562, version 5): the same name has
// the same one everywhere.
package uuid

import (
	"crypto/sha1"
	"encoding/hex"
)

// url is the space of names that are URLs.
var url = [16]byte{0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}

// Of returns the UUID of a name in the space of URLs, in 36 characters.
func Of[T ~string | ~[]byte](name T) string {
	h := sha1.New()
	h.Write(url[:])
	h.Write([]byte(name))
	u := h.Sum(nil)[:16]
	u[6], u[8] = u[6]&0x0F|0x50, u[8]&0x3F|0x80
	x := hex.EncodeToString(u)
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

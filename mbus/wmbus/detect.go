package wmbus

import "github.com/openusm/meter/mbus"

// maxTrailer is how many octets of their own receivers put behind a bare
// telegram: signal strength, CRC, end of a message.
const maxTrailer = 4

// DetectTelegram reports whether b is radio telegrams: one whose CRCs are right
// begins it, or it is bare ones from the first length to its end, each with a
// control field that meters send, a manufacturer of three letters and a CI field
// of the standard. A bare telegram has nothing by which damage could be seen, so
// that any protocol with a checksum is to be tried before.
func DetectTelegram(b []byte) bool {
	if syncLen(b) > 0 {
		_, _, _, err := Detect(b)
		return err == nil
	}
	if len(b) <= headerLen || !plausible(b) || damagedWire(b) {
		return false
	}
	return fitsA(b) || fitsB(b) || areBare(b)
}

// areBare reports whether b is bare telegrams, one behind the other.
func areBare(b []byte) bool {
	for first := true; ; first = false {
		if !first && len(b) <= maxTrailer {
			return true
		}
		if len(b) <= headerLen || !plausible(b) || len(b) < 1+int(b[0]) || mbus.CI(b[headerLen]).Content() == mbus.ContentUnknown {
			return false
		}
		b = b[1+int(b[0]):]
	}
}

// damagedWire reports whether b is a frame of a wire but for its first octet.
func damagedWire(b []byte) bool { return b[1] == b[2] && b[3] == 0x68 }

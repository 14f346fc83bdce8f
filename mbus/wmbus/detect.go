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
	if fitsA(b) || fitsB(b) {
		return true
	}
	if !areBare(b) {
		return false
	}
	_, _, _, err := Detect(b)
	return err == nil
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

// damagedWire reports whether b is a frame of a wire but for one octet of its
// header or its end, or but for the header where the checksum is right:
//
//	68 L L 68 … 16
func damagedWire(b []byte) bool {
	const (
		start, stop = 0x68, 0x16
		around      = 5 // octets that L does not count before the stop
	)
	signs := 0
	for _, sign := range [...]bool{
		b[0] == start, b[3] == start, b[1] == b[2],
		endsIn(b, around+int(b[1]), stop) || endsIn(b, around+int(b[2]), stop),
	} {
		if sign {
			signs++
		}
	}
	return signs >= 3 || b[1] == b[2] && b[3] == start || sumFits(b, int(b[1])) || sumFits(b, int(b[2]))
}

// sumFits reports whether b has so many octets behind the header of a frame of a
// wire as the checksum behind them says.
func sumFits(b []byte, length int) bool {
	const header = 4
	if !endsIn(b, header+length+1, 0x16) {
		return false
	}
	sum := byte(0)
	for _, c := range b[header : header+length] {
		sum += c
	}
	return sum == b[header+length]
}

func endsIn(b []byte, at int, stop byte) bool { return at < len(b) && b[at] == stop }

package meter

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/openusm/meter/ansic12/epsem"
)

// Detect says which protocol the octets at the start of b belong to. It errs
// on the side of ignorance: an error wraps [ErrUnknown].
func Detect(b []byte) (Protocol, error) {
	for _, d := range []struct {
		protocol Protocol
		is       func([]byte) bool
	}{
		{SML, isSML}, {MMS, isTPKT}, {DLMS, isHDLC}, {DLMS, isWrapper}, {MBus, isMBus}, {P1, isP1}, {IEC62056, isIEC62056}, {IEC62056, isDataLines},
		{C1218, isPSEM}, {WMBus, isWMBus}, {C1222, isC1222}, {SML, isSMLStream}, {APDU, isAPDU},
	} {
		if d.is(b) {
			return d.protocol, nil
		}
	}
	head := b
	if len(head) > 8 {
		head = head[:8]
	}
	return "", fmt.Errorf("meter: %w starts with % x", ErrUnknown, head)
}

var smlStart = []byte{0x1B, 0x1B, 0x1B, 0x1B, 0x01, 0x01, 0x01, 0x01}

func isSML(b []byte) bool { return bytes.HasPrefix(b, smlStart) }

// isSMLStream knows a capture that begins in the middle of a frame.
func isSMLStream(b []byte) bool { return bytes.Contains(b, smlStart) }

// isTPKT knows a packet of RFC 1006 with a TPDU of class 0 in it.
func isTPKT(b []byte) bool {
	if len(b) < 7 || b[0] != 3 || b[1] != 0 || int(binary.BigEndian.Uint16(b[2:])) < 7 {
		return false
	}
	switch b[5] {
	case 0xE0, 0xD0, 0xF0, 0x80, 0x70:
		return int(b[4])+5 <= int(binary.BigEndian.Uint16(b[2:]))
	}
	return false
}

// isHDLC knows the flag and the frame type 3 of IEC 62056-46.
func isHDLC(b []byte) bool {
	frame := bytes.TrimLeft(b, "\x7E")
	return len(frame) < len(b) && len(frame) >= 2 && frame[0]&0xF0 == 0xA0
}

func isWrapper(b []byte) bool {
	return len(b) >= 9 && b[0] == 0 && b[1] == 1 && binary.BigEndian.Uint16(b[6:]) > 0 && isAPDU(b[8:])
}

func isMBus(b []byte) bool {
	switch {
	case len(b) == 0:
		return false
	case b[0] == 0x68:
		return len(b) >= 4 && b[3] == 0x68 && b[1] == b[2]
	case b[0] == 0x10:
		return len(b) >= 5 && b[4] == 0x16
	}
	return b[0] == 0xE5 && (len(b) == 1 || isMBus(b[1:]))
}

// isP1 knows a telegram that was sent unasked: an identification and, without
// STX before them, data lines up to "!".
func isP1(b []byte) bool {
	if len(b) < 6 || b[0] != '/' || bytes.IndexByte(b, 0x02) >= 0 {
		return false
	}
	line, rest, ok := bytes.Cut(b, []byte("\n"))
	return ok && len(line) >= 5 && (bytes.HasPrefix(rest, []byte("\r\n")) || bytes.HasPrefix(rest, []byte("\n")) || bytes.IndexByte(rest, '!') >= 0)
}

// isIEC62056 knows a sign-on, an identification and a readout, the parity bit set or not.
func isIEC62056(b []byte) bool {
	if len(b) < 3 {
		return false
	}
	switch b[0] & 0x7F {
	case '/', 0x01, 0x02, 0x06:
	default:
		return false
	}
	// All that follows is text.
	for _, c := range b[1:min(len(b), 24)] {
		if c &= 0x7F; c == 0x03 || c == 0x04 {
			return true // a block check character may follow, which is any octet
		}
		if c < 0x20 && c != '\r' && c != '\n' && c != 0x02 && c != 0x06 {
			return false
		}
	}
	return true
}

func isPSEM(b []byte) bool { return len(b) >= 8 && b[0] == 0xEE }

// isWMBus knows a radio telegram by its length field and a C field of EN 13757-4.
func isWMBus(b []byte) bool {
	if len(b) < 12 || b[0] < 10 || int(b[0])+1 > len(b) {
		return false
	}
	switch b[1] {
	case 0x44, 0x46, 0x47, 0x48, 0x08, 0x18, 0x28, 0x38, 0x06:
		return true
	}
	return false
}

// isC1222 knows an ACSE APDU with a called AP title, or with EPSEM in it.
func isC1222(b []byte) bool {
	if len(b) <= 4 || b[0] != 0x60 || isAARQ(b) {
		return false
	}
	_, _, err := epsem.Parse(b)
	return err == nil || bytes.Contains(b[:min(len(b), 32)], []byte{0xA2})
}

// isAARQ knows the object identifiers of DLMS.
func isAARQ(b []byte) bool {
	return bytes.Contains(b[:min(len(b), 64)], []byte{0x60, 0x85, 0x74, 0x05, 0x08, 0x01})
}

func isAPDU(b []byte) bool {
	if len(b) < 3 {
		return false
	}
	if rest := withoutLLC(b); len(rest) < len(b) {
		return isAPDU(rest)
	}
	switch t := b[0]; t {
	case 0x60, 0x61:
		return isAARQ(b)
	case 0x62, 0x63, 0x0E, 0x0F, 0x01, 0x05, 0x06, 0x08, 0x0C, 0x0D, 0x16, 0x18,
		0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0xC7, 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDF, 0xE0:
		return true
	case 0x21, 0x25, 0x26, 0x28, 0x2C, 0x2D, 0x2E, 0x36, 0x38, 0x41, 0x45, 0x46, 0x48, 0x4C, 0x4D, 0x4E, 0x56, 0x58,
		0xC8, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCF, 0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD7:
		return isLength(b[1:])
	}
	return false
}

// isLength reports whether b is a length and as many octets as that says.
func isLength(b []byte) bool {
	switch {
	case b[0] < 0x80:
		return int(b[0]) == len(b)-1
	case b[0] == 0x81:
		return len(b) > 1 && int(b[1]) == len(b)-2
	case b[0] == 0x82:
		return len(b) > 2 && int(b[1])<<8|int(b[2]) == len(b)-3
	}
	return false
}

// isDataLines knows the middle of a readout: text with values in parentheses at the ends of lines.
func isDataLines(b []byte) bool {
	text := 0
	for _, c := range b {
		if c >= ' ' && c < 0x7F || c == '\r' || c == '\n' {
			text++
		}
	}
	return text*10 >= len(b)*8 && bytes.Contains(b, []byte("(")) && (bytes.Contains(b, []byte(")\r\n")) || bytes.Contains(b, []byte(")\n")))
}

// unheard reports whether an attempt failed as one in a protocol that the meter does not speak.
func unheard(err error) bool {
	return errors.Is(err, ErrTimeout) || errors.Is(err, ErrHungUp) || errors.Is(err, ErrFrame)
}

// attempt is one way to reach a meter whose protocol is not known.
type attempt struct {
	name     string
	protocol Protocol
	dial     func(ctx context.Context, t Target, cfg *Config) (Session, error)
}

// detectTimeout is how long each attempt waits for an answer where the caller names no time.
const detectTimeout = 2 * time.Second

// detectSession tries the protocols one after the other and reports what it tried.
func detectSession(ctx context.Context, t Target, cfg *Config) (Session, error) {
	var tried []string
	var last error
	for _, a := range attempts(t) {
		if cfg.Tried != nil {
			cfg.Tried(a.name)
		}
		own := *cfg
		own.Protocol = a.protocol
		if own.Timeout == 0 && a.protocol != Auto {
			own.Timeout = detectTimeout
		}
		if own.Retries == 0 {
			own.Retries = -1
		}
		s, err := a.dial(ctx, t, &own)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil || !unheard(err) {
			return nil, err
		}
		tried, last = append(tried, a.name), err
	}
	return nil, fmt.Errorf("meter: %s: tried %s: %w", t, strings.Join(tried, ", "), last)
}

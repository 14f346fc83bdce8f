package iec62056

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/openusm/meter/obis"
)

// maxIdent bounds the text behind the baud character. The standard has 16
// characters; DSMR meters send more.
const maxIdent = 64

// Identification is the message by which a meter answers the request:
//
//	/ X X X Z [\ W] ident CR LF
type Identification struct {
	Manufacturer [3]byte // FLAG id; a lower-case third letter tells the short reaction time
	Baud         byte    // Z, see [Identification.BaudRate]; zero where the line ended before it
	Ident        []byte  // the rest, with any escapes "\W"; it aliases the input
}

// ParseIdentification reads the identification at the start of b. Line feed
// alone ends the line too, as captures have it.
func ParseIdentification(b []byte) (id Identification, n int, err error) {
	if len(b) == 0 {
		return Identification{}, 0, &ParseError{"identification", 0, io.ErrUnexpectedEOF}
	}
	if b[0] != '/' {
		return Identification{}, 0, &ParseError{"identification", 0, fmt.Errorf("%w %q, want \"/\"", errNotMarked, b[0])}
	}
	end := 1
	for ; end < len(b) && b[end] != '\n' && b[end] != '\r'; end++ {
		switch {
		case b[end] < ' ' || b[end] > '~':
			return Identification{}, 0, &ParseError{"identification", end, errControl}
		case end < 4 && (b[end]|0x20 < 'a' || b[end]|0x20 > 'z'):
			return Identification{}, 0, &ParseError{"manufacturer", end, errLetters}
		case end > 4+maxIdent:
			return Identification{}, 0, &ParseError{"identification", end, errTooLong}
		}
	}
	if end < len(b) && end < 4 {
		return Identification{}, 0, &ParseError{"manufacturer", end, errLetters}
	}
	n = lineEnd(b, end)
	if n < 0 {
		return Identification{}, 0, &ParseError{"identification", len(b), io.ErrUnexpectedEOF}
	}
	id.Manufacturer = [3]byte(b[1:4])
	if end > 4 {
		id.Baud = b[4]
		id.Ident = b[5:end:end]
	}
	return id, n, nil
}

// lineEnd returns the offset behind the CR LF, LF or CR at i, and -1 where it
// is not yet complete.
func lineEnd(b []byte, i int) int {
	switch {
	case i >= len(b):
		return -1
	case b[i] == '\n':
		return i + 1
	case i+1 >= len(b):
		return -1
	case b[i+1] == '\n':
		return i + 2
	}
	return i + 1
}

// AppendBinary appends the message. It never fails.
func (id Identification) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(append(dst, '/'), id.Manufacturer[:]...)
	if id.Baud != 0 {
		dst = append(append(dst, id.Baud), id.Ident...)
	}
	return append(dst, '\r', '\n'), nil
}

// IsZero reports whether there is no identification.
func (id Identification) IsZero() bool { return id.Manufacturer == [3]byte{} }

// Mode is one of the ways in which meter and reader talk.
type Mode uint8

// The modes of the standard. ModeAuto is whatever the identification announces.
const (
	ModeAuto Mode = iota
	ModeA         // the readout follows at the initial rate
	ModeB         // the meter changes the rate by itself, then the readout follows
	ModeC         // the reader selects rate and kind of session
	ModeD         // the meter sends without being asked, at 2400 baud
	ModeE         // like C, and the reader may select another protocol
)

// String returns "A" to "E", or "auto".
func (m Mode) String() string {
	if ModeA <= m && m <= ModeE {
		return string(rune('A' + m - ModeA))
	}
	return "auto"
}

// Mode returns the mode that the baud character and an escape "\2" announce.
// Mode D has the same identification as mode C at 2400 baud; who asked knows.
func (id Identification) Mode() Mode {
	switch {
	case '0' <= id.Baud && id.Baud <= '9':
		if w, ok := id.Escape(); ok && w == '2' {
			return ModeE
		}
		return ModeC
	case 'A' <= id.Baud && id.Baud <= 'I':
		return ModeB
	}
	return ModeA
}

// Escape returns the character behind the backslash at the start of the
// identification: '2' announces HDLC (mode E).
func (id Identification) Escape() (w byte, ok bool) {
	if len(id.Ident) >= 2 && id.Ident[0] == '\\' {
		return id.Ident[1], true
	}
	return 0, false
}

// Model returns the identification without its escapes "\2" and without spaces
// around it.
func (id Identification) Model() string {
	s := id.Ident
	for len(s) >= 2 && s[0] == '\\' && s[1]-'0' <= 9 {
		s = s[2:]
	}
	return string(bytes.TrimSpace(bytes.TrimPrefix(s, []byte{'\\'})))
}

// BaudRate returns the rate that the baud character stands for, in modes B, C
// and E, and 300 in mode A.
func (id Identification) BaudRate() int {
	rate, ok := BaudRate(id.Baud)
	if !ok {
		return initialBaud
	}
	return rate
}

// ReactionTime is how long the reader must wait before it answers: 200 ms, or
// 20 ms where the third letter of the manufacturer is in lower case.
func (id Identification) ReactionTime() time.Duration {
	if c := id.Manufacturer[2]; 'a' <= c && c <= 'z' {
		return 20 * time.Millisecond
	}
	return 200 * time.Millisecond
}

const initialBaud = 300

var rates = [...]int{300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200}

// BaudRate returns the rate of a baud character: '0' to '9' of modes C and E,
// of which the standard defines 300 baud to 19200 ('6') and meters use the three
// above as 38400, 57600 and 115200, and 'A' (600) to 'F' (19200) of mode B.
func BaudRate(z byte) (rate int, ok bool) {
	switch {
	case '0' <= z && z <= '9':
		return rates[z-'0'], true
	case 'A' <= z && z <= 'I':
		return rates[z-'A'+1], true
	}
	return 0, false
}

// BaudCharacter returns the digit by which mode C names a rate.
func BaudCharacter(rate int) (z byte, ok bool) {
	for i, r := range rates {
		if r == rate {
			return '0' + byte(i), true
		}
	}
	return 0, false
}

// flagID returns the manufacturer in capitals, as the FLAG list has it.
func (id Identification) flagID() string {
	m := id.Manufacturer
	for i, c := range m {
		if 'a' <= c && c <= 'z' {
			m[i] = c - 'a' + 'A'
		}
	}
	return string(m[:])
}

// meter returns what the identification alone says of the meter.
func (id Identification) meter() obis.Meter {
	if id.IsZero() {
		return obis.Meter{}
	}
	return obis.Meter{Manufacturer: id.flagID(), Model: id.Model()}
}

package iec62056

import (
	"bytes"
	"fmt"
	"io"
	"iter"
)

// Kind says which of the protocol's messages a [Message] is.
type Kind uint8

// The kinds of message.
const (
	KindRequest        Kind = iota + 1 // /?address!
	KindIdentification                 // /XXXZident
	KindOption                         // ACK V Z Y
	KindAck                            // ACK alone
	KindNak                            // NAK: repeat
	KindCommand                        // SOH C D STX data ETX BCC
	KindData                           // STX data ETX BCC
)

// Message is any message of the protocol. Its slices alias the input.
type Message struct {
	Kind           Kind
	Address        []byte // of a request: letters and digits, empty for "whoever is there"
	Identification Identification
	Option         Option
	Command        [2]byte // of a command: "R1", "W1", "P1", "B0", …
	Data           []byte  // of commands and data
	Partial        bool    // another block follows: EOT instead of ETX
	HasData        bool    // a command has STX, even if nothing follows it
}

// Option is the option select message of modes C and E: ACK V Z Y CR LF.
type Option struct {
	Protocol byte // V: '0' normal, '1' secondary, '2' HDLC
	Baud     byte // Z: the rate for what follows, see [BaudRate]
	Mode     byte // Y: '0' readout, '1' programming mode, '2' binary (HDLC), '6' to '9' manufacturer's
}

// ParseMessage reads the message at the start of b. NUL octets before it, by
// which readers wake battery meters, belong to it. The data of a readout are a
// message of [KindData]; [ParseReadout] knows their inside.
func ParseMessage(b []byte) (m Message, n int, err error) {
	start := 0
	for start < len(b) && b[start] == 0 {
		start++
	}
	if start == len(b) {
		return Message{}, 0, &ParseError{"message", start, io.ErrUnexpectedEOF}
	}
	switch rest := b[start:]; {
	case rest[0] == ack:
		m, n, err = parseAck(rest)
	case rest[0] == nak:
		m, n = Message{Kind: KindNak}, 1
	case rest[0] == soh:
		m, n, err = parseCommand(rest)
	case rest[0] == stx:
		m = Message{Kind: KindData}
		n, err = m.parseBlock(rest, 1, 1)
	case rest[0] == '/' && len(rest) == 1:
		err = &ParseError{"message", 1, io.ErrUnexpectedEOF}
	case rest[0] == '/' && rest[1] == '?':
		m, n, err = parseRequest(rest)
	case rest[0] == '/':
		m.Kind = KindIdentification
		m.Identification, n, err = ParseIdentification(rest)
	default:
		err = &ParseError{"message", 0, fmt.Errorf("%w 0x%02x", errNotMarked, rest[0])}
	}
	if err != nil {
		if pe, ok := err.(*ParseError); ok {
			pe.Offset += start
		}
		return Message{}, 0, err
	}
	return m, start + n, nil
}

func parseRequest(b []byte) (m Message, n int, err error) {
	for i := 2; i < len(b); i++ {
		switch c := b[i]; {
		case c == '!':
			if n = lineEnd(b, i+1); n < 0 {
				return m, 0, &ParseError{"request", len(b), io.ErrUnexpectedEOF}
			}
			if b[i+1] != '\r' && b[i+1] != '\n' {
				return m, 0, &ParseError{"request", i + 1, fmt.Errorf("0x%02x, want CR LF", b[i+1])}
			}
			return Message{Kind: KindRequest, Address: b[2:i:i]}, n, nil
		case c < ' ' || c > '~':
			return m, 0, &ParseError{"address", i, errControl}
		case i > 2+maxAddress:
			return m, 0, &ParseError{"address", i, errTooLong}
		}
	}
	return m, 0, &ParseError{"request", len(b), io.ErrUnexpectedEOF}
}

// maxAddress is the length of a device address.
const maxAddress = 32

// parseAck tells a bare acknowledgement from an option select message by the
// digit that follows. A bare one at the end of the input is complete: the
// message is answered only when all of it is there.
func parseAck(b []byte) (m Message, n int, err error) {
	if len(b) == 1 || b[1] < '0' || b[1] > '9' {
		return Message{Kind: KindAck}, 1, nil
	}
	for i := 2; i < 4; i++ {
		if i < len(b) && (b[i] < '0' || b[i] > 'z') {
			return m, 0, &ParseError{"option select", i, errControl}
		}
	}
	if len(b) < 6 {
		return m, 0, &ParseError{"option select", len(b), io.ErrUnexpectedEOF}
	}
	if b[4] != '\r' || b[5] != '\n' {
		return m, 0, &ParseError{"option select", 4, fmt.Errorf("0x%02x%02x, want CR LF", b[4], b[5])}
	}
	return Message{Kind: KindOption, Option: Option{b[1], b[2], b[3]}}, 6, nil
}

func parseCommand(b []byte) (m Message, n int, err error) {
	m.Kind = KindCommand
	for i := 1; i < 3; i++ {
		if i < len(b) && (b[i] < '0' || b[i] > 'Z') {
			return m, 0, &ParseError{"command", i, fmt.Errorf("0x%02x is neither letter nor digit", b[i])}
		}
	}
	if len(b) < 4 {
		return m, 0, &ParseError{"command", len(b), io.ErrUnexpectedEOF}
	}
	m.Command = [2]byte{b[1], b[2]}
	start := 3
	switch b[3] {
	case stx:
		m.HasData = true
		start = 4
	case etx, eot:
	default:
		return m, 0, &ParseError{"command", 3, fmt.Errorf("%w 0x%02x, want STX", errNotMarked, b[3])}
	}
	n, err = m.parseBlock(b, 1, start)
	return m, n, err
}

// parseBlock reads data from start to ETX or EOT and the block check character,
// which begins to count at checked.
func (m *Message) parseBlock(b []byte, checked, start int) (n int, err error) {
	size := bytes.IndexAny(b[start:], "\x03\x04")
	if size < 0 || start+size+1 >= len(b) {
		return 0, &ParseError{"block", len(b), io.ErrUnexpectedEOF}
	}
	end := start + size
	if got, want := b[end+1]&0x7F, BlockCheck(b[checked:end+1]); got != want {
		return 0, &ParseError{"BCC", end + 1, fmt.Errorf("%w: 0x%02x, want 0x%02x", ErrChecksum, got, want)}
	}
	m.Data = b[start:end:end]
	m.Partial = b[end] == eot
	return end + 2, nil
}

// AppendBinary appends the message. It never fails; control characters in Data
// make a message that no one can read.
func (m Message) AppendBinary(dst []byte) ([]byte, error) {
	switch m.Kind {
	case KindRequest:
		dst = append(append(append(dst, '/', '?'), m.Address...), '!', '\r', '\n')
	case KindIdentification:
		dst, _ = m.Identification.AppendBinary(dst)
	case KindOption:
		dst = append(dst, ack, m.Option.Protocol, m.Option.Baud, m.Option.Mode, '\r', '\n')
	case KindAck:
		dst = append(dst, ack)
	case KindNak:
		dst = append(dst, nak)
	case KindCommand:
		start := len(dst) + 1
		dst = append(dst, soh, m.Command[0], m.Command[1])
		if m.HasData || len(m.Data) > 0 {
			dst = append(dst, stx)
		}
		dst = m.appendBlock(dst, start)
	case KindData:
		dst = m.appendBlock(append(dst, stx), len(dst)+1)
	}
	return dst, nil
}

func (m Message) appendBlock(dst []byte, checked int) []byte {
	dst = append(dst, m.Data...)
	if m.Partial {
		dst = append(dst, eot)
	} else {
		dst = append(dst, etx)
	}
	return append(dst, BlockCheck(dst[checked:]))
}

// DataSets reads the data sets of an answer.
func (m Message) DataSets() iter.Seq2[DataSet, error] { return DataSets(m.Data) }

// MeterError is what a meter answers instead of data: "(ER01)", "(ERROR)".
type MeterError struct{ Text string }

func (e *MeterError) Error() string { return "iec62056: the meter answered " + e.Text }

// Unwrap returns [ErrRefused].
func (e *MeterError) Unwrap() error { return ErrRefused }

// Err returns a [*MeterError] where the data are an error message: one value
// that begins with "ER", without an address.
func (m Message) Err() error {
	if m.Kind == KindData && len(m.Data) >= 4 && (bytes.HasPrefix(m.Data, []byte("(ER")) || bytes.HasPrefix(m.Data, []byte("ER"))) {
		return &MeterError{string(m.Data)}
	}
	return nil
}

package wmbus

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/internal/crc16"
)

// Reception is a telegram as a receiver handed it over.
type Reception struct {
	Frame    []byte // the link layer, from L on; [Detect] tells its format
	Receiver string // "im871a", "amb", "cul", "rtl-wmbus", "hex" or "raw"
	Time     string // when it was received, as the receiver wrote it
	RSSI     int    // signal strength in dBm, 0 if not told
}

// Receiver splits what a receiver sends into telegrams, and recognises which
// kind of receiver it is: IMST iM871A, Amber AMB8465 (Würth Metis) with or
// without command mode, a CUL, rtl-wmbus, or lines of hexadecimal digits. The
// zero Receiver is ready for use.
type Receiver struct {
	// AmberRSSI says that an AMB8465 appends the signal strength to each
	// telegram, which cannot be seen from the telegram. False: it does not.
	AmberRSSI bool

	buf []byte
}

// Feed takes octets from the receiver.
func (r *Receiver) Feed(b []byte) { r.buf = append(r.buf, b...) }

// maxPending bounds what is kept of a telegram of which the end does not come.
const maxPending = 4096

// Next returns the next telegram. It is io.ErrUnexpectedEOF where the octets so
// far hold no whole one; after any other error the next call goes on behind the
// octets that caused it. The telegram has memory of its own.
func (r *Receiver) Next() (Reception, error) {
	for len(r.buf) > 0 {
		rec, n, err := r.next(r.buf)
		if errors.Is(err, io.ErrUnexpectedEOF) && len(r.buf) < maxPending {
			return Reception{}, io.ErrUnexpectedEOF
		}
		if err != nil {
			n = max(n, 1)
		}
		rec.Frame = bytes.Clone(rec.Frame)
		r.buf = append(r.buf[:0], r.buf[n:]...)
		if err != nil || rec.Frame != nil {
			return rec, err
		}
	}
	return Reception{}, io.ErrUnexpectedEOF
}

// Flush returns what is left when the receiver was closed: a last line without
// its end.
func (r *Receiver) Flush() (Reception, error) {
	if len(r.buf) > 0 && isText(r.buf[0]) {
		r.buf = append(r.buf, '\n')
	}
	rec, err := r.Next()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		r.buf = r.buf[:0]
	}
	return rec, err
}

const (
	imstStart  = 0xA5
	amberStart = 0xFF
)

// next reads one message at the start of b: a telegram, or something that is none.
func (r *Receiver) next(b []byte) (rec Reception, n int, err error) {
	switch {
	case b[0] == imstStart:
		return parseIMST(b)
	case b[0] == amberStart:
		return parseAmber(b, r.AmberRSSI)
	case b[0] == '\r' || b[0] == '\n':
		return Reception{}, 1, nil
	case isText(b[0]) && (len(b) < 2 || isText(b[1]) || b[1] == '\r' || b[1] == '\n'):
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return Reception{}, 0, io.ErrUnexpectedEOF
		}
		rec, err = ParseLine(b[:end])
		return rec, end + 1, err
	}
	return parseRaw(b, r.AmberRSSI)
}

func isText(c byte) bool { return c >= 0x20 && c < 0x7F || c == '\t' }

// parseIMST reads a message of the host controller interface of the iM871A:
//
//	A5 | attachments(4 bits) endpoint(4 bits) | message | length | payload | [time(4)] [RSSI] [CRC(2)]
//
// A telegram is message 3 of endpoint 2; its payload begins with the C field.
func parseIMST(b []byte) (rec Reception, n int, err error) {
	const (
		hasTime   = 0x20
		hasRSSI   = 0x40
		hasCRC    = 0x80
		endpoint  = 0x02
		telegram  = 0x03
		headerLen = 4
	)
	if len(b) < headerLen {
		return rec, 0, io.ErrUnexpectedEOF
	}
	size := int(b[3])
	n = headerLen + size
	rssi := n
	if b[1]&hasTime != 0 {
		n, rssi = n+4, rssi+4
	}
	if b[1]&hasRSSI != 0 {
		n++
	}
	body := n
	if b[1]&hasCRC != 0 {
		n += 2
	}
	if len(b) < n {
		return rec, 0, io.ErrUnexpectedEOF
	}
	if b[1]&hasCRC != 0 {
		if crc := crc16.X25(b[1:body]); b[body] != byte(crc) || b[body+1] != byte(crc>>8) {
			return rec, 1, fmt.Errorf("wmbus: iM871A message: %w", ErrCRC)
		}
	}
	if b[1]&0x0F != endpoint || b[2] != telegram || size == 0 {
		return rec, n, nil
	}
	rec.Receiver = "im871a"
	rec.Frame = append([]byte{b[3]}, b[headerLen:headerLen+size]...)
	if b[1]&hasRSSI != 0 {
		rec.RSSI = (int(b[rssi])*80 - 19000) / 150 // −100 − 4000/150 + 80/150 × RSSI, of the host controller interface
	}
	return rec, n, nil
}

// parseAmber reads a message of the command mode of the AMB8465:
//
//	FF | command | length | payload | exclusive or of all
//
// A telegram is command 3; its payload begins with the C field.
func parseAmber(b []byte, hasRSSI bool) (rec Reception, n int, err error) {
	const headerLen = 3
	if len(b) < headerLen {
		return rec, 0, io.ErrUnexpectedEOF
	}
	n = headerLen + int(b[2]) + 1
	if len(b) < n {
		return rec, 0, io.ErrUnexpectedEOF
	}
	sum := byte(0)
	for _, c := range b[:n] {
		sum ^= c
	}
	if sum != 0 {
		return rec, 1, fmt.Errorf("wmbus: AMB8465 message: wrong checksum")
	}
	payload := b[headerLen : n-1]
	if b[1] != 0x03 || len(payload) < 2 {
		return rec, n, nil
	}
	rec.Receiver = "amb"
	if hasRSSI {
		rec.RSSI = rssiCC(payload[len(payload)-1])
		payload = payload[:len(payload)-1]
	}
	rec.Frame = append([]byte{byte(len(payload))}, payload...)
	return rec, n, nil
}

// parseRaw reads a bare frame as the AMB8465 sends it without command mode; its
// L counts the signal strength where that is appended.
func parseRaw(b []byte, hasRSSI bool) (rec Reception, n int, err error) {
	f, n, err := Parse(b, Bare)
	if err != nil {
		return rec, 1, err
	}
	if f.C.known() {
		rec = Reception{Frame: b[:n], Receiver: "raw"}
		if hasRSSI && n > headerLen+1 {
			rec.RSSI = rssiCC(b[n-1])
			rec.Frame = append([]byte{b[0] - 1}, b[1:n-1]...)
		}
		return rec, n, nil
	}
	return rec, 1, fmt.Errorf("wmbus: octet 0x%02x begins no telegram", b[0])
}

// known reports whether meters send such a control field.
func (c C) known() bool {
	switch c &^ 0x30 {
	case 0x44, 0x46, 0x47, 0x48, 0x08:
		return true
	}
	return false
}

// rssiCC turns the octet of the CC1101 radio into dBm.
func rssiCC(raw byte) int { return int(int8(raw))/2 - 74 }

// ParseLine reads a telegram from a line of text: hexadecimal digits, which may
// have spaces, underscores and bars between them and a word with "=" before them;
// a line of rtl-wmbus; or one of a CUL, which begins with b.
func ParseLine(line []byte) (Reception, error) {
	line = bytes.TrimSpace(line)
	switch {
	case len(line) == 0:
		return Reception{}, nil
	case len(line) > 2 && bytes.IndexByte(line, ';') == 2:
		return parseRTL(line)
	case line[0] == 'b' && len(line) > 1:
		return parseCUL(line[1:])
	}
	if i := bytes.IndexByte(line, '='); i >= 0 {
		line = line[i+1:]
	}
	frame, err := unhex(line)
	if err != nil {
		return Reception{}, err
	}
	if len(frame) > 0 && frame[0] == imstStart {
		if rec, n, err := parseIMST(frame); err == nil && n == len(frame) {
			return rec, nil
		}
	}
	return Reception{Frame: frame, Receiver: "hex"}, nil
}

// parseRTL reads a line of rtl-wmbus:
//
//	mode;CRC right;3-of-6 right;time;RSSI;RSSI;ID;0x telegram without CRC
func parseRTL(line []byte) (rec Reception, err error) {
	fields := bytes.Split(line, []byte(";"))
	if len(fields) < 8 {
		return rec, fmt.Errorf("wmbus: rtl-wmbus line of %d fields, want 8", len(fields))
	}
	rec = Reception{Receiver: "rtl-wmbus", Time: string(fields[3])}
	if string(fields[1]) != "1" {
		return rec, fmt.Errorf("wmbus: rtl-wmbus line: %w", ErrCRC)
	}
	rec.Frame, err = unhex(bytes.TrimPrefix(fields[7], []byte("0x")))
	return rec, err
}

// parseCUL reads what follows the b of a CUL: a frame with its CRCs, of format B
// behind a Y, and the signal strength.
func parseCUL(text []byte) (rec Reception, err error) {
	rec.Receiver = "cul"
	format := FormatA
	if text[0] == 'Y' {
		format, text = FormatB, text[1:]
	}
	raw, err := unhex(text)
	if err != nil {
		return rec, err
	}
	f, n, err := Parse(raw, format)
	if err != nil {
		return rec, err
	}
	if len(raw) == n+1 {
		rec.RSSI = rssiCC(raw[n])
	}
	rec.Frame, err = f.Append(nil, Bare)
	return rec, err
}

// unhex reads hexadecimal digits.
func unhex(text []byte) ([]byte, error) {
	digits := make([]byte, 0, len(text))
	for _, c := range text {
		switch c {
		case ' ', '\t', '_', '|', '\r':
		default:
			digits = append(digits, c)
		}
	}
	out := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(out, digits); err != nil {
		return nil, fmt.Errorf("wmbus: line is no telegram: %w", err)
	}
	return out, nil
}

package wmbus

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/internal/crc16"
	"github.com/openusm/meter/internal/wire"
	"github.com/openusm/meter/mbus"
)

// Reception is a telegram as a receiver handed it over.
type Reception struct {
	Frame    []byte // the link layer, from L on; [Detect] tells its format
	Receiver string // "im871a", "amb", "cul", "rtl-wmbus", "hex" or "raw"
	Time     []byte // when it was received, as the receiver wrote it
	RSSI     int    // signal strength in dBm, 0 if not told
}

// checked reports whether the receiver is one that checks the CRCs itself and
// takes them away.
func (r Reception) checked() bool {
	switch r.Receiver {
	case "im871a", "amb", "cul", "rtl-wmbus":
		return true
	}
	return false
}

// Stats counts what a receiver of octets met.
type Stats = wire.Stats

// Receiver splits what a receiver sends into telegrams, and recognises which
// kind of receiver it is: IMST iM871A, Amber AMB8465 (Würth Metis) with or
// without command mode, a CUL, rtl-wmbus, or lines of hexadecimal digits. Once
// Next has asked for more it keeps at most 4 KiB. The zero Receiver is ready for
// use. It is not safe for concurrent use.
type Receiver struct {
	// AmberRSSI says that an AMB8465 appends the signal strength to each
	// telegram, which cannot be seen from the telegram. False: it does not.
	AmberRSSI bool
	// Capture says that the octets may be telegrams one behind the other, from their
	// L field on and in any format that [Detect] tells. False: what a receiver sends.
	Capture bool

	buf   wire.Buffer
	frame []byte // of the last Reception
	stats Stats
}

// Feed adds a copy of what the receiver sent.
func (r *Receiver) Feed(b []byte) { r.buf.Feed(b) }

// Stats returns what was seen so far.
func (r *Receiver) Stats() Stats { return r.stats }

// Pending returns the octets in which Next found no end of a telegram yet. It is
// valid until the next Feed.
func (r *Receiver) Pending() []byte { return r.buf.Rest() }

// maxPending bounds what is kept of a telegram of which the end does not come.
const maxPending = 4096

// Next returns the next telegram, which is valid until the next Feed or Next. An
// error that wraps [io.ErrUnexpectedEOF] asks for more octets; any other tells
// of a message that was damaged and skipped.
func (r *Receiver) Next() (Reception, error) {
	for {
		rest := r.buf.Rest()
		if len(rest) == 0 {
			return Reception{}, errMore
		}
		rec, n, err := r.next(rest)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF) && len(rest) < maxPending:
			return Reception{}, errMore
		case err == errNoise || errors.Is(err, io.ErrUnexpectedEOF):
			r.skip(1)
			continue
		case err != nil:
			if errors.Is(err, ErrCRC) {
				r.stats.ChecksumErrors++
			} else {
				r.stats.Malformed++
			}
			r.skip(max(n, 1))
			return Reception{}, err
		}
		r.buf.Take(n)
		if rec.Frame != nil {
			r.stats.Messages++
			return rec, nil
		}
	}
}

var (
	errMore  = &ParseError{Field: "L", Err: io.ErrUnexpectedEOF}
	errNoise = errors.New("wmbus: no telegram begins here")
)

func (r *Receiver) skip(n int) {
	r.buf.Take(n)
	r.stats.Skipped += uint64(n)
}

// Flush returns what is left when the receiver was closed: a last line without
// its end.
func (r *Receiver) Flush() (Reception, error) {
	if rest := r.buf.Rest(); len(rest) > 0 && isText(rest[0]) {
		r.buf.Feed([]byte{'\n'})
	}
	rec, err := r.Next()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		r.buf.Reset()
	}
	return rec, err
}

const (
	imstStart  = 0xA5
	amberStart = 0xFF
)

// next reads one message at the start of b: a telegram, or something that is none.
func (r *Receiver) next(b []byte) (rec Reception, n int, err error) {
	if r.Capture {
		if _, format, n, err := Detect(b); err == nil && (format != Bare || n == len(b)) {
			return Reception{Frame: b[:n], Receiver: "raw"}, n, nil
		} else if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && b[0] != imstStart && b[0] != amberStart && !isText(b[0]) {
			return Reception{}, len(b), err
		}
	}
	switch {
	case b[0] == imstStart && !ambiguous(b):
		rec, n, err = parseIMST(r.frame[:0], b)
	case b[0] == amberStart && !ambiguous(b):
		rec, n, err = parseAmber(r.frame[:0], b, r.AmberRSSI)
	case b[0] == '\r' || b[0] == '\n':
		rec, n, err = r.lineEnd(b)
	case isText(b[0]):
		rec, n, err = r.text(b)
	default:
		rec, n, err = parseRaw(r.frame[:0], b, r.AmberRSSI)
	}
	if rec.Frame != nil {
		r.frame = rec.Frame
	}
	return rec, n, err
}

// lineEnd skips the end of a line, unless it is the length of a bare frame.
func (r *Receiver) lineEnd(b []byte) (rec Reception, n int, err error) {
	if !begins(b) {
		return Reception{}, 1, nil
	}
	n = 1 + int(b[0])
	if len(b) < n {
		return Reception{}, 0, io.ErrUnexpectedEOF
	}
	for _, c := range b[1:n] {
		if !isText(c) {
			return parseRaw(r.frame[:0], b, r.AmberRSSI)
		}
	}
	return Reception{}, 1, nil
}

// text reads a line at the start of b, or the telegram of a receiver without
// command mode whose length and control field are letters: a line is text up to
// its end.
func (r *Receiver) text(b []byte) (rec Reception, n int, err error) {
	end := 0
	for end < len(b) && isText(b[end]) {
		end++
	}
	if end < len(b) && b[end] == '\r' {
		end++
	}
	if end == len(b) {
		return Reception{}, 0, io.ErrUnexpectedEOF
	}
	raw := begins(b)
	if b[end] == '\n' {
		rec, err = parseLine(r.frame[:0], b[:end])
		if err == nil || !raw {
			return rec, end + 1, err
		}
	}
	if raw {
		return parseRaw(r.frame[:0], b, r.AmberRSSI)
	}
	return Reception{}, 0, errNoise
}

// begins reports whether b begins as a bare frame does, as far as it goes.
func begins(b []byte) bool {
	return b[0] >= headerLen && (len(b) < 2 || C(b[1]).known()) && (len(b) < headerLen || plausible(b))
}

// ambiguous reports whether what looks like a message of a receiver is the
// frame of another one: no endpoint and no command of theirs has the number of a
// control field that meters send.
func ambiguous(b []byte) bool { return len(b) > 1 && begins(b) }

// plausible reports whether L, C and address, of which all are there, are those
// of a meter: three letters, and a control field that meters send.
func plausible(b []byte) bool {
	m := mbus.LinkAddress([8]byte(b[2:])).Manufacturer
	return b[0] >= headerLen && C(b[1]).known() && m.Letters()
}

func isText(c byte) bool { return c >= 0x20 && c < 0x7F || c == '\t' }

// parseIMST reads a message of the host controller interface of the iM871A:
//
//	A5 | attachments(4 bits) endpoint(4 bits) | message | length | payload | [time(4)] [RSSI] [CRC(2)]
//
// A telegram is message 3 of endpoint 2; its payload begins with the C field.
func parseIMST(dst, b []byte) (rec Reception, n int, err error) {
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
			return rec, 1, errIMST
		}
	}
	if b[1]&0x0F != endpoint || b[2] != telegram || size == 0 {
		return rec, n, nil
	}
	rec.Receiver = "im871a"
	rec.Frame = append(append(dst, b[3]), b[headerLen:headerLen+size]...)
	if b[1]&hasRSSI != 0 {
		rec.RSSI = (int(b[rssi])*80 - 19000) / 150 // −100 − 4000/150 + 80/150 × RSSI, of the host controller interface
	}
	return rec, n, nil
}

var (
	errIMST  = fmt.Errorf("wmbus: iM871A message: %w", ErrCRC)
	errAmber = fmt.Errorf("wmbus: AMB8465 message: %w", ErrCRC)
)

// parseAmber reads a message of the command mode of the AMB8465:
//
//	FF | command | length | payload | exclusive or of all
//
// A telegram is command 3; its payload begins with the C field.
func parseAmber(dst, b []byte, hasRSSI bool) (rec Reception, n int, err error) {
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
		return rec, 1, errAmber
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
	rec.Frame = append(append(dst, byte(len(payload))), payload...)
	return rec, n, nil
}

// parseRaw reads a bare frame as the AMB8465 sends it without command mode; its
// L counts the signal strength where that is appended.
func parseRaw(dst, b []byte, hasRSSI bool) (rec Reception, n int, err error) {
	if !begins(b) {
		return rec, 0, errNoise
	}
	if n = 1 + int(b[0]); len(b) < n {
		return rec, 0, io.ErrUnexpectedEOF
	}
	rec = Reception{Frame: append(dst, b[:n]...), Receiver: "raw"}
	if hasRSSI && n > headerLen+1 {
		rec.RSSI = rssiCC(b[n-1])
		rec.Frame = rec.Frame[:n-1]
		rec.Frame[0]--
	}
	return rec, n, nil
}

// known reports whether meters send such a control field.
func (c C) known() bool {
	switch c {
	case 0x44, 0x46, 0x47, 0x48, 0x08, 0x18, 0x28, 0x38:
		return true
	}
	return false
}

// rssiCC turns the octet of the CC1101 radio into dBm.
func rssiCC(raw byte) int { return int(int8(raw))/2 - 74 }

// ParseLine reads a telegram from a line of text: hexadecimal digits, which may
// have spaces, underscores and bars between them and a word with "=" before them;
// a line of rtl-wmbus; or one of a CUL, which begins with b.
func ParseLine(line []byte) (Reception, error) { return parseLine(nil, line) }

// parseLine is ParseLine with memory for the telegram.
func parseLine(dst, line []byte) (Reception, error) {
	line = bytes.TrimSpace(line)
	switch {
	case len(line) == 0:
		return Reception{}, nil
	case len(line) > 2 && bytes.IndexByte(line, ';') == 2:
		return parseRTL(dst, line)
	case line[0] == 'b' && len(line) > 1:
		return parseCUL(dst, line[1:])
	}
	if i := bytes.IndexByte(line, '='); i >= 0 {
		line = line[i+1:]
	}
	frame, err := appendUnhex(dst, line)
	if err != nil {
		return Reception{}, err
	}
	if len(frame) > 0 && frame[0] == imstStart {
		if rec, n, err := parseIMST(nil, frame); err == nil && n == len(frame) {
			return rec, nil
		}
	}
	return Reception{Frame: frame, Receiver: "hex"}, nil
}

// parseRTL reads a line of rtl-wmbus:
//
//	mode;CRC right;3-of-6 right;time;RSSI;RSSI;ID;0x telegram without CRC
func parseRTL(dst, line []byte) (rec Reception, err error) {
	var fields [8][]byte
	n := 0
	for more := true; more && n < len(fields); n++ {
		fields[n], line, more = bytes.Cut(line, []byte(";"))
	}
	if n < len(fields) {
		return rec, fmt.Errorf("wmbus: rtl-wmbus line of %d fields, want 8", n)
	}
	if string(fields[1]) != "1" {
		return rec, errRTL
	}
	frame, err := appendUnhex(dst, bytes.TrimPrefix(fields[7], []byte("0x")))
	if err != nil {
		return rec, err
	}
	return Reception{Frame: frame, Receiver: "rtl-wmbus", Time: fields[3]}, nil
}

var errRTL = fmt.Errorf("wmbus: rtl-wmbus line: %w", ErrCRC)

// parseCUL reads what follows the b of a CUL: a frame with its CRCs, of format B
// behind a Y, and the signal strength.
func parseCUL(dst, text []byte) (rec Reception, err error) {
	format := FormatA
	if text[0] == 'Y' {
		format, text = FormatB, text[1:]
	}
	raw, err := appendUnhex(nil, text)
	if err != nil {
		return rec, err
	}
	f, n, err := Parse(raw, format)
	if err != nil {
		return rec, err
	}
	rec.Receiver = "cul"
	if len(raw) == n+1 {
		rec.RSSI = rssiCC(raw[n])
	}
	rec.Frame, err = f.Append(dst, Bare)
	return rec, err
}

var errHex = errors.New("wmbus: line is no telegram: not hexadecimal")

// appendUnhex appends the octets of hexadecimal digits.
func appendUnhex(dst, text []byte) ([]byte, error) {
	high, half := byte(0), false
	for _, c := range text {
		d := c
		switch {
		case c == ' ' || c == '\t' || c == '_' || c == '|' || c == '\r':
			continue
		case c-'0' <= 9:
			d = c - '0'
		case c|0x20-'a' <= 5:
			d = c | 0x20 - 'a' + 10
		default:
			return dst, errHex
		}
		if half {
			dst = append(dst, high<<4|d)
		}
		high, half = d, !half
	}
	if half {
		return dst, errHex
	}
	return dst, nil
}

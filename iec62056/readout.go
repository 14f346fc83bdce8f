package iec62056

import (
	"bytes"
	"fmt"
	"io"
	"iter"

	"github.com/openusm/meter/iec62056/internal/field"
)

// The control characters of the protocol.
const (
	soh = 0x01
	stx = 0x02
	etx = 0x03
	eot = 0x04
	ack = 0x06
	nak = 0x15
)

// Readout is a data block: all that a meter sends in one go. It aliases the input.
type Readout struct {
	Identification Identification // zero where the block came without one
	Data           []byte         // the lines, without what frames them; see [Readout.DataSets]
	Framed         bool           // the block had STX, ETX and a block check character, which fitted

	offset    int  // of Data in the slice that was parsed
	checked   bool // it had the CRC of a customer port, which fitted
	unchecked bool // a block check character or a CRC belongs to it, and was not there
}

// ParseReadout reads one readout at the start of b, with or without the
// identification message before it. The block is either
//
//	STX lines ! CR LF ETX BCC
//
// or, as some meters send it in mode A and D and on their customer port,
//
//	lines ! CR LF
//
// in which case an identification must come first. The CRC that customer ports
// have behind that "!" is made sure of. Lines are not looked at:
// [Readout.DataSets] reports those that cannot be read.
func ParseReadout(b []byte) (r Readout, n int, err error) {
	if len(b) > 0 && b[0] == '/' {
		if r.Identification, n, err = ParseIdentification(b); err != nil {
			return Readout{}, 0, err
		}
	}
	at := n
	for at < len(b) && (b[at] == '\r' || b[at] == '\n') && n > 0 {
		at++
	}
	switch {
	case at == len(b):
		return Readout{}, 0, &ParseError{"data block", at, io.ErrUnexpectedEOF}
	case b[at] == stx:
		n, err = r.parseFramed(b, at+1)
	case n > 0 && b[at] >= ' ':
		n, err = r.parseBare(b, at)
	default:
		err = &ParseError{"data block", at, errStart}
	}
	if err != nil {
		return Readout{}, 0, err
	}
	return r, n, nil
}

// parseFramed reads what follows STX.
func (r *Readout) parseFramed(b []byte, start int) (n int, err error) {
	size := bytes.IndexByte(b[start:], etx)
	if size < 0 || start+size+1 >= len(b) {
		return 0, &ParseError{"data block", len(b), io.ErrUnexpectedEOF}
	}
	end := start + size
	if got, want := b[end+1]&0x7F, BlockCheck(b[start:end+1]); got != want {
		return 0, &ParseError{"BCC", end + 1, fmt.Errorf("%w: 0x%02x, want 0x%02x", ErrChecksum, got, want)}
	}
	if i := bytes.IndexByte(b[start:end], stx); i >= 0 {
		return 0, &ParseError{"data block", start + i, errRestart} // what ended is another block
	}
	r.Framed = true
	r.setData(b, start, dataEnd(b, start, end))
	return end + 2, nil
}

// parseBare reads lines up to and with the one that is "!".
func (r *Readout) parseBare(b []byte, start int) (n int, err error) {
	end := bangAt(b, start, len(b))
	if end < 0 {
		return 0, &ParseError{"data block", len(b), io.ErrUnexpectedEOF}
	}
	n = end + 1
	for n < len(b) && b[n] != '\n' {
		n++
	}
	if n == len(b) {
		return 0, &ParseError{"end", n, io.ErrUnexpectedEOF}
	}
	if r.checkCRC(b[:end+1], b[end+1:n]); r.unchecked {
		return 0, &ParseError{"CRC", end + 1, ErrChecksum}
	}
	r.setData(b, start, end)
	return n + 1, nil
}

// checkCRC makes sure of what stands behind the "!" that ends b, where that is the
// CRC of a customer port.
func (r *Readout) checkCRC(b, behind []byte) {
	if behind = bytes.TrimSuffix(behind, []byte("\r")); !field.IsCRC(behind) {
		return
	}
	var crc uint16
	for _, c := range behind {
		digit, _ := field.HexDigit(c)
		crc = crc<<4 | uint16(digit)
	}
	_, r.checked = field.CheckCRC(b, crc)
	r.unchecked = r.unchecked || !r.checked
}

// dataEnd returns where the data of the block from start to end stop: at the
// "!", or at end where there is none (programming mode).
func dataEnd(b []byte, start, end int) int {
	if i := bangAt(b, start, end); i >= 0 {
		return i
	}
	return end
}

// bangAt finds the first "!" between start and end that begins a line or, as heat
// meters have it, ends one behind a value; or returns -1.
func bangAt(b []byte, start, end int) int {
	for i := start; ; i++ {
		next := bytes.IndexByte(b[i:end], '!')
		if next < 0 {
			return -1
		}
		i += next
		if i == start || b[i-1] == '\n' || field.EndsLine(b[:end], i) {
			return i
		}
	}
}

// setData stores b[start:end] without the line ends around it.
func (r *Readout) setData(b []byte, start, end int) {
	for start < end && (b[start] == '\r' || b[start] == '\n') {
		start++
	}
	for end > start && (b[end-1] == '\r' || b[end-1] == '\n') {
		end--
	}
	r.Data, r.offset = b[start:end:end], start
}

// Salvage reads what a capture holds of a readout of which parts are missing:
// the beginning, the end, the block check character. It is for files and never
// for a line, where more may follow. Framed stays false, and the readings of a
// block that had a frame or a CRC are questionable.
func Salvage(b []byte) Readout {
	var r Readout
	head, start := 0, 0
	if i := bytes.IndexByte(b, '/'); i >= 0 {
		if id, n, err := ParseIdentification(b[i:]); err == nil {
			r.Identification, head, start = id, i, i+n
		}
	}
	if i := bytes.IndexByte(b[start:], stx); i >= 0 {
		start += i + 1
		r.unchecked = true
	}
	end := len(b)
	if i := bytes.IndexByte(b[start:], etx); i >= 0 {
		end = start + i
		r.unchecked = true
	}
	bang := dataEnd(b, start, end)
	if bang < end {
		behind, _, _ := bytes.Cut(b[bang+1:end], []byte("\n"))
		r.checkCRC(b[head:bang+1], behind)
	}
	r.setData(b, start, bang)
	return r
}

// AppendBinary appends the readout with its identification, framed as it was. It never fails.
func (r Readout) AppendBinary(dst []byte) ([]byte, error) {
	if !r.Identification.IsZero() {
		dst, _ = r.Identification.AppendBinary(dst)
	}
	start := len(dst) + 1
	if r.Framed {
		dst = append(dst, stx)
	} else {
		dst = append(dst, '\r', '\n')
	}
	if len(r.Data) > 0 {
		dst = append(append(dst, r.Data...), '\r', '\n')
	}
	dst = append(dst, '!', '\r', '\n')
	if r.Framed {
		dst = append(dst, etx)
		dst = append(dst, BlockCheck(dst[start:]))
	}
	return dst, nil
}

// DataSets reads the lines. A bad line gives an error with its offset in the
// slice that was parsed, and leaves the others.
func (r Readout) DataSets() iter.Seq2[DataSet, error] {
	return func(yield func(DataSet, error) bool) {
		s := newScanner(r.Data, r.offset)
		for {
			d, err := s.next()
			if err == io.EOF || !yield(d, err) {
				return
			}
		}
	}
}

// Package p1 reads the telegrams that smart meters push to their customer port:
// DSMR P1 2.2 to 5.x and its relatives in Belgium, Luxembourg, Austria, Sweden
// and Hungary.
//
//	/XXX5 ident CR LF
//	CR LF
//	A-B:C.D.E(value*unit) CR LF …
//	!CRC CR LF
//
// The check covers everything from "/" to "!", and is missing before version 4.
// It was made over lines that end in CR LF; telegrams that were copied as text
// often come with LF alone, and are checked as they were sent.
// Meters that encrypt send a DLMS general-glo-ciphering APDU instead, whose
// plaintext is such a telegram: [ParseEncrypted] takes it apart, deciphering is
// not done here.
package p1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/internal/crc16"
)

// maxTelegram bounds what a telegram may be; the largest known have 4 KB.
const maxTelegram = 1 << 16

// Telegram is one push of a meter. It aliases the input.
type Telegram struct {
	Identification iec62056.Identification
	Data           []byte // the lines, without what frames them; see [Telegram.DataSets]
	CRC            uint16 // as transmitted
	Checked        bool   // there was a CRC, and it fitted

	offset   int  // of Data in the slice that was parsed
	end      int  // of the "!" there
	salvaged bool // its end or its CRC are missing
}

// Parse reads the telegram at the start of b. The CRC may be in lower case and
// without leading zeros. Lines are not looked at: [Telegram.DataSets] reports
// those that cannot be read.
func Parse(b []byte) (t Telegram, n int, err error) {
	if len(b) > 0 && b[0] == tagGloCiphering {
		return Telegram{}, 0, &ParseError{"telegram", 0, ErrEncrypted}
	}
	head, end, err := t.frame(b)
	if err != nil {
		return Telegram{}, 0, err
	}
	n, err = t.trailer(b, end)
	if err == nil && t.Checked {
		if crc, fits := field.CheckCRC(b[:end+1], t.CRC); !fits {
			err = &ParseError{"CRC", end + 1, fmt.Errorf("%w: %04X, want %04X", ErrChecksum, t.CRC, crc)}
		}
	}
	if err != nil {
		return Telegram{}, 0, err
	}
	t.setData(b, head, end)
	t.end = end
	return t, n, nil
}

// frame reads the identification and finds the "!".
func (t *Telegram) frame(b []byte) (head, end int, err error) {
	if t.Identification, head, err = iec62056.ParseIdentification(b); err != nil {
		var pe *iec62056.ParseError
		if errors.As(err, &pe) {
			err = &ParseError{pe.Field, pe.Offset, pe.Err}
		}
		return 0, 0, err
	}
	data := head
	for data < len(b) && (b[data] == '\r' || b[data] == '\n') {
		data++
	}
	end = findEnd(b, head)
	switch {
	case data < len(b) && b[data] == 0x02:
		return 0, 0, &ParseError{"telegram", data, errSTX}
	case end < 0 && len(b) > maxTelegram:
		return 0, 0, &ParseError{"telegram", maxTelegram, errTooLong}
	case end < 0:
		return 0, 0, &ParseError{"telegram", len(b), io.ErrUnexpectedEOF}
	}
	return head, end, nil
}

// findEnd returns the offset of the "!" that begins a line, or -1.
func findEnd(b []byte, from int) int {
	for {
		i := bytes.IndexByte(b[from:], '!')
		if i < 0 {
			return -1
		}
		from += i
		if c := b[from-1]; c == '\n' || c == '\r' {
			return from
		}
		from++
	}
}

// trailer reads the CRC behind the "!" at end.
func (t *Telegram) trailer(b []byte, end int) (n int, err error) {
	digits, i := 0, end+1
	for ; i < len(b) && digits < 4; i, digits = i+1, digits+1 {
		d, ok := field.HexDigit(b[i])
		if !ok {
			break
		}
		t.CRC = t.CRC<<4 | uint16(d)
	}
	t.Checked = digits > 0
	switch {
	case i == len(b) && digits < 4, i+1 == len(b) && b[i] == '\r' && digits < 4:
		return 0, &ParseError{"CRC", len(b), io.ErrUnexpectedEOF}
	case i == len(b):
		return i, nil
	case b[i] == '\n':
		return i + 1, nil
	case b[i] != '\r':
		return 0, &ParseError{"CRC", i, fmt.Errorf("0x%02x, want a hexadecimal digit or CR LF", b[i])}
	case i+1 < len(b) && b[i+1] == '\n':
		return i + 2, nil
	}
	return i + 1, nil
}

func (t *Telegram) setData(b []byte, start, end int) {
	for start < end && (b[start] == '\r' || b[start] == '\n') {
		start++
	}
	for end > start && (b[end-1] == '\r' || b[end-1] == '\n') {
		end--
	}
	t.Data, t.offset = b[start:end:end], start
}

// Salvage reads what b holds of a telegram whose CRC is wrong or whose end is
// missing. What it returns may be wrong too: Checked is false, and all readings
// are questionable.
func Salvage(b []byte) (Telegram, error) {
	var t Telegram
	start := bytes.IndexByte(b, '/')
	if start < 0 {
		return t, &ParseError{"telegram", 0, errStart}
	}
	id, head, err := iec62056.ParseIdentification(b[start:])
	if err != nil {
		return t, err
	}
	end := findEnd(b, start+head)
	if end < 0 {
		end = len(b)
	}
	t.Identification, t.salvaged = id, true
	t.setData(b, start+head, end)
	return t, nil
}

// AppendBinary appends the telegram, with a CRC of its own where it had one. It never fails.
func (t Telegram) AppendBinary(dst []byte) ([]byte, error) {
	start := len(dst)
	dst, _ = t.Identification.AppendBinary(dst)
	dst = append(dst, '\r', '\n')
	if len(t.Data) > 0 {
		dst = append(append(dst, t.Data...), '\r', '\n')
	}
	dst = append(dst, '!')
	if t.Checked {
		crc := crc16.ARC(dst[start:])
		for shift := 12; shift >= 0; shift -= 4 {
			dst = append(dst, "0123456789ABCDEF"[crc>>shift&0xF])
		}
	}
	return append(dst, '\r', '\n'), nil
}

// DataSets reads the lines. A bad line gives an error with its offset in the
// slice that was parsed, and leaves the others.
func (t Telegram) DataSets() iter.Seq2[iec62056.DataSet, error] {
	return func(yield func(iec62056.DataSet, error) bool) {
		for d, err := range iec62056.DataSets(t.Data) {
			d.Offset += t.offset
			var pe *iec62056.ParseError
			if errors.As(err, &pe) {
				err = &ParseError{pe.Field, pe.Offset + t.offset, pe.Err}
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

// ParseError says which part of a telegram could not be read, and where.
type ParseError struct {
	Field  string
	Offset int   // octets from the start of the slice that was parsed
	Err    error // wraps io.ErrUnexpectedEOF where octets are missing
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("p1: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

// Errors on which callers branch.
var (
	ErrChecksum  = errors.New("wrong CRC")
	ErrEncrypted = errors.New("encrypted (general-glo-ciphering): decipher it first")
)

var (
	errTooLong = errors.New("longer than 65,536 octets")
	errStart   = errors.New("no identification")
	errSTX     = errors.New("STX: this is a readout of IEC 62056-21")
	errNoCRC   = errors.New("missing, although this version has one")
)

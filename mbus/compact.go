package mbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/openusm/meter/internal/crc16"
)

// Formats remembers, by their signature, the headers of records that a compact
// frame leaves out. It outlives programs where its implementation does.
type Formats interface {
	// Format returns the headers (DIB and VIB of each record in turn), nil where they are not known.
	Format(signature uint16) []byte
	// SetFormat keeps a copy of the headers.
	SetFormat(signature uint16, headers []byte)
}

// maxFormats is how many formats are kept in memory: many times those of all
// kinds of meters, and no more than strangers should make anyone keep.
const maxFormats = 1024

// MemoryFormats keeps formats in memory, the first 1,024 that come. It is safe
// for use by several goroutines. The zero value is empty.
type MemoryFormats struct {
	mu      sync.RWMutex
	headers map[uint16][]byte
	octets  []byte // of all headers
}

// Format returns the headers of a signature.
func (m *MemoryFormats) Format(signature uint16) []byte {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.headers[signature]
}

// SetFormat keeps the headers of a signature.
func (m *MemoryFormats) SetFormat(signature uint16, headers []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.headers == nil {
		m.headers = map[uint16][]byte{}
	}
	if _, known := m.headers[signature]; known || len(m.headers) < maxFormats {
		n := len(m.octets)
		m.octets = append(m.octets, headers...)
		m.headers[signature] = m.octets[n:len(m.octets):len(m.octets)]
	}
}

// Reset forgets all formats, and uses their memory again: what Format returned
// before is no longer valid.
func (m *MemoryFormats) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.headers)
	m.octets = m.octets[:0]
}

// ErrUnknownFormat reports a compact frame whose format was not yet seen: a
// full or a format frame of the meter teaches it.
var ErrUnknownFormat = errors.New("the format of this compact frame was not seen yet")

// ErrFormatMismatch reports a compact frame that another format made.
var ErrFormatMismatch = errors.New("the data do not fit the remembered format")

// Signature returns the signature of a format: the CRC of the headers of all records.
func Signature(headers []byte) uint16 { return crc16.EN13757(headers) }

// learn remembers the format of a full frame.
func (d *Decoder) learn(t *Telegram) {
	d.headers = d.headers[:0]
	for i := range t.Records {
		r := &t.Records[i]
		if r.Function >= ManufacturerData {
			continue
		}
		d.headers = append(d.headers, r.ID...)
	}
	if len(d.headers) == 0 {
		return
	}
	s := Signature(d.headers)
	if d.Formats.Format(s) == nil {
		d.Formats.SetFormat(s, d.headers)
	}
}

// format reads a format frame: length, signature and headers.
func (d *Decoder) format(b []byte, n int) error {
	p := b[n:]
	if len(p) < 3 || len(p) < 1+int(p[0]) {
		return &ParseError{Field: "format", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	if p[0] < 2 {
		return &ParseError{Field: "format length", Offset: n, Err: fmt.Errorf("%d, want at least 2", p[0])}
	}
	headers := p[3 : 1+int(p[0])]
	if s := binary.LittleEndian.Uint16(p[1:]); s != Signature(headers) {
		return &ParseError{Field: "format signature", Offset: n + 1, Err: fmt.Errorf("0x%04x, want 0x%04x", s, Signature(headers))}
	}
	if d.Formats != nil && d.Formats.Format(Signature(headers)) == nil {
		d.Formats.SetFormat(Signature(headers), headers) // the first that was seen stays
	}
	return nil
}

// compact rebuilds the full records of a compact frame: signature, CRC of the
// full records, data.
func (d *Decoder) compact(t *Telegram, b []byte, n int) error {
	p := b[n:]
	if len(p) < 4 {
		return &ParseError{Field: "compact frame", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	signature, sum := binary.LittleEndian.Uint16(p), binary.LittleEndian.Uint16(p[2:])
	headers := d.knownFormat(signature)
	if headers == nil {
		return &ParseError{Field: "format signature", Offset: n, Err: fmt.Errorf("0x%04x: %w", signature, ErrUnknownFormat)}
	}
	full, ok := d.rebuild(headers, p[4:])
	if !ok {
		return &ParseError{Field: "data", Offset: n + 4, Err: ErrFormatMismatch}
	}
	if crc := crc16.EN13757(full); crc != sum {
		return &ParseError{Field: "CRC of the full frame", Offset: n + 2, Err: fmt.Errorf("0x%04x, want 0x%04x: %w", sum, crc, ErrFormatMismatch)}
	}
	d.records, t.Broken = d.appendRecords(d.records[:0], full, 0)
	t.Records = d.records
	return nil
}

// knownFormat returns the headers of a signature, those that were seen first.
func (d *Decoder) knownFormat(signature uint16) []byte {
	if d.Formats != nil {
		if headers := d.Formats.Format(signature); headers != nil {
			return headers
		}
	}
	for i := range formatTable {
		if formatTable[i].signature == signature {
			return []byte(formatTable[i].headers)
		}
	}
	return nil
}

// rebuild joins headers and data to full records.
func (d *Decoder) rebuild(headers, data []byte) (full []byte, ok bool) {
	d.full = d.full[:0]
	for i := 0; i < len(headers); {
		j, known := d.headerEnd(headers, i, false)
		if !known {
			j, known = d.headerEnd(headers, i, true)
		}
		if !known {
			return nil, false
		}
		n := int(codeLen[headers[i]&0x0F])
		if headers[i]&0x0F == codeVariable {
			if len(data) == 0 {
				return nil, false
			}
			if n, ok = variableLen(data[0]); !ok {
				return nil, false
			}
			n++
		}
		if n > len(data) {
			return nil, false
		}
		d.full = append(append(d.full, headers[i:j]...), data[:n]...)
		data, i = data[n:], j
	}
	return append(d.full, data...), true
}

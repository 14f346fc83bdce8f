// Package goose reads and writes the messages of GOOSE (IEC 61850-8-1), as they
// stand behind the EtherType 0x88B8:
//
//	APPID(2) | length(2) | reserved(4) | goosePdu in BER
//
// The length counts from the APPID.
package goose

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/internal/ber"
)

// EtherType of GOOSE.
const EtherType = 0x88B8

const headerLen = 8

// Message is one GOOSE message.
type Message struct {
	AppID      uint16
	Reserved   [4]byte // the first bit marks a simulated message, too
	Block      string  // gocbRef, reference of the control block
	TTL        uint32  // timeAllowedtoLive, milliseconds
	DataSet    string
	ID         string // goID, "" where it was left out
	Time       iec61850.Timestamp
	State      uint32 // stNum
	Sequence   uint32 // sqNum
	Simulation bool
	ConfRev    uint32
	NeedsCom   bool // ndsCom
	Data       []iec61850.Value
}

// Parse reads the message at the start of b and returns how many octets it took.
// Input that is only too short gives an error that wraps [io.ErrUnexpectedEOF].
func Parse(b []byte) (m Message, n int, err error) {
	if len(b) < headerLen {
		return Message{}, 0, &ParseError{"header", len(b), io.ErrUnexpectedEOF}
	}
	n = int(binary.BigEndian.Uint16(b[2:]))
	if n < headerLen+2 {
		return Message{}, 0, &ParseError{"length", 2, fmt.Errorf("%d, want at least %d", n, headerLen+2)}
	}
	if len(b) < n {
		return Message{}, 0, &ParseError{"PDU", len(b), io.ErrUnexpectedEOF}
	}
	m.AppID, m.Reserved = binary.BigEndian.Uint16(b), [4]byte(b[4:8])
	if err := m.parse(b[headerLen:n]); err != nil {
		var be *ber.Error
		var pe *mms.ParseError
		switch {
		case errors.As(err, &be):
			err = &ParseError{be.Field, headerLen + be.Offset, whole(be.Err)}
		case errors.As(err, &pe):
			err = &ParseError{pe.Field, headerLen + pe.Offset, whole(pe.Err)}
		}
		return Message{}, 0, err
	}
	return m, n, nil
}

// ErrLength reports an element that is longer than what holds it.
var ErrLength = errors.New("longer than the message")

// whole keeps an element that is cut off within a complete message from looking like a message that is too short.
func whole(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrLength
	}
	return err
}

func (m *Message) parse(b []byte) error {
	r := ber.NewReader(b)
	pdu, err := r.Want(0x61, "goosePdu")
	if err != nil {
		return err
	}
	entries := uint32(0)
	r = pdu.Reader()
	for r.More() {
		e, err := r.Next("field")
		if err != nil {
			return err
		}
		switch e.Tag {
		case 0x80:
			m.Block = string(e.Contents)
		case 0x81:
			m.TTL, err = e.Uint32("timeAllowedtoLive")
		case 0x82:
			m.DataSet = string(e.Contents)
		case 0x83:
			m.ID = string(e.Contents)
		case 0x84:
			if len(e.Contents) != 8 {
				return &ber.Error{Field: "t", Offset: e.Offset, Err: ber.ErrLength}
			}
			m.Time = iec61850.ParseUTCTime([8]byte(e.Contents)).Time()
		case 0x85:
			m.State, err = e.Uint32("stNum")
		case 0x86:
			m.Sequence, err = e.Uint32("sqNum")
		case 0x87:
			m.Simulation, err = e.Bool("simulation")
		case 0x88:
			m.ConfRev, err = e.Uint32("confRev")
		case 0x89:
			m.NeedsCom, err = e.Bool("ndsCom")
		case 0x8A:
			entries, err = e.Uint32("numDatSetEntries")
		case 0xAB:
			err = m.parseData(e)
		}
		if err != nil {
			return err
		}
	}
	if int64(entries) != int64(len(m.Data)) {
		return &ber.Error{Field: "numDatSetEntries", Offset: r.Offset(), Err: fmt.Errorf("%d, there are %d", entries, len(m.Data))}
	}
	return nil
}

func (m *Message) parseData(e ber.Element) error {
	m.Data = nil
	for at := 0; at < len(e.Contents); {
		v, n, err := mms.ParseData(e.Contents[at:])
		if err != nil {
			var pe *mms.ParseError
			if errors.As(err, &pe) {
				return &ber.Error{Field: pe.Field, Offset: e.Offset + at + pe.Offset, Err: pe.Err}
			}
			return err
		}
		m.Data = append(m.Data, v)
		at += n
	}
	return nil
}

// AppendBinary appends the message to dst. On error dst is returned unchanged.
func (m Message) AppendBinary(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, m.AppID)
	dst = append(append(dst, 0, 0), m.Reserved[:]...)
	dst, pdu := ber.Open(dst, 0x61)
	dst = ber.AppendUint(ber.Append(dst, 0x80, m.Block), 0x81, uint64(m.TTL))
	dst = ber.Append(dst, 0x82, m.DataSet)
	if m.ID != "" {
		dst = ber.Append(dst, 0x83, m.ID)
	}
	t := m.Time.Value().UTCTimeOctets()
	dst = ber.Append(dst, 0x84, t[:])
	dst = ber.AppendUint(ber.AppendUint(dst, 0x85, uint64(m.State)), 0x86, uint64(m.Sequence))
	dst = ber.AppendUint(ber.AppendBool(dst, 0x87, m.Simulation), 0x88, uint64(m.ConfRev))
	dst = ber.AppendUint(ber.AppendBool(dst, 0x89, m.NeedsCom), 0x8A, uint64(len(m.Data)))
	dst, data := ber.Open(dst, 0xAB)
	for _, v := range m.Data {
		dst = mms.AppendData(dst, v)
	}
	dst = ber.Close(ber.Close(dst, data), pdu)
	n := len(dst) - start
	if n > math.MaxUint16 {
		return dst[:start], fmt.Errorf("goose: message of %d octets: %w", n, ErrTooLong)
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16(n))
	return dst, nil
}

// ErrTooLong reports a message that the length field cannot hold.
var ErrTooLong = errors.New("longer than 65,535 octets")

// ParseError says which field of a message could not be read, and where.
type ParseError struct {
	Field  string
	Offset int // octets from the start of the slice given to Parse
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("goose: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

// Package modbus is a driver that a program brings along: meters that speak Modbus
// RTU on a serial line or Modbus TCP, described by a table of registers.
package modbus

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/openusm/meter"
	"github.com/openusm/meter/obis"
)

// Protocol is the name of the driver.
const Protocol meter.Protocol = "modbus"

// register is a row of the table: what lies where.
type register struct {
	function byte // 3 holding, 4 input registers
	address  uint16
	kind     string // u16, s16, u32, s32 or f32
	exponent int8
	unit     obis.Unit
	code     obis.Code
}

// New returns a driver for the meters whose registers a table in CSV describes:
// function, address, type (u16, s16, u32, s32, f32), exponent of ten, unit, OBIS code.
func New(table []byte) (meter.Driver, error) {
	rows := csv.NewReader(bytes.NewReader(table))
	rows.Comment, rows.FieldsPerRecord = '#', 6
	list, err := rows.ReadAll()
	if err != nil {
		return meter.Driver{}, fmt.Errorf("modbus: table: %w", err)
	}
	var registers []register
	for i, row := range list {
		function, err1 := strconv.ParseUint(row[0], 0, 8)
		address, err2 := strconv.ParseUint(row[1], 0, 16)
		exponent, err3 := strconv.ParseInt(row[3], 0, 8)
		unit, scale, known := obis.ParseUnit([]byte(row[4]))
		code, err4 := obis.ParseCode(row[5])
		err := errors.Join(err1, err2, err3, err4)
		if widths[row[2]] == 0 || !known && row[4] != "" || function != 3 && function != 4 || err != nil {
			return meter.Driver{}, fmt.Errorf("modbus: table: row %d: %q: %w", i+1, row, cmp.Or(err, errRow))
		}
		registers = append(registers, register{byte(function), uint16(address), row[2], int8(exponent) + scale, unit, code})
	}
	return meter.Driver{Protocol: Protocol, Dial: func(ctx context.Context, t meter.Target, cfg *meter.Config) (meter.Session, error) {
		return dial(ctx, t, cfg, registers)
	}}, nil
}

var errRow = errors.New("no such function, type or unit")

// widths are how many registers each type takes.
var widths = map[string]uint16{"u16": 1, "s16": 1, "u32": 2, "s32": 2, "f32": 2}

// session is a conversation with one unit.
type session struct {
	none
	conn      io.ReadWriteCloser
	cfg       *meter.Config
	tcp       bool
	unit      byte
	number    uint16 // of the transaction
	registers []register
}

func dial(ctx context.Context, t meter.Target, cfg *meter.Config, registers []register) (meter.Session, error) {
	unit, err := strconv.ParseUint(cmp.Or(cfg.Address, "1"), 10, 8)
	if err != nil || unit == 0 || unit > 247 {
		return nil, fmt.Errorf("modbus: unit %q, want 1 to 247", cfg.Address)
	}
	conn, err := cfg.Connect(ctx, t, 9600, "8N1")
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, cfg: cfg, tcp: t.Scheme == "tcp", unit: byte(unit), registers: registers}, nil
}

// Read reads the registers of the table. One that the meter refuses loses no other.
func (s *session) Read(ctx context.Context, patterns ...obis.Pattern) (*meter.Result, error) {
	r := &meter.Result{Protocol: Protocol, Meter: obis.Meter{Medium: obis.Electricity}, Clock: s.cfg.Clock}
	var failed error
	for _, at := range s.registers {
		if len(patterns) > 0 && !slices.ContainsFunc(patterns, func(p obis.Pattern) bool { return p.Match(at.code) }) {
			continue
		}
		value, err := s.value(ctx, at)
		switch {
		case err == nil:
			r.Readings = append(r.Readings, obis.Reading{Code: at.code, Rule: obis.RuleDeclared, Unit: at.unit, Value: value})
		case errors.Is(err, meter.ErrRefused):
			failed = errors.Join(failed, fmt.Errorf("%v: %w", at.code, err))
		default:
			return nil, err
		}
	}
	if len(r.Readings) == 0 {
		return nil, cmp.Or(failed, fmt.Errorf("modbus: %w: no register of the table matches", meter.ErrNotSupported))
	} else if failed != nil {
		failed = fmt.Errorf("%w: %w", meter.ErrPartial, failed)
	}
	return r, failed
}

// value reads one value.
func (s *session) value(ctx context.Context, at register) (v obis.Value, err error) {
	n := widths[at.kind]
	request := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{s.unit, at.function}, at.address), n)
	b, err := s.exchange(ctx, request, int(n)*2)
	if err != nil {
		return v, err
	}
	var raw uint32
	for _, c := range b {
		raw = raw<<8 | uint32(c)
	}
	switch at.kind {
	case "f32":
		return obis.Float32(raw, at.exponent), nil
	case "s16":
		return obis.Int(int64(int16(raw)), at.exponent), nil
	case "s32":
		return obis.Int(int64(int32(raw)), at.exponent), nil
	}
	return obis.Int(int64(raw), at.exponent), nil
}

// exchange sends a request, and returns the n octets of registers that the answer has.
func (s *session) exchange(ctx context.Context, request []byte, n int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(s.cfg.Timeout, time.Second))
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = s.conn.Close() })() // a late answer must not be taken for the next
	head, tail := 0, 2
	if s.tcp {
		s.number++
		head, tail = 6, 0
		request = append(binary.BigEndian.AppendUint16(nil, s.number), append([]byte{0, 0, 0, byte(len(request))}, request...)...)
	} else {
		request = binary.LittleEndian.AppendUint16(request, crc(request))
	}
	b := make([]byte, head+3+n+tail)
	length, err := s.conn.Write(request)
	if err == nil {
		length, err = io.ReadFull(s.conn, b[:head+3+tail]) // an exception is as short
	}
	if err == nil && b[head+1]&0x80 == 0 {
		_, err = io.ReadFull(s.conn, b[length:])
		length = len(b)
	}
	b = b[:length]
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("modbus: %w: %w", meter.ErrTimeout, err)
	case err != nil:
		return nil, fmt.Errorf("modbus: %w: %w", meter.ErrHungUp, err)
	case s.tcp && !bytes.Equal(b[:4], request[:4]), !s.tcp && crc(b) != 0, b[head] != s.unit, b[head+1]&0x7F != request[head+1]:
		return nil, fmt.Errorf("modbus: %w: the answer is damaged, or not that of the request", meter.ErrFrame)
	case b[head+1]&0x80 != 0:
		return nil, fmt.Errorf("modbus: %w: exception %d", meter.ErrRefused, b[head+2])
	case int(b[head+2]) != n:
		return nil, fmt.Errorf("modbus: %w: %d octets, want %d", meter.ErrFrame, b[head+2], n)
	}
	return b[head+3 : head+3+n], nil
}

// crc is that of Modbus over serial lines; over a message with its CRC it is 0.
func crc(b []byte) uint16 {
	sum := uint16(0xFFFF)
	for _, c := range b {
		sum ^= uint16(c)
		for range 8 {
			sum = sum>>1 ^ -(sum&1)&0xA001
		}
	}
	return sum
}

func (s *session) Protocol() meter.Protocol    { return Protocol }
func (s *session) Close(context.Context) error { return s.conn.Close() }

type none struct{}                                             // what registers do not have
func (none) Profiles(context.Context) ([]*obis.Profile, error) { return nil, meter.ErrNotSupported }
func (none) Profile(context.Context, obis.Code, time.Time, time.Time) (*meter.Result, error) {
	return nil, meter.ErrNotSupported
}
func (none) Events(context.Context, time.Time, time.Time) (*meter.Result, error) {
	return nil, meter.ErrNotSupported
}

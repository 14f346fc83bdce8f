package sml

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"

	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/obis"
)

// List is the body of a GetListResponse: the registers of a meter. Its slices
// alias the input.
type List struct {
	ClientID    []byte
	ServerID    []byte // the meter
	Name        []byte
	SensorTime  obis.Time // when the meter made the list
	GatewayTime obis.Time
	Signature   []byte // over the list, by the meter's private key

	entries []byte
	count   int
	base    int
}

// Entry is one register of a list.
type Entry struct {
	Name      []byte // six octets of OBIS code; other lengths occur
	Status    uint64
	HasStatus bool
	Time      obis.Time
	Unit      obis.Unit // UnitUnknown where it is absent
	Scaler    int8      // applied to Value already
	Value     obis.Value
	Signature []byte // over this value

	width int // octets of an integer, negative for a signed one
}

// List reads the body of a GetListResponse.
func (m Message) List() (l List, err error) {
	c := cursor{b: m.Body, base: m.offset, layer: "GetListResponse"}
	m.listHead(&c, &l)
	begin := c.off
	for range l.count {
		c.element("valList")
	}
	l.entries, l.base = m.Body[begin:c.off:c.off], m.offset+begin
	c.listTail(&l)
	if c.err != nil {
		return List{}, c.err
	}
	return l, nil
}

// listHead reads what comes before the registers, and how many there are.
func (m *Message) listHead(c *cursor, l *List) {
	if m.Tag != TagGetListRes {
		c.fail("messageBody", 0, fmt.Errorf("this is a %v", m.Tag))
	}
	c.list("body", 7)
	l.ClientID = c.octets("clientId")
	l.ServerID = c.octets("serverId")
	l.Name = c.octets("listName")
	l.SensorTime = c.time("actSensorTime")
	l.count = c.list("valList", -1)
}

func (c *cursor) listTail(l *List) {
	l.Signature = c.octets("listSignature")
	l.GatewayTime = c.time("actGatewayTime")
}

// Entries reads the registers one by one. One that cannot be read gives an
// error and leaves the others.
func (l List) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		c := cursor{b: l.entries, base: l.base, layer: "GetListResponse"}
		for range l.count {
			var e Entry
			err := c.entry(&e)
			if !yield(e, err) {
				return
			}
		}
	}
}

// entry reads the next register, and stands behind it even if it was wrong.
func (c *cursor) entry(e *Entry) (err error) {
	begin := c.off
	c.list("valListEntry", 7)
	e.Name = c.octets("objName")
	e.Status, e.HasStatus = c.unsigned("status")
	e.Time = c.time("valTime")
	if unit, ok := c.unsigned("unit"); ok {
		e.Unit = unitOf(unit)
	}
	e.Scaler = c.scaler()
	e.Value, e.width = c.value("value", e.Scaler)
	e.Signature = c.octets("valueSignature")
	if err = c.err; err != nil {
		c.err, c.off = nil, begin
		c.element("valListEntry")
	}
	return err
}

// AppendReadings appends one reading for each register; its Source is the
// register's number in the list. Octet strings of printable ASCII are text.
// Status words are kept as they are: their bits differ from meter to meter.
//
// Power that DZG DVS74 meters with serial numbers 42000000 to 48999999 and
// 55000000 to 58999999 send as a signed integer of two octets is unsigned, as
// the manufacturer has confirmed: they shorten 327.68 W to 655.35 W without
// regard to the sign bit.
//
// A register that cannot be read gives a reading without value, flagged
// invalid, where at least its name was there.
func (l List) AppendReadings(dst []obis.Reading) []obis.Reading {
	c := cursor{b: l.entries, base: l.base, layer: "GetListResponse"}
	return c.appendReadings(dst, &l, 0, new(identity))
}

// appendReadings appends the readings of the registers at the cursor; source is
// the number of the first. Who keeps what they say of the meter.
func (c *cursor) appendReadings(dst []obis.Reading, l *List, source uint32, who *identity) []obis.Reading {
	unsigned := unsignedPower(l.ServerID)
	if c.err == nil {
		who.listed = true
		if len(l.ServerID) > 0 {
			who.server, who.device = l.ServerID, nil
		}
	}
	for i := range l.count {
		if c.err != nil {
			return dst
		}
		var e Entry
		err := c.entry(&e)
		if err != nil && len(e.Name) == 0 {
			continue
		}
		dst = field.Extend(dst)
		r := &dst[len(dst)-1]
		r.RawID, r.Source = e.Name, source+uint32(i)
		if len(e.Name) == 6 {
			r.Code, r.Rule = obis.Code(e.Name), obis.RuleTransmitted
		}
		if err != nil {
			r.Quality.Flags = obis.Invalid
			continue
		}
		e.fill(r)
		who.note(&e)
		if unsigned && e.width == -2 && isPower(r.Code) {
			m, exp, _ := e.Value.Decimal()
			r.Value = obis.Int(m&0xFFFF, exp)
		}
	}
	return dst
}

// fill gives a reading what the register says.
func (e *Entry) fill(r *obis.Reading) {
	r.Value, r.Unit, r.Time = e.Value, e.Unit, e.Time
	if e.HasStatus {
		r.Quality.Raw, r.Quality.Kind = e.Status, obis.StatusVendor
	}
	if e.Value.IsNone() {
		r.Quality.Flags = obis.Missing
	}
	r.Doubt()
}

// isPower reports whether the code is the active power of all phases or one.
func isPower(c obis.Code) bool {
	return c[0] == 1 && c[3] == 7 && (c[2] == 16 || c[2] == 36 || c[2] == 56 || c[2] == 76)
}

// unsignedPower recognises the meters of [List.AppendReadings] by their server
// id: length 10, medium 1, "DZG", block 0, serial number.
func unsignedPower(id []byte) bool {
	if len(id) != 10 || string(id[:6]) != "\x0a\x01DZG\x00" {
		return false
	}
	serial := binary.BigEndian.Uint32(id[6:])
	return 42_000_000 <= serial && serial <= 48_999_999 || 55_000_000 <= serial && serial <= 58_999_999
}

// scaler reads a power of ten of one octet, which some meters send as unsigned.
func (c *cursor) scaler() int8 {
	at := c.off
	v, _ := c.signed("scaler")
	if v < math.MinInt8 || v > math.MaxUint8 {
		c.fail("scaler", at, fmt.Errorf("%d, want one octet", v))
		return 0
	}
	return int8(v)
}

// unitOf returns the unit of a DLMS number, which is one octet; one that is more names none.
func unitOf(number uint64) obis.Unit {
	if number > 0xFF {
		return obis.OtherUnit
	}
	return obis.Unit(number)
}

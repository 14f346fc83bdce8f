package sml

import (
	"bytes"
	"errors"

	"github.com/openusm/meter/obis"
)

// Content is all that a frame says.
type Content struct {
	Readings []obis.Reading // of all lists; Source counts the registers of the frame
	Meter    obis.Meter
	Messages []Tag // that could be read, in order
	Err      error // joins the errors of the messages that cannot be read, nil if there are none
}

// Decoder turns frames into what they say, again and again without allocating:
// every message is parsed, and its CRC computed, once. What it returns aliases
// the frame and is valid until its next use. The zero Decoder is ready. It is
// not safe for concurrent use.
type Decoder struct {
	content Content
	source  uint32
	seen    identity
	key     []byte // what the identity in content was made of
	scratch []byte
}

// identity is what the lists of a frame say of the meter.
type identity struct {
	listed                       bool
	server, manufacturer, device []byte
}

// Decode reads all that a frame says. A message that cannot be read spoils no
// other whose place is known; see [List.AppendReadings] for registers.
func (d *Decoder) Decode(f Frame) *Content {
	d.content.Readings = d.read(d.content.Readings[:0], f)
	d.identify()
	return &d.content
}

// read appends the readings and fills the rest of the content.
func (d *Decoder) read(dst []obis.Reading, f Frame) []obis.Reading {
	d.content.Messages, d.content.Err = d.content.Messages[:0], nil
	d.source, d.seen = 0, identity{}
	for at := 0; at < len(f.Data); {
		var n int
		dst, n = d.message(dst, f.Data[at:], at)
		if n == 0 {
			break // nothing more is found, as its length is not known
		}
		at += n
	}
	return dst
}

// message appends the readings of the message at the start of b and returns its
// length, or 0 where that is not known.
func (d *Decoder) message(dst []obis.Reading, b []byte, base int) ([]obis.Reading, int) {
	first, before := len(dst), d.seen
	var m Message
	c := cursor{b: b, base: base, layer: "message"}
	m.head(&c)
	if c.err != nil || m.Tag != TagGetListRes {
		m, n, err := parseMessage(b, base)
		return dst, d.outcome(m.Tag, b, n, err)
	}
	var l List
	c.layer = "GetListResponse"
	m.listHead(&c, &l)
	dst = c.appendReadings(dst, &l, d.source, &d.seen)
	c.listTail(&l)
	c.layer = "message"
	if c.err == nil {
		m.tail(&c)
	}
	if c.err == nil {
		d.source += uint32(l.count)
		d.content.Messages = append(d.content.Messages, m.Tag)
		return dst, c.off
	}
	// Either the list is broken or the message: what is wrong with the message counts.
	d.seen = before
	m, n, err := parseMessage(b, base)
	if err == nil {
		c.layer = "GetListResponse"
		err = c.err
	}
	return dst[:first], d.outcome(m.Tag, b, n, err)
}

// outcome notes what became of a message that holds no readings.
func (d *Decoder) outcome(tag Tag, b []byte, n int, err error) int {
	if n == 0 {
		n = skipMessage(b)
	} else {
		d.content.Messages = append(d.content.Messages, tag)
	}
	d.content.Err = errors.Join(d.content.Err, err)
	return n
}

// note keeps what a register says of the meter.
func (i *identity) note(e *Entry) {
	if len(e.Name) != 6 {
		return
	}
	switch obis.Code(e.Name) {
	case codeManufacturer, codeManufacturerFNN:
		if b, _ := e.Value.Bytes(); len(b) == 3 {
			i.manufacturer = b
		}
	case codeDevice, codeServer:
		if b, _ := e.Value.Bytes(); len(b) > 0 {
			i.device = b
		}
	}
}

// identify tells the meter, whose texts it makes only where they are others than
// in the frame before.
func (d *Decoder) identify() {
	s := &d.seen
	if !s.listed {
		d.content.Meter, d.key = obis.Meter{}, d.key[:0]
		return
	}
	key := d.scratch[:0]
	for _, part := range [...][]byte{s.server, s.manufacturer, s.device} {
		key = append(append(key, byte(len(part)), byte(len(part)>>8)), part...)
	}
	d.scratch = key
	if bytes.Equal(key, d.key) {
		return
	}
	d.key = append(d.key[:0], key...)
	m := obis.Meter{Medium: obis.Electricity}
	identify(&m, s.server)
	if len(s.manufacturer) > 0 {
		m.Manufacturer = string(s.manufacturer)
	}
	identify(&m, s.device)
	d.content.Meter = m
}

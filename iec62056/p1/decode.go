package p1

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/obis"
)

// Content is all that a telegram says.
type Content struct {
	Readings []obis.Reading
	Meter    obis.Meter
	Version  Version
	Events   []obis.Event    // the power failure log, see [Telegram.Events]
	Profiles []*obis.Profile // the monthly peaks, see [Telegram.Profiles]
	BadLines []ParseError    // the lines that cannot be read

	data  []byte
	lines []span
}

// span is where a data set stands in the data of its telegram.
type span struct{ start, end int }

// Line returns the octets of the data set with number i: the Source of a
// reading. They alias the telegram.
func (c *Content) Line(i uint32) []byte {
	s := c.lines[i]
	return c.data[s.start:s.end:s.end]
}

// Decoder turns telegrams into what they say, again and again without
// allocating. The zero Decoder is ready. It is not safe for concurrent use.
//
// What it returns aliases the telegram and is valid until its next use. Texts
// that telegrams carry as hexadecimal digits (equipment ids, messages) are
// decoded into memory of the Decoder.
type Decoder struct {
	content Content
	text    []byte
	params  []obis.Reading // of the events
	spare   []*obis.Profile
	seen    seen
	key     []byte // what the identity in content was made of
	scratch []byte
}

// seen is what the lines say of meter and version.
type seen struct {
	id, dsmr, emucs                     []byte
	logical, total, tariffs, electrical bool
	season                              bool // the clock says whether it is summer
}

// Decode reads all that a telegram says, line by line. A line that cannot be
// read gives a reading without value, flagged invalid, where at least its id was
// there. Where a CRC belongs to the telegram and was not checked nothing of it is
// good: readings, events and rows of profiles are questionable.
func (d *Decoder) Decode(t Telegram) *Content {
	d.content.Readings = d.read(d.content.Readings[:0], t)
	return &d.content
}

// AppendReadings appends the readings of a telegram. Times keep S and W as
// daylight saving bit of their status; no zone is sent. The last reading of a
// sub-meter (0-n:24.2.x) has the time at which it was taken; where the meter
// says that there is none, as for one that is unplugged, the value is invalid.
// The power failure log and the monthly peaks are no readings: see
// [Telegram.Events] and [Telegram.Profiles].
func (d *Decoder) AppendReadings(dst []obis.Reading, t Telegram) []obis.Reading {
	return d.read(dst, t)
}

// usualLine is how many octets a line has, more or less.
const usualLine = 20

// read appends the readings and fills the rest of the content.
func (d *Decoder) read(dst []obis.Reading, t Telegram) []obis.Reading {
	c := &d.content
	d.spare = append(d.spare, c.Profiles...)
	c.Events, c.Profiles, c.BadLines = c.Events[:0], c.Profiles[:0], c.BadLines[:0]
	c.data, c.lines = t.Data, c.lines[:0]
	d.text, d.params, d.seen = d.text[:0], d.params[:0], seen{}
	if lines := len(t.Data) / usualLine; cap(dst) == 0 && lines > 0 {
		dst, c.lines = make([]obis.Reading, 0, lines), slices.Grow(c.lines, lines)
	}
	first := len(dst)
	s := field.NewScanner(t.Data)
	var set field.Set
	for source := uint32(0); ; source++ {
		err := s.Next(&set)
		if err == io.EOF {
			break
		}
		c.lines = append(c.lines, span{set.Offset, set.Offset + len(set.ID) + len(set.Values)})
		if bad, ok := err.(*field.Error); ok {
			c.BadLines = append(c.BadLines, ParseError{bad.Field, bad.Offset + t.offset, bad.Err})
			if len(set.ID) == 0 {
				continue
			}
		}
		dst = field.Extend(dst)
		r := &dst[len(dst)-1]
		r.RawID, r.Source = set.ID, source
		code, ok := field.Code(set.ID)
		if ok {
			r.Code, r.Rule = code, obis.RuleTransmitted
		}
		if err != nil {
			r.Quality.Flags = obis.Invalid
			continue
		}
		if ok {
			d.note(code, source, &set)
		}
		if set.Single {
			d.fill(r, &set)
		} else {
			dst = appendMany(dst, &set)
		}
	}
	d.identify(&t)
	switch {
	case t.Checked:
		return dst
	case t.salvaged:
	case !d.demandsCRC():
		return dst
	default:
		c.BadLines = append(c.BadLines, ParseError{"CRC", t.end + 1, errNoCRC})
	}
	for i := range dst[first:] {
		dst[first+i].Quality.Flags |= obis.Questionable
	}
	for i := range c.Events {
		e := &c.Events[i]
		e.Quality.Flags |= obis.Questionable
		for k := range e.Params {
			e.Params[k].Quality.Flags |= obis.Questionable
		}
	}
	for _, p := range c.Profiles {
		p.Mark(obis.Questionable)
	}
	return dst
}

// demandsCRC reports whether the version of the telegram has a CRC: DSMR from
// version 4 on, and e-MUCS. Only these have a clock that knows summer.
func (d *Decoder) demandsCRC() bool {
	return d.seen.season || len(d.seen.emucs) > 0 || len(d.seen.dsmr) > 0 && d.seen.dsmr[0] >= '4'
}

// note keeps what a data set says of meter, version, log and peaks.
func (d *Decoder) note(code obis.Code, source uint32, set *field.Set) {
	switch c := code[2]; {
	case code[0] == 1 && c != 0 && c < 94:
		d.seen.electrical = true
		d.seen.total = d.seen.total || code == codeImportTotal
		d.seen.tariffs = d.seen.tariffs || code == codeImport1
	case c == 99 && code[3] == 97:
		d.failures(code, source, set.Values)
	case c == 98:
		d.peaks(code, set.Values)
	case code == codeClock:
		d.seen.season = len(set.Text) == stampLen && set.Text[stampLen-1] > '9'
	case code == codeVersionDSMR:
		d.seen.dsmr = set.Text
	case code == codeVersionEMUCS:
		d.seen.emucs = set.Text
	case code == codeLogicalName:
		d.seen.logical = true
		d.seen.id = set.Text
	case code == codeEquipment, code == codeEquipment0 && len(bytes.TrimSpace(d.seen.id)) == 0:
		d.seen.id = set.Text
	}
}

// identify tells meter and version, whose texts it makes only where they are
// others than in the telegram before.
func (d *Decoder) identify(t *Telegram) {
	s := &d.seen
	flags := byte(0)
	for i, is := range [...]bool{s.logical, s.total, s.tariffs, s.electrical, t.Checked} {
		if is {
			flags |= 1 << i
		}
	}
	key := append(append(d.scratch[:0], flags, t.Identification.Baud), t.Identification.Manufacturer[:]...)
	for _, part := range [...][]byte{t.Identification.Ident, s.id, s.dsmr, s.emucs} {
		key = append(append(key, part...), 0)
	}
	d.scratch = key
	if bytes.Equal(key, d.key) {
		return
	}
	d.key = append(d.key[:0], key...)
	d.content.Version = s.version(t.Checked)
	m := obis.Meter{}
	if !t.Identification.IsZero() {
		m.Manufacturer = strings.ToUpper(string(t.Identification.Manufacturer[:]))
		m.Model = t.Identification.Model()
	}
	if s.electrical {
		m.Medium = obis.Electricity
	}
	m.ID = idText(s.id)
	m.Serial = m.ID
	d.content.Meter = m
}

// version finds out by which specification the telegram was made.
func (s *seen) version(checked bool) Version {
	switch {
	case len(s.emucs) > 0:
		return Version{string(s.emucs), DialectEMUCS}
	case len(s.dsmr) > 0 && s.logical:
		return Version{dotted(s.dsmr), DialectLuxembourg}
	case len(s.dsmr) > 0:
		return Version{dotted(s.dsmr), DialectDSMR}
	case !checked && s.tariffs && !s.total:
		return Version{"3", DialectDSMR}
	case s.total:
		return Version{"", DialectTotal}
	}
	return Version{}
}

// Meter returns the identity of the meter that sent the telegram. Its medium is
// unknown where it has no registers of its own and only reports for others.
func (t Telegram) Meter() obis.Meter { return new(Decoder).Decode(t).Meter }

// Version finds out by which specification the telegram was made.
func (t Telegram) Version() Version { return new(Decoder).Decode(t).Version }

// BadLines returns the errors of the lines that cannot be read.
func (t Telegram) BadLines() []ParseError { return new(Decoder).Decode(t).BadLines }

// Events returns the power failure log: one event for each long failure, at the
// time at which it ended, with its duration as parameter.
//
//	1-0:99.97.0(n)(0-0:96.7.19)(time)(duration*s)…
func (t Telegram) Events() []obis.Event { return new(Decoder).Decode(t).Events }

// Profiles returns the history of monthly peaks that Belgian meters send: for
// each month the time of its peak and the peak.
//
//	0-0:98.1.0(n)(id)(id)(end of month)(time of peak)(peak*kW)…
func (t Telegram) Profiles() []*obis.Profile { return new(Decoder).Decode(t).Profiles }

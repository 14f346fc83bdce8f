package iec62056

import (
	"bytes"
	"io"
	"slices"

	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/obis"
)

// Content is all that a readout says.
type Content struct {
	Readings []obis.Reading
	Meter    obis.Meter
	Events   []obis.Event    // of the logs, see [ParseEvents]
	Profiles []*obis.Profile // see [ParseProfiles]
	Err      error           // of the first profile that cannot be read; those behind it are missing
	BadLines []ParseError    // the lines that cannot be read

	data  []byte
	lines []span
}

// span is where a data set stands in the data of its readout.
type span struct{ start, end int }

// Line returns the octets of the data set with number i: the Source of a
// reading. They alias the readout.
func (c *Content) Line(i uint32) []byte {
	s := c.lines[i]
	return c.data[s.start:s.end:s.end]
}

// Decoder turns readouts into what they say, again and again without allocating
// for anything but load profiles and logs. What it returns aliases the readout
// and is valid until its next use. The zero Decoder is ready. It is not safe for
// concurrent use.
type Decoder struct {
	content Content
	seen    seen
	key     []byte // what the identity in content was made of
	scratch []byte
}

// seen is what the lines say of the meter.
type seen struct {
	serial, utility, firmware []byte
	medium                    obis.Medium
}

// Decode reads all that a readout says, line by line; see [Readout.AppendReadings]
// for the readings. Where a block check character or the CRC of a customer port
// belongs to the block and was not there nothing of it is good: readings, events
// and rows of profiles are questionable.
func (d *Decoder) Decode(r Readout) *Content {
	c := &d.content
	c.Events, c.Profiles, c.BadLines, c.Err = c.Events[:0], c.Profiles[:0], c.BadLines[:0], nil
	c.data, c.lines, d.seen = r.Data, c.lines[:0], seen{}
	c.Readings = r.read(c.Readings[:0], d)
	if r.unchecked {
		d.doubt()
	}
	d.identify(&r)
	return c
}

// doubt marks what a block without its check holds besides readings.
func (d *Decoder) doubt() {
	for i := range d.content.Events {
		e := &d.content.Events[i]
		e.Quality.Flags |= obis.Questionable
		for k := range e.Params {
			e.Params[k].Quality.Flags |= obis.Questionable
		}
	}
	for _, p := range d.content.Profiles {
		p.Mark(obis.Questionable)
	}
}

// Of a customer port: its telegrams have a CRC from these versions on, and only
// those have a clock that knows summer.
var (
	codePortVersion = obis.Code{1, 3, 0, 2, 8, obis.FCurrent}
	codePortBelgium = obis.Code{0, 0, 96, 1, 4, obis.FCurrent}
	codeClock       = obis.Code{0, 0, 1, 0, 0, obis.FCurrent}
)

// demandsCRC reports whether a line is one of a telegram that has a CRC, and
// therefore of none that is complete without it.
func demandsCRC(c obis.Code, set *field.Set) bool {
	switch n := len(set.Text); {
	case c[2] != 0 && c[2] != 1 && c[2] != 96:
		return false
	case c == codePortVersion:
		return n == 2 && set.Text[0] >= '4'
	case c == codePortBelgium:
		return n == 5 && set.Text[0] >= '5'
	default:
		return c == codeClock && n == 13 && set.Text[n-1] > '9'
	}
}

// read appends the readings and fills the rest of the content of d, if there is one.
func (r *Readout) read(dst []obis.Reading, d *Decoder) []obis.Reading {
	s := newScanner(r.Data, r.offset)
	list := r.Identification.list()
	first := len(dst)
	var set field.Set
	for source := uint32(0); ; source++ {
		err := s.Next(&set)
		if err == io.EOF {
			break
		}
		if d != nil {
			d.content.lines = append(d.content.lines, span{set.Offset, set.Offset + len(set.ID) + len(set.Values)})
		}
		switch bad, ok := err.(*field.Error); {
		case ok:
			if d != nil {
				d.content.BadLines = append(d.content.BadLines, ParseError{bad.Field, r.offset + bad.Offset, bad.Err})
			}
			if len(set.ID) > 0 {
				dst = appendStart(dst, set.ID, source)
				dst[len(dst)-1].Quality.Flags = obis.Invalid
			}
		case list != nil:
			dst = list.appendReadings(dst, &set, source)
			if d != nil {
				list.note(&d.seen, &set)
			}
		default:
			n := len(dst)
			dst = appendReadings(dst, &set, source)
			if !r.Framed && !r.checked && len(dst) > n && demandsCRC(dst[n].Code, &set) {
				r.unchecked = true
			}
			switch {
			case d == nil:
			case len(dst) > n:
				d.seen.note(dst[n].Code, &set)
			default:
				d.table(&set, source, r.offset)
			}
		}
	}
	tellResetsApart(dst[first:])
	doubtNumbers(dst[first:])
	if r.unchecked {
		for i := range dst[first:] {
			dst[first+i].Quality.Flags |= obis.Questionable
		}
	}
	return dst
}

// tellResetsApart takes the code from values that were stored by a manual reset
// ("1.8.1&12") where the readout has another value that was stored automatically
// under the same number ("1.8.1*12"): value group F cannot tell them apart, and
// their ids do.
func tellResetsApart(all []obis.Reading) {
	manual := false
	for i := range all {
		manual = manual || isManual(&all[i])
	}
	if !manual {
		return
	}
	automatic := map[obis.Code]bool{}
	for i := range all {
		if r := &all[i]; r.Code.Valid() && !isManual(r) {
			automatic[r.Code] = true
		}
	}
	for i := range all {
		if r := &all[i]; isManual(r) && automatic[r.Code] {
			r.Code, r.Rule = obis.Code{}, obis.RuleNone
		}
	}
}

// doubtNumbers marks the good readings of reduced codes ("9.21") where the unit of another
// one is of no electricity meter: "6.26(01589.28*m3)" says that the meter numbers its
// registers in its own way, of which the units of some tell nothing.
func doubtNumbers(all []obis.Reading) {
	if !slices.ContainsFunc(all, func(r obis.Reading) bool {
		return r.Quality.Flags&obis.Inconsistent != 0 && isReduced(&r) && (r.Unit == obis.CubicMetre || r.Unit == obis.CubicMetrePerHour || r.Unit == obis.Litre || r.Unit == obis.Joule)
	}) {
		return
	}
	for i := range all {
		if r := &all[i]; isReduced(r) && r.Quality.Flags == 0 {
			r.Quality.Flags = obis.Questionable
		}
	}
}

// isReduced reports whether the id left out medium and channel, which are then those of electricity.
func isReduced(r *obis.Reading) bool {
	return r.Code[0] == 1 && bytes.IndexByte(r.RawID, ':') < 0
}

// isManual reports whether the value was stored by a manual reset.
func isManual(r *obis.Reading) bool {
	return r.Code[5] != obis.FCurrent && r.Code.Valid() && bytes.IndexByte(r.RawID, '&') >= 0
}

// table reads a load profile or an entry of a log.
func (d *Decoder) table(set *field.Set, source uint32, base int) {
	c := &d.content
	h, err := parseHeader(DataSet{ID: set.ID, Values: set.Values})
	switch {
	case err != nil:
	case h.log:
		c.Events = append(c.Events, h.event(source))
	case c.Err == nil:
		if c.Profiles, err = h.appendProfile(c.Profiles); err != nil {
			c.Err = &ParseError{"profile", base + set.Offset, err}
		}
	}
}

// note keeps what a data set says of the meter.
func (s *seen) note(c obis.Code, set *field.Set) {
	if c[0] != 0 && c[2] != 0 && c[2] < 94 {
		if s.medium == obis.Unknown && c[5] == obis.FCurrent {
			s.medium = c.Medium() // of a register; ids without A are electricity's
		}
		return
	}
	if c[5] != obis.FCurrent || c[4] != 0 || !c.Valid() || len(trim(set.Text)) == 0 {
		return
	}
	switch {
	case c[2] == 96 && c[3] == 1: // C.1.0, the manufacturer's number
		s.serial = trim(set.Text)
	case c[2] == 0 && c[3] == 0 && s.utility == nil: // 0.0.0, the utility's number
		s.utility = trim(set.Text)
	case c[2] == 0 && c[3] == 2 && s.firmware == nil:
		s.firmware = trim(set.Text)
	}
}

// identify tells the meter, whose texts it makes only where they are others than
// in the readout before.
func (d *Decoder) identify(r *Readout) {
	s, id := &d.seen, &r.Identification
	key := append(append(d.scratch[:0], byte(s.medium), id.Baud), id.Manufacturer[:]...)
	for _, part := range [...][]byte{id.Ident, s.serial, s.utility, s.firmware} {
		key = append(append(key, part...), 0)
	}
	d.scratch = key
	if bytes.Equal(key, d.key) {
		return
	}
	d.key = append(d.key[:0], key...)
	m := id.meter()
	if list := id.list(); list != nil {
		m.Medium = list.medium
	} else {
		m.Medium = s.medium
	}
	m.Firmware = string(s.firmware)
	if m.Serial = string(s.serial); m.Serial == "" {
		m.Serial = string(s.utility)
	}
	if m.Serial != "" {
		m.ID = m.Manufacturer + m.Serial
	}
	d.content.Meter = m
}

// Meter returns what the readout says of the meter's identity: the
// identification message, then the serial and utility numbers among the lines.
func (r Readout) Meter() obis.Meter { return new(Decoder).Decode(r).Meter }

// BadLines returns the errors of the lines that cannot be read.
func (r Readout) BadLines() []ParseError { return new(Decoder).Decode(r).BadLines }

// Profiles reads the load profiles of the readout.
func (r Readout) Profiles() ([]*obis.Profile, error) { return profiles(r.Data, r.offset) }

// Events reads the logs of the readout (P.98 and its like).
func (r Readout) Events() []obis.Event { return ParseEvents(r.Data) }

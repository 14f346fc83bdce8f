// Package trial tries what a document carries: readings of every kind, unit,
// flag, function, storage, tariff, phase and kind of time go out and come back,
// and what comes back otherwise must have been said to be lost.
package trial

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// Case is what a meter said, in which one thing is out of the ordinary.
type Case struct {
	Section, Name string
	Data          *mapping.Data
}

// noon is the time of all readings that are of an ordinary one.
func noon() obis.Time { return obis.FromTime(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)) }

// ordinary is a reading of which all targets carry all.
func ordinary() obis.Reading {
	return obis.Reading{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Rule: obis.RuleTransmitted, Value: obis.Int(12345, 2), Time: noon()}
}

// unitOf returns the unit of a group C and D of electricity.
func unitOf(c, d int) obis.Unit {
	energy := d == 8 || d == 9 || d == 29
	switch (c-1)%20 + 1 {
	case 1, 2, 15, 16, 17, 18, 19, 20:
		if energy {
			return obis.WattHour
		}
		return obis.Watt
	case 3, 4, 5, 6, 7, 8:
		if energy {
			return obis.VarHour
		}
		return obis.Var
	case 9, 10:
		if energy {
			return obis.VoltAmpereHour
		}
		return obis.VoltAmpere
	case 11:
		return obis.Ampere
	case 12:
		return obis.Volt
	case 14:
		return obis.Hertz
	}
	return obis.Count
}

// Cases returns them, in an order that does not change.
func Cases() (list []Case) {
	add := func(section, name string, change func(r *obis.Reading)) {
		r := ordinary()
		change(&r)
		list = append(list, Case{section, name, &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Readings: []obis.Reading{r}}})
	}
	for kind, v := range values() {
		add("Kind of value", v.name, func(r *obis.Reading) {
			if r.Value = v.value; kind >= firstText {
				r.Code, r.Unit = obis.MustParse("0-0:96.1.0"), obis.UnitUnknown
			}
		})
	}
	for unit := range obis.Unit(512) {
		if known, ok := obis.UnitByName(unit.String()); ok && known == unit { // of two with one name the first
			add("Unit, of a reading with a raw id", unit.String(), func(r *obis.Reading) {
				r.Code, r.RawID, r.Rule, r.Unit = obis.Code{}, []byte("a.1"), obis.RuleNone, unit
			})
		}
	}
	for flag := obis.Flags(1); flag <= obis.ScalerUnknown; flag <<= 1 {
		add("Quality flag", flag.String(), func(r *obis.Reading) { r.Quality.Flags = flag })
	}
	add("Quality flag", "a status word of the meter", func(r *obis.Reading) { r.Quality.Raw, r.Quality.Kind = 0x80, obis.StatusVendor })
	code := func(section, name string, code obis.Code, unit obis.Unit) {
		add(section, name, func(r *obis.Reading) { r.Code, r.Unit = code, unit })
	}
	for d := range 60 {
		code("Function: group D of active power and energy", fmt.Sprint("1-0:1.", d, ".0"), obis.Code{1, 0, 1, byte(d), 0, 255}, unitOf(1, d))
	}
	for _, f := range []byte{0, 1, 12, 99, 101, 125, 126} {
		code("Storage: group F", fmt.Sprint("1-0:1.8.0*", f), obis.Code{1, 0, 1, 8, 0, f}, obis.WattHour)
	}
	for _, e := range []byte{1, 4, 63, 64, 128} {
		code("Tariff: group E", fmt.Sprint("1-0:1.8.", e), obis.Code{1, 0, 1, 8, e, 255}, obis.WattHour)
	}
	for _, b := range []byte{1, 2, 64} {
		code("Channel: group B", fmt.Sprint("1-", b, ":1.8.0"), obis.Code{1, b, 1, 8, 0, 255}, obis.WattHour)
	}
	for c := 1; c <= 92; c++ {
		for _, d := range []int{7, 8} {
			code("Quantity and phase: group C", fmt.Sprint("1-0:", c, ".", d, ".0"), obis.Code{1, 0, byte(c), byte(d), 0, 255}, unitOf(c, d))
		}
	}
	for name, unit := range media() {
		code("Medium: group A", name, obis.MustParse(name), unit)
	}
	list = append(list, times()...)
	for rule := obis.RuleTransmitted; rule <= obis.RuleManufacturer; rule++ {
		add("Rule that gave the code", rule.String(), func(r *obis.Reading) { r.Rule = rule })
	}
	return append(list, profiles()...)
}

// firstText is the first kind of value that is no number.
const firstText = 13

type named struct {
	name  string
	value obis.Value
}

func values() []named {
	return []named{
		{"none", obis.Value{}}, {"a whole number", obis.Int(5, 0)}, {"a negative number", obis.Int(-5, 0)}, {"a decimal fraction", obis.Int(123456, -3)},
		{"zeros behind the point", obis.Int(1500, -3)}, {"the greatest of 63 bits", obis.Int(math.MaxInt64, 0)}, {"the least of 64 bits", obis.Int(math.MinInt64, 0)},
		{"the greatest of 64 bits", obis.Uint(math.MaxUint64, 0)}, {"a great power of ten", obis.Int(5, 20)}, {"a small power of ten", obis.Int(5, -20)},
		{"a float of 32 bits", obis.Float32(math.Float32bits(0.1), 0)}, {"a float of 64 bits", obis.Float64(math.Float64bits(0.1), 0)},
		{"not a number", obis.Float64(math.Float64bits(math.NaN()), 0)},
		{"true", obis.Bool(true)}, {"one of a list", obis.Enum(2)}, {"bits", obis.Bits([]byte{0xA0}, 3)}, {"octets", obis.Octets([]byte{1, 2, 3})}, {"text", obis.Text([]byte("a<b>\"c\" "))},
		{"text that is not UTF-8", obis.Text([]byte{'a', 0xFF})}, {"a time", obis.Moment(noon())}, {"structured data", obis.Tree([]byte{2, 1, 17, 5})},
	}
}

func media() func(yield func(string, obis.Unit) bool) {
	return func(yield func(string, obis.Unit) bool) {
		for _, m := range []struct {
			code string
			unit obis.Unit
		}{
			{"0-0:96.9.0", obis.Celsius}, {"0-1:24.2.1", obis.CubicMetre}, {"4-0:1.0.0", obis.HCAUnit}, {"5-0:1.0.0", obis.WattHour}, {"6-0:1.0.0", obis.WattHour}, {"6-0:1.0.0*1", obis.WattHour},
			{"6-0:8.0.0", obis.Watt}, {"6-0:9.0.0", obis.CubicMetrePerHour}, {"6-0:12.0.0", obis.Kelvin}, {"7-0:3.0.0", obis.CubicMetre}, {"7-0:3.1.0", obis.CubicMetreCorrected},
			{"7-0:43.0.0", obis.CubicMetrePerHour}, {"8-0:1.0.0", obis.CubicMetre}, {"9-0:1.0.0", obis.CubicMetre}, {"15-0:1.0.0", obis.Count},
		} {
			if !yield(m.code, m.unit) {
				return
			}
		}
	}
}

// times are readings with all kinds of times, and of starts.
func times() (list []Case) {
	add := func(name string, start, at obis.Time) {
		r := ordinary()
		r.Start, r.Time = start, at
		list = append(list, Case{"Time", name, &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Readings: []obis.Reading{r}}})
	}
	fraction, local, doubtful, east := noon(), obis.LocalTime(2026, 11, 20, 12, 0, 0), noon(), noon()
	fraction.Hundredths = 25
	doubtful.Status = obis.TimeDoubtful
	east.Deviation, east.Hour = -60, 13
	date := obis.LocalTime(2026, 11, 20, 12, 0, 0)
	date.Hour, date.Minute, date.Second = obis.Unspecified, obis.Unspecified, obis.Unspecified
	clock := obis.LocalTime(2026, 11, 20, 12, 0, 0)
	clock.Year, clock.Month, clock.Day = obis.YearUnspecified, obis.Unspecified, obis.Unspecified
	hour := obis.FromTime(time.Date(2026, 11, 20, 11, 0, 0, 0, time.UTC))
	for _, t := range []struct {
		name      string
		start, at obis.Time
	}{
		{"none", obis.Time{}, obis.Time{}}, {"with a deviation", obis.Time{}, east}, {"of a zone that is not known", obis.Time{}, local}, {"with hundredths", obis.Time{}, fraction},
		{"doubtful", obis.Time{}, doubtful}, {"a date alone", obis.Time{}, date}, {"a clock alone", obis.Time{}, clock}, {"relative", obis.Time{}, obis.Relative(3600)},
		{"an interval", hour, noon()}, {"an interval that begins at no instant", local, noon()}, {"an interval without an end", hour, obis.Time{}},
	} {
		add(t.name, t.start, t.at)
	}
	return list
}

// profiles are profiles and events.
func profiles() (list []Case) {
	add := func(name string, change func(p *obis.Profile)) {
		p := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Period: 900, Columns: []obis.Column{{Code: obis.MustParse("1-0:1.29.0"), Unit: obis.WattHour, Rule: obis.RuleTransmitted}}}
		for i := range 4 {
			p.Times = append(p.Times, obis.FromTime(time.Date(2026, 11, 20, 12, 15*i, 0, 0, time.UTC)))
			p.Columns[0].Append(obis.Int(int64(10+i), 0))
		}
		change(p)
		list = append(list, Case{"Profile", name, &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Profiles: []*obis.Profile{p}}})
	}
	add("with a code", func(*obis.Profile) {})
	add("without a code", func(p *obis.Profile) { p.Code = obis.Code{} })
	add("with rows on events", func(p *obis.Profile) { p.Period = 0 })
	add("with a period of two hours", func(p *obis.Profile) {
		p.Period = 7200
		for i := range p.Times {
			p.Times[i].Hour, p.Times[i].Minute = uint8(10+2*i), 0
		}
	})
	add("with a gap", func(p *obis.Profile) { p.Times[3].Hour = 14 })
	add("with months", func(p *obis.Profile) {
		p.Period = 0
		for i := range p.Times {
			p.Starts = append(p.Starts, obis.FromTime(time.Date(2026, time.Month(1+i), 1, 0, 0, 0, 0, time.UTC)))
			p.Times[i] = obis.FromTime(time.Date(2026, time.Month(2+i), 1, 0, 0, 0, 0, time.UTC))
		}
	})
	add("with two columns", func(p *obis.Profile) {
		p.Columns = append(p.Columns, obis.Column{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Rule: obis.RuleTransmitted})
		for i := range 4 {
			p.Columns[1].Append(obis.Int(int64(100+i), 1))
		}
	})
	add("with a missing cell", func(p *obis.Profile) {
		p.Columns[0].Truncate(3)
		p.Columns[0].AppendMissing()
	})
	add("with a text", func(p *obis.Profile) {
		p.Columns[0].Truncate(3)
		p.Columns[0].Append(obis.Text([]byte("x")))
	})
	add("with an estimated row", func(p *obis.Profile) { p.Quality.Add(2, obis.Quality{Flags: obis.Estimated}) })
	add("with an invalid cell", func(p *obis.Profile) { p.Columns[0].Quality.Add(1, obis.Quality{Flags: obis.Invalid}) })
	add("with a row of a zone that is not known", func(p *obis.Profile) { p.Times[1] = obis.LocalTime(2026, 11, 20, 12, 15, 0) })
	add("with a derived code", func(p *obis.Profile) { p.Columns[0].Rule = obis.RuleDerived })
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Europe/Dublin", "Australia/Lord_Howe"} {
		list = append(list, changes(zone)...)
	}
	event := obis.Event{Log: obis.MustParse("0-0:99.98.0"), ID: 1, Text: "power down", Time: noon()}
	list = append(list, Case{"Event", "of a log", &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Events: []obis.Event{event}}})
	event.Quality.Flags = obis.ClockInvalid
	list = append(list, Case{"Event", "with an invalid clock", &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Events: []obis.Event{event}}})
	event = obis.Event{ID: 7, Params: []obis.Reading{ordinary()}}
	return append(list, Case{"Event", "with values", &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Events: []obis.Event{event}}})
}

// changes are the days of a year on which the clocks of a zone change, in quarter
// hours by the fields of a meter that tells no more than whether it is summer.
func changes(zone string) (list []Case) {
	place, err := time.LoadLocation(zone)
	if err != nil {
		return nil
	}
	for day := time.Date(2026, 1, 1, 0, 0, 0, 0, place); day.Year() == 2026; day = day.AddDate(0, 0, 1) {
		next := day.AddDate(0, 0, 1)
		if next.Sub(day) == 24*time.Hour {
			continue
		}
		p := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Period: 900, Columns: []obis.Column{{Code: obis.MustParse("1-0:1.29.0"), Unit: obis.WattHour, Rule: obis.RuleTransmitted}}}
		for at := day.Add(15 * time.Minute); !at.After(next); at = at.Add(15 * time.Minute) {
			t := obis.LocalTime(at.Year(), int(at.Month()), at.Day(), at.Hour(), at.Minute(), 0)
			if t.Status = 0; summer(at) {
				t.Status = obis.TimeDST
			}
			p.Times = append(p.Times, t)
			p.Columns[0].AppendInt(int64(len(p.Times)))
		}
		list = append(list, Case{"Profile", "of a day of " + next.Sub(day).String() + " in " + zone, &mapping.Data{Meter: obis.Meter{ID: "ABC1"}, Profiles: []*obis.Profile{p}, Clock: obis.Clock{Zone: place}}})
	}
	return list
}

// summer reports whether the clocks are ahead, whatever the zone takes for its standard.
func summer(at time.Time) bool {
	_, offset := at.Zone()
	_, january := time.Date(at.Year(), 1, 1, 12, 0, 0, 0, at.Location()).Zone()
	_, july := time.Date(at.Year(), 7, 1, 12, 0, 0, 0, at.Location()).Zone()
	return offset > min(january, july)
}

// Random returns data of several cases at once: what is out of the ordinary in a
// few readings, each of which has a code of its own, and in a profile.
func Random(rnd *rand.Rand) *mapping.Data {
	cases := Cases()
	d := &mapping.Data{Meter: obis.Meter{ID: "ABC1"}}
	for i := range rnd.IntN(6) {
		r := ordinary()
		r.Code[1] = byte(i)
		for range 1 + rnd.IntN(3) {
			from := cases[rnd.IntN(len(cases))].Data
			if len(from.Readings) == 0 {
				continue
			}
			switch x := from.Readings[0]; rnd.IntN(5) {
			case 0:
				r.Value = x.Value
			case 1:
				r.Quality.Flags |= x.Quality.Flags
			case 2:
				r.Start, r.Time = x.Start, x.Time
			case 3:
				r.Rule = max(x.Rule, obis.RuleTransmitted)
			case 4:
				if x.Code.Valid() && x.Unit != obis.UnitUnknown {
					r.Code, r.Unit = x.Code, x.Unit
					r.Code[1] = byte(i)
				}
			}
		}
		d.Readings = append(d.Readings, r)
	}
	for range rnd.IntN(3) {
		from := cases[len(cases)-1-rnd.IntN(28)].Data
		if n := len(d.Profiles); len(from.Profiles) > 0 && from.Clock.Zone == nil {
			p := from.Profiles[0].Clone()
			p.Code = obis.Code{1, byte(n), 99, 1, 0, 255}
			for c := range p.Columns {
				p.Columns[c].Code[1] = byte(10 + n)
			}
			d.Profiles = append(d.Profiles, p)
		}
	}
	return d
}

// Unsaid returns what came back otherwise than it went out, and was not said to be lost.
func Unsaid(out *mapping.Data, lost []mapping.Loss, back []*mapping.Data) (list []string) {
	c := comparison{lost: lost, clock: out.Clock}
	var readings []obis.Reading
	var profiles []*obis.Profile
	var events []obis.Event
	for _, d := range back {
		readings, profiles, events = append(readings, d.Readings...), append(profiles, d.Profiles...), append(events, d.Events...)
	}
	for i := range out.Readings {
		c.part, c.index = mapping.Reading, i
		best := c.best(&out.Readings[i], readings)
		if best == nil && !c.said("") {
			c.list = append(c.list, "the reading")
		}
		if best != nil {
			c.list = append(c.list, best...)
		}
	}
	for i, p := range out.Profiles {
		c.part, c.index = mapping.Profile, i
		c.profile(p, profiles, readings)
	}
	for i := range out.Events {
		c.part, c.index = mapping.Event, i
		c.event(&out.Events[i], events)
	}
	return c.list
}

type comparison struct {
	clock obis.Clock // of what went out
	lost  []mapping.Loss
	part  mapping.Part
	index int
	list  []string
}

// said reports whether a loss of the part speaks of one of the words; "" is any reason.
func (c *comparison) said(words ...string) bool {
	return slices.ContainsFunc(c.lost, func(l mapping.Loss) bool {
		of := l.Part == c.part && (l.Index == c.index || slices.Contains(l.More, c.index))
		return of && l.Reason != "" && slices.ContainsFunc(words, func(w string) bool { return strings.Contains(l.Reason, w) })
	})
}

func (c *comparison) flags() (f obis.Flags) {
	for _, l := range c.lost {
		if l.Part == c.part && (l.Index == c.index || slices.Contains(l.More, c.index)) {
			f |= l.Flags
		}
	}
	return f
}

// best returns what is not said of the reading with the id of r that came back most like it, nil where none did.
func (c *comparison) best(r *obis.Reading, back []obis.Reading) []string {
	var best []string
	for i := range back {
		if back[i].Code != r.Code || !r.Code.Valid() && string(back[i].RawID) != string(r.RawID) {
			continue
		}
		if list := c.reading(r, &back[i]); best == nil || len(list) < len(best) {
			best = append([]string{}, list...)
		}
	}
	return best
}

func (c *comparison) reading(a, b *obis.Reading) (list []string) {
	unless := func(same bool, what string, words ...string) {
		if !same && !c.said(words...) {
			list = append(list, what)
		}
	}
	unless(a.Unit == b.Unit || a.Unit == obis.Count && b.Unit == obis.UnitUnknown, "the unit", "unit")
	unless(sameValue(a.Value, b.Value), "the value", "value", "kind", "number", "unit")
	unless(c.sameTime(a.Time, b.Time), "the time", "time")
	unless(c.sameTime(a.Start, b.Start), "the start", "start")
	unless(rank(b.Rule) >= rank(a.Rule), "the rule", "rule")
	unless(a.Quality.Raw == b.Quality.Raw, "the status word", "status word")
	unless(c.sameFlags(a.Quality.Flags, b.Quality.Flags), "the quality")
	return list
}

// sameFlags reports whether the flags that are not there are said, and whether
// those that are there instead only say that something is not to be trusted.
func (c *comparison) sameFlags(a, b obis.Flags) bool {
	more := b &^ a
	return a&^b&^c.flags() == 0 && (more == 0 || more == obis.Questionable && c.flags() != 0 || more&^(obis.Edited|obis.Questionable) == 0 && c.flags() != 0)
}

// rank orders rules by how sure they are: what the meter said, what standards say, what was derived.
func rank(r obis.Rule) int {
	switch r {
	case obis.RuleStandard:
		return 1
	case obis.RuleDerived, obis.RuleManufacturer:
		return 2
	case obis.RuleNone:
		return 3
	}
	return 0
}

// sameValue reports whether two values are the same: decimal numbers by what
// they are worth, floats by the decimal that names them.
func sameValue(a, b obis.Value) bool {
	if a.Equal(b) {
		return true
	}
	number := func(v obis.Value) bool {
		k := v.Kind()
		return k == obis.KindInt || k == obis.KindUint || k == obis.KindFloat32 || k == obis.KindFloat64
	}
	if !number(a) || !number(b) {
		return false
	}
	plain := func(v obis.Value) string {
		s := v.String()
		if strings.Contains(s, ".") {
			s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
		}
		return s
	}
	return plain(a) == plain(b)
}

func (c *comparison) sameTime(a, b obis.Time) bool {
	x, ok1 := a.Instant(c.clock)
	y, ok2 := b.Instant(obis.Clock{})
	const bad = obis.TimeInvalid | obis.TimeDoubtful | obis.TimeDifferentBase | obis.TimeBadStatus
	status := func(t obis.Time) obis.ClockStatus {
		if t.Status == obis.TimeUnspecified {
			return 0
		}
		return t.Status & bad
	}
	return a.IsZero() == b.IsZero() && ok1 == ok2 && x.Equal(y) && status(a) == status(b) && (ok1 || a.String() == b.String())
}

// profile finds the cells of a profile, in any profile or reading.
func (c *comparison) profile(p *obis.Profile, back []*obis.Profile, readings []obis.Reading) {
	unless := func(same bool, what string, words ...string) {
		if !same && !c.said(words...) && !slices.Contains(c.list, what) {
			c.list = append(c.list, what)
		}
	}
	for i := range p.Columns {
		col := &p.Columns[i]
		q, other := findColumn(back, col)
		if other == nil {
			unless(false, "the profile", "")
			continue
		}
		unless(q.Code == p.Code, "the code of the profile", "code")
		unless(q.Period == p.Period, "the period", "period")
		unless(rank(other.Rule) >= rank(col.Rule), "the rule", "rule")
		unless(col.Unit == other.Unit, "the unit", "unit")
		for row := range p.Times {
			at := slices.IndexFunc(q.Times, func(t obis.Time) bool { return c.sameTime(p.Times[row], t) })
			if at < 0 {
				unless(false, "a row", "value", "time", "row")
				continue
			}
			unless(sameValue(col.At(row), other.At(at)), "a value", "value", "number")
			unless(c.sameTime(start(p, row), start(q, at)), "a start", "start")
			flags := p.Quality.At(row).Flags | col.Quality.At(row).Flags
			have := q.Quality.At(at).Flags | other.Quality.At(at).Flags
			if other.At(at).IsNone() {
				flags, have = flags|obis.Missing, have|obis.Missing
			}
			unless(c.sameFlags(flags, have), "a quality")
		}
	}
}

// start returns the start of a row, where it does not follow from its end.
func start(p *obis.Profile, row int) obis.Time {
	if row >= len(p.Starts) {
		return obis.Time{}
	}
	return p.Starts[row]
}

func findColumn(list []*obis.Profile, col *obis.Column) (*obis.Profile, *obis.Column) {
	for _, p := range list {
		for i := range p.Columns {
			if c := &p.Columns[i]; c.Code == col.Code && (c.Code.Valid() || string(c.RawID) == string(col.RawID)) {
				return p, c
			}
		}
	}
	return nil, nil
}

func (c *comparison) event(e *obis.Event, back []obis.Event) {
	if len(back) > 0 {
		b := &back[0]
		same := b.Log == e.Log && b.ID == e.ID && b.Text == e.Text && c.sameTime(e.Time, b.Time) && len(b.Params) == len(e.Params)
		for j := range min(len(e.Params), len(b.Params)) {
			same = same && b.Params[j].Code == e.Params[j].Code && sameValue(e.Params[j].Value, b.Params[j].Value)
		}
		if !same && !c.said("") || !c.sameFlags(e.Quality.Flags, b.Quality.Flags) {
			c.list = append(c.list, "the event")
		}
		return
	}
	if !c.said("") {
		c.list = append(c.list, "the event")
	}
}

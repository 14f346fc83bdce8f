package cosem

import (
	"strings"

	"github.com/openusm/meter/obis"
)

// AppendPushed appends the readings of the body of a data-notification that
// carries OBIS codes with its values, in any of the arrangements that meters use:
// code and value one after another or in structures of their own, scaler and
// unit behind them or not, class and attribute beside the code, or a list of push
// objects and then their values. Lists without codes, or without units, that
// name themselves are completed from tables/push_*.csv. A value that is left
// without a code becomes a reading without one. At is the time of the notification, for readings that have none
// of their own; a clock in the body takes its place.
func AppendPushed(dst []obis.Reading, body Data, at obis.Time) []obis.Reading {
	return new(Pushes).Append(dst, body, at)
}

// Pushes reads the pushes of one meter, one after the other. Some lists do not
// name themselves and are known by those that came before: a Kaifa meter sends
// its power alone every few seconds, and its name with the longer list between.
// The zero Pushes is ready.
type Pushes struct {
	list string // the name of the last list that had one
}

// Append is [AppendPushed] for the next push of the meter.
func (s *Pushes) Append(dst []obis.Reading, body Data, at obis.Time) []obis.Reading {
	p := pushed{out: dst, at: at, list: s.list}
	defer func() { s.list = p.list }()
	if !p.known(body) {
		p.elements(body, nil)
		p.complete(len(dst))
	}
	for i := len(dst); i < len(p.out); i++ {
		if p.out[i].Time.IsZero() {
			p.out[i].Time = p.at
		}
	}
	return p.out
}

// pushed gathers the readings of one body.
type pushed struct {
	out  []obis.Reading
	at   obis.Time
	list string // the name of the last list that had one
}

// item is what is known of a reading.
type item struct {
	Attribute
	value  Data
	scaler ScalerUnit
}

// elements reads an array or a structure that may hold many readings.
func (p *pushed) elements(d Data, path []byte) {
	if objects, rest, ok := declaredObjects(d); ok {
		p.declared(objects, rest)
		return
	}
	var list []Data
	for _, e := range d.Elements() {
		list = append(list, e)
	}
	if it, ok := single(list); ok {
		p.add(it)
		return
	}
	for i := 0; i < len(list); {
		i += p.element(list, i, path)
	}
}

// element reads what stands at list[i], and returns how many elements it took.
func (p *pushed) element(list []Data, i int, path []byte) int {
	e := list[i]
	here := append(path[:len(path):len(path)], byte(i))
	name, named := codeOf(e)
	switch {
	case e.IsNull():
		return 1
	case named && i+1 < len(list):
		it := item{Attribute: Attribute{Name: name}, value: list[i+1]}
		if i+2 < len(list) {
			if s, ok := ParseScalerUnit(list[i+2]); ok {
				it.scaler = s
				p.add(it)
				return 3
			}
		}
		p.add(it)
		return 2
	case tags[e.Tag()].kind == kindList || e.Tag() == TagCompactArray:
		p.elements(e, here)
		return 1
	}
	value, unit, quality := ScalerUnit{}.Apply(plainValue(0, obis.Code{}, e))
	if t, ok := e.Time(); ok && i == 0 && plausibleTime(t) {
		p.at, value = t, obis.Moment(t)
	}
	p.out = append(p.out, obis.Reading{Value: value, Unit: unit, Quality: quality, RawID: here})
	return 1
}

// add appends a reading that has a code.
func (p *pushed) add(it item) {
	r := Register{Class: it.Class, Name: it.Name}
	if t, ok := it.value.Time(); ok && it.Name[0] == 0 && it.Name[2] == 1 && it.Name[3] == 0 {
		p.at = t
		r.Class = ClassClock
	}
	if it.Index == 0 {
		it.Index = 2
	}
	reading := r.reading(it.value, it.Index, it.scaler)
	reading.Source = it.Attribute.Source()
	p.out = append(p.out, reading)
}

// codeOf returns the code that an element is, if its group A is that of a medium
// and it names a current or a stored value.
func codeOf(d Data) (obis.Code, bool) {
	c, ok := d.Code()
	return c, ok && c.Medium() != obis.Unknown && (c[5] == obis.FCurrent || c[5] <= 126)
}

// single reads a structure that holds one reading: a code and a value, with
// scaler and unit, class or attribute beside them in any order.
func single(list []Data) (it item, ok bool) {
	if len(list) < 2 || len(list) > 6 {
		return item{}, false
	}
	at := -1
	var others []Data
	var before []bool // the code had not come when others[i] came
	for i, e := range list {
		name, isName := codeOf(e)
		scaler, isScaler := ParseScalerUnit(e)
		switch {
		case isName && at < 0:
			it.Name, at = name, i
		case isScaler && !it.scaler.Known:
			it.scaler = scaler
		case isName:
			return item{}, false
		default:
			others = append(others, e)
			before = append(before, at < 0)
		}
	}
	if at < 0 {
		return item{}, false
	}
	switch {
	case len(others) == 1:
		it.value = others[0]
	case len(others) == 2 && before[0] && others[0].Tag() == TagLongUnsigned && !before[1]: // class, code, value
		it.Class, it.value = classOf(others[0]), others[1]
	case len(others) == 2 && before[1] && others[1].Tag() == TagLongUnsigned: // value, class, code
		it.Class, it.value = classOf(others[1]), others[0]
	case len(others) == 3 && before[0] && others[0].Tag() == TagLongUnsigned && others[1].Tag() == TagInteger: // class, code, attribute, value
		index, _ := others[1].Int()
		it.Class, it.Index, it.value = classOf(others[0]), int8(index), others[2]
	default:
		return item{}, false
	}
	// A list of two with a nested list is no reading but a column of them.
	return it, tags[it.value.Tag()].kind != kindList && it.value.Tag() != TagCompactArray
}

func classOf(d Data) Class {
	n, _ := d.Uint()
	return Class(n)
}

// declaredObjects reads the push object list with which some meters begin a
// body, and returns the values behind it.
func declaredObjects(d Data) (objects []Capture, values []Data, ok bool) {
	for i, e := range d.Elements() {
		if i > 0 {
			values = append(values, e)
			continue
		}
		if e.Tag() != TagArray || e.Len() == 0 {
			return nil, nil, false
		}
		for _, o := range e.Elements() {
			c, ok := pushObject(o)
			if !ok {
				return nil, nil, false
			}
			objects = append(objects, c)
		}
	}
	return objects, values, len(objects) > 0
}

// pushObject reads an entry of a push object list, which is a capture object
// with a restriction and columns behind it from version 1 of the class on.
func pushObject(d Data) (Capture, bool) {
	if d.Len() <= 4 {
		return ParseCapture(d)
	}
	if d.Tag() != TagStructure {
		return Capture{}, false
	}
	var first []Data
	for i, e := range d.Elements() {
		if i < 4 {
			first = append(first, e)
		}
	}
	return ParseCapture(Structure(first...))
}

// declared pairs objects with values. An object list that tells of itself has
// no value but itself.
func (p *pushed) declared(objects []Capture, values []Data) {
	if len(objects) == len(values)+1 && objects[0].Class == ClassPushSetup && objects[0].Index == 2 {
		objects = objects[1:]
	}
	for i, v := range values {
		if i >= len(objects) {
			p.element(values, i, nil)
			continue
		}
		n := len(p.out)
		p.add(item{Attribute: objects[i].Attribute, value: v})
		p.out[n].Rule = obis.RuleDeclared
		if objects[i].Class == ClassData || objects[i].Class == ClassClock {
			p.out[n].Quality.Flags &^= obis.ScalerUnknown
		}
	}
}

// pushList is a list without codes.
type pushList struct {
	first string // the text that the first element holds
	count int
	items []pushItem
}

// pushItem is an element of a list without codes, or a code of a list without units.
type pushItem struct {
	code   obis.Code
	scaler ScalerUnit
}

// pushUnit is scaler and unit of a code in lists that begin with a text.
type pushUnit struct {
	list  string
	meter string // the beginning of the meter's type, "" for any
	pushItem
}

// known reads a body that is one of the lists without codes.
func (p *pushed) known(body Data) bool {
	if body.Tag() != TagStructure {
		return false
	}
	name := p.list
	if first, ok := body.At(0).Bytes(); ok {
		name = string(first)
	}
	for _, l := range pushLists {
		if name != l.first || body.Len() != l.count {
			continue
		}
		p.list = name
		for i, e := range body.Elements() {
			n := len(p.out)
			p.add(item{Attribute: Attribute{Name: l.items[i].code}, value: e, scaler: l.items[i].scaler})
			p.out[n].Rule = obis.RuleManufacturer
		}
		return true
	}
	return false
}

// complete gives scaler and unit to readings that lack them, where the list is known.
func (p *pushed) complete(start int) {
	list, meter := "", ""
	for i, r := range p.out[start:] {
		b, ok := r.Value.Bytes()
		switch c := r.Code; {
		case ok && i < 2 && list == "":
			list = string(b)
		case ok && (c == obis.Code{1, 1, 96, 1, 1, 255} || c == obis.Code{0, 0, 96, 1, 7, 255}):
			meter = string(b)
		}
	}
	if list == "" {
		return
	}
	for i := range p.out[start:] {
		r := &p.out[start+i]
		if r.Quality.Flags&obis.ScalerUnknown == 0 {
			continue
		}
		for _, u := range pushUnits {
			if u.code != r.Code || !strings.HasPrefix(list, u.list) || !strings.HasPrefix(meter, u.meter) {
				continue
			}
			value, unit, quality := u.scaler.Apply(r.Value)
			r.Value, r.Unit = value, unit
			r.Quality.Flags = r.Quality.Flags&^obis.ScalerUnknown | quality.Flags
			break
		}
	}
}

package cosem

import "github.com/openusm/meter/obis"

// AppendPushed appends the readings of the body of a data-notification that
// carries OBIS codes with its values, in any of the arrangements that meters use:
// code and value one after another or in structures of their own, scaler and
// unit behind them or not, class and attribute beside the code, or a list of push
// objects and then their values. Lists without codes, or without units, that
// name themselves are completed from tables/push_*.csv. A value that is left
// without a code becomes a reading without one. At is the time of the notification, for readings that have none
// of their own; a clock in the body takes its place. The Source of a reading is its place in the result.
func AppendPushed(dst []obis.Reading, body Data, at obis.Time) []obis.Reading {
	into := Readings{List: dst}
	new(Pushes).Append(&into, body, at)
	return into.List
}

// Pushes reads the pushes of one meter, one after the other. Some lists do not
// name themselves and are known by those that came before: a Kaifa meter sends
// its power alone every few seconds, and its name with the longer list between.
// The zero Pushes is ready.
type Pushes struct {
	list string // the name of the last list that had one
}

// Append adds the readings of the next push, as [AppendPushed] does.
func (s *Pushes) Append(into *Readings, body Data, at obis.Time) {
	p := pushed{Readings: into, first: len(into.List), at: at}
	into.path, into.list, into.waiting = into.path[:0], into.list[:0], into.waiting[:0]
	if !p.known(s, body) {
		p.element(body)
		p.complete()
	}
	into.stamp(p.first, p.at)
}

// pushed gathers the readings of one body.
type pushed struct {
	*Readings
	first int // of the readings that are of this body
	at    obis.Time
}

// item is what is known of a reading.
type item struct {
	Attribute
	value  Data
	scaler ScalerUnit
}

// elements reads an array or a structure that may hold many readings.
func (p *pushed) elements(d Data) {
	start := len(p.list)
	for _, e := range d.Elements() {
		p.list = append(p.list, e)
	}
	list := p.list[start:]
	if it, ok := single(list); ok {
		p.item(it)
	} else if !p.declared(list) {
		for i := 0; i < len(list); {
			p.path = append(p.path, byte(i))
			i += p.member(list, i)
			p.path = p.path[:len(p.path)-1]
		}
	}
	p.list = p.list[:start]
}

// member reads what stands at list[i], and returns how many elements it took.
func (p *pushed) member(list []Data, i int) int {
	name, named := codeOf(list[i])
	if !named || i+1 >= len(list) {
		p.element(list[i])
		return 1
	}
	it := item{Attribute: Attribute{Name: name}, value: list[i+1]}
	if i+2 < len(list) {
		if s, ok := ParseScalerUnit(list[i+2]); ok {
			it.scaler = s
			p.item(it)
			return 3
		}
	}
	p.item(it)
	return 2
}

// element reads a value that has no code: one with elements, or a leaf. What
// stands first and is a time is that of the push.
func (p *pushed) element(e Data) {
	switch {
	case e.IsNull(), listsObjects(e, true):
	case tags[e.Tag()].kind == kindList || e.Tag() == TagCompactArray:
		p.elements(e)
	default:
		reading := p.leaf(e)
		if t, ok := e.Time(); ok && len(p.path) > 0 && p.path[len(p.path)-1] == 0 && plausibleTime(t) {
			p.at = t
			reading.Value, reading.Unit, reading.Quality = obis.Moment(t), obis.UnitUnknown, obis.Quality{}
		}
	}
}

// item appends a reading that has a code. Of a register only the values make
// readings; its other attributes say more of them.
func (p *pushed) item(it item) {
	if l, ok := RegisterAttributes(it.Class); ok && it.Index != 0 && !l.isValue(it.Index) {
		if !p.belongs(it, l, len(p.List)) && len(p.waiting) < maxWaiting {
			p.waiting = append(p.waiting, it)
		}
		return
	}
	if t, ok := it.value.Time(); ok && it.Name[0] == 0 && it.Name[2] == 1 && it.Name[3] == 0 {
		p.at = t
		it.Class = ClassClock
	}
	if it.Index == 0 {
		it.Index = 2
	}
	if (it.Class == ClassData || it.Class == ClassClock) && !it.scaler.Known {
		it.scaler.Known, it.scaler.Unit = true, obis.UnitUnknown // they have none
	}
	p.value(it.Attribute, it.value, it.scaler)
	for i := range p.waiting {
		if w := &p.waiting[i]; w.Name == it.Name && w.Class == it.Class {
			l, _ := RegisterAttributes(w.Class)
			p.belongs(*w, l, len(p.List))
		}
	}
}

const (
	maxWaiting = 256 // attributes of a push that wait for their values
	maxBehind  = 256 // readings that may stand between a value and its other attributes
)

// belongs adds what an attribute says to the readings of its register, and reports whether there are any.
func (p *pushed) belongs(it item, l RegisterLayout, end int) (found bool) {
	for i := end - 1; i >= max(p.first, end-maxBehind); i-- {
		a := p.Attributes[i-len(p.List)+len(p.Attributes)]
		if a.Name != it.Name || a.Class != it.Class {
			continue
		}
		found = true
		reading := &p.List[i]
		switch it.Index {
		case l.ScalerUnit:
			if s, ok := ParseScalerUnit(it.value); ok {
				s.complete(reading)
			}
		case l.Status:
			setStatus(reading, it.value)
		case l.Captured:
			setCaptured(reading, it.value)
		case l.Start:
			if a.Index == l.Value {
				setStart(reading, it.value)
			}
		}
	}
	return found
}

// complete applies scaler and unit to a reading that lacks them.
func (s ScalerUnit) complete(reading *obis.Reading) {
	if reading.Quality.Flags&obis.ScalerUnknown == 0 {
		return
	}
	value, unit, quality := s.Apply(reading.Value)
	reading.Value, reading.Unit = value, unit
	reading.Quality.Flags = reading.Quality.Flags&^obis.ScalerUnknown | quality.Flags
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
	at, n := -1, 0
	var others [6]Data
	var before [6]bool // the code had not come when others[i] came
	scaler := Data{}
	for i, e := range list {
		name, isName := codeOf(e)
		s, isScaler := ParseScalerUnit(e)
		switch {
		case isName && at < 0:
			it.Name, at = name, i
		case isScaler && !it.scaler.Known:
			it.scaler, scaler = s, e
		case isName && !(i == 3 && n == 2 && isClass(others[0]) && before[0] && others[1].Tag() == TagInteger):
			return item{}, false // but as value of an attribute that is named
		default:
			others[n], before[n] = e, at < 0
			n++
		}
	}
	if at < 0 {
		return item{}, false
	}
	class := n > 1 && before[0] && isClass(others[0])
	switch {
	case n == 1:
		it.value = others[0]
	case n == 2 && class && !before[1]: // class, code, value
		it.Class, it.value = classOf(others[0]), others[1]
		l, _ := RegisterAttributes(it.Class)
		if index, ok := others[1].Int(); ok && others[1].Tag() == TagInteger && index != 0 && int8(index) == l.ScalerUnit && it.scaler.Known {
			it.Index, it.value, it.scaler = int8(index), scaler, ScalerUnit{} // class, code, attribute scaler_unit
			return it, true
		}
	case n == 2 && before[1] && isClass(others[1]): // value, class, code
		it.Class, it.value = classOf(others[1]), others[0]
	case n == 3 && class && others[1].Tag() == TagInteger: // class, code, attribute, value
		index, _ := others[1].Int()
		it.Class, it.Index, it.value = classOf(others[0]), int8(index), others[2]
		return it, true
	default:
		return item{}, false
	}
	// A list of two with a nested list is no reading but a column of them.
	return it, tags[it.value.Tag()].kind != kindList && it.value.Tag() != TagCompactArray
}

func isClass(d Data) bool { return d.Tag() == TagLongUnsigned }

func classOf(d Data) Class {
	n, _ := d.Uint()
	return Class(n)
}

// pushObject reads an entry of a push object list, which is a capture object
// with a restriction and columns behind it from version 1 of the class on.
func pushObject(d Data) (c Capture, ok bool) {
	var first [4]Data
	if d.Tag() != TagStructure || d.Len() < len(first) {
		return Capture{}, false
	}
	for i, e := range d.Elements() {
		if i == len(first) {
			break
		}
		first[i] = e
	}
	return parseCapture(&first)
}

// declared reads a body that begins with the list of its push objects, and
// pairs them with the values behind. An object list that tells of itself has no
// value but itself.
func (p *pushed) declared(list []Data) (ok bool) {
	if len(list) == 0 || list[0].Tag() != TagArray || list[0].Len() == 0 {
		return false
	}
	objects := list[0]
	for _, o := range objects.Elements() {
		if _, ok := pushObject(o); !ok {
			return false
		}
	}
	at, skip := 1, 0
	if first, _ := pushObject(objects.At(0)); objects.Len() == len(list) && first.Class == ClassPushSetup && first.Index == 2 {
		skip = 1
	}
	for i, o := range objects.Elements() {
		if i < skip || at >= len(list) {
			continue
		}
		object, _ := pushObject(o)
		n := len(p.List)
		p.item(item{Attribute: object.Attribute, value: list[at]})
		if n < len(p.List) {
			p.List[n].Rule = obis.RuleDeclared
		}
		at++
	}
	for ; at < len(list); at++ {
		p.path = append(p.path, byte(at))
		p.element(list[at])
		p.path = p.path[:len(p.path)-1]
	}
	return true
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
func (p *pushed) known(s *Pushes, body Data) bool {
	if body.Tag() != TagStructure {
		return false
	}
	name, named := body.At(0).Bytes()
	for i := range pushLists {
		l := &pushLists[i]
		if body.Len() != l.count || named && string(name) != l.first || !named && s.list != l.first {
			continue
		}
		s.list = l.first
		for i, e := range body.Elements() {
			p.item(item{Attribute: Attribute{Name: l.items[i].code}, value: e, scaler: l.items[i].scaler})
			p.List[len(p.List)-1].Rule = obis.RuleManufacturer
		}
		return true
	}
	return false
}

// complete gives scaler and unit to readings that lack them, where the list is known.
func (p *pushed) complete() {
	var list, meter []byte
	for i := p.first; i < len(p.List); i++ {
		r := &p.List[i]
		b, ok := r.Value.Bytes()
		switch c := r.Code; {
		case ok && i < p.first+2 && len(list) == 0:
			list = b
		case ok && (c == obis.Code{1, 1, 96, 1, 1, 255} || c == obis.Code{0, 0, 96, 1, 7, 255}):
			meter = b
		}
	}
	if len(list) == 0 {
		return
	}
	for i := p.first; i < len(p.List); i++ {
		r := &p.List[i]
		if r.Quality.Flags&obis.ScalerUnknown == 0 {
			continue
		}
		for k := range pushUnits {
			if u := &pushUnits[k]; u.code == r.Code && hasPrefix(list, u.list) && hasPrefix(meter, u.meter) {
				u.scaler.complete(r)
				break
			}
		}
	}
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

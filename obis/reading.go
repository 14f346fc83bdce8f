package obis

// Rule says how a reading came by its OBIS code.
type Rule uint8

// The rules, from the surest to none at all.
const (
	RuleNone         Rule = iota // no code; RawID identifies the reading
	RuleTransmitted              // the meter sent the code with the value
	RuleDeclared                 // the meter declared the code elsewhere: capture objects, an OBIS declaration
	RuleStandard                 // a table of the protocol's standard or companion specification
	RuleDerived                  // a rule over quantity, direction, tariff and storage
	RuleManufacturer             // a table for this manufacturer's meters
)

var ruleNames = [...]string{"none", "transmitted", "declared", "standard", "derived", "manufacturer"}

// String returns the rule in lower case.
func (r Rule) String() string {
	if int(r) < len(ruleNames) {
		return ruleNames[r]
	}
	return "unknown"
}

// Reading is one value that a meter showed.
//
// Two readings of one message may have the same code; RawID and Source tell
// them apart. RawID, UnitText and the octets of Value alias the message until cloned.
type Reading struct {
	Code     Code // zero where no rule gave one
	Unit     Unit // UnitUnknown where it was not transmitted
	Rule     Rule
	Value    Value
	Start    Time    // start of the interval over which the value was taken, if it is of an interval
	Time     Time    // when the meter took the value, or the end of that interval; zero if not said
	Quality  Quality // the zero Quality is "good"
	RawID    []byte  // the id as the protocol has it: text, DIB and VIB, logical name and attribute, …
	UnitText []byte  // the unit as the meter wrote it, where Unit is OtherUnit; octets as sent, usually ASCII or Latin-1
	Source   uint32  // number of the record in its message, for what the protocol can say besides; or NoSource
}

// NoSource is the Source of a reading of which the protocol says nothing besides.
const NoSource = 1<<32 - 1

// OwnReadings gives readings memory of their own: their octets lie in one piece.
func OwnReadings(list []Reading) {
	size := 0
	for i := range list {
		size += len(list[i].RawID) + len(list[i].UnitText) + len(list[i].Value.raw)
	}
	octets := make([]byte, 0, size)
	for i := range list {
		for _, b := range [...]*[]byte{&list[i].RawID, &list[i].UnitText, &list[i].Value.raw} {
			if *b != nil {
				n := len(octets)
				octets = append(octets, *b...)
				*b = octets[n:len(octets):len(octets)]
			}
		}
	}
}

// ID returns the code of the reading as text or, where it has none, its raw id
// as [RawIDText] shows it.
func (r *Reading) ID() string {
	if r.Code.Valid() {
		return r.Code.String()
	}
	return RawIDText(r.RawID)
}

// RawIDText shows an id that is no OBIS code: as it is where it is text of three
// characters and more, else as "0x" and hexadecimal digits.
func RawIDText(id []byte) string {
	text := len(id) > 2
	for _, b := range id {
		text = text && ' ' <= b && b <= '~'
	}
	if text || len(id) == 0 {
		return string(id)
	}
	return Octets(id).String()
}

// Event is one entry of a meter's log.
type Event struct {
	Log     Code   // the log from which it was read
	ID      uint32 // the event's number in that log
	Time    Time
	Text    string    // what the number means, where the meter or a standard says so
	Params  []Reading // values that were logged with the event
	Quality Quality
}

// Meter identifies a meter by whatever it said of itself. Empty means unknown.
type Meter struct {
	ID           string // the name by which the protocol knows it: logical device name, M-Bus id with manufacturer, equipment id
	Manufacturer string // FLAG id, three letters, where there is one
	Serial       string
	Model        string
	Firmware     string
	SystemTitle  string // DLMS system title, 16 hexadecimal digits
	Version      string // M-Bus version, C12.19 hardware version
	Medium       Medium
}

// Medium is what a meter measures.
type Medium uint8

// The media. Unknown and Other differ: Other is what the meter itself said.
const (
	Unknown Medium = iota
	Electricity
	HeatCostAllocator
	Cooling
	Heat
	Gas
	Water
	HotWater
	Other
	Abstract // data that belong to no medium: clock, identity, events
)

var mediumNames = [...]string{"", "electricity", "hca", "cooling", "heat", "gas", "water", "hot-water", "other", "abstract"}

// String returns the medium in lower case, "" for Unknown.
func (m Medium) String() string {
	if int(m) < len(mediumNames) {
		return mediumNames[m]
	}
	return ""
}

// A returns the value group A of the medium: 0 for Unknown and Abstract, 15 for Other.
func (m Medium) A() byte {
	for a, n := range mediumOfA {
		if n == m && a != 0 {
			return byte(a)
		}
	}
	return 0
}

var mediumOfA = [256]Medium{
	0: Abstract, 1: Electricity, 4: HeatCostAllocator, 5: Cooling, 6: Heat,
	7: Gas, 8: Water, 9: HotWater, 15: Other,
}

package cim

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/openusm/meter/internal/csvrows"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

//go:embed *.csv
var files embed.FS

// pattern is a reading type in which letters stand for what depends on the reading.
type pattern struct {
	parts ReadingType
	vars  [len(ReadingType{})]byte // the letter of a part, 0 where it is a number
	unit  obis.Unit                // of the reading, where the type names its unit itself
}

type flow struct {
	c, number int32
	quantity  string
	read      bool
}

type unit struct {
	unit     obis.Unit
	number   int32
	exp      int // from the unit of the model to that of the type
	quantity string
}

type quality struct {
	flag obis.Flags
	name string
	espi int32 // -1 where there is none
}

type espiQuality struct {
	number int32
	flags  obis.Flags
	unsaid string
}

type numbered struct{ key, number int32 }

type medium struct {
	medium             obis.Medium
	commodity, service int32
	lost               string
}

// tables are what the CSV files of this package say.
type tables struct {
	flows     []flow
	units     []unit
	qualities []quality
	espi      []espiQuality
	phases    []numbered // key: obis.Phase
	periods   []numbered // key: seconds
	events    []eventType
	media     []medium
	services  []numbered // key: commodity
}

// data reads the tables when they are first used. The tests check that it does not fail.
var data = sync.OnceValue(func() *tables {
	t := &tables{}
	for file, add := range map[string]func(row []string) error{
		"flows.csv": t.addFlow, "units.csv": t.addUnit, "qualities.csv": t.addQuality, "espi_qualities.csv": t.addESPIQuality, "phases.csv": t.addPhase,
		"periods.csv": t.addPeriod, "events.csv": t.addEvent, "media.csv": t.addMedium, "services.csv": t.addService,
	} {
		if err := readRows(file, add); err != nil {
			return &tables{}
		}
	}
	return t
})

func readRows(file string, add func(row []string) error) error {
	raw, err := files.ReadFile(file)
	if err != nil {
		return err
	}
	rows, err := csvrows.Read(raw)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := add(row); err != nil {
			return fmt.Errorf("cim: %s: %w", file, err)
		}
	}
	return nil
}

func number(s string) (int32, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	return int32(n), err
}

func (t *tables) addFlow(row []string) error {
	c, err1 := number(row[0])
	n, err2 := number(row[1])
	t.flows = append(t.flows, flow{c, n, row[2], row[3] == "read"})
	return errors.Join(err1, err2)
}

func (t *tables) addUnit(row []string) error {
	u, ok := obis.UnitByName(row[0])
	n, err1 := number(row[1])
	exp, err2 := number(row[2])
	if !ok {
		return fmt.Errorf("no unit %q", row[0])
	}
	t.units = append(t.units, unit{u, n, int(exp), row[3]})
	return errors.Join(err1, err2)
}

func (t *tables) addQuality(row []string) (err error) {
	q := quality{name: row[1], espi: -1}
	var ok bool
	if q.flag, ok = obis.ParseFlag(row[0]); !ok {
		return fmt.Errorf("no flag %q", row[0])
	}
	if row[2] != "" {
		q.espi, err = number(row[2])
	}
	t.qualities = append(t.qualities, q)
	return err
}

func (t *tables) addESPIQuality(row []string) (err error) {
	q := espiQuality{unsaid: row[2]}
	for _, name := range strings.Fields(row[1]) {
		flag, ok := obis.ParseFlag(name)
		if !ok {
			return fmt.Errorf("no flag %q", name)
		}
		q.flags |= flag
	}
	q.number, err = number(row[0])
	t.espi = append(t.espi, q)
	return err
}

var phaseNames = map[string]obis.Phase{
	"sum": obis.PhaseSum, "L1": obis.PhaseL1, "L2": obis.PhaseL2, "L3": obis.PhaseL3, "N": obis.PhaseNeutral,
	"L1-L2": obis.PhaseL1L2, "L2-L3": obis.PhaseL2L3, "L3-L1": obis.PhaseL3L1,
}

func (t *tables) addPhase(row []string) error {
	p, ok := phaseNames[row[0]]
	if !ok {
		return fmt.Errorf("no phase %q", row[0])
	}
	n, err := number(row[1])
	t.phases = append(t.phases, numbered{int32(p), n})
	return err
}

func (t *tables) addPeriod(row []string) error {
	n, err1 := number(row[0])
	seconds, err2 := number(row[1])
	t.periods = append(t.periods, numbered{seconds, n})
	return errors.Join(err1, err2)
}

func (t *tables) addMedium(row []string) error {
	for m := obis.Unknown; m <= obis.Abstract; m++ {
		if m.String() != row[0] || m == obis.Unknown {
			continue
		}
		commodity, err1 := number(row[1])
		service, err2 := number(row[2])
		t.media = append(t.media, medium{m, commodity, service, row[3]})
		return errors.Join(err1, err2)
	}
	return fmt.Errorf("no medium %q", row[0])
}

func (t *tables) addService(row []string) error {
	commodity, err1 := number(row[0])
	service, err2 := number(row[1])
	t.services = append(t.services, numbered{commodity, service})
	return errors.Join(err1, err2)
}

// medium returns the row of a medium.
func (t *tables) medium(m obis.Medium) *medium {
	for i := range t.media {
		if t.media[i].medium == m {
			return &t.media[i]
		}
	}
	return nil
}

// Rules give OBIS codes their reading types. A nil *Rules is the built-in ones.
// They are safe for use by several goroutines.
type Rules struct{ types *mapping.Table[pattern] }

// ReadRules reads rules in the form of reading_types.csv of this package, which
// come before the built-in ones.
func ReadRules(r io.Reader) (*Rules, error) {
	own, err := mapping.ReadTable(r, []string{"type", "unit"}, parsePattern)
	if err != nil {
		return nil, err
	}
	both, err := own.Over(builtin())
	return &Rules{both}, err
}

var builtin = sync.OnceValue(func() *mapping.Table[pattern] {
	raw, _ := files.ReadFile("reading_types.csv")
	t, err := mapping.ReadTable(bytes.NewReader(raw), []string{"type", "unit"}, parsePattern)
	if err != nil {
		return &mapping.Table[pattern]{}
	}
	return t
})

func (r *Rules) table() *mapping.Table[pattern] {
	if r == nil {
		return builtin()
	}
	return r.types
}

// letters are those that may stand in each part of a pattern.
var letters = map[int]string{
	MacroPeriod: "F", MeasuringPeriod: "T", FlowDirection: "Q", Commodity: "M", InterharmonicNumerator: "H", TOU: "E", Phases: "P", Unit: "U",
}

func parsePattern(cells []string) (p pattern, err error) {
	parts := strings.Split(cells[0], ".")
	if len(parts) != len(p.parts) {
		return p, fmt.Errorf("type %q has not 18 parts", cells[0])
	}
	for i, part := range parts {
		if letters[i] != "" && part == letters[i] {
			p.vars[i] = part[0]
			continue
		}
		if p.parts[i], err = number(part); err != nil {
			return p, fmt.Errorf("type %q: part %d", cells[0], i+1)
		}
	}
	var ok bool
	if cells[1] != "" {
		if p.unit, ok = obis.UnitByName(cells[1]); !ok {
			return p, fmt.Errorf("no unit %q", cells[1])
		}
	}
	if (p.vars[Unit] == 'U') != (cells[1] == "") {
		return p, fmt.Errorf("type %q: either U or a unit of the reading", cells[0])
	}
	return p, nil
}

package greenbutton

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openusm/meter/internal/xmltext"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/cim"
	"github.com/openusm/meter/obis"
)

// Summaries and time parameters have no place in the model of readings. Each
// element of one is a reading whose raw id is its path, such as
// "UsageSummary/billingPeriod/start" or, of the second summary,
// "UsageSummary[2]/billLastPeriod"; a measurement with its unit is one reading.

// carriedResources are those that are read and written so.
var carriedResources = []string{"UsageSummary", "ElectricPowerUsageSummary", "ElectricPowerQualitySummary", "LocalTimeParameters"}

// amounts are the elements that are hundred-thousandths of the currency.
var amounts = []string{"billLastPeriod", "billToDate", "costAdditionalLastPeriod"}

// costExp is the power of ten of costs.
const costExp = -5

// carried reports whether the resource becomes readings.
func (o *Other) carried() bool {
	return o.node.Name.Space == espiSpace && slices.Contains(carriedResources, o.Name()) && plain(o.node)
}

// plain reports whether a path and a text say all there is of the elements within one.
func plain(n *xmltext.Node) bool {
	if n.Name.Space != espiSpace || len(n.Attrs) > 0 || strings.ContainsAny(n.Name.Local, "[]/") {
		return false
	}
	return !slices.ContainsFunc(n.Children, func(c *xmltext.Node) bool { return !plain(c) })
}

// step is a step of a path: the name of an element and, where it is not the first with it, its number.
func step(name string, number int) string {
	if number == 1 {
		return name
	}
	return fmt.Sprintf("%s[%d]", name, number)
}

func addNode(d *mapping.Data, path string, n *xmltext.Node) {
	if len(n.Children) == 0 {
		d.Readings = append(d.Readings, leaf(path, n))
		return
	}
	if r, ok := measurement(path, n); ok {
		d.Readings = append(d.Readings, r)
		return
	}
	seen := map[string]int{}
	for _, c := range n.Children {
		seen[c.Name.Local]++
		addNode(d, path+"/"+step(c.Name.Local, seen[c.Name.Local]), c)
	}
}

// leaf is the reading of an element with a text.
func leaf(path string, n *xmltext.Node) obis.Reading {
	r := obis.Reading{RawID: []byte(path), Value: obis.Text([]byte(n.Text))}
	if v, ok := wholeNumber(n); ok {
		r.Value = obis.Int(v, 0)
		if slices.Contains(amounts, n.Name.Local) {
			r.Value, r.Unit = obis.Int(v, costExp), obis.Currency
		}
	}
	return r
}

// wholeNumber returns the text of an element as the number that it is.
func wholeNumber(n *xmltext.Node) (int64, bool) {
	if n == nil {
		return 0, false
	}
	v, err := strconv.ParseInt(strings.TrimSpace(n.Text), 10, 64)
	return v, err == nil && strconv.FormatInt(v, 10) == n.Text
}

// measurement returns a SummaryMeasurement with a unit as one reading.
func measurement(path string, n *xmltext.Node) (r obis.Reading, ok bool) {
	uom, ok1 := wholeNumber(n.Child("uom"))
	value, ok2 := wholeNumber(n.Child("value"))
	ten, ok3 := wholeNumber(n.Child("powerOfTenMultiplier"))
	at, ok4 := wholeNumber(n.Child("timeStamp"))
	known := 2
	for _, there := range [...]bool{ok3, ok4} {
		if there {
			known++
		}
	}
	if !ok1 || !ok2 || known != len(n.Children) || uom != int64(int32(uom)) || at < -maxSeconds || at > maxSeconds {
		return r, false
	}
	unit, exp := cim.UnitOf(int32(uom))
	if number, _ := cim.UnitNumber(unit); number != int32(uom) || ten < -100 || ten > 100 {
		return r, false
	}
	r = obis.Reading{RawID: []byte(path), Unit: unit, Value: obis.Int(value, int8(int(ten)-exp))}
	if ok4 {
		r.Time = moment(at)
	}
	return r, true
}

// isResource reports whether a raw id is that of a part of a summary or of time parameters.
func isResource(rawID []byte) bool {
	root, _, ok := bytes.Cut(rawID, []byte("/"))
	root, _, _ = bytes.Cut(root, []byte("["))
	return ok && slices.Contains(carriedResources, string(root))
}

// resources are those that readings make, in the order of the first reading of each.
type resources struct {
	list  []*Other
	nodes map[string]*xmltext.Node // by their paths
	whole map[*xmltext.Node]bool   // those that are measurements
}

// add adds what a reading says. It is not ok where the element cannot hold it.
func (x *resources) add(r *obis.Reading, at func(obis.Time) (int64, bool)) (lost string) {
	value, ok := r.Value, true
	if r.Unit == obis.Currency {
		value, ok = value.Rescale(costExp)
		n, _, _ := value.Decimal()
		value = obis.Int(n, 0)
	}
	number, exp := cim.UnitNumber(r.Unit)
	measured := r.Unit != obis.Currency && r.Unit != obis.UnitUnknown
	var ten int8
	if measured {
		value, ok = value.Shift(exp)
		_, own, isNumber := value.Decimal()
		fits := false
		ten, fits = exponentFor(own)
		n, exact := scaled(value, ten)
		value, ok = obis.Int(n, 0), ok && isNumber && fits && exact && number != 0
	}
	if k := value.Kind(); !ok || k != obis.KindInt && k != obis.KindText || k == obis.KindInt && value.Exp() != 0 {
		return "a value that its element cannot hold"
	}
	if text, ok := value.Bytes(); ok && !xmltext.Fits(string(text)) {
		return "characters that XML does not have"
	}
	n := x.node(string(r.RawID))
	if n == nil {
		return "its place: it is no path of elements"
	}
	if !measured {
		n.Text = value.String()
		return ""
	}
	child := func(name string, v int64) {
		n.Children = append(n.Children, &xmltext.Node{Name: xmltext.Name{Space: espiSpace, Local: name}, Text: strconv.FormatInt(v, 10)})
	}
	x.whole[n] = true
	v, _, _ := value.Decimal()
	child("powerOfTenMultiplier", int64(ten))
	if seconds, ok := at(r.Time); ok {
		child("timeStamp", seconds)
	} else if !r.Time.IsZero() {
		lost = "its time, which is no instant of whole seconds"
	}
	child("uom", int64(number))
	child("value", v)
	return lost
}

// maxDepth is how deep elements of a resource may be.
const maxDepth = 16

// node returns the element of a path, which it makes with those above it. It is
// nil for what is no path, or of an element that has been made.
func (x *resources) node(path string) *xmltext.Node {
	if x.nodes[path] != nil || strings.Count(path, "/") > maxDepth {
		return nil
	}
	above, last, nested := "", path, false
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		above, last, nested = path[:i], path[i+1:], true
	}
	name, _, _ := strings.Cut(last, "[")
	if !xmltext.IsName(name) {
		return nil
	}
	n := &xmltext.Node{Name: xmltext.Name{Space: espiSpace, Local: name}}
	if nested {
		parent := x.nodes[above]
		if parent == nil {
			parent = x.node(above)
		}
		if parent == nil || parent.Text != "" || x.whole[parent] {
			return nil
		}
		parent.Children = append(parent.Children, n)
	} else {
		x.list = append(x.list, &Other{n})
	}
	x.nodes[path] = n
	return n
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/cim"
	"github.com/openusm/meter/mapping/coap"
	"github.com/openusm/meter/mapping/greenbutton"
	"github.com/openusm/meter/mapping/ied"
	"github.com/openusm/meter/mapping/ngsild"
	"github.com/openusm/meter/mapping/timeseries"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/result"
)

// mapTarget makes a document of what meters said.
type mapTarget func(list []*mapping.Data, rules io.Reader) ([]byte, []mapping.Loss, error)

// mapSource reads what a document says of meters. What it could not read it names.
type mapSource func(doc []byte, rules io.Reader) (list []*mapping.Data, unread []string, err error)

var mapTargets = map[string]mapTarget{
	"cim": toCIM, "espi": toESPI, "json": toJSON, "csv": toCSV, "ngsild": toNGSILD, "iec61850": toIEC61850, "homeassistant": toHomeAssistant, "parquet": toParquet,
	"senml": each(toSenML), "senml-cbor": each(toSenMLCBOR), "lwm2m": toLwM2M,
	"influx": each(func(d *mapping.Data) ([]byte, []mapping.Loss, error) {
		lines, lost := timeseries.AppendInflux(nil, d)
		return lines, lost, nil
	}),
	"prom": func(list []*mapping.Data, rules io.Reader) ([]byte, []mapping.Loss, error) {
		if rules != nil {
			return nil, nil, usagef("this target has no rules")
		}
		text, lost := timeseries.AppendPrometheus(nil, list...)
		return text, lost, nil
	},
}

var mapSources = map[string]mapSource{"json": fromJSON, "cim": fromCIM, "espi": fromESPI, "senml": fromSenML(coap.ParseSenML), "senml-cbor": fromSenML(coap.ParseSenMLCBOR)}

func (a *app) mapCommand() *cobra.Command {
	var from, to, rules string
	targets, sources := names(mapTargets), names(mapSources)
	cmd := &cobra.Command{
		Use:   "map --to " + strings.Join(targets, "|") + " [FILE|-]",
		Short: "Turn readings into the document of another system, and back",
		Long: `map reads the JSON of meterctl (or, with --from, another document) and writes what --to names.
What the target cannot carry is named on standard error.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			source, target := mapSources[from], mapTargets[to]
			if source == nil {
				return usagef("cannot map from %q: one of %s", from, strings.Join(sources, ", "))
			}
			if target == nil {
				return usagef("cannot map to %q: one of %s", to, strings.Join(targets, ", "))
			}
			in, err := a.mapInput(args)
			if err != nil {
				return err
			}
			defer in.Close()
			own, err := readRules(rules)
			if err != nil {
				return err
			}
			clock, err := a.clock()
			if err != nil {
				return err
			}
			if from == "json" {
				return a.mapStream(in, to, own, clock)
			}
			return a.mapDocument(in, source, target, own, clock)
		},
	}
	cmd.Flags().StringVar(&from, "from", "json", "what the input is: "+strings.Join(sources, ", "))
	cmd.Flags().StringVar(&to, "to", "", "what to write: "+strings.Join(targets, ", "))
	cmd.Flags().StringVar(&rules, "rules", "", "CSV file with rules that come before the target's own")
	return cmd
}

func names[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// mapInput opens a file, or standard input.
func (a *app) mapInput(args []string) (io.ReadCloser, error) {
	if len(args) == 0 || args[0] == "-" {
		return io.NopCloser(a.stdin), nil
	}
	f, err := os.Open(args[0])
	if err != nil {
		return nil, usageError{err}
	}
	return struct {
		io.Reader
		io.Closer
	}{interruptible(a.ctx, f), f}, nil
}

// readRules reads a user's file of rules, nil where none is named.
func readRules(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	own, err := os.ReadFile(name)
	if err != nil {
		return nil, configError{err}
	}
	return own, nil
}

// streamed are the targets of which each result is a part of its own.
var streamed = map[string]bool{"influx": true, "senml": true, "senml-cbor": true, "homeassistant": true, "ngsild": true, "lwm2m": true, "iec61850": true}

// mapStream maps results of meterctl, each as it comes where the target allows that.
func (a *app) mapStream(in io.Reader, to string, rules []byte, clock obis.Clock) error {
	var list []*mapping.Data
	var nothing error // of one result could be written
	var bad error     // what could not be read
	target := mapTargets[to]
	switch to {
	case "homeassistant":
		target = homeAssistant() // that has announced nothing yet
	case "iec61850":
		target = iec61850Values() // that knows no meter yet
	}
	documents := json.NewDecoder(in)
	read := 0
	for n := 1; ; n++ {
		var raw json.RawMessage
		if err := documents.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if interrupted := a.ctx.Err(); interrupted != nil {
			return interrupted
		} else if err != nil {
			bad = errors.Join(bad, fmt.Errorf("result %d: %w", n, err))
			break // nobody knows where the next one begins
		}
		r := &meter.Result{}
		if err := r.UnmarshalJSON(raw); err != nil {
			bad = errors.Join(bad, fmt.Errorf("result %d: %w", n, err))
			continue
		}
		r.Clock = clock
		read++
		switch {
		case to == "json":
			if err := a.printJSON(r, "  "); err != nil {
				return err
			}
		case streamed[to]:
			err := a.mapTo([]*mapping.Data{r.Data()}, target, rules)
			if errors.Is(err, errNothingCarried) {
				nothing = err
			} else if err != nil {
				return err
			}
		default:
			list = append(list, r.Data())
		}
	}
	if bad != nil && read == 0 {
		return fmt.Errorf("%w: %w", meter.ErrFrame, bad)
	} else if bad != nil {
		bad = fmt.Errorf("%w: %w", meter.ErrPartial, bad)
	}
	if to == "json" || streamed[to] {
		return errors.Join(bad, nothing)
	}
	return errors.Join(bad, a.mapTo(list, target, rules))
}

// mapDocument maps a document of another system, which is read whole.
func (a *app) mapDocument(in io.Reader, source mapSource, target mapTarget, rules []byte, clock obis.Clock) error {
	doc, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(doc) > maxInput {
		err = usagef("more than %d MiB of input", maxInput>>20)
	}
	if err != nil {
		return err
	}
	list, unread, err := source(doc, reader(rules))
	if err != nil {
		return fmt.Errorf("%w: %w", meter.ErrFrame, err)
	}
	for _, what := range unread {
		fmt.Fprintln(a.stderr, "warning: not read:", what)
	}
	for _, d := range list {
		d.Clock = clock
	}
	return a.mapTo(list, target, rules)
}

// mapTo writes what a target makes of data, and names what it cannot carry.
func (a *app) mapTo(list []*mapping.Data, target mapTarget, rules []byte) error {
	out, lost, err := target(list, reader(rules))
	if err != nil {
		return err
	}
	for _, l := range lost {
		fmt.Fprintf(a.stderr, "warning: not carried: %v\n", l)
	}
	if _, err = a.stdout.Write(out); err != nil {
		return err
	}
	return carried(out, list...)
}

// reader returns a reader of a file of rules, nil where there is none.
func reader(rules []byte) io.Reader {
	if rules == nil {
		return nil
	}
	return bytes.NewReader(rules)
}

// each makes a target of one that knows one meter: the documents follow one another.
func each(one func(*mapping.Data) ([]byte, []mapping.Loss, error)) mapTarget {
	return func(list []*mapping.Data, rules io.Reader) (out []byte, lost []mapping.Loss, err error) {
		if rules != nil {
			return nil, nil, usagef("this target has no rules")
		}
		for _, d := range list {
			doc, l, err := one(d)
			if err != nil {
				return nil, nil, err
			}
			out, lost = append(out, doc...), append(lost, l...)
		}
		return out, lost, nil
	}
}

func fromJSON(doc []byte, rules io.Reader) (list []*mapping.Data, _ []string, err error) {
	for in := json.NewDecoder(bytes.NewReader(doc)); ; {
		r := &meter.Result{}
		if err := in.Decode(r); errors.Is(err, io.EOF) {
			return list, nil, nil
		} else if err != nil {
			return nil, nil, err
		}
		list = append(list, r.Data())
	}
}

func toJSON(list []*mapping.Data, _ io.Reader) (out []byte, _ []mapping.Loss, err error) {
	for _, d := range list {
		raw, err := (&meter.Result{Meter: d.Meter, Readings: d.Readings, Profiles: d.Profiles, Events: d.Events, Clock: d.Clock, Received: d.Received}).MarshalJSON()
		if err != nil {
			return nil, nil, err
		}
		out = append(append(out, indentJSON(raw)...), '\n')
	}
	return out, nil, nil
}

func toCSV(list []*mapping.Data, _ io.Reader) ([]byte, []mapping.Loss, error) {
	var clock obis.Clock // which all of them have
	if len(list) > 0 {
		clock = list[0].Clock
	}
	return timeseries.AppendCSV(nil, timeIn(clock), list...), nil, nil
}

// timeIn returns how times of a meter with this clock are written.
func timeIn(clock obis.Clock) timeseries.AppendTime {
	return func(dst []byte, t obis.Time) []byte { return result.AppendTimeText(dst, t, clock) }
}

// ownRules reads a user's rules of a target; nil, for which the built-in ones
// stand, where there are none.
func ownRules[T any](rules io.Reader, read func(io.Reader) (*T, error)) (*T, error) {
	if rules == nil {
		return nil, nil
	}
	r, err := read(rules)
	if err != nil {
		return nil, configError{err}
	}
	return r, nil
}

func toCIM(list []*mapping.Data, rules io.Reader) ([]byte, []mapping.Loss, error) {
	r, err := ownRules(rules, cim.ReadRules)
	if err != nil {
		return nil, nil, err
	}
	all := &cim.Document{}
	var lost []mapping.Loss
	for _, d := range list {
		lost = append(lost, all.Add(d, r)...)
	}
	return all.AppendXML(nil), lost, nil
}

func fromCIM(doc []byte, rules io.Reader) ([]*mapping.Data, []string, error) {
	r, err := ownRules(rules, cim.ReadRules)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := cim.Parse(doc)
	if err != nil {
		return nil, nil, err
	}
	list, unread := parsed.Data(r)
	return list, unread, nil
}

func toESPI(list []*mapping.Data, rules io.Reader) ([]byte, []mapping.Loss, error) {
	r, err := ownRules(rules, cim.ReadRules)
	if err != nil {
		return nil, nil, err
	}
	all := &greenbutton.Feed{}
	var lost []mapping.Loss
	for _, d := range list {
		lost = append(lost, all.Add(d, &greenbutton.Options{Rules: r})...)
	}
	if len(list) == 0 {
		all.Add(&mapping.Data{}, nil)
	}
	return all.AppendXML(nil), lost, nil
}

func toNGSILD(list []*mapping.Data, rules io.Reader) (out []byte, lost []mapping.Loss, err error) {
	r, err := ownRules(rules, ngsild.ReadRules)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range list {
		var l []mapping.Loss
		out, l = ngsild.Append(out, d, r)
		out, lost = append(out, '\n'), append(lost, l...)
	}
	return out, lost, nil
}

func toIEC61850(list []*mapping.Data, rules io.Reader) ([]byte, []mapping.Loss, error) {
	return iec61850Values()(list, rules)
}

// iec61850Values returns a target that writes the values of the IED that "meterctl expose
// --as iec61850" shows, one on each line. Each meter is an IED of its own: METER, METER2, …
func iec61850Values() mapTarget {
	ieds := map[string]string{} // by meter
	return func(list []*mapping.Data, rules io.Reader) (out []byte, lost []mapping.Loss, err error) {
		o := &ied.Options{}
		if o.Rules, err = ownRules(rules, ied.ReadRules); err != nil {
			return nil, nil, err
		}
		for _, d := range list {
			if _, known := ieds[d.Meter.ID]; !known {
				ieds[d.Meter.ID] = "METER"
				if n := len(ieds); n > 1 {
					ieds[d.Meter.ID] += strconv.Itoa(n)
				}
			}
			o.IED, o.Clock, o.Received = ieds[d.Meter.ID], d.Clock, d.Received
			device, l, err := ied.New(d.Meter, d.Readings, o)
			if err != nil {
				return nil, nil, err
			}
			out, lost = ied.AppendValues(out, device.Model), append(lost, d.Gather(slices.Concat(l, mapping.ReadingsOnly(d), mapping.StatusLost(d)))...)
		}
		return out, lost, nil
	}
}

func toHomeAssistant(list []*mapping.Data, rules io.Reader) ([]byte, []mapping.Loss, error) {
	return homeAssistant()(list, rules)
}

// homeAssistant returns a target that writes one line for each message, its topic and
// its payload. A device is announced when it is new or has changed.
func homeAssistant() mapTarget {
	announced := map[string]string{}
	return each(func(d *mapping.Data) (out []byte, lost []mapping.Loss, err error) {
		first := true // which is the announcement
		lost = timeseries.HomeAssistant(d, "meter", func(topic, payload []byte) {
			if known := announced[string(topic)] == string(payload); !first || !known {
				out = fmt.Appendf(out, "{\"topic\":%q,\"payload\":%s}\n", topic, payload)
			}
			if first {
				announced[string(topic)] = string(payload)
			}
			first = false
		})
		return out, lost, nil
	})
}

func toSenML(d *mapping.Data) ([]byte, []mapping.Loss, error) {
	pack, lost := coap.AppendSenML(nil, d)
	return append(pack, '\n'), lost, nil
}

func toSenMLCBOR(d *mapping.Data) ([]byte, []mapping.Loss, error) {
	pack, lost := coap.AppendSenMLCBOR(nil, d)
	return pack, lost, nil
}

// toLwM2M writes one line for each meter.
func toLwM2M(list []*mapping.Data, rules io.Reader) (out []byte, lost []mapping.Loss, err error) {
	r, err := ownRules(rules, coap.ReadRules)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range list {
		var l []mapping.Loss
		out, l = coap.AppendLwM2M(out, d, r)
		out, lost = append(out, '\n'), append(lost, l...)
	}
	return out, lost, nil
}

func fromSenML(parse func([]byte) (*mapping.Data, []string, error)) mapSource {
	return func(doc []byte, _ io.Reader) ([]*mapping.Data, []string, error) {
		d, unread, err := parse(doc)
		return []*mapping.Data{d}, unread, err
	}
}

func fromESPI(doc []byte, rules io.Reader) ([]*mapping.Data, []string, error) {
	r, err := ownRules(rules, cim.ReadRules)
	if err != nil {
		return nil, nil, err
	}
	feed, err := greenbutton.Parse(doc)
	if err != nil {
		return nil, nil, err
	}
	list, unread := feed.Data(r)
	return list, unread, nil
}

package greenbutton

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/cim"
	"github.com/openusm/meter/obis"
)

// entry returns an entry with its links, each "rel=href", and its content.
func entry(content string, links ...string) string {
	out := "<entry>"
	for _, l := range links {
		rel, href, _ := strings.Cut(l, "=")
		out += fmt.Sprintf(`<link rel="%s" href="%s"/>`, rel, href)
	}
	return out + "<content>" + content + "</content></entry>"
}

// feedOf returns a feed of entries, whose resources are in the namespace of ESPI.
func feedOf(entries ...string) []byte {
	doc := `<feed xmlns="` + atomSpace + `">` + strings.Join(entries, "") + "</feed>"
	for _, name := range []string{"UsagePoint", "MeterReading", "ReadingType", "IntervalBlock", "UsageSummary", "LocalTimeParameters"} {
		doc = strings.NewReplacer("<"+name+">", "<"+name+` xmlns="`+espiSpace+`">`, "<"+name+"/>", "<"+name+` xmlns="`+espiSpace+`"/>`).Replace(doc)
	}
	return []byte(doc)
}

const (
	point   = "<UsagePoint><ServiceCategory><kind>0</kind></ServiceCategory></UsagePoint>"
	watts   = "<accumulationBehaviour>4</accumulationBehaviour><commodity>1</commodity><flowDirection>1</flowDirection><kind>12</kind><uom>72</uom>"
	pointAt = "self=/U/1"
)

// single is a feed of one usage point, with a reading of a type and a block.
func single(typeElements, block string, more ...string) []byte {
	return feedOf(append([]string{
		entry(point, pointAt, "related=/U/1/M", "related=/L/1"), entry("<MeterReading/>", "self=/U/1/M/1", "up=/U/1/M", "related=/U/1/M/1/B", "related=/T/1"),
		entry("<ReadingType>"+typeElements+"</ReadingType>", "self=/T/1"), entry("<IntervalBlock>"+block+"</IntervalBlock>", "self=/U/1/M/1/B/1", "up=/U/1/M/1/B"),
	}, more...)...)
}

// value returns an interval reading.
func value(start, duration, value int64) string {
	return fmt.Sprintf("<IntervalReading><timePeriod><duration>%d</duration><start>%d</start></timePeriod><value>%d</value></IntervalReading>", duration, start, value)
}

// thereAndBack reads a feed and writes it again, and returns both what was read and what was written.
func thereAndBack(t *testing.T, doc []byte) (list []*mapping.Data, unread []string, again []byte, lost []mapping.Loss) {
	t.Helper()
	feed, err := Parse(doc)
	require.NoError(t, err)
	list, unread = feed.Data(nil)
	out, lost := New(list[0], nil)
	again = out.AppendXML(nil)
	feed, err = Parse(again)
	require.NoError(t, err)
	back, _ := feed.Data(nil)
	require.Equal(t, list[0].Readings, back[0].Readings)
	require.Equal(t, list[0].Profiles, back[0].Profiles)
	return list, unread, again, lost
}

// Months, and days of 23 and 25 hours, keep their own starts and durations.
func TestUnequalIntervals(t *testing.T) {
	for zone, days := range map[string][]time.Time{
		"Europe/Berlin":       {time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 24, 0, 0, 0, 0, time.UTC)},
		"America/New_York":    {time.Date(2026, 3, 7, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 31, 0, 0, 0, 0, time.UTC)},
		"Australia/Lord_Howe": {time.Date(2026, 4, 4, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 3, 0, 0, 0, 0, time.UTC)},
	} {
		place, err := time.LoadLocation(zone)
		require.NoError(t, err)
		for _, step := range []int{0, 1} { // months, days
			for _, first := range days {
				block, length := "", 2592000
				if step == 1 {
					length = 86400
				}
				var want []string
				for i := range 4 {
					from := time.Date(first.Year(), first.Month(), first.Day()*step+1-step+i*step, 0, 0, 0, 0, place).AddDate(0, i*(1-step), 0)
					to := from.AddDate(0, 1-step, step)
					block += value(from.Unix(), int64(to.Sub(from).Seconds()), int64(i+1))
					want = append(want, from.UTC().Format(time.RFC3339)+" "+to.UTC().Format(time.RFC3339))
				}
				doc := single(watts+fmt.Sprintf("<intervalLength>%d</intervalLength>", length), block)
				list, unread, again, lost := thereAndBack(t, doc)
				require.Empty(t, unread)
				require.Empty(t, lost)
				require.Equal(t, facts(t, doc), facts(t, again))
				p := list[0].Profiles[0]
				for i := range want {
					require.Equal(t, want[i], fmt.Sprint(p.Starts[i], " ", p.Times[i]))
				}
			}
		}
	}
}

// Quarter hours need no starts of their own, and those that follow from the block neither.
func TestRegularIntervals(t *testing.T) {
	doc := single(watts+"<intervalLength>900</intervalLength>", "<interval><duration>2700</duration><start>1767225600</start></interval>"+
		"<IntervalReading><value>1</value></IntervalReading><IntervalReading><value>x</value></IntervalReading><IntervalReading><value>3</value></IntervalReading>")
	list, unread, again, lost := thereAndBack(t, doc)
	require.Len(t, unread, 1)
	require.Empty(t, lost)
	p := list[0].Profiles[0]
	require.Empty(t, p.Starts)
	require.Equal(t, "2026-01-01T00:15:00Z 2026-01-01T00:45:00Z", fmt.Sprint(p.Times[0], " ", p.Times[1]))
	require.Contains(t, string(again), "<duration>900</duration><start>1767227400</start></timePeriod><value>3</value>")
}

// A time without its duration, or without its start, is no time of the year 1970.
func TestHalfTimes(t *testing.T) {
	doc := single(watts+"<intervalLength>900</intervalLength>", "<interval><duration>1800</duration><start>1767225600</start></interval>"+
		"<IntervalReading><timePeriod><duration>900</duration></timePeriod><value>1</value></IntervalReading><IntervalReading><timePeriod><start>1767226500</start></timePeriod><value>2</value></IntervalReading>")
	list, unread, _, lost := thereAndBack(t, doc)
	require.Empty(t, unread)
	require.Empty(t, lost)
	require.Equal(t, "[2026-01-01T00:15:00Z 2026-01-01T00:30:00Z] []", fmt.Sprint(list[0].Profiles[0].Times, " ", list[0].Profiles[0].Starts))
	feed, err := Parse(doc)
	require.NoError(t, err)
	require.Contains(t, string(feed.AppendXML(nil)), "<timePeriod><start>1767226500</start></timePeriod>")
}

// What no link joins is named, and not guessed.
func TestOrphans(t *testing.T) {
	doc := feedOf(entry(point, pointAt, "related=/U/1/M"),
		entry("<MeterReading/>", "self=/U/1/M/1", "up=/U/1/M", "related=/U/1/M/1/B", "related=/T/1"),
		entry("<MeterReading/>", "self=/U/1/M/2", "up=/U/1/M", "related=/U/1/M/2/B", "related=/T/9"),
		entry("<MeterReading/>", "self=/U/7/M/3", "up=/U/7/M"),
		entry("<ReadingType>"+watts+"</ReadingType>", "self=/T/1"), entry("<ReadingType>"+watts+"</ReadingType>", "self=/T/2"),
		entry("<IntervalBlock>"+value(0, 0, 5)+"</IntervalBlock>", "self=/U/1/M/1/B/1", "up=/U/1/M/1/B"),
		entry("<IntervalBlock>"+value(0, 0, 6)+"</IntervalBlock>", "self=https://a.example/U/1/M/2/B/1", "up=https://a.example/U/1/M/2/B"),
		entry("<IntervalBlock>"+value(0, 0, 7)+"</IntervalBlock>", "self=/U/1/M/9/B/1", "up=/U/1/M/9/B"),
		entry("<UsageSummary><statusTimeStamp>1</statusTimeStamp></UsageSummary>", "self=/U/8/S/1"))
	feed, err := Parse(doc)
	require.NoError(t, err)
	list, unread := feed.Data(nil)
	require.Equal(t, []string{
		"MeterReading /U/1/M/2: no link joins it to a reading type", "UsageSummary", "MeterReading /U/7/M/3: no link joins it to a usage point",
		"IntervalBlock /U/1/M/9/B/1: no link joins it to a meter reading", "ReadingType /T/2: no link joins it to a meter reading",
	}, unread)
	require.Len(t, list, 1)
	require.Len(t, list[0].Readings, 2)
	r := list[0].Readings[0]
	require.Equal(t, "5 Wh good", fmt.Sprint(r.Value, " ", r.Unit, " ", r.Quality.Flags))
	r = list[0].Readings[1]
	require.Equal(t, "/U/1/M/2 6  none scaler-unknown", fmt.Sprint(r.ID(), " ", r.Value, " ", r.Unit, " ", r.Rule, " ", r.Quality.Flags))
}

// Cost, tier, time of use and critical peak stay with their values; so does the currency, in the type.
func TestBesides(t *testing.T) {
	block := "<IntervalReading><cost>1525</cost><timePeriod><duration>900</duration><start>1767225600</start></timePeriod><value>12</value><consumptionTier>1</consumptionTier><tou>2</tou><cpp>0</cpp></IntervalReading>" +
		"<IntervalReading><cost>-7</cost><timePeriod><duration>900</duration><start>1767226500</start></timePeriod><value>13</value><tou>3</tou></IntervalReading>"
	doc := single(watts+"<currency>840</currency><intervalLength>900</intervalLength><powerOfTenMultiplier>-3</powerOfTenMultiplier>", block)
	list, unread, again, lost := thereAndBack(t, doc)
	require.Empty(t, unread)
	require.Empty(t, lost)
	require.Equal(t, facts(t, doc), facts(t, again))
	p := list[0].Profiles[0]
	var got []string
	for _, c := range p.Columns {
		id := obis.Reading{Code: c.Code, RawID: c.RawID}
		got = append(got, fmt.Sprint(id.ID(), " ", c.At(0), " ", c.At(1), " ", c.Unit))
	}
	const raw = "0.0.0.4.1.1.12.0.0.0.0.0.0.0.0.-3.72.840"
	require.Equal(t, []string{"1-0:1.29.0*255 0.012 0.013 Wh", raw + "/cost 0.01525 -0.00007 currency", raw + "/consumptionTier 1  ", raw + "/tou 2 3 ", raw + "/cpp 0  "}, got)

	doc = single(watts+"<currency>978</currency>", strings.Replace(block[:strings.Index(block, "</IntervalReading>")+len("</IntervalReading>")], "<value>12</value>", "", 1))
	list, _, again, lost = thereAndBack(t, doc)
	require.Empty(t, lost)
	require.Equal(t, facts(t, doc), facts(t, again))
	require.Len(t, list[0].Readings, 5)
}

// Summaries and time parameters, the second ones, too, are the same behind the model.
func TestResources(t *testing.T) {
	summary := "<UsageSummary><billingPeriod><duration>2678400</duration><start>1767225600</start></billingPeriod><billLastPeriod>15303000</billLastPeriod>" +
		"<costAdditionalDetailLastPeriod><amount>100</amount><note>Tax &amp; duty </note></costAdditionalDetailLastPeriod><costAdditionalDetailLastPeriod><amount>200</amount><note>007</note></costAdditionalDetailLastPeriod>" +
		"<currency>840</currency><overallConsumptionLastPeriod><powerOfTenMultiplier>3</powerOfTenMultiplier><timeStamp>1769904000</timeStamp><uom>72</uom><value>610314</value></overallConsumptionLastPeriod>" +
		"<currentDayNetConsumption><uom>5000</uom><value>1</value></currentDayNetConsumption><qualityOfReading>14</qualityOfReading><statusTimeStamp>1770000000</statusTimeStamp></UsageSummary>"
	times := "<LocalTimeParameters><dstEndRule>B40E2000</dstEndRule><dstOffset>3600</dstOffset><dstStartRule>360E2000</dstStartRule><tzOffset>-18000</tzOffset></LocalTimeParameters>"
	doc := single(watts, value(0, 0, 5), entry(summary, "self=/U/1/S/1", "up=/U/1/S"), entry(summary, "self=/U/1/S/2", "up=/U/1/S"), entry(times, "self=/L/1", "up=/L"))
	list, unread, again, lost := thereAndBack(t, doc)
	require.Empty(t, unread)
	require.Empty(t, lost)
	for _, resource := range []string{summary, summary, times} {
		name := resource[:strings.IndexByte(resource, '>')]
		resource = strings.Replace(resource, name, name+` xmlns="`+espiSpace+`"`, 1)
		require.Contains(t, string(again), resource)
		again = []byte(strings.Replace(string(again), resource, "", 1))
	}
	values := map[string]string{}
	for _, r := range list[0].Readings {
		values[string(r.RawID)] = fmt.Sprint(r.Value, " ", r.Unit, " ", r.Time)
	}
	require.Equal(t, "610314000 Wh 2026-02-01T00:00:00Z", values["UsageSummary/overallConsumptionLastPeriod"])
	require.Equal(t, "153.03000 currency ", values["UsageSummary[2]/billLastPeriod"])
	require.Equal(t, "007  ", values["UsageSummary/costAdditionalDetailLastPeriod[2]/note"])
	require.Equal(t, "-18000  ", values["LocalTimeParameters/tzOffset"])
}

// What readings cannot be in a resource is said.
func TestResourceLosses(t *testing.T) {
	d := &mapping.Data{Readings: []obis.Reading{
		{RawID: []byte("UsageSummary/currency"), Value: obis.Int(840, 0)}, {RawID: []byte("UsageSummary/currency"), Value: obis.Int(978, 0)},
		{RawID: []byte("UsageSummary/currency/x"), Value: obis.Int(1, 0)}, {RawID: []byte("UsageSummary/1"), Value: obis.Int(1, 0)},
		{RawID: []byte("UsageSummary/peakDemand"), Value: obis.Int(1, 0), Unit: obis.HCAUnit}, {RawID: []byte("UsageSummary/billToDate"), Value: obis.Int(1, -9), Unit: obis.Currency},
		{RawID: []byte("UsageSummary/readCycle"), Value: obis.Text([]byte("a\x00"))}, {RawID: []byte("UsageSummary/" + strings.Repeat("a/", 20) + "b"), Value: obis.Int(1, 0)},
	}}
	feed, lost := New(d, nil)
	said := 0
	for _, l := range lost {
		said += 1 + len(l.More)
	}
	require.Equal(t, 6, said, "%v", lost)
	_, err := Parse(feed.AppendXML(nil))
	require.NoError(t, err)
}

// What the schema says of a quality is what the flags say, and what they do not say is named.
func TestQualities(t *testing.T) {
	for number, want := range map[int]string{
		0: "validated", 7: "edited", 8: "estimated", 9: "estimated,derived", 10: "questionable", 11: "derived", 12: "projected", 13: "questionable",
		14: "good", 15: "derived", 16: "questionable", 17: "validated", 18: "validated", 19: "validated", 99: "questionable",
	} {
		for _, where := range []string{"value", "default"} {
			quality, typ := fmt.Sprintf("<ReadingQuality><quality>%d</quality></ReadingQuality>", number), watts
			if where == "default" {
				quality, typ = "", watts+fmt.Sprintf("<defaultQuality>%d</defaultQuality>", number)
			}
			feed, err := Parse(single(typ, "<IntervalReading>"+quality+"<value>5</value></IntervalReading>"))
			require.NoError(t, err)
			list, unread := feed.Data(nil)
			require.Equal(t, want, list[0].Readings[0].Quality.Flags.String(), number)
			said := number == 9 || number >= 13
			require.Equal(t, said, len(unread) == 1, "%d: %v", number, unread)
		}
	}
	for flag, want := range map[obis.Flags]string{
		obis.Invalid: "[10] invalid", obis.Questionable: "[10] good", obis.Estimated: "[8] good", obis.Validated: "[0] good", obis.Substituted: "[7] substituted",
		obis.PowerDown: "[] power-down", obis.SensorFailure: "[10] sensor-failure", obis.Estimated | obis.Overflow: "[8 10] overflow",
	} {
		list, left := cim.ESPIQualities(flag)
		require.Equal(t, want, fmt.Sprint(list, " ", left))
	}
	doc := single(watts+"<defaultQuality>8</defaultQuality><intervalLength>900</intervalLength>", value(0, 900, 1)+value(900, 900, 1))
	_, _, again, _ := thereAndBack(t, doc)
	require.Contains(t, string(again), "<defaultQuality>8</defaultQuality>")
	require.Equal(t, 2, strings.Count(string(again), "<quality>8</quality>"))
}

// One row without an instant is one row lost, and one that is no number one value.
func TestBadRows(t *testing.T) {
	p := &obis.Profile{Period: 900, Columns: []obis.Column{{Code: obis.MustParse("1-0:1.29.0"), Unit: obis.WattHour}}}
	for i := range 100 {
		p.Times = append(p.Times, moment(int64(900*i)))
		p.Columns[0].Append(obis.Int(int64(i), 0))
	}
	p.Times[50] = obis.LocalTime(2026, 1, 1, 0, 0, 0)
	p.Columns[0].Nums[7] = 1 << 60
	feed, lost := New(&mapping.Data{Profiles: []*obis.Profile{p}}, nil)
	require.Equal(t, "[profile 0: rows whose time is no instant (1 row) profile 0: values that are no numbers of 48 bits (1 row)]", fmt.Sprint(lost))
	list, _ := feed.Data(nil)
	require.Equal(t, 99, list[0].Profiles[0].Len())
}

// A type without a code goes through unchanged, and one with a code keeps what the code does not say.
func TestForeignTypes(t *testing.T) {
	for _, typ := range []string{
		"<accumulationBehaviour>4</accumulationBehaviour><commodity>1</commodity><dataQualifier>12</dataQualifier><flowDirection>1</flowDirection><kind>12</kind><phase>769</phase><powerOfTenMultiplier>0</powerOfTenMultiplier><timeAttribute>2</timeAttribute><uom>72</uom>",
		"<accumulationBehaviour>4</accumulationBehaviour><commodity>7</commodity><kind>58</kind><timeAttribute>13</timeAttribute><uom>169</uom><powerOfTenMultiplier>-2</powerOfTenMultiplier>",
		"<accumulationBehaviour>9</accumulationBehaviour><commodity>2</commodity><kind>99</kind><uom>5000</uom><argument><numerator>1</numerator><denominator>3</denominator></argument>",
	} {
		doc := single(typ+"<intervalLength>3600</intervalLength>", value(0, 3600, 1)+value(3600, 3600, 2))
		list, unread, again, lost := thereAndBack(t, doc)
		require.Empty(t, unread)
		require.Empty(t, lost)
		require.Equal(t, facts(t, doc), facts(t, again))
		require.NotEmpty(t, list[0].Profiles[0].Columns[0].RawID)
	}
}

// A usage point is of the service of what it measures.
func TestServices(t *testing.T) {
	for commodity, service := range map[int]int{1: 0, 2: 0, 7: 1, 9: 2, 11: 6, 12: 4, 25: 5} {
		typ := fmt.Sprintf("<commodity>%d</commodity><uom>42</uom>", commodity)
		if commodity == 9 { // which says no more than its usage point
			typ = "<uom>42</uom>"
		}
		doc := single(typ, value(0, 0, 5))
		doc = []byte(strings.Replace(string(doc), "<kind>0</kind>", fmt.Sprintf("<kind>%d</kind>", service), 1))
		_, _, again, _ := thereAndBack(t, doc)
		require.Contains(t, string(again), fmt.Sprintf("<kind>%d</kind></ServiceCategory>", service))
	}
}

// Hot water goes as water, which is said; the code is named beside it.
func TestHotWater(t *testing.T) {
	_, lost := New(&mapping.Data{Readings: []obis.Reading{{Code: obis.MustParse("9-0:1.0.0"), Unit: obis.CubicMetre, Value: obis.Int(5, 0)}}}, nil)
	require.Equal(t, "[reading 0: that the water is hot: there is no number for it (9-0:1.0.0*255)]", fmt.Sprint(lost))
}

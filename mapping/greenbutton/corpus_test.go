package greenbutton

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
)

// foreign is a feed as encoding/xml has it: a second, independent count.
type foreign struct {
	Entries []struct {
		Blocks []struct {
			Readings []struct {
				Cost   string `xml:"cost"`
				TOU    string `xml:"tou"`
				Tier   string `xml:"consumptionTier"`
				Period *struct {
					Start    int64 `xml:"start"`
					Duration int64 `xml:"duration"`
				} `xml:"timePeriod"`
				Value *int64 `xml:"value"`
			} `xml:"IntervalReading"`
		} `xml:"content>IntervalBlock"`
		Types []struct {
			Unit         string `xml:"uom"`
			Kind         string `xml:"kind"`
			Flow         string `xml:"flowDirection"`
			Accumulation string `xml:"accumulationBehaviour"`
			Commodity    string `xml:"commodity"`
			Time         string `xml:"timeAttribute"`
			Currency     string `xml:"currency"`
			Length       string `xml:"intervalLength"`
			Ten          string `xml:"powerOfTenMultiplier"`
		} `xml:"content>ReadingType"`
		Times []struct {
			Zone string `xml:"tzOffset"`
			Rule string `xml:"dstEndRule"`
		} `xml:"content>LocalTimeParameters"`
	} `xml:"entry"`
}

// facts returns what the intervals, types and time parameters of a feed say, in any order.
func facts(t *testing.T, doc []byte) (list []string) {
	t.Helper()
	var f foreign
	require.NoError(t, xml.Unmarshal(doc, &f))
	zero := func(s string) string {
		if s == "" {
			return "0"
		}
		return s
	}
	for _, e := range f.Entries {
		for _, b := range e.Blocks {
			for _, r := range b.Readings {
				line := ""
				if r.Period != nil {
					line = fmt.Sprint(r.Period.Start, "+", r.Period.Duration)
				}
				if r.Value != nil {
					line += " = " + strconv.FormatInt(*r.Value, 10)
				}
				list = append(list, fmt.Sprint(line, " cost ", r.Cost, " tou ", r.TOU, " tier ", r.Tier))
			}
		}
		for _, x := range e.Types {
			list = append(list, strings.Join([]string{"type", zero(x.Unit), zero(x.Kind), zero(x.Flow), zero(x.Accumulation), zero(x.Commodity), zero(x.Time), zero(x.Currency), zero(x.Length), zero(x.Ten)}, " "))
		}
		for _, x := range e.Times {
			list = append(list, x.Zone+" "+x.Rule)
		}
	}
	slices.Sort(list)
	return list
}

// Every file of the corpus goes through the model and back with its intervals, values, costs and types.
func TestCorpusThereAndBack(t *testing.T) {
	names, err := filepath.Glob(corpus(t, "cim", "*", "*.xml"))
	require.NoError(t, err)
	tried := 0
	for _, name := range names {
		doc, err := os.ReadFile(name)
		require.NoError(t, err)
		feed, err := Parse(doc)
		require.NoError(t, err)
		list, unread := feed.Data(nil)
		if feed.root != "" || len(list) == 0 {
			continue
		}
		all, _ := New(&mapping.Data{}, nil)
		var losses []mapping.Loss
		for _, d := range list {
			losses = append(losses, all.Add(d, nil)...)
		}
		t.Log(filepath.Base(name), unread, losses)
		require.Equal(t, facts(t, doc), facts(t, all.AppendXML(nil)), name)
		tried++
	}
	require.Greater(t, tried, 10)
}

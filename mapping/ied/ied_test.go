package ied

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/client"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/iec61850/server"
	"github.com/openusm/meter/obis"
)

func reading(code string, u obis.Unit, mantissa int64, exp int8) obis.Reading {
	return obis.Reading{Code: obis.MustParse(code), Unit: u, Value: obis.Int(mantissa, exp), Rule: obis.RuleDeclared}
}

func household() []obis.Reading {
	at := obis.FromTime(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC))
	list := []obis.Reading{
		reading("1-0:1.8.0*255", obis.WattHour, 1234567890123, -1),
		reading("1-0:1.8.1*255", obis.WattHour, 1000, 0),
		reading("1-0:1.8.2*255", obis.WattHour, 2000, 0),
		reading("1-0:2.8.0*255", obis.WattHour, 77, 3),
		reading("1-0:1.9.0*255", obis.WattHour, 5, 0),
		reading("1-0:21.8.0*255", obis.WattHour, 6, 0),
		reading("1-0:1.7.0*255", obis.Watt, 421, 0),
		reading("1-0:2.7.0*255", obis.Watt, 3, 0),
		reading("1-0:32.7.0*255", obis.Volt, 2301, -1),
		reading("1-0:52.7.0*255", obis.Volt, 2299, -1),
		reading("1-0:31.7.0*255", obis.Ampere, 1834, -3),
		reading("1-0:14.7.0*255", obis.Hertz, 49987, -3),
		reading("1-0:1.6.0*255", obis.Watt, 4200, 0),
		reading("1-0:32.7.124*255", obis.Percent, 21, -1),
		reading("8-0:1.0.0*255", obis.CubicMetre, 123456, -3),
		{Code: obis.MustParse("0-0:96.1.0*255"), Value: obis.Text([]byte("12345678")), Rule: obis.RuleDeclared},
		{Code: obis.MustParse("1-0:72.7.0*255"), Unit: obis.Volt, Quality: obis.Quality{Flags: obis.Missing}, Rule: obis.RuleDeclared},
		{RawID: []byte("VENDOR.1"), Value: obis.Int(9, 0)},
	}
	for i := range list {
		list[i].Time = at
	}
	return list
}

// Each reading comes back with its code, its exact value and its time.
func TestReversible(t *testing.T) {
	in := household()
	d, lost, err := New(obis.Meter{ID: "M1"}, in, nil)
	require.NoError(t, err)
	var generic []int
	for _, l := range lost {
		if l.Reason == "" {
			require.Equal(t, obis.Missing, l.Flags)
			continue
		}
		generic = append(generic, l.Index)
	}
	require.Equal(t, []int{14, 15, 17}, generic, "%v", lost)
	have := map[string]obis.Reading{}
	for _, r := range Readings(d.Model, nil) {
		have[r.ID()] = r
	}
	for i := range in {
		r, ok := have[in[i].ID()]
		require.True(t, ok, in[i].ID())
		if in[i].Value.IsNone() {
			require.NotEqual(t, obis.Good, r.Quality.Validity())
			continue
		}
		require.True(t, in[i].Value.Equal(r.Value), "%s: %v, want %v", in[i].ID(), r.Value, in[i].Value)
		want, _ := in[i].Time.Instant(obis.Clock{})
		got, _ := r.Time.Instant(obis.Clock{})
		require.Equal(t, want, got)
		if in[i].Unit != obis.UnitUnknown {
			require.Equal(t, in[i].Unit, r.Unit, in[i].ID())
		}
	}
}

// IEC 61850-7-4: the exact register, its power of ten, and one node for each instance.
func TestPlaces(t *testing.T) {
	d, _, err := New(obis.Meter{}, household(), &Options{IED: "M"})
	require.NoError(t, err)
	for reference, want := range map[string]iec61850.Value{
		"MMTR/MMTR1.DmdWh.actVal":                 iec61850.Int(1234567890123),
		"MMTR/MMTR1.DmdWh.pulsQty":                iec61850.Float32(0.1),
		"MMTR/MMTR1.SupWh.pulsQty":                iec61850.Float32(1000),
		"MMTR/MMXU1.TotW.mag.f":                   iec61850.Float32(418),
		"MMTR/MMXU2.TotW.mag.f":                   iec61850.Float32(421),
		"MMTR/MMXU3.TotW.mag.f":                   iec61850.Float32(-3),
		"MMTR/MMTR1.TotWh.actVal":                 iec61850.Int(1234567120123),
		"MMTR/MMTR1.TotWh.pulsQty":                iec61850.Float32(0.1),
		"MMTR/MMXU1.PhV.phsA.cVal.mag.f":          iec61850.Float32(230.1),
		"MMTR/MMXU1.PhV.phsA.units.SIUnit":        iec61850.Int(29),
		"MMTR/MMXU1.PhV.phsC.q":                   iec61850.Invalid.Value(),
		"MMTR/MHAI1.ThdPhV.phsA.d":                iec61850.Visible("1-0:32.7.124*255"),
		"MMTR/MHAI1.ThdPhV.phsA.units.multiplier": iec61850.Int(-2),
		"MMTR/MMTN1.DmdWh.actVal":                 iec61850.Int(6),
		"MMTR/GGIO1.CntVal1.actVal":               iec61850.Int(123456),
		"MMTR/GGIO1.Str1.stVal":                   iec61850.Visible("12345678"),
	} {
		a, err := d.Model.Attribute(reference, 0)
		require.NoError(t, err)
		if q := want; a.Name == "q" {
			require.Equal(t, q.Quality().Validity(), a.Get().Quality().Validity(), reference)
			continue
		}
		require.Equal(t, want.String(), a.Get().String(), reference)
	}
}

func TestDirection(t *testing.T) {
	d, _, err := New(obis.Meter{}, household()[:1], &Options{IED: "M", Direction: ION})
	require.NoError(t, err)
	_, err = d.Model.Attribute("MMTR/MMTR1.SupWh.actVal", iec61850.ST)
	require.NoError(t, err)
}

func TestUnitThatDoesNotFitIsGeneric(t *testing.T) {
	d, lost, err := New(obis.Meter{}, []obis.Reading{reading("1-0:1.8.0", obis.VarHour, 1, 0)}, nil)
	require.NoError(t, err)
	require.Len(t, lost, 1)
	require.Equal(t, obis.VarHour, Readings(d.Model, nil)[0].Unit)
}

func TestQuality(t *testing.T) {
	for flags, want := range map[obis.Flags]string{
		0:                 "good",
		obis.Invalid:      "invalid",
		obis.Questionable: "questionable",
		obis.Old:          "old-data",
		obis.Substituted:  "substituted",
		obis.Overflow:     "overflow",
	} {
		r := obis.Reading{Quality: obis.Quality{Flags: flags}}
		q, _ := quality(&r)
		require.Contains(t, q.String(), want)
	}
}

// A client sees the value move within 100 ms.
func TestServed(t *testing.T) {
	in := household()
	d, _, err := New(obis.Meter{ID: "M1"}, in, &Options{IED: "M"})
	require.NoError(t, err)
	s, err := server.New(d.Model, nil)
	require.NoError(t, err)
	defer s.Close()
	near, far := net.Pipe()
	go func() { _ = s.Serve(t.Context(), far) }()
	reports := make(chan client.Report, 10)
	c, err := client.New(t.Context(), near, &client.Config{Information: func(i mms.Information) {
		if r, ok, err := client.ParseReport(i); ok && err == nil {
			reports <- r
		}
	}})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.WriteOne(t.Context(), mms.DomainName("MMTR", "LLN0$RP$urcbCounters01$RptEna"), iec61850.Bool(true)))
	start := time.Now()
	in[0].Value = obis.Int(1234567890124, -1)
	require.Empty(t, d.Update(in[:1], time.Time{}))
	select {
	case r := <-reports:
		require.Less(t, time.Since(start), 100*time.Millisecond)
		require.Len(t, r.Data, 2) // and the difference to the export
		v, _ := r.Data[0].Value.At(0).Int()
		require.EqualValues(t, 1234567890124, v)
	case <-time.After(5 * time.Second):
		t.Fatal("no report")
	}
}

// The table can be read, and each of its rules leads to an object that exists.
func TestRules(t *testing.T) {
	table, err := ReadRules(strings.NewReader(rulesCSV))
	require.NoError(t, err)
	require.Len(t, table.list, 2*len(builtIn()))
	require.Len(t, siUnits(), 45)
	for u, si := range siUnits() {
		_, known := iec61850.Enumeration{Values: unitValues(t)}.Text(int(si.code))
		require.True(t, known, u)
		require.True(t, !si.same || si.mul == 1 && si.div == 1, u)
	}
	for _, r := range builtIn() {
		require.True(t, iec61850.Class(r.Target.cdc), "%+v", r)
		require.Contains(t, []string{"", "single", "bool", "state", "whole", "sum", "angle"}, r.Target.when)
		for _, p := range r.Codes {
			require.False(t, r.Target.array() && p.Hi[4] >= iec61850.DefaultHarmonics, "%+v", r)
		}
	}
}

func unitValues(t *testing.T) []iec61850.EnumValue {
	e, ok := iec61850.StandardEnumeration("SIUnit")
	require.True(t, ok)
	return e.Values
}

func TestAppendValues(t *testing.T) {
	d, _, err := New(obis.Meter{}, household(), nil)
	require.NoError(t, err)
	text := string(AppendValues(nil, d.Model))
	for _, line := range []string{"METERMTR/MMTR1.DmdWh.actVal[ST]=1234567890123\n", "METERMTR/MMXU1.PhV.phsA.cVal.mag.f[MX]=230.1\n", "METERMTR/LLN0.Mod.ctlModel[CF]=0\n"} {
		require.Contains(t, text, line)
	}
}

// A user's rules come first, there and back.
func TestOwnRules(t *testing.T) {
	const header = "obis,class,object,cdc,siunit,sign,when\n"
	own, err := ReadRules(strings.NewReader(header + "7-x:3.0.0*255,MFLW,Vol,BCR,42,1,\n1-x:1.7.0,MMXU,TotW,MV,38,-1,\n"))
	require.NoError(t, err)
	in := []obis.Reading{reading("7-0:3.0.0", obis.CubicMetre, 5, -2), reading("1-0:1.7.0", obis.Watt, 7, 0), reading("1-0:2.8.0", obis.WattHour, 7, 0)}
	d, lost, err := New(obis.Meter{}, in, &Options{Rules: own})
	require.NoError(t, err)
	require.Empty(t, lost)
	for reference, want := range map[string]string{"MFLW1.Vol.actVal": "5", "MMXU1.TotW.mag.f": "-7", "MMTR1.SupWh.actVal": "7"} {
		a, err := d.Model.Attribute("METERMTR/"+reference, 0)
		require.NoError(t, err)
		require.Equal(t, want, a.Get().String())
	}
	back := map[obis.Code]obis.Value{}
	for _, r := range Readings(d.Model, own) {
		back[r.Code] = r.Value
	}
	for _, r := range in {
		require.True(t, r.Value.Equal(back[r.Code]), r.Code)
	}
	for _, bad := range []string{"7-x:3.0.0,MFLW,Vol,XXX,42,1,", "7-x:3.0.0,MFL,Vol,BCR,42,1,", "7-x:3.0.0,MFLW,Vol,BCR,42,1,maybe", "7-x:3.0.0,MFLW,Vol,BCR,none,1,",
		"1-x:32.7.50,MHAI,HPhV.phsAHar,HWYE,29,1,", "1-x:32.7.5,MHAI,HPhV.other,HWYE,29,1,", "1-x:32.7.0,MMXU,PhV,WYE,29,1,", "1-x:1.7.0,MMXU,TotW,MV,38,1,difference", "1-x:1.7.0 1-x:2.7.0,MMXU,TotW,MV,38,-1,difference", "1-x:1.7.0 1-x:2.7.0,MMXU,TotW,MV,38,1,whole difference", "0-x:96.3.10,XSWI,Pos,DPC,0,1,state"} {
		_, err := ReadRules(strings.NewReader(header + bad + "\n"))
		require.Error(t, err, bad)
	}
}

func Example() {
	readings := []obis.Reading{{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(12345, 1)}}
	d, _, err := New(obis.Meter{Serial: "12345678"}, readings, &Options{IED: "HOUSE"})
	if err != nil {
		fmt.Println(err)
		return
	}
	a, _ := d.Model.Attribute("HOUSEMTR/MMTR1.DmdWh.actVal", iec61850.ST)
	s, _ := server.New(d.Model, nil)
	near, far := net.Pipe()
	go func() { _ = s.Serve(context.Background(), far) }()
	c, err := client.New(context.Background(), near, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	v, err := c.ReadOne(context.Background(), mms.DomainName("HOUSEMTR", "MMTR1$ST$DmdWh$actVal"))
	fmt.Println(a.Get(), v, err)
	// Output: 12345 12345 <nil>
}

package ied

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/server"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// requireValues compares attributes of the model as text.
func requireValues(t *testing.T, d *Device, want map[string]string) {
	t.Helper()
	for reference, text := range want {
		a, err := d.Model.Attribute("METERMTR/"+reference, 0)
		require.NoError(t, err)
		require.Equal(t, text, a.Get().String(), reference)
	}
}

func valued(code string, v obis.Value) obis.Reading {
	return obis.Reading{Code: obis.MustParse(code), Value: v, Rule: obis.RuleDeclared}
}

// A meter of one phase has the nodes for one.
func TestSinglePhase(t *testing.T) {
	in := []obis.Reading{
		reading("1-0:32.7.0", obis.Volt, 2301, -1), reading("1-0:31.7.0", obis.Ampere, 5, 0), reading("1-0:1.7.0", obis.Watt, 1150, 0),
		reading("1-0:2.7.0", obis.Watt, 7, 0), reading("1-0:14.7.0", obis.Hertz, 50, 0), reading("1-0:32.7.124", obis.Percent, 21, -1),
		reading("1-0:32.7.5", obis.Volt, 3, 0),
	}
	d, lost, err := New(obis.Meter{}, in, nil)
	require.NoError(t, err)
	require.Empty(t, lost)
	requireValues(t, d, map[string]string{"MMXN1.Vol.mag.f": "230.1", "MMXN1.Amp.mag.f": "5", "MMXN1.Watt.mag.f": "1143", "MMXN2.Watt.mag.f": "1150", "MMXN3.Watt.mag.f": "-7",
		"MMXN1.Hz.mag.f": "50", "MHAN1.ThdVol.mag.f": "2.1", "MHAN1.HaVol.d": `"1-0:32.7.5*255"`})
	d, _, err = New(obis.Meter{}, append(in, reading("1-0:52.7.0", obis.Volt, 230, 0)), nil)
	require.NoError(t, err)
	requireValues(t, d, map[string]string{"MMXU1.PhV.phsA.cVal.mag.f": "230.1", "MMXU1.PhV.phsB.cVal.mag.f": "230"})
}

// The totals are import minus export, whatever the order of the readings: what the
// meter says of it, else the difference.
func TestNet(t *testing.T) {
	all := []obis.Reading{
		reading("1-0:1.7.0", obis.Watt, 0, 0), reading("1-0:2.7.0", obis.Watt, 500, 0), reading("1-0:3.7.0", obis.Var, 7, 0), reading("1-0:4.7.0", obis.Var, 9, 1),
		reading("1-0:21.7.0", obis.Watt, 3, 0), reading("1-0:22.7.0", obis.Watt, 25, -1), reading("1-0:63.7.0", obis.Var, 1, 0), reading("1-0:64.7.0", obis.Var, 2, 0),
		reading("1-0:56.7.0", obis.Watt, -4, 0), reading("1-0:41.7.0", obis.Watt, 1, 0), reading("1-0:42.7.0", obis.Watt, 5, 0), reading("1-0:61.7.0", obis.Watt, 8, 0),
		reading("1-0:1.8.0", obis.WattHour, 300, 3), reading("1-0:2.8.0", obis.WattHour, 400001, 0), reading("1-0:1.8.1", obis.WattHour, 3, 0), reading("1-0:2.8.1", obis.WattHour, 1, 0),
		reading("1-0:15.8.0", obis.WattHour, 700, 3), reading("1-0:21.8.0", obis.WattHour, 9, 0), reading("1-0:22.8.0", obis.WattHour, 2, 0),
	}
	want := map[string]string{
		"MMXU1.TotW.mag.f": "-500", "MMXU1.TotVAr.mag.f": "-83", "MMXU1.W.phsA.cVal.mag.f": "0.5", "MMXU1.VAr.phsC.cVal.mag.f": "-1", "MMXU1.W.phsB.cVal.mag.f": "-4",
		"MMXU1.W.phsC.cVal.mag.f": "8", "MMTR1.TotWh.actVal": "-100001", "MMTR1.TotWh.pulsQty": "1", "MMTR2.TotWh.actVal": "2", "MMTN1.TotWh.actVal": "7",
		"MMXU1.TotW.d": `"1-0:1.7.0*255 - 1-0:2.7.0*255"`,
	}
	for seed := range uint64(20) {
		in := append([]obis.Reading(nil), all...)
		rand.New(rand.NewPCG(seed, 7)).Shuffle(len(in), func(i, j int) { in[i], in[j] = in[j], in[i] })
		d, lost, err := New(obis.Meter{}, in, nil)
		require.NoError(t, err)
		require.Len(t, lost, 1, "%v", lost) // 15.8.0 is no net energy
		requireValues(t, d, want)
		require.Len(t, Readings(d.Model, nil), len(in))
		in = append(in, reading("1-0:16.7.0", obis.Watt, -501, 0), reading("1-0:16.8.0", obis.WattHour, -100002, 0))
		rand.New(rand.NewPCG(seed, 8)).Shuffle(len(in), func(i, j int) { in[i], in[j] = in[j], in[i] })
		d, _, err = New(obis.Meter{}, in, nil)
		require.NoError(t, err)
		requireValues(t, d, map[string]string{"MMXU1.TotW.mag.f": "-501", "MMXU1.TotW.d": `"1-0:16.7.0*255"`, "MMXU1.W.phsA.cVal.mag.f": "0.5", "MMTR1.TotWh.actVal": "-100002"})
	}
	d, lost, err := New(obis.Meter{}, []obis.Reading{reading("1-0:2.7.0", obis.Watt, 0, 0)}, nil)
	require.NoError(t, err)
	require.Empty(t, lost)
	requireValues(t, d, map[string]string{"MMXU1.TotW.mag.f": "0"}) // not -0
}

// A difference is of one time and of the worse quality.
func TestNetTimes(t *testing.T) {
	at := func(s int64) obis.Time { return obis.FromTime(time.Unix(s, 0).UTC()) }
	in := []obis.Reading{reading("1-0:1.7.0", obis.Watt, 5, 0), reading("1-0:2.7.0", obis.Watt, 2, 0)}
	in[0].Time, in[1].Time = at(100), at(100)
	in[1].Quality.Flags = obis.Questionable
	d, lost, err := New(obis.Meter{}, in, nil)
	require.NoError(t, err)
	require.Empty(t, lost)
	requireValues(t, d, map[string]string{"MMXU1.TotW.mag.f": "3", "MMXU1.TotW.t": "1970-01-01T00:01:40Z", "MMXU1.TotW.q": iec61850.Questionable.Value().String()})
	in[0].Value, in[0].Time = obis.Int(9, 0), at(160)
	require.Equal(t, []mapping.Loss{{Index: 0, Names: []string{"1-0:1.7.0*255"}, Reason: "import and export are not of one time, their difference is not shown"}}, d.Update(in[:1], time.Time{}))
	requireValues(t, d, map[string]string{"MMXU1.TotW.mag.f": "3", "MMXU1.TotW.q": iec61850.Invalid.Value().String(), "MMXU2.TotW.mag.f": "9"})
	in[1].Time, in[1].Quality.Flags = at(160), 0
	require.Empty(t, d.Update(in[1:], time.Time{}))
	requireValues(t, d, map[string]string{"MMXU1.TotW.mag.f": "7", "MMXU1.TotW.q": iec61850.Good.Value().String()})
	in[0].Time, in[1].Time = obis.Time{}, obis.Time{}
	require.Empty(t, d.Update(in, time.Unix(200, 0)))
	requireValues(t, d, map[string]string{"MMXU1.TotW.mag.f": "7", "MMXU1.TotW.q": iec61850.Good.Value().String()})
	in[1].Quality.Flags = obis.Invalid
	require.Empty(t, d.Update(in, time.Unix(200, 0)))
	requireValues(t, d, map[string]string{"MMXU1.TotW.q": iec61850.Invalid.Value().String()})
}

// An angle stands where it was measured, and nowhere else.
func TestAngles(t *testing.T) {
	in := []obis.Reading{
		reading("1-0:32.7.0", obis.Volt, 230, 0), reading("1-0:52.7.0", obis.Volt, 231, 0), reading("1-0:31.7.0", obis.Ampere, 5, 0),
		reading("1-0:81.7.4", obis.Degree, 1204, -2), reading("1-0:81.7.1", obis.Degree, -120, 0), reading("1-0:81.7.5", obis.Degree, 7, 0), reading("1-0:81.7.14", obis.Degree, 8, 0),
	}
	d, lost, err := New(obis.Meter{}, in, nil)
	require.NoError(t, err)
	require.Len(t, lost, 2, "%v", lost) // no current L2, and not to U1
	requireValues(t, d, map[string]string{"MMXU1.A.phsA.cVal.ang.f": "12.04", "MMXU1.PhV.phsB.cVal.ang.f": "-120"})
	_, err = d.Model.Attribute("METERMTR/MMXU1.PhV.phsA.cVal.ang.f", 0)
	require.Error(t, err)
	have := map[obis.Code]obis.Reading{}
	for _, r := range Readings(d.Model, nil) {
		have[r.Code] = r
	}
	for _, r := range in {
		require.True(t, r.Value.Equal(have[r.Code].Value), r.Code)
		require.Equal(t, r.Unit, have[r.Code].Unit, r.Code)
	}
	in[3].Quality.Flags = obis.Questionable
	lost = d.Update(in[2:4], time.Time{})
	require.Len(t, lost, 1)
	require.Len(t, lost[0].More, 1)
	require.Equal(t, "magnitude and angle share quality and time", lost[0].Reason)
	requireValues(t, d, map[string]string{"MMXU1.A.phsA.q": iec61850.Questionable.Value().String()})
	in[3].Value = obis.Value{}
	d.Update(in[3:4], time.Time{})
	requireValues(t, d, map[string]string{"MMXU1.A.phsA.cVal.ang.f": "NaN"})
}

// Registers are exact counters, stored ones too.
func TestStoredRegisters(t *testing.T) {
	in := []obis.Reading{reading("7-0:3.0.0", obis.CubicMetre, 123456789, -3), reading("7-0:3.0.0*1", obis.CubicMetre, 123456788, -3), reading("7-0:43.0.0", obis.CubicMetrePerSecond, 5, -1)}
	d, _, err := New(obis.Meter{}, in, nil)
	require.NoError(t, err)
	requireValues(t, d, map[string]string{"GGIO1.CntVal1.actVal": "123456789", "GGIO1.CntVal2.actVal": "123456788", "GGIO1.AnIn1.mag.f": "0.5"})
}

// Flows are in cubic metres per second, with their unit; Start is said.
func TestConvertedUnits(t *testing.T) {
	in := []obis.Reading{
		reading("6-0:9.0.0", obis.CubicMetrePerHour, 18, -2), reading("6-0:9.0.1", obis.CubicMetrePerHour, 7200, 0), reading("8-0:1.0.0", obis.Litre, 1500, 0),
		reading("1-0:0.9.0", obis.Day, 2, 0), reading("1-0:1.7.0", obis.Watt, 2, 0), {Code: obis.MustParse("0-0:96.5.1"), Unit: obis.Litre, Value: obis.Enum(1)},
	}
	in[4].Start = obis.FromTime(time.Unix(100, 0))
	in[4].Time = obis.LocalTime(2026, 11, 20, 12, 0, 0)
	d, lost, err := New(obis.Meter{}, in, nil)
	require.NoError(t, err)
	requireValues(t, d, map[string]string{"GGIO1.AnIn1.mag.f": "5e-05", "GGIO1.AnIn1.units.SIUnit": "45", "GGIO1.AnIn2.mag.f": "2", "GGIO1.AnIn3.mag.f": "1.5", "GGIO1.AnIn3.units.SIUnit": "42",
		"GGIO1.AnIn4.mag.f": "48", "GGIO1.AnIn4.units.SIUnit": "84"})
	require.Equal(t, "reading 0: no logical node has it: GGIO1.AnIn1, unit m3/h shown as m3/s (6-0:9.0.0*255)", lost[0].String())
	require.Equal(t, "reading 4: its time, which is no instant; the start of its interval (1-0:1.7.0*255)", lost[len(lost)-1].String())
	require.Contains(t, fmt.Sprint(lost), "unit L not carried")
}

// The harmonics of all phases are arrays of one object; percent and volt are two objects.
func TestHarmonics(t *testing.T) {
	in := []obis.Reading{
		reading("1-0:32.7.3", obis.Volt, 125, -2), reading("1-0:32.7.40", obis.Volt, 5, -1), reading("1-0:52.7.3", obis.Volt, 2, 0),
		reading("1-0:32.7.5", obis.Percent, 7, 0), reading("1-0:31.7.7", obis.Ampere, 1, 0), reading("1-0:32.7.41", obis.Volt, 9, 0),
	}
	d, lost, err := New(obis.Meter{}, in, nil)
	require.NoError(t, err)
	require.Equal(t, []mapping.Loss{{Index: 5, Names: []string{"1-0:32.7.41*255"}, Reason: "no logical node has it: GGIO1.CntVal1"}}, lost)
	a, err := d.Model.Attribute("METERMTR/MHAI1.HPhV.phsAHar", iec61850.MX)
	require.NoError(t, err)
	for i, want := range map[int]string{0: "NaN", 3: "1.25", 40: "0.5"} {
		require.Equal(t, want, a.Get().At(i).At(0).At(0).String())
	}
	requireValues(t, d, map[string]string{"MHAI1.HPhV.units.SIUnit": "29", "MHAI2.HPhV.units.multiplier": "-2", "MHAI1.HPhV.numHar": "41", "MHAI1.HA.units.SIUnit": "5"})
	require.Len(t, Readings(d.Model, nil), len(in))
	in[2].Quality.Flags = obis.Questionable
	lost = d.Update(in[:3], time.Time{})
	require.Len(t, lost, 1)
	require.Equal(t, "harmonics share quality and time", lost[0].Reason)
	require.Equal(t, []int{1, 2}, lost[0].More)
	requireValues(t, d, map[string]string{"MHAI1.HPhV.q": iec61850.Questionable.Value().String()})
}

// The last billing period is the frozen value of its counter, in the same scale; earlier ones have nodes of their own.
func TestFrozen(t *testing.T) {
	at := func(month time.Month) obis.Time {
		return obis.FromTime(time.Date(2026, month, 1, 0, 0, 0, 0, time.UTC))
	}
	in := []obis.Reading{
		reading("1-0:1.8.0*1", obis.WattHour, 5, 3), reading("1-0:1.8.0*2", obis.WattHour, 4, 3), reading("1-0:1.8.0*255", obis.WattHour, 12345, 0),
		reading("1-0:2.8.0*1", obis.WattHour, 5, 3),
	}
	in[0].Time, in[1].Time = at(3), at(2)
	d, lost, err := New(obis.Meter{}, in, nil)
	require.NoError(t, err)
	require.Empty(t, lost)
	requireValues(t, d, map[string]string{"MMTR1.DmdWh.actVal": "12345", "MMTR1.DmdWh.frVal": "5000", "MMTR1.DmdWh.pulsQty": "1",
		"MMTR1.DmdWh.frTm": "2026-03-01T00:00:00Z", "MMTR1.DmdWh.dU": `"1-0:1.8.0*1"`})
	have := map[obis.Code]obis.Reading{}
	for _, r := range Readings(d.Model, nil) {
		have[r.Code] = r
	}
	for i := range in {
		require.True(t, in[i].Value.Equal(have[in[i].Code].Value), in[i].Code)
		require.Equal(t, in[i].Time, have[in[i].Code].Time)
	}
	// Without an own time it is that at which the meter says that the period ended, or none; never that of its receipt.
	in[0].Time, in[1].Time = obis.Time{}, obis.Time{}
	d, _, err = New(obis.Meter{}, append(in[2:3:3], in[0]), &Options{Received: time.Unix(1e9, 0)})
	require.NoError(t, err)
	frTm, err := d.Model.Attribute("METERMTR/MMTR1.DmdWh.frTm", 0)
	require.NoError(t, err)
	require.Equal(t, iec61850.Timestamp{Quality: iec61850.ClockFailure}, frTm.Get().Time())
	ended := obis.Reading{Code: obis.MustParse("1-0:0.1.2*1"), Value: obis.Moment(at(4))}
	require.Empty(t, d.Update([]obis.Reading{in[0]}, time.Unix(2e9, 0)))
	require.Equal(t, iec61850.Timestamp{Quality: iec61850.ClockFailure}, frTm.Get().Time())
	d.Update([]obis.Reading{in[0], ended}, time.Unix(2e9, 0))
	requireValues(t, d, map[string]string{"MMTR1.DmdWh.frTm": "2026-04-01T00:00:00Z", "MMTR1.DmdWh.t": "2001-09-09T01:46:40Z not-synchronized", "LLN0.Beh.t": "2001-09-09T01:46:40Z not-synchronized", "MMTR1.Beh.t": "2001-09-09T01:46:40Z not-synchronized"})
	ended.Code[5] = 2
	ended.Value = obis.Moment(at(5))
	d, _, err = New(obis.Meter{}, append(append([]obis.Reading(nil), in[:3]...), ended, obis.Reading{Code: obis.MustParse("1-0:0.1.2*1"), Value: obis.Moment(at(4))}), nil)
	require.NoError(t, err)
	requireValues(t, d, map[string]string{"MMTR1.DmdWh.dU": `"1-0:1.8.0*2"`, "MMTR1.DmdWh.frTm": "2026-05-01T00:00:00Z"})
	in[0].Time, in[1].Time = at(3), at(2)
	d, _, err = New(obis.Meter{}, in, nil)
	require.NoError(t, err)
	// A finer register makes both finer.
	in[2].Value = obis.Int(123456, -1)
	require.Empty(t, d.Update(in[2:3], time.Time{}))
	requireValues(t, d, map[string]string{"MMTR1.DmdWh.actVal": "123456", "MMTR1.DmdWh.frVal": "50000", "MMTR1.DmdWh.pulsQty": "0.1"})
	in[2].Value = obis.Int(1<<62, -1)
	require.Empty(t, d.Update(in[2:3], time.Time{}))
	in[0].Value = obis.Int(1, -9)
	require.Len(t, d.Update(in[:1], time.Time{}), 1, "no common scale")
}

// Switches, alarms, ratios, temperatures, and the kinds of values that are no numbers.
func TestOtherNodes(t *testing.T) {
	in := []obis.Reading{
		valued("0-0:96.3.10", obis.Bool(true)), valued("0-1:96.3.10", obis.Enum(1)), valued("0-2:96.3.10", obis.Enum(2)),
		valued("1-0:0.4.2", obis.Int(400, 0)), valued("1-0:0.4.3", obis.Int(20, 0)), valued("1-0:0.4.6", obis.Int(1, 0)),
		reading("0-0:96.9.0", obis.Celsius, 215, -1), reading("1-0:32.33.0", obis.Second, 12, 0),
		valued("0-0:97.98.0", obis.Bits([]byte{0, 4}, 16)), valued("0-0:97.98.1", obis.Bits([]byte{0, 0}, 16)), valued("0-0:97.97.0", obis.Int(0, 0)),
		valued("0-0:96.5.0", obis.Enum(3)), valued("0-0:96.1.1", obis.Octets([]byte{1, 0xAB})), valued("1-0:0.9.2", obis.Bool(true)),
		valued("1-0:1.4.0", obis.Int(7, 0)),
	}
	d, lost, err := New(obis.Meter{}, in, nil)
	require.NoError(t, err)
	reasons := map[int]string{}
	for _, l := range lost {
		reasons[l.Index] = l.Reason
	}
	require.Equal(t, map[int]string{2: "ready for reconnection is shown as off", 4: "no logical node has it: GGIO1.CntVal1", 5: "no logical node has it: GGIO1.CntVal2",
		8: "CALH1.GrAlm tells only whether it is zero, itself is GGIO1.Bits1", 9: "CALH1.GrAlm tells only whether it is zero, itself is GGIO1.Bits2",
		10: "CALH1.GrWrn tells only whether it is zero, itself is GGIO1.CntVal3", 11: "no logical node has it: GGIO1.IntIn1",
		12: "no logical node has it: GGIO1.Oct1", 13: "no logical node has it: GGIO1.Ind1"}, reasons)
	requireValues(t, d, map[string]string{"XSWI1.Pos.stVal": "10", "CSWI1001.Pos.stVal": "10", "CSWI2001.Pos.stVal": "01", "TCTR1.Rat.setMag.f": "400",
		"STMP1.Tmp.mag.f": "21.5", "QVVR2.VVaTm.mag.f": "12", "CALH1.GrAlm.stVal": "true", "CALH1.GrWrn.stVal": "false", "GGIO1.IntIn1.stVal": "3",
		"GGIO1.Oct1.stVal": `"0x01ab"`, "GGIO1.Bits1.stVal": `"0b0000000000000100"`, "MSTA1.AvW.mag.f": "7"})
	in[8].Value = obis.Bits([]byte{0, 0}, 16)
	d.Update(in[8:9], time.Time{})
	requireValues(t, d, map[string]string{"CALH1.GrAlm.stVal": "false"})
	for _, n := range d.Model.Devices[0].Nodes[2:] {
		require.NotNil(t, n.Object("Beh"), n.Name)
	}
	_, err = server.New(d.Model, nil)
	require.NoError(t, err)
}

// There and back is the same, but for what New says is lost.
func TestThereAndBack(t *testing.T) {
	list := builtIn()
	units := []obis.Unit{obis.UnitUnknown, obis.Count, obis.Percent, obis.Volt, obis.Ampere, obis.Watt, obis.WattHour, obis.VarHour, obis.Celsius, obis.Second, obis.CubicMetre, obis.Bar}
	lossless := 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 61850))
		var in []obis.Reading
		seen := map[obis.Code]bool{}
		for range 40 {
			p := list[r.IntN(len(list))]
			c, between := obis.Code{}, p.Codes[r.IntN(len(p.Codes))]
			for i := range c {
				c[i] = between.Lo[i] + byte(r.IntN(min(int(between.Hi[i]-between.Lo[i]), 3)+1))
			}
			if r.IntN(5) == 0 {
				c = obis.Code{byte(r.IntN(9)), 0, byte(r.IntN(100)), byte(r.IntN(100)), byte(r.IntN(4)), 255}
			}
			if r.IntN(4) == 0 {
				c[5] = byte(r.IntN(3))
			}
			if seen[c] || !c.Valid() {
				continue
			}
			seen[c] = true
			x := obis.Reading{Code: c, Rule: obis.RuleDeclared, Unit: units[r.IntN(len(units))], Value: randomValue(r)}
			for _, fitting := range units {
				if measures(&p.Target, fitting) && r.IntN(2) == 0 {
					x.Unit = fitting
				}
			}
			if r.IntN(3) > 0 {
				x.Time = obis.FromTime(time.Unix(1.7e9+r.Int64N(1e8), 0).UTC())
			}
			if r.IntN(4) == 0 {
				x.Quality.Flags = []obis.Flags{obis.Questionable, obis.Invalid, obis.Substituted, obis.Old}[r.IntN(4)]
			}
			in = append(in, x)
		}
		d, lost, err := New(obis.Meter{}, in, nil)
		require.NoError(t, err)
		stated := map[int]string{}
		for _, l := range lost {
			if l.Reason != "" || l.Flags != 0 {
				for _, i := range append(l.More, l.Index) {
					stated[i] += mapping.Loss{Index: i, Flags: l.Flags, Reason: l.Reason}.String()
				}
			}
		}
		have := map[obis.Code]obis.Reading{}
		for _, b := range Readings(d.Model, nil) {
			_, twice := have[b.Code]
			require.False(t, twice, "%v twice, seed %d", b.Code, seed)
			have[b.Code] = b
		}
		for i, x := range in {
			b, ok := have[x.Code]
			if x.Value.IsNone() && !ok {
				continue // an element that is not there yet
			}
			require.True(t, ok, "seed %d: %v %v is not there: %v", seed, x.Code, x.Value, stated[i])
			delete(have, x.Code)
			if stated[i] != "" && !generic(stated[i]) || x.Value.IsNone() {
				continue
			}
			lossless++
			label := fmt.Sprintf("seed %d: %v %v %v, back %v %v; %v", seed, x.Code, x.Value, x.Unit, b.Value, b.Unit, stated[i])
			require.True(t, same(x.Value, b.Value), label)
			require.Equal(t, x.Unit, b.Unit, label)
			want, _ := x.Time.Instant(obis.Clock{})
			got, _ := b.Time.Instant(obis.Clock{})
			require.Equal(t, want, got, label)
			require.Equal(t, x.Quality.Validity(), b.Quality.Validity(), label)
			require.Equal(t, x.Quality.Flags&(obis.Old|obis.Substituted), b.Quality.Flags&(obis.Old|obis.Substituted), label)
		}
		require.Empty(t, have, "seed %d: readings that nobody gave", seed)
	}
	require.Greater(t, lossless, 4000)
}

// generic reports whether a loss is only that the reading stands in GGIO, in full.
func generic(reason string) bool {
	var index int
	var place string
	n, err := fmt.Sscanf(reason, "reading %d: no logical node has it: %s", &index, &place)
	return n == 2 && err == nil && reason == fmt.Sprintf("reading %d: no logical node has it: %s", index, place)
}

// same reports whether two values are equal; a control state may be a number, and a float a decimal.
func same(a, b obis.Value) bool {
	if a.Equal(b) {
		return true
	}
	if n, ok := state(a); ok {
		m, ok := state(b)
		return ok && n == m
	}
	x, _ := a.Float64()
	y, _ := b.Float64()
	return number(a) && number(b) && float32(x) == float32(y)
}

func randomValue(r *rand.Rand) obis.Value {
	switch r.IntN(14) {
	case 0:
		return obis.Bool(r.IntN(2) == 1)
	case 1:
		return obis.Enum(int64(r.IntN(4)))
	case 2:
		return obis.Text([]byte{"0AZ x~"[r.IntN(6)]})
	case 3:
		return obis.Octets([]byte{byte(r.IntN(256)), 1})
	case 4:
		return obis.Bits([]byte{byte(r.IntN(256)) &^ 7}, 5)
	case 5:
		return obis.Moment(obis.FromTime(time.Unix(1.7e9, 0).UTC()))
	case 6:
		return obis.Value{}
	case 7:
		return obis.Float32(0x3FC00000, 0)
	}
	return obis.Int(r.Int64N(20000)-5000, int8(r.IntN(7)-3))
}

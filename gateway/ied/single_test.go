package ied

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/client"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/result"
)

// An MMS client sees a meter's counter move, with the time at which it was read,
// and is told at once.
func TestSingle(t *testing.T) {
	face := NewSingle(nil)
	near, far := net.Pipe()
	require.ErrorIs(t, face.Serve(t.Context(), far), ErrNoModel)
	require.NoError(t, near.Close())

	energy := &result.Result{Readings: []obis.Reading{{Code: obis.MustParse("1-0:1.8.0*255"), Unit: obis.WattHour, Value: obis.Int(1234, 2), Rule: obis.RuleDeclared}}}
	before := time.Now()
	require.Empty(t, face.Update(energy))
	require.True(t, energy.Readings[0].Time.IsZero(), "what the caller has is as it was")
	near, far = net.Pipe()
	go func() { _ = face.Serve(t.Context(), far) }()
	reports := make(chan client.Report, 10)
	c, err := client.New(t.Context(), near, &client.Config{Information: func(i mms.Information) {
		if r, ok, err := client.ParseReport(i); ok && err == nil {
			reports <- r
		}
	}})
	require.NoError(t, err)
	defer c.Close()
	counter := func() iec61850.Value {
		v, err := c.ReadOne(t.Context(), mms.DomainName("METERMTR", "MMTR1$ST$DmdWh"))
		require.NoError(t, err)
		return v
	}
	v := counter()
	require.Equal(t, iec61850.Int(1234), v.At(0))
	require.WithinDuration(t, before, v.At(2).Time().Time(), 5*time.Second)
	require.NotZero(t, v.At(2).Time().Quality&iec61850.ClockNotSynchronized, "it is our clock")

	rcb := mms.DomainName("METERMTR", "LLN0$RP$urcbCounters01$RptEna")
	require.NoError(t, c.WriteOne(t.Context(), rcb, iec61850.Bool(true)))
	time.Sleep(20 * time.Millisecond) // times of readings are in hundredths
	energy.Readings[0].Value = obis.Int(1235, 2)
	before = time.Now()
	require.Empty(t, face.Update(energy))
	select {
	case r := <-reports:
		require.Equal(t, iec61850.Int(1235), r.Data[0].Value.At(0))
		require.Less(t, time.Since(before), time.Second)
	case <-time.After(5 * time.Second):
		t.Fatal("no report")
	}
	require.True(t, counter().At(2).Time().Time().After(v.At(2).Time().Time()))
}

// The time of a frozen value is the meter's or none: it does not move with the polls.
func TestFrozenTimeStands(t *testing.T) {
	r := &result.Result{Received: time.Unix(1.7e9, 0), Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.8.0*255"), Unit: obis.WattHour, Value: obis.Int(12, 0)}, {Code: obis.MustParse("1-0:1.8.0*3"), Unit: obis.WattHour, Value: obis.Int(9, 0)},
		{Code: obis.MustParse("1-0:1.7.0*255"), Unit: obis.Watt, Value: obis.Int(1, 0)}, {Code: obis.MustParse("1-0:2.7.0*255"), Unit: obis.Watt, Value: obis.Int(5, 0)},
	}}
	face := NewSingle(nil)
	face.Update(r)
	at := func(reference string) iec61850.Timestamp {
		a, err := face.device.Model.Attribute("METERMTR/"+reference, 0)
		require.NoError(t, err)
		return a.Get().Time()
	}
	require.EqualValues(t, 1.7e9, at("MMTR1.DmdWh.t").Seconds)
	require.Zero(t, at("MMTR1.DmdWh.frTm").Seconds)
	r.Received = r.Received.Add(time.Minute)
	face.Update(r)
	require.EqualValues(t, 1.7e9+60, at("MMXU1.TotW.t").Seconds)
	require.Zero(t, at("MMTR1.DmdWh.frTm").Seconds)
	ended := obis.Reading{Code: obis.MustParse("1-0:0.1.2*3"), Value: obis.Moment(obis.FromTime(time.Unix(1.6e9, 0).UTC()))}
	r.Readings = append(r.Readings, ended)
	face.Update(r)
	require.EqualValues(t, 1.6e9, at("MMTR1.DmdWh.frTm").Seconds)
}

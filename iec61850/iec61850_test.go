package iec61850

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// IEC 61850-7-3: the position of the bits of a quality.
func TestQuality(t *testing.T) {
	v := (Questionable | OldData | Test).Value()
	require.Equal(t, 13, v.BitLen())
	for i := range 13 {
		require.Equal(t, i == 0 || i == 1 || i == 7 || i == 11, v.Bit(i), "bit %d", i)
	}
	require.Equal(t, "questionable,old-data,test", v.Quality().String())
}

func TestTimes(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 250e6, time.UTC)
	require.Equal(t, at, NewTimestamp(at, 0).Time())
	require.EqualValues(t, 1<<22, NewTimestamp(at, 0).Fraction)
	require.Equal(t, at, EntryTimeOf(at).EntryTime())
	require.Equal(t, [6]byte{0, 0, 0, 0, 0, 0}, EntryTimeOf(time.Time{}).EntryTimeOctets())
}

func TestClasses(t *testing.T) {
	for cdc := range classes {
		require.NotEmpty(t, slices.Collect(ClassRows(cdc)))
		o, err := NewObject("X", cdc, "units", "d", "phsA", "phsAB", "origin")
		require.NoError(t, err, cdc)
		require.NotEmpty(t, len(o.Attributes)+len(o.Objects), cdc)
	}
	_, err := NewObject("X", "XYZ")
	require.Error(t, err)
	bcr, err := NewObject("DmdWh", "BCR")
	require.NoError(t, err)
	require.Equal(t, Type{Kind: Integer, Size: 64}, bcr.Attribute("actVal", ST).Type())
}

func TestUpdate(t *testing.T) {
	o, err := NewObject("TotW", "MV")
	require.NoError(t, err)
	m := &Model{IED: "M", Devices: []*Device{{Inst: "L", Nodes: []*Node{{Name: "MMXU1", Objects: []*Object{o}}}}}}
	var seen []Trigger
	stop := m.Watch(func(changes []Change) {
		for _, c := range changes {
			seen = append(seen, c.Trigger)
		}
	})
	f, err := m.Attribute("ML/MMXU1.TotW.mag.f", MX)
	require.NoError(t, err)
	set := func(v Value) error { return m.Update(func(u *Update) error { return u.Set(f, v) }) }
	require.NoError(t, set(Float32(1)))
	require.NoError(t, set(Float32(1)))
	require.ErrorIs(t, set(Bool(true)), ErrType)
	stop()
	require.NoError(t, set(Float32(2)))
	require.Equal(t, []Trigger{DataChange, 0}, seen)
	_, err = m.Attribute("ML/MMXU1.Nothing.f", MX)
	require.ErrorIs(t, err, ErrNotFound)
}

func TestLongBits(t *testing.T) {
	for n := 1; n <= 130; n++ {
		raw := make([]byte, (n+7)/8)
		raw[(n-1)/8] = 0x80 >> ((n - 1) % 8)
		v := LongBits(raw, uint8(-n&7))
		require.Equal(t, n, v.BitLen())
		require.True(t, v.Bit(n-1))
		back, unused := v.AppendBits(nil)
		require.Equal(t, raw, back)
		require.EqualValues(t, -n&7, unused)
	}
}

func Example() {
	o, err := NewObject("DmdWh", "BCR", "units")
	if err != nil {
		fmt.Println(err)
		return
	}
	m := &Model{IED: "METER", Devices: []*Device{{Inst: "MTR", Nodes: []*Node{{Name: "MMTR1", Objects: []*Object{o}}}}}}
	a, _ := m.Attribute("METERMTR/MMTR1.DmdWh.actVal", ST)
	err = m.Update(func(u *Update) error { return u.Set(a, Int(123456789012)) })
	fmt.Println(a.Get(), err)
	// Output: 123456789012 <nil>
}

func TestTrackingAndTimedControl(t *testing.T) {
	for name := range tracking {
		o, err := NewTracking(name)
		require.NoError(t, err)
		require.NotNil(t, o.Attribute("serviceType", SR), name)
	}
	_, err := NewTracking("MsvcbTrk")
	require.Error(t, err)

	o, err := NewObject("Pos", "DPC")
	require.NoError(t, err)
	require.NoError(t, o.AddTimedControl(DirectEnhanced))
	oper, cancel := o.Attribute("Oper", CO), o.Attribute("Cancel", CO)
	require.Equal(t, "operTm", oper.Attributes[1].Name)
	require.Len(t, oper.Attributes, 7)
	require.Len(t, cancel.Attributes, 6, "without the check")
	require.NotSame(t, oper.Attributes[0], cancel.Attributes[0])
	status, err := NewObject("Ind", "SPS")
	require.NoError(t, err)
	require.Error(t, status.AddTimedControl(DirectNormal))
}

package ied

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// shaped returns a meter in a shape of its readings.
func shaped(t testing.TB, o *Options, batches ...[]obis.Reading) (*Shape, *Device, []mapping.Loss) {
	var s *Shape
	var registers [][]Register
	var all []obis.Reading
	for _, batch := range batches {
		all = append(all, batch...)
		registers = append(registers, s.Registers(all, obis.Clock{}, nil))
		var err error
		s, err = NewShape(registers, o)
		require.NoError(t, err)
	}
	d := s.Device("M")
	set := make([]int, len(all))
	for i := range set {
		set[i] = i
	}
	var lost []mapping.Loss
	m := &iec61850.Model{IED: "I"}
	require.NoError(t, m.Update(func(u *iec61850.Update) error {
		lost = d.Change(u, &mapping.Data{Meter: obis.Meter{ID: "M1", Serial: "12345678"}, Readings: all}, time.Unix(1.7e9, 0), set)
		return nil
	}))
	return s, d, lost
}

// values are those of a device by reference.
func values(d *iec61850.Device) map[string]string {
	list := map[string]string{}
	var add func(above string, a *iec61850.Attribute)
	add = func(above string, a *iec61850.Attribute) {
		if a.Leaf() {
			list[above+"."+a.Name] = d.Get(a).String()
		}
		for _, m := range a.Attributes {
			add(above+"."+a.Name, m)
		}
	}
	var object func(above string, o *iec61850.Object)
	object = func(above string, o *iec61850.Object) {
		for _, sub := range o.Objects {
			object(above+"."+o.Name, sub)
		}
		for _, a := range o.Attributes {
			if a.FC != iec61850.CO && a.Name != "ctlModel" {
				add(above+"."+o.Name, a)
			}
		}
	}
	for _, n := range d.Nodes {
		for _, o := range n.Objects {
			object(n.Name, o)
		}
	}
	return list
}

// A meter of a shape shows what one with a model of its own shows.
func TestShapeShowsTheSame(t *testing.T) {
	in := slices.DeleteFunc(household(), func(r obis.Reading) bool { return r.Value.IsNone() })
	in = append(in, reading("1-0:1.8.0*1", obis.WattHour, 500, 0), reading("1-0:81.7.4*255", obis.Degree, 12, 0), reading("1-0:32.7.3*255", obis.Volt, 3, 0),
		valued("0-0:97.97.0", obis.Int(1, 0)), valued("0-0:96.3.10", obis.Bool(true)))
	slices.SortStableFunc(in, func(a, b obis.Reading) int {
		return cmp.Or(cmp.Compare(len(a.RawID), len(b.RawID)), a.Code.Compare(b.Code))
	})
	own, _, err := New(obis.Meter{ID: "M1", Serial: "12345678"}, in, &Options{Received: time.Unix(1.7e9, 0)})
	require.NoError(t, err)
	_, d, _ := shaped(t, nil, in)
	want, have := values(own.Model.Devices[0]), values(d.Logical())
	for reference, v := range want {
		require.Equal(t, v, have[reference], reference)
	}
	require.Equal(t, `"12345678"`, have["LPHD1.PhyNam.serNum"])
}

// Devices of a shape do not see the values of each other.
func TestShapeKeepsMetersApart(t *testing.T) {
	s, one, _ := shaped(t, nil, household())
	two := s.Device("N")
	have := values(two.Logical())
	require.Equal(t, "0", have["MMTR1.DmdWh.actVal"])
	require.Equal(t, iec61850.Invalid.Value().String(), have["MMTR1.DmdWh.q"])
	require.Equal(t, `""`, have["LPHD1.PhyNam.serNum"])
	require.Equal(t, "1234567890123", values(one.Logical())["MMTR1.DmdWh.actVal"])
}

// What comes later stands behind what there was, and the model has another revision.
func TestShapeGrowsAtItsEnd(t *testing.T) {
	first := []obis.Reading{reading("1-0:1.8.1*255", obis.WattHour, 1, 0), reading("1-0:32.7.0*255", obis.Volt, 230, 0), valued("0-0:96.5.0", obis.Enum(3)), reading("1-0:32.7.3*255", obis.Volt, 3, 0)}
	later := []obis.Reading{reading("1-0:1.8.0*255", obis.WattHour, 3, 0), reading("1-0:52.7.0*255", obis.Volt, 231, 0), valued("0-0:96.5.1", obis.Enum(3)),
		reading("1-0:1.8.1*1", obis.WattHour, 3, 0), reading("1-0:81.7.0*255", obis.Degree, 3, 0), reading("1-0:52.7.3*255", obis.Volt, 3, 0)}
	before, one, _ := shaped(t, nil, first)
	after, two, lost := shaped(t, nil, first, later)
	a, b := one.Logical(), two.Logical()
	require.Less(t, len(a.Nodes), len(b.Nodes))
	for i, n := range a.Nodes {
		require.Equal(t, n.Name, b.Nodes[i].Name)
		for k, o := range n.Objects {
			require.Equal(t, o.Name, b.Nodes[i].Objects[k].Name)
			for l, x := range o.Attributes {
				require.Equal(t, x.Name, b.Nodes[i].Objects[k].Attributes[l].Name)
			}
		}
	}
	for i, set := range a.Nodes[0].DataSets {
		grown := b.Nodes[0].DataSets[i]
		require.Equal(t, set.Members, grown.Members[:len(set.Members)])
		require.Greater(t, len(grown.Members), len(set.Members))
	}
	require.EqualValues(t, 1, a.Nodes[0].Reports[0].ConfRev)
	require.EqualValues(t, 2, b.Nodes[0].Reports[0].ConfRev)
	have := values(b)
	require.Equal(t, "1", have["MMTR2.DmdWh.actVal"], "tariff 1, whatever came first")
	require.Equal(t, "3", have["MMTR1.DmdWh.actVal"])
	require.NotContains(t, fmt.Sprint(lost), "no object")
	require.NotEqual(t, Key(before.Batches()), Key(after.Batches()))
	again, err := NewShape(after.Batches(), nil)
	require.NoError(t, err)
	for i, n := range again.device.device.Nodes {
		require.Equal(t, n.Name, b.Nodes[i].Name)
	}
}

// Instances follow from the codes: their order does not matter, nor what else the meter has.
func TestInstancesFollowCodes(t *testing.T) {
	list := []obis.Reading{reading("1-0:1.8.2*255", obis.WattHour, 12, 0), reading("1-0:41.8.1*255", obis.WattHour, 41, 0), reading("1-1:1.8.0*255", obis.WattHour, 11, 0),
		reading("1-0:1.6.0*255", obis.Watt, 16, 0), valued("0-0:96.5.1", obis.Enum(3)), valued("0-0:96.5.0", obis.Enum(2)),
		reading("6-0:11.0.0*255", obis.Celsius, 40, 0), reading("6-0:10.0.0*255", obis.Celsius, 60, 0), reading("1-0:1.4.0*255", obis.Watt, 14, 0), reading("1-0:1.9.0*255", obis.WattHour, 19, 0)}
	_, d, _ := shaped(t, nil, list)
	first := values(d.Logical())
	require.Equal(t, "12", first["MMTR3.DmdWh.actVal"])
	require.Equal(t, "41", first["MMTN5.DmdWh.actVal"])
	require.Equal(t, "60", first["STMP610.Tmp.mag.f"])
	require.Equal(t, "40", first["STMP611.Tmp.mag.f"])
	require.Equal(t, "11", first["MMTR1001.DmdWh.actVal"])
	slices.Reverse(list)
	_, d, _ = shaped(t, nil, list)
	require.Equal(t, first, values(d.Logical()))
	_, d, _ = shaped(t, nil, list[:3])
	require.Equal(t, "14", values(d.Logical())["MSTA1.AvW.mag.f"])
	for _, n := range d.Logical().Nodes {
		require.LessOrEqual(t, len(n.Name), 16)
	}
}

func TestDeviceSize(t *testing.T) {
	for n, most := range map[int]int{20: 12 << 10, 100: 40 << 10} {
		var in []obis.Reading
		for i := range n {
			switch i % 3 {
			case 0:
				in = append(in, reading(fmt.Sprintf("1-0:%d.8.%d*255", 1+i/3%4, i/12), obis.WattHour, int64(i), 0))
			case 1:
				in = append(in, reading(fmt.Sprintf("1-%d:%d.7.0*255", i/12, 32+i/3%3*20), obis.Volt, int64(i), 0))
			default:
				in = append(in, reading(fmt.Sprintf("1-0:%d.25.0*255", 100+i), obis.Volt, int64(i), 0))
			}
		}
		s, _, lost := shaped(t, nil, in)
		set := make([]int, len(in))
		for i := range set {
			set[i] = i
		}
		held := func() int {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int(m.HeapAlloc)
		}
		const meters = 100
		m, list := &iec61850.Model{IED: "I"}, make([]*Device, meters)
		require.NotContains(t, fmt.Sprint(lost), "no object")
		data := &mapping.Data{Meter: obis.Meter{Serial: "12345678"}, Readings: in}
		before := held()
		for i := range list {
			d := s.Device(fmt.Sprint("M", i))
			require.NoError(t, m.Update(func(u *iec61850.Update) error { d.Change(u, data, time.Unix(1.7e9, 0), set); return nil }))
			list[i] = d
		}
		each := (held() - before) / meters
		runtime.KeepAlive(list)
		t.Logf("%d octets for each meter of %d readings", each, n)
		require.LessOrEqual(t, each, most)
	}
}

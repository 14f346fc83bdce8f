package cosem_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
)

// Arrangements of pushed values, each with what it must become.
func TestAppendPushed(t *testing.T) {
	for _, v := range golden.Load(t, "testdata/push.txt") {
		t.Run(v.Name, func(t *testing.T) {
			d, n, err := cosem.ParseData(v.Hex)
			require.NoError(t, err)
			require.Equal(t, len(v.Hex), n)
			text := ""
			for _, r := range cosem.AppendPushed(nil, d, obis.Time{}) {
				text += fmt.Sprintf("%s %v %s %v %v\n", r.ID(), r.Value, r.Unit, r.Rule, r.Quality.Flags)
			}
			require.Equal(t, v.Want+"\n", text)
		})
	}
}

// A list that does not name itself is known by the one before it.
func TestPushesRemember(t *testing.T) {
	power := cosem.Structure(cosem.Uint32(4711))
	var p cosem.Pushes
	var r cosem.Readings
	p.Append(&r, power, obis.Time{})
	require.Equal(t, obis.RuleNone, r.List[0].Rule)
	p.Append(&r, kaifa(t), obis.Time{})
	r.Reset()
	p.Append(&r, power, obis.Time{})
	require.Equal(t, "1-0:1.7.0*255", r.List[0].Code.String())
	require.Equal(t, obis.Watt, r.List[0].Unit)
}

func kaifa(t *testing.T) cosem.Data {
	for _, v := range golden.Load(t, "testdata/push.txt") {
		if v.Name == "Kaifa, one phase, without codes" {
			d, _, err := cosem.ParseData(v.Hex)
			require.NoError(t, err)
			return d
		}
	}
	t.Fatal("no list of Kaifa")
	return cosem.Data{}
}

// registersPush is a push of 20 registers, each a structure of code, value, scaler and unit.
func registersPush() cosem.Data {
	list := make([]cosem.Data, 20)
	for i := range list {
		list[i] = cosem.Structure(cosem.Name(obis.Code{1, 0, byte(i + 1), 8, 0, 255}), cosem.Uint32(uint32(1000*i)),
			cosem.ScalerUnit{Scaler: -1, Unit: obis.WattHour, Known: true}.Data())
	}
	d, _, _ := cosem.ParseData(cosem.Array(list...).Binary())
	return d
}

// BenchmarkPush reads a push of 20 registers. The floor copies codes and numbers
// from where they are known to lie, and checks nothing.
func BenchmarkPush(b *testing.B) {
	body := registersPush()
	var p cosem.Pushes
	var r cosem.Readings
	floor := make([]obis.Reading, 20)
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		p.Append(&r, body, obis.Time{})
	}
	if len(r.List) != 20 || r.List[19].Value.String() != "1900.0" {
		b.Fatal(r.List)
	}
	golden.OfFloor(b, func() {
		raw := body.Binary()
		for i := range floor {
			row := raw[2+21*i:]
			floor[i] = obis.Reading{Code: obis.Code(row[4:]), Value: obis.Int(int64(binary.BigEndian.Uint32(row[11:])), int8(row[18])),
				Unit: obis.Unit(row[20]), RawID: row[4:11], Rule: obis.RuleTransmitted, Source: uint32(i)}
		}
	})
}

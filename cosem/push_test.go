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

// Octet-strings of 12, 5 or 4 octets are times where the code says so, and only there.
func TestTimesByCode(t *testing.T) {
	stamp := cosem.OctetString([]byte{0x07, 0xEA, 11, 20, 5, 12, 34, 56, 0, 0x80, 0, 0})
	for code, isTime := range map[string]bool{
		"0-0:1.0.0": true, "0-1:1.0.0": true, "1-0:0.9.1": true, "1-0:0.9.2": true, "1-0:0.1.2": true, "0-0:96.2.1": true,
		"1-0:1.0.0": false, "0-0:1.1.0": false, "1-0:0.9.3": false, "1-0:0.1.0": false, "1-0:96.2.1": false, "0-0:96.1.0": false, "1-0:1.8.0": false,
	} {
		readings := cosem.AppendPushed(nil, cosem.Structure(cosem.Name(obis.MustParse(code)), stamp), obis.Time{})
		require.Len(t, readings, 1, code)
		_, got := readings[0].Value.Time()
		require.Equal(t, isTime, got, code)
	}
}

// Only what stands first in a list and can be one is the time of a push.
func TestTimeOfAPush(t *testing.T) {
	stamp := cosem.OctetString([]byte{0x07, 0xEA, 11, 20, 5, 12, 34, 56, 0, 0x80, 0, 0})
	never := cosem.OctetString(make([]byte, 12))
	value := []cosem.Data{cosem.Name(obis.MustParse("1-0:1.8.0")), cosem.Uint32(5)}
	for name, test := range map[string]struct {
		body cosem.Data
		want bool
	}{
		"first":             {cosem.Structure(stamp, value[0], value[1]), true},
		"last":              {cosem.Structure(value[0], value[1], stamp), false},
		"no time at all":    {cosem.Structure(never, value[0], value[1]), false},
		"clock, with codes": {cosem.Structure(value[0], value[1], cosem.Name(obis.MustParse("0-0:1.0.0")), stamp), true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range cosem.AppendPushed(nil, test.body, obis.Time{}) {
				if r.Code.Valid() && r.Code[0] == 1 {
					require.Equal(t, test.want, !r.Time.IsZero())
				}
			}
		})
	}
}

// A code that nothing follows is a value itself.
func TestCodeAlone(t *testing.T) {
	for _, body := range []cosem.Data{
		cosem.Structure(cosem.Uint8(1), cosem.Uint8(2), cosem.Name(obis.MustParse("1-0:1.8.0"))),
		cosem.Array(cosem.Name(obis.MustParse("1-0:1.8.0"))),
	} {
		for _, r := range cosem.AppendPushed(nil, body, obis.Time{}) {
			require.False(t, r.Code.Valid())
			require.Equal(t, obis.RuleNone, r.Rule)
		}
	}
}

// The attributes of readings stand beside them.
func TestReadingsAttributes(t *testing.T) {
	var r cosem.Readings
	r.Register(&cosem.Register{Class: cosem.ClassDemandRegister, Name: obis.MustParse("1-0:1.4.0"), Value: cosem.Uint32(1), Last: cosem.Uint32(2),
		Captured: cosem.DateTime(obis.LocalTime(2026, 3, 1, 12, 0, 0)), Start: cosem.DateTime(obis.LocalTime(2026, 3, 1, 12, 0, 0))}, obis.Time{})
	r.Raw(cosem.Array(cosem.Structure(cosem.Null(), cosem.Uint8(7))), obis.Time{})
	require.Len(t, r.List, 3)
	for i, want := range []cosem.Attribute{
		{Class: cosem.ClassDemandRegister, Name: obis.MustParse("1-0:1.4.0"), Index: 2},
		{Class: cosem.ClassDemandRegister, Name: obis.MustParse("1-0:1.4.0"), Index: 3}, {},
	} {
		require.Equal(t, uint32(i), r.List[i].Source)
		require.Equal(t, want, r.Attributes[r.List[i].Source])
	}
	require.Equal(t, "1-0:1.5.0*255", r.List[1].Code.String(), "the last average has a code of its own")
	require.True(t, r.List[0].Time.IsZero(), "the interval of the current average has not ended")
	require.False(t, r.List[0].Start.IsZero())
	require.False(t, r.List[1].Time.IsZero())
	require.Equal(t, []byte{0, 1}, r.List[2].RawID)
	r.Reset()
	require.Empty(t, r.List)
}

// A push of nothing but small values does not fill the memory.
func TestReadingsAreBounded(t *testing.T) {
	list := make([]cosem.Data, 100_000)
	for i := range list {
		list[i] = cosem.Uint8(1)
	}
	body := cosem.Array(list...)
	var r cosem.Readings
	new(cosem.Pushes).Append(&r, body, obis.Time{})
	require.Len(t, r.List, cosem.MaxReadings)
	require.Len(t, r.Attributes, cosem.MaxReadings)
	require.Equal(t, 100_000-cosem.MaxReadings, r.Dropped)
	r.Reset()
	require.Zero(t, cap(r.List), "so much is not kept")
}

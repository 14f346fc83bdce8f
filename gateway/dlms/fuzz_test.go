package dlms

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// willing is a commander that remembers one command, and answers as it was asked.
type willing struct{ got site.Command }

func (w *willing) Command(_ context.Context, c site.Command) (site.Answer, error) {
	w.got = c
	return site.Answer{Payload: c.Payload}, nil
}

// FuzzDevice reads, sets and invokes whatever a client names: what is read is A-XDR, and what is
// commanded has either a value or the octets that came.
func FuzzDevice(f *testing.F) {
	s := site.New(nil)
	require.NoError(f, s.Add("a", obis.Meter{}))
	d := readings(5)
	p := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Period: 900, Columns: []obis.Column{{Code: d.Readings[1].Code, Unit: obis.WattHour}}}
	for i := range 5 {
		p.Times = append(p.Times, obis.FromTime(time.Unix(1795176000+900*int64(i), 0).UTC()))
		p.Columns[0].Append(obis.Int(int64(i), 0))
	}
	d.Profiles = []*obis.Profile{p}
	d.Readings[2].Value = obis.Text([]byte("x"))
	d.Readings[3].Quality.Flags = obis.Old
	require.NoError(f, s.Put("a", d, site.Stamp{}))
	to := &willing{}
	face, err := New(&Config{Listen: ":0"}, s, to)
	require.NoError(f, err)
	last, _ := s.Last("a")
	face.show(last)
	device := face.find(firstSAP)
	at := obis.FromTime(time.Unix(1795176000, 0).UTC())
	byClock := cosem.Capture{Attribute: cosem.Attribute{Class: cosem.ClassClock, Name: clockName, Index: 2}}
	for _, o := range device.Objects(&dlms.Partner{}) {
		for i := range int8(9) {
			name := o.Name
			f.Add(uint16(o.Class), name[:], i, int8(0), []byte{17, 5})
			f.Add(uint16(o.Class), name[:], i, int8(1), cosem.ByRange(byClock, at, at).Parameters.Binary())
			f.Add(uint16(o.Class), name[:], i, int8(2), cosem.ByEntry(1, 2, 1, 2).Parameters.Binary())
		}
	}
	f.Add(uint16(0), []byte{0, 0, 96, 3, 10, 255}, int8(1), int8(0), []byte{15, 0})
	f.Fuzz(func(t *testing.T, class uint16, name []byte, index, selector int8, raw []byte) {
		if len(name) != len(obis.Code{}) {
			return
		}
		data, n, err := cosem.ParseData(raw)
		if err != nil || n != len(raw) {
			return
		}
		a := cosem.Attribute{Class: cosem.Class(class), Name: obis.Code(name), Index: index}
		var sel *cosem.Selection
		if selector != 0 {
			sel = &cosem.Selection{Selector: uint8(selector), Parameters: data}
		}
		partner := &dlms.Partner{Client: 2}
		if got, code := device.Get(partner, a, sel); code == cosem.Success {
			_, n, err := cosem.ParseData(got.Binary())
			require.NoError(t, err)
			require.Equal(t, len(got.Binary()), n)
		}
		to.got = site.Command{}
		if device.Set(partner, a, sel, data) == cosem.Success {
			require.Equal(t, a.Name, to.got.Code)
			if to.got.Class == 0 {
				require.False(t, to.got.Value.IsNone())
			} else {
				require.Equal(t, data.Binary(), to.got.Payload)
			}
		}
		to.got = site.Command{}
		if answer, code := device.Action(partner, cosem.Method(a), &data); code == 0 && answer != nil {
			require.Equal(t, data.Binary(), answer.Binary())
			require.True(t, to.got.Class != 0 && to.got.Method != 0 && to.got.Attribute == 0)
		}
	})
}

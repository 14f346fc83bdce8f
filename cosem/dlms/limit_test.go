package dlms

import (
	"bytes"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/obis"
)

// archive is a device with one attribute, of a size, that counts how often it was read.
type archive struct {
	Exposed
	value cosem.Data
	reads int
}

func (a *archive) Get(*Partner, cosem.Attribute, *cosem.Selection) (cosem.Data, cosem.DataAccessResult) {
	a.reads++
	return a.value.Clone(), cosem.Success
}

// anonymous are sessions of one server with clients that nobody knows.
func anonymous(t testing.TB, device Device) (srv *Server, open func() *session) {
	srv, err := NewServer(&ServerConfig{Devices: map[uint16]Device{1: device}})
	require.NoError(t, err)
	a, err := NewAssociation(nil)
	require.NoError(t, err)
	request, err := a.Request()
	require.NoError(t, err)
	return srv, func() *session {
		s := newSession(&srv.cfg, device, Partner{Client: 16, Server: 1})
		require.Len(t, s.handle(request), 1)
		require.Equal(t, stateOpen, s.state)
		return s
	}
}

// everything asks for an attribute as often as fits into a request.
func everything(t testing.TB, n int) []byte {
	g := apdu.Get{Attribute: cosem.Attribute{Class: cosem.ClassProfileGeneric, Name: obis.MustParse("1-0:99.1.0"), Index: 2}}
	b, err := apdu.GetRequestWithList{Invoke: 0xC1, List: slices.Repeat([]apdu.Get{g}, n)}.AppendBinary(nil)
	require.NoError(t, err)
	return b
}

// One request of 65 kB for 6,500 profiles is answered with the first few.
func TestAnswersAreBounded(t *testing.T) {
	device := &archive{value: cosem.OctetString(make([]byte, 40_000))}
	_, open := anonymous(t, device)
	s := open()
	require.NotEmpty(t, s.handle(everything(t, 6500)))
	require.LessOrEqual(t, device.reads, maxListed/40_000+1)
	require.Less(t, s.held, maxListed+(1<<18))
	device.reads, device.value = 0, cosem.Uint8(1)
	require.NotEmpty(t, open().handle(everything(t, 6500)))
	require.Equal(t, maxItems, device.reads)
	device.value = cosem.OctetString(make([]byte, 9<<20))
	p, err := parse(open().handle(everything(t, 1))[0])
	require.NoError(t, err)
	require.Equal(t, cosem.DataBlockUnavailable, p.(apdu.GetResponseWithList).List[0].Code)
}

// All clients of a server together hold no more than it says, whatever they
// begin and do not end, and what they held is there again when they are gone.
func TestClientsHoldLittle(t *testing.T) {
	device := &archive{value: cosem.OctetString(make([]byte, 1<<20))}
	srv, open := anonymous(t, device)
	long, err := apdu.SetRequestFirstBlock{Invoke: 0xC1, Get: apdu.Get{Attribute: energyValue.Get.Attribute},
		Block: apdu.Block{Number: 1, Raw: make([]byte, 60_000)}}.AppendBinary(nil)
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var sessions []*session
	refused := 0
	for range 600 {
		s := open()
		request := everything(t, 1)
		if len(sessions)%2 == 1 {
			request = long
		}
		p, err := parse(bytes.Clone(s.handle(request)[0]))
		require.NoError(t, err)
		if _, ok := p.(apdu.ExceptionResponse); ok {
			refused++
		}
		sessions = append(sessions, s)
	}
	for range 2000 { // and those who fetch an answer that fits into one piece
		device.value = cosem.OctetString(make([]byte, 60_000))
		s := open()
		require.Greater(t, len(s.handle(everything(t, 1))[0]), 100)
		sessions = append(sessions, s)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := int64(after.HeapInuse) - int64(before.HeapInuse)
	t.Logf("600 clients hold %d kB; %d requests were refused", held>>10, refused)
	require.Positive(t, refused)
	require.LessOrEqual(t, srv.cfg.held.held.Load(), int64(maxHeld))
	require.Less(t, held, int64(maxHeld*3/2))
	for _, s := range sessions {
		s.close()
	}
	require.Zero(t, srv.cfg.held.held.Load())
	require.IsType(t, &session{}, open())
}

// BenchmarkAnonymous measures what one request of a client that nobody knows has
// a server compute, hold and send.
func BenchmarkAnonymous(b *testing.B) {
	rows := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Columns: []obis.Column{{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour}}}
	for i := range 1000 {
		rows.Times = append(rows.Times, obis.Time{Year: 2026, Month: 1, Day: 1, Minute: uint8(i % 60)})
		rows.Columns[0].AppendInt(int64(i))
	}
	device := &Exposed{}
	device.Update(obis.Meter{ID: "X"}, nil, []*obis.Profile{rows})
	_, open := anonymous(b, device)
	association, _ := NewAssociation(nil)
	aarq, _ := association.Request()
	for _, test := range []struct {
		name    string
		request []byte
	}{{"AARQ", aarq}, {"one profile", everything(b, 1)}, {"6500 profiles", everything(b, 6500)}, {"garbage", bytes.Repeat([]byte{0xC0}, 60_000)}} {
		b.Run(test.name, func(b *testing.B) {
			s := open()
			sent, most := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				for _, answer := range s.handle(test.request) {
					sent += len(answer)
				}
				most = max(most, s.held)
			}
			b.ReportMetric(float64(sent)/float64(b.N)/float64(len(test.request)), "sent/received")
			b.ReportMetric(float64(most), "held")
		})
	}
}

// A device with more objects than there are short names shows the first, each
// with a name of its own.
func TestShortNamesAreUnique(t *testing.T) {
	device := &Exposed{}
	var readings []obis.Reading
	for i := range 600 {
		readings = append(readings, obis.Reading{Code: obis.Code{1, byte(i / 200), byte(i%200 + 1), 8, 0, 255}, Value: obis.Int(int64(i), 0), Unit: obis.WattHour})
	}
	device.Update(obis.Meter{ID: "X"}, readings, nil)
	s, _ := opened(t, Access{}, &Config{ShortNames: true})
	s.device = device
	seen := map[uint16]bool{}
	for _, o := range s.objectsSN() {
		require.False(t, seen[o.BaseName], "base name 0x%04x", o.BaseName)
		seen[o.BaseName] = true
		require.LessOrEqual(t, o.BaseName, uint16(baseAssociationSN))
	}
	require.Len(t, seen, maxNames+1)
}

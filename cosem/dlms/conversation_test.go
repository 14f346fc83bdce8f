package dlms_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/cosemsim"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/cosem/wrapper"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
)

// conversation is a recorded session with the keys of both sides.
type conversation struct {
	name   string
	frames [][]byte
	keys   func(security.Title) *dlms.Security
	// sealed says that all values of it are authenticated: a reading that it does
	// not hold is a forged one.
	sealed bool
	intact map[string]bool
}

// record lets a client read a simulated meter, and returns what was on the wire.
func record(t testing.TB, name string, link dlms.Link, style dlms.Style, maxPDU uint16, auth security.Key) *conversation {
	client, server := security.Title{'C', 'L', 'I', 0, 0, 0, 0, 1}, security.Title{'O', 'S', 'M', 0, 0, 0, 0, 9}
	ek := security.Key("0123456789abcdef")
	sec := func(own security.Title) *dlms.Security {
		if ek == nil {
			return nil
		}
		return &dlms.Security{Title: own, Unicast: ek, Authentication: auth, Style: style, Counters: &security.MemoryCounters{}}
	}
	noon := time.Date(2026, 3, 10, 12, 7, 30, 0, time.UTC)
	meter, err := cosemsim.New(&cosemsim.Config{
		Now: func() time.Time { return noon }, Rows: 20, MaxPDU: maxPDU,
		Access: []dlms.Access{{Client: 1, Auth: apdu.MechanismGMAC, Security: sec(server)}},
	})
	require.NoError(t, err)
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- meter.Serve(context.Background(), far) }()
	c := &conversation{name: name, sealed: true, keys: func(title security.Title) *dlms.Security {
		s := *sec(client)
		s.Peer, s.Counters = server, nil
		return &s
	}}
	cl := dlms.NewClient(near, &dlms.Config{
		Link: link, Client: 1, Auth: apdu.MechanismGMAC, Security: sec(client), Timeout: 2 * time.Second, MaxPDU: maxPDU,
		Trace: func(_ bool, frame []byte) { c.frames = append(c.frames, append([]byte{}, frame...)) },
	})
	require.NoError(t, cl.Open(t.Context()))
	_, err = cl.Read(t.Context(), obis.MustParse("1-0:1.8.0"), obis.MustParse("1-0:2.8.0"), obis.MustParse("1-0:32.7.0"), obis.MustParse("1-0:1.4.0"))
	require.NoError(t, err)
	for _, code := range []string{"1-0:1.8.0", "1-0:2.8.0", "0-0:1.0.0"} {
		_, err := cl.Read(t.Context(), obis.MustParse(code))
		require.NoError(t, err)
	}
	var p obis.Profile
	require.NoError(t, cl.Profile(t.Context(), obis.MustParse("1-0:99.1.0"), noon.Add(-2*time.Hour), noon, &p))
	require.NoError(t, cl.Close(t.Context()))
	require.NoError(t, <-done)
	for i := range 3 {
		push, err := dlms.Push(&dlms.Config{Link: link, Client: 1, Security: &dlms.Security{
			Title: server, Unicast: ek, Authentication: auth, Counters: at(uint32(1000 + i)),
		}}, apdu.DataNotification{Invoke: 1, Body: cosem.Array(cosem.Structure(cosem.Name(obis.MustParse("1-0:1.8.0")), cosem.Uint32(uint32(100+i)),
			cosem.ScalerUnit{Unit: obis.WattHour, Known: true}.Data()))})
		require.NoError(t, err)
		c.frames = append(c.frames, push)
	}
	return c
}

// at returns counters that begin at start.
func at(start uint32) security.Counters {
	c := &security.MemoryCounters{}
	_ = c.Reset(security.CounterID{Title: security.Title{'O', 'S', 'M', 0, 0, 0, 0, 9}}, start)
	return c
}

// recorded are the sessions of the corpus, where there is one.
func recorded(t testing.TB) (all []*conversation) {
	if os.Getenv("METER_CORPUS") == "" {
		return nil
	}
	type row struct {
		Hex    string                     `json:"hex"`
		Keys   map[string]json.RawMessage `json:"keys"`
		Source string                     `json:"source"`
	}
	byName := map[string]*conversation{}
	for _, r := range golden.Corpus[row](t, "dlms_sessions.jsonl") {
		octets := func(name string) []byte {
			var s string
			_ = json.Unmarshal(r.Keys[name], &s)
			b, _ := hex.DecodeString(s)
			return b
		}
		name := r.Source + string(r.Keys["ek"])
		c := byName[name]
		if c == nil {
			c = &conversation{name: name}
			byName[name] = c
			all = append(all, c)
			if ek := octets("ek"); len(ek) > 0 {
				var suite string
				_ = json.Unmarshal(r.Keys["suite"], &suite)
				client, server := security.Title(octets("client_system_title")), security.Title(octets("server_system_title"))
				sec := dlms.Security{
					Suite: security.Suite(suite[0] - '0'), Unicast: ek, Authentication: octets("ak"), Title: client, Peer: server,
				}
				c.sealed = !strings.Contains(r.Source, "gbt2") // of which frames are missing
				c.keys = func(title security.Title) *dlms.Security {
					own := sec
					return &own
				}
			}
		}
		c.frames = append(c.frames, golden.Unhex(t, r.Hex))
	}
	return all
}

// good adds the values of a message of which the flags are among those that are allowed.
func good(values map[string]bool, m *dlms.Message, allowed obis.Flags) {
	for _, r := range m.Readings {
		if r.Code.Valid() && r.Quality.Flags&^allowed == 0 {
			values[fmt.Sprint(r.Code, r.Value, r.Unit, r.Time)] = true
		}
	}
	for _, p := range m.Profiles {
		for row, at := range p.Times {
			if p.Quality.At(row).Flags&^allowed != 0 {
				continue
			}
			for i := range p.Columns {
				if c := &p.Columns[i]; c.Quality.At(row).Flags&^allowed == 0 && c.Unit != obis.UnitUnknown {
					values[fmt.Sprint(p.Code, c.Code, c.At(row), c.Unit, at)] = true
				}
			}
		}
	}
}

// hear returns the values of frames, with no other flags than those that are allowed.
func hear(c *conversation, frames [][]byte, live bool, allowed obis.Flags) map[string]bool {
	cfg := &dlms.ReceiverConfig{Link: dlms.LinkAuto, Keys: c.keys}
	if live {
		cfg.Counters = &security.MemoryCounters{}
	}
	r := dlms.NewReceiver(cfg)
	values := map[string]bool{}
	for _, f := range frames {
		r.Feed(f)
		for {
			m, err := r.Next()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err == nil {
				good(values, m, allowed)
			}
		}
	}
	return values
}

// taken is a frame apart.
type taken struct {
	hdlc *hdlc.Frame
	wrap *wrapper.Frame
	llc  []byte
	apdu []byte
}

func takeApart(b []byte) (f taken, ok bool) {
	if w, _, err := wrapper.Parse(b); err == nil {
		return taken{wrap: &w, apdu: w.APDU}, true
	}
	h, _, err := hdlc.Parse(b)
	if err != nil || len(h.Info) < 4 {
		return taken{}, false
	}
	f = taken{hdlc: &h, apdu: h.Info}
	if h.Info[0] == 0xE6 {
		f.llc, f.apdu = h.Info[:3], h.Info[3:]
	}
	return f, true
}

// build puts a frame together, with another APDU and checksums that are right.
func (f taken) build(pdu []byte) []byte {
	var b []byte
	if f.wrap != nil {
		w := *f.wrap
		w.APDU = pdu
		b, _ = w.AppendBinary(nil)
		return b
	}
	h := *f.hdlc
	h.Info = append(append([]byte{}, f.llc...), pdu...)
	b, _ = h.AppendBinary(nil)
	return b
}

// strip cuts off the tag of a ciphered APDU, and says that it never had one.
func strip(b []byte) []byte {
	p, _, err := apdu.Parse(b)
	if err != nil {
		return b
	}
	cut := func(c []byte) []byte {
		if len(c) < 17 {
			return c
		}
		c = append([]byte{}, c[:len(c)-12]...)
		c[0] &^= byte(security.Authenticated)
		return c
	}
	switch p := p.(type) {
	case apdu.Ciphered:
		p.Contents = cut(p.Contents)
		b, _ = p.AppendBinary(nil)
	case apdu.GeneralCiphered:
		p.Contents = cut(p.Contents)
		b, _ = p.AppendBinary(nil)
	}
	return b
}

// mutate changes a conversation as three octets at a time of program say.
func mutate(frames [][]byte, program []byte) [][]byte {
	frames = append([][]byte{}, frames...)
	for len(program) >= 3 && len(frames) > 0 && len(frames) < 4096 {
		op, a, b := program[0], int(program[1])%len(frames), int(program[2])%len(frames)
		detail := int(program[2])
		program = program[3:]
		f, whole := takeApart(frames[a])
		other, _ := takeApart(frames[b])
		switch op % 14 {
		case 0: // repeat, elsewhere
			frames = append(frames[:b:b], append([][]byte{frames[a]}, frames[b:]...)...)
		case 1:
			frames = append(frames[:a:a], frames[a+1:]...)
		case 2:
			frames[a], frames[b] = frames[b], frames[a]
		case 3: // to another address
			if whole && f.wrap != nil {
				f.wrap.Destination ^= uint16(detail)
				frames[a] = f.build(f.apdu)
			} else if whole {
				f.hdlc.Source.Upper ^= uint16(detail & 0x7F)
				frames[a] = f.build(f.apdu)
			}
		case 4: // cut
			if whole {
				frames[a] = f.build(f.apdu[:len(f.apdu)*detail/256])
			}
		case 5: // a bit of the APDU
			if whole && len(f.apdu) > 0 {
				pdu := append([]byte{}, f.apdu...)
				pdu[detail*len(pdu)/256] ^= 1 << (detail & 7)
				frames[a] = f.build(pdu)
			}
		case 6:
			if whole {
				frames[a] = f.build(strip(f.apdu))
			}
		case 7: // a cipher that does not cipher around it
			if whole {
				pdu, _ := apdu.GeneralCiphered{SystemTitle: []byte{'O', 'S', 'M', 0, 0, 0, 0, 9}, Contents: append([]byte{0, 0, 0, 1, byte(detail)}, f.apdu...)}.AppendBinary(nil)
				frames[a] = f.build(pdu)
			}
		case 8: // another frame's APDU
			if whole && other.apdu != nil {
				frames[a] = f.build(other.apdu)
			}
		case 9, 10, 11: // plain, inserted
			if whole {
				frames = append(frames[:a:a], append([][]byte{f.build(plain(int(op%14), detail))}, frames[a:]...)...)
			}
		case 12: // N(S), N(R), or more of it
			if whole && f.hdlc != nil {
				f.hdlc.Control ^= hdlc.Control(detail & 0xFE)
				frames[a] = f.build(f.apdu)
			}
		case 13: // two segments
			if whole && f.hdlc != nil && len(f.apdu) > 8 {
				rest := f
				tail := *f.hdlc
				rest.hdlc, rest.llc = &tail, nil
				f.hdlc.Segmented = true
				n := 1 + detail*(len(f.apdu)-2)/256
				head := f.build(f.apdu[:n])
				tail.Control += 2
				frames = append(frames[:a:a], append([][]byte{head, rest.build(rest.apdu[n:])}, frames[a+1:]...)...)
			}
		}
	}
	return frames
}

// plain returns a plain PDU that somebody without a key may insert.
func plain(kind, detail int) []byte {
	energy := cosem.Attribute{Class: cosem.ClassRegister, Name: obis.MustParse("1-0:2.8.0"), Index: 2}
	var p apdu.PDU
	switch {
	case kind == 9 && detail%2 == 0:
		p = apdu.GetRequestNormal{Invoke: apdu.InvokeID(0xC0 | detail>>4), Get: apdu.Get{Attribute: energy}}
	case kind == 9:
		p = apdu.GetResponseNormal{Invoke: apdu.InvokeID(0xC0 | detail>>4), Result: apdu.Result{Data: cosem.Uint32(66600)}}
	case kind == 10 && detail%2 == 0:
		p = apdu.AARQ{Context: apdu.ContextLNCiphered, CallingAPTitle: []byte{'B', 'A', 'D', 0, 0, 0, 0, byte(detail)}}
	case kind == 10:
		p = apdu.AARE{Context: apdu.ContextLNCiphered, RespondingAPTitle: []byte{'B', 'A', 'D', 0, 0, 0, 0, byte(detail)}}
	case detail%3 == 0:
		p = apdu.GetResponseWithBlock{Invoke: apdu.InvokeID(0xC0 | detail>>4), Block: apdu.Block{Last: detail&8 != 0, Number: uint32(detail & 3), Raw: []byte{6, 0, 1, 2, 3}}}
	case detail%3 == 1:
		p = apdu.GeneralBlockTransfer{Last: detail&8 != 0, Number: uint16(detail & 3), Data: []byte{0x0F, 0, 0, 0, 1, 0, 2, 2, 9, 6, 1, 0, 2, 8, 0, 255, 6, 0, 1, 2, 3}}
	default:
		p = apdu.DataNotification{Body: cosem.Structure(cosem.Name(energy.Name), cosem.Uint32(66600))}
	}
	b, _ := p.AppendBinary(nil)
	return b
}

// FuzzConversation changes recorded conversations as somebody without the keys
// may: nothing that he does makes a value of which nobody says that it is doubtful.
func FuzzConversation(f *testing.F) {
	auth := security.Key("fedcba9876543210")
	all := []*conversation{
		record(f, "HDLC", dlms.LinkHDLC, dlms.StyleService, 0, auth),
		record(f, "wrapper", dlms.LinkWrapper, dlms.StyleGeneral, 0, auth),
		record(f, "blocks", dlms.LinkWrapper, dlms.StyleService, 120, auth),
		record(f, "small, HDLC", dlms.LinkHDLC, dlms.StyleGeneral, 200, auth),
	}
	all = append(all, recorded(f)...)
	for i, c := range all {
		c.intact = hear(c, c.frames, false, obis.Questionable|obis.Unverified)
		if c.sealed && i < 4 && len(c.intact) < 8 {
			f.Fatalf("%s: %v", c.name, c.intact)
		}
		for op := range byte(14) {
			f.Add(byte(i), []byte{op, 10, 12, op, 17, 200, op, 30, 31})
		}
	}
	for i := range all { // a request under a dedicated key before the handshake ends
		f.Add(byte(i), []byte("268820802"))
		f.Add(byte(i), []byte("A\n0\x02\f0,!\n")) // both sides jump by as much
	}
	f.Fuzz(func(t *testing.T, which byte, program []byte) {
		c := all[int(which)%len(all)]
		if len(program) > 60 {
			program = program[:60]
		}
		frames := mutate(c.frames, program)
		for _, live := range []bool{false, true} {
			got := hear(c, frames, live, 0)
			if !c.sealed {
				continue
			}
			for v := range got {
				if !c.intact[v] {
					t.Fatalf("%s, live %v: %s is none of its values", c.name, live, v)
				}
			}
		}
	})
}

// What a conversation leaves behind is bounded, however it is changed.
func TestConversationMemory(t *testing.T) {
	c := record(t, "HDLC", dlms.LinkHDLC, dlms.StyleService, 0, security.Key("fedcba9876543210"))
	var before, after runtime.MemStats
	r := dlms.NewReceiver(&dlms.ReceiverConfig{Keys: c.keys, Counters: &security.MemoryCounters{}})
	round := func(n int) {
		for i := range n {
			for _, f := range mutate(c.frames, []byte{3, byte(i), byte(i >> 3), 13, byte(i), byte(i >> 2), 1, byte(i >> 1), 0}) {
				r.Feed(f)
				for {
					if _, err := r.Next(); errors.Is(err, io.ErrUnexpectedEOF) {
						break
					}
				}
			}
		}
		runtime.GC()
	}
	round(300)
	runtime.ReadMemStats(&before)
	round(300)
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(4<<20))
	runtime.KeepAlive(r)
}

package psem

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
)

// services are the names that the corpus has for services.
var services = map[string]string{
	"full_read": "full read", "pread_offset": "partial read by offset", "negotiate1": "negotiate",
}

func TestCorpus(t *testing.T) {
	n := 0
	for _, r := range golden.Corpus[struct {
		ID, Protocol, Hex string
		Expected          struct {
			Len     int
			Service string
			Toggle  *bool
		}
	}](t, "ansi_iec.jsonl") {
		if r.Protocol != "c1218" {
			continue
		}
		n++
		t.Run(r.ID, func(t *testing.T) {
			b := golden.Unhex(t, r.Hex)
			p, size, err := Parse(b)
			require.NoError(t, err)
			require.Equal(t, len(b), size)
			require.Len(t, p.Data, r.Expected.Len)
			if r.Expected.Toggle != nil {
				require.Equal(t, *r.Expected.Toggle, p.Toggle)
			}
			again, err := p.AppendBinary(nil)
			require.NoError(t, err)
			require.Equal(t, b, again)
			request, used, err := ParseRequest(p.Data)
			require.NoError(t, err)
			require.Equal(t, len(p.Data), used)
			name := r.Expected.Service
			if other, ok := services[name]; ok {
				name = other
			}
			require.Equal(t, name, request.Service().String())
			message, err := request.AppendBinary(nil)
			require.NoError(t, err)
			require.Equal(t, p.Data, message)
			covers(t, b)
		})
	}
	require.Equal(t, 29, n)
}

// covers holds that the explanation names every octet once.
func covers(t testing.TB, b []byte) {
	at := 0
	require.NoError(t, Explain(b, func(offset, length, _ int, field, _ string) {
		require.Equal(t, at, offset, field)
		at += length
	}))
	require.Equal(t, len(b), at)
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		hex, field string
		offset     int
		short      bool
	}{
		"nothing":       {"", "header", 0, true},
		"half a header": {"ee0000", "header", 3, true},
		"half a packet": {"ee00000000012013", "data", 8, true},
		"another start": {"68", "start", 0, false},
		"wrong CRC":     {"ee0000000001201311", "CRC", 7, false},
		"too long":      {"ee000000ffff", "length", 4, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := Parse(golden.Unhex(t, test.hex))
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			require.Zero(t, n)
			require.Equal(t, test.field, pe.Field)
			require.Equal(t, test.offset, pe.Offset)
			require.Equal(t, test.short, bytes.Contains([]byte(err.Error()), []byte(io.ErrUnexpectedEOF.Error())))
		})
	}
}

func TestRequests(t *testing.T) {
	for text, want := range map[string]Request{
		"20":                     Plain{ServiceIdentify},
		"320017000100020005":     Read{Table: 23, Indices: []uint16{1, 2}, Count: 5},
		"400007000346080ba7":     Write{Table: 7, Data: []byte{0x46, 8, 0x0B}},
		"4f0006000014000241427d": Write{Table: 6, ByOffset: true, Offset: 20, Data: []byte("AB")},
		"4e000101ff":             WriteDefault{Data: []byte{1}},
		"5309020102030405060708": Authenticate{Data: []byte{2, 1, 2, 3, 4, 5, 6, 7, 8}},
		"701e":                   Wait{30},
		"711e010403":             Timing{30, 1, 4, 3},
		"6102000206":             Negotiate{512, 2, []byte{6}},
		"25800207 01":            Lookup{ServiceResolve, []byte{0x80, 2, 7, 1}},
		"27203401020304 06022a03 0d00 02c0a8 000e10 0141": Register{
			Node: NodeEndDevice, Connection: 0x34, Class: [4]byte{1, 2, 3, 4}, Title: []byte{6, 2, 0x2A, 3}, Serial: []byte{0x0D, 0},
			Address: []byte{0xC0, 0xA8}, Period: 3600, Domain: []byte("A"),
		},
		"5000022020202020202020202000": nil,
	} {
		b := golden.Unhex(t, text)
		r, n, err := ParseRequest(b)
		if want == nil {
			require.NoError(t, err)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, len(b), n)
		require.Equal(t, want, r)
		again, err := r.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, b, again)
	}
	_, _, err := ParseRequest(golden.Unhex(t, "400007000346080ba8"))
	require.ErrorIs(t, err, ErrChecksum)
	for _, bad := range []Request{Read{Indices: make([]uint16, 10)}, Read{ByOffset: true, Offset: 1 << 24}, Write{Data: make([]byte, 1<<16)}, Authenticate{make([]byte, 256)}, Register{Address: make([]byte, 256)}, Register{Period: 1 << 24}, Negotiate{Bauds: make([]byte, 12)}} {
		_, err := bad.AppendBinary(nil)
		require.ErrorIs(t, err, ErrTooLong)
	}
}

func TestState(t *testing.T) {
	s := State(0)
	for _, step := range []struct {
		service Service
		ok      bool
	}{
		{ServiceRead, false}, {ServiceLogon, false}, {ServiceTerminate, false}, {ServiceIdentify, true}, {ServiceRead, false}, {ServiceNegotiate + 1, true},
		{ServiceTiming, true}, {ServiceLogon, true}, {ServiceNegotiate, false}, {ServiceSecurity, true}, {ServiceRead, true}, {ServiceIdentify, false},
		{ServiceWait, true}, {ServiceLogoff, true}, {ServiceRead, false}, {ServiceTerminate, true}, {ServiceWait, false},
	} {
		next, ok := s.Next(step.service)
		require.Equal(t, step.ok, ok, "%v in state %d", step.service, s)
		if ok {
			s = next
		}
	}
}

// play runs a conversation: lines of > (we send) and < (we receive), "wait"
// and "message" with its octets.
func play(t *testing.T, l *Link, script string) {
	t.Helper()
	now := time.Unix(0, 0)
	for _, line := range strings.Split(strings.TrimSpace(script), "\n") {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch kind {
		case "send":
			require.NoError(t, l.Send(golden.Unhex(t, rest)))
		case "<":
			l.Feed(now, golden.Unhex(t, rest))
		case ">":
			step := l.Poll(now)
			require.Equal(t, StepSend, step.Kind, "%s: %v", line, step.Err)
			require.Equal(t, rest, hex.EncodeToString(step.Data))
		case "message":
			step := l.Poll(now)
			require.Equal(t, StepMessage, step.Kind, "%s: %v", line, step.Err)
			require.Equal(t, rest, hex.EncodeToString(step.Data))
		case "wait":
			step := l.Poll(now)
			require.Equal(t, StepRead, step.Kind, line)
			if rest == "out" {
				now = step.Until
			}
		case "failed":
			step := l.Poll(now)
			require.Equal(t, StepFailed, step.Kind, line)
			require.ErrorContains(t, step.Err, rest)
		default:
			t.Fatal(line)
		}
	}
}

func TestLink(t *testing.T) {
	for name, script := range map[string]string{
		"request and answer":                "send 20\n> ee0000000001201310\n< 06\n< ee00200000010080\nwait\n< 51\n> 06\nmessage 00\nwait",
		"NAK, then silence, then an answer": "send 20\n> ee0000000001201310\n< 15\n> ee0000000001201310\nwait out\n> ee0000000001201310\n< 06\nwait",
		"refused for ever":                  "send 20\n> ee0000000001201310\n< 15\n> ee0000000001201310\n< 15\n> ee0000000001201310\n< 15\n> ee0000000001201310\n< 15\nfailed refused (NAK)",
		"no answer":                         "send 20\n> ee0000000001201310\nwait out\n> ee0000000001201310\nwait out\n> ee0000000001201310\nwait out\n> ee0000000001201310\nwait out\nfailed no answer",
		"a repetition is acknowledged only": "< ee0020000001008051\n> 06\nmessage 00\n< ee0020000001008051\n> 06\nwait",
		"garbled":                           "< ee00200000010080ff\n> 15\n< ee0020000001008051\n> 06\nmessage 00",
		"noise and half a packet":           "< 00ff\n< ee2000\nwait out\n> 15\n< ee0020000001008051\n> 06\nmessage 00",
		"the echo of an optical head":       "send 20\n> ee0000000001201310\n< ee0000000001201310 06\nwait",
		"the acknowledgement is lost":       "send 20\n> ee0000000001201310\n< ee0020000001008051\n> 06\nmessage 00",
	} {
		t.Run(name, func(t *testing.T) { play(t, NewLink(nil), script) })
	}
}

// Two links exchange messages of several packets.
func TestPackets(t *testing.T) {
	cfg := &LinkConfig{PacketSize: 32, Packets: 255}
	a, b := NewLink(cfg), NewLink(cfg)
	now := time.Unix(0, 0)
	for _, size := range []int{0, 1, 24, 25, 500, 24 * 255} {
		want := bytes.Repeat([]byte{0xEE, 0x06, 0x15, 1}, size)[:size]
		require.NoError(t, a.Send(want))
		var got []byte
		for got == nil {
			for _, pair := range [][2]*Link{{a, b}, {b, a}} {
				switch step := pair[0].Poll(now); step.Kind {
				case StepSend:
					pair[1].Feed(now, step.Data)
				case StepMessage:
					got = append([]byte{}, step.Data...)
				case StepFailed:
					t.Fatal(step.Err)
				}
			}
		}
		require.Equal(t, want, got)
		if step := b.Poll(now); step.Kind == StepSend {
			a.Feed(now, step.Data)
		}
	}
	require.ErrorIs(t, a.Send(make([]byte, 24*255+1)), ErrTooLong)
}

func FuzzParse(f *testing.F) {
	f.Add(golden.Unhex(f, "ee0000000001201310"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, n, err := Parse(b)
		if err != nil {
			require.Zero(t, n)
			return
		}
		again, err := p.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, b[:n], again)
		_ = Explain(b, func(offset, length, _ int, field, _ string) {
			if offset < 0 || length <= 0 || offset+length > len(b) {
				t.Fatalf("%s at %d+%d of %d", field, offset, length, len(b))
			}
		})
	})
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{"20", "25800207 01", "2720340102030406022a030d0002c0a8000e100141", "320017000100020005", "400007000346080ba7", "5309020102030405060708", "6102000206"} {
		f.Add(golden.Unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := ParseRequest(b)
		if err != nil {
			require.Zero(t, n)
			return
		}
		again, err := r.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, b[:n], again)
		_ = ExplainRequest(b, func(offset, length, _ int, field, _ string) {
			if length <= 0 || offset+length > len(b) {
				t.Fatalf("%s at %d+%d of %d", field, offset, length, len(b))
			}
		})
		_, _ = Response{Body: b}.Identity()
		_, _ = Response{Body: b}.TableData()
		_, _ = Response{Body: b}.Titles()
		_, _ = Response{Body: b}.Address()
		if g, err := (Response{Body: b}).Registration(); err == nil {
			again, err := g.Response()
			require.NoError(t, err)
			require.Equal(t, b[:len(again.Body)], again.Body)
		}
	})
}

func FuzzLink(f *testing.F) {
	f.Add(golden.Unhex(f, "06ee002000000100805106ee"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := NewLink(nil)
		now := time.Unix(0, 0)
		require.NoError(t, l.Send([]byte{0x20}))
		for i := 0; i < len(b); i += 3 {
			l.Feed(now, b[i:min(i+3, len(b))])
			for range 16 {
				if step := l.Poll(now); step.Kind == StepRead {
					break
				}
			}
			now = now.Add(time.Millisecond)
		}
	})
}

func TestParseAllocatesNothing(t *testing.T) {
	raw := golden.Unhex(t, "ee0000000001201310")
	dst := make([]byte, 0, 64)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		p, _, err := Parse(raw)
		if err == nil {
			_, err = p.AppendBinary(dst)
		}
		if err != nil {
			t.Fatal(err)
		}
	}))
}

func BenchmarkParse(b *testing.B) {
	raw, err := Packet{Data: make([]byte, 56)}.AppendBinary(nil)
	require.NoError(b, err)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	var own, least time.Duration
	for b.Loop() {
		start := time.Now()
		if _, _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if CRC(raw[:len(raw)-crcLen]) == 0 {
			b.Fatal("CRC")
		}
		own, least = own+middle.Sub(start), least+time.Since(middle)
	}
	b.ReportMetric(float64(least)/float64(own), "of_floor")
}

func ExampleParse() {
	p, _, _ := Parse([]byte{0xEE, 0, 0, 0, 0, 1, 0x20, 0x13, 0x10})
	r, _, _ := ParseRequest(p.Data)
	fmt.Println(r.Service())
	// Output: identify
}

package hdlc

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pair is two links and the line between them.
type pair struct {
	now      time.Time
	a, b     *Link
	drop     func(n int, raw []byte) bool // whether frame number n gets lost
	frames   int
	got      map[*Link][]Event
	answerer func(pdu []byte) []byte
}

func newPair(p Parameters) *pair {
	return &pair{
		now:  time.Unix(1e9, 0),
		a:    NewPrimary(LinkConfig{Local: Client(16), Remote: Server(1, 17), Parameters: p}),
		b:    NewSecondary(LinkConfig{Local: Server(1, 17), Remote: Client(16), Parameters: p}),
		drop: func(int, []byte) bool { return false },
		got:  map[*Link][]Event{},
	}
}

// run moves frames to and fro until nothing happens any more, letting time pass where somebody waits.
func (p *pair) run(t *testing.T) {
	t.Helper()
	for range 10000 {
		moved := p.move(t, p.a, p.b)
		moved = p.move(t, p.b, p.a) || moved
		if moved {
			continue
		}
		_, wake := p.a.Poll(p.now, nil)
		if wake.IsZero() || wake.Before(p.now) {
			return
		}
		p.now = wake
	}
	t.Fatal("the links do not come to rest")
}

func (p *pair) move(t *testing.T, from, to *Link) bool {
	out, _ := from.Poll(p.now, nil)
	for rest := out; len(rest) > 0; {
		f, n, err := Parse(rest)
		require.NoError(t, err)
		p.frames++
		if !p.drop(p.frames, rest[:n]) {
			to.Receive(p.now, f)
		}
		rest = rest[n:]
		for {
			e, ok := to.Next()
			if !ok {
				break
			}
			p.got[to] = append(p.got[to], e)
			if e.Kind == Message && p.answerer != nil && to == p.b {
				to.Send(p.answerer(e.PDU), false)
			}
		}
	}
	for {
		e, ok := from.Next()
		if !ok {
			break
		}
		p.got[from] = append(p.got[from], e)
	}
	return len(out) > 0
}

// Requests and answers of every size arrive whole, whichever single frame is lost.
func TestLinkSurvivesLoss(t *testing.T) {
	for _, window := range []uint8{1, 2, 7} {
		for _, size := range []int{1, 124, 125, 126, 1000, 5000} {
			for lost := range 30 {
				t.Run(fmt.Sprintf("window %d, %d octets, frame %d lost", window, size, lost), func(t *testing.T) {
					p := newPair(Parameters{WindowSend: window, WindowReceive: window})
					p.drop = func(n int, _ []byte) bool { return n == lost }
					request, answer := bytes.Repeat([]byte{0x7E}, size), bytes.Repeat([]byte{0xA0}, 2*size)
					p.answerer = func(pdu []byte) []byte {
						require.Equal(t, request, pdu)
						return answer
					}
					p.a.Connect()
					p.run(t)
					require.Equal(t, []Event{{Kind: Connected}}, p.got[p.a])
					for range 3 {
						p.got[p.a] = nil
						p.a.Send(request, true)
						p.run(t)
						require.Equal(t, []Event{{Kind: Message, PDU: answer}}, p.got[p.a])
					}
					p.got[p.a] = nil
					p.a.Disconnect()
					p.run(t)
					require.Equal(t, []Event{{Kind: Disconnected}}, p.got[p.a])
				})
			}
		}
	}
}

func TestLinkGivesUp(t *testing.T) {
	p := newPair(Parameters{})
	p.drop = func(int, []byte) bool { return true }
	start := p.now
	p.a.Connect()
	p.run(t)
	require.Equal(t, []Event{{Kind: Disconnected, Err: ErrTimeout}}, p.got[p.a])
	require.Equal(t, 1+DefaultRetries, p.frames)
	require.Equal(t, (1+DefaultRetries)*DefaultTimeout, p.now.Sub(start))
}

func TestLinkInDisconnectedMode(t *testing.T) {
	b := NewSecondary(LinkConfig{Local: Server(1, 0), Remote: Client(16)})
	for in, want := range map[Control]Control{
		Information(0, 0) | PollFinal: DM | PollFinal,
		DISC | PollFinal:              DM | PollFinal,
		SNRM | PollFinal:              UA | PollFinal,
	} {
		b.Receive(time.Time{}, Frame{Destination: Server(1, 0), Source: Client(16), Control: in})
		out, _ := b.Poll(time.Time{}, nil)
		f, _, err := Parse(out)
		require.NoError(t, err)
		require.Equal(t, want, f.Control)
		b.Receive(time.Time{}, Frame{Destination: Server(1, 0), Source: Client(16), Control: DISC | PollFinal})
		b.Poll(time.Time{}, nil)
	}
}

func TestLinkHearsPushes(t *testing.T) {
	a := NewPrimary(LinkConfig{Local: Client(16), Remote: Server(1, 0)})
	a.Receive(time.Time{}, Frame{Destination: Client(16), Source: Server(1, 0), Control: UI | PollFinal, Info: []byte{0xE6, 0xE7, 0, 0x0F, 1}})
	e, ok := a.Next()
	require.True(t, ok)
	require.Equal(t, Event{Kind: Unnumbered, PDU: []byte{0x0F, 1}}, e)
}

// A secondary that is not ready is asked again until it is.
func TestLinkWaitsForReady(t *testing.T) {
	p := newPair(Parameters{})
	p.a.Connect()
	p.run(t)
	p.a.Send([]byte{1}, true)
	out, _ := p.a.Poll(p.now, nil)
	require.NotEmpty(t, out)
	p.a.Receive(p.now, Frame{Destination: Client(16), Source: Server(1, 17), Control: RNR | PollFinal})
	out, wake := p.a.Poll(p.now, nil)
	require.Empty(t, out)
	require.False(t, wake.IsZero())
	out, _ = p.a.Poll(wake, nil)
	f, _, err := Parse(out)
	require.NoError(t, err)
	require.Equal(t, RR, f.Control.Kind())
	p.a.Receive(wake, Frame{Destination: Client(16), Source: Server(1, 17), Control: RR | PollFinal})
	out, _ = p.a.Poll(wake, nil)
	f, _, err = Parse(out)
	require.NoError(t, err)
	require.True(t, f.Control.IsInformation())
}

func FuzzLink(f *testing.F) {
	f.Add([]byte{0x93, 0x10, 0x31, 0x53}, []byte{0xE6, 0xE6, 0x00, 0x01})
	f.Fuzz(func(t *testing.T, controls, info []byte) {
		for _, l := range []*Link{
			NewSecondary(LinkConfig{Local: Server(1, 0), Remote: Client(16)}),
			NewPrimary(LinkConfig{Local: Server(1, 0), Remote: Client(16)}),
		} {
			now := time.Time{}
			for i, c := range controls {
				l.Receive(now, Frame{Destination: Server(1, 0), Source: Client(16), Control: Control(c), Info: info, Segmented: i%2 == 1})
				for {
					e, ok := l.Next()
					if !ok {
						break
					}
					if e.Kind == Message {
						l.Send(e.PDU, true)
					}
				}
				out, _ := l.Poll(now, nil)
				for len(out) > 0 {
					_, n, err := Parse(out)
					require.NoError(t, err)
					out = out[n:]
				}
				now = now.Add(time.Second)
			}
		}
	})
}

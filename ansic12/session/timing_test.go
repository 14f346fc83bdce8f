package session_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/session"
)

// A meter forgets a conversation in which nobody speaks: the client begins a new one.
// It keeps it where it was asked to wait, or where longer times were agreed on.
func TestSilence(t *testing.T) {
	key := []byte("12345678")
	for name, test := range map[string]struct {
		sim        ansicsim.Config
		cfg        session.Config
		wait       uint8
		silence    time.Duration
		identifies int
	}{
		"C12.18, 5 s":                {silence: 5 * time.Second, identifies: 1},
		"C12.18, 7 s":                {silence: 7 * time.Second, identifies: 2},
		"C12.18, asked to wait":      {wait: 20, silence: 15 * time.Second, identifies: 1},
		"C12.18, waited in vain":     {wait: 20, silence: 25 * time.Second, identifies: 2},
		"C12.21, times agreed":       {ansicsim.Config{Key: key}, session.Config{Key: key, Timing: &psem.Timing{Traffic: 60, InterChar: 1, Response: 4}}, 0, 50 * time.Second, 1},
		"C12.21, times agreed, long": {ansicsim.Config{Key: key}, session.Config{Key: key, Timing: &psem.Timing{Traffic: 60, InterChar: 1, Response: 4}}, 0, 70 * time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				identifies := 0
				test.sim.Faults.Answer = func(r psem.Request) *psem.Response {
					if r.Service() == psem.ServiceIdentify {
						identifies++
					}
					return nil
				}
				near, far := net.Pipe()
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- ansicsim.New(&test.sim).Serve(ctx, far) }()
				c := session.NewClient(near, &test.cfg)
				require.NoError(t, c.Open(t.Context()))
				if test.wait > 0 {
					require.NoError(t, c.Wait(t.Context(), test.wait))
				}
				time.Sleep(test.silence)
				_, err := c.ReadTable(t.Context(), 23)
				require.NoError(t, err)
				require.Equal(t, test.identifies, identifies)
				time.Sleep(2 * time.Minute)
				require.NoError(t, c.Close(t.Context()), "after a long silence there is nobody to take leave of")
				cancel()
				<-done
			})
		})
	}
}

// So it is with a session of C12.22.
func TestNetworkSilence(t *testing.T) {
	for silence, logons := range map[time.Duration]int{50 * time.Second: 1, 70 * time.Second: 2} {
		synctest.Test(t, func(t *testing.T) {
			got := 0
			sim := ansicsim.New(&ansicsim.Config{Password: "secret", Faults: ansicsim.Faults{Answer: func(r psem.Request) *psem.Response {
				if r.Service() == psem.ServiceLogon {
					got++
				}
				return nil
			}}})
			near, far := net.Pipe()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- sim.ServeNetwork(ctx, far) }()
			c := session.NewNetworkClient(near, session.Network{}, &session.Config{Password: "secret"})
			require.NoError(t, c.Open(t.Context()))
			time.Sleep(silence)
			_, err := c.ReadTable(t.Context(), 23)
			require.NoError(t, err)
			require.Equal(t, logons, got)
			require.NoError(t, c.Close(t.Context()))
			cancel()
			<-done
		})
	}
}

// port is a serial port of which only the lines are there.
type port struct {
	net.Conn
	signals map[string]bool
	fails   bool
}

func (p *port) SetRTS(on bool) error { return p.set("RTS", on) }
func (p *port) SetDTR(on bool) error { return p.set("DTR", on) }

func (p *port) set(name string, on bool) error {
	if p.fails {
		return errors.New("no such line")
	}
	p.signals[name] = on
	return nil
}

func TestSignals(t *testing.T) {
	for signals, want := range map[session.Signals]map[string]bool{
		session.RTSOn:       {"RTS": true, "DTR": false},
		session.DTROn:       {"RTS": false, "DTR": true},
		session.BothOn:      {"RTS": true, "DTR": true},
		session.KeepSignals: {},
	} {
		for _, fails := range []bool{false, true} {
			near, far := net.Pipe()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- ansicsim.New(nil).Serve(ctx, far) }()
			p := &port{near, map[string]bool{}, fails}
			c := session.NewClient(p, &session.Config{Signals: signals})
			require.NoError(t, c.Open(t.Context()), "a port without such lines works, too")
			if !fails {
				require.Equal(t, want, p.signals)
			}
			require.NoError(t, c.Close(t.Context()))
			cancel()
			<-done
		}
	}
}

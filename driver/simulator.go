package driver

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
)

// Simulator is the meter's side of a protocol.
type Simulator interface {
	// Serve serves one connection until it ends or ctx does. Several
	// connections may be served at once.
	Serve(ctx context.Context, rw io.ReadWriteCloser) error
}

// SimulatorConfig describes a simulated meter.
type SimulatorConfig struct {
	Config     // keys and security of the simulated meter
	Slaves int // M-Bus slaves on the line; 0 is 4
}

// PacketSimulator is a simulator that answers datagrams, too.
type PacketSimulator interface {
	Simulator
	// ServePacket answers the datagrams that come to conn until ctx ends.
	ServePacket(ctx context.Context, conn net.PacketConn) error
}

// Simulators returns the names of our simulated meters.
func Simulators() []string { return (&Config{}).simulators() }

func (cfg *Config) simulators() (names []string) {
	for d := range cfg.drivers {
		if d.Simulate != nil {
			names = append(names, string(d.Protocol))
		}
	}
	slices.Sort(names)
	return names
}

// NewSimulator returns a simulated meter by its name.
func NewSimulator(name string, cfg *SimulatorConfig) (Simulator, error) {
	if cfg == nil {
		cfg = &SimulatorConfig{}
	}
	if d := Of(&cfg.Config, Protocol(name)); d != nil && d.Simulate != nil {
		return d.Simulate(cfg)
	}
	return nil, fmt.Errorf("meter: no simulator %q: one of %s", name, strings.Join(cfg.simulators(), ", "))
}

// Simulated returns the protocol of a simulated meter.
func Simulated(cfg *Config, name string) (Protocol, error) {
	if names := cfg.simulators(); !slices.Contains(names, name) {
		return "", fmt.Errorf("meter: no simulator %q: one of %s", name, strings.Join(names, ", "))
	}
	return Protocol(name), nil
}

// openSimulated connects to a simulated meter in this process, which lives as long as the connection.
func openSimulated(ctx context.Context, name string, cfg *Config) (io.ReadWriteCloser, error) {
	own := &SimulatorConfig{Config: *cfg}
	if cfg.Address == "" {
		own.Slaves = 1
	}
	sim, err := NewSimulator(name, own)
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = sim.Serve(ctx, far) // ends with the connection
		_ = far.Close()
	}()
	return &simulated{Conn: near, cancel: cancel, done: done}, nil
}

// simulated is a connection to a meter in this process.
type simulated struct {
	net.Conn
	cancel context.CancelFunc
	done   chan struct{}
	once   sync.Once
}

// SetLine accepts any rate: there is no line.
func (*simulated) SetLine(int, string) error { return nil }

// Close ends the simulated meter too.
func (s *simulated) Close() (err error) {
	s.once.Do(func() {
		err = s.Conn.Close()
		s.cancel()
		<-s.done
	})
	return err
}

package meter

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/cosem/cosemsim"
	"github.com/openusm/meter/iec62056/iec62056sim"
	"github.com/openusm/meter/mbus/mbussim"
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

// Simulators returns the names of the simulated meters.
func Simulators() []string {
	return []string{"c1218", "c1222", "dlms", "iec62056", "mbus", "p1", "sml"}
}

// NewSimulator returns a simulated meter by its name.
func NewSimulator(name string, cfg *SimulatorConfig) (Simulator, error) {
	if cfg == nil {
		cfg = &SimulatorConfig{}
	}
	switch name {
	case "dlms":
		own, err := simulatedDLMS(cfg)
		if err != nil {
			return nil, err
		}
		m, err := cosemsim.New(own)
		if err != nil {
			return nil, err
		}
		return m, nil
	case "iec62056":
		return iec62056sim.New(&iec62056sim.Config{Zone: cfg.Clock.Zone}), nil
	case "c1218":
		return ansicsim.New(simulatedC1218(cfg)), nil
	case "c1222":
		own, err := simulatedC1222(cfg)
		if err != nil {
			return nil, err
		}
		return networkSimulator{ansicsim.New(own)}, nil
	case "p1":
		return iec62056sim.NewP1(nil), nil
	case "sml":
		return iec62056sim.NewSML(nil), nil
	case "mbus":
		return mbussim.New(&mbussim.Config{Slaves: cfg.Slaves}), nil
	}
	return nil, fmt.Errorf("meter: no simulator %q: one of %s", name, strings.Join(Simulators(), ", "))
}

// simulatedProtocol returns the protocol of a simulated meter.
func simulatedProtocol(name string) (Protocol, error) {
	if !slices.Contains(Simulators(), name) {
		return "", fmt.Errorf("meter: no simulator %q: one of %s", name, strings.Join(Simulators(), ", "))
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

package driver

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"strings"

	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/osgp"
	"github.com/openusm/meter/ansic12/receive"
	"github.com/openusm/meter/ansic12/session"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/keys"
	"github.com/openusm/meter/result"
)

// c1222Driver speaks ANSI C12.22.
func c1222Driver() Driver {
	return Driver{
		Protocol:  C1222,
		Detect:    epsem.Detect,
		Reader:    c12Reading(C1222, receive.Messages),
		Explainer: func(cfg *Config, note func(Note)) (Explainer, error) { return &epsemExplainer{cfg, note}, nil },
		Heard:     HeardByName,
		Dial:      dialC1222,
		Tries: func(t Target) []Try {
			if t.Scheme == "tcp" || t.Scheme == "udp" {
				return []Try{{"C12.22", 60, quick(dialC1222)}}
			}
			return nil
		},
		Simulate: simulateC1222,
	}
}

// dialC1222 opens a conversation by C12.22.
func dialC1222(ctx context.Context, t Target, cfg *Config) (Session, error) {
	names, err := network(cfg)
	if err != nil {
		return nil, err
	}
	rw, err := cfg.Connect(ctx, t, 9600, "8N1")
	if err != nil {
		return nil, err
	}
	names.Datagrams = t.Scheme == "udp"
	layer := Layer{Name: "c12.22"}
	if names.Security != epsem.Clear {
		layer.Security, layer.Tag = receive.WeakSecurity, result.TagVerified
	}
	return openC12(ctx, session.NewNetworkClient(rw, names, c12Config(cfg)), C1222, cfg, layer)
}

// network reads the titles, and the key that secures messages.
func network(cfg *Config) (n session.Network, err error) {
	n.Sessionless = cfg.C12.Sessionless
	for _, t := range []struct {
		text string
		to   *epsem.Title
	}{{cfg.C12.Called, &n.Called}, {cfg.C12.Calling, &n.Calling}} {
		if t.text == "" {
			continue
		}
		if *t.to, err = epsem.ParseTitle(t.text); err != nil {
			return n, fmt.Errorf("meter: %w", err)
		}
	}
	if n.Calling == nil && n.Called != nil {
		n.Calling = epsem.Title{0x80, 1, 1}
	}
	if key, id, ok := eaxKey(cfg.Keys); ok {
		if cfg.Counters == nil {
			return n, fmt.Errorf("meter: %w: %w", ErrMissingKey, epsem.ErrNoVectors)
		}
		n.Security, n.Key, n.KeyID, n.Vectors = epsem.Ciphered, key, id, keptVectors(cfg.Counters, vectorID(n.Calling, id))
	}
	return n, nil
}

// Vectors are kept beside the counters of DLMS. They count from the same seconds,
// but from those since 1970.
const sinceEpoch = 1577836800 // of 2020-01-01, where counters begin

func keptVectors(c security.Counters, id security.CounterID) epsem.Vectors {
	return func() (uint32, error) {
		n, err := c.Next(id)
		return n + sinceEpoch, err
	}
}

// vectorID names the vectors that a station uses with a key: eight octets of a hash
// stand for both.
func vectorID(title epsem.Title, key uint8) (id security.CounterID) {
	h := fnv.New64a()
	_, _ = h.Write(append(title.Absolute(), key))
	h.Sum(id.Title[:0])
	id.Key = keyEAX
	return id
}

// keyEAX tells the vectors of C12.22 from the counters of DLMS messages.
const keyEAX security.KeyName = 101

// eaxKey returns the key of EAX' and its number: the key "c1222-N" with the lowest number
// among the keys by meter, else the one key if it has 16 octets, under number 0.
func eaxKey(set keys.Set) (key []byte, id uint8, ok bool) {
	for n := range 256 {
		if own, found := set.ByMeter["c1222-"+strconv.Itoa(n)]; found && len(own.Key) == 16 {
			return own.Key, uint8(n), true
		}
	}
	return set.Key, 0, len(set.Key) == 16
}

// secureC12 gives a receiver the keys that there are.
func secureC12(own *receive.Config, cfg *Config) error {
	if _, _, ok := eaxKey(cfg.Keys); ok || cfg.Keys.Find != nil {
		own.Key = func(id uint8) []byte { return cfg.Keys.For(fmt.Sprintf("c1222-%d", id)).Key }
	}
	if cfg.live && cfg.Counters != nil {
		own.Fresh = func(calling epsem.Title, key uint8, vector uint32) error {
			id := vectorID(calling, key)
			id.Receive = true
			if err := cfg.Counters.Accept(id, vector); errors.Is(err, security.ErrReplay) {
				return receive.ErrReplay
			} else if err != nil {
				return err
			}
			return nil
		}
	}
	var err error
	if len(cfg.Keys.Key) == osgp.KeyLen {
		own.Digest = (*osgp.Key)(append([]byte(nil), cfg.Keys.Key...))
		own.Address, err = osgpAddress(cfg.OSGP.Address)
	}
	return err
}

// osgpAddress reads subnet and node, as 1.2; "" is all zero.
func osgpAddress(text string) (a osgp.Address, err error) {
	if text == "" {
		return a, nil
	}
	subnet, node, ok := strings.Cut(text, ".")
	n, bad := strconv.ParseUint(subnet, 10, 8)
	m, worse := strconv.ParseUint(node, 10, 8)
	if !ok || bad != nil || worse != nil {
		return a, fmt.Errorf("meter: address %q, want subnet and node, as 1.2", text)
	}
	return osgp.Address{Subnet: byte(n), Node: byte(m)}, nil
}

// networkSimulator is the simulated meter as a station of C12.22.
type networkSimulator struct{ *ansicsim.Meter }

// Serve serves one connection.
func (s networkSimulator) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	return s.ServeNetwork(ctx, rw)
}

// simulateC1222 returns the simulated meter, whose title is the one that is called.
func simulateC1222(cfg *SimulatorConfig) (Simulator, error) {
	names, err := network(&cfg.Config)
	if err != nil {
		return nil, err
	}
	own := simulatedC12(cfg)
	own.Key = nil
	own.Network = ansicsim.NetworkConfig{Title: names.Called, Key: names.Key, KeyID: names.KeyID}
	if names.Key != nil {
		own.Network.Vectors = keptVectors(cfg.Counters, vectorID(names.Called, names.KeyID))
	}
	return networkSimulator{ansicsim.New(own)}, nil
}

package meter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/session"
)

// dialC1222 opens a conversation by C12.22. The address has the AP titles of the meter
// and, behind a comma, ours, each absolute (1.3.6.1.4.1.99.1) or relative (.42.7);
// without them messages go to whoever is there. Behind a further comma "sessionless"
// has each request stand alone.
func dialC1222(ctx context.Context, t Target, cfg *Config) (Session, error) {
	names, err := network(cfg)
	if err != nil {
		return nil, err
	}
	rw, err := cfg.open(ctx, t, 9600, "8N1")
	if err != nil {
		return nil, err
	}
	names.Datagrams = t.Scheme == "udp"
	layer := Layer{Name: "c12.22"}
	if names.Security != epsem.Clear {
		layer.Security, layer.Verified = weakSecurity, &[]bool{true}[0]
	}
	s := &c12Session{client: session.NewNetworkClient(rw, names, sessionConfig(cfg)), cfg: cfg, protocol: C1222, layers: []Layer{layer}}
	return s.open(ctx)
}

// tryC1222 is dialC1222 where the address may be meant for another protocol.
func tryC1222(ctx context.Context, t Target, cfg *Config) (Session, error) {
	own := *cfg
	if _, err := network(cfg); err != nil {
		own.Address = ""
	}
	return dialC1222(ctx, t, &own)
}

// weakSecurity is what a layer says of EAX'.
const weakSecurity = "EAX' (weak)"

// network reads the address of a meter and the key that secures messages.
func network(cfg *Config) (n session.Network, err error) {
	parts := strings.Split(cfg.Address, ",")
	if last := len(parts) - 1; strings.TrimSpace(parts[last]) == "sessionless" {
		n.Sessionless, parts = true, parts[:last]
	}
	if len(parts) > 2 {
		return n, fmt.Errorf("meter: address %q, want for example .42.7,.1,sessionless", cfg.Address)
	}
	for i, to := range []*epsem.Title{&n.Called, &n.Calling} {
		if i >= len(parts) || strings.TrimSpace(parts[i]) == "" {
			continue
		}
		if *to, err = epsem.ParseTitle(strings.TrimSpace(parts[i])); err != nil {
			return n, fmt.Errorf("meter: %w", err)
		}
	}
	if n.Calling == nil && n.Called != nil {
		n.Calling = epsem.Title{0x80, 1, 1}
	}
	if key, id, ok := eaxKey(cfg.Keys); ok {
		n.Security, n.Key, n.KeyID = epsem.Ciphered, key, id
	}
	return n, nil
}

// eaxKey returns the key of EAX' and its number: the key "c1222-N" with the lowest number
// among the keys by meter, else the one key if it has 16 octets, under number 0.
func eaxKey(keys Keys) (key []byte, id uint8, ok bool) {
	for name, own := range keys.ByMeter {
		number, found := strings.CutPrefix(name, "c1222-")
		n, err := strconv.ParseUint(number, 10, 8)
		if found && err == nil && len(own.Key) == 16 && (!ok || uint8(n) < id) {
			key, id, ok = own.Key, uint8(n), true
		}
	}
	if !ok && len(keys.Key) == 16 {
		return keys.Key, 0, true
	}
	return key, id, ok
}

// networkSimulator is the simulated meter as a station of C12.22.
type networkSimulator struct{ *ansicsim.Meter }

// Serve serves one connection.
func (s networkSimulator) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	return s.ServeNetwork(ctx, rw)
}

// PacketSimulator is a simulator that answers datagrams, too.
type PacketSimulator interface {
	Simulator
	// ServePacket answers the datagrams that come to conn until ctx ends.
	ServePacket(ctx context.Context, conn net.PacketConn) error
}

// simulatedC1222 describes the simulated meter; its title is that of the address.
func simulatedC1222(cfg *SimulatorConfig) (*ansicsim.Config, error) {
	names, err := network(&cfg.Config)
	if err != nil {
		return nil, err
	}
	own := simulatedC1218(cfg)
	own.Key = nil
	own.Network = ansicsim.NetworkConfig{Title: names.Called, Key: names.Key, KeyID: names.KeyID}
	return own, nil
}

// decodeC1222 decodes the messages of a capture: the services in them as those of
// C12.18. Secured ones need the key; that their MAC is right proves little (EAX').
func decodeC1222(b []byte, cfg *Config) (*Result, error) {
	d := &c12Decoder{result: &Result{Protocol: C1222, Clock: cfg.Clock}}
	for len(b) > 0 {
		m, n, err := epsem.Parse(b)
		if err == nil {
			err = d.message(&m, cfg)
		}
		if err != nil {
			if !errors.Is(err, ErrMissingKey) && !errors.Is(err, ErrAuth) {
				err = fmt.Errorf("meter: %w: %w", ErrFrame, err)
			}
			if len(d.result.Layers) == 0 || errors.Is(err, ErrMissingKey) || errors.Is(err, ErrAuth) {
				return nil, err
			}
			d.result.warn("%v", err)
			return d.result, fmt.Errorf("meter: %w: %w", ErrPartial, err)
		}
		b = b[n:]
	}
	if d.device != nil {
		d.result.Meter = d.device.Meter()
	}
	return d.result, d.failed
}

// message takes the services of one message.
func (d *c12Decoder) message(m *epsem.Message, cfg *Config) error {
	layer := Layer{Name: "c12.22"}
	services, err := m.Services()
	if m.Security() != epsem.Clear {
		services, err = d.secured(m, cfg, &layer)
	}
	if err != nil {
		return err
	}
	d.result.Layers = append(d.result.Layers, layer)
	for _, service := range services {
		if len(service) > 0 {
			d.service(service)
		}
	}
	return nil
}

// messageKey returns the key with which a message was secured, and its number.
func messageKey(m *epsem.Message, cfg *Config) (key Secret, id uint8) {
	id, _ = m.KeyID()
	return cfg.Keys.For(fmt.Sprintf("c1222-%d", id)).Key, id
}

// secured checks and deciphers a message with the key of its number, "c1222-N"
// among the keys by meter, or else with the only one.
func (d *c12Decoder) secured(m *epsem.Message, cfg *Config, layer *Layer) ([][]byte, error) {
	key, id := messageKey(m, cfg)
	layer.Security = weakSecurity
	if len(key) == 0 {
		if m.Security() == epsem.Ciphered {
			return nil, fmt.Errorf("meter: %w: message is ciphered with key %d", ErrMissingKey, id)
		}
		layer.Verified = &[]bool{false}[0]
		d.result.warn("the MAC could not be checked: no key %d", id)
		return m.Services()
	}
	opened, err := m.Verify(key)
	if err != nil {
		return nil, fmt.Errorf("meter: %w: %w", ErrAuth, err)
	}
	layer.Verified = &[]bool{true}[0]
	return opened.Services, nil
}

// epsem explains the messages of a capture, and the services in those that are
// ciphered where their key is there.
func (e *explainer) epsem() error {
	for at := 0; at < len(e.b); {
		part := e.b[at:]
		m, n, err := epsem.Parse(part)
		if err == nil {
			part = part[:n]
		}
		if err := epsem.Explain(part, e.at(part, at, 0)); err != nil {
			return err
		}
		if key, _ := messageKey(&m, e.cfg); m.Security() == epsem.Ciphered && len(key) > 0 {
			if err := e.deciphered(&m, key, at+n); err != nil {
				return err
			}
		}
		at += n
	}
	return nil
}

// deciphered notes the services of a message that ends at an offset of the input. Their
// octets stand where the ciphered ones do.
func (e *explainer) deciphered(m *epsem.Message, key Secret, end int) error {
	opened, err := m.Verify(key)
	if err != nil {
		return fmt.Errorf("meter: %w: %w", ErrAuth, err)
	}
	at := end - len(m.MAC) - len(m.Body)
	for _, service := range opened.Services {
		at += len(epsem.AppendService(nil, service)) - len(service)
		note := e.at(service, at, 3)
		switch {
		case len(service) == 0:
		case service[0] < byte(psem.ServiceIdentify):
			note(0, len(service), 0, "answer", psem.Status(service[0]).String())
		default:
			if err := psem.ExplainRequest(service, note); err != nil {
				return err
			}
		}
		at += len(service)
	}
	return nil
}

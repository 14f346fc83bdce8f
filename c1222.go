package meter

import (
	"errors"
	"fmt"

	"github.com/openusm/meter/ansic12/epsem"
)

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

// secured checks and deciphers a message with the key of its number, "c1222-N"
// among the keys by meter, or else with the only one.
func (d *c12Decoder) secured(m *epsem.Message, cfg *Config, layer *Layer) ([][]byte, error) {
	id, _ := m.KeyID()
	key := cfg.Keys.For(fmt.Sprintf("c1222-%d", id)).Key
	layer.Security = "EAX' (weak)"
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

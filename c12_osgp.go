package meter

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/openusm/meter/ansic12/osgp"
)

// brokenDigest is what a layer says of the OMA digest.
const brokenDigest = "OMA digest (broken)"

// decodeOSGP decodes the requests and responses of a capture. Digests are checked with
// a key of twelve octets and the address of the device; that they are right proves nothing.
func decodeOSGP(b []byte, cfg *Config) (*Result, error) {
	d, err := newC12Decoder(OSGP, cfg)
	if err != nil {
		return nil, err
	}
	check, err := omaCheck(cfg)
	if err != nil {
		return nil, err
	}
	if check == nil {
		d.result.warn("digests were not checked: no key of %d octets; they would prove nothing", osgp.KeyLen)
	}
	for m, err := range osgp.Messages(b) {
		if err != nil {
			if len(d.result.Layers) == 0 {
				return nil, fmt.Errorf("meter: %w: %w", ErrFrame, err)
			}
			d.fail(err)
			break
		}
		layer := Layer{Name: "osgp", Security: brokenDigest, Verified: new(bool)}
		if layer.Control = m.Name(); check != nil {
			if err := check(&m); err != nil {
				return nil, fmt.Errorf("meter: %w: %w", ErrAuth, err)
			}
			*layer.Verified = m.Request != nil
		}
		d.result.Layers = append(d.result.Layers, layer)
		d.unverified = !*layer.Verified
		d.osgp(&m, cfg)
	}
	return d.finish()
}

// osgp takes what a response brings. Config.Table names the table of a response without request.
func (d *c12Decoder) osgp(m *osgp.Message, cfg *Config) {
	if m.Response == nil || !m.Response.Read {
		return
	}
	asked := m.Request
	if asked == nil {
		asked = &osgp.Request{Service: osgp.ReadTable, Table: cfg.Table}
	}
	d.part(asked.Table, asked.Service == osgp.ReadPart, asked.Offset, m.Response.Data)
}

// omaCheck returns what checks digests, nil without a key.
func omaCheck(cfg *Config) (func(*osgp.Message) error, error) {
	if len(cfg.Keys.Key) != osgp.KeyLen {
		return nil, nil
	}
	to, err := osgpAddress(cfg.Address)
	if err != nil {
		return nil, err
	}
	key := osgp.Key(bytes.Clone(cfg.Keys.Key))
	return func(m *osgp.Message) error {
		switch {
		case m.Response == nil:
			return m.Request.Check(&key, to)
		case m.Request == nil:
			return nil // the digest of a response covers its request
		}
		return m.Response.Check(&key, to, *m.Request)
	}, nil
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

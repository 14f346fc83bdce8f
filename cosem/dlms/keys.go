package dlms

import (
	"context"
	"errors"
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

// securityName is the Security setup of associations that name none.
var securityName = obis.Code{0, 0, 43, 0, 0, 255}

// securityMethod returns a method of the Security setup that the association names.
func (c *Client) securityMethod(ctx context.Context, index int8) (cosem.Method, error) {
	if !c.setupName.Valid() {
		d, err := c.get(ctx, cosem.Attribute{Class: cosem.ClassAssociationLN, Name: associationName, Index: 9}, nil)
		if err != nil && !errors.As(err, new(cosem.DataAccessResult)) { // version 0 of the class has none
			return cosem.Method{}, err
		}
		name, ok := d.Code()
		if c.setupName = securityName; ok && err == nil && name != (obis.Code{}) {
			c.setupName = name
		}
	}
	return cosem.Method{Class: cosem.ClassSecuritySetup, Name: c.setupName, Index: index}, nil
}

// secure invokes a method of the Security setup.
func (c *Client) secure(ctx context.Context, index int8, parameters cosem.Data) (*cosem.Data, error) {
	m, err := c.securityMethod(ctx, index)
	if err != nil {
		return nil, err
	}
	if c.assoc.SN() {
		return nil, c.actionSN(ctx, m, &parameters)
	}
	return c.action(ctx, m, &parameters)
}

// TransferKeys replaces symmetric keys of the meter: each is sent wrapped with
// the master key. The association goes on with the old ones; the next one must
// use the new ones, with counters of their own.
func (c *Client) TransferKeys(ctx context.Context, keys map[security.KeyName]security.Key) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cfg.Security == nil || len(c.cfg.Security.Master) == 0 {
		return fmt.Errorf("dlms: %w: master key", security.ErrNoKey)
	}
	var list []cosem.Data
	for name := security.KeyUnicast; name <= security.KeyMaster; name++ {
		key, ok := keys[name]
		if !ok {
			continue
		}
		d, err := security.TransferKey(c.cfg.Security.Master, name, key)
		if err != nil {
			return err
		}
		list = append(list, d)
	}
	_, err := c.secure(ctx, 2, cosem.Array(list...))
	return err
}

// AgreeKey replaces a symmetric key of the meter by one that both sides derive
// (ephemeral unified model). It returns the new key, which holds for the next
// association.
func (c *Client) AgreeKey(ctx context.Context, name security.KeyName) (security.Key, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sec := c.cfg.Security
	if sec == nil || sec.Signing == nil {
		return nil, fmt.Errorf("dlms: %w: signing key", security.ErrNoKey)
	}
	agreement, err := security.NewAgreement(sec.Suite, name)
	if err != nil {
		return nil, err
	}
	own, err := agreement.Data(sec.Signing)
	if err != nil {
		return nil, err
	}
	answer, err := c.secure(ctx, 3, cosem.Array(own))
	if err != nil {
		return nil, err
	}
	if answer == nil || answer.Len() != 1 {
		return nil, fmt.Errorf("dlms: key agreement without an answer: %w", ErrProtocol)
	}
	return agreement.Key(answer.At(0), c.assoc.channel.peerSigning, c.assoc.channel.own, c.assoc.channel.peer)
}

// ActivateSecurity makes the meter demand more protection: the policy is a set
// of bits of a Security setup, which can only be added.
func (c *Client) ActivateSecurity(ctx context.Context, policy uint8) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.secure(ctx, 1, cosem.Enum(policy))
	return err
}

// CertificateRequest lets the meter make a key pair (0 signature, 1 key
// agreement, 2 TLS), and returns its certificate signing request in DER.
func (c *Client) CertificateRequest(ctx context.Context, kind uint8) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.secure(ctx, 4, cosem.Enum(kind)); err != nil {
		return nil, err
	}
	return octets(c.secure(ctx, 5, cosem.Enum(kind)))
}

// ImportCertificate gives the meter a certificate in DER.
func (c *Client) ImportCertificate(ctx context.Context, der []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.secure(ctx, 6, cosem.OctetString(der))
	return err
}

// ExportCertificate returns a certificate of the meter in DER: that of an entity
// (0 server, 1 client, 2 certification authority), a type (0 signature, 1 key
// agreement, 2 TLS) and a system title.
func (c *Client) ExportCertificate(ctx context.Context, entity, kind uint8, title security.Title) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return octets(c.secure(ctx, 7, certificateByEntity(entity, kind, title)))
}

// RemoveCertificate removes a certificate of the meter, named as in [Client.ExportCertificate].
func (c *Client) RemoveCertificate(ctx context.Context, entity, kind uint8, title security.Title) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.secure(ctx, 8, certificateByEntity(entity, kind, title))
	return err
}

func certificateByEntity(entity, kind uint8, title security.Title) cosem.Data {
	return cosem.Structure(cosem.Enum(0), cosem.Structure(cosem.Enum(entity), cosem.Enum(kind), cosem.OctetString(title[:])))
}

func octets(d *cosem.Data, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if d != nil {
		if b, ok := d.Bytes(); ok {
			return b, nil
		}
	}
	return nil, fmt.Errorf("dlms: the method returned no octet-string: %w", ErrProtocol)
}

// InvocationCounter reads the counter that the meter expects next, from an
// object 0-0:43.1.x, as the public client may; the zero code means 0-0:43.1.0.
// Nothing authenticates it: it is to be told to somebody who knows whether it
// can be, and must not become a counter by itself.
func (c *Client) InvocationCounter(ctx context.Context, name obis.Code) (uint32, error) {
	if name == (obis.Code{}) {
		name = obis.Code{0, 0, 43, 1, 0, 255}
	}
	d, err := c.Get(ctx, cosem.Attribute{Class: cosem.ClassData, Name: name, Index: 2}, nil)
	if err != nil {
		return 0, err
	}
	n, ok := d.Uint()
	if !ok || n > 0xFFFFFFFF {
		return 0, fmt.Errorf("dlms: invocation counter is %v: %w", d, ErrProtocol)
	}
	return uint32(n), nil
}

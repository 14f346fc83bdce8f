package dlms

import (
	"context"
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

// securityName is the Security setup of the current association.
var securityName = obis.Code{0, 0, 43, 0, 0, 255}

func securityMethod(index int8) cosem.Method {
	return cosem.Method{Class: cosem.ClassSecuritySetup, Name: securityName, Index: index}
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
	parameters := cosem.Array(list...)
	_, err := c.action(ctx, securityMethod(2), &parameters)
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
	parameters := cosem.Array(own)
	answer, err := c.action(ctx, securityMethod(3), &parameters)
	if err != nil {
		return nil, err
	}
	if answer == nil || answer.Len() != 1 {
		return nil, fmt.Errorf("dlms: key agreement without an answer: %w", ErrProtocol)
	}
	return agreement.Key(answer.At(0), sec.PeerSigning, c.assoc.channel.own, c.assoc.channel.peer)
}

// ActivateSecurity makes the meter demand more protection: the policy is a set
// of bits of a Security setup, which can only be added.
func (c *Client) ActivateSecurity(ctx context.Context, policy uint8) error {
	parameters := cosem.Enum(policy)
	_, err := c.Action(ctx, securityMethod(1), &parameters)
	return err
}

// CertificateRequest lets the meter make a key pair (0 signature, 1 key
// agreement, 2 TLS), and returns its certificate signing request in DER.
func (c *Client) CertificateRequest(ctx context.Context, kind uint8) ([]byte, error) {
	parameters := cosem.Enum(kind)
	if _, err := c.Action(ctx, securityMethod(4), &parameters); err != nil {
		return nil, err
	}
	return octets(c.Action(ctx, securityMethod(5), &parameters))
}

// ImportCertificate gives the meter a certificate in DER.
func (c *Client) ImportCertificate(ctx context.Context, der []byte) error {
	parameters := cosem.OctetString(der)
	_, err := c.Action(ctx, securityMethod(6), &parameters)
	return err
}

// ExportCertificate returns a certificate of the meter in DER: that of an entity
// (0 server, 1 client, 2 certification authority), a type (0 signature, 1 key
// agreement, 2 TLS) and a system title.
func (c *Client) ExportCertificate(ctx context.Context, entity, kind uint8, title security.Title) ([]byte, error) {
	parameters := certificateByEntity(entity, kind, title)
	return octets(c.Action(ctx, securityMethod(7), &parameters))
}

// RemoveCertificate removes a certificate of the meter, named as in [Client.ExportCertificate].
func (c *Client) RemoveCertificate(ctx context.Context, entity, kind uint8, title security.Title) error {
	parameters := certificateByEntity(entity, kind, title)
	_, err := c.Action(ctx, securityMethod(8), &parameters)
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

// InvocationCounter reads the counter that the meter expects next, from the
// object 0-0:43.1.e, as the public client may. Head-ends do so before they
// associate with a ciphered context and have lost count.
func (c *Client) InvocationCounter(ctx context.Context, e uint8) (uint32, error) {
	d, err := c.Get(ctx, cosem.Attribute{Class: cosem.ClassData, Name: obis.Code{0, 0, 43, 1, e, 255}, Index: 2}, nil)
	if err != nil {
		return 0, err
	}
	n, ok := d.Uint()
	if !ok || n > 0xFFFFFFFF {
		return 0, fmt.Errorf("dlms: invocation counter is %v: %w", d, ErrProtocol)
	}
	return uint32(n), nil
}

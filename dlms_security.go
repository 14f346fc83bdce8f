package meter

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"strings"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

// ourTitle is the system title of a client that was given none.
var ourTitle = security.Title{'O', 'U', 'M', 0, 0, 0, 0, 1}

// mechanism returns the authentication mechanism of a name of the command line.
func mechanism(cfg *Config) (apdu.Mechanism, error) {
	switch strings.ToLower(cfg.Auth) {
	case "":
		if len(cfg.Keys.Password) > 0 {
			return apdu.MechanismLow, nil
		}
		return apdu.MechanismNone, nil
	case "none":
		return apdu.MechanismNone, nil
	case "low":
		return apdu.MechanismLow, nil
	case "hls-manufacturer":
		return apdu.MechanismManufacturer, nil
	case "hls-md5":
		return apdu.MechanismMD5, nil
	case "hls-sha1":
		return apdu.MechanismSHA1, nil
	case "hls-gmac":
		return apdu.MechanismGMAC, nil
	case "hls-sha256":
		return apdu.MechanismSHA256, nil
	case "hls-ecdsa":
		return apdu.MechanismECDSA, nil
	}
	return 0, fmt.Errorf("meter: unknown authentication %q", cfg.Auth)
}

// dlmsSecurity gathers the keys of an association, nil where there are none.
func dlmsSecurity(cfg *Config) (*dlms.Security, error) {
	k := cfg.Keys
	if len(k.Encryption) == 0 && len(k.Authentication) == 0 && k.SigningKey == nil && len(k.SystemTitle) == 0 {
		return nil, nil
	}
	s := &dlms.Security{
		Suite: security.Suite(cfg.Suite), Title: ourTitle,
		Unicast: security.Key(k.Encryption), Authentication: security.Key(k.Authentication),
		Master: security.Key(k.Master), DedicatedKey: security.Key(k.Dedicated),
		Counters: &security.MemoryCounters{},
	}
	if len(k.SystemTitle) == len(s.Title) {
		s.Title = security.Title(k.SystemTitle)
	}
	if len(k.MeterSystemTitle) == len(s.Peer) {
		s.Peer = security.Title(k.MeterSystemTitle)
	}
	if k.SigningKey != nil {
		private, ok := k.SigningKey.(*ecdsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("meter: signing key is a %T, want an EC key", k.SigningKey)
		}
		signer, err := security.SigningKeyFrom(private)
		if err != nil {
			return nil, fmt.Errorf("meter: signing key: %w", err)
		}
		s.Signing = signer
	}
	if k.AgreementKey != nil {
		agreement, err := security.NewAgreementKey(s.Suite, security.Key(k.AgreementKey.Bytes()))
		if err != nil {
			return nil, fmt.Errorf("meter: agreement key: %w", err)
		}
		s.Agreement = agreement
	}
	if k.Certificate != nil {
		s.Certificate = k.Certificate.Raw
	}
	return s, nil
}

// ciphered deciphers a PDU and decodes what it carries.
func (d *dlmsDecoder) ciphered(p apdu.PDU) error {
	layer := Layer{Name: p.Name()}
	plain, trust, sc, err := d.open(p)
	if err != nil {
		return err
	}
	layer.Security = sc.String()
	switch trust {
	case security.Verified:
		yes := true
		layer.Verified = &yes
	case security.Unverified:
		no := false
		layer.Verified = &no
		d.result.warn("the authentication tag of the %s could not be checked: no authentication key", p.Name())
	}
	d.result.Layers = append(d.result.Layers, layer)
	before := len(d.result.Readings)
	if err := d.plain(plain); err != nil {
		if trust != security.Verified {
			return fmt.Errorf("meter: %w: %w", ErrAuth, errors.Join(dlms.ErrWrongKey, err))
		}
		return err
	}
	if trust == security.Unverified {
		for i := range d.result.Readings[before:] {
			d.result.Readings[before+i].Quality.Flags |= obis.Unverified
		}
	}
	return nil
}

// plain decodes what was deciphered: a PDU, or the telegram of a customer port.
func (d *dlmsDecoder) plain(b []byte) error {
	if len(b) == 0 || b[0] != '/' {
		return d.apdu(b)
	}
	part, _, err := nextP1(b, d.cfg)
	if err != nil {
		return err
	}
	d.decoded = true
	d.result.Protocol = P1
	d.result.add(part)
	return nil
}

// open deciphers with the keys of the meter that sent the PDU.
func (d *dlmsDecoder) open(p apdu.PDU) (plain []byte, trust security.Trust, sc security.Control, err error) {
	var contents []byte
	dedicated := false
	title := []byte(d.cfg.Keys.MeterSystemTitle)
	switch p := p.(type) {
	case apdu.Ciphered:
		contents, dedicated = p.Contents, p.Dedicated()
		if fromClient(p) && len(d.clientTitle) > 0 {
			title = d.clientTitle
		} else if len(d.serverTitle) > 0 {
			title = d.serverTitle
		}
	case apdu.GeneralCiphered:
		contents, dedicated = p.Contents, p.Dedicated
		if len(p.SystemTitle) > 0 {
			title = p.SystemTitle
		}
	case apdu.GeneralCiphering:
		return d.openGeneral(p)
	}
	keys := d.cfg.Keys.For(fmt.Sprintf("%X", title))
	if len(keys.Encryption) == 0 {
		keys.Encryption = keys.Key
	}
	if dedicated {
		keys.Encryption = keys.Dedicated
	}
	switch {
	case len(keys.Encryption) == 0:
		return nil, 0, 0, fmt.Errorf("meter: %w: frame is encrypted (%s%s)", ErrMissingKey, p.Name(), titleText(title))
	case len(title) != 8:
		return nil, 0, 0, fmt.Errorf("meter: %w: the system title of the sender of the %s", ErrMissingKey, p.Name())
	}
	c, err := security.ParseContents(contents)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("meter: %w: %w", ErrFrame, err)
	}
	cipher, err := security.NewCipher(keys.Encryption, keys.Authentication)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("meter: %w: %w", ErrMissingKey, err)
	}
	plain, trust, err = cipher.Open(nil, c.Control, security.IV(security.Title(title), c.Counter), nil, c.Text)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("meter: %w: %w%s", ErrAuth, err, titleText(title))
	}
	return plain, trust, c.Control, nil
}

func titleText(title []byte) string {
	if len(title) == 0 {
		return ""
	}
	return fmt.Sprintf(", system title %X", title)
}

// openGeneral deciphers a general-ciphering PDU.
func (d *dlmsDecoder) openGeneral(p apdu.GeneralCiphering) ([]byte, security.Trust, security.Control, error) {
	own, err := dlmsSecurity(d.cfg)
	if err != nil {
		return nil, 0, 0, err
	}
	if own == nil {
		return nil, 0, 0, fmt.Errorf("meter: %w: frame is encrypted (%s%s)", ErrMissingKey, p.Name(), titleText(p.Originator))
	}
	e := security.EndToEnd{
		Suite: own.Suite, Authentication: own.Authentication, Unicast: own.Unicast, Master: own.Master, Agreement: own.Agreement,
	}
	plain, trust, err := e.Open(p)
	switch {
	case errors.Is(err, security.ErrNoKey):
		return nil, 0, 0, fmt.Errorf("meter: %w: %w", ErrMissingKey, err)
	case err != nil:
		return nil, 0, 0, fmt.Errorf("meter: %w: %w", ErrAuth, err)
	}
	c, err := security.ParseContents(p.Contents)
	return plain, trust, c.Control, err
}

// fromClient reports whether a service-specific ciphered PDU is a request.
func fromClient(p apdu.Ciphered) bool {
	plain, ok := apdu.PlainTag(p.Tag)
	switch plain {
	case apdu.TagInitiateRequest, apdu.TagReadRequest, apdu.TagWriteRequest, apdu.TagGetRequest, apdu.TagSetRequest, apdu.TagActionRequest, apdu.TagUnconfirmedWrite:
		return ok
	}
	return false
}

package meter

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"strings"
	"time"

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
		Counters: cfg.Counters,
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

// counterEpoch is when counters that are taken from the time began.
var counterEpoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// newCounters returns counters that begin where the meter expects them.
func newCounters(ctx context.Context, t Target, cfg *Config, l dlms.Link) (security.Counters, error) {
	start := uint32(time.Since(counterEpoch) / time.Second)
	if expected, err := expectedCounter(ctx, t, cfg, l); err == nil {
		start = expected
	} else if ctx.Err() != nil || errors.Is(err, ErrConnect) {
		return nil, err
	}
	title := ourTitle
	if len(cfg.Keys.SystemTitle) == len(title) {
		title = security.Title(cfg.Keys.SystemTitle)
	}
	counters := &security.MemoryCounters{}
	return counters, counters.Reset(security.CounterID{Title: title}, start)
}

// expectedCounter asks the meter as public client.
func expectedCounter(ctx context.Context, t Target, cfg *Config, l dlms.Link) (uint32, error) {
	rw, err := cfg.open(ctx, t, 9600, "8N1")
	if err != nil {
		return 0, err
	}
	client := dlms.NewClient(rw, &dlms.Config{
		Link: l, Server: uint16(cfg.Server), Timeout: cfg.Timeout, Retries: cfg.Retries, Trace: cfg.Trace, Logger: cfg.Logger,
	})
	defer func() {
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = client.Close(leave)
	}()
	if err := client.Open(ctx); err != nil {
		return 0, dlmsError(err)
	}
	n, err := client.InvocationCounter(ctx, obis.Code{})
	return n, dlmsError(err)
}

// protected takes the protection off a PDU and decodes what it carries.
func (d *dlmsDecoder) protected(b []byte, p apdu.PDU) error {
	plain, layers, err := d.open(b, p)
	if err != nil {
		return err
	}
	unverified, verified := false, false
	for _, l := range layers {
		layer := Layer{Name: l.Name}
		if l.Control != 0 {
			layer.Security = l.Control.String()
		}
		switch l.Trust {
		case security.Verified:
			verified = true
			layer.Verified = &[]bool{true}[0]
		case security.Unverified:
			unverified = true
			layer.Verified = &[]bool{false}[0]
			d.result.warn("the authentication tag of the %s could not be checked: no authentication key", l.Name)
		}
		d.result.Layers = append(d.result.Layers, layer)
	}
	before := len(d.result.Readings)
	if err := d.plain(plain); err != nil {
		if !verified && errors.Is(err, ErrFrame) {
			return fmt.Errorf("meter: %w: %w: %w", ErrAuth, dlms.ErrWrongKey, err)
		}
		return err
	}
	if unverified {
		for i := range d.result.Readings[before:] {
			d.result.Readings[before+i].Quality.Flags |= obis.Unverified
		}
	}
	return nil
}

// open takes the protection off a PDU.
func (d *dlmsDecoder) open(b []byte, p apdu.PDU) (plain []byte, layers []dlms.Layer, err error) {
	sec, err := d.security(p)
	if err != nil {
		return nil, nil, err
	}
	opener, err := dlms.NewOpener(sec)
	if err != nil {
		return nil, nil, fmt.Errorf("meter: %w: %w", ErrMissingKey, err)
	}
	if sec != nil && len(d.cfg.Keys.Dedicated) > 0 {
		if err := opener.SetDedicated(security.Key(d.cfg.Keys.Dedicated)); err != nil {
			return nil, nil, fmt.Errorf("meter: %w: %w", ErrMissingKey, err)
		}
	}
	if plain, layers, err = opener.Open(b); err != nil {
		return nil, nil, openError(err, layers)
	}
	return plain, layers, nil
}

// openError says which key is missing or wrong.
func openError(err error, layers []dlms.Layer) error {
	whose := ""
	for _, l := range layers {
		whose = l.Name
		if l.Title != (security.Title{}) {
			whose += ", system title " + l.Title.String()
		}
	}
	switch {
	case errors.Is(err, security.ErrNoKey):
		return fmt.Errorf("meter: %w: frame is encrypted (%s)", ErrMissingKey, whose)
	case errors.Is(err, dlms.ErrWrongKey), errors.Is(err, security.ErrAuthentication), errors.Is(err, security.ErrSignature), errors.Is(err, security.ErrWrap):
		return fmt.Errorf("meter: %w: %w (%s)", ErrAuth, err, whose)
	}
	return fmt.Errorf("meter: %w: %w", ErrFrame, err)
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

// security returns the keys of whoever sent the PDU, nil where none are known.
func (d *dlmsDecoder) security(p apdu.PDU) (*dlms.Security, error) {
	title := []byte(d.cfg.Keys.MeterSystemTitle)
	switch p := p.(type) {
	case apdu.Ciphered:
		if fromClient(p) && len(d.clientTitle) > 0 {
			title = d.clientTitle
		} else if len(d.serverTitle) > 0 {
			title = d.serverTitle
		}
	case apdu.GeneralCiphered:
		if len(p.SystemTitle) > 0 {
			title = p.SystemTitle
		}
	case apdu.GeneralCiphering:
		title = p.Originator
	}
	own := *d.cfg
	own.Keys = d.cfg.Keys.For(fmt.Sprintf("%X", title))
	if len(own.Keys.Encryption) == 0 {
		own.Keys.Encryption = own.Keys.Key // the user key of a customer port
	}
	sec, err := dlmsSecurity(&own)
	if sec == nil || err != nil {
		return nil, err
	}
	sec.Counters = nil // captures have messages in any order
	if len(title) != len(sec.Peer) {
		return nil, fmt.Errorf("meter: %w: the system title of the sender of the %s", ErrMissingKey, p.Name())
	}
	sec.Peer = security.Title(title)
	sec.Suite = suiteOf(sec)
	return sec, nil
}

// suiteOf returns the suite that the length of the key belongs to, where the caller named none.
func suiteOf(sec *dlms.Security) security.Suite {
	if sec.Suite == security.Suite0 && len(sec.Unicast) == security.Suite2.KeyLen() {
		return security.Suite2
	}
	return sec.Suite
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

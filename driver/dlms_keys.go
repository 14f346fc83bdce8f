package driver

import (
	"errors"
	"fmt"
	"net"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/cosem/wrapper"
	"github.com/openusm/meter/keys"
)

// dlmsConfig describes an association.
func dlmsConfig(cfg *Config, link dlms.Link) (*dlms.Config, error) {
	d := &cfg.DLMS
	set, name := cfg.Keys, d.Auth
	if name == "" {
		name = "none"
		if len(set.Password) > 0 {
			name = "low"
		}
	}
	auth, err := dlms.ParseMechanism(name)
	if err != nil {
		return nil, fmt.Errorf("meter: %w", err)
	}
	sec, err := dlmsSecurity(cfg, set)
	if err != nil {
		return nil, err
	}
	if sec != nil && cfg.Counters == nil {
		return nil, fmt.Errorf("meter: %w: %w", ErrMissingKey, dlms.ErrNoCounters)
	}
	if sec == nil && auth == apdu.MechanismSHA256 { // hashes the titles
		sec = &dlms.Security{}
		copy(sec.Title[:], set.SystemTitle)
	}
	own := &dlms.Config{
		Link: link, Client: d.Client, Server: d.Server, Physical: d.Physical, AddressSize: d.AddressSize,
		Auth: auth, Password: set.Password, Security: sec, ShortNames: d.ShortNames, Without: d.Without,
		AcceptUnprotected: cfg.accepts(string(set.MeterSystemTitle)),
		Timeout:           cfg.Timeout, Retries: cfg.Retries, Clock: cfg.Clock, Trace: cfg.Trace, Logger: cfg.Logger,
	}
	if own.Client == 0 && (auth != apdu.MechanismNone || sec != nil) {
		own.Client = 1
	}
	return own, nil
}

// dlmsSecurity gathers the keys of an association, nil where there are none.
func dlmsSecurity(cfg *Config, set keys.Set) (*dlms.Security, error) {
	if len(set.Encryption)+len(set.Authentication) == 0 && set.SigningKey == nil {
		return nil, nil
	}
	if len(set.SystemTitle) == 0 {
		set.SystemTitle = cfg.Keys.SystemTitle
	}
	s := &dlms.Security{
		Suite: security.Suite(cfg.DLMS.Suite), Unicast: security.Key(set.Encryption), Authentication: security.Key(set.Authentication),
		Master: security.Key(set.Master), DedicatedKey: security.Key(set.Dedicated), Counters: cfg.Counters, PlainContext: cfg.DLMS.PlainContext,
	}
	if len(s.Unicast) == security.Suite2.KeyLen() {
		s.Suite = security.Suite2
	}
	copy(s.Title[:], set.SystemTitle)
	copy(s.Peer[:], set.MeterSystemTitle)
	if set.PeerCertificate != nil {
		s.PeerCertificate = set.PeerCertificate.Raw
	}
	for _, a := range set.Authorities {
		s.Authorities = append(s.Authorities, a.Raw)
	}
	if set.Certificate != nil {
		s.Certificate = set.Certificate.Raw
	}
	var err error
	if set.SigningKey != nil {
		if s.Signing, err = security.SigningKeyFrom(set.SigningKey); err != nil {
			return nil, fmt.Errorf("meter: signing key: %w", err)
		}
	}
	if set.AgreementKey != nil {
		if s.Agreement, err = security.AgreementKeyFrom(set.AgreementKey); err != nil {
			return nil, fmt.Errorf("meter: agreement key: %w", err)
		}
	}
	return s, nil
}

// receiverConfig says whose keys a receiver knows, and what it believes.
func receiverConfig(cfg *Config, link dlms.Link) (*dlms.ReceiverConfig, error) {
	own := &dlms.ReceiverConfig{Link: link, AcceptUnprotected: func(t security.Title) bool { return cfg.accepts(t.String()) }}
	if ciphers(cfg.Keys) {
		own.Unnamed = security.Authenticated // who names nobody may not be one of those whose keys are known
	}
	own.Keys = func(title security.Title) *dlms.Security {
		set := cfg.Keys
		if title != (security.Title{}) {
			set = cfg.Keys.For(title.String())
		}
		if len(set.Encryption) == 0 && len(set.Key) == security.Suite0.KeyLen() {
			set.Encryption = set.Key // the user key of a customer port
		}
		sec, err := dlmsSecurity(cfg, set)
		if err != nil {
			return nil
		}
		return sec
	}
	if !cfg.live {
		return own, nil
	}
	if own.Counters = cfg.Counters; own.Counters == nil {
		if ciphers(cfg.Keys) {
			return nil, fmt.Errorf("meter: %w: %w", ErrMissingKey, dlms.ErrNoCounters)
		}
		own.Counters = &security.MemoryCounters{} // there is nothing to be counted
	}
	return own, nil
}

// ciphers reports whether there are keys with which DLMS messages are ciphered.
func ciphers(set keys.Set) bool {
	for own := range set.All {
		if len(own.Encryption)+len(own.Authentication) > 0 || own.SigningKey != nil || own.Find != nil {
			return true
		}
	}
	return false
}

// DLMSAccess says who may associate with a server of ours: client 1, or the one
// that cfg names, that knows the keys or the password by the one mechanism of cfg,
// and anybody as client 16. The server's own system title is that of cfg's keys:
// it must not be that of a meter with the same keys, whose nonces it would repeat.
func DLMSAccess(cfg *Config) ([]dlms.Access, error) {
	own, err := dlmsConfig(cfg, dlms.LinkWrapper)
	if err != nil {
		return nil, err
	}
	public := dlms.Access{Client: dlms.DefaultClient}
	if own.Security == nil && own.Auth == apdu.MechanismNone {
		return []dlms.Access{public}, nil
	}
	if own.Security != nil {
		own.Security.Peer = security.Title{} // whoever knows the keys
	}
	return []dlms.Access{{Client: own.Client, Auth: own.Auth, Password: own.Password, Security: own.Security}, public}, nil
}

var dlmsCauses = []cause{
	{hdlc.ErrTimeout, ErrTimeout}, {dlms.ErrTimeout, ErrTimeout}, {dlms.ErrNoCounters, ErrMissingKey},
	{security.ErrNoIdentity, ErrMissingKey}, {dlms.ErrNoObject, ErrNotSupported}, {dlms.ErrValue, ErrNotSupported},
	{dlms.ErrRefused, ErrAuth}, {dlms.ErrWrongKey, ErrAuth}, {security.ErrAuthentication, ErrAuth}, {security.ErrSignature, ErrAuth},
	{security.ErrReplay, ErrAuth}, {security.ErrWrap, ErrAuth}, {dlms.ErrUnprotected, ErrAuth}, {dlms.ErrStranger, ErrAuth}, {security.ErrCertificate, ErrAuth},
}

// dlmsError gives the errors of the DLMS packages the sentinel on which callers branch.
func dlmsError(err error) error {
	if errors.Is(err, security.ErrNoKey) {
		return fmt.Errorf("meter: %w: frame is encrypted: %w", ErrMissingKey, err)
	}
	if found := sentinel(err, dlmsCauses); found != nil {
		return found
	}
	var netError net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(cosem.DataAccessResult)), errors.As(err, new(cosem.ActionResult)):
		return fmt.Errorf("meter: %w: %w", ErrRefused, err)
	case errors.As(err, new(*hdlc.ParseError)), errors.As(err, new(*wrapper.ParseError)), errors.As(err, new(*apdu.ParseError)), errors.As(err, new(*cosem.ParseError)), errors.Is(err, dlms.ErrProtocol):
		return fmt.Errorf("meter: %w: %w", ErrFrame, err)
	case errors.As(err, &netError) && netError.Timeout():
		return fmt.Errorf("meter: %w: %w", ErrTimeout, err)
	}
	return Outcome(err)
}

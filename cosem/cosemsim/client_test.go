package cosemsim_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/cosemsim"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

// over opens an association with a meter, with an attacker on the line who is
// rather a clumsy meter here.
func over(t *testing.T, sim cosemsim.Config, cfg dlms.Config, clumsy attacker) (*dlms.Client, *mitm) {
	t.Helper()
	sim.Now = func() time.Time { return noon }
	meter := simulate(t, &sim)
	m, near, far := between(t)
	go func() { _ = meter.Serve(context.Background(), far) }()
	cfg.Link = dlms.LinkWrapper
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Second
	}
	c := dlms.NewClient(near, &cfg)
	require.NoError(t, c.Open(t.Context()))
	if clumsy != nil {
		m.be(clumsy)
	}
	t.Cleanup(func() {
		m.be(pass)
		_ = c.Close(context.Background())
	})
	return c, m
}

// One answer that makes no sense loses one register, whether it came in a list or alone.
func TestOneBadAnswer(t *testing.T) {
	for name, conformance := range map[string]apdu.Conformance{"lists": 0, "one by one": apdu.ServiceGet | apdu.BlockTransferGet | apdu.SelectiveAccess} {
		t.Run(name, func(t *testing.T) {
			asked := false // for the clock, alone
			c, _ := over(t, cosemsim.Config{Conformance: conformance}, dlms.Config{}, func(toServer bool, b []byte) (on, back [][]byte) {
				clock := []byte{0, 8, 0, 0, 1, 0, 0, 255, 2}
				switch {
				case toServer:
					asked = bytes.Contains(b, clock)
				case asked && b[0] == apdu.TagGetResponse: // a clock with two octets too many, as Gurux C has it
					asked, b = false, append(bytes.Clone(b), 0, 0)
				}
				return [][]byte{b}, nil
			})
			readings, err := c.Read(t.Context())
			require.Len(t, readings, 22)
			require.ErrorContains(t, err, "0-0:1.0.0")
		})
	}
}

// A list of attributes is no longer than what one frame carries: in several it
// takes as many turns of the line as two lists, and Gurux Java answers a ciphered
// request in segments with nonsense.
func TestListsFitIntoFrames(t *testing.T) {
	client, server := parties(t, 0)
	for name, cfg := range map[string]dlms.Config{
		"plain":    {},
		"ciphered": {Client: 1, Auth: apdu.MechanismGMAC, Security: &client},
	} {
		t.Run(name, func(t *testing.T) {
			sim := cosemsim.Config{Access: []dlms.Access{{Client: 16}}}
			if cfg.Security != nil {
				sim.Access = []dlms.Access{{Client: 1, Auth: apdu.MechanismGMAC, Security: &server}}
			}
			requests, cut := 0, 0
			cfg.Link = dlms.LinkHDLC
			cfg.Trace = func(sent bool, frame []byte) {
				if f, _, err := hdlc.Parse(frame); err == nil && sent && f.Control.IsInformation() {
					requests++
					if f.Segmented {
						cut++
					}
				}
			}
			c := open(t, sim, cfg)
			readings, err := c.Read(t.Context())
			require.NoError(t, err)
			require.Len(t, readings, 23)
			require.Zero(t, cut)
			require.Less(t, requests, 23)
		})
	}
}

// A link that was connected is disconnected, also where no association came of
// it: the meter would refuse the next client until it gives up on this one.
func TestRefusedClientDisconnects(t *testing.T) {
	meter := simulate(t, &cosemsim.Config{Access: []dlms.Access{{Client: 1, Auth: apdu.MechanismMD5, Password: []byte("right")}}})
	near, far := net.Pipe()
	go func() { _ = meter.Serve(context.Background(), far) }()
	var last []hdlc.Control
	c := dlms.NewClient(near, &dlms.Config{Link: dlms.LinkHDLC, Client: 1, Auth: apdu.MechanismMD5, Password: []byte("wrong"), Trace: func(_ bool, frame []byte) {
		f, _, err := hdlc.Parse(frame)
		require.NoError(t, err)
		last = append(last, f.Control.Kind())
	}})
	require.ErrorIs(t, c.Open(t.Context()), dlms.ErrRefused)
	require.NoError(t, c.Close(t.Context()))
	require.Equal(t, []hdlc.Control{hdlc.DISC, hdlc.UA}, last[len(last)-2:])
}

// A peer that pushes without end is not waited for without end.
func TestPushesWithoutEnd(t *testing.T) {
	push := encode(apdu.DataNotification{Invoke: 1, Body: cosem.Uint8(1)})
	stop := make(chan struct{})
	var m *mitm
	c, m := over(t, cosemsim.Config{}, dlms.Config{Timeout: 300 * time.Millisecond, Retries: -1}, nil)
	m.be(func(bool, []byte) (on, back [][]byte) { return nil, nil })
	frame := append([]byte{0, 1, 0, 1, 0, 16, 0, byte(len(push))}, push...)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := m.client.Write(frame); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}
	}()
	defer close(stop)
	start := time.Now()
	_, err := c.Get(t.Context(), register, nil)
	require.ErrorIs(t, err, dlms.ErrTimeout)
	require.Less(t, time.Since(start), 3*time.Second)
}

// Blocks that say that more are streaming, as Gurux Java has them at window 1.
func TestStreamingBlocks(t *testing.T) {
	c, _ := over(t, cosemsim.Config{MaxPDU: 0}, dlms.Config{MaxPDU: 200, Timeout: time.Second, Retries: -1}, func(toServer bool, b []byte) (on, back [][]byte) {
		if !toServer && b[0] == apdu.TagGeneralBlockTransfer && b[1]&0x80 == 0 {
			b = bytes.Clone(b)
			b[1] |= 0x40
		}
		return [][]byte{b}, nil
	})
	start := time.Now()
	var p obis.Profile
	require.NoError(t, c.Profile(t.Context(), obis.MustParse("1-0:99.1.0"), noon.Add(-24*time.Hour), noon, &p))
	require.Equal(t, 96, p.Len())
	require.Less(t, time.Since(start), time.Second)
}

func TestConformanceWithoutGeneralBlocks(t *testing.T) {
	for name, cfg := range map[string]dlms.Config{
		"what is proposed": {Conformance: apdu.BlockTransferGet | apdu.ServiceGet | apdu.SelectiveAccess},
		"what is left out": {Without: apdu.GeneralBlocks},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.MaxPDU = 200
			c, m := over(t, cosemsim.Config{}, cfg, nil)
			var p obis.Profile
			require.NoError(t, c.Profile(t.Context(), obis.MustParse("1-0:99.1.0"), noon.Add(-24*time.Hour), noon, &p))
			require.Equal(t, 96, p.Len())
			sent, answered := m.heard()
			for _, b := range append(answered, sent...) {
				require.NotEqual(t, byte(apdu.TagGeneralBlockTransfer), b[0])
			}
		})
	}
}

// What was never asked for was not refused by the meter; what is listed is read.
func TestReadWhatIsListed(t *testing.T) {
	c, _ := over(t, cosemsim.Config{}, dlms.Config{}, nil)
	readings, err := c.Read(t.Context(), obis.MustParse("0-0:96.3.10"), obis.MustParse("0-0:44.0.0"), obis.MustParse("1-0:1.8.0"))
	require.NoError(t, err)
	require.Len(t, readings, 3)
	require.Equal(t, "true", readings[0].Value.String())
	_, err = c.Read(t.Context(), obis.MustParse("1-0:99.1.0"))
	require.ErrorIs(t, err, dlms.ErrNoReading)
	_, err = c.Read(t.Context(), obis.MustParse("1-0:99.99.99"))
	require.ErrorIs(t, err, dlms.ErrNotListed)
	require.NotErrorIs(t, err, cosem.ObjectUndefined)
}

func TestSelect(t *testing.T) {
	c, _ := over(t, cosemsim.Config{}, dlms.Config{}, nil)
	energies, err := obis.ParsePattern("1-0:x.8.0*255")
	require.NoError(t, err)
	unlisted, err := obis.ParsePattern("1-0:77.7.0*255")
	require.NoError(t, err)
	codes, err := c.Select(t.Context(), energies, unlisted, energies)
	require.NoError(t, err)
	require.Equal(t, []obis.Code{obis.MustParse("1-0:1.8.0"), obis.MustParse("1-0:2.8.0"), obis.MustParse("1-0:3.8.0"), obis.MustParse("1-0:4.8.0"), obis.MustParse("1-0:77.7.0")}, codes)
	profiles, err := c.Profiles(t.Context())
	require.NoError(t, err)
	require.Equal(t, []obis.Code{obis.MustParse("1-0:99.1.0")}, profiles)
	logs, err := c.EventLogs(t.Context())
	require.NoError(t, err)
	require.Equal(t, []obis.Code{obis.MustParse("0-0:99.98.0")}, logs)
	devices, err := c.LogicalDevices(t.Context())
	require.NoError(t, err)
	require.Equal(t, []cosem.SAP{{SAP: 1, Name: "OSM0000012345678"}}, devices)
	for m := apdu.MechanismNone; m <= apdu.MechanismECDSA; m++ {
		got, err := dlms.ParseMechanism(m.String())
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
	_, err = dlms.ParseMechanism("HLS")
	require.Error(t, err)
}

// HLS-GMAC in a context that is not ciphered (Gurux Java's SAP 21), HLS-SHA256
// without keys, and the protection that an access with keys implies.
func TestContexts(t *testing.T) {
	client, server := parties(t, 0)
	client.PlainContext, server.PlainContext = true, true
	sim := cosemsim.Config{Access: []dlms.Access{{Client: 16}, {Client: 1, Auth: apdu.MechanismGMAC, Security: &server}}}
	c, m := over(t, sim, dlms.Config{Client: 1, Auth: apdu.MechanismGMAC, Security: &client}, nil)
	_, err := c.Get(t.Context(), register, nil)
	require.NoError(t, err)
	_, answered := m.heard()
	require.Equal(t, byte(apdu.TagGetResponse), answered[len(answered)-1][0])

	sim = cosemsim.Config{Access: []dlms.Access{{Client: 1, Auth: apdu.MechanismSHA256, Password: []byte("X")}}}
	c, _ = over(t, sim, dlms.Config{Client: 1, Auth: apdu.MechanismSHA256, Password: []byte("X"), Security: &dlms.Security{Title: client.Title}}, nil)
	_, err = c.Get(t.Context(), register, nil)
	require.NoError(t, err)

	refused := func(sim cosemsim.Config, cfg dlms.Config) {
		t.Helper()
		near, far := net.Pipe()
		meter := simulate(t, &sim)
		go func() { _ = meter.Serve(context.Background(), far) }()
		cfg.Link, cfg.Timeout = dlms.LinkWrapper, time.Second
		c := dlms.NewClient(near, &cfg)
		require.ErrorIs(t, c.Open(t.Context()), dlms.ErrRefused)
		require.NoError(t, c.Close(t.Context()))
	}
	refused(sim, dlms.Config{Client: 1, Auth: apdu.MechanismLow, Password: []byte("X")})
	refused(sim, dlms.Config{Client: 1})
	client, server = parties(t, 0)
	for _, auth := range []apdu.Mechanism{apdu.MechanismNone, apdu.MechanismLow, apdu.MechanismMD5} {
		access := dlms.Access{Client: 1, Auth: auth, Password: []byte("X"), Security: &server}
		refused(cosemsim.Config{Access: []dlms.Access{access}}, dlms.Config{Client: 1, Auth: auth, Password: []byte("X")})
	}
	// With an encryption key alone messages are encrypted at least.
	client.Authentication, server.Authentication = nil, nil
	access := dlms.Access{Client: 1, Auth: apdu.MechanismLow, Password: []byte("X"), Security: &server}
	c, m = over(t, cosemsim.Config{Access: []dlms.Access{access}}, dlms.Config{Client: 1, Auth: apdu.MechanismLow, Password: []byte("X"), Security: &client}, nil)
	readings, err := c.Read(t.Context(), register.Name)
	require.NoError(t, err)
	require.NotZero(t, readings[0].Quality.Flags&obis.Unverified, "nothing says that it was not changed")
	m.be(func(toServer bool, b []byte) (on, back [][]byte) {
		if toServer {
			b = cut
		}
		return [][]byte{b}, nil
	})
	_, err = c.Get(t.Context(), register, nil)
	require.ErrorAs(t, err, new(apdu.ExceptionResponse))
}

// Who has no key sees the name, the clock and the counter of a meter with
// secrets, writes nothing, and does nothing.
func TestPublicClient(t *testing.T) {
	_, server := parties(t, 0)
	sim := cosemsim.Config{Access: []dlms.Access{{Client: 16}, {Client: 1, Auth: apdu.MechanismGMAC, Security: &server}}}
	c, _ := over(t, sim, dlms.Config{}, nil)
	objects, err := c.Objects(t.Context())
	require.NoError(t, err)
	require.Len(t, objects, 4)
	_, err = c.InvocationCounter(t.Context(), obis.Code{})
	require.NoError(t, err)
	require.ErrorIs(t, c.SetClock(t.Context(), noon), cosem.ReadWriteDenied)
	parameters := cosem.Int8(0)
	_, err = c.Action(t.Context(), disconnect, &parameters)
	require.ErrorIs(t, err, cosem.ActionResult(cosem.ObjectUndefined))
	_, err = c.Get(t.Context(), register, nil)
	require.ErrorIs(t, err, cosem.ObjectUndefined)
}

// A policy that was activated holds: requests in plain, or with less than it
// says, are refused from then on, and no policy is taken that cannot be held.
func TestPolicyIsEnforced(t *testing.T) {
	client, server := parties(t, 0)
	client.Protect = security.Encrypted
	sim := cosemsim.Config{Access: []dlms.Access{{Auth: apdu.MechanismGMAC, Security: &server, Require: security.Encrypted}}}
	c, _ := over(t, sim, dlms.Config{Client: 1, Auth: apdu.MechanismGMAC, Security: &client}, nil)
	_, err := c.Get(t.Context(), register, nil)
	require.NoError(t, err)
	require.Error(t, c.ActivateSecurity(t.Context(), 0x10), "signatures")
	require.NoError(t, c.ActivateSecurity(t.Context(), 0x0C))
	_, err = c.Get(t.Context(), register, nil)
	require.ErrorAs(t, err, new(apdu.ExceptionResponse))
	open, _ := over(t, cosemsim.Config{}, dlms.Config{}, nil)
	require.Error(t, open.ActivateSecurity(t.Context(), 3), "there are no keys")
}

// Wrong keys are told by the meter, which is no proof, and so the client says what it may be.
func TestWrongKeyIsExplained(t *testing.T) {
	client, server := parties(t, 0)
	access := dlms.Access{Client: 1, Auth: apdu.MechanismGMAC, Security: &server}
	c, _ := over(t, cosemsim.Config{Access: []dlms.Access{access}}, dlms.Config{Client: 1, Auth: apdu.MechanismGMAC, Security: &client}, func(toServer bool, b []byte) (on, back [][]byte) {
		if !toServer {
			b = encode(apdu.ExceptionResponse{State: 1, Service: apdu.DecipheringError})
		}
		return [][]byte{b}, nil
	})
	_, err := c.Get(t.Context(), register, nil)
	require.ErrorIs(t, err, dlms.ErrWrongKey)
	require.ErrorContains(t, err, "system title")
}

// Lists by selector, and the rights of short names, as jDLMS and Gurux Java ask for them.
func TestListsBySelector(t *testing.T) {
	c, _ := over(t, cosemsim.Config{}, dlms.Config{}, nil)
	sn, _ := over(t, cosemsim.Config{}, dlms.Config{ShortNames: true}, nil)
	all, err := c.Objects(t.Context())
	require.NoError(t, err)
	class := cosem.Class(cosem.ClassAssociationSN)
	names, err := sn.Objects(t.Context())
	require.NoError(t, err)
	base := map[obis.Code]uint16{}
	for _, o := range names {
		base[o.Name] = o.BaseName
	}
	one := cosem.Structure(cosem.Uint16(3), cosem.Name(register.Name))
	none := cosem.Structure(cosem.Uint16(3), cosem.Name(obis.MustParse("1-0:99.99.99")))
	short := cosem.Int16(int16(base[register.Name]))
	for name, test := range map[string]struct {
		client    *dlms.Client
		attribute int8
		selection cosem.Selection
		tag       cosem.Tag
		elements  int // of the answer
		fields    int // of an object in it
		refused   cosem.DataAccessResult
	}{
		"LN, all without rights":          {client: c, selection: cosem.Selection{Selector: 1}, tag: cosem.TagArray, elements: len(all), fields: 3},
		"LN, classes":                     {client: c, selection: cosem.Selection{Selector: 2, Parameters: cosem.Array(cosem.Uint16(8), cosem.Uint16(7))}, tag: cosem.TagArray, elements: 3, fields: 3},
		"LN, objects":                     {client: c, selection: cosem.Selection{Selector: 3, Parameters: cosem.Array(one, one, none)}, tag: cosem.TagArray, elements: 1, fields: 4},
		"LN, one object":                  {client: c, selection: cosem.Selection{Selector: 4, Parameters: one}, tag: cosem.TagStructure, elements: 4},
		"LN, an object that is not there": {client: c, selection: cosem.Selection{Selector: 4, Parameters: none}, refused: cosem.ObjectUndefined},
		"LN, a class that is none":        {client: c, selection: cosem.Selection{Selector: 2, Parameters: cosem.Array(one)}, refused: cosem.TypeUnmatched},
		"LN, one for a list":              {client: c, selection: cosem.Selection{Selector: 3, Parameters: one}, refused: cosem.TypeUnmatched},
		"LN, no such selector":            {client: c, selection: cosem.Selection{Selector: 5, Parameters: one}, refused: cosem.TypeUnmatched},
		"SN, a class":                     {client: sn, selection: cosem.Selection{Selector: 1, Parameters: cosem.Uint16(7)}, tag: cosem.TagArray, elements: 2, fields: 4},
		"SN, one object":                  {client: sn, selection: cosem.Selection{Selector: 2, Parameters: one}, tag: cosem.TagStructure, elements: 4},
		"SN, one base_name":               {client: sn, selection: cosem.Selection{Selector: 3, Parameters: short}, tag: cosem.TagStructure, elements: 4},
		"SN, an object that is not there": {client: sn, selection: cosem.Selection{Selector: 2, Parameters: none}, refused: cosem.ObjectUndefined},
		"SN, no structure":                {client: sn, selection: cosem.Selection{Selector: 2, Parameters: cosem.Uint16(3)}, refused: cosem.TypeUnmatched},
		"SN, rights to one object":        {client: sn, attribute: 3, selection: cosem.Selection{Selector: 3, Parameters: short}, tag: cosem.TagStructure, elements: 3},
	} {
		t.Run(name, func(t *testing.T) {
			a := cosem.Attribute{Class: cosem.ClassAssociationLN, Name: obis.MustParse("0-0:40.0.0"), Index: max(test.attribute, 2)}
			if test.client == sn {
				a.Class = class
			}
			d, err := test.client.Get(t.Context(), a, &test.selection)
			if test.refused != 0 {
				require.ErrorIs(t, err, test.refused)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.tag, d.Tag())
			require.Equal(t, test.elements, d.Len())
			if test.fields != 0 {
				require.Equal(t, test.fields, d.At(0).Len())
			}
		})
	}
	rights, err := sn.Get(t.Context(), cosem.Attribute{Class: class, Name: obis.MustParse("0-0:40.0.0"), Index: 3}, nil)
	require.NoError(t, err)
	objects, err := sn.Objects(t.Context())
	require.NoError(t, err)
	require.Equal(t, len(objects), rights.Len())
	for i, e := range rights.Elements() {
		base, _ := e.At(0).Int()
		require.Equal(t, objects[i].BaseName, uint16(base))
		require.NotZero(t, e.At(1).Len())
	}
	// What is listed as readable can be read.
	objects, err = c.Objects(t.Context())
	require.NoError(t, err)
	for _, a := range objects[0].Attributes {
		_, err := c.Get(t.Context(), objects[0].Attribute(a.Index), nil)
		require.Equal(t, a.Mode&cosem.AccessRead != 0, err == nil, "attribute %d of the association", a.Index)
	}
}

// HLS-ECDSA by certificates that the parties send: believed where an authority
// issued them for the title, and by nobody else.
func TestCertificatesIdentify(t *testing.T) {
	issue, root := newAuthority(t)
	_, stranger := newAuthority(t)
	for name, test := range map[string]struct {
		edit func(c, s *dlms.Security)
		ok   bool
	}{
		"authorities on both sides": {func(*dlms.Security, *dlms.Security) {}, true},
		"pinned certificates": {func(c, s *dlms.Security) {
			c.PeerCertificate, s.PeerCertificate = s.Certificate, c.Certificate
			c.Authorities, s.Authorities = nil, nil
		}, true},
		"server of another authority": {func(c, _ *dlms.Security) { c.Authorities = [][]byte{stranger} }, false},
		"client of another authority": {func(_, s *dlms.Security) { s.Authorities = [][]byte{stranger} }, false},
		"server sends none":           {func(_, s *dlms.Security) { s.Certificate = nil }, false},
		"client sends none":           {func(c, _ *dlms.Security) { c.Certificate = nil }, false},
		"client sends the server's":   {func(c, s *dlms.Security) { c.Certificate = s.Certificate }, false},
		"client has another title":    {func(c, _ *dlms.Security) { c.Title[7] = 0x77 }, false},
		"server has another title":    {func(_, s *dlms.Security) { s.Title[7] = 0x77 }, false},
		"client pinned another's":     {func(c, _ *dlms.Security) { c.PeerCertificate = c.Certificate }, false},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := parties(t, 1)
			client.PeerSigning, server.PeerSigning = nil, nil
			client.Certificate, server.Certificate = issue(client.Signing, client.Title), issue(server.Signing, server.Title)
			client.Authorities, server.Authorities = [][]byte{root}, [][]byte{root}
			test.edit(&client, &server)
			near, far := net.Pipe()
			meter := simulate(t, &cosemsim.Config{Access: []dlms.Access{{Client: 1, Auth: apdu.MechanismECDSA, Security: &server}}})
			go func() { _ = meter.Serve(context.Background(), far) }()
			c := dlms.NewClient(near, &dlms.Config{Link: dlms.LinkWrapper, Client: 1, Auth: apdu.MechanismECDSA, Security: &client, Timeout: time.Second})
			require.Equal(t, test.ok, c.Open(t.Context()) == nil)
			require.NoError(t, c.Close(t.Context()))
		})
	}
}

// newAuthority returns what issues certificates, and its own.
func newAuthority(t *testing.T) (issue func(security.Signer, security.Title) []byte, root []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	root, err = x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	require.NoError(t, err)
	return func(s security.Signer, title security.Title) []byte {
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, s.(*security.SigningKey).Public()...))
		require.NoError(t, err)
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: title.String()},
			KeyUsage: x509.KeyUsageDigitalSignature, NotAfter: time.Now().Add(time.Hour)}, ca, public, key)
		require.NoError(t, err)
		return der
	}, root
}

// Where the configuration says so, what is protected less than it should be is
// taken, and marked.
func TestAcceptUnprotected(t *testing.T) {
	plainPush := encode(apdu.DataNotification{Invoke: 1, Body: cosem.Uint8(1)})
	for _, accept := range []bool{false, true} {
		client, server := parties(t, 0)
		var pushed []security.Trust
		cfg := dlms.Config{Client: 1, Auth: apdu.MechanismGMAC, Security: &client, AcceptUnprotected: accept, Timeout: 500 * time.Millisecond,
			Push: func(_ apdu.PDU, trust security.Trust) { pushed = append(pushed, trust) }}
		genuine, err := dlms.Push(&dlms.Config{Link: dlms.LinkWrapper, Security: &server}, apdu.DataNotification{Invoke: 1, Body: cosem.Uint8(2)})
		require.NoError(t, err)
		c, m := over(t, cosemsim.Config{Access: []dlms.Access{{Client: 1, Auth: apdu.MechanismGMAC, Security: &server}}}, cfg, nil)
		again, err := dlms.Push(&dlms.Config{Link: dlms.LinkWrapper, Security: &server}, apdu.DataNotification{Invoke: 1, Body: cosem.Uint8(3)})
		require.NoError(t, err)
		answers := func(list func(b []byte) [][]byte) {
			m.be(func(toServer bool, b []byte) (on, back [][]byte) {
				if !toServer {
					return list(b), nil
				}
				return [][]byte{b}, nil
			})
		}
		answers(func([]byte) [][]byte { return [][]byte{genuine[8:]} })
		_, err = c.Get(t.Context(), register, nil)
		require.ErrorIs(t, err, security.ErrReplay, "a push of an earlier time")
		// The push was sealed before the answer, and comes before it.
		early := false
		answers(func(b []byte) [][]byte {
			if early {
				return [][]byte{plainPush, b}
			}
			early = true
			return [][]byte{again[8:], plainPush}
		})
		_, err = c.Objects(t.Context())
		require.NoError(t, err)
		want := []security.Trust{security.Verified}
		if accept {
			want = append(want, security.Plain, security.Plain)
		}
		require.Equal(t, want, pushed)

		value := encode(apdu.GetResponseWithList{Invoke: 0xC1, List: []apdu.Result{{Data: cosem.Uint32(5)}, {Data: cosem.ScalerUnit{Unit: obis.WattHour, Known: true}.Data()}}})
		m.be(func(toServer bool, b []byte) (on, back [][]byte) {
			if !toServer {
				value[2] = 0xC0 | 2 // the number after an answer that did not come
				return [][]byte{value}, nil
			}
			return [][]byte{b}, nil
		})
		readings, err := c.Read(t.Context(), register.Name)
		if !accept {
			require.ErrorIs(t, err, dlms.ErrUnprotected)
			require.Empty(t, readings)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "5", readings[0].Value.String())
		require.NotZero(t, readings[0].Quality.Flags&obis.Unverified)
	}
}

// Keys are replaced at the Security setup that the association names.
func TestSecuritySetupOfTheAssociation(t *testing.T) {
	asked := false
	c, m := over(t, cosemsim.Config{}, dlms.Config{}, func(toServer bool, b []byte) (on, back [][]byte) {
		if toServer {
			asked = bytes.Contains(b, []byte{0, 15, 0, 0, 40, 0, 0, 255, 9})
		} else if asked {
			b = encode(apdu.GetResponseNormal{Invoke: 0xC1, Result: apdu.Result{Data: cosem.Name(obis.MustParse("0-0:43.0.8"))}})
		}
		return [][]byte{b}, nil
	})
	require.ErrorIs(t, c.ActivateSecurity(t.Context(), 3), cosem.ActionResult(cosem.ObjectUndefined))
	sent, _ := m.heard()
	require.Contains(t, string(sent[len(sent)-1]), string([]byte{0, 64, 0, 0, 43, 0, 8, 255, 1}))
}

// A list that the meter cannot answer, for whatever reason, is read one by one.
func TestListsThatFail(t *testing.T) {
	for name, answer := range map[string]apdu.PDU{
		"refused as a whole": apdu.GetResponseWithBlock{Invoke: 0xC1, Block: apdu.Block{Last: true, Number: 1}, Code: cosem.DataBlockUnavailable},
		"exception":          apdu.ExceptionResponse{State: 2, Service: apdu.ServiceNotSupported},
		"too few":            apdu.GetResponseWithList{Invoke: 0xC1, List: []apdu.Result{{Data: cosem.Uint8(1)}}},
		"another answer":     apdu.GetResponseNormal{Invoke: 0xC1, Result: apdu.Result{Data: cosem.Uint8(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			var list byte // the number of a request with a list
			c, _ := over(t, cosemsim.Config{}, dlms.Config{}, func(toServer bool, b []byte) (on, back [][]byte) {
				if toServer {
					if list = 0; b[0] == apdu.TagGetRequest && b[1] == 3 {
						list = b[2]
					}
				} else if list != 0 {
					b = encode(answer)
					if b[0] == apdu.TagGetResponse {
						b[2] = list
					}
				}
				return [][]byte{b}, nil
			})
			readings, err := c.Read(t.Context())
			require.NoError(t, err)
			require.Len(t, readings, 23)
		})
	}
}

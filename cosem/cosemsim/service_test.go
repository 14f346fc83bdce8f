package cosemsim_test

import (
	"bytes"
	"context"
	"fmt"
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

// parties returns what client and server of a suite know.
func parties(t testing.TB, suite security.Suite) (client, server dlms.Security) {
	key := func(first byte) security.Key {
		k := make(security.Key, suite.KeyLen())
		for i := range k {
			k[i] = first + byte(i)
		}
		return k
	}
	client = dlms.Security{
		Suite: suite, Title: security.Title{'C', 'L', 'I', 0, 0, 0, 0, 1},
		Unicast: key(0), Authentication: key(0xD0), Master: key(0x60), Counters: &security.MemoryCounters{},
	}
	server = client
	server.Counters = &security.MemoryCounters{}
	server.Title = security.Title{'O', 'S', 'M', 0, 0, 0, 0, 2}
	if suite == security.Suite0 {
		return client, server
	}
	size := 32
	if suite == security.Suite2 {
		size = 48
	}
	private := func(n byte) security.Key { return bytes.Repeat([]byte{n}, size) }
	sign := func(n byte) *security.SigningKey {
		k, err := security.NewSigningKey(suite, private(n))
		require.NoError(t, err)
		return k
	}
	agree := func(n byte) *security.AgreementKey {
		k, err := security.NewAgreementKey(suite, private(n))
		require.NoError(t, err)
		return k
	}
	cs, ss, ca, sa := sign(1), sign(2), agree(3), agree(4)
	client.Signing, client.PeerSigning, client.Agreement, client.PeerAgreement = cs, ss.Public(), ca, sa.Public()
	server.Signing, server.PeerSigning, server.Agreement, server.PeerAgreement = ss, cs.Public(), sa, ca.Public()
	return client, server
}

// exercise uses every service once.
func exercise(t *testing.T, c *dlms.Client) {
	t.Helper()
	ctx := t.Context()
	readings, err := c.Read(ctx)
	require.NoError(t, err)
	require.Greater(t, len(readings), 20)

	message := cosem.Attribute{Class: cosem.ClassData, Name: obis.MustParse("0-0:96.13.0"), Index: 2}
	for _, size := range []int{3, 300, 3000} {
		text := cosem.OctetString(bytes.Repeat([]byte{0x7E}, size))
		require.NoError(t, c.Set(ctx, message, nil, text))
		got, err := c.Get(ctx, message, nil)
		require.NoError(t, err)
		require.True(t, text.Equal(got), "%d octets", size)
	}
	require.ErrorIs(t, c.Set(ctx, message, nil, cosem.Uint8(1)), cosem.TypeUnmatched)
	serial := cosem.Attribute{Class: cosem.ClassData, Name: obis.MustParse("0-0:96.1.0"), Index: 2}
	require.ErrorIs(t, c.Set(ctx, serial, nil, cosem.Uint8(1)), cosem.ReadWriteDenied)
	_, err = c.Get(ctx, cosem.Attribute{Class: cosem.ClassData, Name: obis.MustParse("0-0:96.99.0"), Index: 2}, nil)
	require.ErrorIs(t, err, cosem.ObjectUndefined)

	relay := cosem.Object{Class: cosem.ClassDisconnectControl, Name: obis.MustParse("0-0:96.3.10")}
	parameter := cosem.Int8(0)
	_, err = c.Action(ctx, relay.Method(1), &parameter)
	require.NoError(t, err)
	on, err := c.Get(ctx, relay.Attribute(2), nil)
	require.NoError(t, err)
	require.Equal(t, "boolean false", on.String())
	_, err = c.Action(ctx, relay.Method(7), nil)
	require.ErrorIs(t, err, cosem.ActionResult(cosem.ObjectUndefined))

	require.NoError(t, c.SetClock(ctx, noon.Add(time.Hour)))
	clock, err := c.Read(ctx, obis.MustParse("0-0:1.0.0"))
	require.NoError(t, err)
	require.Equal(t, "2026-03-10T13:07:30Z", clock[0].Value.String())
	require.NoError(t, c.SetClock(ctx, noon))

	results, err := c.Access(ctx, []apdu.Access{
		{Kind: apdu.AccessGet, Attribute: serial},
		{Kind: apdu.AccessSet, Attribute: serial, Data: cosem.Uint8(1)},
		{Kind: apdu.AccessAction, Attribute: cosem.Attribute(relay.Method(2)), Data: cosem.Int8(0)},
	})
	require.NoError(t, err)
	require.Equal(t, []uint8{0, uint8(cosem.ReadWriteDenied), 0}, []uint8{results[0].Code, results[1].Code, results[2].Code})
	require.Equal(t, "octet-string 0x3132333435363738", results[0].Data.String())

	codes, err := c.SetList(ctx, []apdu.Get{{Attribute: message}, {Attribute: serial}}, []cosem.Data{cosem.OctetString([]byte("x")), cosem.Uint8(1)})
	require.NoError(t, err)
	require.Equal(t, []cosem.DataAccessResult{cosem.Success, cosem.ReadWriteDenied}, codes)

	var p obis.Profile
	require.NoError(t, c.Profile(ctx, obis.MustParse("1-0:99.1.0"), noon.Add(-24*time.Hour), noon, &p))
	require.Equal(t, 96, p.Len())
	for _, r := range readings {
		require.Zero(t, r.Quality.Flags&obis.Unverified)
	}
}

func TestServices(t *testing.T) {
	ciphered := func(suite security.Suite, edit func(c, s *dlms.Security)) func(*cosemsim.Config, *dlms.Config) {
		return func(sim *cosemsim.Config, cfg *dlms.Config) {
			c, s := parties(t, suite)
			if edit != nil {
				edit(&c, &s)
			}
			cfg.Auth, cfg.Security = apdu.MechanismGMAC, &c
			sim.Access = []dlms.Access{{Auth: apdu.MechanismGMAC, Security: &s, Require: security.Authenticated}}
			if c.Protect == security.Encrypted {
				sim.Access[0].Require = security.Encrypted
			}
		}
	}
	type setup = func(sim *cosemsim.Config, cfg *dlms.Config)
	tests := map[string]setup{
		"no security": func(*cosemsim.Config, *dlms.Config) {},
		"small PDU, service blocks": func(_ *cosemsim.Config, cfg *dlms.Config) {
			cfg.MaxPDU = 100
			cfg.Conformance = apdu.BlockTransferGet | apdu.BlockTransferSet | apdu.BlockTransferAction | apdu.MultipleReferences | apdu.ServiceGet |
				apdu.ServiceSet | apdu.ServiceAction | apdu.ServiceAccess | apdu.SelectiveAccess
		},
		"small PDU both ways, service blocks": func(sim *cosemsim.Config, cfg *dlms.Config) {
			sim.MaxPDU, cfg.MaxPDU = 120, 128
			cfg.Conformance = apdu.BlockTransferGet | apdu.BlockTransferSet | apdu.BlockTransferAction | apdu.MultipleReferences | apdu.ServiceGet |
				apdu.ServiceSet | apdu.ServiceAction | apdu.ServiceAccess | apdu.SelectiveAccess
		},
		"general blocks, window 1": func(sim *cosemsim.Config, cfg *dlms.Config) { sim.MaxPDU, cfg.MaxPDU = 120, 128 },
		"general blocks, window 5": func(sim *cosemsim.Config, cfg *dlms.Config) {
			sim.MaxPDU, cfg.MaxPDU, sim.Window, cfg.Window = 120, 128, 5, 5
		},
		"general blocks, window 63": func(sim *cosemsim.Config, cfg *dlms.Config) {
			sim.MaxPDU, cfg.MaxPDU, sim.Window, cfg.Window = 64, 64, 63, 63
		},
		"suite 0, authenticated and encrypted": ciphered(0, nil),
		"suite 0, by service":                  ciphered(0, func(c, _ *dlms.Security) { c.Style = dlms.StyleService }),
		"suite 0, authenticated":               ciphered(0, func(c, _ *dlms.Security) { c.Protect = security.Authenticated }),
		"suite 0, encrypted":                   ciphered(0, func(c, _ *dlms.Security) { c.Protect = security.Encrypted }),
		"suite 0, dedicated key":               ciphered(0, func(c, _ *dlms.Security) { c.Dedicated = true }),
		"suite 0, dedicated key by service":    ciphered(0, func(c, _ *dlms.Security) { c.Dedicated, c.Style = true, dlms.StyleService }),
		"suite 0, general-ciphering":           ciphered(0, func(c, _ *dlms.Security) { c.Style = dlms.StyleCiphering }),
		"suite 0, general-ciphering, wrapped key": ciphered(0, func(c, _ *dlms.Security) {
			c.Style, c.KeyInfo = dlms.StyleCiphering, &apdu.KeyInfo{Kind: apdu.KeyWrapped}
		}),
		"suite 1":                ciphered(1, nil),
		"suite 2":                ciphered(2, nil),
		"suite 2, dedicated key": ciphered(2, func(c, _ *dlms.Security) { c.Dedicated = true }),
		"suite 1, signed":        ciphered(1, func(c, _ *dlms.Security) { c.Sign = true }),
		"suite 2, signed":        ciphered(2, func(c, _ *dlms.Security) { c.Sign = true }),
		"suite 1, one-pass": ciphered(1, func(c, _ *dlms.Security) {
			c.Style, c.KeyInfo = dlms.StyleCiphering, &apdu.KeyInfo{Kind: apdu.KeyAgreed, Parameters: []byte{security.OnePass}}
		}),
		"suite 2, static unified": ciphered(2, func(c, _ *dlms.Security) {
			c.Style, c.KeyInfo = dlms.StyleCiphering, &apdu.KeyInfo{Kind: apdu.KeyAgreed, Parameters: []byte{security.StaticUnified}}
		}),
		"suite 0, small PDU": func(sim *cosemsim.Config, cfg *dlms.Config) {
			ciphered(0, nil)(sim, cfg)
			sim.MaxPDU, cfg.MaxPDU = 200, 200
			cfg.Conformance = apdu.BlockTransferGet | apdu.BlockTransferSet | apdu.BlockTransferAction | apdu.MultipleReferences | apdu.ServiceGet |
				apdu.ServiceSet | apdu.ServiceAction | apdu.ServiceAccess | apdu.SelectiveAccess | apdu.GeneralProtection
		},
		"suite 0, general blocks": func(sim *cosemsim.Config, cfg *dlms.Config) {
			ciphered(0, nil)(sim, cfg)
			sim.MaxPDU, cfg.MaxPDU, cfg.Window = 200, 200, 4
		},
	}
	for suite, mechanisms := range map[security.Suite][]apdu.Mechanism{
		0: {apdu.MechanismManufacturer, apdu.MechanismMD5, apdu.MechanismSHA1, apdu.MechanismGMAC, apdu.MechanismSHA256},
		1: {apdu.MechanismGMAC, apdu.MechanismSHA256, apdu.MechanismECDSA},
		2: {apdu.MechanismGMAC, apdu.MechanismECDSA},
	} {
		for _, m := range mechanisms {
			tests[fmt.Sprintf("suite %d, %v", suite, m)] = func(sim *cosemsim.Config, cfg *dlms.Config) {
				ciphered(suite, nil)(sim, cfg)
				cfg.Auth, cfg.Password = m, []byte("the secret")
				sim.Access[0].Auth, sim.Access[0].Password = m, []byte("the secret")
			}
		}
	}
	tests["HLS-MD5 without ciphering"] = func(sim *cosemsim.Config, cfg *dlms.Config) {
		cfg.Auth, cfg.Password = apdu.MechanismMD5, []byte("s")
		sim.Access = []dlms.Access{{Auth: apdu.MechanismMD5, Password: []byte("s")}}
	}
	for name, set := range tests {
		for _, link := range []dlms.Link{dlms.LinkWrapper, dlms.LinkHDLC} {
			t.Run(fmt.Sprintf("%s/%v", name, map[dlms.Link]string{dlms.LinkHDLC: "HDLC", dlms.LinkWrapper: "wrapper"}[link]), func(t *testing.T) {
				sim, cfg := cosemsim.Config{}, dlms.Config{Link: link, HDLC: hdlc.Parameters{MaxInfoSend: 512, MaxInfoReceive: 512}}
				sim.HDLC = cfg.HDLC
				set(&sim, &cfg)
				exercise(t, open(t, sim, cfg))
			})
		}
	}
}

func TestShortNames(t *testing.T) {
	for _, size := range []uint16{0, 150} {
		c := open(t, cosemsim.Config{}, dlms.Config{Link: dlms.LinkWrapper, ShortNames: true, MaxPDU: size})
		readings, err := c.Read(t.Context())
		require.NoError(t, err)
		require.Len(t, readings, 23)
		require.Equal(t, "21106937.5", readings[3].Value.String())
		message := cosem.Attribute{Class: cosem.ClassData, Name: obis.MustParse("0-0:96.13.0"), Index: 2}
		require.NoError(t, c.Set(t.Context(), message, nil, cosem.OctetString([]byte("hello"))))
		got, err := c.Get(t.Context(), message, nil)
		require.NoError(t, err)
		require.Equal(t, "octet-string 0x68656c6c6f", got.String())
		var p obis.Profile
		require.NoError(t, c.Profile(t.Context(), obis.MustParse("1-0:99.1.0"), noon.Add(-time.Hour), noon, &p))
		require.Equal(t, 4, p.Len())
	}
}

// Every reason to be refused is told apart.
func TestRefusals(t *testing.T) {
	_, server := parties(t, 0)
	sim := cosemsim.Config{Now: func() time.Time { return noon }, Access: []dlms.Access{
		{Client: 16},
		{Client: 1, Auth: apdu.MechanismLow, Password: []byte("right")},
		{Client: 2, Auth: apdu.MechanismGMAC, Security: &server, Require: security.Authenticated | security.Encrypted},
	}}
	meter := simulate(t, &sim)
	dial := func(cfg dlms.Config) error {
		near, far := net.Pipe()
		go meter.Serve(context.Background(), far)
		cfg.Link, cfg.Timeout = dlms.LinkWrapper, 2*time.Second
		c := dlms.NewClient(near, &cfg)
		defer c.Close(context.Background())
		return c.Open(t.Context())
	}
	diagnostic := func(err error) string {
		var refused *dlms.RefusedError
		require.ErrorAs(t, err, &refused)
		require.ErrorIs(t, err, dlms.ErrRefused)
		return refused.Diagnostic.String()
	}
	require.NoError(t, dial(dlms.Config{Client: 16}))
	require.Equal(t, "no-reason-given", diagnostic(dial(dlms.Config{Client: 99})))
	require.Equal(t, "authentication-required", diagnostic(dial(dlms.Config{Client: 1})))
	require.Equal(t, "authentication-failure", diagnostic(dial(dlms.Config{Client: 1, Auth: apdu.MechanismLow, Password: []byte("wrong")})))
	require.Equal(t, "authentication-mechanism-name-not-recognised", diagnostic(dial(dlms.Config{Client: 1, Auth: apdu.MechanismMD5, Password: []byte("x")})))

	client, _ := parties(t, 0)
	client.Counters = &security.MemoryCounters{}
	require.NoError(t, dial(dlms.Config{Client: 2, Auth: apdu.MechanismGMAC, Security: &client}))
	require.NoError(t, dial(dlms.Config{Client: 2, Auth: apdu.MechanismGMAC, Security: &client}), "counters go on")
	wrong := client
	wrong.Unicast = bytes.Repeat([]byte{9}, 16)
	require.ErrorIs(t, dial(dlms.Config{Client: 2, Auth: apdu.MechanismGMAC, Security: &wrong}), dlms.ErrRefused)
	replayed, _ := parties(t, 0)
	replayed.Counters = &security.MemoryCounters{}
	var counter apdu.ExceptionResponse
	require.ErrorAs(t, dial(dlms.Config{Client: 2, Auth: apdu.MechanismGMAC, Security: &replayed}), &counter)
	require.Equal(t, apdu.InvocationCounterError, counter.Service)
	require.Greater(t, counter.Counter, uint32(4))
	again := dial(dlms.Config{Client: 2, Auth: apdu.MechanismGMAC, Security: &replayed})
	require.ErrorContains(t, again, "claims to expect invocation counter", "which changes nothing of ours")
	forgetful, _ := parties(t, 0)
	forgetful.Counters = nil
	require.ErrorIs(t, dial(dlms.Config{Client: 2, Auth: apdu.MechanismGMAC, Security: &forgetful}), dlms.ErrNoCounters)
	short := client
	short.Unicast = short.Unicast[:8]
	require.ErrorIs(t, dial(dlms.Config{Client: 2, Auth: apdu.MechanismGMAC, Security: &short}), security.ErrKeyLength)
}

// Each association has an object list of its own, and no way around it.
func TestAssociationsSeeTheirObjects(t *testing.T) {
	sim := cosemsim.Config{
		Public: []obis.Code{obis.MustParse("0-0:42.0.0"), obis.MustParse("0-0:1.0.0")},
		Access: []dlms.Access{{Client: 16}, {Client: 1, Auth: apdu.MechanismLow, Password: []byte("x")}},
	}
	public := open(t, sim, dlms.Config{Link: dlms.LinkWrapper})
	objects, err := public.Objects(t.Context())
	require.NoError(t, err)
	require.Len(t, objects, 3)
	_, err = public.Get(t.Context(), cosem.Attribute{Class: cosem.ClassRegister, Name: obis.MustParse("1-0:1.8.0"), Index: 2}, nil)
	require.ErrorIs(t, err, cosem.ObjectUndefined)
	reader := open(t, sim, dlms.Config{Link: dlms.LinkWrapper, Client: 1, Auth: apdu.MechanismLow, Password: []byte("x")})
	objects, err = reader.Objects(t.Context())
	require.NoError(t, err)
	require.Greater(t, len(objects), 25)
}

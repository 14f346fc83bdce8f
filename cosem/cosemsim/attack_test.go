package cosemsim_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/cosemsim"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/cosem/wrapper"
	"github.com/openusm/meter/obis"
)

// attacker sits between client and server, and has no key. For an APDU he says
// what goes on in its place, and what goes back to who sent it.
type attacker func(toServer bool, b []byte) (on, back [][]byte)

// pass lets everything through.
func pass(_ bool, b []byte) (on, back [][]byte) { return [][]byte{b}, nil }

// mitm is a line with an attacker on it, who may change his mind.
type mitm struct {
	client, server net.Conn // his ends
	attack         chan attacker
	sent, answered [][]byte // what went by
}

// between returns the ends of the line for a client and a server.
func between(t *testing.T) (*mitm, net.Conn, net.Conn) {
	near, nearFar := line(t)
	far, farNear := line(t)
	m := &mitm{client: nearFar, server: farNear, attack: make(chan attacker, 1)}
	m.attack <- pass
	go m.carry(m.client, m.server, true)
	go m.carry(m.server, m.client, false)
	t.Cleanup(func() { _ = nearFar.Close(); _ = farNear.Close() })
	return m, near, far
}

// line is a connection that holds what was not read yet.
func line(t *testing.T) (near, far net.Conn) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	near, err = net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	far, err = listener.Accept()
	require.NoError(t, err)
	return near, far
}

func (m *mitm) be(a attacker) {
	<-m.attack
	m.attack <- a
}

// heard returns what went by so far.
func (m *mitm) heard() (sent, answered [][]byte) {
	attack := <-m.attack
	defer func() { m.attack <- attack }()
	return append([][]byte{}, m.sent...), append([][]byte{}, m.answered...)
}

func (m *mitm) carry(from, to net.Conn, toServer bool) {
	defer to.Close()
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		body := make([]byte, int(head[6])<<8|int(head[7]))
		if _, err := io.ReadFull(from, body); err != nil {
			return
		}
		attack := <-m.attack
		if toServer {
			m.sent = append(m.sent, bytes.Clone(body))
		} else {
			m.answered = append(m.answered, bytes.Clone(body))
		}
		on, back := attack(toServer, body)
		m.attack <- attack
		source, destination := uint16(head[2])<<8|uint16(head[3]), uint16(head[4])<<8|uint16(head[5])
		write := func(c net.Conn, source, destination uint16, list [][]byte) {
			for _, b := range list {
				f, _ := wrapper.Frame{Source: source, Destination: destination, APDU: b}.AppendBinary(nil)
				_, _ = c.Write(f)
			}
		}
		write(to, source, destination, on)
		write(from, destination, source, back)
	}
}

// contents gives what a ciphered APDU holds to change, and encodes it again.
func contents(b []byte, change func([]byte) []byte) []byte {
	p, _, err := apdu.Parse(b)
	if err != nil {
		return b
	}
	switch g := p.(type) {
	case apdu.Ciphered:
		g.Contents, p = change(bytes.Clone(g.Contents)), nil
		p = g
	case apdu.GeneralCiphered:
		g.Contents = change(bytes.Clone(g.Contents))
		p = g
	case apdu.GeneralCiphering:
		g.Contents = change(bytes.Clone(g.Contents))
		p = g
	case apdu.GeneralSigning:
		return contents(g.Contents, change) // the signature is lost
	default:
		return b
	}
	out, _ := p.AppendBinary(nil)
	return out
}

// stripped is a message without its tag, of which a bit is flipped.
func stripped(b []byte) []byte {
	return contents(b, func(c []byte) []byte {
		c[0] &^= byte(security.Authenticated)
		if len(c) > 17 {
			c = c[:len(c)-12]
		}
		c[len(c)-1] ^= 0x40
		return c
	})
}

func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)*2/3] ^= 1
	return b
}

// bare is what a signature was around.
func bare(b []byte) []byte {
	if p, _, err := apdu.Parse(b); err == nil {
		if g, ok := p.(apdu.GeneralSigning); ok {
			return g.Contents
		}
	}
	return b
}

// relabelled is a message that says that it is protected by less, by the
// broadcast key, and so on.
func relabelled(mask byte) func([]byte) []byte {
	return func(b []byte) []byte {
		return contents(b, func(c []byte) []byte { c[0] ^= mask; return c })
	}
}

// wrapped is a message in a layer that protects nothing.
func wrapped(title security.Title) func([]byte) []byte {
	return func(b []byte) []byte {
		g := apdu.GeneralCiphered{SystemTitle: title[:], Contents: append([]byte{0, 0xFF, 0xFF, 0xFF, 0xF0}, b...)}
		out, _ := g.AppendBinary(nil)
		return out
	}
}

func encode(p apdu.PDU) []byte {
	b, err := p.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

var (
	register   = cosem.Attribute{Class: cosem.ClassRegister, Name: obis.MustParse("1-0:1.8.0"), Index: 2}
	disconnect = cosem.Method{Class: cosem.ClassDisconnectControl, Name: obis.MustParse("0-0:96.3.10"), Index: 1}
	forged     = encode(apdu.GetResponseNormal{Invoke: 0xC1, Result: apdu.Result{Data: cosem.Uint32(57005)}})
	forgedPush = encode(apdu.DataNotification{Invoke: 1, Body: cosem.Structure(cosem.Uint32(57005))})
	cut        = encode(apdu.ActionRequestNormal{Invoke: 0xC1, Method: disconnect, Parameters: &[]cosem.Data{cosem.Int8(0)}[0]})
	exception  = encode(apdu.ExceptionResponse{State: 1, Service: apdu.InvocationCounterError, Counter: 0xFFFFFF00})
	done       = encode(apdu.ActionResponseNormal{Invoke: 0xC1})
)

// guarded are associations of all mechanisms, suites and styles.
func guarded(t *testing.T) map[string]func() (dlms.Config, dlms.Access) {
	list := map[string]func() (dlms.Config, dlms.Access){}
	for suite, mechanisms := range map[security.Suite][]apdu.Mechanism{
		0: {apdu.MechanismNone, apdu.MechanismLow, apdu.MechanismManufacturer, apdu.MechanismMD5, apdu.MechanismSHA1, apdu.MechanismGMAC, apdu.MechanismSHA256},
		1: {apdu.MechanismManufacturer, apdu.MechanismMD5, apdu.MechanismSHA1, apdu.MechanismGMAC, apdu.MechanismSHA256, apdu.MechanismECDSA},
		2: {apdu.MechanismManufacturer, apdu.MechanismMD5, apdu.MechanismSHA1, apdu.MechanismGMAC, apdu.MechanismSHA256, apdu.MechanismECDSA},
	} {
		for _, auth := range mechanisms {
			for _, style := range []dlms.Style{dlms.StyleService, dlms.StyleGeneral, dlms.StyleCiphering} {
				for _, dedicated := range []bool{false, true} {
					for _, signed := range []bool{false, true} {
						if signed && suite == 0 || dedicated && style == dlms.StyleCiphering {
							continue
						}
						name := fmt.Sprintf("suite %d, %v, style %d, dedicated %v, signed %v", suite, auth, style, dedicated, signed)
						list[name] = func() (dlms.Config, dlms.Access) {
							client, server := parties(t, suite)
							client.Style, client.Dedicated, client.Sign, server.Sign = style, dedicated, signed, signed
							cfg := dlms.Config{Link: dlms.LinkWrapper, Client: 1, Auth: auth, Password: []byte("the secret"), Security: &client, Timeout: time.Second, Retries: -1}
							return cfg, dlms.Access{Client: 1, Auth: auth, Password: []byte("the secret"), Security: &server}
						}
					}
				}
			}
		}
	}
	return list
}

// Whatever somebody on the line does, no value is believed that the meter did
// not send, and nothing is done that the client did not ask for.
func TestNobodyOnTheLine(t *testing.T) {
	clientTitle, meterTitle := security.Title{'C', 'L', 'I', 0, 0, 0, 0, 1}, security.Title{'O', 'S', 'M', 0, 0, 0, 0, 2}
	answers := func(change func([]byte) []byte) func(*mitm) attacker {
		return func(*mitm) attacker {
			return func(toServer bool, b []byte) (on, back [][]byte) {
				if !toServer {
					b = change(b)
				}
				return [][]byte{b}, nil
			}
		}
	}
	requests := func(change func([]byte) []byte) func(*mitm) attacker {
		return func(*mitm) attacker {
			return func(toServer bool, b []byte) (on, back [][]byte) {
				if toServer {
					b = change(b)
				}
				return [][]byte{b}, nil
			}
		}
	}
	instead := func(answer []byte) func(*mitm) attacker {
		return answers(func([]byte) []byte { return answer })
	}
	attacks := map[string]func(m *mitm) attacker{
		"a plain answer":                 instead(forged),
		"a plain success":                instead(done),
		"an answer without its tag":      answers(stripped),
		"an answer with a bit flipped":   answers(flipped),
		"an answer without its cipher":   answers(relabelled(byte(security.Encrypted | security.Authenticated))),
		"an answer only authenticated":   answers(relabelled(byte(security.Encrypted))),
		"an answer by the broadcast key": answers(relabelled(byte(security.Broadcast))),
		"an answer in a void layer":      answers(wrapped(meterTitle)),
		"a plain answer in a void layer": answers(func([]byte) []byte { return wrapped(meterTitle)(forged) }),
		"an exception":                   instead(exception),
		"an earlier answer": func(m *mitm) attacker {
			return answers(func([]byte) []byte { return m.answered[len(m.answered)-2] })(m)
		},
		"the request reflected": func(*mitm) attacker {
			return func(_ bool, b []byte) (on, back [][]byte) { return nil, [][]byte{b} }
		},
		"a plain push before the answer": func(*mitm) attacker {
			return func(toServer bool, b []byte) (on, back [][]byte) {
				if toServer {
					return [][]byte{b}, nil
				}
				return [][]byte{forgedPush, wrapped(meterTitle)(forgedPush), b}, nil
			}
		},
		"a plain answer before the answer": func(*mitm) attacker {
			return func(toServer bool, b []byte) (on, back [][]byte) {
				if toServer {
					return [][]byte{b}, nil
				}
				return [][]byte{forged, b}, nil
			}
		},
		"a plain request":                 requests(func([]byte) []byte { return cut }),
		"a plain request in a void layer": requests(func([]byte) []byte { return wrapped(clientTitle)(cut) }),
		"a request without its tag":       requests(stripped),
		"a request with a bit flipped":    requests(flipped),
		"a request by the broadcast key":  requests(relabelled(byte(security.Broadcast))),
		"a request only authenticated":    requests(relabelled(byte(security.Encrypted))),
		"a request in a void layer":       requests(wrapped(clientTitle)),
		"an answer for the server":        requests(func([]byte) []byte { return forged }),
		"a plain request besides": func(*mitm) attacker {
			return func(toServer bool, b []byte) (on, back [][]byte) {
				if toServer {
					return [][]byte{cut, stripped(b), b}, nil
				}
				return [][]byte{b}, nil
			}
		},
		"a new association in plain": func(*mitm) attacker {
			plain, err := dlms.NewAssociation(&dlms.Config{Client: 1})
			require.NoError(t, err)
			aarq, err := plain.Request()
			require.NoError(t, err)
			return requests(func(b []byte) []byte {
				if bare(b)[0] == aarq[0] {
					return aarq
				}
				return aarq
			})(nil)
		},
	}
	configurations := guarded(t)
	for name, configure := range configurations {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && len(name)%3 != 0 {
				t.Skip("one in three")
			}
			t.Parallel()
			for attack, with := range attacks {
				t.Run(attack, func(t *testing.T) {
					cfg, access := configure()
					cfg.Push = func(p apdu.PDU, trust security.Trust) { t.Errorf("%s was believed, %v", p.Name(), trust) }
					meter := simulate(t, &cosemsim.Config{Now: func() time.Time { return noon }, Access: []dlms.Access{access}})
					m, near, far := between(t)
					go func() { _ = meter.Serve(context.Background(), far) }()
					c := dlms.NewClient(near, &cfg)
					defer c.Close(t.Context())
					require.NoError(t, c.Open(t.Context()))
					want, err := c.Get(t.Context(), register, nil)
					require.NoError(t, err)
					require.NoError(t, failing(c.Get(t.Context(), register, nil)))

					m.be(with(m))
					if got, err := c.Get(t.Context(), register, nil); err == nil {
						require.Equal(t, want.String(), got.String())
					}
					closed, _ := meter.Get(nil, cosem.Attribute{Class: disconnect.Class, Name: disconnect.Name, Index: 2}, nil)
					require.Equal(t, "boolean true", closed.String(), "the meter disconnected what it should not")
					// A request that the attacker spoilt is not reported as carried out.
					parameters := cosem.Int8(0)
					_, err = c.Action(t.Context(), disconnect, &parameters)
					closed, _ = meter.Get(nil, cosem.Attribute{Class: disconnect.Class, Name: disconnect.Name, Index: 2}, nil)
					if err == nil {
						require.Equal(t, "boolean false", closed.String(), "success was reported that is none")
					}
				})
			}
		})
	}
}

func failing(_ cosem.Data, err error) error { return err }

// What is replayed from this session or an earlier one, or spliced from another
// meter's, is refused by both sides.
func TestNothingIsReplayed(t *testing.T) {
	for name, configure := range guarded(t) {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && len(name)%3 != 0 {
				t.Skip("one in three")
			}
			t.Parallel()
			cfg, access := configure()
			meter := simulate(t, &cosemsim.Config{Now: func() time.Time { return noon }, Access: []dlms.Access{access}})
			session := func() (*mitm, *dlms.Client) {
				m, near, far := between(t)
				go func() { _ = meter.Serve(context.Background(), far) }()
				return m, dlms.NewClient(near, &cfg)
			}
			parameters := cosem.Int8(0)
			closed := func() bool {
				d, _ := meter.Get(nil, cosem.Attribute{Class: disconnect.Class, Name: disconnect.Name, Index: 2}, nil)
				return d.String() == "boolean true"
			}
			old, c := session()
			require.NoError(t, c.Open(t.Context()))
			_, err := c.Get(t.Context(), register, nil)
			require.NoError(t, err)
			_, err = c.Action(t.Context(), disconnect, &parameters)
			require.NoError(t, err)
			reconnect := disconnect
			reconnect.Index = 2
			_, err = c.Action(t.Context(), reconnect, &parameters)
			require.NoError(t, err)
			require.True(t, closed())
			// All that was sent, once more in the same session.
			replay, heard := old.heard()
			old.be(func(toServer bool, b []byte) (on, back [][]byte) {
				if toServer {
					return append(append([][]byte{}, replay...), b), nil
				}
				return [][]byte{b}, nil
			})
			_, _ = c.Get(t.Context(), register, nil)
			require.True(t, closed(), "a request was replayed within the session")
			old.be(pass)
			_ = c.Close(t.Context())

			// The whole session once more, without the client.
			near, far := line(t)
			served := make(chan error)
			go func() { served <- meter.Serve(context.Background(), far) }()
			go func() { _, _ = io.Copy(io.Discard, near) }()
			for _, b := range replay {
				f, _ := wrapper.Frame{Source: 1, Destination: 1, APDU: b}.AppendBinary(nil)
				_, err := near.Write(f)
				require.NoError(t, err)
			}
			require.NoError(t, near.(*net.TCPConn).CloseWrite())
			require.NoError(t, <-served)
			require.True(t, closed(), "a session was replayed")

			// A meter that plays what the real one said earlier.
			m, c := session()
			m.be(func(toServer bool, b []byte) (on, back [][]byte) {
				if toServer && len(heard) > 0 {
					back, heard = heard[:1], heard[1:]
					return nil, back
				}
				return nil, nil
			})
			if err := c.Open(t.Context()); err == nil {
				_, err = c.Get(t.Context(), register, nil)
				require.Error(t, err, "the answers of an earlier session were believed")
			}
			_ = c.Close(t.Context())

			// Answers and requests of another meter's session with the same keys.
			m, c = session()
			require.NoError(t, c.Open(t.Context()))
			other, otherAccess := configure()
			stranger := *otherAccess.Security
			stranger.Title[7] = 9
			otherAccess.Security = &stranger
			twin := simulate(t, &cosemsim.Config{Now: func() time.Time { return noon.Add(time.Hour) }, Access: []dlms.Access{otherAccess}})
			m2, twinNear, twinFar := between(t)
			go func() { _ = twin.Serve(context.Background(), twinFar) }()
			d := dlms.NewClient(twinNear, &other)
			require.NoError(t, d.Open(t.Context()))
			for range 5 {
				_, err = d.Get(t.Context(), register, nil)
				require.NoError(t, err)
			}
			_, answered := m2.heard()
			spliced := answered[len(answered)-1]
			m.be(func(toServer bool, b []byte) (on, back [][]byte) {
				if toServer {
					return nil, [][]byte{spliced}
				}
				return nil, nil
			})
			_, err = c.Get(t.Context(), register, nil)
			require.Error(t, err, "another meter's answer was believed")
			_ = c.Close(t.Context())
			_ = d.Close(t.Context())
		})
	}
}

// An attacker who changes what opens the association gets none, or no less
// protection for it.
func TestNobodyDowngrades(t *testing.T) {
	aare := func(change func(*apdu.AARE)) attacker {
		return func(toServer bool, b []byte) (on, back [][]byte) {
			if p, _, err := apdu.Parse(b); err == nil && !toServer {
				if a, ok := p.(apdu.AARE); ok {
					change(&a)
					b = encode(a)
				}
			}
			return [][]byte{b}, nil
		}
	}
	aarq := func(change func(*apdu.AARQ)) attacker {
		return func(toServer bool, b []byte) (on, back [][]byte) {
			if p, _, err := apdu.Parse(b); err == nil && toServer {
				if a, ok := p.(apdu.AARQ); ok {
					change(&a)
					b = encode(a)
				}
			}
			return [][]byte{b}, nil
		}
	}
	plainInitiate := encode(apdu.InitiateRequest{Version: 6, Conformance: 0xFFFFFF, MaxPDU: 1000})
	plainResponse := encode(apdu.InitiateResponse{Version: 6, Conformance: 0xFFFFFF, MaxPDU: 1000, VAAName: 7})
	var challenge []byte
	for name, attack := range map[string]attacker{
		"AARE, initiate-response in plain": aare(func(a *apdu.AARE) { a.UserInformation = plainResponse }),
		"AARE, no initiate-response":       aare(func(a *apdu.AARE) { a.UserInformation = nil }),
		"AARE, tag cut off":                aare(func(a *apdu.AARE) { a.UserInformation = stripped(a.UserInformation) }),
		"AARE, plain context":              aare(func(a *apdu.AARE) { a.Context = apdu.ContextLN }),
		"AARE, plain context and initiate": aare(func(a *apdu.AARE) { a.Context, a.UserInformation = apdu.ContextLN, plainResponse }),
		"AARE, another title":              aare(func(a *apdu.AARE) { a.RespondingAPTitle = []byte("OSM12345") }),
		"AARE, our own title":              aare(func(a *apdu.AARE) { a.RespondingAPTitle = []byte{'C', 'L', 'I', 0, 0, 0, 0, 1} }),
		"AARE, no challenge":               aare(func(a *apdu.AARE) { a.Value = nil }),
		"AARE, a short challenge":          aare(func(a *apdu.AARE) { a.Value = []byte{1} }),
		"AARE, another challenge":          aare(func(a *apdu.AARE) { a.Value = bytes.Repeat([]byte{1}, 32) }),
		"AARE, another mechanism":          aare(func(a *apdu.AARE) { a.Mechanism = apdu.MechanismLow }),
		"AARE, no mechanism and challenge": aare(func(a *apdu.AARE) { a.Mechanism, a.Authentication, a.Value = 0, false, nil }),
		"AARQ, initiate-request in plain":  aarq(func(a *apdu.AARQ) { a.UserInformation = plainInitiate }),
		"AARQ, plain context and initiate": aarq(func(a *apdu.AARQ) { a.Context, a.UserInformation = apdu.ContextLN, plainInitiate }),
		"AARQ, tag cut off":                aarq(func(a *apdu.AARQ) { a.UserInformation = stripped(a.UserInformation) }),
		"AARQ, another title":              aarq(func(a *apdu.AARQ) { a.CallingAPTitle = []byte("CLI12345") }),
		"AARQ, no authentication":          aarq(func(a *apdu.AARQ) { a.Mechanism, a.Authentication, a.Value = 0, false, nil }),
		"AARQ, another challenge":          aarq(func(a *apdu.AARQ) { a.Value = bytes.Repeat([]byte{2}, 32) }),
		"AARE, our own challenge": func(toServer bool, b []byte) (on, back [][]byte) {
			p, _, err := apdu.Parse(b)
			if a, ok := p.(apdu.AARQ); ok && err == nil {
				challenge = bytes.Clone(a.Value)
			}
			if a, ok := p.(apdu.AARE); ok && err == nil {
				a.Value = challenge
				b = encode(a)
			}
			return [][]byte{b}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			for configuration, configure := range guarded(t) {
				cfg, access := configure()
				if !cfg.Auth.HLS() || cfg.Security.Style != dlms.StyleGeneral || cfg.Security.Dedicated || cfg.Security.Sign {
					continue
				}
				meter := simulate(t, &cosemsim.Config{Access: []dlms.Access{access}})
				m, near, far := between(t)
				m.be(attack)
				go func() { _ = meter.Serve(context.Background(), far) }()
				c := dlms.NewClient(near, &cfg)
				require.Error(t, c.Open(t.Context()), configuration)
				_, err := c.Get(t.Context(), register, nil)
				require.Error(t, err, configuration)
				_ = c.Close(t.Context())
			}
		})
	}
}

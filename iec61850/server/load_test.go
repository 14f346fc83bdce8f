package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/client"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/iec61850/server"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return authority{cert, key}
}

func (a authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a authority) issue(t testing.TB) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Both sides show certificates (IEC 62351-3); whose is of another authority, or shows none, is not associated.
func TestTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	m := meter(t)
	s, err := server.New(m, &server.Config{TLS: &tls.Config{Certificates: []tls.Certificate{ours.issue(t)}, ClientCAs: ours.pool(),
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}})
	require.NoError(t, err)
	defer s.Close()
	address := freeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.ListenAndServe(ctx, address) }()
	try := func(cfg *tls.Config) (c *client.Client, err error) {
		require.Eventually(t, func() bool {
			c, err = client.Dial(ctx, address, &client.Config{TLS: cfg})
			var op *net.OpError
			return err == nil || !asDial(err, &op)
		}, 5*time.Second, 5*time.Millisecond)
		return c, err
	}
	c, err := try(&tls.Config{Certificates: []tls.Certificate{ours.issue(t)}, RootCAs: ours.pool(), ServerName: "127.0.0.1"})
	require.NoError(t, err)
	_, err = c.ReadOne(ctx, name("MMXU1$MX$TotW"))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	for what, cfg := range map[string]*tls.Config{
		"client of another authority": {Certificates: []tls.Certificate{theirs.issue(t)}, RootCAs: ours.pool(), ServerName: "127.0.0.1"},
		"client without certificate":  {RootCAs: ours.pool(), ServerName: "127.0.0.1"},
		"server of another authority": {Certificates: []tls.Certificate{ours.issue(t)}, RootCAs: theirs.pool(), ServerName: "127.0.0.1"},
		"server of another name":      {Certificates: []tls.Certificate{ours.issue(t)}, RootCAs: ours.pool(), ServerName: "192.0.2.1"},
	} {
		_, err := try(cfg)
		require.Error(t, err, what)
	}
	_, err = client.Dial(ctx, address, &client.Config{Timeout: time.Second})
	require.Error(t, err, "plain")
	cancel()
	require.NoError(t, <-served)
}

// asDial reports whether nobody listens yet.
func asDial(err error, op **net.OpError) bool {
	e, ok := err.(*net.OpError)
	*op = e
	return ok && e.Op == "dial"
}

func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// peer is an association whose octets the test itself sends and reads.
type peer struct {
	net.Conn
	stack mms.Stack
}

// raw associates without a client.
func raw(t testing.TB, address string) *peer {
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	p := &peer{Conn: conn}
	d := mms.DefaultSelectors()
	out, err := p.stack.AppendConnect(nil, d, d)
	require.NoError(t, err)
	_, err = p.Write(out)
	require.NoError(t, err)
	p.next(t)
	out, err = p.stack.AppendAssociate(nil, d, d, nil, nil, mms.Initiate{MaxPDU: 65000, Calling: 5, Called: 5, Nesting: 10, Version: 1}.Append(nil))
	require.NoError(t, err)
	_, err = p.Write(out)
	require.NoError(t, err)
	require.Zero(t, p.next(t).ACSE.Result)
	return p
}

// next reads one packet.
func (p *peer) next(t testing.TB) mms.Event {
	head := make([]byte, 4)
	_, err := io.ReadFull(p, head)
	require.NoError(t, err)
	b := append(head, make([]byte, int(head[2])<<8+int(head[3])-4)...)
	_, err = io.ReadFull(p, b[4:])
	require.NoError(t, err)
	ev, _, _, err := p.stack.Next(b, nil)
	require.NoError(t, err)
	return ev
}

func (p *peer) request(t testing.TB, s mms.Service, params func([]byte) []byte) {
	_, err := p.Write(p.stack.AppendPDU(nil, mms.AppendConfirmed(nil, mms.ConfirmedRequest, 1, s, true, params)))
	require.NoError(t, err)
}

// Requests may come several at a time, or an octet at a time; they are answered in their order.
func TestPipelinedAndFragmented(t *testing.T) {
	p := raw(t, serve(t, nil).address)
	defer p.Close()
	var out []byte
	for id := range uint32(20) {
		out = p.stack.AppendPDU(out, mms.AppendConfirmed(nil, mms.ConfirmedRequest, id, mms.Identify, false, nil))
	}
	_, err := p.Write(out)
	require.NoError(t, err)
	for i := range out {
		_, err := p.Write(out[i : i+1])
		require.NoError(t, err)
	}
	for i := range uint32(40) {
		pdu, err := mms.ParsePDU(p.next(t).PDU)
		require.NoError(t, err)
		require.Equal(t, i%20, pdu.InvokeID)
	}
}

// usual is how long one read may take at most while others misbehave.
const usual = time.Second

// servedWell reads for a while and requires that no read takes longer than usual.
func servedWell(t testing.TB, c *client.Client, reads int) {
	t.Helper()
	for range reads {
		start := time.Now()
		_, err := c.ReadOne(t.Context(), name("MMXU1$MX$TotW"))
		require.NoError(t, err)
		require.Less(t, time.Since(start), usual)
	}
}

// A client that asks for reports and answers and reads none of them loses its
// connection after the timeout; others notice nothing.
func TestClientThatStopsReading(t *testing.T) {
	s := serve(t, &server.Config{Timeout: 300 * time.Millisecond})
	other, reports := watch(t, s, client.Config{})
	require.NoError(t, other.WriteOne(t.Context(), name("LLN0$RP$urcb02$RptEna"), iec61850.Bool(true)))
	deaf := raw(t, s.address)
	defer deaf.Close()
	require.NoError(t, deaf.Conn.(*net.TCPConn).SetReadBuffer(4096))
	deaf.request(t, mms.Write, mms.WriteRequest{Variables: mms.Variables{Each: []mms.Variable{{Name: name("LLN0$RP$urcb01$RptEna")}}}, Data: []iec61850.Value{iec61850.Bool(true)}}.Append)
	ask := deaf.stack.AppendPDU(nil, mms.AppendConfirmed(nil, mms.ConfirmedRequest, 2, mms.GetNameList, true,
		mms.NameListRequest{Class: mms.NamedVariables, Scope: mms.ScopeDomain, Domain: []byte(ld)}.Append))
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			if _, err := deaf.Write(ask); err != nil {
				return
			}
		}
	}()
	left, i := false, float32(0)
	for start := time.Now(); !left && time.Since(start) < 20*time.Second; {
		i++
		setWatt(t, s.model, i)
		require.Equal(t, iec61850.Float32(i), next(t, reports).Data[0].Value.At(0).At(0))
		servedWell(t, other, 1)
		select {
		case <-gone:
			left = true
		default:
		}
	}
	require.True(t, left, "the server let it go")
	require.Eventually(t, func() bool {
		v, err := other.ReadOne(t.Context(), name("LLN0$RP$urcb01$RptEna"))
		return err == nil && !v.Bool()
	}, 5*time.Second, 10*time.Millisecond, "its report block is free")
}

// A message has its time as a whole, however often a few octets of it come.
func TestClientThatTrickles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := server.New(meter(t), nil)
		require.NoError(t, err)
		near, far := net.Pipe()
		served, start := make(chan error, 1), time.Now()
		go func() { served <- s.Serve(t.Context(), far) }()
		for _, b := range []byte{3, 0, 0, 22, 17, 0xE0, 0, 0, 0, 1, 0} {
			if _, err := near.Write([]byte{b}); err != nil {
				break
			}
			time.Sleep(2 * time.Second)
		}
		require.ErrorContains(t, <-served, "silent")
		require.Less(t, time.Since(start), 13*time.Second)
		s.Close()
	})
}

// The server takes only some files at a time, from clients that do not send them on.
func TestTransfersAreLimited(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	defer root.Close()
	s := serve(t, &server.Config{Files: server.ReadWrite(root)})
	ask := mms.FileRequest{Name: "a", To: "a"}
	var first *peer
	for range 8 {
		p := raw(t, s.address)
		defer p.Close()
		p.request(t, mms.ObtainFile, func(dst []byte) []byte { return ask.Append(dst, mms.ObtainFile) })
		if first == nil {
			first = p
		}
	}
	c := dial(t, s, nil)
	require.Eventually(t, func() bool { return errors.Is(c.SendFile(t.Context(), "b", nil), mms.ErrResource) }, 5*time.Second, 10*time.Millisecond)
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool { return c.SendFile(t.Context(), "b", nil) == nil }, 5*time.Second, 10*time.Millisecond)
}

// The memory that an association takes which does nothing, and how the others are served beside a thousand of them.
func TestThousandAssociations(t *testing.T) {
	const n = 1000
	s := serve(t, nil)
	c := dial(t, s, nil)
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := held()
	peers := make([]*peer, n)
	for i := range peers {
		peers[i] = raw(t, s.address)
	}
	each := (held() - before) / n
	t.Logf("%d octets for each association, both ends", each)
	require.LessOrEqual(t, each, uint64(50<<10))
	servedWell(t, c, 100)
	for _, p := range peers {
		require.NoError(t, p.Close())
	}
	full := serve(t, &server.Config{MaxAssociations: 1})
	dial(t, full, nil)
	_, err := client.Dial(t.Context(), full.address, nil)
	require.Error(t, err, "one more than allowed")
}

// Silent connections, those that send half a packet and those that only connect lock
// nobody out: they make room. Whoever is associated keeps his place, silent or not.
func TestSilentMakeRoom(t *testing.T) {
	const most = 64
	s := serve(t, &server.Config{MaxAssociations: most, Timeout: time.Minute})
	first := dial(t, s, nil)
	for i := range 3 * most {
		c, err := net.Dial("tcp", s.address)
		require.NoError(t, err)
		defer c.Close()
		if i%2 == 0 {
			_, err = c.Write([]byte{3, 0, 0xFF})
			require.NoError(t, err)
		}
	}
	time.Sleep(100 * time.Millisecond)
	for range most - 1 {
		dial(t, s, nil)
	}
	_, err := client.Dial(t.Context(), s.address, &client.Config{Timeout: time.Second})
	require.Error(t, err, "all places are those of associations")
	_, err = first.ReadOne(t.Context(), name("MMXU1$MX$TotW"))
	require.NoError(t, err)
}

// What strangers can have the server hold before they have associated: the figure of SECURITY.md.
func TestHeldByStrangers(t *testing.T) {
	const n = 50
	s := serve(t, &server.Config{Timeout: time.Minute})
	held := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc + m.StackInuse)
	}
	before := held()
	for range n {
		c, err := net.Dial("tcp", s.address)
		require.NoError(t, err)
		defer c.Close()
		_, err = c.Write(append([]byte{3, 0, 0xFF, 0xFF}, make([]byte, 65_000)...))
		require.NoError(t, err)
	}
	time.Sleep(200 * time.Millisecond)
	each := (held() - before) / n
	t.Logf("%d octets for each connection", each)
	require.LessOrEqual(t, each, 250_000)
}

// An octet a second does not make a connection last, nor does taking no answer.
func TestSlowClients(t *testing.T) {
	for what, peer := range map[string]func(net.Conn){
		"silent":            func(net.Conn) {},
		"half a packet":     func(c net.Conn) { _, _ = c.Write([]byte{3, 0, 1, 0, 17}) },
		"an octet a second": func(c net.Conn) { drip(c, []byte{3, 0, 1, 0, 17, 0xE0}) },
		"a packet for ever": func(c net.Conn) { drip(c, []byte{3, 0, 0, 7, 2, 0xF0, 0}) },
		"takes no answer": func(c net.Conn) {
			out, _ := new(mms.Stack).AppendConnect(nil, mms.DefaultSelectors(), mms.DefaultSelectors())
			_, _ = c.Write(out)
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := server.New(meter(t), nil)
				require.NoError(t, err)
				near, far := net.Pipe()
				go peer(near)
				begun := time.Now()
				_ = s.Serve(context.Background(), far)
				require.LessOrEqual(t, time.Since(begun), 11*time.Second)
				require.NoError(t, near.Close())
				s.Close()
				time.Sleep(2 * time.Second)
			})
		})
	}
}

// drip writes an octet a second.
func drip(c net.Conn, b []byte) {
	for i := 0; ; i++ {
		if _, err := c.Write(b[i%len(b):][:1]); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// Half a packet in each of many connections, the longest of PDUs, and all names at once delay nobody.
func TestGreedyClients(t *testing.T) {
	m := meter(t)
	node := &iec61850.Node{Name: "GGIO2"}
	for i := range 3000 {
		o, err := iec61850.NewObject(fmt.Sprintf("AnIn%d", i), "MV")
		require.NoError(t, err)
		node.Objects = append(node.Objects, o)
	}
	m.Devices[0].Nodes = append(m.Devices[0].Nodes, node)
	s := serveModel(t, m, nil)
	c, ctx := dial(t, s, nil), t.Context()
	for range 100 {
		half := raw(t, s.address)
		defer half.Close()
		_, err := half.Write([]byte{3, 0, 0xFF})
		require.NoError(t, err)
	}
	done := make(chan struct{})
	var greedy sync.WaitGroup
	for range 2 {
		greedy.Go(func() {
			g, err := client.Dial(ctx, s.address, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer g.Close()
			for {
				select {
				case <-done:
					return
				default:
				}
				names, err := g.Names(ctx, mms.NamedVariables, ld)
				if err != nil || len(names) < 10000 {
					t.Error(len(names), err)
					return
				}
				for _, whole := range []string{"GGIO2", "GGIO2$MX"} { // longer than any PDU
					if _, err := g.ReadOne(ctx, name(whole)); err != error(mms.ErrResource) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	servedWell(t, c, 200)
	close(done)
	greedy.Wait()

	var items []mms.Name
	for i := range 700 { // what comes to just below the longest PDU, in both directions
		items = append(items, name(fmt.Sprintf("GGIO2$MX$AnIn%d$mag$f", i)))
	}
	results, err := c.Read(ctx, items...)
	require.NoError(t, err)
	require.Len(t, results, len(items))
	conn := raw(t, s.address)
	defer conn.Close()
	long := mms.AppendConfirmed(nil, mms.ConfirmedRequest, 9, mms.Status, false, func(dst []byte) []byte { return append(dst, make([]byte, 200000)...) })
	_, _ = conn.Write(conn.stack.AppendPDU(nil, long))
	_, err = io.Copy(io.Discard, conn)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	servedWell(t, c, 10)
}

// A change is in a client's hands within 100 ms.
func TestReportComesSoon(t *testing.T) {
	s := serve(t, nil)
	c, reports := watch(t, s, client.Config{})
	require.NoError(t, c.WriteOne(t.Context(), name("LLN0$RP$urcb01$RptEna"), iec61850.Bool(true)))
	late := 0
	for i := range 50 {
		start := time.Now()
		setWatt(t, s.model, float32(i+1))
		next(t, reports)
		if time.Since(start) > 100*time.Millisecond {
			late++
		}
	}
	require.LessOrEqual(t, late, 1, "of 50; one for a machine that did something else")
}

// Twenty clients of ten kinds at once, while the model changes.
func TestAllKindsOfClients(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	defer root.Close()
	m := meter(t)
	settings(t, 0)(m.Devices[0])
	s := serveModel(t, m, &server.Config{Write: anybody, Files: server.ReadWrite(root),
		Control: func(context.Context, server.Control) server.AddCause { return server.CauseNone }})
	ctx := t.Context()
	kinds := map[string]func(c *client.Client, id int) error{
		"reads": func(c *client.Client, _ int) error { _, err := c.ReadOne(ctx, name("MMTR1")); return err },
		"browses": func(c *client.Client, _ int) error {
			_, err := c.Names(ctx, mms.NamedVariables, ld)
			return err
		},
		"asks for types": func(c *client.Client, _ int) error { _, err := c.Type(ctx, name("GGIO1$CO$SPCSO4")); return err },
		"writes": func(c *client.Client, _ int) error {
			return c.WriteOne(ctx, name("MMXU1$CF$TotW$db"), iec61850.Uint(7))
		},
		"gets reports": func(c *client.Client, id int) error {
			rcb := fmt.Sprintf("LLN0$RP$urcb%02d$", 1+id)
			if err := c.WriteOne(ctx, name(rcb+"RptEna"), iec61850.Bool(true)); err != nil {
				return err
			}
			return c.WriteOne(ctx, name(rcb+"GI"), iec61850.Bool(true))
		},
		"makes lists": func(c *client.Client, id int) error {
			list := name(fmt.Sprintf("LLN0$mine%d", id))
			if err := c.DefineList(ctx, list, name("MMXU1$MX$TotW")); err != nil {
				return err
			}
			_, err := c.DeleteLists(ctx, list)
			return err
		},
		"operates": func(c *client.Client, id int) error {
			return c.WriteOne(ctx, name([]string{"GGIO1$CO$SPCSO1$Oper", "GGIO1$CO$SPCSO3$Oper"}[id]), oper(true))
		},
		"sends and reads files": func(c *client.Client, id int) error {
			file := fmt.Sprintf("f%d", id)
			if err := c.SendFile(ctx, file, make([]byte, 5000)); err != nil {
				return err
			}
			_, err := c.ReadFile(ctx, file, 1<<20)
			return err
		},
		"reads the log": func(c *client.Client, _ int) error {
			_, _, err := c.Journal(ctx, mms.JournalRequest{Name: name("LLN0$log")})
			return err
		},
		"comes and goes": func(c *client.Client, _ int) error {
			again, err := client.Dial(ctx, s.address, nil)
			if err != nil {
				return err
			}
			return again.Conclude(ctx)
		},
	}
	var all sync.WaitGroup
	for kind, do := range kinds {
		for id := range 2 {
			c := dial(t, s, &client.Config{Information: func(mms.Information) {}})
			all.Go(func() {
				for range 20 {
					if err := do(c, id); err != nil && !(kind == "operates" && err == error(mms.ObjectAccessDenied)) { // while the last is carried out
						t.Errorf("%s: %v", kind, err)
						return
					}
				}
			})
		}
	}
	for i := range 100 {
		setWatt(t, s.model, float32(i))
	}
	all.Wait()
}

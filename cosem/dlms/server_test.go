package dlms_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/cosemsim"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/wrapper"
	"github.com/openusm/meter/obis"
)

// serve runs a simulated meter on a port of the loopback interface.
func serve(t testing.TB, cfg *cosemsim.Config) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	meter, err := cosemsim.New(cfg)
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { _ = meter.Serve(ctx, conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		cancel()
		wg.Wait()
	})
	return listener.Addr().String()
}

func connect(t testing.TB, address string, cfg dlms.Config) *dlms.Client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	cfg.Link = dlms.LinkWrapper
	c := dlms.NewClient(conn, &cfg)
	require.NoError(t, c.Open(context.Background()))
	return c
}

var energy = cosem.Attribute{Class: cosem.ClassRegister, Name: obis.MustParse("1-0:1.8.0"), Index: 2}

// requireServing reads a register as a new client.
func requireServing(t *testing.T, address string) {
	t.Helper()
	c := connect(t, address, dlms.Config{Timeout: 5 * time.Second})
	_, err := c.Get(t.Context(), energy, nil)
	require.NoError(t, err)
	require.NoError(t, c.Close(t.Context()))
}

func TestServerSurvivesGarbage(t *testing.T) {
	address := serve(t, nil)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		b := make([]byte, random.IntN(300))
		for k := range b {
			b[k] = byte(random.UintN(256))
		}
		switch i % 4 {
		case 1: // a frame of the wrapper around it
			b, _ = wrapper.Frame{Source: 16, Destination: 1, APDU: b}.AppendBinary(nil)
		case 2: // and an association before it
			aarq, _ := aarq(t)
			head, _ := wrapper.Frame{Source: 16, Destination: 1, APDU: aarq}.AppendBinary(nil)
			tail, _ := wrapper.Frame{Source: 16, Destination: 1, APDU: append([]byte{0xC0 + byte(i%4)}, b...)}.AppendBinary(nil)
			b = append(head, tail...)
		case 3: // an HDLC flag before it
			b = append([]byte{0x7E, 0xA0}, b...)
		}
		_, err = conn.Write(b)
		require.NoError(t, err)
		if i%2 == 0 {
			require.NoError(t, conn.Close())
		} else {
			t.Cleanup(func() { _ = conn.Close() }) // half open: the client never says another word
		}
	}
	requireServing(t, address)
}

func aarq(t *testing.T) ([]byte, error) {
	a, err := dlms.NewAssociation(nil)
	require.NoError(t, err)
	return a.Request()
}

func TestServerWithSlowSenders(t *testing.T) {
	address := serve(t, nil)
	b, err := aarq(t)
	require.NoError(t, err)
	frame, err := wrapper.Frame{Source: 16, Destination: 1, APDU: b}.AppendBinary(nil)
	require.NoError(t, err)
	var slow []net.Conn
	for range 20 {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		slow = append(slow, conn)
	}
	for _, octet := range frame {
		for _, conn := range slow {
			_, err := conn.Write([]byte{octet})
			require.NoError(t, err)
		}
	}
	requireServing(t, address)
	for _, conn := range slow {
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		answer := make([]byte, 8)
		_, err := io.ReadFull(conn, answer)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
}

// A thousand associations are held in less than 64 MB, and the server serves on.
func TestServerHoldsAThousand(t *testing.T) {
	address := serve(t, nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var clients []*dlms.Client
	for range 1000 {
		clients = append(clients, connect(t, address, dlms.Config{Timeout: 10 * time.Second}))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse)
	t.Logf("1,000 associations, clients and server together, hold %d kB", held>>10)
	require.Less(t, held, int64(64<<20))
	requireServing(t, address)
	for _, c := range clients {
		require.NoError(t, c.Close(t.Context()))
	}
}

// What is oversized, too deep or unfolds without end is refused, and the association goes on.
func TestServerRefusesBombs(t *testing.T) {
	address := serve(t, nil)
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	send := func(b []byte) apdu.PDU {
		frame, err := wrapper.Frame{Source: 16, Destination: 1, APDU: b}.AppendBinary(nil)
		require.NoError(t, err)
		_, err = conn.Write(frame)
		require.NoError(t, err)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		head := make([]byte, 8)
		_, err = io.ReadFull(conn, head)
		require.NoError(t, err)
		body := make([]byte, int(head[6])<<8|int(head[7]))
		_, err = io.ReadFull(conn, body)
		require.NoError(t, err)
		p, _, err := apdu.Parse(body)
		require.NoError(t, err)
		return p
	}
	request, err := aarq(t)
	require.NoError(t, err)
	require.IsType(t, apdu.AARE{}, send(request))

	set := []byte{0xC1, 1, 0xC1, 0, 1, 0, 0, 96, 13, 0, 255, 2, 0}
	for name, data := range map[string][]byte{
		"deep nesting":           bytes.Repeat([]byte{1, 1}, 1000),
		"length beyond the end":  {9, 0x84, 0x7F, 0xFF, 0xFF, 0xFF},
		"count beyond the end":   {1, 0x84, 0x7F, 0xFF, 0xFF, 0xFF},
		"compact array of zeros": {0x13, 2, 2, 0x11, 1, 0xFF, 0xFF, 0, 2, 1, 1},
	} {
		require.IsType(t, apdu.ExceptionResponse{}, send(append(append([]byte{}, set...), data...)), name)
	}
	// Blocks without end are cut off.
	first := append([]byte{0xC1, 2, 0xC1, 0, 1, 0, 0, 96, 13, 0, 255, 2, 0, 0, 0, 0, 0, 1, 0x82, 0x80, 0}, make([]byte, 0x8000)...)
	answer := send(first)
	for n := uint32(2); ; n++ {
		if last, ok := answer.(apdu.SetResponseLastBlock); ok {
			require.Equal(t, cosem.DataBlockNumberInvalid, last.Code)
			break
		}
		require.Less(t, n, uint32(40), "blocks are gathered without end")
		b, err := apdu.SetRequestBlock{Invoke: 0xC1, Block: apdu.Block{Number: n, Raw: make([]byte, 0x8000)}}.AppendBinary(nil)
		require.NoError(t, err)
		answer = send(b)
	}
	get, err := apdu.GetRequestNormal{Invoke: 0xC1, Get: apdu.Get{Attribute: energy}}.AppendBinary(nil)
	require.NoError(t, err)
	require.IsType(t, apdu.GetResponseNormal{}, send(get))
}

// A peer that says nothing, or nothing sensible, for ever ends with a timeout.
func TestClientAgainstSilence(t *testing.T) {
	for name, babble := range map[string]bool{"silence": false, "babble": true} {
		for _, link := range []dlms.Link{dlms.LinkHDLC, dlms.LinkWrapper} {
			t.Run(name, func(t *testing.T) {
				near, far := net.Pipe()
				defer far.Close()
				go func() { _, _ = io.Copy(io.Discard, far) }()
				if babble && link == dlms.LinkHDLC {
					go func() {
						for {
							if _, err := far.Write([]byte{0x7E, 0xA0, 0x55, 0xAA}); err != nil {
								return
							}
						}
					}()
				}
				c := dlms.NewClient(near, &dlms.Config{Link: link, Timeout: 50 * time.Millisecond, Retries: 1})
				start := time.Now()
				err := c.Open(t.Context())
				require.ErrorIs(t, err, dlms.ErrTimeout)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.Less(t, time.Since(start), 5*time.Second)
				require.NoError(t, c.Close(t.Context()))
			})
		}
	}
}

// A client that is told to stop stops at once.
func TestClientIsCancelled(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	go func() { _, _ = io.Copy(io.Discard, far) }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	c := dlms.NewClient(near, &dlms.Config{Timeout: time.Hour})
	require.True(t, errors.Is(c.Open(ctx), context.DeadlineExceeded))
}

// BenchmarkServer counts the GETs that 50 clients get answered over loopback TCP.
func BenchmarkServer(b *testing.B) {
	address := serve(b, nil)
	const clients = 50
	work := make(chan struct{}, clients)
	var wg sync.WaitGroup
	for range clients {
		c := connect(b, address, dlms.Config{Timeout: 10 * time.Second})
		wg.Go(func() {
			for range work {
				if _, err := c.Get(context.Background(), energy, nil); err != nil {
					b.Error(err)
				}
			}
			_ = c.Close(context.Background())
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "GET/s")
}

// An answer that comes after its request was given up does not answer the next one.
func TestLateAnswer(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	go func() {
		buf := make([]byte, 4096)
		var late []byte
		for n := 0; ; n++ {
			k, err := far.Read(buf)
			if err != nil {
				return
			}
			f, _, err := wrapper.Parse(buf[:k])
			if err != nil {
				return
			}
			answer, _ := apdu.AARE{Context: apdu.ContextLN}.AppendBinary(nil)
			if n > 0 {
				p, _, _ := apdu.Parse(f.APDU)
				get, ok := p.(apdu.GetRequestNormal)
				if !ok {
					return
				}
				answer, _ = apdu.GetResponseNormal{Invoke: get.Invoke, Result: apdu.Result{Data: cosem.Uint32(uint32(n))}}.AppendBinary(nil)
			}
			frame, _ := wrapper.Frame{Source: 1, Destination: 16, APDU: answer}.AppendBinary(nil)
			if n == 1 { // the first answer is overdue
				late = frame
				continue
			}
			if _, err := far.Write(append(late, frame...)); err != nil {
				return
			}
			late = nil
		}
	}()
	c := dlms.NewClient(near, &dlms.Config{Link: dlms.LinkWrapper, Timeout: 400 * time.Millisecond, Retries: 1})
	require.NoError(t, c.Open(t.Context()))
	d, err := c.Get(t.Context(), energy, nil)
	require.NoError(t, err)
	require.Equal(t, "double-long-unsigned 2", d.String(), "the request was repeated, and its own answer taken")
}

package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/udp"
	"github.com/plgd-dev/go-coap/v3/udp/client"
	"github.com/stretchr/testify/require"

	dtlsclient "github.com/plgd-dev/go-coap/v3/dtls"

	"github.com/openusm/meter/gateway/coap"
	"github.com/openusm/meter/keys"
)

// output is text that one goroutine writes and another reads.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// expose runs "meterctl expose" until the test ends, and returns where it listens.
func expose(t *testing.T, args ...string) string {
	ctx, stop := context.WithCancel(t.Context())
	errs := &output{}
	exit := make(chan int, 1)
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: errs}
	go func() {
		exit <- a.run(ctx, append([]string{"expose", "sim:dlms", "--as", "coap", "--interval", "100ms"}, args...))
	}()
	t.Cleanup(func() {
		stop()
		require.Equal(t, exitOK, <-exit, errs)
	})
	var address string
	require.Eventually(t, func() bool {
		m := regexp.MustCompile(`listening on \w+://(\S+)`).FindStringSubmatch(errs.String())
		if m != nil {
			address = m[1]
		}
		return m != nil
	}, 20*time.Second, 10*time.Millisecond, "%s", errs)
	return address
}

func coapGet(t *testing.T, conn *client.Conn, path string) string {
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	m, err := conn.Get(ctx, path)
	require.NoError(t, err)
	require.Equal(t, codes.Content, m.Code(), path)
	b, err := m.ReadBody()
	require.NoError(t, err)
	return string(b)
}

func TestExposeCoAP(t *testing.T) {
	conn, err := udp.Dial(expose(t, "--listen", "coap://127.0.0.1:0"))
	require.NoError(t, err)
	defer conn.Close()
	require.Contains(t, coapGet(t, conn, "/m/meter1/m/1-0:1.8.0"), `"n":"1-0:1.8.0","u":"Wh"`)
	require.Contains(t, coapGet(t, conn, "/m/meter1/p/1-0:99.1.0"), `"n":"1-0:99.1.0/`)
	require.Contains(t, coapGet(t, conn, "/m/meter1/id"), `"manufacturer"`)
	require.Contains(t, coapGet(t, conn, "/m/meter1/3305/0"), `"5805"`)
	require.Contains(t, coapGet(t, conn, "/m/meter1/e"), `"n":"0-0:99.98.0/`)
}

func TestExposeCoAPS(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(keys, []byte("[12345678]\nkey = 000102030405060708090A0B0C0D0E0F\n[coap:meter1]\nkey = 30313233343536373839616263646566\n"), 0o600))
	address := expose(t, "--listen", "coaps://127.0.0.1:0", "--key-file", keys)
	dialled := func(identity, key string) (*client.Conn, error) {
		return dtlsclient.Dial(address, dtlsclient.NewDTLSClientOptions(dtls.WithPSK(func([]byte) ([]byte, error) { return []byte(key), nil }),
			dtls.WithPSKIdentityHint([]byte(identity)), dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_CCM_8)))
	}
	conn, err := dialled("meter1", "0123456789abcdef")
	require.NoError(t, err)
	defer conn.Close()
	require.Contains(t, coapGet(t, conn, "/m/meter1/m"), `"n":"1-0:1.8.0"`)
}

// Keys of meters are no keys of clients.
func TestCoAPKeys(t *testing.T) {
	set, err := keys.Parse(strings.NewReader("key = 000102030405060708090A0B0C0D0E0F\n[12345678]\nkey = 000102030405060708090A0B0C0D0E0F\n[coap:b]\nek = 000102030405060708090A0B0C0D0E0F\n[coap:a]\nkey = 30313233343536373839616263646566\n"))
	require.NoError(t, err)
	require.Equal(t, map[string]coap.Key{"a": coap.Key("0123456789abcdef")}, coapKeys(set))
}

func TestExposeCoAPRefuses(t *testing.T) {
	for listen, want := range map[string]int{"coaps://127.0.0.1:0": exitAuth, "tcp://127.0.0.1:0": exitUsage, "coap://0.0.0.0:0": exitUsage, "": exitUsage} {
		got := run(t, "", "expose", "sim:dlms", "--as", "coap", "--listen", listen)
		require.Equal(t, want, got.exit, "%s: %s", listen, got.stderr)
	}
}

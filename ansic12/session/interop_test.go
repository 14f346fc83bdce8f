//go:build interop

package session_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/session"
)

// tshark dissects what client and simulated meter say to each other by C12.22: it
// finds all MACs right and sees the services, requests and answers alike.
func TestTshark(t *testing.T) {
	for _, program := range []string{"tshark", "text2pcap"} {
		_, err := exec.LookPath(program)
		require.NoError(t, err, "%s is not installed", program)
	}
	for name, test := range map[string]struct {
		security        epsem.Security
		called, calling string
		sessionless     bool
	}{
		"in the clear":              {epsem.Clear, ".42.1", ".7", false},
		"authenticated, relative":   {epsem.Authenticated, ".42.1", ".7", false},
		"authenticated, absolute":   {epsem.Authenticated, "1.3.6.1.4.1.99.1", "2.16.124.113620.1.22.0.7", true},
		"ciphered, relative":        {epsem.Ciphered, ".42.1", ".7", true},
		"ciphered, mixed":           {epsem.Ciphered, "1.3.6.1.4.1.99.1", ".7", false},
		"ciphered, long identifier": {epsem.Ciphered, ".42.1.4294967295.4294967295.4294967295.4294967295", ".7.300", false},
	} {
		t.Run(name, func(t *testing.T) {
			frames := converse(t, test.security, title(t, test.called), title(t, test.calling), test.sessionless)
			fields := dissect(t, frames)
			require.Len(t, fields, len(frames))
			reads := 0
			for i, f := range fields {
				require.Empty(t, f.malformed, "% x", frames[i])
				if test.security != epsem.Clear {
					require.Equal(t, "1", f.good, "% x", frames[i])
				}
				require.NotEmpty(t, f.command+f.answer, "% x", frames[i])
				if strings.Contains(f.command, "0x30") || strings.Contains(f.command, "0x3f") {
					reads++
				}
			}
			require.Greater(t, reads, 10)
		})
	}
}

// converse has a client read a meter, and returns the messages of both.
func converse(t *testing.T, security epsem.Security, called, calling epsem.Title, sessionless bool) (frames [][]byte) {
	t.Helper()
	sim := &ansicsim.Config{Password: "secret", Now: func() time.Time { return noon }}
	names := session.Network{Called: called, Calling: calling, Sessionless: sessionless, Security: security}
	if security != epsem.Clear {
		names.Key, names.KeyID, names.Vectors = eaxKey, 2, epsem.MemoryVectors()
		sim.Network = ansicsim.NetworkConfig{Key: eaxKey, KeyID: 2}
	}
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	var lock sync.Mutex
	cfg := &session.Config{Password: "secret", Grant: ansic12.RightReset, Trace: func(_ bool, frame []byte) {
		lock.Lock()
		defer lock.Unlock()
		frames = append(frames, append([]byte(nil), frame...))
	}}
	done := make(chan error, 1)
	go func() { done <- ansicsim.New(sim).ServeNetwork(ctx, far) }()
	c := session.NewNetworkClient(near, names, cfg)
	require.NoError(t, c.Open(t.Context()))
	_, _, err := c.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.ResetDemand(t.Context()))
	require.NoError(t, c.Close(t.Context()))
	cancel()
	<-done
	return frames
}

type dissected struct{ good, command, answer, malformed string }

// dissect runs tshark over messages.
func dissect(t *testing.T, frames [][]byte) (fields []dissected) {
	t.Helper()
	folder := t.TempDir()
	var dump strings.Builder
	for _, frame := range frames {
		dump.WriteString("000000")
		for _, c := range frame {
			fmt.Fprintf(&dump, " %02x", c)
		}
		dump.WriteString("\n")
	}
	text, capture := filepath.Join(folder, "talk.txt"), filepath.Join(folder, "talk.pcap")
	require.NoError(t, os.WriteFile(text, []byte(dump.String()), 0o600))
	// Each message is a datagram: tshark knows the port of either.
	out, err := exec.Command("text2pcap", "-q", "-u", "50000,1153", text, capture).CombinedOutput()
	require.NoError(t, err, string(out))
	command := exec.Command("tshark", "-r", capture, "-T", "fields", "-E", "separator=|",
		"-o", "c1222.baseoid:2.16.124.113620.1.22.0", "-o", `uat:c1222_decryption_table:"02",01020304050607080102030405060708`,
		"-e", "c1222.crypto_good", "-e", "c1222.cmd", "-e", "c1222.err", "-e", "_ws.malformed")
	command.Env = append(os.Environ(), "HOME="+folder)
	out, err = command.Output()
	require.NoError(t, err)
	for _, line := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		f := strings.Split(line, "|")
		require.Len(t, f, 4, line)
		fields = append(fields, dissected{f[0], f[1], f[2], f[3]})
	}
	return fields
}

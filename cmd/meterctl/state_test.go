package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/wrapper"
)

// The test binary is meterctl where this is set, so that whole processes can be killed.
const asMeterctl = "METERCTL_TEST_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asMeterctl) != "" {
		main()
	}
	os.Exit(m.Run())
}

func process(t *testing.T, args ...string) *exec.Cmd {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asMeterctl+"=1")
	return cmd
}

// nonces are those under which clients ciphered what passed through a proxy.
type nonces struct {
	mu   sync.Mutex
	seen map[uint32]int
}

func (n *nonces) note(frame []byte) {
	f, _, err := wrapper.Parse(frame)
	if err != nil || len(f.APDU) < 20 || f.APDU[0] != apdu.TagGeneralGloCiphering {
		return
	}
	p, _, err := apdu.ParseGeneralCiphered(f.APDU)
	if err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen[binary.BigEndian.Uint32(p.Contents[1:])]++
}

// meterBehind serves a simulated meter behind a proxy that notes the nonces of its clients.
func meterBehind(t *testing.T, keyFile string) (target string, n *nonces) {
	n = &nonces{seen: map[uint32]int{}}
	sim := process(t, "sim", "dlms", "--listen", "tcp://127.0.0.1:0", "--key-file", keyFile, "--auth", "hls-gmac", "--state", t.TempDir())
	out, err := sim.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, sim.Start())
	t.Cleanup(func() { _ = sim.Process.Kill(); _ = sim.Wait() })
	lines := bufio.NewScanner(out)
	address := ""
	for address == "" && lines.Scan() {
		_, address, _ = strings.Cut(lines.Text(), "listening on tcp://")
	}
	require.NotEmpty(t, address)
	go func() {
		for lines.Scan() {
		}
	}()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				server, err := net.Dial("tcp", address)
				if err != nil {
					return
				}
				defer server.Close()
				go func() { _, _ = server.(*net.TCPConn).WriteTo(client); _ = client.Close() }()
				b := make([]byte, 4096)
				for {
					c, err := client.Read(b)
					if err != nil {
						return
					}
					n.note(b[:c])
					if _, err := server.Write(b[:c]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "tcp://" + l.Addr().String(), n
}

// No nonce comes twice: not by several processes at once, nor by the next ones, nor
// after one was killed, nor where the state was put back from a backup.
func TestNoncesNeverComeTwice(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(keyFile, []byte("ek = 000102030405060708090A0B0C0D0E0F\nak = D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF\n"), 0o600))
	target, n := meterBehind(t, keyFile)
	state := filepath.Join(t.TempDir(), "state")
	flags := []string{target, "--protocol", "dlms", "--link", "wrapper", "--key-file", keyFile, "--auth", "hls-gmac", "--state", state}
	once := func() (string, error) {
		out, err := process(t, append([]string{"read"}, append(flags, "0-0:1.0.0")...)...).CombinedOutput()
		return string(out), err
	}
	// A crash or a rival may have reserved counters of the meter, too, until it is past them.
	read := func() {
		t.Helper()
		require.Eventually(t, func() bool { _, err := once(); return err == nil }, 10*time.Second, time.Millisecond)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { _, _ = once() }) // a meter wants counters to grow, and refuses whom another overtook
	}
	all.Wait()
	read()
	backup := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(backup, "state"), os.DirFS(state)))
	for range 2 {
		watch := process(t, append([]string{"watch", "--interval", "10ms"}, append(flags, "0-0:1.0.0")...)...)
		require.NoError(t, watch.Start())
		time.Sleep(300 * time.Millisecond)
		require.NoError(t, watch.Process.Kill())
		_ = watch.Wait()
		read()
	}
	require.NoError(t, os.RemoveAll(state))
	require.NoError(t, os.CopyFS(state, os.DirFS(filepath.Join(backup, "state"))))
	out, _ := once()
	require.Contains(t, out, "restored or copied")
	read()

	n.mu.Lock()
	defer n.mu.Unlock()
	require.Greater(t, len(n.seen), 20)
	for counter, times := range n.seen {
		require.Equal(t, 1, times, "counter %d", counter)
	}
}

// A title is drawn once, however many ask for it at a time, and is whole.
func TestOwnTitle(t *testing.T) {
	file := filepath.Join(t.TempDir(), "system-title")
	titles := make([]string, 8)
	var all sync.WaitGroup
	for i := range titles {
		all.Go(func() {
			title, err := ownTitle(file)
			if err != nil {
				t.Error(err)
			}
			titles[i] = string(title)
		})
	}
	all.Wait()
	for _, title := range titles {
		require.Equal(t, titles[0], title)
	}
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := ownTitle(file)
	require.ErrorContains(t, err, "no system title")
}

// Keys on a live line need a place for their counters.
func TestStateMustBeWritable(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(blocked, nil, 0o600))
	got := runContext(context.Background(), "", "read", "sim:dlms", "--ek", "000102030405060708090A0B0C0D0E0F", "--state", filepath.Join(blocked, "state"))
	require.Equal(t, exitConfig, got.exit)
	require.Contains(t, got.stderr, "--state")
}

package dlms

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem/security"
)

var (
	sent = security.CounterID{Title: security.Title{1}}
	came = security.CounterID{Title: security.Title{2}, Receive: true}
)

// TestMain is also the other process of the tests of counters: it uses counters
// of a file, and says which, until it has used enough or is killed.
func TestMain(m *testing.M) {
	path, n := os.Getenv("METER_COUNTERS"), 0
	if path == "" {
		os.Exit(m.Run())
	}
	_, _ = fmt.Sscan(os.Getenv("METER_COUNTERS_N"), &n)
	f, err := OpenCounters(path)
	for i := 0; err == nil && (n == 0 || i < n); i++ {
		var c uint32
		if c, err = f.Next(sent); err != nil {
			break
		}
		fmt.Println(c)
		if os.Getenv("METER_COUNTERS_ACCEPT") != "" {
			c = f.Expected(came)
			fmt.Println("about", c)
			if err = f.Accept(came, c); err == nil {
				fmt.Println("in", c)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// another is a process that uses the counters of a file.
func another(t *testing.T, path string, env ...string) (*exec.Cmd, io.Reader) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "METER_COUNTERS="+path), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, out
}

func TestCountersOfSeveralProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "counters")
	own, err := OpenCounters(path)
	require.NoError(t, err)
	used := map[string]bool{}
	var processes []*exec.Cmd
	var outs []io.Reader
	for range 3 {
		cmd, out := another(t, path, "METER_COUNTERS_N=300")
		processes, outs = append(processes, cmd), append(outs, out)
	}
	last := uint32(0)
	for range 300 {
		n, err := own.Next(sent)
		require.NoError(t, err)
		require.Greater(t, n, last)
		last = n
		used[strconv.Itoa(int(n))] = true
	}
	for i, out := range outs {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			require.False(t, used[lines.Text()], "counter %s is used twice", lines.Text())
			used[lines.Text()] = true
		}
		require.NoError(t, processes[i].Wait())
	}
	require.Len(t, used, 1200)
	require.False(t, own.Restored(), "others may write the file, too")
	// What one process accepted is a replay for the other.
	other, err := OpenCounters(path)
	require.NoError(t, err)
	require.NoError(t, own.Accept(came, 7))
	require.ErrorIs(t, other.Accept(came, 7), security.ErrReplay)
	require.NoError(t, other.Accept(came, 100))
	require.ErrorIs(t, own.Accept(came, 50), security.ErrReplay)
	if info, err := os.Stat(path); runtime.GOOS != "windows" {
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		info, err = os.Stat(filepath.Dir(path))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	}
}

// A process that is killed in the middle has used no counter that is used again,
// and accepted nothing that is accepted again.
func TestCountersAfterKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counters")
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	last, accepted, skipped := 0, -1, 0
	for round := range rounds {
		cmd, out := another(t, path, "METER_COUNTERS_ACCEPT=1")
		var text []byte
		for in := bufio.NewReader(out); ; {
			line, err := in.ReadString('\n')
			text = append(text, line...)
			if err != nil {
				break
			}
			if bytes.Count(text, []byte("in ")) == 1+7*round {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		lines := strings.Split(string(text), "\n")
		for _, line := range lines[:len(lines)-1] {
			n, err := strconv.Atoi(strings.TrimPrefix(line, "in "))
			switch {
			case strings.HasPrefix(line, "about "): // it may have been accepted
			case strings.HasPrefix(line, "in "):
				require.NoError(t, err)
				require.Greater(t, n, accepted)
				accepted = n
			default:
				require.NoError(t, err)
				require.Greater(t, n, last)
				if n > last+skip/2 && last != 0 {
					skipped++
				}
				last = n
			}
		}
	}
	require.Zero(t, skipped, "a process that died is no restored backup")
	f, err := OpenCounters(path)
	require.NoError(t, err)
	require.Positive(t, accepted)
	require.ErrorIs(t, f.Accept(came, uint32(accepted)), security.ErrReplay)
	require.False(t, f.Restored())
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	require.NoError(t, err)
	require.Len(t, left, 2, "the file and its lock: %v", left)
}

// A file that was put back is noticed, however it was done.
func TestCountersAreRestored(t *testing.T) {
	for name, restore := range map[string]func(t *testing.T, from, to string){
		"cp":            func(t *testing.T, from, to string) { run(t, "cp", from+"/counters", to+"/counters") },
		"cp -p":         func(t *testing.T, from, to string) { run(t, "cp", "-p", from+"/counters", to+"/counters") },
		"mv":            func(t *testing.T, from, to string) { run(t, "mv", from+"/counters", to+"/counters") },
		"folder":        func(t *testing.T, from, to string) { run(t, "rm", "-r", to); run(t, "cp", "-a", from, to) },
		"folder, into":  func(t *testing.T, from, to string) { run(t, "cp", "-a", from+"/.", to) },
		"folder, moved": func(t *testing.T, from, to string) { run(t, "rm", "-r", to); run(t, "mv", from, to) },
		"edited":        func(t *testing.T, _, to string) { edit(t, to+"/counters") },
		"lost":          func(t *testing.T, _, to string) { run(t, "rm", to+"/counters") },
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("no cp here")
			}
			dir, backup := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "backup")
			path := filepath.Join(dir, "counters")
			f, err := OpenCounters(path)
			require.NoError(t, err)
			_, err = f.Next(sent)
			require.NoError(t, err)
			run(t, "cp", "-a", dir, backup)
			last := uint32(0)
			for range 5 * ahead {
				last, err = f.Next(sent)
				require.NoError(t, err)
			}
			require.False(t, f.Restored())
			restore(t, backup, dir)
			g, err := OpenCounters(path)
			require.NoError(t, err)
			require.True(t, g.Restored())
			n, err := g.Next(sent)
			require.NoError(t, err)
			require.GreaterOrEqual(t, n, last+skip/2)
			if name == "lost" || name == "edited" {
				return
			}
			// One that has it open notices as well.
			h, err := OpenCounters(path)
			require.NoError(t, err)
			require.False(t, h.Restored(), "it was told once")
		})
	}
}

// One backup that is put back again and again, as an image is from which a
// container starts, gives other counters each time.
func TestCountersAreRestoredTwice(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no cp here")
	}
	dir, backup := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "backup")
	busy := security.CounterID{Title: security.Title{2}} // sends more than once a second
	f, err := OpenCounters(filepath.Join(dir, "counters"))
	require.NoError(t, err)
	require.NoError(t, f.Reset(busy, 1<<30))
	ids := []security.CounterID{sent, busy}
	for _, id := range ids {
		_, err = f.Next(id)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	run(t, "cp", "-a", dir, backup)
	used := map[security.CounterID]map[uint32]bool{sent: {}, busy: {}}
	for range 4 {
		run(t, "rm", "-r", dir)
		run(t, "cp", "-a", backup, dir)
		f, err := OpenCounters(filepath.Join(dir, "counters"))
		require.NoError(t, err)
		for _, id := range ids {
			for range 100 {
				n, err := f.Next(id)
				require.NoError(t, err)
				require.False(t, used[id][n], "%v: counter %d again", id, n)
				used[id][n] = true
			}
		}
		require.NoError(t, f.Close())
	}
}

func run(t *testing.T, name string, arguments ...string) {
	t.Helper()
	out, err := exec.Command(name, arguments...).CombinedOutput()
	require.NoError(t, err, string(out))
}

func edit(t *testing.T, path string) {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(b, []byte("\n"))
	require.NoError(t, os.WriteFile(path, append(lines[0], "0100000000000000 0 out 5\n"...), 0o600))
}

// A process that has the file open notices that it was put back, too.
func TestCountersAreRestoredMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counters")
	f, err := OpenCounters(path)
	require.NoError(t, err)
	_, err = f.Next(sent)
	require.NoError(t, err)
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	last := uint32(0)
	for range 5 * ahead {
		last, err = f.Next(sent)
		require.NoError(t, err)
	}
	require.NoError(t, f.Accept(came, 9))
	require.NoError(t, os.WriteFile(path, old, 0o600))
	n, err := f.Next(sent)
	require.NoError(t, err)
	require.Greater(t, n, last)
	require.True(t, f.Restored())
	require.ErrorIs(t, f.Accept(came, 9), security.ErrReplay)
}

func TestCountersStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counters")
	f, err := OpenCounters(path)
	require.NoError(t, err)
	seconds := uint32(time.Since(counterEpoch) / time.Second)
	n, err := f.Next(sent)
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, seconds)
	require.NoError(t, f.Reset(sent, 42))
	n, err = f.Next(sent)
	require.NoError(t, err)
	require.Equal(t, uint32(42), n, "by the word of the operator")
	require.NoError(t, f.Reset(sent, 0xFFFFFFFE))
	_, err = f.Next(sent)
	require.NoError(t, err)
	_, err = f.Next(sent)
	require.ErrorIs(t, err, security.ErrExhausted)
	require.NoError(t, f.Accept(came, 0xFFFFFFFF))
	require.ErrorIs(t, f.Accept(came, 0xFFFFFFFF), security.ErrReplay)
	require.NoError(t, f.Close())
	g, err := OpenCounters(path)
	require.NoError(t, err)
	require.ErrorIs(t, g.Accept(came, 0xFFFFFFFF), security.ErrReplay)
}

// What was reserved and not used is given back: when all is over, and for what
// came also soon after the last message.
func TestCountersAreGivenBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counters")
	f, err := OpenCounters(path)
	require.NoError(t, err)
	for n := range uint32(10) {
		require.NoError(t, f.Accept(came, n))
	}
	require.Equal(t, uint32(10), f.Expected(came))
	before, err := f.Next(sent)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	g, err := OpenCounters(path)
	require.NoError(t, err)
	require.Equal(t, uint32(10), g.Expected(came))
	require.NoError(t, g.Accept(came, 10))
	after, err := g.Next(sent)
	require.NoError(t, err)
	require.Less(t, after, before+ahead)
	require.Greater(t, after, before)
}

// Where nothing can be written, no counter is used.
func TestCountersWithoutDisk(t *testing.T) {
	dir := t.TempDir()
	_, err := OpenCounters(filepath.Join(dir, "state", "a\x00b"))
	require.Error(t, err)
	path := filepath.Join(dir, "counters")
	f, err := OpenCounters(path)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(path+".tmp", 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(path+".tmp", "x"), nil, 0o600)) // nothing can take its place
	_, err = f.Next(sent)
	require.Error(t, err)
	require.Error(t, f.Accept(came, 5))
	require.NoError(t, os.RemoveAll(path+".tmp"))
	_, err = f.Next(sent)
	require.NoError(t, err)
	require.NoError(t, f.Accept(came, 5))
	if _, err := os.Stat("/dev/full"); err == nil {
		require.NoError(t, f.Close())
		_ = os.Remove(path + ".lock")
		require.NoError(t, os.Symlink("/dev/full", path+".lock"))
		_, err := OpenCounters(path)
		require.Error(t, err, "a full disk")
	}
	require.NoError(t, os.WriteFile(path, []byte("nonsense\n"), 0o600))
	_, err = f.Next(sent)
	require.Error(t, err)
}

func BenchmarkFileCounters(b *testing.B) {
	f, err := OpenCounters(filepath.Join(b.TempDir(), "counters"))
	require.NoError(b, err)
	b.ReportAllocs()
	for n := uint32(0); b.Loop(); n++ {
		if _, err := f.Next(sent); err != nil {
			b.Fatal(err)
		}
		if err := f.Accept(came, n); err != nil {
			b.Fatal(err)
		}
	}
}

//go:build !windows

package serial

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// open returns both ends of a pseudo terminal, ours opened as a serial port.
func open(t *testing.T, cfg *Config) (*Port, *Pseudo) {
	t.Helper()
	far, err := OpenPseudo("")
	require.NoError(t, err)
	t.Cleanup(func() { _ = far.Close() })
	p, err := Open(far.PortName(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p, far
}

func TestPortCarriesOctets(t *testing.T) {
	p, far := open(t, &Config{Baud: 300, Framing: "7E1"})
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	n, err := p.Write(all)
	require.NoError(t, err)
	require.Equal(t, 256, n)
	got := make([]byte, 256)
	_, err = io.ReadFull(far, got)
	require.NoError(t, err)
	require.Equal(t, all, got)

	_, err = far.Write(all)
	require.NoError(t, err)
	_, err = io.ReadFull(p, got)
	require.NoError(t, err)
	require.Equal(t, all, got)
	require.NoError(t, p.SetLine(9600, "8N1"))
}

func TestReadEndsAtTheDeadline(t *testing.T) {
	p, _ := open(t, nil)
	require.NoError(t, p.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	_, err := p.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestCloseEndsRead(t *testing.T) {
	p, _ := open(t, nil)
	result := make(chan error)
	go func() {
		_, err := p.Read(make([]byte, 1))
		result <- err
	}()
	time.Sleep(10 * time.Millisecond)
	require.NoError(t, p.Close())
	require.ErrorIs(t, <-result, os.ErrClosed)
	_, err := p.Write([]byte{1})
	require.ErrorIs(t, err, os.ErrClosed)
}

// Nobody writes: the deadline, another goroutine's deadline and Close end a read of the near end.
func TestPseudoReadEnds(t *testing.T) {
	for name, end := range map[string]struct {
		do   func(*Pseudo)
		want error
	}{
		"deadline": {func(p *Pseudo) { _ = p.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) }, os.ErrDeadlineExceeded},
		"at once":  {func(p *Pseudo) { _ = p.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		"close":    {func(p *Pseudo) { _ = p.Close() }, os.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := OpenPseudo("")
			require.NoError(t, err)
			defer p.Close()
			result := make(chan error, 1)
			go func() {
				_, err := p.Read(make([]byte, 1))
				result <- err
			}()
			time.Sleep(10 * time.Millisecond)
			end.do(p)
			select {
			case err := <-result:
				require.ErrorIs(t, err, end.want)
			case <-time.After(5 * time.Second):
				t.Fatal("still reading")
			}
		})
	}
}

func TestUnplugged(t *testing.T) {
	p, far := open(t, nil)
	require.NoError(t, far.Close())
	_, err := p.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestOpenRefuses(t *testing.T) {
	_, err := Open("/dev/there-is-no-such-port", nil)
	require.ErrorContains(t, err, "/dev/there-is-no-such-port")
	for _, framing := range []string{"9N1", "8X1", "8N3", "8N", ""} {
		_, err := parseFraming(framing)
		require.Error(t, err, framing)
	}
}

func TestFramingBits(t *testing.T) {
	for text, bits := range map[string]int{"7E1": 10, "8N1": 10, "8E1": 11, "8N2": 11} {
		f, err := parseFraming(text)
		require.NoError(t, err)
		require.Equal(t, bits, f.bits(), text)
	}
}

func TestLink(t *testing.T) {
	link := t.TempDir() + "/meter"
	far, err := OpenPseudo(link)
	require.NoError(t, err)
	p, err := Open(link, nil)
	require.NoError(t, err)
	require.NoError(t, p.Close())
	require.NoError(t, far.Close())
	_, err = os.Lstat(link)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// The library for RS-485 has hazards that the driver must hide; a pseudo
// terminal knows no RS-485, so the driver is opened without it here.
func TestGoburrowDriver(t *testing.T) {
	far, err := OpenPseudo("")
	require.NoError(t, err)
	d := &goburrowDriver{}
	d.cfg.Address, d.cfg.Timeout = far.PortName(), slice
	require.NoError(t, d.open(1200, framing{8, 'E', 1}))
	p := &Port{name: "rs485", driver: d, closed: make(chan struct{})}

	require.NoError(t, p.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	_, err = p.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)

	_, err = p.Write([]byte("hello"))
	require.NoError(t, err)
	before := time.Now()
	require.NoError(t, p.SetLine(9600, "8N1"))
	require.Greater(t, time.Since(before), 30*time.Millisecond, "five characters of 11 bits at 1200 baud take 46 ms")
	got := make([]byte, 5)
	_, err = io.ReadFull(far, got)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))

	require.NoError(t, p.SetReadDeadline(time.Time{}))
	require.NoError(t, far.Close())
	_, err = p.Read(make([]byte, 1))
	require.Error(t, err, "a device that is gone is no endless stream of nothing")
	require.NoError(t, p.Close())
}

// A line with a rate takes its time, and is garbage for a port at another one.
func TestPseudoHasARate(t *testing.T) {
	p, far := open(t, &Config{Baud: 1200, Framing: "7E1"})
	require.NoError(t, far.SetLine(1200, "7E1"))
	before := time.Now()
	go func() { _, _ = far.Write([]byte("twelve chars")) }()
	got := make([]byte, 12)
	_, err := io.ReadFull(p, got)
	require.NoError(t, err)
	require.Equal(t, "twelve chars", string(got))
	require.Greater(t, time.Since(before), 80*time.Millisecond, "twelve characters of ten bits at 1200 baud take 100 ms")

	if _, ok := rateOf(far.master); !ok {
		t.Log("this system does not tell the rate of the far end")
		return
	}
	require.NoError(t, far.SetLine(9600, "7E1"))
	_, err = far.Write([]byte("twelve chars"))
	require.NoError(t, err)
	_, err = io.ReadFull(p, got)
	require.NoError(t, err)
	require.NotEqual(t, "twelve chars", string(got))
	require.NoError(t, p.SetLine(9600, "7E1"))
	_, err = far.Write([]byte("twelve chars"))
	require.NoError(t, err)
	_, err = io.ReadFull(p, got)
	require.NoError(t, err)
	require.Equal(t, "twelve chars", string(got))
}

func TestOnePortOneProgram(t *testing.T) {
	p, far := open(t, nil)
	_, err := Open(far.PortName(), nil)
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, p.Close())
	again, err := Open(far.PortName(), nil)
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

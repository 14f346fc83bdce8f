package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// buffer is written by one goroutine and read by another.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A master starts data transfer, interrogates the counters, and gets totals.
func TestExposeAsIEC104(t *testing.T) {
	address, stop := start(t, "expose", "sim:dlms", "--as", "iec104", "--listen", "tcp://127.0.0.1:0")
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	_, err = conn.Write([]byte("\x68\x04\x07\x00\x00\x00\x68\x0e\x00\x00\x00\x00\x65\x01\x06\x00\x01\x00\x00\x00\x00\x05"))
	require.NoError(t, err)
	in := bufio.NewReader(conn)
	totals := 0
	for {
		head, err := in.Peek(2)
		require.NoError(t, err)
		frame := make([]byte, 2+int(head[1]))
		_, err = io.ReadFull(in, frame)
		require.NoError(t, err)
		if len(frame) > 8 && frame[6] == 37 {
			require.Equal(t, byte(37), frame[8], "requested by general counter interrogation")
			totals += int(frame[7])
		}
		if len(frame) > 8 && frame[6] == 101 && frame[8] == 10 {
			break
		}
	}
	require.Greater(t, totals, 4)
	require.NoError(t, conn.Close())
	stop()
}

// start runs a command that listens, and returns its address and what stops it.
func start(t *testing.T, args ...string) (address string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var errs buffer
	a := &app{stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: &errs}
	done := make(chan int, 1)
	go func() { done <- a.run(ctx, args) }()
	require.Eventually(t, func() bool {
		_, after, found := strings.Cut(errs.String(), "listening on tcp://")
		address, _, _ = strings.Cut(after, "\n")
		return found && strings.Contains(after, "\n")
	}, 5*time.Second, time.Millisecond)
	return address, sync.OnceFunc(func() { cancel(); <-done })
}

// When the meter does not answer any more, what is shown is marked as old.
func TestExposeMarksWhatIsOld(t *testing.T) {
	meter, unplug := start(t, "sim", "dlms", "--listen", "tcp://127.0.0.1:0")
	defer unplug()
	station, stop := start(t, "expose", "tcp://"+meter, "--protocol", "dlms", "--as", "iec104", "--listen", "tcp://127.0.0.1:0", "--interval", "20ms")
	defer stop()
	conn, err := net.Dial("tcp", station)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("\x68\x04\x07\x00\x00\x00"))
	require.NoError(t, err)
	unplug()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	in := bufio.NewReader(conn)
	for {
		head, err := in.Peek(2)
		require.NoError(t, err)
		frame := make([]byte, 2+int(head[1]))
		_, err = io.ReadFull(in, frame)
		require.NoError(t, err)
		if len(frame) > 20 && frame[6] == 36 && frame[19]&0x40 != 0 { // a measured value, its descriptor not topical
			return
		}
	}
}

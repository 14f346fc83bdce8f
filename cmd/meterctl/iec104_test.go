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
	ctx, stop := context.WithCancel(t.Context())
	var errs buffer
	a := &app{stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: &errs}
	done := make(chan int, 1)
	go func() {
		done <- a.run(ctx, []string{"expose", "sim:dlms", "--as", "iec104", "--listen", "tcp://127.0.0.1:0"})
	}()
	address := ""
	require.Eventually(t, func() bool {
		_, after, found := strings.Cut(errs.String(), "listening on tcp://")
		address, _, _ = strings.Cut(after, "\n")
		return found && strings.Contains(after, "\n")
	}, 5*time.Second, time.Millisecond)
	require.Contains(t, errs.String(), "M_IT_TB_1 group 1 1-0:1.8.0*255")
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
	require.Equal(t, exitOK, <-done)
}

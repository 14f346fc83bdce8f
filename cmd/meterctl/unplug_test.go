//go:build !windows

package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/serial"
)

const telegram = "/KFM5KAIFA-METER\r\n\r\n1-3:0.2.8(42)\r\n1-0:1.8.1(001581.123*kWh)\r\n!\r\n"

// A port that is unplugged while we listen is opened again when it is back.
func TestListenSurvivesUnplugging(t *testing.T) {
	link := filepath.Join(t.TempDir(), "meter")
	plug := func() *serial.Pseudo {
		p, err := serial.OpenPseudo(link)
		require.NoError(t, err)
		return p
	}
	push := func(ctx context.Context, p *serial.Pseudo) {
		for ctx.Err() == nil {
			if _, err := p.Write([]byte(telegram)); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	result := make(chan outcome)
	first := plug()
	go push(ctx, first)
	lines := &countingWriter{reached: make(chan struct{}), want: 1}
	go func() {
		var errs strings.Builder
		a := &app{stdin: strings.NewReader(""), stdout: lines, stderr: &errs}
		exit := a.run(ctx, []string{"listen", "serial://" + link + "?baud=9600&framing=8N1", "--count", "100"})
		result <- outcome{exit, "", errs.String()}
	}()
	<-lines.reached
	require.NoError(t, first.Close())
	time.Sleep(100 * time.Millisecond)
	second := plug()
	go push(ctx, second)
	got := <-result
	require.Equal(t, exitOK, got.exit, got.stderr)
	require.Contains(t, got.stderr, "is gone")
	cancel()
	require.NoError(t, second.Close())
}

// countingWriter tells when it has seen a number of lines.
type countingWriter struct {
	lines, want int
	reached     chan struct{}
}

func (w *countingWriter) Write(b []byte) (int, error) {
	before := w.lines
	w.lines += strings.Count(string(b), "\n")
	if before < w.want && w.lines >= w.want {
		close(w.reached)
	}
	return len(b), nil
}

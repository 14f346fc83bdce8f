package iec62056

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSessions replays recorded conversations: what the session wants must come
// at the recorded time, what the meter sends is fed at its time.
func TestSessions(t *testing.T) {
	files, err := filepath.Glob("testdata/sessions/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { replay(t, file) })
	}
}

// event is one line of a recording.
type event struct {
	at   time.Duration
	what string // ">", "<", "line", "done"
	text string
}

func replay(t *testing.T, file string) {
	goal, script := recording(t, file)
	cfg := &Config{Retries: 1, WakeUp: goal == "wake-up"}
	if strings.Contains(script[1].text, "12345678") {
		cfg.Address = "12345678"
	}
	switch goal {
	case "readout as mode A":
		goal, cfg.Mode = "readout", ModeA
	case "readout 6":
		goal, cfg.Option = "readout", "6"
	}
	s := NewSession(cfg, true)
	begin := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	now := begin
	switch goal {
	case "readout":
		s.BeginReadout(now)
	case "hand-over":
		s.BeginHandOver(now)
	default:
		s.BeginIdentify()
	}
	for {
		step := s.Poll(now)
		next := script[0]
		got := event{at: now.Sub(begin)}
		switch step.Kind {
		case StepPause:
			now = step.Until
			continue
		case StepRead:
			if next.what == "<" && !begin.Add(next.at).After(step.Until) {
				now = begin.Add(next.at)
				text, err := strconv.Unquote(next.text)
				require.NoError(t, err)
				s.Feed(now, []byte(text))
				script = script[1:]
			} else {
				now = step.Until
			}
			continue
		case StepSend:
			got.what, got.text = ">", fmt.Sprintf("%q", step.Data)
			if n := bytes.Count(step.Data, []byte{0}); n == len(step.Data) {
				got.text = fmt.Sprintf("%d NULs", n)
			}
		case StepLine:
			got.what, got.text = "line", fmt.Sprintf("%d %s", step.Baud, step.Framing)
		case StepDone:
			got.what = "done"
			if step.Err != nil {
				got.text = step.Err.Error()
			}
		}
		require.Equal(t, next, got)
		script = script[1:]
		if step.Kind == StepDone {
			require.Empty(t, script)
			return
		}
	}
}

func recording(t *testing.T, file string) (goal string, script []event) {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "", line[0] == '#':
		case strings.HasPrefix(line, "goal "):
			goal = line[5:]
		default:
			at, rest, _ := strings.Cut(line, " ")
			ms, err := strconv.Atoi(at)
			require.NoError(t, err)
			what, text, _ := strings.Cut(rest, " ")
			script = append(script, event{time.Duration(ms) * time.Millisecond, what, text})
		}
	}
	return goal, script
}

// FuzzSession feeds anything in any pieces: the session must end, and never send
// without end.
func FuzzSession(f *testing.F) {
	f.Add([]byte("/OUM5METERSIM\r\n"), []byte("\x021.8.0(1*kWh)\r\n!\r\n\x03U"), uint8(0))
	f.Add([]byte("/OUM5\\2METERSIM\r\n"), []byte("\x06252\r\n"), uint8(1))
	f.Add([]byte("/OUM5METERSIM\r\n"), []byte("\x01P0\x02(00000000)\x03\x60"), uint8(2))
	f.Fuzz(func(t *testing.T, first, second []byte, goal uint8) {
		s := NewSession(&Config{MaxSize: 1000}, goal&4 != 0)
		now := time.Unix(0, 0)
		switch goal & 3 {
		case 0:
			s.BeginReadout(now)
		case 1:
			s.BeginHandOver(now)
		case 2:
			s.BeginProgram(now)
		default:
			s.BeginCommand(Message{Kind: KindCommand, Command: [2]byte{'R', '1'}, Data: []byte("1.8.0()")})
		}
		inputs := [][]byte{first, second, first, second}
		for range 200 {
			switch step := s.Poll(now); step.Kind {
			case StepDone:
				return
			case StepPause:
				now = step.Until
			case StepRead:
				if len(inputs) > 0 {
					s.Feed(now.Add(time.Millisecond), inputs[0])
					inputs = inputs[1:]
				} else {
					now = step.Until
				}
			}
		}
		t.Fatal("the session does not end")
	})
}

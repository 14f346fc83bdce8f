package wrapper

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// Frames are found in pieces of every size, also behind what is none.
func TestScanner(t *testing.T) {
	frame := unhex(t, aarq)
	for name, test := range map[string]struct {
		stream  []byte
		frames  int
		damaged int
		skipped uint64
	}{
		"two frames":      {append(append([]byte{}, frame...), frame...), 2, 0, 0},
		"noise before":    {append([]byte{0xFF, 0, 0xFE, 0}, frame...), 1, 1, 4},
		"noise between":   {append(append(append([]byte{}, frame...), 0x12, 0x34, 0x56), frame...), 2, 1, 3},
		"an empty frame":  {append([]byte{0, 1, 0, 16, 0, 1, 0, 0}, frame...), 1, 1, 8},
		"another version": {append([]byte{0, 2, 0, 16, 0, 16, 0, 2, 9}, frame...), 1, 1, 9},
	} {
		t.Run(name, func(t *testing.T) {
			for step := 1; step <= len(test.stream); step++ {
				var s Scanner
				frames, damaged := 0, 0
				for at := 0; at < len(test.stream); at += step {
					s.Feed(test.stream[at:min(at+step, len(test.stream))])
					for {
						_, err := s.Next()
						if errors.Is(err, io.ErrUnexpectedEOF) {
							break
						}
						if err != nil {
							damaged++
							continue
						}
						require.Equal(t, frame, s.Raw())
						frames++
					}
				}
				require.Equal(t, test.frames, frames, "in steps of %d", step)
				require.Equal(t, test.damaged, damaged)
				require.Equal(t, Stats{Messages: uint64(frames), Malformed: uint64(damaged), Skipped: test.skipped}, s.Stats())
				require.Zero(t, s.Pending())
			}
		})
	}
}

// A frame of which the rest does not come is given up.
func TestScannerSkips(t *testing.T) {
	var s Scanner
	s.Feed(append([]byte{0, 1, 0, 1, 0, 16, 0xFF, 0xFF, 0xC4}, unhex(t, aarq)...))
	_, err := s.Next()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NotZero(t, s.Pending())
	for {
		s.Skip()
		if f, err := s.Next(); err == nil {
			require.Equal(t, uint16(16), f.Source)
			return
		}
		require.NotZero(t, s.Pending())
	}
}

func TestScannerIsBounded(t *testing.T) {
	var s Scanner
	for range 100 {
		s.Feed(make([]byte, 8192))
	}
	require.LessOrEqual(t, len(s.in.Rest()), maxPending+8192)
}

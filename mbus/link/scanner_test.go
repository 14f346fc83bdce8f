package link

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// scan feeds the octets in pieces and returns the forms of what was found.
func scan(s *Scanner, b []byte, piece int) (forms []string) {
	for len(b) > 0 {
		n := min(piece, len(b))
		s.Feed(b[:n])
		b = b[n:]
		for {
			f, err := s.Next()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil {
				forms = append(forms, "error")
				continue
			}
			forms = append(forms, f.Form.String())
		}
	}
	return forms
}

func TestScanner(t *testing.T) {
	whole := unhex(t, response)
	damaged := bytes.Clone(whole)
	damaged[12] ^= 1
	longer := bytes.Clone(whole)
	longer[1], longer[2] = 0x20, 0x20
	for name, test := range map[string]struct {
		octets []byte
		want   []string
		stats  Stats
	}{
		"conversation":             {bytes.Join([][]byte{unhex(t, "1040fe3e16e5107b017c16"), whole}, nil), []string{"short", "ack", "short", "long"}, Stats{Messages: 4}},
		"noise in front":           {append([]byte{0xFF, 0x68, 0x01, 0xE5, 0x68}, whole...), []string{"long"}, Stats{Messages: 1, Skipped: 5}},
		"damaged, then whole":      {append(bytes.Clone(damaged), whole...), []string{"error", "long"}, Stats{Messages: 1, ChecksumErrors: 1, Skipped: uint64(len(whole))}},
		"a length that is too big": {bytes.Join([][]byte{longer, whole, whole}, nil), []string{"error", "long", "long"}, Stats{Messages: 2, ChecksumErrors: 1, Skipped: uint64(len(whole))}},
		"cut, then whole":          {bytes.Join([][]byte{whole[:10], whole, whole}, nil), []string{"error", "long", "long"}, Stats{Messages: 2, ChecksumErrors: 1, Skipped: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1, 3, len(test.octets)} {
				var s Scanner
				require.Equal(t, test.want, scan(&s, test.octets, piece))
				require.Equal(t, test.stats, s.Stats())
			}
		})
	}
}

func TestScannerDoesNotAllocate(t *testing.T) {
	whole := unhex(t, response)
	var s Scanner
	require.Zero(t, testing.AllocsPerRun(100, func() {
		s.Feed(whole)
		if _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
	}))
}

// FuzzScanner damages a stream of frames; what comes out is never what was not
// sent, and no more is kept than one frame.
func FuzzScanner(f *testing.F) {
	whole := unhex(f, response)
	f.Add(append(append(bytes.Clone(whole), unhex(f, "e5107b017c16")...), whole...), 5)
	f.Add(unhex(f, "68ffff686868ffff68"), 2)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		if piece <= 0 {
			return
		}
		var s Scanner
		taken := uint64(0)
		for rest := b; len(rest) > 0; {
			n := min(piece, len(rest))
			s.Feed(rest[:n])
			rest = rest[n:]
			for {
				frame, err := s.Next()
				if errors.Is(err, io.ErrUnexpectedEOF) {
					break
				}
				if err == nil {
					raw, err := frame.AppendBinary(nil)
					require.NoError(t, err)
					require.True(t, bytes.Contains(b, raw))
					taken += uint64(len(raw))
				}
			}
			require.Less(t, len(s.buf.Rest()), MaxFrame)
		}
		require.Equal(t, uint64(len(b)), taken+s.Stats().Skipped+uint64(len(s.buf.Rest())))
		var again Scanner
		scan(&again, b, max(1, len(b)))
		require.Equal(t, s.Stats(), again.Stats(), "pieces change nothing")
	})
}

package mbus

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCarrier(t *testing.T) {
	type step struct {
		primary byte
		payload string
		want    string // the APDU, "" where more is needed
		err     error
	}
	for name, steps := range map[string][]step{
		"one segment":            {{1, "\x10\x01\x67abc", "abc", nil}},
		"three segments":         {{1, "\x00\x01\x67ab", "", io.ErrUnexpectedEOF}, {1, "\x01\x01\x67cd", "", io.ErrUnexpectedEOF}, {1, "\x12\x01\x67e", "abcde", nil}},
		"a repeated segment":     {{1, "\x00\x01\x67ab", "", io.ErrUnexpectedEOF}, {1, "\x01\x01\x67cd", "", io.ErrUnexpectedEOF}, {1, "\x01\x01\x67cd", "", io.ErrUnexpectedEOF}, {1, "\x12\x01\x67e", "abcde", nil}},
		"an altered segment":     {{1, "\x00\x01\x67ab", "", io.ErrUnexpectedEOF}, {1, "\x01\x01\x67cd", "", io.ErrUnexpectedEOF}, {1, "\x01\x01\x67ce", "", ErrAlteredSegment}, {1, "\x12\x01\x67e", "", ErrLostSegment}},
		"a lost segment":         {{1, "\x00\x01\x67ab", "", io.ErrUnexpectedEOF}, {1, "\x12\x01\x67e", "", ErrLostSegment}, {1, "\x01\x01\x67cd", "", ErrLostSegment}},
		"a lost first segment":   {{1, "\x11\x01\x67cd", "", ErrLostSegment}},
		"a lost last segment":    {{1, "\x00\x01\x67ab", "", io.ErrUnexpectedEOF}, {1, "\x00\x01\x67AB", "", io.ErrUnexpectedEOF}, {1, "\x11\x01\x67CD", "ABCD", nil}},
		"two meters in turn":     {{1, "\x00\x01\x67ab", "", io.ErrUnexpectedEOF}, {2, "\x00\x01\x67AB", "", io.ErrUnexpectedEOF}, {1, "\x11\x01\x67cd", "abcd", nil}, {2, "\x11\x01\x67CD", "ABCD", nil}},
		"two partners in turn":   {{1, "\x00\x01\x67ab", "", io.ErrUnexpectedEOF}, {1, "\x00\x02\x67AB", "", io.ErrUnexpectedEOF}, {1, "\x11\x02\x67CD", "ABCD", nil}, {1, "\x11\x01\x67cd", "abcd", nil}},
		"the same message again": {{1, "\x10\x01\x67abc", "abc", nil}, {1, "\x10\x01\x67abc", "abc", nil}},
	} {
		t.Run(name, func(t *testing.T) {
			var c Carrier
			for i, s := range steps {
				got, err := c.Add(s.primary, []byte(s.payload))
				if s.err != nil {
					require.ErrorIs(t, err, s.err, "step %d", i)
					continue
				}
				require.NoError(t, err)
				require.Equal(t, s.want, string(got.APDU))
				require.Equal(t, s.payload[1:3], string([]byte{got.Source, got.Destination}))
			}
		})
	}
}

// A stranger who never ends what he begins fills a table of a known size.
func TestCarrierIsBounded(t *testing.T) {
	var c Carrier
	part := make([]byte, 250)
	for n := range 10000 {
		_, err := c.Add(byte(n), append([]byte{byte(n % 16), byte(n >> 8), 0}, part...))
		require.Error(t, err)
	}
	require.LessOrEqual(t, len(c.open), maxCarried)
	for n := range 3 {
		_, err := c.Add(1, make([]byte, n))
		require.Error(t, err)
		require.NotErrorIs(t, err, io.ErrUnexpectedEOF, "no segment completes this one")
	}
	_, err := c.Add(1, []byte{0x72, 0, 0})
	require.Error(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := c.Add(1, part[:200]); err == nil {
			t.Fatal("no end was sent")
		}
		last := [5]byte{0x11, 0, 0, 1, 2}
		if _, err := c.Add(1, last[:]); err != nil {
			t.Fatal(err)
		}
	}))
}

// What comes out of a damaged sequence of segments is a message that was sent.
func FuzzCarrier(f *testing.F) {
	f.Add([]byte{0, 1, 2, 0, 1, 1, 2, 3, 0, 2, 4})
	f.Fuzz(func(t *testing.T, order []byte) {
		// Each octet sends one segment of one of four messages of up to four segments.
		text := []byte("abcdefghijklmnop")
		var c Carrier
		for _, o := range order {
			who, n := o>>4&3, o&3
			ci := n
			if n == 3 || o&0x80 != 0 {
				ci |= carriedFinal
			}
			got, err := c.Add(who, append([]byte{ci, 1, 2}, text[who*4+n]))
			if err != nil {
				continue
			}
			require.True(t, bytes.Equal(got.APDU, text[who*4:int(who)*4+len(got.APDU)]), "%q", got.APDU)
		}
	})
}

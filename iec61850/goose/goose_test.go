package goose

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/internal/ber"
	"github.com/openusm/meter/internal/golden"
)

// Written out by hand from the layout of IEC 61850-8-1, annex A.
const message = "3fff 0035 00000000 612b 800141 810207d0 820142 84086b00aff736c8b4a0 850103 860104 870100 880101 890100 8a0101 ab03 830101"

func sample() Message {
	return Message{AppID: 0x3FFF, Block: "A", TTL: 2000, DataSet: "B", Time: iec61850.Timestamp{Seconds: 0x6B00AFF7, Fraction: 0x36C8B4, Quality: 0xA0},
		State: 3, Sequence: 4, ConfRev: 1, Data: []iec61850.Value{iec61850.Bool(true)}}
}

func TestMessage(t *testing.T) {
	raw, err := sample().AppendBinary(nil)
	require.NoError(t, err)
	require.Equal(t, golden.Unhex(t, message), raw)
	m, n, err := Parse(append(raw, 0, 0))
	require.NoError(t, err)
	require.Equal(t, len(raw), n)
	require.Equal(t, sample(), m)
	for i := range raw {
		_, _, err := Parse(raw[:i])
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
}

func TestRefuses(t *testing.T) {
	raw := golden.Unhex(t, message)
	raw[len(raw)-6] = 2 // numDatSetEntries
	_, _, err := Parse(raw)
	var pe *ParseError
	require.ErrorAs(t, err, &pe)
	require.Equal(t, "numDatSetEntries", pe.Field)
}

func FuzzParse(f *testing.F) {
	f.Add(golden.Unhex(f, message))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, n, err := Parse(b)
		if err != nil {
			require.Zero(t, n)
			return
		}
		raw, err := m.AppendBinary(nil)
		if err != nil {
			return
		}
		again, n, err := Parse(raw)
		require.NoError(t, err)
		require.Equal(t, len(raw), n)
		require.Equal(t, m, again)
	})
}

// The floor is the mere walk over the elements.
func BenchmarkParse(b *testing.B) {
	raw := golden.Unhex(b, message)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
	own, start := b.Elapsed(), time.Now()
	for range b.N {
		if walk(raw[headerLen:]) != 13 {
			b.Fatal("elements")
		}
	}
	b.ReportMetric(float64(time.Since(start))/float64(own), "of_floor")
}

// walk counts the elements of b.
func walk(b []byte) (elements int) {
	for len(b) > 0 {
		e, n, err := ber.Parse(b)
		if err != nil {
			return 0
		}
		elements++
		if e.Tag.Constructed() {
			elements += walk(e.Contents)
		}
		b = b[n:]
	}
	return elements
}

func Example() {
	raw, err := Message{AppID: 1, Block: "METERMTR/LLN0$GO$trip", DataSet: "METERMTR/LLN0$Trip", State: 1, Data: []iec61850.Value{iec61850.Bool(true)}}.AppendBinary(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	m, _, err := Parse(raw)
	fmt.Println(m.Block, m.State, m.Data[0], err)
	// Output: METERMTR/LLN0$GO$trip 1 true <nil>
}

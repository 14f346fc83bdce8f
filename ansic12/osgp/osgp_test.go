package osgp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
)

// The published example of the digest is an answer to a request for table 3, by the
// device 2 in the subnet 2.
var (
	exampleKey      = Key(bytes.Repeat([]byte{0xDF}, KeyLen))
	exampleAddress  = Address{2, 2}
	exampleRequest  = Request{Service: ReadTable, Table: 3, Sequence: 0x7F30EA6D}
	exampleResponse = "0000 000d 0020980031c300080000000000"
	exampleDigest   = "dbe5cde507b1cb3d"
)

func TestDigest(t *testing.T) {
	b := golden.Unhex(t, exampleResponse+exampleDigest)
	r, n, err := ParseResponse(b)
	require.NoError(t, err)
	require.Equal(t, len(b), n)
	require.Len(t, r.Data, 13)
	require.NoError(t, r.Check(&exampleKey, exampleAddress, exampleRequest))
	require.ErrorIs(t, r.Check(&exampleKey, Address{2, 3}, exampleRequest), ErrDigest)
	other := exampleRequest
	other.Sequence++
	require.ErrorIs(t, r.Check(&exampleKey, exampleAddress, other), ErrDigest)
	require.ErrorIs(t, r.Check(&Key{}, exampleAddress, exampleRequest), ErrDigest)
	require.Equal(t, "redacted redacted", fmt.Sprintf("%x %#v", exampleKey, exampleKey))
}

// Why the digest protects nothing: a change of the highest bit of the last octet of
// a full block goes straight to the digest, whatever the key.
func TestDigestIsBroken(t *testing.T) {
	for _, key := range []Key{exampleKey, {}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}} {
		message := bytes.Repeat([]byte{0x5A}, blockLen)
		want := digest(&key, message)
		message[blockLen-1] ^= 0x80
		want[0] ^= 0x80
		require.Equal(t, want, digest(&key, message))
		require.Equal(t, digest(&key, message[:7]), digest(&key, append(message[:7:7], 0)), "zeros at the end go unseen")
	}
}

func TestRequests(t *testing.T) {
	for text, want := range map[string]Request{
		"0030 0017 00000007 0102030405060708":               {Service: ReadTable, Table: 23, Sequence: 7},
		"003f 0040 000102 0054 00000008 0102030405060708":   {Service: ReadPart, Table: 64, Offset: 258, Count: 84, Sequence: 8},
		"0040 0007 0003 0a0001 00000009 0102030405060708":   {Service: WriteTable, Table: 7, Data: []byte{10, 0, 1}, Sequence: 9},
		"004f 0006 000014 0001 41 0000000a0102030405060708": {Service: WritePart, Table: 6, Offset: 20, Data: []byte("A"), Sequence: 10},
	} {
		want.Digest = [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
		b := golden.Unhex(t, text)
		r, n, err := ParseRequest(b)
		require.NoError(t, err)
		require.Equal(t, len(b), n)
		require.Equal(t, want, r)
		again, err := r.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, b, again)
		require.ErrorIs(t, r.Check(&exampleKey, exampleAddress), ErrDigest)
		require.NoError(t, r.Sign(&exampleKey, exampleAddress))
		require.NoError(t, r.Check(&exampleKey, exampleAddress))
		at := 0
		require.NoError(t, explainAll(b, func(offset, length, _ int, field, _ string) {
			require.Equal(t, at, offset, field)
			at += length
		}))
		require.Equal(t, len(b), at)
		for cut := range b {
			_, n, err := ParseRequest(b[:cut])
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.Zero(t, n)
		}
	}
}

func TestRefuses(t *testing.T) {
	for text, field := range map[string]string{
		"01300003":         "type",
		"00310003":         "service",
		"0030000300000007": "digest",
		"0040000300ff0102": "data",
	} {
		_, _, err := ParseRequest(golden.Unhex(t, text))
		var pe *ParseError
		require.ErrorAs(t, err, &pe)
		require.Equal(t, field, pe.Field)
	}
	for text, field := range map[string]string{
		"00":                           "status",
		"0000 0001 0102030405060708":   "digest",
		"0000 00ff 0102030405060708":   "data",
		"0000 0000 010203040506070809": "response",
	} {
		_, _, err := ParseResponse(golden.Unhex(t, text))
		var pe *ParseError
		require.True(t, errors.As(err, &pe), text)
		require.Equal(t, field, pe.Field)
	}
	_, err := Request{Service: 0x31}.AppendBinary(nil)
	require.ErrorIs(t, err, ErrRange)
	_, err = Response{Data: []byte{1}}.AppendBinary(nil)
	require.ErrorIs(t, err, ErrRange)
	require.Equal(t, "refused by the device: wrong digest", DIG.Error())
}

// explainAll explains messages that follow each other.
func explainAll(b []byte, note func(offset, length, depth int, field, meaning string)) error {
	var asked *Request
	for at := 0; at < len(b); {
		m, err := Explain(b[at:], asked, func(offset, length, depth int, field, meaning string) {
			note(at+offset, length, depth, field, meaning)
		})
		if err != nil {
			return err
		}
		asked = m.Request
		if m.Response != nil {
			asked = nil
		}
		at += m.Length
	}
	return nil
}

// A conversation is explained from end to end, and one that breaks off as far as it goes.
func TestExplainMessages(t *testing.T) {
	b := golden.Unhex(t, "0030 0017 00000007 0102030405060708 0000 0002 0a0b 0102030405060708 0040 0007 0003 0a0001 00000009 0102030405060708 0000 0102030405060708")
	explain := func(b []byte) (end int, err error) {
		err = explainAll(b, func(offset, length, _ int, field, _ string) {
			require.Equal(t, end, offset, field)
			end += length
		})
		return end, err
	}
	end, err := explain(b)
	require.NoError(t, err)
	require.Equal(t, len(b), end)
	whole := map[int]bool{0: true, 16: true, 30: true, 51: true}
	for cut := range b {
		end, err := explain(b[:cut])
		require.LessOrEqual(t, end, cut)
		if !whole[cut] {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, cut)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(golden.Unhex(f, "003f 0040 000102 0054 00000008 0102030405060708"))
	f.Add(golden.Unhex(f, "0040 0007 0003 0a0001 00000009 0102030405060708"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = explainAll(b, func(offset, length, _ int, field, _ string) {
			if offset < 0 || length <= 0 || offset+length > len(b) {
				t.Fatalf("%s at %d+%d of %d", field, offset, length, len(b))
			}
		})
		r, n, err := ParseRequest(b)
		if err != nil {
			require.Zero(t, n)
			return
		}
		again, err := r.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, b[:n], again)
		require.NoError(t, r.Sign(&exampleKey, exampleAddress))
		require.NoError(t, r.Check(&exampleKey, exampleAddress))
	})
}

func FuzzResponse(f *testing.F) {
	f.Add(golden.Unhex(f, exampleResponse+exampleDigest))
	f.Add(golden.Unhex(f, "00050102030405060708"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := ParseResponse(b)
		if err != nil {
			require.Zero(t, n)
			return
		}
		again, err := r.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, b[:n], again)
	})
}

func TestParseAllocatesNothing(t *testing.T) {
	b := golden.Unhex(t, exampleResponse+exampleDigest)
	dst := make([]byte, 0, 64)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		r, _, err := ParseResponse(b)
		if err == nil {
			_, err = r.AppendBinary(dst)
		}
		if err != nil {
			t.Fatal(err)
		}
	}))
}

func BenchmarkDigest(b *testing.B) {
	message := make([]byte, MaxAPDU)
	b.SetBytes(MaxAPDU)
	b.ReportAllocs()
	for b.Loop() {
		_ = digest(&exampleKey, message)
	}
}

func ExampleParseResponse() {
	r, _, _ := ParseResponse([]byte{0, 0, 0, 2, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8})
	fmt.Printf("%s: % x\n", r.Status.String(), r.Data)
	// Output: ok: 12 34
}

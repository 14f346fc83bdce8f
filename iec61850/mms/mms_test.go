package mms

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/internal/golden"
)

// The layouts of RFC 1006, ISO 8073, 8327, 8823, 8650 and 9506-2, written out by hand.
func TestVectors(t *testing.T) {
	for name, test := range map[string]struct {
		hex  string
		have func() ([]byte, error)
	}{
		"connect request": {"03000016 11e00000000100 c0010d c1020001 c2020001", func() ([]byte, error) {
			return TPDU{Kind: ConnectRequest, Src: 1, Size: 8192, Calling: []byte{0, 1}, Called: []byte{0, 1}}.Append(nil)
		}},
		"data": {"03000008 02f080 aa", func() ([]byte, error) { return TPDU{Kind: TransportData, Last: true, Data: []byte{0xAA}}.Append(nil) }},
		"session connect": {"0d1b 0506130100160102 14020002 33020001 34020001 c105 3103800101",
			func() ([]byte, error) {
				return SPDU{Kind: SessionConnect, Calling: []byte{0, 1}, Called: []byte{0, 1}, Data: golden.Unhex(t, "3103800101")}.Append(nil)
			}},
		"name list of domains": {"a00e 020101 a109 a003800109 a1028000", func() ([]byte, error) {
			return AppendConfirmed(nil, ConfirmedRequest, 1, GetNameList, true, NameListRequest{Class: Domains}.Append), nil
		}},
		"read": {"a018 020102 a413 a111 a00f 300d a00b a109 1a014c 1a044d245354", func() ([]byte, error) {
			return AppendConfirmed(nil, ConfirmedRequest, 2, Read, true, ReadRequest{Variables: Variables{Each: []Variable{{Name: DomainName("L", "M$ST")}}}}.Append), nil
		}},
		"reject of a service": {"a406 800107 810101", func() ([]byte, error) {
			return Reject{InvokeID: 7, HasInvokeID: true, Kind: RejectConfirmed, Reason: UnrecognizedService}.AppendReject(nil), nil
		}},
		"error":     {"a20a 800103 a205 a003 870102", func() ([]byte, error) { return AppendError(nil, 3, ErrDomainMissing), nil }},
		"conclude":  {"8b00", func() ([]byte, error) { return AppendConclude(nil, ConcludeRequest), nil }},
		"file read": {"a007 020101 9f490105", func() ([]byte, error) { return AppendFileHandle(nil, 1, FileRead, 5), nil }},
	} {
		t.Run(name, func(t *testing.T) {
			have, err := test.have()
			require.NoError(t, err)
			want := golden.Unhex(t, test.hex)
			require.Equal(t, want, have)
		})
	}
}

// IEC 61850-8-1: the encodings of the basic types.
func TestData(t *testing.T) {
	for hex, want := range map[string]iec61850.Value{
		"830101":                 iec61850.Bool(true),
		"850200ff":               iec61850.Int(255),
		"85087fffffffffffffff":   iec61850.Int(1<<63 - 1),
		"8609008000000000000000": iec61850.Uint(1 << 63),
		"8705083f800000":         iec61850.Float32(1),
		"840303c000":             iec61850.Questionable.Value(),
		"84020680":               iec61850.Bits(2, 2),
		"8a0141":                 iec61850.Visible("A"),
		"a206830100850101":       iec61850.Struct(iec61850.Bool(false), iec61850.Int(1)),
		"91086b00aff736c8b4a0":   iec61850.Timestamp{Seconds: 0x6b00aff7, Fraction: 0x36c8b4, Quality: 0xa0}.Value(),
	} {
		raw := golden.Unhex(t, hex)
		v, n, err := ParseData(raw)
		require.NoError(t, err, hex)
		require.Equal(t, len(raw), n)
		require.True(t, want.Equal(v), "%s: %v, want %v", hex, v, want)
		require.Equal(t, raw, AppendData(nil, v))
	}
}

func TestDataRefuses(t *testing.T) {
	for _, hex := range []string{"8500", "8409", "84010801", "870100", "9107000000000000", "8c0100", "ff", "85090000000000000000"} {
		_, n, err := ParseData(golden.Unhex(t, hex))
		var pe *ParseError
		require.ErrorAs(t, err, &pe, hex)
		require.Zero(t, n)
	}
	deep := []byte(nil)
	for range 40 {
		deep = append([]byte{0xA2, byte(len(deep))}, deep...)
	}
	_, _, err := ParseData(deep)
	require.Error(t, err)
}

func TestFragments(t *testing.T) {
	client, server := pair(t)
	pdu := bytes.Repeat([]byte{0x8B, 0}, 10000)
	wire := client.AppendPDU(nil, pdu)
	require.Greater(t, len(wire), 2*DefaultTPDU)
	var got []byte
	for len(wire) > 0 {
		ev, n, _, err := server.Next(wire, nil)
		require.NoError(t, err)
		if ev.Kind == PDUIn {
			got = ev.PDU
		}
		wire = wire[n:]
	}
	require.Equal(t, pdu, got)
}

func TestFragmentsAreBounded(t *testing.T) {
	client, server := pair(t)
	server.MaxTSDU = 10000
	wire := client.AppendPDU(nil, make([]byte, 20000))
	var err error
	for err == nil {
		var n int
		_, n, _, err = server.Next(wire, nil)
		wire = wire[n:]
	}
	require.ErrorIs(t, err, ErrTooLong)
}

// pair returns two stacks that are associated.
func pair(t testing.TB) (client, server *Stack) {
	client, server = &Stack{}, &Stack{}
	d := DefaultSelectors()
	request, err := client.AppendConnect(nil, d, d)
	require.NoError(t, err)
	_, _, confirm, err := server.Next(request, nil)
	require.NoError(t, err)
	ev, _, _, err := client.Next(confirm, nil)
	require.NoError(t, err)
	require.Equal(t, TransportOpen, ev.Kind)
	associate, err := client.AppendAssociate(nil, d, d, nil, []byte("secret"), Initiate{MaxPDU: 65000, Version: 1, CBB: DefaultCBB}.Append(nil))
	require.NoError(t, err)
	ev, _, _, err = server.Next(associate, nil)
	require.NoError(t, err)
	require.Equal(t, AssociateIn, ev.Kind)
	require.Equal(t, "secret", string(ev.ACSE.Password))
	p, err := ParsePDU(ev.PDU)
	require.NoError(t, err)
	i, err := p.Initiate()
	require.NoError(t, err)
	require.Equal(t, 65000, i.MaxPDU)
	i.Response = true
	accept, err := server.AppendAccept(nil, i.Append(nil))
	require.NoError(t, err)
	ev, _, _, err = client.Next(accept, nil)
	require.NoError(t, err)
	require.Equal(t, AssociateOut, ev.Kind)
	return client, server
}

func TestRelease(t *testing.T) {
	client, server := pair(t)
	finish, err := client.AppendRelease(nil)
	require.NoError(t, err)
	ev, _, disconnect, err := server.Next(finish, nil)
	require.NoError(t, err)
	require.Equal(t, Released, ev.Kind)
	ev, _, _, err = client.Next(disconnect, nil)
	require.NoError(t, err)
	require.Equal(t, Released, ev.Kind)
}

func TestAbort(t *testing.T) {
	client, server := pair(t)
	abort, err := client.AppendAbort(nil)
	require.NoError(t, err)
	ev, _, _, err := server.Next(abort, nil)
	require.NoError(t, err)
	require.Equal(t, Aborted, ev.Kind)
}

func FuzzData(f *testing.F) {
	for _, s := range []string{"830101", "8705083f800000", "840303c000", "a206830100850101", "91086b00aff736c8b4a0", "8c0600000000 3d30"} {
		f.Add(golden.Unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, n, err := ParseData(b)
		if err != nil {
			require.Zero(t, n)
			return
		}
		require.LessOrEqual(t, n, len(b))
		again, _, err := ParseData(AppendData(nil, v))
		require.NoError(t, err)
		require.True(t, v.Equal(again), "%v, %v", v, again)
	})
}

// Every parser of a service reads whatever it is given without a panic, and what
// a request parser took it reads again from what is appended.
func FuzzPDU(f *testing.F) {
	f.Add(AppendConfirmed(nil, ConfirmedRequest, 1, GetNameList, true, NameListRequest{Class: Domains}.Append))
	f.Add(AppendConfirmed(nil, ConfirmedRequest, 2, Read, true, ReadRequest{Variables: Variables{Each: []Variable{
		{Name: DomainName("L", "M$MX"), Access: []Step{{Component: []byte("a")}, {Index: 3}, {Index: 1, Count: 2}}}}}}.Append))
	f.Add(AppendConfirmed(nil, ConfirmedRequest, 3, Write, true, WriteRequest{Variables: Variables{Each: []Variable{{Name: DomainName("L", "M")}}},
		Data: []iec61850.Value{iec61850.Int(1)}}.Append))
	f.Add(Initiate{MaxPDU: 65000, Calling: 5, Called: 5, Nesting: 10, Version: 1, CBB: DefaultCBB}.Append(nil))
	f.Add(Information{Variables: Variables{Named: true, List: Name{Item: []byte("RPT")}}, Results: []Result{{Value: iec61850.Int(1)}}}.Append(nil))
	f.Add(AppendConfirmed(nil, ConfirmedResponse, 4, ReadJournal, true, func(dst []byte) []byte {
		return AppendJournal(dst, []JournalEntry{{ID: []byte{1}, Time: iec61850.Bits(0, 0), Variables: []JournalVariable{{"a", iec61850.Int(1)}}}}, 1000)
	}))
	f.Add(AppendConfirmed(nil, ConfirmedResponse, 4, FileDirectory, true, func(dst []byte) []byte {
		return AppendDirectory(dst, []FileInfo{{Name: "a", Size: 3}}, 1000)
	}))
	f.Add(AppendConfirmed(nil, ConfirmedRequest, 5, ObtainFile, true, func(dst []byte) []byte {
		return FileRequest{Name: "a", To: "b"}.Append(dst, ObtainFile)
	}))
	f.Add(AppendError(nil, 3, ErrDomainMissing))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePDU(b)
		if err != nil {
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			require.LessOrEqual(t, pe.Offset, len(b))
			return
		}
		_, _ = p.ServiceError()
		_, _ = p.Reject()
		_, _ = p.Information()
		_, _ = p.Initiate()
		_, _ = ParseIdentity(p.Body)
		_, _ = ParseStates(p.Body)
		_, _, _ = ParseNameList(p.Body)
		_, _ = ParseListAttributes(p.Body)
		_, _ = ParseAttributes(p.Body)
		_, _ = ParseReadResponse(p.Body)
		_, _ = ParseWriteResponse(p.Body)
		_, _ = ParseDeleted(p.Body)
		_, _ = ParseFileOpened(p.Body)
		_, _, _ = ParseFileData(p.Body)
		_, _, _ = ParseDirectory(p.Body)
		_, _, _ = ParseJournal(p.Body)
		var read ReadRequest
		if read.Parse(p.Body) == nil {
			again := requestOf(t, Read, read.Append)
			var second ReadRequest
			require.NoError(t, second.Parse(again))
			require.Equal(t, requestOf(t, Read, second.Append).Bytes(), again.Bytes())
		}
		var write WriteRequest
		if write.Parse(p.Body) == nil {
			again := requestOf(t, Write, write.Append)
			var second WriteRequest
			require.NoError(t, second.Parse(again))
			require.Equal(t, requestOf(t, Write, second.Append).Bytes(), again.Bytes())
		}
		if q, err := ParseNameListRequest(p.Body); err == nil {
			_, err := ParseNameListRequest(requestOf(t, GetNameList, q.Append))
			require.NoError(t, err)
		}
		if q, err := ParseDefineRequest(p.Body); err == nil {
			_, err := ParseDefineRequest(requestOf(t, DefineNamedVariableList, q.Append))
			require.NoError(t, err)
		}
		if q, err := ParseDeleteRequest(p.Body); err == nil {
			_, err := ParseDeleteRequest(requestOf(t, DeleteNamedVariableList, q.Append))
			require.NoError(t, err)
		}
		if q, err := ParseJournalRequest(p.Body); err == nil {
			_, err := ParseJournalRequest(requestOf(t, ReadJournal, q.Append))
			require.NoError(t, err)
		}
		if q, err := ParseFileRequest(p.Body, ObtainFile); err == nil {
			again, err := ParseFileRequest(requestOf(t, ObtainFile, func(dst []byte) []byte { return q.Append(dst, ObtainFile) }), ObtainFile)
			require.NoError(t, err)
			require.Equal(t, q, again)
		}
		if q, err := ParseFileRequest(p.Body, FileOpen); err == nil && q.To == "" {
			again, err := ParseFileRequest(requestOf(t, FileOpen, func(dst []byte) []byte { return q.Append(dst, FileOpen) }), FileOpen)
			require.NoError(t, err)
			require.Equal(t, q, again)
		}
	})
}

func requestOf(t *testing.T, s Service, params func([]byte) []byte) Body {
	p, err := ParsePDU(AppendConfirmed(nil, ConfirmedRequest, 1, s, true, params))
	require.NoError(t, err)
	return p.Body
}

// The lower layers, as a server sees them from the first octet.
func FuzzStack(f *testing.F) {
	client := &Stack{}
	d := DefaultSelectors()
	request, err := client.AppendConnect(nil, d, d)
	require.NoError(f, err)
	associate, err := client.AppendAssociate(nil, d, d, []byte{0x29, 1}, []byte("x"), Initiate{MaxPDU: 65000}.Append(nil))
	require.NoError(f, err)
	f.Add(append(request, associate...))
	f.Add(client.AppendPDU(append(request, associate...), AppendConclude(nil, ConcludeRequest)))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &Stack{}
		for len(b) > 0 {
			ev, n, _, err := s.Next(b, nil)
			if err != nil {
				require.Zero(t, n)
				if _, _, short := ParseTPKT(b); errors.Is(short, io.ErrUnexpectedEOF) {
					require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				}
				return
			}
			require.Positive(t, n)
			if ev.Kind == AssociateIn {
				_, err := s.AppendAccept(nil, ev.PDU)
				require.NoError(t, err)
			}
			b = b[n:]
		}
	})
}

func BenchmarkParseRead(b *testing.B) {
	pdu := AppendConfirmed(nil, ConfirmedRequest, 2, Read, true, ReadRequest{Variables: Variables{Each: []Variable{{Name: DomainName("METERMTR", "MMXU1$MX$TotW$mag$f")}}}}.Append)
	var q ReadRequest
	b.SetBytes(int64(len(pdu)))
	b.ReportAllocs()
	for b.Loop() {
		p, err := ParsePDU(pdu)
		if err == nil {
			err = q.Parse(p.Body)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

package mms

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/internal/golden"
)

func explained(b []byte) (text string, err error) {
	err = Explain(b, func(off, n, depth int, field, meaning string) {
		text += fmt.Sprintf("%d+%d %*s%s: %s\n", off, n, 2*depth, "", field, meaning)
	})
	return text, err
}

func TestExplain(t *testing.T) {
	text, err := explained(golden.Unhex(t, "03000023 02f080 01000100 6116 3014"))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, text)
	text, err = explained(golden.Unhex(t, "03000023 02f080 01000100 6116 3014 020103 a00f a10d 020101 a408 a106 80010a 830101"))
	require.NoError(t, err, text)
	require.Equal(t, `0+4 TPKT: version 3, 35 octets
4+3   COTP: data, last of the message
7+4     session: give tokens, data transfer
11+2       presentation data: `+`
13+2         PDV list: `+`
15+3           context: 3
18+2           presentation data: `+`
20+2             confirmed response: `+`
22+3               invoke id: 1
25+2               read: `+`
27+2                 access results: `+`
29+3                   failure: object-non-existent
32+3                   boolean: true
`, text)
}

// conversation is what the two sides of an association say, one message each.
func conversation(t testing.TB) (list [][]byte) {
	t.Helper()
	add := func(b []byte, err error) []byte {
		require.NoError(t, err)
		list = append(list, b)
		return b
	}
	client, server := &Stack{}, &Stack{}
	d := DefaultSelectors()
	_, _, confirm, err := server.Next(add(client.AppendConnect(nil, d, d)), nil)
	_, _, _, err2 := client.Next(add(confirm, err), nil)
	require.NoError(t, err2)
	_, _, _, err = server.Next(add(client.AppendAssociate(nil, d, d, []byte{0x29, 1}, []byte("secret"), Initiate{MaxPDU: 65000, Version: 1, CBB: DefaultCBB}.Append(nil))), nil)
	require.NoError(t, err)
	_, _, _, err = client.Next(add(server.AppendAccept(nil, Initiate{Response: true, MaxPDU: 65000, Version: 1}.Append(nil))), nil)
	require.NoError(t, err)
	one := Variables{Each: []Variable{{Name: DomainName("L", "M$MX"), Access: []Step{{Component: []byte("a")}, {Index: 3}, {Index: 1, Count: 2}}}}}
	value := iec61850.Struct(iec61850.ArrayOf(iec61850.Int(-1), iec61850.Int(2)), iec61850.Visible("x"))
	for _, pdu := range [][]byte{
		AppendConfirmed(nil, ConfirmedRequest, 1, GetNameList, true, NameListRequest{Class: NamedVariables, Scope: ScopeDomain, Domain: []byte("L"), After: []byte("x")}.Append),
		AppendConfirmed(nil, ConfirmedResponse, 1, GetNameList, true, func(b []byte) []byte { return AppendNameList(b, []string{"a", "b"}, 1000) }),
		AppendConfirmed(nil, ConfirmedRequest, 2, Read, true, ReadRequest{WithSpecification: true, Variables: one}.Append),
		AppendConfirmed(nil, ConfirmedRequest, 3, Write, true, WriteRequest{Variables: one, Data: []iec61850.Value{value}}.Append),
		AppendConfirmed(nil, ConfirmedResponse, 3, GetVariableAttributes, true, func(b []byte) []byte {
			return AppendAttributes(b, iec61850.Type{Kind: iec61850.Structure, Members: []iec61850.Member{{Name: "f", Type: iec61850.Type{Kind: iec61850.Float, Size: 32}}}})
		}),
		AppendConfirmed(nil, ConfirmedResponse, 4, ReadJournal, true, func(b []byte) []byte {
			return AppendJournal(b, []JournalEntry{{ID: []byte{1}, Time: iec61850.ParseEntryTime([6]byte{}), Variables: []JournalVariable{{"a", value}}}}, 1000)
		}),
		AppendConfirmed(nil, ConfirmedResponse, 4, FileDirectory, true, func(b []byte) []byte { return AppendDirectory(b, []FileInfo{{Name: "a", Size: 3}}, 1000) }),
		AppendFileHandle(nil, 1, FileRead, 5),
		Information{Variables: Variables{Named: true, List: Name{Item: []byte("RPT")}}, Results: []Result{{Value: value}, {Err: ObjectUndefined}}}.Append(nil),
		AppendError(nil, 3, ErrDomainMissing),
		Reject{InvokeID: 7, HasInvokeID: true, Kind: RejectConfirmed, Reason: UnrecognizedService}.AppendReject(nil),
		AppendConclude(nil, ConcludeRequest),
	} {
		list = append(list, client.AppendPDU(nil, pdu))
	}
	add(client.AppendRelease(nil))
	add(client.AppendAbort(nil))
	return list
}

// Every octet of what we send is a part of exactly one field that has a name, in their order.
func TestExplainLeavesNothingOut(t *testing.T) {
	whole := slices.Concat(conversation(t)...)
	next, unnamed := 0, ""
	require.NoError(t, Explain(whole, func(off, n, _ int, field, meaning string) {
		require.Equal(t, next, off, field)
		next = off + n
		if strings.HasPrefix(field, "[") || field == "octets" {
			unnamed += fmt.Sprintf("%d %s %s\n", off, field, meaning)
		}
	}))
	require.Equal(t, len(whole), next)
	require.Empty(t, unnamed)
	text, err := explained(whole)
	require.NoError(t, err)
	for _, want := range []string{"password: 6 octets", "abstract syntax: 1.0.9506.2.1", `item: "M$MX"`, "low index: 1", "integer: -1", "failure: object-undefined",
		"access: 2", "confirmed request: 1", "local detail, octets of a PDU: 65000", `tag: "a"`, "exponent width: 8", "more follow: false"} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "secret")
}

// A message in fragments: fields that two packets share are noted in both.
func TestExplainFragments(t *testing.T) {
	client, _ := pair(t)
	wire := client.AppendPDU(nil, AppendConfirmed(nil, ConfirmedResponse, 1, FileRead, true, func(b []byte) []byte { return AppendFileData(b, make([]byte, 9000), false) }))
	covered := make([]int, len(wire))
	require.NoError(t, Explain(wire, func(off, n, _ int, field, _ string) {
		require.NotEqual(t, "octets", field)
		for i := range n {
			covered[off+i]++
		}
	}))
	require.NotContains(t, covered, 0)
	require.NotContains(t, covered, 2)
}

// What the explanation calls wrong, the stack cannot read, and the other way round.
func FuzzExplain(f *testing.F) {
	for _, b := range conversation(f) {
		f.Add(b)
	}
	f.Add(AppendConfirmed(nil, ConfirmedRequest, 1, Identify, false, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		octets := 0
		err := Explain(b, func(off, n, depth int, field, _ string) {
			require.True(t, 0 <= off && 0 <= n && off+n <= len(b))
			require.NotEmpty(t, field)
			require.GreaterOrEqual(t, depth, 0)
			octets += n
		})
		require.LessOrEqual(t, octets, len(b))
		if len(b) == 0 {
			require.NoError(t, err)
			return
		}
		if b[0] != 3 {
			_, parsing := ParsePDU(b)
			require.False(t, err == nil && parsing != nil)
			return
		}
		_, n, tpkt := ParseTPKT(b)
		if tpkt != nil {
			require.Equal(t, tpkt.Error(), err.Error())
			return
		}
		if tpdu, e := ParseTPDU(b[4:n]); e == nil && tpdu.Last && n == len(b) && len(tpdu.Data) > 0 {
			s, e := ParseSPDU(tpdu.Data)
			if e == nil && s.Kind == SessionData {
				_, pdu, e := ParseUserData(s.Data)
				if e == nil {
					e = check(pdu)
				}
				require.Equal(t, e == nil, err == nil)
			} else if e != nil {
				require.Error(t, err)
			}
		}
	})
}

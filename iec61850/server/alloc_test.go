package server

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/internal/stream"
)

// The answer to a read, and the report of a change, take no memory of their own.
func TestHotPathsDoNotAllocate(t *testing.T) {
	power, err := iec61850.NewObject("TotW", "MV")
	require.NoError(t, err)
	m := &iec61850.Model{IED: "I", Devices: []*iec61850.Device{{Inst: "D", Nodes: []*iec61850.Node{
		{Name: "LLN0", DataSets: []*iec61850.DataSet{{Name: "ds", Members: []iec61850.Ref{{Device: "ID", Item: "MMXU1$MX$TotW"}}}},
			Reports: []*iec61850.Report{{Name: "rcb", DataSet: "ds", Triggers: iec61850.DataChange, Options: iec61850.SequenceNumber | iec61850.ReportTime |
				iec61850.ReasonForInclusion | iec61850.DataSetName | iec61850.DataReference | iec61850.ConfRevision}}},
		{Name: "MMXU1", Objects: []*iec61850.Object{power}},
	}}}}
	s, err := New(m, nil)
	require.NoError(t, err)
	defer s.Close()
	near, far := net.Pipe()
	defer near.Close()
	a := &association{s: s, ctx: context.Background(), conn: stream.New(far), lists: map[string][]member{}}
	associate(t, a)

	read := mms.ReadRequest{Variables: mms.Variables{Each: []mms.Variable{{Name: mms.DomainName("ID", "MMXU1$MX$TotW")}, {Name: mms.DomainName("ID", "MMXU1$MX$TotW$mag$f")}}}}
	request := mms.AppendConfirmed(nil, mms.ConfirmedRequest, 70000, mms.Read, true, read.Append)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		a.out = a.out[:0]
		if _, err := a.handle(request); err != nil {
			t.Fatal(err)
		}
	}), "a read")
	require.NotEmpty(t, a.out)

	r := s.reports[0]
	s.mu.Lock()
	r.owner, r.enabled = a, true
	s.mu.Unlock()
	f, sent := power.Attribute("mag", iec61850.MX).Child("f"), 1
	set := func(u *iec61850.Update) error { return u.Set(f, iec61850.Float32(float32(sent))) }
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_ = m.Update(set)
		sent++
		a.frames = a.frames[:0]
		r.sendNext(a)
	}), "a report")
	require.NotEmpty(t, a.frames)
}

// associate gives the association what a client's request for it would.
func associate(t *testing.T, a *association) {
	caller, d := mms.Stack{}, mms.DefaultSelectors()
	for _, step := range []func() ([]byte, error){
		func() ([]byte, error) { return caller.AppendConnect(nil, d, d) },
		func() ([]byte, error) {
			return caller.AppendAssociate(nil, d, d, nil, nil, mms.Initiate{MaxPDU: 8000, Version: 1}.Append(nil))
		},
	} {
		frame, err := step()
		require.NoError(t, err)
		a.in = append(a.in[:0], frame...)
		done, err := a.take()
		require.NoError(t, err)
		require.False(t, done)
		a.out = a.out[:0]
	}
	require.True(t, a.open)
}

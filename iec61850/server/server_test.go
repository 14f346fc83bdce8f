package server_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/client"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/iec61850/server"
)

const ld = "METERMTR"

// meter returns a model with a measurand, a counter, harmonics and four controllable objects.
func meter(t testing.TB) *iec61850.Model {
	object := func(name, cdc string, optional ...string) *iec61850.Object {
		o, err := iec61850.NewObject(name, cdc, optional...)
		require.NoError(t, err)
		return o
	}
	controls := make([]*iec61850.Object, 4)
	for i := range controls {
		controls[i] = object(fmt.Sprintf("SPCSO%d", i+1), "SPC", "origin")
		require.NoError(t, controls[i].AddControl(iec61850.ControlModel(i+1)))
	}
	const all = iec61850.DataChange | iec61850.QualityChange | iec61850.Integrity | iec61850.GeneralInterrogation
	const options = iec61850.SequenceNumber | iec61850.ReportTime | iec61850.ReasonForInclusion | iec61850.DataSetName |
		iec61850.DataReference | iec61850.BufferOverflow | iec61850.EntryID | iec61850.ConfRevision
	set := &iec61850.DataSet{Name: "All", Members: []iec61850.Ref{{Device: ld, Item: "MMXU1$MX$TotW"}, {Device: ld, Item: "MMTR1$ST$DmdWh"}}}
	return &iec61850.Model{IED: "METER", Vendor: "openusm", Type: "meter", Revision: "1", Devices: []*iec61850.Device{{Inst: "MTR", Nodes: []*iec61850.Node{
		{Name: "LLN0", Objects: []*iec61850.Object{object("Mod", "ENC"), object("NamPlt", "LPL")}, DataSets: []*iec61850.DataSet{set},
			Reports: []*iec61850.Report{
				{Name: "urcb", DataSet: "All", ConfRev: 1, Options: options, Triggers: all, Instances: 2},
				{Name: "brcb", DataSet: "All", Buffered: true, ConfRev: 1, Options: options, Triggers: all}},
			Logs: []*iec61850.Log{{Name: "log", DataSet: "All", Enabled: true, Triggers: all}}},
		{Name: "MMXU1", Objects: []*iec61850.Object{object("TotW", "MV", "units", "db", "d")}},
		{Name: "MMTR1", Objects: []*iec61850.Object{object("DmdWh", "BCR", "units")}},
		{Name: "MHAI1", Objects: []*iec61850.Object{object("HA", "HWYE")}},
		{Name: "GGIO1", Objects: controls},
	}}}}
}

// setWatt sets the measurand.
func setWatt(t testing.TB, m *iec61850.Model, f float32) {
	a, err := m.Attribute(ld+"/MMXU1.TotW.mag.f", iec61850.MX)
	require.NoError(t, err)
	require.NoError(t, m.Update(func(u *iec61850.Update) error { return u.Set(a, iec61850.Float32(f)) }))
}

type site struct {
	model *iec61850.Model
	*server.Server
	address string
}

// serve serves the model on the loopback interface.
func serve(t testing.TB, cfg *server.Config) site { return serveModel(t, meter(t), cfg) }

func serveModel(t testing.TB, m *iec61850.Model, cfg *server.Config) site {
	s, err := server.New(m, cfg)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = s.ServeListener(ctx, l); close(done) }()
	t.Cleanup(func() { cancel(); <-done; s.Close() })
	return site{m, s, l.Addr().String()}
}

func dial(t testing.TB, s site, cfg *client.Config) *client.Client {
	c, err := client.Dial(context.Background(), s.address, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func name(item string) mms.Name { return mms.DomainName(ld, item) }

func TestBrowse(t *testing.T) {
	c := dial(t, serve(t, nil), &client.Config{MaxPDU: 600}) // short PDUs, so that lists go on
	ctx := t.Context()
	id, err := c.Identify(ctx)
	require.NoError(t, err)
	require.Equal(t, mms.Identity{Vendor: "openusm", Model: "meter", Revision: "1"}, id)
	state, err := c.Status(ctx)
	require.NoError(t, err)
	require.Zero(t, state)
	domains, err := c.Domains(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{ld}, domains)
	names, err := c.Names(ctx, mms.NamedVariables, ld)
	require.NoError(t, err)
	require.Contains(t, names, "MMXU1$MX$TotW$mag$f")
	require.IsIncreasing(t, names)
	require.Greater(t, len(names), 100)
	for _, n := range names {
		typ, err := c.Type(ctx, name(n))
		if err != nil { // one that is longer than the PDU
			require.ErrorIs(t, err, mms.ErrResource, n)
			continue
		}
		v, err := c.ReadOne(ctx, name(n))
		if err != nil {
			require.ErrorIs(t, err, mms.ErrResource, n)
			continue
		}
		_, ok := typ.Fits(v)
		require.True(t, ok, "%s: %v", n, v)
	}
	lists, err := c.Names(ctx, mms.NamedVariableLists, ld)
	require.NoError(t, err)
	require.Equal(t, []string{"LLN0$All"}, lists)
	journals, err := c.Names(ctx, mms.Journals, ld)
	require.NoError(t, err)
	require.Equal(t, []string{"LLN0$log"}, journals)
	require.NoError(t, c.Conclude(ctx))
}

func TestReadAndWrite(t *testing.T) {
	s := serve(t, &server.Config{Write: func(reference string, a *iec61850.Attribute, v iec61850.Value) error {
		if reference != ld+"/MMXU1.TotW.db" {
			return mms.ObjectAccessDenied
		}
		return nil
	}})
	c, ctx := dial(t, s, nil), t.Context()
	setWatt(t, s.model, 7)
	results, err := c.Read(ctx, name("MMXU1$MX$TotW$mag$f"), name("MMXU1$MX$Nothing"), name("MMTR1$ST$DmdWh$actVal"))
	require.NoError(t, err)
	require.Equal(t, iec61850.Float32(7), results[0].Value)
	require.Equal(t, mms.ObjectNonExistent, results[1].Err)
	require.Equal(t, iec61850.Int(0), results[2].Value)

	outcome, err := c.Write(ctx, mms.Variables{Each: []mms.Variable{{Name: name("MMXU1$CF$TotW$db")}, {Name: name("MMXU1$CF$TotW$db")},
		{Name: name("MMXU1$MX$TotW$mag$f")}, {Name: name("MMXU1$DC$TotW$d")}, {Name: name("none")}}},
		iec61850.Uint(100), iec61850.Bool(true), iec61850.Float32(1), iec61850.Visible("x"), iec61850.Int(1))
	require.NoError(t, err)
	require.Equal(t, []error{nil, mms.TypeInconsistent, mms.ObjectAccessDenied, mms.ObjectAccessDenied, mms.ObjectNonExistent}, outcome)
	v, err := c.ReadOne(ctx, name("MMXU1$CF$TotW$db"))
	require.NoError(t, err)
	require.Equal(t, iec61850.Uint(100), v)

	part, err := c.ReadVariables(ctx, mms.Variables{Each: []mms.Variable{
		{Name: name("MHAI1$MX$HA$phsAHar"), Access: []mms.Step{{Index: 3}, {Component: []byte("mag")}, {Component: []byte("f")}}},
		{Name: name("MHAI1$MX$HA$phsAHar"), Access: []mms.Step{{Index: 3, Count: 2}}},
		{Name: name("MHAI1$MX$HA$phsAHar"), Access: []mms.Step{{Index: 99}}}}})
	require.NoError(t, err)
	require.Equal(t, iec61850.Float32(0), part[0].Value)
	require.Equal(t, 2, part[1].Value.Len())
	require.Equal(t, mms.ObjectNonExistent, part[2].Err)
}

func TestLists(t *testing.T) {
	c, ctx := dial(t, serve(t, nil), nil), t.Context()
	mine := mms.Name{Scope: mms.ScopeAssociation, Item: []byte("mine")}
	require.NoError(t, c.DefineList(ctx, mine, name("MMXU1$MX$TotW"), name("MMTR1$ST$DmdWh$actVal")))
	require.ErrorIs(t, c.DefineList(ctx, mine, name("MMXU1$MX$TotW")), mms.ErrDefinitionExists)
	require.ErrorIs(t, c.DefineList(ctx, name("LLN0$bad"), name("nothing")), mms.ErrDefinitionInvalid)
	require.NoError(t, c.DefineList(ctx, name("LLN0$more"), name("MMXU1$MX$TotW")))
	results, err := c.ReadVariables(ctx, mms.Variables{Named: true, List: mine})
	require.NoError(t, err)
	require.Len(t, results, 2)
	l, err := c.List(ctx, name("LLN0$more"))
	require.NoError(t, err)
	require.True(t, l.Deletable)
	require.Equal(t, ld+"/MMXU1$MX$TotW", l.Variables[0].Name.String())
	d, err := c.DeleteLists(ctx, mine, name("LLN0$more"), name("LLN0$All"))
	require.NoError(t, err)
	require.Equal(t, mms.Deleted{Matched: 3, Deleted: 2}, d, "the data set of the model stays")
}

// watch returns a client and the reports that it gets.
func watch(t testing.TB, s site, cfg client.Config) (*client.Client, chan client.Report) {
	reports := make(chan client.Report, 1000)
	cfg.Information = func(i mms.Information) {
		if r, ok, err := client.ParseReport(i); ok && err == nil {
			reports <- r
		}
	}
	return dial(t, s, &cfg), reports
}

func next(t testing.TB, reports chan client.Report) client.Report {
	select {
	case r := <-reports:
		return r
	case <-time.After(5 * time.Second):
		t.Fatal("no report")
		return client.Report{}
	}
}

func TestUnbufferedReports(t *testing.T) {
	s := serve(t, nil)
	c, reports := watch(t, s, client.Config{})
	ctx := t.Context()
	rcb := "LLN0$RP$urcb01$"
	require.ErrorIs(t, c.WriteOne(ctx, name(rcb+"GI"), iec61850.Bool(true)), mms.TemporarilyUnavailable)
	require.NoError(t, c.WriteOne(ctx, name(rcb+"RptEna"), iec61850.Bool(true)))
	require.ErrorIs(t, c.WriteOne(ctx, name(rcb+"BufTm"), iec61850.Uint(1)), mms.TemporarilyUnavailable)
	setWatt(t, s.model, 42)
	r := next(t, reports)
	require.Equal(t, ld+"/LLN0$RP$urcb01", r.ID)
	require.Equal(t, ld+"/LLN0$All", r.DataSet)
	require.Equal(t, []client.Datum{{Member: 0, Reference: ld + "/MMXU1$MX$TotW", Value: r.Data[0].Value, Reason: iec61850.DataChange}}, r.Data)
	require.Equal(t, iec61850.Float32(42), r.Data[0].Value.At(0).At(0))
	require.NoError(t, c.WriteOne(ctx, name(rcb+"GI"), iec61850.Bool(true)))
	r = next(t, reports)
	require.Len(t, r.Data, 2)
	require.Equal(t, iec61850.GeneralInterrogation, r.Data[1].Reason)
	require.EqualValues(t, 1, r.Sequence)

	other := dial(t, s, nil)
	require.ErrorIs(t, other.WriteOne(ctx, name(rcb+"RptEna"), iec61850.Bool(false)), mms.TemporarilyUnavailable, "it is another client's")
	require.NoError(t, c.Conclude(ctx))
	require.Eventually(t, func() bool {
		v, err := other.ReadOne(ctx, name(rcb+"RptEna"))
		return err == nil && !v.Bool()
	}, 5*time.Second, 5*time.Millisecond, "freed when the client leaves")
}

func TestIntegrity(t *testing.T) {
	s := serve(t, nil)
	c, reports := watch(t, s, client.Config{})
	require.NoError(t, c.WriteOne(t.Context(), name("LLN0$RP$urcb01$IntgPd"), iec61850.Uint(20)))
	require.NoError(t, c.WriteOne(t.Context(), name("LLN0$RP$urcb01$RptEna"), iec61850.Bool(true)))
	for range 3 {
		require.Equal(t, iec61850.Integrity, next(t, reports).Data[0].Reason)
	}
}

// Events during the buffer time come in one report; a second one of the same member does not wait.
func TestBufferTime(t *testing.T) {
	s := serve(t, nil)
	c, reports := watch(t, s, client.Config{})
	require.NoError(t, c.WriteOne(t.Context(), name("LLN0$RP$urcb01$BufTm"), iec61850.Uint(3600000)))
	require.NoError(t, c.WriteOne(t.Context(), name("LLN0$RP$urcb01$RptEna"), iec61850.Bool(true)))
	setWatt(t, s.model, 1)
	setWatt(t, s.model, 2)
	require.Equal(t, iec61850.Float32(1), next(t, reports).Data[0].Value.At(0).At(0))
	require.Empty(t, reports)
}

// What happens while nobody listens is kept; a client goes on behind the last entry that it had.
func TestBufferedReports(t *testing.T) {
	s := serve(t, nil)
	ctx, rcb := t.Context(), "LLN0$BR$brcb$"
	for i := range 4 {
		setWatt(t, s.model, float32(10+i))
	}
	c, reports := watch(t, s, client.Config{})
	require.NoError(t, c.WriteOne(ctx, name(rcb+"RptEna"), iec61850.Bool(true)))
	var ids []string
	for i := range 4 {
		r := next(t, reports)
		require.Equal(t, iec61850.Float32(float32(10+i)), r.Data[0].Value.At(0).At(0))
		require.False(t, r.Overflow)
		ids = append(ids, r.EntryID)
	}
	require.NoError(t, c.WriteOne(ctx, name(rcb+"RptEna"), iec61850.Bool(false)))
	require.NoError(t, c.WriteOne(ctx, name(rcb+"EntryID"), iec61850.Octets([]byte(ids[1]))))
	require.NoError(t, c.WriteOne(ctx, name(rcb+"RptEna"), iec61850.Bool(true)))
	require.Equal(t, ids[2], next(t, reports).EntryID)
	require.Equal(t, ids[3], next(t, reports).EntryID)

	require.NoError(t, c.WriteOne(ctx, name(rcb+"RptEna"), iec61850.Bool(false)))
	require.NoError(t, c.WriteOne(ctx, name(rcb+"EntryID"), iec61850.Octets(make([]byte, 8))))
	require.NoError(t, c.WriteOne(ctx, name(rcb+"RptEna"), iec61850.Bool(true)))
	for i := range 4 {
		require.Equal(t, ids[i], next(t, reports).EntryID, "zero asks for all")
	}
	require.NoError(t, c.WriteOne(ctx, name(rcb+"RptEna"), iec61850.Bool(false)))
	require.NoError(t, c.WriteOne(ctx, name(rcb+"PurgeBuf"), iec61850.Bool(true)))
	require.NoError(t, c.WriteOne(ctx, name(rcb+"RptEna"), iec61850.Bool(true)))
	setWatt(t, s.model, 99)
	require.Equal(t, iec61850.Float32(99), next(t, reports).Data[0].Value.At(0).At(0))
}

func TestBufferOverflow(t *testing.T) {
	s := serve(t, &server.Config{BufferSize: 2000})
	for i := range 100 {
		setWatt(t, s.model, float32(i+1))
	}
	c, reports := watch(t, s, client.Config{})
	require.NoError(t, c.WriteOne(t.Context(), name("LLN0$BR$brcb$RptEna"), iec61850.Bool(true)))
	r := next(t, reports)
	require.True(t, r.Overflow)
	require.NotEqual(t, iec61850.Float32(1), r.Data[0].Value.At(0).At(0))
	require.False(t, next(t, reports).Overflow)
}

func TestSegmentation(t *testing.T) {
	s := serve(t, nil)
	c, reports := watch(t, s, client.Config{MaxPDU: 800})
	ctx := t.Context()
	members := []mms.Name{name("GGIO1$ST$SPCSO1"), name("GGIO1$ST$SPCSO2"), name("MMXU1$MX$TotW"), name("MMTR1$ST$DmdWh")}
	require.NoError(t, c.DefineList(ctx, name("LLN0$Seg"), members...))
	require.NoError(t, c.WriteOne(ctx, name("LLN0$RP$urcb02$DatSet"), iec61850.Visible(ld+"/LLN0$Seg")))
	require.NoError(t, c.WriteOne(ctx, name("LLN0$RP$urcb02$RptEna"), iec61850.Bool(true)))
	require.NoError(t, c.WriteOne(ctx, name("LLN0$RP$urcb02$GI"), iec61850.Bool(true)))
	seen := map[int]bool{}
	for segment := uint64(0); ; segment++ {
		r := next(t, reports)
		require.Equal(t, segment, r.Segment)
		require.Zero(t, r.Sequence)
		for _, d := range r.Data {
			seen[d.Member] = true
		}
		if !r.More {
			require.Positive(t, segment)
			break
		}
	}
	require.Len(t, seen, len(members))
}

func oper(on bool) iec61850.Value {
	return iec61850.Struct(iec61850.Bool(on), iec61850.Struct(iec61850.Int(3), iec61850.Octets([]byte("test"))), iec61850.Uint(1),
		iec61850.NewTimestamp(time.Now(), 0).Value(), iec61850.Bool(false), iec61850.Bits(0, 2))
}

func TestControlIsRefusedWithoutPolicy(t *testing.T) {
	got := make(chan mms.Information, 10)
	c := dial(t, serve(t, nil), &client.Config{Information: func(i mms.Information) { got <- i }})
	require.ErrorIs(t, c.WriteOne(t.Context(), name("GGIO1$CO$SPCSO1$Oper"), oper(true)), mms.ObjectAccessDenied)
	i := <-got
	require.Equal(t, "LastApplError", string(i.Variables.Each[0].Name.Item))
	cause, _ := i.Results[0].Value.At(4).Int()
	require.EqualValues(t, server.NoAccessAuthority, cause)
	v, err := c.ReadOne(t.Context(), name("GGIO1$CO$SPCSO2$SBO"))
	require.NoError(t, err)
	require.Empty(t, v.Text())
}

func TestControl(t *testing.T) {
	var mu sync.Mutex
	var steps []server.ControlStep
	s := serve(t, &server.Config{Control: func(_ context.Context, c server.Control) server.AddCause {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, c.Step)
		return server.CauseNone
	}})
	got := make(chan mms.Information, 10)
	c, other, ctx := dial(t, s, &client.Config{Information: func(i mms.Information) { got <- i }}), dial(t, s, nil), t.Context()
	require.NoError(t, c.WriteOne(ctx, name("GGIO1$CO$SPCSO1$Oper"), oper(true)))

	require.ErrorIs(t, c.WriteOne(ctx, name("GGIO1$CO$SPCSO2$Oper"), oper(true)), mms.ObjectAccessDenied, "not selected")
	<-got
	v, err := c.ReadOne(ctx, name("GGIO1$CO$SPCSO2$SBO"))
	require.NoError(t, err)
	require.NotEmpty(t, v.Text())
	v, err = other.ReadOne(ctx, name("GGIO1$CO$SPCSO2$SBO"))
	require.NoError(t, err)
	require.Empty(t, v.Text(), "selected by another")
	require.NoError(t, c.WriteOne(ctx, name("GGIO1$CO$SPCSO2$Oper"), oper(true)))

	require.NoError(t, c.WriteOne(ctx, name("GGIO1$CO$SPCSO4$SBOw"), oper(true)))
	require.ErrorIs(t, c.WriteOne(ctx, name("GGIO1$CO$SPCSO4$Oper"), oper(false)), mms.ObjectAccessDenied, "another value than was selected")
	<-got
	require.NoError(t, c.WriteOne(ctx, name("GGIO1$CO$SPCSO4$Oper"), oper(true)))
	end := <-got
	require.Equal(t, ld+"/GGIO1$CO$SPCSO4$Oper", end.Variables.Each[0].Name.String(), "termination")
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []server.ControlStep{server.Check, server.Operate, server.Select, server.Check, server.Operate, server.Select, server.Check, server.Operate}, steps)
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	content := make([]byte, 100000)
	for i := range content {
		content[i] = byte(i * 7)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "profile.csv"), content, 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sub", "b"), nil, 0o600))
	c, ctx := dial(t, serve(t, &server.Config{Files: server.ReadOnly(os.DirFS(dir))}), nil), t.Context()
	list, err := c.Files(ctx, "")
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "profile.csv", list[0].Name)
	require.EqualValues(t, len(content), list[0].Size)
	got, err := c.ReadFile(ctx, "profile.csv", 1<<20)
	require.NoError(t, err)
	require.Equal(t, content, got)
	_, err = c.ReadFile(ctx, "../../../../etc/passwd", 1<<20)
	require.ErrorIs(t, err, mms.ErrFileMissing)
	require.ErrorIs(t, c.DeleteFile(ctx, "profile.csv"), mms.ErrFileAccess)
}

// Clients delete, rename and send files where the store lets them.
func TestFilesAreChanged(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	defer root.Close()
	c, ctx := dial(t, serve(t, &server.Config{Files: server.ReadWrite(root), MaxFile: 200000}), &client.Config{MaxPDU: 4000}), t.Context()
	content := make([]byte, 100000)
	for i := range content {
		content[i] = byte(i * 11)
	}
	require.NoError(t, c.SendFile(ctx, "in/settings.bin", content))
	require.NoError(t, c.SendFile(ctx, "empty", nil))
	got, err := c.ReadFile(ctx, "in/settings.bin", 1<<20)
	require.NoError(t, err)
	require.Equal(t, content, got)
	require.NoError(t, c.RenameFile(ctx, "in/settings.bin", "kept/settings.bin"))
	require.NoError(t, c.DeleteFile(ctx, "empty"))
	require.ErrorIs(t, c.DeleteFile(ctx, "empty"), mms.ErrFileMissing)
	list, err := c.Files(ctx, "")
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, "kept/settings.bin", list[0].Name)
	require.ErrorIs(t, c.SendFile(ctx, "long", make([]byte, 200001)), mms.ErrResource)
	require.NoError(t, c.SendFile(ctx, "../../outside", content), "the way out of the store ends at its root")
	_, err = root.Stat("outside")
	require.NoError(t, err)
	refusing := dial(t, serve(t, &server.Config{Files: server.ReadOnly(root.FS())}), nil)
	require.ErrorIs(t, refusing.SendFile(ctx, "x", content), mms.ErrFileAccess)
}

func TestLog(t *testing.T) {
	s := serve(t, nil)
	setWatt(t, s.model, 1)
	setWatt(t, s.model, 2)
	c := dial(t, s, nil)
	entries, more, err := c.Journal(t.Context(), mms.JournalRequest{Name: name("LLN0$log")})
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, entries, 2)
	require.Equal(t, ld+"/MMXU1$MX$TotW", entries[0].Variables[0].Tag)
	after, _, err := c.Journal(t.Context(), mms.JournalRequest{Name: name("LLN0$log"), AfterID: entries[0].ID, AfterTime: entries[0].Time})
	require.NoError(t, err)
	require.Len(t, after, 1)
	require.EqualValues(t, 2, binary.BigEndian.Uint64(after[0].ID))
}

func TestPassword(t *testing.T) {
	s := serve(t, &server.Config{Authenticate: func(p []byte) bool { return string(p) == "secret" }})
	_, err := client.Dial(t.Context(), s.address, nil)
	require.ErrorIs(t, err, client.ErrRefused)
	dial(t, s, &client.Config{Password: []byte("secret")})
}

// A client that stops in the middle of a message and one that reads nothing do not delay others.
func TestBadNeighbours(t *testing.T) {
	s := serve(t, &server.Config{Timeout: 200 * time.Millisecond})
	half, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	defer half.Close()
	_, err = half.Write([]byte{3, 0, 0})
	require.NoError(t, err)
	c := dial(t, s, nil)
	for range 100 {
		start := time.Now()
		_, err := c.ReadOne(t.Context(), name("MMXU1$MX$TotW"))
		require.NoError(t, err)
		require.Less(t, time.Since(start), time.Second)
	}
	require.NoError(t, half.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err = half.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "the half message was not waited for")
}

// FuzzServer writes octets behind an association.
func FuzzServer(f *testing.F) {
	for _, pdu := range [][]byte{
		mms.AppendConfirmed(nil, mms.ConfirmedRequest, 1, mms.GetNameList, true, mms.NameListRequest{Class: mms.Domains}.Append),
		mms.AppendConfirmed(nil, mms.ConfirmedRequest, 2, mms.Read, true, mms.ReadRequest{Variables: mms.Variables{Each: []mms.Variable{{Name: name("LLN0$RP")}}}}.Append),
		mms.AppendConfirmed(nil, mms.ConfirmedRequest, 3, mms.Write, true, mms.WriteRequest{Variables: mms.Variables{Each: []mms.Variable{{Name: name("LLN0$BR$brcb$RptEna")}}},
			Data: []iec61850.Value{iec61850.Bool(true)}}.Append),
		mms.AppendConfirmed(nil, mms.ConfirmedRequest, 4, mms.ReadJournal, true, mms.JournalRequest{Name: name("LLN0$log")}.Append),
		mms.AppendConfirmed(nil, mms.ConfirmedRequest, 5, mms.ObtainFile, true, func(dst []byte) []byte {
			return mms.FileRequest{Name: "a", To: "b"}.Append(dst, mms.ObtainFile)
		}),
		mms.AppendConfirmed(nil, mms.ConfirmedRequest, 6, mms.Write, true, mms.WriteRequest{Variables: mms.Variables{Each: []mms.Variable{{Name: name("GGIO1$CO$SPCSO4$SBOw")}}},
			Data: []iec61850.Value{oper(true)}}.Append),
		mms.AppendCancel(nil, mms.CancelRequest, 5),
		mms.AppendConclude(nil, mms.ConcludeRequest),
	} {
		f.Add(pdu)
	}
	m := meter(f)
	root, err := os.OpenRoot(f.TempDir())
	require.NoError(f, err)
	defer root.Close()
	s, err := server.New(m, &server.Config{Files: server.ReadOnly(root.FS()), Write: func(string, *iec61850.Attribute, iec61850.Value) error { return nil },
		Control: func(context.Context, server.Control) server.AddCause { return server.CauseNone }})
	require.NoError(f, err)
	defer s.Close()
	f.Fuzz(func(t *testing.T, pdu []byte) {
		near, far := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- s.Serve(context.Background(), far) }()
		go func() { _, _ = io.Copy(io.Discard, near) }()
		stack := &mms.Stack{}
		d := mms.DefaultSelectors()
		out, err := stack.AppendConnect(nil, d, d)
		require.NoError(t, err)
		out, err = stack.AppendAssociate(out, d, d, nil, nil, mms.Initiate{MaxPDU: 2000}.Append(nil))
		require.NoError(t, err)
		_, _ = near.Write(stack.AppendPDU(out, pdu))
		_ = near.Close()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("the server hangs")
		}
	})
}

func BenchmarkRead(b *testing.B) {
	s := serve(b, nil)
	c := dial(b, s, nil)
	n := name("MMXU1$MX$TotW$mag$f")
	floor := echo(b)
	b.ReportAllocs()
	start := time.Now()
	for b.Loop() {
		if _, err := c.ReadOne(context.Background(), n); err != nil {
			b.Fatal(err)
		}
	}
	own := time.Since(start) / time.Duration(b.N)
	b.ReportMetric(float64(floor)/float64(own), "of_floor")
}

// BenchmarkReadTwenty has twenty clients, each with one request outstanding.
func BenchmarkReadTwenty(b *testing.B) {
	s := serve(b, nil)
	n := name("MMXU1$MX$TotW$mag$f")
	asked := make(chan struct{})
	var all sync.WaitGroup
	for range 20 {
		c := dial(b, s, nil)
		all.Go(func() {
			for range asked {
				for range 50 {
					if _, err := c.ReadOne(context.Background(), n); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	start := time.Now()
	for b.Loop() {
		asked <- struct{}{}
	}
	close(asked)
	all.Wait()
	b.ReportMetric(float64(50*b.N)/time.Since(start).Seconds(), "reads/s")
}

// BenchmarkAssociate connects, associates and leaves; its floor is a connection
// with two round trips on it.
func BenchmarkAssociate(b *testing.B) {
	s := serve(b, nil)
	floor := connect(b)
	b.ReportAllocs()
	start := time.Now()
	for b.Loop() {
		c, err := client.Dial(context.Background(), s.address, nil)
		if err != nil {
			b.Fatal(err)
		}
		_ = c.Close()
	}
	each := time.Since(start) / time.Duration(b.N)
	b.ReportMetric(float64(time.Second)/float64(each), "associations/s")
	b.ReportMetric(float64(floor)/float64(each), "of_floor")
}

// BenchmarkReports has as many general interrogations outstanding as the server
// allows, each of which is a report of two members with all optional fields.
func BenchmarkReports(b *testing.B) {
	s := serve(b, nil)
	done := make(chan struct{}, 100)
	ctx := context.Background()
	c := dial(b, s, &client.Config{Information: func(mms.Information) { done <- struct{}{} }})
	require.NoError(b, c.WriteOne(ctx, name("LLN0$RP$urcb01$RptEna"), iec61850.Bool(true)))
	floor := echo(b)
	b.ReportAllocs()
	gi := name("LLN0$RP$urcb01$GI")
	var all sync.WaitGroup
	asked := make(chan struct{})
	for range c.Agreed().Calling {
		all.Go(func() {
			for range asked {
				if err := c.WriteOne(ctx, gi, iec61850.Bool(true)); err != nil {
					b.Error(err)
				}
				<-done
			}
		})
	}
	start := time.Now()
	for b.Loop() {
		asked <- struct{}{}
	}
	close(asked)
	all.Wait()
	each := time.Since(start) / time.Duration(b.N)
	b.ReportMetric(float64(time.Second)/float64(each), "reports/s")
	b.ReportMetric(float64(floor)/float64(each), "of_floor")
}

// BenchmarkChanges has the model change all the time; each change is a report to each of two clients.
func BenchmarkChanges(b *testing.B) {
	s := serve(b, nil)
	window := make(chan struct{}, 50) // fewer under way than the server keeps for a slow client
	for _, rcb := range []string{"LLN0$RP$urcb01$RptEna", "LLN0$RP$urcb02$RptEna"} {
		c := dial(b, s, &client.Config{Information: func(mms.Information) { <-window }})
		require.NoError(b, c.WriteOne(context.Background(), name(rcb), iec61850.Bool(true)))
	}
	a, err := s.model.Attribute(ld+"/MMXU1.TotW.mag.f", iec61850.MX)
	require.NoError(b, err)
	b.ReportAllocs()
	start, made := time.Now(), 0
	for b.Loop() {
		made++
		window <- struct{}{}
		window <- struct{}{}
		_ = s.model.Update(func(u *iec61850.Update) error { return u.Set(a, iec61850.Float32(float32(made))) })
	}
	b.ReportMetric(float64(2*made)/time.Since(start).Seconds(), "reports/s")
}

// echoing listens on the loopback interface and sends back what comes.
func echoing(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

// rounds sends and reads as many octets as a read has, n times.
func rounds(b *testing.B, c net.Conn, n int) {
	buf := make([]byte, 70)
	for range n {
		_, err := c.Write(buf)
		require.NoError(b, err)
		_, err = io.ReadFull(c, buf)
		require.NoError(b, err)
	}
}

// echo returns the time of a round trip over the loopback interface.
func echo(b *testing.B) time.Duration {
	c, err := net.Dial("tcp", echoing(b))
	require.NoError(b, err)
	defer c.Close()
	const n = 5000
	start := time.Now()
	rounds(b, c, n)
	return time.Since(start) / n
}

// connect returns the time of a connection with two round trips on it.
func connect(b *testing.B) time.Duration {
	address := echoing(b)
	const n = 500
	start := time.Now()
	for range n {
		c, err := net.Dial("tcp", address)
		require.NoError(b, err)
		rounds(b, c, 2)
		require.NoError(b, c.Close())
	}
	return time.Since(start) / n
}

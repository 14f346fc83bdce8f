package server_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/client"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/iec61850/server"
)

func anybody(string, *iec61850.Attribute, iec61850.Value) error { return nil }

// serveWith serves the model after it was changed.
func serveWith(t testing.TB, cfg *server.Config, change func(d *iec61850.Device)) site {
	m := meter(t)
	change(m.Devices[0])
	return serveModel(t, m, cfg)
}

func write(t testing.TB, c *client.Client, item string, v iec61850.Value) {
	t.Helper()
	require.NoError(t, c.WriteOne(t.Context(), name(item), v), item)
}

func read(t testing.TB, c *client.Client, item string) iec61850.Value {
	t.Helper()
	v, err := c.ReadOne(t.Context(), name(item))
	require.NoError(t, err, item)
	return v
}

func TestSubstitution(t *testing.T) {
	s := serveWith(t, &server.Config{Write: anybody}, func(d *iec61850.Device) {
		o, err := iec61850.NewObject("TotW", "MV", "instMag", "subEna", "subMag", "subQ", "subID")
		require.NoError(t, err)
		d.Node("MMXU1").Objects = []*iec61850.Object{o}
	})
	c, reports := watch(t, s, client.Config{})
	setWatt(t, s.model, 7)
	write(t, c, "LLN0$RP$urcb01$RptEna", iec61850.Bool(true))
	write(t, c, "MMXU1$SV$TotW$subMag$f", iec61850.Float32(99))
	write(t, c, "MMXU1$SV$TotW$subQ", iec61850.Questionable.Value())
	require.Equal(t, iec61850.Float32(7), read(t, c, "MMXU1$MX$TotW$mag$f"), "not enabled yet")
	require.Empty(t, reports)

	write(t, c, "MMXU1$SV$TotW$subEna", iec61850.Bool(true))
	r := next(t, reports)
	require.Equal(t, iec61850.DataChange|iec61850.QualityChange, r.Data[0].Reason)
	shown := r.Data[0].Value // instMag, mag, q, t
	require.Equal(t, iec61850.Float32(99), shown.At(1).At(0))
	require.Equal(t, iec61850.Questionable|iec61850.Substituted, shown.At(2).Quality())
	require.WithinDuration(t, time.Now(), shown.At(3).Time().Time(), 5*time.Second)
	require.Equal(t, shown, read(t, c, "MMXU1$MX$TotW"))

	setWatt(t, s.model, 8)
	write(t, c, "MMXU1$SV$TotW$subMag$f", iec61850.Float32(100))
	r = next(t, reports)
	require.Equal(t, iec61850.Float32(100), r.Data[0].Value.At(1).At(0), "what the process measured was not reported")
	require.Equal(t, iec61850.DataChange, r.Data[0].Reason)
	write(t, c, "MMXU1$SV$TotW$subMag$f", iec61850.Float32(100))
	require.Empty(t, reports, "nothing new")
	write(t, c, "MMXU1$SV$TotW$subEna", iec61850.Bool(false))
	require.Equal(t, iec61850.Float32(8), next(t, reports).Data[0].Value.At(1).At(0))
	require.Equal(t, iec61850.Quality(0), read(t, c, "MMXU1$MX$TotW$q").Quality())
}

func TestServiceTracking(t *testing.T) {
	s := serveWith(t, &server.Config{Write: anybody}, func(d *iec61850.Device) {
		n := &iec61850.Node{Name: "LTRK1"}
		for _, track := range []string{"GenTrk", "UrcbTrk", "BrcbTrk", "LocbTrk", "SpcTrk"} {
			o, err := iec61850.NewTracking(track)
			require.NoError(t, err)
			n.Objects = append(n.Objects, o)
		}
		d.Nodes = append(d.Nodes, n)
		d.Node("LLN0").DataSets = append(d.Node("LLN0").DataSets, &iec61850.DataSet{Name: "Services", Members: []iec61850.Ref{{Device: ld, Item: "LTRK1$SR$BrcbTrk"}}})
		d.Node("LLN0").Reports = append(d.Node("LLN0").Reports, &iec61850.Report{Name: "tracks", DataSet: "Services", Triggers: iec61850.DataUpdate, Options: iec61850.ReasonForInclusion})
	})
	c, reports := watch(t, s, client.Config{})
	tracked := func(object, attribute string) iec61850.Value { return read(t, c, "LTRK1$SR$"+object+"$"+attribute) }
	write(t, c, "LLN0$RP$tracks$RptEna", iec61850.Bool(true))
	require.Equal(t, iec61850.Visible(ld+"/LLN0.tracks"), tracked("UrcbTrk", "objRef"))
	require.Equal(t, iec61850.Bool(true), tracked("UrcbTrk", "rptEna"))

	write(t, c, "LLN0$BR$brcb$IntgPd", iec61850.Uint(5000))
	require.Equal(t, iec61850.Visible(ld+"/LLN0.brcb"), tracked("BrcbTrk", "objRef"))
	require.Equal(t, iec61850.Int(24), tracked("BrcbTrk", "serviceType"))
	require.Equal(t, iec61850.Int(0), tracked("BrcbTrk", "errorCode"))
	require.Equal(t, iec61850.Uint(5000), tracked("BrcbTrk", "intgPd"))
	require.Equal(t, iec61850.Visible(ld+"/LLN0.All"), tracked("BrcbTrk", "datSet"))
	require.Equal(t, iec61850.Octets([]byte{127, 0, 0, 1}), tracked("BrcbTrk", "originatorID"))
	require.Equal(t, iec61850.DataUpdate, next(t, reports).Data[0].Reason, "clients see what others do")
	require.ErrorIs(t, c.WriteOne(t.Context(), name("LLN0$BR$brcb$ConfRev"), iec61850.Uint(9)), mms.ObjectAccessDenied)
	require.Equal(t, iec61850.Uint(9), tracked("BrcbTrk", "confRev"), "what was wanted")
	require.Equal(t, iec61850.Int(3), tracked("BrcbTrk", "errorCode"))

	write(t, c, "LLN0$LG$log$LogEna", iec61850.Bool(false))
	require.Equal(t, iec61850.Bool(false), tracked("LocbTrk", "logEna"))
	write(t, c, "MMXU1$CF$TotW$db", iec61850.Uint(3))
	require.Equal(t, iec61850.Visible(ld+"/MMXU1.TotW.db"), tracked("GenTrk", "objRef"))
	require.NoError(t, c.DefineList(t.Context(), name("LLN0$mine"), name("MMXU1$MX$TotW")))
	require.Equal(t, iec61850.Visible(ld+"/LLN0.mine"), tracked("GenTrk", "objRef"))
	require.Equal(t, iec61850.Int(13), tracked("GenTrk", "serviceType"))
	require.Error(t, c.WriteOne(t.Context(), name("GGIO1$CO$SPCSO1$Oper"), oper(true)))
	require.Equal(t, iec61850.Visible(ld+"/GGIO1.SPCSO1"), tracked("SpcTrk", "objRef"))
	require.Equal(t, iec61850.Int(int64(server.NoAccessAuthority)), tracked("SpcTrk", "respAddCause"))
	require.Equal(t, iec61850.Bool(true), tracked("SpcTrk", "ctlVal"))
}

// operAt is an operation at a time.
func operAt(at time.Time) iec61850.Value {
	o := oper(true)
	return iec61850.Struct(o.At(0), iec61850.NewTimestamp(at, 0).Value(), o.At(1), o.At(2), o.At(3), o.At(4), o.At(5))
}

func TestTimedControl(t *testing.T) {
	steps := make(chan server.ControlStep, 10)
	s := serveWith(t, &server.Config{Control: func(_ context.Context, c server.Control) server.AddCause {
		steps <- c.Step
		return server.CauseNone
	}}, func(d *iec61850.Device) {
		for i, model := range []iec61850.ControlModel{iec61850.DirectNormal, iec61850.SelectEnhanced} {
			o, err := iec61850.NewObject("Timed"+string(rune('1'+i)), "SPC")
			require.NoError(t, err)
			require.NoError(t, o.AddTimedControl(model))
			d.Node("GGIO1").Objects = append(d.Node("GGIO1").Objects, o)
		}
	})
	got := make(chan mms.Information, 10)
	c, ctx := dial(t, s, &client.Config{Information: func(i mms.Information) { got <- i }}), t.Context()
	require.ErrorIs(t, c.WriteOne(ctx, name("GGIO1$CO$Timed1$Oper"), operAt(time.Now().Add(-time.Minute))), mms.ObjectAccessDenied)
	cause, _ := (<-got).Results[0].Value.At(4).Int()
	require.EqualValues(t, server.TimeLimitOver, cause)

	start := time.Now()
	write(t, c, "GGIO1$CO$Timed1$Oper", operAt(start.Add(150*time.Millisecond)))
	require.Equal(t, server.Check, <-steps)
	require.Equal(t, server.Operate, <-steps)
	require.GreaterOrEqual(t, time.Since(start), 140*time.Millisecond)

	at := operAt(time.Now().Add(time.Hour))
	write(t, c, "GGIO1$CO$Timed2$SBOw", at)
	write(t, c, "GGIO1$CO$Timed2$Oper", at)
	require.ErrorIs(t, c.WriteOne(ctx, name("GGIO1$CO$Timed2$Oper"), at), mms.ObjectAccessDenied, "it waits already")
	<-got
	cancel := iec61850.Struct(at.At(0), at.At(1), at.At(2), at.At(3), at.At(4), at.At(5))
	write(t, c, "GGIO1$CO$Timed2$Cancel", cancel)
	end := <-got
	require.Equal(t, "LastApplError", string(end.Variables.Each[0].Name.Item))
	cause, _ = end.Results[0].Value.At(4).Int()
	require.EqualValues(t, server.AbortedByCancel, cause)
	require.Equal(t, []server.ControlStep{server.Select, server.Check, server.Cancel}, []server.ControlStep{<-steps, <-steps, <-steps})
	require.Empty(t, steps)
}

// settings gives the model two setting groups of one setting.
func settings(t testing.TB, seconds uint16) func(d *iec61850.Device) {
	return func(d *iec61850.Device) {
		o := &iec61850.Object{Name: "StrVal", CDC: "ING"}
		for _, fc := range []iec61850.FC{iec61850.SG, iec61850.SE} {
			a, err := iec61850.NewAttribute("setVal", fc, "INT32", iec61850.DataChange)
			require.NoError(t, err)
			require.NoError(t, a.Init(iec61850.Int(10)))
			o.Attributes = append(o.Attributes, a)
		}
		d.Nodes = append(d.Nodes, &iec61850.Node{Name: "PTOC1", Objects: []*iec61850.Object{o}})
		d.Node("LLN0").Settings = &iec61850.SettingGroups{Count: 2, Active: 1, ResvTms: seconds}
	}
}

func TestSettingGroups(t *testing.T) {
	s := serveWith(t, &server.Config{Write: anybody}, settings(t, 0))
	c, other, ctx := dial(t, s, nil), dial(t, s, nil), t.Context()
	block, active, edit := "LLN0$SP$SGCB$", "PTOC1$SG$StrVal$setVal", "PTOC1$SE$StrVal$setVal"
	require.Equal(t, iec61850.Uint(2), read(t, c, block+"NumOfSG"))
	require.Equal(t, iec61850.Uint(1), read(t, c, block+"ActSG"))
	_, err := c.ReadOne(ctx, name(edit))
	require.ErrorIs(t, err, mms.TemporarilyUnavailable, "no group is edited")
	require.ErrorIs(t, c.WriteOne(ctx, name(edit), iec61850.Int(20)), mms.TemporarilyUnavailable)
	require.ErrorIs(t, c.WriteOne(ctx, name(active), iec61850.Int(20)), mms.ObjectAccessDenied, "only by way of a group")
	require.ErrorIs(t, c.WriteOne(ctx, name(block+"ActSG"), iec61850.Uint(3)), mms.ObjectValueInvalid)

	write(t, c, block+"EditSG", iec61850.Uint(2))
	write(t, c, edit, iec61850.Int(20))
	require.ErrorIs(t, other.WriteOne(ctx, name(edit), iec61850.Int(30)), mms.TemporarilyUnavailable)
	require.ErrorIs(t, other.WriteOne(ctx, name(block+"EditSG"), iec61850.Uint(1)), mms.TemporarilyUnavailable)
	require.ErrorIs(t, other.WriteOne(ctx, name(block+"CnfEdit"), iec61850.Bool(true)), mms.TemporarilyUnavailable)
	write(t, c, block+"CnfEdit", iec61850.Bool(true))
	require.Equal(t, iec61850.Uint(0), read(t, c, block+"EditSG"))
	require.Equal(t, iec61850.Int(10), read(t, c, active))
	write(t, other, block+"ActSG", iec61850.Uint(2))
	require.Equal(t, iec61850.Int(20), read(t, c, active))
	require.NotZero(t, read(t, c, block+"LActTm").Time().Seconds)

	write(t, c, block+"EditSG", iec61850.Uint(2))
	write(t, c, edit, iec61850.Int(40))
	require.NoError(t, c.Conclude(ctx))
	require.Eventually(t, func() bool {
		return read(t, other, block+"EditSG").Equal(iec61850.Uint(0))
	}, 5*time.Second, 5*time.Millisecond, "who left edits nothing")
	require.Equal(t, iec61850.Int(20), read(t, other, active), "what was not confirmed is gone")
	write(t, other, block+"EditSG", iec61850.Uint(2))
	require.Equal(t, iec61850.Int(20), read(t, other, edit))
}

func TestEditingExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meter(t)
		settings(t, 30)(m.Devices[0])
		c := pipe(t, m, &server.Config{Write: anybody}, nil)
		require.Equal(t, iec61850.Uint(30), read(t, c, "LLN0$SP$SGCB$ResvTms"))
		write(t, c, "LLN0$SP$SGCB$EditSG", iec61850.Uint(1))
		time.Sleep(29 * time.Second)
		require.Equal(t, iec61850.Uint(1), read(t, c, "LLN0$SP$SGCB$EditSG"))
		time.Sleep(2 * time.Second)
		require.Equal(t, iec61850.Uint(0), read(t, c, "LLN0$SP$SGCB$EditSG"))
	})
}

// pipe serves the model to one client over a pipe, which has no clock of its own.
func pipe(t testing.TB, m *iec61850.Model, cfg *server.Config, of *client.Config) *client.Client {
	s, err := server.New(m, cfg)
	require.NoError(t, err)
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), far) }()
	c, err := client.New(context.Background(), near, of)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = c.Close()
		require.NoError(t, <-done)
		s.Close()
	})
	return c
}

// Blocks wait for the client that lost its association as long as it asked for; integrity reports come on time.
func TestTimesOfReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, reports := meter(t), make(chan client.Report, 100)
		c := pipe(t, m, nil, &client.Config{Information: func(i mms.Information) {
			if r, ok, err := client.ParseReport(i); ok && err == nil {
				reports <- r
			}
		}})
		write(t, c, "LLN0$BR$brcb$IntgPd", iec61850.Uint(60000))
		write(t, c, "LLN0$BR$brcb$BufTm", iec61850.Uint(500))
		write(t, c, "LLN0$BR$brcb$RptEna", iec61850.Bool(true))
		start := time.Now()
		for range 3 {
			require.Equal(t, iec61850.Integrity, (<-reports).Data[0].Reason)
		}
		require.Equal(t, 3*time.Minute, time.Since(start))
		start = time.Now()
		setWatt(t, m, 1)
		require.Equal(t, iec61850.DataChange, (<-reports).Data[0].Reason)
		require.Equal(t, 500*time.Millisecond, time.Since(start))
	})
}

func TestReservedByConfiguration(t *testing.T) {
	s := serveWith(t, nil, func(d *iec61850.Device) {
		d.Node("LLN0").Reports[0].Clients = []string{"", "192.0.2.1"}
		d.Node("LLN0").Reports[1].Clients = []string{"127.0.0.1"}
	})
	c, reports := watch(t, s, client.Config{})
	require.Equal(t, iec61850.Int(-1), read(t, c, "LLN0$BR$brcb$ResvTms"))
	require.Equal(t, iec61850.Octets(netip.MustParseAddr("192.0.2.1").AsSlice()), read(t, c, "LLN0$RP$urcb02$Owner"))
	require.ErrorIs(t, c.WriteOne(t.Context(), name("LLN0$RP$urcb02$RptEna"), iec61850.Bool(true)), mms.ObjectAccessDenied, "another's")
	require.ErrorIs(t, c.WriteOne(t.Context(), name("LLN0$BR$brcb$ResvTms"), iec61850.Int(5)), mms.ObjectAccessDenied)
	write(t, c, "LLN0$RP$urcb01$RptEna", iec61850.Bool(true))
	write(t, c, "LLN0$RP$urcb01$RptEna", iec61850.Bool(false))
	write(t, c, "LLN0$BR$brcb$RptEna", iec61850.Bool(true))
	write(t, c, "LLN0$BR$brcb$GI", iec61850.Bool(true))
	next(t, reports)

	m := meter(t)
	m.Devices[0].Node("LLN0").Reports[0].Clients = []string{"nobody"}
	_, err := server.New(m, nil)
	require.Error(t, err)
	require.False(t, errors.Is(err, iec61850.ErrNotFound))
}

// Members of data sets may be elements of arrays, or parts of them.
func TestElementsInDataSets(t *testing.T) {
	const element = "MHAI1$MX$HA$phsAHar(3)$mag$f"
	s := serveWith(t, nil, func(d *iec61850.Device) {
		d.Node("LLN0").DataSets[0].Members = []iec61850.Ref{{Device: ld, Item: element}, {Device: ld, Item: "MMXU1$MX$TotW"}}
	})
	c, reports := watch(t, s, client.Config{})
	l, err := c.List(t.Context(), name("LLN0$All"))
	require.NoError(t, err)
	require.Equal(t, mms.Variable{Name: name("MHAI1$MX$HA$phsAHar"), Access: []mms.Step{{Index: 3}, {Component: []byte("mag")}, {Component: []byte("f")}}}, l.Variables[0])
	harmonics, err := s.model.Attribute(ld+"/MHAI1.HA.phsAHar", iec61850.MX)
	require.NoError(t, err)
	write(t, c, "LLN0$RP$urcb01$RptEna", iec61850.Bool(true))
	values := make([]iec61850.Value, iec61850.DefaultHarmonics)
	for i := range values {
		part := iec61850.Struct(iec61850.Float32(float32(i)))
		values[i] = iec61850.Struct(part, part)
	}
	require.NoError(t, s.model.Update(func(u *iec61850.Update) error { return u.Set(harmonics, iec61850.ArrayOf(values...)) }))
	require.Equal(t, client.Datum{Member: 0, Reference: ld + "/" + element, Value: iec61850.Float32(3), Reason: iec61850.DataChange}, next(t, reports).Data[0])

	require.NoError(t, c.DefineList(t.Context(), name("LLN0$mine"), name("MMXU1$MX$TotW")))
	for _, missing := range []string{"MHAI1$MX$HA$phsAHar(99)", "MHAI1$MX$HA$phsAHar(3)$none", "MHAI1$MX$HA$phsAHar(x)", "MMXU1$MX$TotW(1)"} {
		m := meter(t)
		m.Devices[0].Node("LLN0").DataSets[0].Members[0].Item = missing
		_, err := server.New(m, nil)
		require.ErrorIs(t, err, iec61850.ErrNotFound, missing)
	}
}

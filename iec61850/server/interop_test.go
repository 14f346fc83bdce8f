package server_test

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/client"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/iec61850/server"
)

// TestTranscript writes what client and server say to each other to the file
// that METER_MMS_TRANSCRIPT names, as text2pcap reads it: I and O before the
// octets of each message. .ci/interop/tshark-mms has tshark judge them.
func TestTranscript(t *testing.T) {
	file := os.Getenv("METER_MMS_TRANSCRIPT")
	if file == "" {
		t.Skip("METER_MMS_TRANSCRIPT is not set: nobody wants the transcript")
	}
	f, err := os.Create(file)
	require.NoError(t, err)
	var mu sync.Mutex
	trace := func(send bool, b []byte) {
		mu.Lock()
		defer mu.Unlock()
		way := "I"
		if send {
			way = "O"
		}
		for len(b) > 0 { // a message each, for text2pcap knows no more than 64 KiB
			_, n, err := mms.ParseTPKT(b)
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprintf(f, "%s\n000000 % x\n", way, b[:n])
			b = b[n:]
		}
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/a.txt", []byte("hello"), 0o600))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	s := serve(t, &server.Config{Files: server.ReadWrite(root)})
	c, reports := watch(t, s, client.Config{Trace: trace, Password: []byte("secret")})
	ctx := t.Context()
	_, err = c.Identify(ctx)
	require.NoError(t, err)
	_, err = c.Status(ctx)
	require.NoError(t, err)
	_, err = c.Domains(ctx)
	require.NoError(t, err)
	names, err := c.Names(ctx, mms.NamedVariables, ld)
	require.NoError(t, err)
	for _, n := range names {
		_, err = c.Type(ctx, name(n))
		require.NoError(t, err)
		_, err = c.ReadOne(ctx, name(n))
		require.NoError(t, err)
	}
	_, err = c.Read(ctx, name("MMXU1$MX$TotW"), name("none"))
	require.NoError(t, err)
	_, err = c.ReadVariables(ctx, mms.Variables{Each: []mms.Variable{{Name: name("MHAI1$MX$HA$phsAHar"), Access: []mms.Step{{Index: 3}, {Component: []byte("mag")}}}}})
	require.NoError(t, err)
	_, err = c.List(ctx, name("LLN0$All"))
	require.NoError(t, err)
	mine := mms.Name{Scope: mms.ScopeAssociation, Item: []byte("mine")}
	require.NoError(t, c.DefineList(ctx, mine, name("MMXU1$MX$TotW")))
	_, err = c.ReadVariables(ctx, mms.Variables{Named: true, List: mine})
	require.NoError(t, err)
	_, err = c.DeleteLists(ctx, mine)
	require.NoError(t, err)
	_, err = c.Files(ctx, "")
	require.NoError(t, err)
	_, err = c.ReadFile(ctx, "a.txt", 100)
	require.NoError(t, err)
	require.NoError(t, c.SendFile(ctx, "sent.txt", make([]byte, 40000)))
	require.NoError(t, c.RenameFile(ctx, "a.txt", "b.txt"))
	require.NoError(t, c.DeleteFile(ctx, "b.txt"))
	require.Error(t, c.DeleteFile(ctx, "b.txt"))
	for _, rcb := range []string{"LLN0$RP$urcb01$", "LLN0$BR$brcb$"} {
		require.NoError(t, c.WriteOne(ctx, name(rcb+"RptEna"), iec61850.Bool(true)))
		require.NoError(t, c.WriteOne(ctx, name(rcb+"GI"), iec61850.Bool(true)))
		next(t, reports)
		require.NoError(t, c.WriteOne(ctx, name(rcb+"RptEna"), iec61850.Bool(false)))
	}
	setWatt(t, s.model, 3)
	_, _, err = c.Journal(ctx, mms.JournalRequest{Name: name("LLN0$log"), Start: iec61850.EntryTimeOf(time.Now().Add(-time.Hour)), Stop: iec61850.EntryTimeOf(time.Now())})
	require.NoError(t, err)
	require.Error(t, c.WriteOne(ctx, name("GGIO1$CO$SPCSO1$Oper"), oper(true)))
	require.NoError(t, c.Conclude(ctx))
	mu.Lock()
	defer mu.Unlock()
	require.NoError(t, f.Close())
}

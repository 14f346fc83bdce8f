package cosemsim_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/cosemsim"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

func TestView(t *testing.T) {
	c := open(t, cosemsim.Config{}, dlms.Config{Link: dlms.LinkWrapper})
	var relay cosem.DisconnectControl
	require.NoError(t, c.View(t.Context(), obis.MustParse("0-0:96.3.10"), &relay))
	require.Equal(t, cosem.DisconnectControl{Connected: true, State: 1, Mode: 4}, relay)
	require.ErrorIs(t, c.View(t.Context(), obis.MustParse("0-0:99.99.99"), &relay), cosem.ObjectUndefined)
}

func TestImageTransfer(t *testing.T) {
	image := bytes.Repeat([]byte("firmware"), 500)
	c := open(t, cosemsim.Config{Faults: cosemsim.Faults{DropImageBlock: 7}}, dlms.Config{Link: dlms.LinkWrapper})
	blocks := 0
	require.NoError(t, c.TransferImage(t.Context(), []byte("v2"), image, &dlms.ImageOptions{
		Activate: true, Progress: func(int, int) { blocks++ },
	}))
	require.Equal(t, 20+1, blocks, "the block that was lost comes a second time")
	var state cosem.ImageTransfer
	require.NoError(t, c.View(t.Context(), obis.MustParse("0-0:44.0.0"), &state))
	require.Equal(t, uint8(cosem.ImageActivated), state.Status)
	require.ErrorIs(t, c.TransferImage(t.Context(), []byte("v3"), append([]byte("BAD"), image...), nil), dlms.ErrImageVerify)
}

func TestImageTransferResumes(t *testing.T) {
	image := bytes.Repeat([]byte("firmware"), 500)
	c := open(t, cosemsim.Config{}, dlms.Config{Link: dlms.LinkWrapper})
	object := cosem.Object{Class: cosem.ClassImageTransfer, Name: obis.MustParse("0-0:44.0.0")}
	parameters := cosem.Structure(cosem.OctetString([]byte("v2")), cosem.Uint32(uint32(len(image))))
	_, err := c.Action(t.Context(), object.Method(1), &parameters)
	require.NoError(t, err)
	for n := range 12 {
		parameters = cosem.Structure(cosem.Uint32(uint32(n)), cosem.OctetString(image[200*n:200*n+200]))
		_, err := c.Action(t.Context(), object.Method(2), &parameters)
		require.NoError(t, err)
	}
	blocks := 0
	require.NoError(t, c.TransferImage(t.Context(), []byte("v2"), image, &dlms.ImageOptions{Resume: true, Progress: func(int, int) { blocks++ }}))
	require.Equal(t, 8, blocks)
}

// Keys are replaced by transfer and by agreement; the next association uses the new ones.
func TestKeysAreReplaced(t *testing.T) {
	client, server := parties(t, 1)
	meter := simulate(t, &cosemsim.Config{
		Now:    func() time.Time { return noon },
		Access: []dlms.Access{{Auth: apdu.MechanismGMAC, Security: &server, Require: security.Authenticated | security.Encrypted}},
	})
	dial := func(sec dlms.Security) (*dlms.Client, error) {
		near, far := net.Pipe()
		go meter.Serve(t.Context(), far)
		sec.Counters = &security.MemoryCounters{}
		c := dlms.NewClient(near, &dlms.Config{Link: dlms.LinkWrapper, Auth: apdu.MechanismGMAC, Security: &sec, Timeout: 2 * time.Second})
		return c, c.Open(t.Context())
	}
	c, err := dial(client)
	require.NoError(t, err)
	fresh := security.Key(bytes.Repeat([]byte{0x55}, 16))
	require.NoError(t, c.TransferKeys(t.Context(), map[security.KeyName]security.Key{security.KeyUnicast: fresh}))
	require.NoError(t, c.Close(t.Context()))
	c, err = dial(client)
	require.ErrorIs(t, err, dlms.ErrRefused)
	require.NoError(t, c.Close(t.Context()))
	client.Unicast = fresh
	c, err = dial(client)
	require.NoError(t, err)
	agreed, err := c.AgreeKey(t.Context(), security.KeyUnicast)
	require.NoError(t, err)
	require.NoError(t, c.Close(t.Context()))
	client.Unicast = agreed
	c, err = dial(client)
	require.NoError(t, err)
	require.NoError(t, c.ImportCertificate(t.Context(), []byte{0x30, 0}))
	der, err := c.ExportCertificate(t.Context(), 0, 0, server.Title)
	require.NoError(t, err)
	require.Equal(t, []byte{0x30, 0}, der)
	require.NoError(t, c.Close(t.Context()))
}

// Counters in a file go on after a restart, and what was used is refused.
func TestFileCounters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counters")
	out := security.CounterID{Title: security.Title{1}}
	in := security.CounterID{Title: security.Title{2}, Receive: true}
	used := map[uint32]bool{}
	for range 5 {
		f, err := dlms.OpenCounters(path)
		require.NoError(t, err)
		for range 70 {
			n, err := f.Next(out)
			require.NoError(t, err)
			require.False(t, used[n], "counter %d is used twice", n)
			used[n] = true
		}
		require.NoError(t, f.Accept(in, f.Expected(in)+3))
		require.ErrorIs(t, f.Accept(in, f.Expected(in)-1), security.ErrReplay)
	}
	f, err := dlms.OpenCounters(path)
	require.NoError(t, err)
	require.Equal(t, uint32(20), f.Expected(in))
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("x", 10)+"\n"), 0o600))
	_, err = dlms.OpenCounters(path)
	require.ErrorContains(t, err, "counters:1")
}

// A client that lost count reads the counter as public client.
func TestInvocationCounter(t *testing.T) {
	_, server := parties(t, 0)
	counters := &security.MemoryCounters{}
	server.Counters, server.Peer = counters, security.Title{'C', 'L', 'I', 0, 0, 0, 0, 1}
	require.NoError(t, counters.Accept(security.CounterID{Title: server.Peer, Receive: true}, 4711))
	c := open(t, cosemsim.Config{Access: []dlms.Access{{Client: 16}, {Client: 1, Auth: apdu.MechanismGMAC, Security: &server}}}, dlms.Config{Link: dlms.LinkWrapper})
	n, err := c.InvocationCounter(t.Context(), obis.Code{})
	require.NoError(t, err)
	require.Equal(t, uint32(4712), n)
}

// A meter whose deviation is local minus UTC, and which is asked for a range:
// the bounds are written as its own clock would show them.
func TestRangeAsTheMetersClockShowsIt(t *testing.T) {
	berlin := time.FixedZone("", 3600)
	var bounds []string
	trace := func(send bool, frame []byte) {
		if p, _, err := apdu.Parse(frame[min(8, len(frame)):]); err == nil && send {
			if get, ok := p.(apdu.GetRequestNormal); ok && get.Selection != nil {
				r, _ := get.Selection.Range()
				from, _ := r.From.Time()
				bounds = append(bounds, from.String())
				require.Equal(t, cosem.ClassClock, r.Restricting.Class, "the profile's own sort object")
			}
		}
	}
	for _, reversed := range []bool{false, true} {
		bounds = nil
		c := open(t, cosemsim.Config{Zone: berlin}, dlms.Config{Link: dlms.LinkWrapper, Trace: trace, Clock: obis.Clock{Zone: berlin, DeviationReversed: reversed}})
		var p obis.Profile
		_ = c.Profile(t.Context(), obis.MustParse("1-0:99.1.0"), noon.Add(-time.Hour), noon, &p)
		want := "2026-03-10T12:07:30+01:00"
		if reversed {
			want = "2026-03-10T12:07:30-01:00"
		}
		require.Equal(t, []string{want}, bounds)
	}
	// Without a zone in the configuration the deviation of the clock tells it.
	bounds = nil
	c := open(t, cosemsim.Config{Zone: berlin}, dlms.Config{Link: dlms.LinkWrapper, Trace: trace})
	var p obis.Profile
	require.NoError(t, c.Profile(t.Context(), obis.MustParse("1-0:99.1.0"), noon.Add(-time.Hour), noon, &p))
	require.Equal(t, []string{"2026-03-10T12:07:30+01:00"}, bounds)
	require.Equal(t, 4, p.Len())
	require.Equal(t, "2026-03-10T12:15:00+01:00", p.Times[0].String())
}

// A program that reads, ends, and reads again, without a word to its counters,
// believes the meter each time; so does the meter.
func TestFileCountersOverSessions(t *testing.T) {
	client, server := parties(t, 0)
	dir := t.TempDir()
	for range 4 {
		mine, err := dlms.OpenCounters(filepath.Join(dir, "client"))
		require.NoError(t, err)
		theirs, err := dlms.OpenCounters(filepath.Join(dir, "meter"))
		require.NoError(t, err)
		client.Counters, server.Counters = mine, theirs
		near, far := net.Pipe()
		meter := simulate(t, &cosemsim.Config{Access: []dlms.Access{{Client: 1, Auth: apdu.MechanismGMAC, Security: &server}}})
		served := make(chan error, 1)
		go func() { served <- meter.Serve(t.Context(), far) }()
		c := dlms.NewClient(near, &dlms.Config{Link: dlms.LinkWrapper, Client: 1, Auth: apdu.MechanismGMAC, Security: &client, Timeout: 5 * time.Second})
		require.NoError(t, c.Open(t.Context()))
		readings, err := c.Read(t.Context())
		require.NoError(t, err)
		require.Len(t, readings, 23)
		require.NoError(t, c.Close(t.Context()))
		require.NoError(t, <-served)
	}
}

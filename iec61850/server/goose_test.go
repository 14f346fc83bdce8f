package server_test

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/client"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/iec61850/server"
)

// switched is a publisher that sends nothing.
type switched struct{ on atomic.Bool }

func (p *switched) Enabled(*iec61850.GOOSE) bool { return p.on.Load() }

func (p *switched) Enable(g *iec61850.GOOSE, on bool) error {
	p.on.Store(on)
	return nil
}

// goose gives the model two GOOSE control blocks, of which one has no data.
func goose(d *iec61850.Device) {
	d.Node("LLN0").GOOSE = []*iec61850.GOOSE{{Name: "trip", ID: "METER/trip", DataSet: "All", ConfRev: 3, FixedOffsets: true, Address: iec61850.Multicast{
		MAC: [6]byte{0x01, 0x0C, 0xCD, 0x01, 0, 1}, AppID: 0x1001, VLAN: 5, Priority: 4, MinTime: 10, MaxTime: 2000}}, {Name: "spare"}}
}

func TestGOOSEControlBlocks(t *testing.T) {
	publisher := &switched{}
	s := serveWith(t, &server.Config{GOOSE: publisher}, goose)
	c, ctx := dial(t, s, nil), t.Context()
	block := "LLN0$GO$trip"
	address := iec61850.Struct(iec61850.Octets([]byte{0x01, 0x0C, 0xCD, 0x01, 0, 1}), iec61850.Uint(4), iec61850.Uint(5), iec61850.Uint(0x1001))
	require.Equal(t, iec61850.Struct(iec61850.Bool(false), iec61850.Visible("METER/trip"), iec61850.Visible(ld+"/LLN0$All"), iec61850.Uint(3), iec61850.Bool(false),
		address, iec61850.Uint(10), iec61850.Uint(2000), iec61850.Bool(true)), read(t, c, block))
	require.Equal(t, address, read(t, c, block+"$DstAddress"))
	require.Equal(t, iec61850.Uint(0x1001), read(t, c, block+"$DstAddress$APPID"))
	names, err := c.Names(ctx, mms.NamedVariables, ld)
	require.NoError(t, err)
	require.Subset(t, names, []string{block + "$GoEna", block + "$DstAddress$Addr", block + "$DstAddress$PRIORITY", block + "$DstAddress$VID"})

	write(t, c, block+"$GoEna", iec61850.Bool(true))
	require.True(t, publisher.on.Load())
	require.Equal(t, iec61850.Bool(true), read(t, c, block+"$GoEna"))
	publisher.on.Store(false)
	require.Equal(t, iec61850.Bool(false), read(t, c, block+"$GoEna"), "the publisher knows")
	for _, member := range []string{"GoID", "DatSet"} {
		require.ErrorIs(t, c.WriteOne(ctx, name(block+"$"+member), iec61850.Visible("x")), mms.ObjectAccessDenied)
	}
	require.ErrorIs(t, c.WriteOne(ctx, name(block+"$DstAddress$VID"), iec61850.Uint(1)), mms.ObjectAccessDenied)
	require.ErrorIs(t, c.WriteOne(ctx, name(block+"$DstAddress"), address), mms.ObjectAccessDenied)

	require.Equal(t, iec61850.Bool(true), read(t, c, "LLN0$GO$spare$NdsCom"), "it has no data")
	require.ErrorIs(t, c.WriteOne(ctx, name("LLN0$GO$spare$GoEna"), iec61850.Bool(true)), mms.ObjectValueInvalid)
}

func TestGOOSEWithoutPublisher(t *testing.T) {
	s := serveWith(t, nil, goose)
	c := dial(t, s, nil)
	require.Equal(t, iec61850.Bool(false), read(t, c, "LLN0$GO$trip$GoEna"))
	require.ErrorIs(t, c.WriteOne(t.Context(), name("LLN0$GO$trip$GoEna"), iec61850.Bool(true)), mms.ObjectAccessDenied)

	m := meter(t)
	m.Devices[0].Node("LLN0").GOOSE = []*iec61850.GOOSE{{Name: "trip", DataSet: "None"}}
	_, err := server.New(m, nil)
	require.ErrorIs(t, err, iec61850.ErrNotFound)
}

// What clients ask of the blocks is tracked, and so is what was refused.
func TestGOOSEIsTracked(t *testing.T) {
	s := serveWith(t, nil, func(d *iec61850.Device) {
		goose(d)
		o, err := iec61850.NewTracking("GocbTrk")
		require.NoError(t, err)
		d.Nodes = append(d.Nodes, &iec61850.Node{Name: "LTRK1", Objects: []*iec61850.Object{o}})
	})
	c := dial(t, s, &client.Config{})
	require.Error(t, c.WriteOne(t.Context(), name("LLN0$GO$trip$GoEna"), iec61850.Bool(true)))
	for attribute, want := range map[string]iec61850.Value{
		"objRef": iec61850.Visible(ld + "/LLN0.trip"), "serviceType": iec61850.Int(34), "errorCode": iec61850.Int(3), "goEna": iec61850.Bool(true),
		"datSet": iec61850.Visible(ld + "/LLN0.All"), "dstAddress": read(t, c, "LLN0$GO$trip$DstAddress"),
	} {
		require.Equal(t, want, read(t, c, "LTRK1$SR$GocbTrk$"+attribute), attribute)
	}
}

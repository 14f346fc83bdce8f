package server_test

import (
	"context"
	"fmt"
	"net"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/client"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/iec61850/server"
)

// A model of one logical node is served; without a policy, nobody may write it.
func Example() {
	energy, err := iec61850.NewObject("DmdWh", "BCR", "units")
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := server.New(&iec61850.Model{IED: "METER", Devices: []*iec61850.Device{
		{Inst: "MTR", Nodes: []*iec61850.Node{{Name: "MMTR1", Objects: []*iec61850.Object{energy}}}},
	}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	ctx := context.Background()
	near, far := net.Pipe() // or s.ListenAndServe(ctx, ":102")
	go func() { _ = s.Serve(ctx, far) }()
	c, err := client.New(ctx, near, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(c.Domains(ctx))
	fmt.Println(c.WriteOne(ctx, mms.DomainName("METERMTR", "MMTR1$CF$DmdWh$units$SIUnit"), iec61850.Int(72)))
	// Output:
	// [METERMTR] <nil>
	// mms: object-access-denied
}

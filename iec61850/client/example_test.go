package client_test

import (
	"context"
	"fmt"
	"net"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/client"
	"github.com/openusm/meter/iec61850/mms"
	"github.com/openusm/meter/iec61850/server"
)

// One read takes several variables; what the server lacks does not lose the others.
func Example() {
	power, err := iec61850.NewObject("TotW", "MV", "units")
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := server.New(&iec61850.Model{IED: "METER", Devices: []*iec61850.Device{
		{Inst: "MTR", Nodes: []*iec61850.Node{{Name: "MMXU1", Objects: []*iec61850.Object{power}}}},
	}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	ctx := context.Background()
	near, far := net.Pipe() // or client.Dial(ctx, "192.0.2.7:102", nil)
	go func() { _ = s.Serve(ctx, far) }()
	c, err := client.New(ctx, near, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	results, err := c.Read(ctx, mms.DomainName("METERMTR", "MMXU1$MX$TotW$mag$f"), mms.DomainName("METERMTR", "MMXU1$MX$TotVA"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range results {
		fmt.Println(r.Value, r.Err)
	}
	// Output:
	// 0 <nil>
	// - mms: object-non-existent
}

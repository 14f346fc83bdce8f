package session_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/session"
)

func ExampleClient_Read() {
	near, far := net.Pipe()
	ctx := context.Background()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	meter := ansicsim.New(&ansicsim.Config{Now: func() time.Time { return now }})
	go func() { _ = meter.Serve(ctx, far) }()

	c := session.NewClient(near, &session.Config{User: "reader"})
	if err := c.Open(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close(ctx)
	readings, sources, err := c.Read(ctx)
	if err != nil {
		fmt.Println(err)
	}
	for _, r := range readings {
		if r.Code.String() == "1-0:14.7.0*255" {
			fmt.Println(r.Code, r.Value, r.Unit, "from table", sources[r.Source].Table)
		}
	}
	// Output: 1-0:14.7.0*255 50.01 Hz from table 28
}

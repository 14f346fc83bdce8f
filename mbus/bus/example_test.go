package bus_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/bus"
	"github.com/openusm/meter/mbus/mbussim"
	"github.com/openusm/meter/obis"
)

// A simulated bus with four meters is read; a TCP gateway or a serial port
// would be read in the same way.
func ExampleMaster_Read() {
	near, far := net.Pipe()
	clock := func() time.Time { return time.Date(2026, 11, 20, 14, 59, 0, 0, time.UTC) }
	go func() { _ = mbussim.New(&mbussim.Config{Now: clock}).Serve(context.Background(), far) }()

	m := bus.NewMaster(near, nil)
	defer m.Close()
	telegrams, err := m.Read(context.Background(), 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	var d mbus.Decoder
	for _, t := range telegrams {
		fmt.Println(t.Meter().ID, t.Meter().Medium)
		for _, r := range d.AppendReadings(nil, &t) {
			if r.Unit != obis.UnitUnknown {
				fmt.Println(r.Code, r.Value, r.Unit, r.Time)
			}
		}
	}
	// Output:
	// SEN11234567 water
	// 8-0:1.0.0*255 87.754 m3 2026-11-20T14:59:00
	// 8-0:2.0.0*255 0.015 m3/h 2026-11-20T14:59:00
	// 8-0:1.2.0*255 80.000 m3 2025-12-31
	// 0-0:96.6.6*255 3036 d 2026-11-20T14:59:00
}

package wmbussim_test

import (
	"fmt"
	"time"

	"github.com/openusm/meter/mbus/wmbus"
	"github.com/openusm/meter/mbus/wmbus/wmbussim"
)

func ExampleAir() {
	now := func() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }
	air, err := wmbussim.New(&wmbussim.Config{Receiver: wmbussim.HexLine, Now: now})
	if err != nil {
		fmt.Println(err)
		return
	}
	line, err := air.Telegram()
	if err != nil {
		fmt.Println(err)
		return
	}
	reception, err := wmbus.ParseLine(line)
	if err != nil {
		fmt.Println(err)
		return
	}
	var d wmbus.Decoder
	t, err := d.Parse(reception.Frame)
	if err != nil {
		fmt.Println(err)
		return
	}
	r := d.AppendReadings(nil, &t.Telegram)[0]
	fmt.Println(t.Header.Address.Meter().ID, r.Code, r.Value, r.Unit)
	// Output: HYD10000000 6-0:1.0.0*255 1234500 Wh
}

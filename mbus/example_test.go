package mbus_test

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/link"
)

// A frame of a heat meter becomes readings.
func Example() {
	raw, _ := hex.DecodeString("682f2f6808017278563412242301042a0000000c05452301000c13" +
		"214300050a5a0307046d3b0e543b426c3f3c4c05001100004916")
	frame, _, err := link.Parse(raw)
	if err != nil {
		fmt.Println(err)
		return
	}
	var d mbus.Decoder
	t, err := d.Parse(frame.Payload, mbus.Lower{})
	if err != nil {
		fmt.Println(err)
		return
	}
	m := t.Meter()
	fmt.Println(m.ID, m.Medium)
	for _, r := range d.AppendReadings(nil, &t) {
		fmt.Println(strings.TrimRight(fmt.Sprint(r.Code, " ", r.Rule, " ", r.Value, " ", r.Unit, " ", r.Time), " "))
	}
	// Output:
	// HYD12345678 heat
	// 6-0:1.0.0*255 standard 1234500 Wh 2026-11-20T14:59:00
	// 6-0:2.0.0*255 standard 5004.321 m3 2026-11-20T14:59:00
	// 6-0:10.0.0*255 standard 70.3 Cel 2026-11-20T14:59:00
	// 0-0:1.0.0*255 derived 2026-11-20T14:59:00
	//  none 2025-12-31
	// 6-0:1.2.0*255 standard 110000 Wh 2025-12-31
}

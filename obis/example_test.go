package obis_test

import (
	"fmt"
	"log"
	"time"

	"github.com/openusm/meter/obis"
)

func ExampleParse() {
	for _, text := range []string{"1-0:1.8.0*255", "1.8.0", "C.1.0", "F.F", "0100020700FF"} {
		id, err := obis.Parse(text)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(text, "is", id.Code, obis.Describe(id.Code))
	}
	// Output:
	// 1-0:1.8.0*255 is 1-0:1.8.0*255 active energy import total
	// 1.8.0 is 1-0:1.8.0*255 active energy import total
	// C.1.0 is 0-0:96.1.0*255 device id 0
	// F.F is 0-0:97.97.0*255 error register
	// 0100020700FF is 1-0:2.7.0*255 active power export
}

func ExampleParsePattern() {
	p, err := obis.ParsePattern("1-x:(1-2).8.x")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Match(obis.MustParse("1-3:2.8.1")), p.Match(obis.MustParse("1-3:3.8.1")))
	// Output: true false
}

func ExampleValue() {
	energy := obis.Int(1581123, -3) // as a meter shows kilowatt hours
	if wh, ok := energy.Shift(3); ok {
		fmt.Println(energy, "kWh is", wh, "Wh")
	}
	fmt.Println(obis.Float32(0x3DCCCCCD, 0), obis.Bits([]byte{0xA0}, 3), obis.Octets([]byte{0xDE, 0xAD}))
	// Output:
	// 1581.123 kWh is 1581123 Wh
	// 0.1 0b101 0xdead
}

func ExampleTime_Instant() {
	local := obis.LocalTime(2026, 7, 1, 12, 0, 0) // the meter sent no deviation
	_, known := local.Instant(obis.Clock{})
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		log.Fatal(err)
	}
	at, _ := local.Instant(obis.Clock{Zone: berlin})
	fmt.Println(local, known, at.UTC().Format(time.RFC3339))
	// Output: 2026-07-01T12:00:00 false 2026-07-01T10:00:00Z
}

func ExampleQuality_Status() {
	q := obis.FromStatus(obis.StatusVDEW, 0x82) // power down, running reserve exhausted
	word, lost := q.Status(obis.StatusDLMSProfile)
	fmt.Printf("%v: %#x, lost: %v\n", q.Flags, word, lost)
	// Output: power-down,clock-invalid: 0x82, lost: good
}

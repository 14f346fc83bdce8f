package meter_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"log"

	"github.com/openusm/meter"
	"github.com/openusm/meter/obis"
)

// A heat meter answers on a wired M-Bus.
const heat = "6828286808017278563412430401042a0000000c05452301000c13100235000b2b0042000a5a03070a5e02053a16"

func ExampleDecode() {
	frame, err := hex.DecodeString(heat)
	if err != nil {
		log.Fatal(err)
	}
	result, err := meter.Decode(frame, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Meter.ID, result.Meter.Medium)
	for _, r := range result.Readings {
		fmt.Println(r.Code, obis.Describe(r.Code), r.Value, r.Unit, r.Rule)
	}
	// Output:
	// ABC12345678 heat
	// 6-0:1.0.0*255 heat energy 1234500 Wh standard
	// 6-0:2.0.0*255 heat volume 350.210 m3 standard
	// 6-0:8.0.0*255 heat power 4200 W standard
	// 6-0:10.0.0*255 heat flow temperature 70.3 Cel standard
	// 6-0:11.0.0*255 heat return temperature 50.2 Cel standard
}

func ExampleExplain() {
	err := meter.Explain([]byte{0x10, 0x5B, 0x01, 0x5C, 0x16}, nil, func(n meter.Note) {
		fmt.Printf("%d % x %s %q\n", n.Offset, n.Octets, n.Field, n.Meaning)
	})
	fmt.Println(err)
	// Output:
	// 0 10 start "short frame"
	// 1 5b C "REQ_UD2 FCV"
	// 2 01 A "slave 1"
	// 3 5c checksum "correct"
	// 4 16 stop ""
	// <nil>
}

func ExampleDial() {
	ctx := context.Background()
	session, err := meter.Dial(ctx, "sim:dlms", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close(ctx)
	name, err := obis.ParsePattern("0-0:42.0.0")
	if err != nil {
		log.Fatal(err)
	}
	result, err := session.Read(ctx, name)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range result.Readings {
		fmt.Println(r.Code, obis.Describe(r.Code), r.Value)
	}
	// Output: 0-0:42.0.0*255 logical device name OSM0000012345678
}

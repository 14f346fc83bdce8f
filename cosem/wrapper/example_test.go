package wrapper_test

import (
	"encoding/hex"
	"fmt"
	"log"

	"github.com/openusm/meter/cosem/wrapper"
)

func ExampleParse() {
	b, err := hex.DecodeString("000100010010" + "0005" + "c401c10000" + "0001")
	if err != nil {
		log.Fatal(err)
	}
	f, n, err := wrapper.Parse(b)
	fmt.Printf("from %d to %d: %x, %d of %d octets, %v\n", f.Source, f.Destination, f.APDU, n, len(b), err)
	// Output: from 1 to 16: c401c10000, 13 of 15 octets, <nil>
}

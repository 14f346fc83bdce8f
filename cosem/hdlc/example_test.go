package hdlc_test

import (
	"encoding/hex"
	"fmt"
	"log"

	"github.com/openusm/meter/cosem/hdlc"
)

func ExampleParse() {
	b, err := hex.DecodeString("7ea0070321930f017e")
	if err != nil {
		log.Fatal(err)
	}
	f, _, err := hdlc.Parse(b)
	fmt.Println(f.Control, "from", f.Source, "to", f.Destination, err)
	b[7] ^= 1
	_, _, err = hdlc.Parse(b)
	fmt.Println(err)
	// Output:
	// SNRM P/F from 16 to 1 <nil>
	// hdlc: FCS at octet 6: 0x000f, want 0x010f: checksum
}

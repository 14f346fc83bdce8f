package apdu_test

import (
	"encoding/hex"
	"fmt"
	"log"

	"github.com/openusm/meter/cosem/apdu"
)

func ExampleParse() {
	b, err := hex.DecodeString("c001c1000100002a0000ff0200")
	if err != nil {
		log.Fatal(err)
	}
	p, _, err := apdu.Parse(b)
	if err != nil {
		log.Fatal(err)
	}
	get := p.(apdu.GetRequestNormal)
	fmt.Println(p.Name(), get.Attribute)
	// Output: get-request-normal Data 0-0:42.0.0*255 attribute 2
}

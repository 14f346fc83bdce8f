package cosem_test

import (
	"encoding/hex"
	"fmt"
	"log"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/obis"
)

func ExampleParseData() {
	b, err := hex.DecodeString("0203" + "09060100010800ff" + "06000003e8" + "02020f03161e")
	if err != nil {
		log.Fatal(err)
	}
	d, _, err := cosem.ParseData(b)
	if err != nil {
		log.Fatal(err)
	}
	code, _ := d.At(0).Code()
	value, _ := d.At(1).Uint()
	fmt.Println(d.Tag(), d.Len(), code, value)
	for _, r := range cosem.AppendPushed(nil, d, obis.Time{}) {
		fmt.Println(r.Code, r.Value, r.Unit)
	}
	// Output:
	// structure 3 1-0:1.8.0*255 1000
	// 1-0:1.8.0*255 1000000 Wh
}

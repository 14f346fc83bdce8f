package mms_test

import (
	"encoding/hex"
	"fmt"

	"github.com/openusm/meter/iec61850/mms"
)

// A value as MMS data: a structure of a float and a quality.
func Example() {
	b, err := hex.DecodeString("a20b" + "8705083f800000" + "84020300")
	if err != nil {
		fmt.Println(err)
		return
	}
	v, n, err := mms.ParseData(b)
	fmt.Println(v, n, err)
	_, _, err = mms.ParseData(b[:5])
	fmt.Println(err)
	// Output:
	// {1, 00000} 13 <nil>
	// mms: data at octet 5: unexpected EOF
}

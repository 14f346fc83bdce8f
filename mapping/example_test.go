package mapping_test

import (
	"fmt"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

func ExampleLoss() {
	fmt.Println(mapping.Loss{Index: 3, Flags: obis.Estimated})
	fmt.Println(mapping.Loss{Index: 4, Reason: "no value"})
	data := &mapping.Data{Readings: []obis.Reading{1: {Code: obis.MustParse("1-0:1.8.0")}, 2: {}, 5: {Code: obis.MustParse("1-0:2.8.0")}}}
	for _, l := range data.Gather([]mapping.Loss{{Index: 1, Reason: "no value"}, {Index: 2, Reason: "no number"}, {Index: 5, Reason: "no value"}}) {
		fmt.Println(l)
	}
	// Output:
	// reading 3: quality estimated not carried
	// reading 4: no value
	// reading 1 and 1 more: no value (1-0:1.8.0*255, 1-0:2.8.0*255)
	// reading 2: no number
}

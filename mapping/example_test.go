package mapping_test

import (
	"fmt"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

func ExampleLoss() {
	fmt.Println(mapping.Loss{Index: 3, Flags: obis.Estimated})
	fmt.Println(mapping.Loss{Index: 4, Reason: "no value"})
	// Output:
	// reading 3: quality estimated not carried
	// reading 4: no value
}

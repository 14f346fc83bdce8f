package ansicsim_test

import (
	"fmt"

	"github.com/openusm/meter/ansic12/ansicsim"
)

func ExampleMeter_Table() {
	meter := ansicsim.New(&ansicsim.Config{Residential: true})
	table, _ := meter.Table(1)
	fmt.Printf("%s\n", table[:11])
	// Output: OUSMRESID-1
}

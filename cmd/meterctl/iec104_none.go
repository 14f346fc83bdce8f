//go:build noiec104

package main

import (
	"fmt"

	"github.com/openusm/meter"
	"github.com/openusm/meter/site"
)

// face104 is left out of this build, with the library under the LGPL that it links.
func (*app) face104(*wanted) (site.Face, error) {
	return nil, fmt.Errorf("%w: this meterctl was built without IEC 60870-5-104", meter.ErrNotSupported)
}

package cosem

import (
	"testing"

	"github.com/openusm/meter/internal/golden"
)

func TestGenerated(t *testing.T) { golden.Generated(t, "../internal/gen/cosem") }

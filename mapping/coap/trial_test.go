package coap

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/trial"
	"github.com/openusm/meter/mapping"
)

// What does not come back as it was has been said to be lost.
func TestTrial(t *testing.T) {
	for _, c := range trial.Cases() {
		pack, lost := AppendSenML(nil, c.Data)
		back, _, err := ParseSenML(pack)
		if assert.NoError(t, err) {
			assert.Empty(t, trial.Unsaid(c.Data, lost, []*mapping.Data{back}), "%s: %s: %v: %s", c.Section, c.Name, lost, pack)
		}
		pack, lost = AppendSenMLCBOR(nil, c.Data)
		back, _, err = ParseSenMLCBOR(pack)
		if assert.NoError(t, err) {
			assert.Empty(t, trial.Unsaid(c.Data, lost, []*mapping.Data{back}), "%s: %s: %v", c.Section, c.Name, lost)
		}
	}
}

// So it is where several things are out of the ordinary at once.
func TestRandomTrial(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3123, 13))
	for range 400 {
		d := trial.Random(rnd)
		pack, lost := AppendSenML(nil, d)
		back, _, err := ParseSenML(pack)
		require.NoError(t, err)
		require.Empty(t, trial.Unsaid(d, lost, []*mapping.Data{back}), "%v: %v: %s", lost, d.Readings, pack)
	}
}

package cim

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/trial"
)

// What does not come back as it was has been said to be lost.
func TestTrial(t *testing.T) {
	for _, c := range trial.Cases() {
		doc, lost := New(c.Data, nil)
		parsed, err := Parse(doc.AppendXML(nil))
		if assert.NoError(t, err) {
			assert.Empty(t, trial.Unsaid(c.Data, lost, parsed.data()), "%s: %s: %v", c.Section, c.Name, lost)
		}
	}
}

// So it is where several things are out of the ordinary at once.
func TestRandomTrial(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1123, 13))
	for range 400 {
		d := trial.Random(rnd)
		doc, lost := New(d, nil)
		parsed, err := Parse(doc.AppendXML(nil))
		require.NoError(t, err)
		require.Empty(t, trial.Unsaid(d, lost, parsed.data()), "%v: %v: %s", lost, d.Readings, doc.AppendXML(nil))
	}
}

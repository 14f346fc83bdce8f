package cim

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/openusm/meter/internal/trial"
)

// What does not come back as it was has been said to be lost.
func TestTrial(t *testing.T) {
	for _, c := range trial.Cases() {
		doc, lost := New(c.Data, nil)
		parsed, err := Parse(doc.AppendXML(nil))
		if assert.NoError(t, err) {
			assert.Empty(t, trial.Unsaid(c.Data, lost, parsed.Data(nil)), "%s: %s: %v", c.Section, c.Name, lost)
		}
	}
}

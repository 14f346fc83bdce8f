package site

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/mapping"
)

func TestWarner(t *testing.T) {
	var heard []string
	w := Warner{Hear: func(text string) { heard = append(heard, text) }}
	d := data(1, 2)
	loss := mapping.Loss{Part: mapping.Reading, Index: 1, Reason: "its unit"}
	for range 2 {
		w.Say("no address is free")
		w.Lost("a", d, loss)
		w.Lost("b", d, loss)
	}
	require.Equal(t, []string{"no address is free", "a: reading 1: its unit (1-0:2.8.0*255)", "b: reading 1: its unit (1-0:2.8.0*255)"}, heard)
	for i := range 2 * maxWarned {
		w.Say(fmt.Sprint(i))
	}
	require.Len(t, heard, maxWarned, "what strangers can make it remember is bounded")
	new(Warner).Say("to nobody")
	new(Warner).Lost("a", d, loss)
}

package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBuffer(t *testing.T) {
	var f Buffer
	f.Feed([]byte("abc"))
	f.Take(2)
	require.Equal(t, "c", string(f.Rest()))
	f.Feed([]byte("def"))
	require.Equal(t, "cdef", string(f.Rest()))
	f.Reset()
	require.Empty(t, f.Rest())
	require.Zero(t, testing.AllocsPerRun(100, func() { f.Reset(); f.Feed([]byte("abc")) }))
}

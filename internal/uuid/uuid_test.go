package uuid

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The value that Python's uuid5 gives.
func TestOf(t *testing.T) {
	require.Equal(t, "6b42d038-c1f8-5c72-a123-b012d79b70cf", Of("www.example.com/1"))
}

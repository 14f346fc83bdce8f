package csvrows

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRead(t *testing.T) {
	rows, err := Read([]byte("# a table\nname,number\na,1\n\"b,c\",2\n"))
	require.NoError(t, err)
	require.Equal(t, [][]string{{"a", "1"}, {"b,c", "2"}}, rows)
	rows, err = Read(nil)
	require.NoError(t, err)
	require.Empty(t, rows)
	_, err = Read([]byte("name,number\na\n"))
	require.Error(t, err)
}

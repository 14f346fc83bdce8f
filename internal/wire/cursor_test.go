package wire

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCursor(t *testing.T) {
	c := NewCursor([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	require.EqualValues(t, 1, c.Uint8("a"))
	require.EqualValues(t, 0x0203, c.Uint16("b"))
	require.EqualValues(t, 0x0504, c.Uint16LE("c"))
	b, ok := c.Peek()
	require.True(t, ok)
	require.EqualValues(t, 6, b)
	require.EqualValues(t, 0x06070809, c.Uint32("d"))
	require.NoError(t, c.Err())

	require.Zero(t, c.Uint16("e"))
	require.Zero(t, c.Uint8("f"), "nothing is read after a failure")
	var e *Error
	require.ErrorAs(t, c.Err(), &e)
	require.Equal(t, &Error{"e", 10, io.ErrUnexpectedEOF}, e)
	require.Equal(t, 9, c.Offset())
}

func TestCursorNeverOverflows(t *testing.T) {
	c := NewCursor(make([]byte, 4))
	require.Nil(t, c.Bytes(1<<62, "length"))
	require.ErrorIs(t, c.Err(), io.ErrUnexpectedEOF)
	c = NewCursor(make([]byte, 4))
	require.Nil(t, c.Bytes(-1, "length"))
	require.Error(t, c.Err())
}

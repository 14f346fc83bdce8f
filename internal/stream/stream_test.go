package stream

import (
	"context"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// bare hides everything but reading, writing and closing.
type bare struct{ io.ReadWriteCloser }

func TestReadEndsInTime(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) io.ReadWriteCloser{
		"with deadlines":    func(c net.Conn) io.ReadWriteCloser { return c },
		"without deadlines": func(c net.Conn) io.ReadWriteCloser { return bare{c} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				c := New(wrap(near))
				buf := make([]byte, 3)

				start := time.Now()
				_, err := c.Read(t.Context(), start.Add(time.Second), buf)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.Equal(t, time.Second, time.Since(start))

				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				_, err = c.Read(ctx, time.Time{}, buf)
				cancel()
				require.ErrorIs(t, err, context.DeadlineExceeded)

				go func() {
					_, _ = far.Write([]byte("hello"))
					_ = far.Close()
				}()
				var got []byte
				for {
					n, err := c.Read(t.Context(), time.Time{}, buf)
					got = append(got, buf[:n]...)
					if err != nil {
						require.ErrorIs(t, err, io.EOF)
						break
					}
				}
				require.Equal(t, "hello", string(got))
				require.NoError(t, c.Close())
			})
		})
	}
}

func TestWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := New(near)
		require.ErrorIs(t, c.Write(t.Context(), time.Now().Add(time.Second), []byte("x")), os.ErrDeadlineExceeded)
		got := make(chan []byte)
		go func() {
			b := make([]byte, 5)
			_, _ = io.ReadFull(far, b)
			got <- b
		}()
		require.NoError(t, c.Write(t.Context(), time.Time{}, []byte("hello")))
		require.Equal(t, "hello", string(<-got))
		require.NoError(t, c.Close())
		require.NoError(t, far.Close())
	})
}

// Under a context for good, its end ends reads and writes of any deadline.
func TestUnder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		c := New(near)
		c.Under(ctx)
		go func() { _, _ = far.Write([]byte("hello")) }()
		buf := make([]byte, 5)
		_, err := c.Read(ctx, time.Time{}, buf)
		require.NoError(t, err)
		require.Equal(t, "hello", string(buf))
		start := time.Now()
		_, err = c.Read(ctx, start.Add(time.Second), buf)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, c.Write(ctx, time.Now().Add(time.Second), []byte("x")), os.ErrDeadlineExceeded)
		time.AfterFunc(time.Minute, cancel)
		_, err = c.Read(ctx, time.Time{}, buf)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, time.Minute+2*time.Second, time.Since(start))
		require.ErrorIs(t, c.Write(ctx, time.Time{}, []byte("x")), context.Canceled)
		require.NoError(t, c.Close())
		require.NoError(t, far.Close())
	})
}

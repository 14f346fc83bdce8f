package main

import (
	"context"
	"io"
)

// interruptible returns a reader of in that ends with ctx, also where in blocks:
// a terminal, or a pipe into which nobody writes.
func interruptible(ctx context.Context, in io.Reader) io.Reader {
	if ctx.Done() == nil {
		return in
	}
	return &interrupted{ctx: ctx, in: in}
}

type interrupted struct {
	ctx   context.Context
	in    io.Reader
	wants chan struct{}
	came  chan chunk
	rest  chunk
}

// chunk is what one read gave. Its octets are the reader's until it is asked for more.
type chunk struct {
	b   []byte
	err error
}

func (r *interrupted) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if len(r.rest.b) == 0 && r.rest.err == nil {
		if r.wants == nil {
			r.wants, r.came = make(chan struct{}, 1), make(chan chunk, 1)
			go r.loop()
		}
		r.wants <- struct{}{}
		select {
		case r.rest = <-r.came:
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
	n := copy(b, r.rest.b)
	if r.rest.b = r.rest.b[n:]; len(r.rest.b) > 0 {
		return n, nil
	}
	return n, r.rest.err
}

func (r *interrupted) loop() {
	buf := make([]byte, 1<<16)
	for range r.wants {
		n, err := r.in.Read(buf)
		r.came <- chunk{buf[:n], err}
	}
}

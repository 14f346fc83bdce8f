// Command meterctl reads meters, decodes their frames and simulates them.
// It is a thin shell over the packages of github.com/openusm/meter.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE) // a write fails, and meters are left in order
	context.AfterFunc(ctx, stop)   // who asks again does not wait for us
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, terminal: isTerminal(os.Stdout)}
	exit := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(exit)
}

// isTerminal reports whether f is a terminal rather than a file or a pipe.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

// Command read reads a meter: its registers, and the load profile of the last day.
//
//	go run ./read /dev/ttyUSB0
//	go run ./read sim:dlms
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/openusm/meter"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/serial"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	target := "sim:dlms"
	if len(os.Args) > 1 {
		target = os.Args[1]
	}
	if err := run(ctx, os.Stdout, target); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, target string) error {
	cfg := &meter.Config{OpenSerial: serial.Opener}
	s, err := meter.Dial(ctx, target, cfg)
	if err != nil {
		return err
	}
	defer s.Close(context.WithoutCancel(ctx)) // also where somebody interrupts

	r, err := s.Read(ctx)
	if err != nil && !errors.Is(err, meter.ErrPartial) { // what could be read is there all the same
		return err
	}
	for i := range r.Readings {
		x := &r.Readings[i]
		fmt.Fprintf(out, "%-20s %-40s %12v %v\n", x.ID(), obis.Describe(x.Code), x.Value, x.Unit)
	}

	r, err = s.Profile(ctx, obis.Code{}, time.Now().Add(-24*time.Hour), time.Time{})
	if errors.Is(err, meter.ErrNotSupported) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range r.Profiles {
		for row, at := range p.Times {
			fmt.Fprint(out, at, " ", p.Quality.At(row).Flags)
			for i := range p.Columns {
				c := &p.Columns[i]
				fmt.Fprintf(out, "  %v=%v", c.Code, c.At(row)) // At is none where the cell is missing
			}
			fmt.Fprintln(out)
		}
	}
	return nil
}

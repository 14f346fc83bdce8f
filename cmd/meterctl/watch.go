package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
)

func (a *app) watchCommand() *cobra.Command {
	var interval time.Duration
	var count int
	cmd := &cobra.Command{
		Use:   "watch TARGET [OBIS…]",
		Short: "Read again and again, one NDJSON line for each sweep",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if interval <= 0 {
				return usagef("--interval must be longer than nothing")
			}
			patterns, err := parsePatterns(args[1:])
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("output") {
				a.output = "ndjson"
			}
			return a.session(cmd.Context(), args[0], func(s meter.Session) (*meter.Result, error) {
				return nil, a.sweep(cmd.Context(), interval, count, func() (*meter.Result, error) {
					return s.Read(cmd.Context(), patterns...)
				})
			})
		},
	}
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "time from one sweep to the next")
	cmd.Flags().IntVar(&count, "count", 0, "number of sweeps (default: until interrupted)")
	return cmd
}

// sweep calls read at each tick and prints what it returns. A tick that falls
// into a sweep is made up for, so that none is lost as long as the meter keeps up on average.
func (a *app) sweep(ctx context.Context, interval time.Duration, count int, read func() (*meter.Result, error)) error {
	start := time.Now()
	for n := 0; count == 0 || n < count; n++ {
		if wait := time.Until(start.Add(time.Duration(n) * interval)); wait > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
		}
		r, err := read()
		if err != nil && !errors.Is(err, meter.ErrPartial) {
			return fmt.Errorf("sweep %d: %w", n+1, err)
		}
		if err := a.print(r); err != nil {
			return err
		}
	}
	return nil
}

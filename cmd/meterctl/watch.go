package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/obis"
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
			if count < 0 {
				return usagef("--count %d is less than nothing", count)
			}
			patterns, err := parsePatterns(args[1:])
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("output") {
				a.output = "ndjson"
			}
			return a.watch(cmd.Context(), args[0], patterns, interval, count)
		},
	}
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "time from one sweep to the next")
	cmd.Flags().IntVar(&count, "count", 0, "number of sweeps (default: until interrupted)")
	return cmd
}

// watch reads at each tick. A tick that falls into a sweep is made up for, so
// that none is lost as long as the meter keeps up on average. After a sweep that
// failed the meter is dialled anew, as a port may have been unplugged.
func (a *app) watch(ctx context.Context, target string, patterns []obis.Pattern, interval time.Duration, count int) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	session, err := meter.Dial(ctx, target, cfg)
	if err != nil {
		return err
	}
	defer func() { a.leave(ctx, session) }()
	start := time.Now()
	failed := 0
	for n := 0; count == 0 || n < count; n++ {
		if err := stream.Sleep(ctx, time.Until(start.Add(time.Duration(n)*interval))); err != nil {
			return err
		}
		if session == nil {
			session, err = meter.Dial(ctx, target, cfg)
		}
		var r *meter.Result
		if err == nil {
			r, err = session.Read(ctx, patterns...)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if r != nil {
			if err := a.print(r); err != nil {
				return err
			}
		}
		if err != nil && !errors.Is(err, meter.ErrPartial) {
			failed++
			fmt.Fprintf(a.stderr, "warning: sweep %d: %v\n", n+1, err)
			a.leave(ctx, session)
			session, err = nil, nil
		}
	}
	if failed > 0 {
		return fmt.Errorf("%w: %d of %d sweeps failed", meter.ErrPartial, failed, count)
	}
	return nil
}

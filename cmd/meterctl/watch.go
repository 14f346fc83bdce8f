package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
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

// watch reads at each tick. Of a meter that pushes it prints the newest of each.
func (a *app) watch(ctx context.Context, target string, patterns []obis.Pattern, interval time.Duration, count int) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	enough := errors.New("enough")
	sweeps, failed := 0, 0
	err = meter.Poll(ctx, target, cfg, &meter.Plan{Jobs: []meter.Job{{Codes: patterns, Interval: interval}}}, func(p *meter.Polled) error {
		if p.Result == nil && sweeps == 0 {
			return p.Err // it was never there
		}
		if p.More == 0 {
			sweeps++
		}
		if p.Result != nil {
			if err := a.print(p.Result); err != nil {
				return err
			}
		}
		if p.Err != nil && !errors.Is(p.Err, meter.ErrPartial) {
			failed++
			fmt.Fprintf(a.stderr, "warning: sweep %d: %v\n", sweeps, p.Err)
		}
		if sweeps == count && count > 0 && p.More == 0 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%w: %d of %d sweeps failed", meter.ErrPartial, failed, count)
	}
	return nil
}

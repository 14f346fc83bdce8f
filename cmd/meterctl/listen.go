package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
)

func (a *app) listenCommand() *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use:   "listen TARGET",
		Short: "Print what meters push: P1, SML, radio telegrams, DLMS notifications, C12.22 messages",
		Long: `listen prints each message that a meter pushes, one NDJSON line each.

It connects to the target, or waits there for meters on udp targets, on tcp targets with --protocol dlms
or c1222, and on tcp targets with a wildcard host (tcp://:4059). On a serial port without a rate it tries the usual ones.
Radio receivers need --protocol wmbus, and meters that push their tables by ANSI C12.22 --protocol c1222.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 0 {
				return usagef("--count %d is less than nothing", count)
			}
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("output") {
				a.output = "ndjson"
			}
			return a.listen(cmd.Context(), args[0], cfg, count)
		},
	}
	cmd.Flags().IntVar(&count, "count", 0, "number of messages (default: until interrupted)")
	return cmd
}

func (a *app) listen(ctx context.Context, target string, cfg *meter.Config, count int) error {
	ctx, done := context.WithCancelCause(ctx)
	defer done(nil)
	enough := errors.New("enough")
	printed := 0
	err := meter.Listen(ctx, target, cfg, func(r *meter.Result, err error) {
		if context.Cause(ctx) != nil {
			return
		}
		if err != nil {
			fmt.Fprintln(a.stderr, "warning:", time.Now().Format(time.TimeOnly), err)
		}
		if r == nil {
			return
		}
		if err := a.print(r); err != nil {
			done(err)
		}
		if printed++; printed == count {
			done(enough)
		}
	})
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, enough):
		return nil
	case cause != nil && !errors.Is(cause, context.Canceled):
		return cause
	case err == nil:
		return fmt.Errorf("the connection ended: %w", io.EOF)
	}
	return err
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
	"github.com/openusm/meter/driver"
	"github.com/openusm/meter/obis"
)

func (a *app) readCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "read TARGET [OBIS…]",
		Short: "Read identity, clock and main registers, or the registers with these codes",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			patterns, err := parsePatterns(args[1:])
			if err != nil {
				return err
			}
			if r, err := a.decodeFile(args[0]); r != nil || err != nil {
				if r != nil {
					var missing error
					r, missing = driver.Choose(r, patterns)
					err = errors.Join(err, missing)
				}
				return a.printAll(r, err)
			}
			return a.session(cmd.Context(), args[0], func(s meter.Session) (*meter.Result, error) {
				return s.Read(cmd.Context(), patterns...)
			})
		},
	}
}

func parsePatterns(codes []string) (patterns []obis.Pattern, err error) {
	for _, text := range codes {
		p, err := obis.ParsePattern(text)
		if err != nil {
			return nil, usageError{err}
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// decodeFile decodes a target that is a file; it returns neither result nor error for others.
func (a *app) decodeFile(target string) (*meter.Result, error) {
	t, err := meter.ParseTarget(target)
	if err != nil {
		return nil, usageError{err}
	}
	if t.Scheme != "file" && t.Scheme != "stdin" {
		return nil, nil
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	if t.Scheme == "file" {
		if _, err := os.Stat(t.Address); err != nil {
			return nil, fmt.Errorf("%w: %w", meter.ErrConnect, err)
		}
	}
	raw, err := a.whole([]string{t.Address})
	if err != nil {
		return nil, err
	}
	return meter.Decode(raw, cfg)
}

// session opens a session, prints what f reads, and takes leave of the meter
// also where the program was interrupted.
func (a *app) session(ctx context.Context, target string, f func(meter.Session) (*meter.Result, error)) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	s, err := meter.Dial(ctx, target, cfg)
	if err != nil {
		return err
	}
	r, err := f(s)
	a.leave(ctx, s)
	return a.printAll(r, err)
}

// leave takes leave of the meter, also where the program was interrupted.
func (a *app) leave(ctx context.Context, s meter.Session) {
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil && a.verbose {
		fmt.Fprintln(a.stderr, "closing:", err)
	}
}

// printAll prints what there is of a result, also beside an error.
func (a *app) printAll(r *meter.Result, err error) error {
	if r == nil {
		return err
	}
	return errors.Join(err, a.print(r))
}

func (a *app) profileCommand() *cobra.Command {
	var code, from, to string
	var list bool
	cmd := &cobra.Command{
		Use:   "profile TARGET",
		Short: "Read the rows of a load profile",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var c obis.Code
			if code != "" {
				var err error
				if c, err = obis.ParseCode(code); err != nil {
					return usageError{err}
				}
			}
			first, err := a.parseTime("--from", from)
			if err != nil {
				return err
			}
			last, err := a.parseTime("--to", to)
			if err != nil {
				return err
			}
			return a.session(cmd.Context(), args[0], func(s meter.Session) (*meter.Result, error) {
				if !list {
					return s.Profile(cmd.Context(), c, first, last)
				}
				profiles, err := s.Profiles(cmd.Context())
				return &meter.Result{Protocol: s.Protocol(), Profiles: profiles}, err
			})
		},
	}
	cmd.Flags().StringVar(&code, "profile", "", "code of the profile (default: the meter's load profile)")
	cmd.Flags().StringVar(&from, "from", "", "first time, as 2026-11-20, 2026-11-20T12:00:00 or with a zone")
	cmd.Flags().StringVar(&to, "to", "", "last time")
	cmd.Flags().BoolVar(&list, "list", false, "show which profiles there are")
	return cmd
}

func (a *app) eventsCommand() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "events TARGET",
		Short: "Read the event logs",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			first, err := a.parseTime("--from", from)
			if err != nil {
				return err
			}
			last, err := a.parseTime("--to", to)
			if err != nil {
				return err
			}
			return a.session(cmd.Context(), args[0], func(s meter.Session) (*meter.Result, error) {
				return s.Events(cmd.Context(), first, last)
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "first time")
	cmd.Flags().StringVar(&to, "to", "", "last time")
	return cmd
}

// parseTime reads a time of the command line, local ones in the zone of --tz, else in UTC.
func (a *app) parseTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	clock, err := a.clock()
	if err != nil {
		return time.Time{}, err
	}
	zone := cmp.Or(clock.Zone, time.UTC)
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("%s %q is no time such as 2026-11-20T12:00:00", flag, text)
}

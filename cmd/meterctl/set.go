package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

func (a *app) setCommand() *cobra.Command {
	var write bool
	cmd := &cobra.Command{
		Use:   "set TARGET clock|relay|limit|CODE VALUE",
		Short: "Set the clock, the breaker, the limit or a register of a meter",
		Long: `set changes something in a meter: what it would do is printed, and done with --write.

  clock now | TIME    the clock, to now by ours, or to a time such as 2026-11-20T12:00:00+01:00
  relay on | off      connects or disconnects the breaker
  limit WATTS         the threshold of the limiter
  CODE VALUE          a register or parameter, numbers in the unit without prefix (Wh, W, V)

DLMS meters have all of these; those of M-Bus and C12 their clock; those of IEC 62056-21
their clock (0.9.1 and 0.9.2) and registers, as the text that stands between the parentheses.
What a meter has not, or does not allow, is told and nothing is changed.`,
		Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.setting(args[1], args[2])
			if err != nil {
				return err
			}
			cfg, err := a.config()
			if err != nil {
				return err
			}
			s, err := meter.Dial(cmd.Context(), args[0], cfg)
			if err != nil {
				return err
			}
			defer a.leave(cmd.Context(), s)
			what := fmt.Sprintf("%v of %s to %v", name(c.Code), args[0], c.Value)
			controller, ok := s.(meter.Controller)
			if !ok {
				return fmt.Errorf("%w: this meter is not commanded", meter.ErrNotSupported)
			}
			if !write {
				c.Step = site.Check
				if _, err := controller.Command(cmd.Context(), c); err != nil {
					return err
				}
				fmt.Fprintln(a.stderr, "would set", what+"; --write does it")
				return policyError{fmt.Errorf("nothing is written without --write")}
			}
			if _, err := controller.Command(cmd.Context(), c); err != nil {
				return err
			}
			fmt.Fprintln(a.stderr, "set", what)
			return nil
		},
	}
	cmd.Flags().BoolVar(&write, "write", false, "write to the meter; without it is only seen whether the meter would take it")
	return cmd
}

// name returns what a code stands for, with the code.
func name(c obis.Code) string {
	if text := obis.Describe(c); text != "" {
		return text + " (" + c.String() + ")"
	}
	return c.String()
}

// setting reads what is to be set to what.
func (a *app) setting(what, value string) (c site.Command, err error) {
	c.Actor.Face = "meterctl"
	switch what {
	case "clock":
		c.Code = meter.Clock
		at := time.Now()
		if value != "now" {
			if at, err = a.parseTime("clock", value); err != nil {
				return c, err
			}
		}
		c.Value = obis.Moment(obis.FromTime(at))
		return c, nil
	case "relay":
		c.Code = meter.Breaker
		switch strings.ToLower(value) {
		case "on", "1", "connect", "connected":
			c.Value = obis.Enum(1)
		case "off", "0", "disconnect", "disconnected":
			c.Value = obis.Enum(0)
		default:
			return c, usagef("relay %q: want on or off", value)
		}
		return c, nil
	case "limit":
		c.Code = meter.Limiter
		var ok bool
		if c.Value, ok = obis.ParseDecimal([]byte(value)); !ok {
			return c, usagef("limit %q is no number of watts", value)
		}
		return c, nil
	}
	if c.Code, err = obis.ParseCode(what); err != nil {
		return c, usagef("%q is neither clock, relay nor limit, nor a code: %v", what, err)
	}
	if v, ok := obis.ParseDecimal([]byte(value)); ok && a.protocol != string(meter.IEC62056) {
		c.Value = v
	} else if t, err := obis.ParseTime(value); err == nil && t.HasDate() {
		c.Value = obis.Moment(t)
	} else {
		c.Value = obis.Text([]byte(value))
	}
	return c, nil
}

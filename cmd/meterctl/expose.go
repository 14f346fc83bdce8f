package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/driver"
	facedlms "github.com/openusm/meter/gateway/dlms"
	"github.com/openusm/meter/gateway/ied"
	"github.com/openusm/meter/iec61850/server"
	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/obis"
)

func (a *app) exposeCommand() *cobra.Command {
	var as, listen string
	var interval time.Duration
	var files tlsFiles
	cmd := &cobra.Command{
		Use:   "expose TARGET --as " + strings.Join(faces(), "|") + " --listen tcp://127.0.0.1:4059",
		Short: "Show one meter to one kind of actor, whatever the meter speaks",
		Long: `expose polls a meter, whatever it speaks, and shows it to one kind of actor.

With --as coap it listens on coap://HOST:PORT, in the clear, or on coaps://HOST:PORT,
where clients need a key of --key-file: a section [coap:IDENTITY] with "key = HEX".`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if as == "coap" {
				if files != (tlsFiles{}) {
					return usagef("--as coap takes no --tls files: listen on coaps:// with [coap:IDENTITY] keys instead")
				}
				return a.exposeCoAP(cmd.Context(), args[0], cfg, listen, interval)
			}
			face, err := a.newFace(as, cfg)
			if err != nil {
				return usageError{err}
			}
			secure, err := files.server()
			if err != nil {
				return err
			}
			return a.expose(cmd.Context(), args[0], cfg, face, listen, secure, interval)
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "what to show it as: "+strings.Join(faces(), ", "))
	cmd.Flags().StringVar(&listen, "listen", "", "where to listen, as tcp://127.0.0.1:4059; of coap, coap://127.0.0.1:5683 or coaps://127.0.0.1:5684")
	cmd.Flags().DurationVar(&interval, "interval", 10*time.Second, "time from one poll of the meter to the next")
	files.addFlags(cmd)
	return cmd
}

// faces returns the names of the faces.
func faces() []string { return []string{"dlms", "iec61850", "iec104", "coap"} }

// face shows the readings of a meter, whatever protocol it speaks, to one kind
// of actor.
type face interface {
	updater
	meter.Simulator
}

func (a *app) newFace(name string, cfg *meter.Config) (face, error) {
	switch name {
	case "dlms":
		access, err := driver.DLMSAccess(cfg)
		if err != nil {
			return nil, err
		}
		return facedlms.NewSingle(&dlms.ServerConfig{Link: dlms.LinkWrapper, Access: access, Counters: cfg.Counters, Trace: cfg.Trace, Logger: cfg.Logger})
	case "iec61850":
		return ied.NewSingle(&server.Config{Trace: cfg.Trace, Logger: cfg.Logger}), nil
	case "iec104":
		return a.newStationFace(), nil
	}
	return nil, fmt.Errorf("no face %q: one of %s", name, strings.Join(faces(), ", "))
}

// updater is what is given the readings of each poll.
type updater interface {
	// Update replaces what is shown, and returns what cannot be shown.
	Update(r *meter.Result) (lost []string)
}

// eventShower is an updater that shows events, too, and decides when they are read.
type eventShower interface {
	addEvents(ctx context.Context, s meter.Session, r *meter.Result) error
}

func (a *app) expose(ctx context.Context, target string, cfg *meter.Config, face face, listen string, secure *tls.Config, interval time.Duration) error {
	return a.exposeTo(ctx, target, cfg, face, interval, func(ctx context.Context) error { return a.simTCP(ctx, face, listen, secure) })
}

// exposeTo polls the meter and serves what it showed last. The first poll must
// succeed; later ones that fail leave the last readings in place, marked as old.
func (a *app) exposeTo(ctx context.Context, target string, cfg *meter.Config, face updater, interval time.Duration, serve func(context.Context) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	session, err := meter.Dial(ctx, target, cfg)
	if err != nil {
		return err
	}
	r, err := poll(ctx, session, face)
	if err != nil {
		a.leave(ctx, session)
		return err
	}
	for _, lost := range face.Update(r) {
		fmt.Fprintln(a.stderr, "warning: not shown in full:", lost)
	}
	shown := r
	done := make(chan struct{})
	go func() {
		var err error // not that of the server, which ends beside it
		defer close(done)
		defer func() { a.leave(ctx, session) }()
		for stream.Sleep(ctx, interval) == nil {
			if session == nil {
				session, err = meter.Dial(ctx, target, cfg)
			}
			if err == nil {
				r, err = poll(ctx, session, face)
			}
			if err == nil {
				shown = r
				face.Update(r)
				continue
			}
			if ctx.Err() == nil {
				fmt.Fprintln(a.stderr, "warning: poll:", err)
				face.Update(stale(shown))
			}
			a.leave(ctx, session)
			session, err = nil, nil
		}
	}()
	err = serve(ctx)
	stop(nil)
	<-done
	return err
}

// stale returns a result whose readings are the last known ones of a meter that
// does not answer.
func stale(r *meter.Result) *meter.Result {
	old := *r
	old.Readings = slices.Clone(r.Readings)
	for i := range old.Readings {
		old.Readings[i].Quality = old.Readings[i].Quality.With(obis.Old | obis.CommFailure)
	}
	return &old
}

// poll reads the meter's registers and, where it has one, its load profile.
func poll(ctx context.Context, s meter.Session, face updater) (*meter.Result, error) {
	r, err := s.Read(ctx)
	if r == nil || err != nil && !errors.Is(err, meter.ErrPartial) {
		return nil, err
	}
	if p, err := s.Profile(ctx, [6]byte{}, time.Now().Add(-24*time.Hour), time.Time{}); err == nil {
		r.Profiles = p.Profiles
	} else if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if f, ok := face.(eventShower); ok {
		return r, f.addEvents(ctx, s, r)
	}
	return r, nil
}

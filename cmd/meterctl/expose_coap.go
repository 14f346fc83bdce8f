package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/openusm/meter"
	"github.com/openusm/meter/gateway/coap"
	"github.com/openusm/meter/keys"
	"github.com/openusm/meter/obis"
)

// coapSection is how the sections of a key file begin that name a pre-shared key:
// "[coap:IDENTITY]" with "key = HEX".
const coapSection = "coap:"

// coapKeys returns the pre-shared keys of a key file by their identities.
func coapKeys(set keys.Set) map[string]coap.Key {
	psk := map[string]coap.Key{}
	for section, k := range set.ByMeter {
		if identity, ok := strings.CutPrefix(section, coapSection); ok && len(k.Key) > 0 {
			psk[identity] = coap.Key(k.Key)
		}
	}
	return psk
}

// exposeCoAP shows a meter to CoAP clients on "coap://host:port", in the clear, or
// "coaps://host:port", with the keys of the key file.
func (a *app) exposeCoAP(ctx context.Context, target string, cfg *meter.Config, listen string, interval time.Duration) error {
	own := &coap.Config{Keys: coapKeys(cfg.Keys), MaxAge: max(time.Minute, 2*interval)}
	if a.verbose {
		own.Logger = slog.New(slog.NewTextHandler(a.stderr, nil))
	}
	server, err := coap.NewServer(own)
	if err != nil {
		return err
	}
	if strings.HasPrefix(listen, "coaps:") && len(own.Keys) == 0 {
		return fmt.Errorf("%w: coaps needs --key-file with a section [%sIDENTITY] and \"key = HEX\"", meter.ErrMissingKey, coapSection)
	}
	l, err := server.Listen(listen)
	if err != nil {
		return usageError{fmt.Errorf("--listen: %w", err)}
	}
	served := false
	defer func() {
		if !served {
			_ = l.Close()
		}
	}()
	return a.exposeTo(ctx, target, cfg, &coapFace{server: server}, interval, func(ctx context.Context) error {
		served = true
		scheme, _, _ := strings.Cut(listen, ":")
		fmt.Fprintf(a.stderr, "listening on %s://%s\n", scheme, l.Addr())
		return l.Serve(ctx)
	})
}

// coapFace gives the server what a poll read.
type coapFace struct {
	server *coap.Server
	events []obis.Event
	read   time.Time // when the events were read
}

// Update shows what a poll read. Readings that are only old are left to age as
// they are: their Max-Age runs out.
func (f *coapFace) Update(r *meter.Result) (lost []string) {
	const silent = obis.Old | obis.CommFailure
	if len(r.Readings) > 0 && !slices.ContainsFunc(r.Readings, func(x obis.Reading) bool { return x.Quality.Flags&silent != silent }) {
		return nil
	}
	d := r.Data()
	d.Readings, d.Profiles = slices.Clone(r.Readings), slices.Clone(r.Profiles)
	obis.OwnReadings(d.Readings)
	for i := range d.Profiles {
		d.Profiles[i] = d.Profiles[i].Clone()
	}
	for _, l := range f.server.Update(d) {
		lost = append(lost, d.Describe(l))
	}
	return lost
}

// Logs are long and change seldom: they are not read with each poll.
const (
	eventsBack  = 31 * 24 * time.Hour
	eventsEvery = 15 * time.Minute
)

// addEvents adds the events of the last weeks, if the meter has such.
func (f *coapFace) addEvents(ctx context.Context, s meter.Session, r *meter.Result) error {
	if now := time.Now(); now.Sub(f.read) >= eventsEvery {
		e, err := s.Events(ctx, now.Add(-eventsBack), time.Time{})
		if e != nil && (err == nil || errors.Is(err, meter.ErrPartial)) {
			f.events, f.read = e.Events, now
		}
	}
	r.Events = f.events
	return ctx.Err()
}

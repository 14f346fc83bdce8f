package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

func (a *app) exposeCommand() *cobra.Command {
	var as, listen []string
	var interval time.Duration
	var allow string
	var files tlsFiles
	cmd := &cobra.Command{
		Use:   "expose [NAME=]TARGET… --as " + strings.Join(faces(), "|") + " --listen tcp://127.0.0.1:4059",
		Short: "Show meters to actors, whatever the meters speak",
		Long: `expose polls meters, whatever they speak, and shows them to one kind of actor or several:
the n-th --listen is for the n-th --as. Each meter is read once, however many clients there are.
A meter that does not answer is shown as old.

With --as coap it listens on coap://HOST:PORT, in the clear, or on coaps://HOST:PORT,
where clients need a key of --key-file: a section [coap:IDENTITY] with "key = HEX".

Nobody commands a meter through a face, unless a row of --allow FILE lets him: CSV with the columns
actor,meter,code,lowest,highest, as "iec104,meter1,0-0:17.0.0,0,5000" or "dlms:head-end,*,0-0:96.3.10,,".`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(as) == 0 || len(as) != len(listen) {
				return usagef("%d --as and %d --listen: want one --listen for each --as", len(as), len(listen))
			}
			if interval <= 0 {
				return usagef("--interval must be longer than nothing")
			}
			return a.expose(cmd.Context(), &exposed{targets: args, as: as, listen: listen, interval: interval, allow: allow, files: files})
		},
	}
	cmd.Flags().StringArrayVar(&as, "as", nil, "what to show them as, once for each --listen: "+strings.Join(faces(), ", "))
	cmd.Flags().StringArrayVar(&listen, "listen", nil, "where to listen, as tcp://127.0.0.1:4059; of coap, coap://127.0.0.1:5683 or coaps://127.0.0.1:5684")
	cmd.Flags().DurationVar(&interval, "interval", 10*time.Second, "time from one poll of a meter to the next")
	cmd.Flags().StringVar(&allow, "allow", "", "CSV file of who may command what through the faces")
	files.addFlags(cmd)
	return cmd
}

// exposed is what expose was told.
type exposed struct {
	targets, as, listen []string
	interval            time.Duration
	allow               string
	files               tlsFiles
}

// named takes the name of a meter off its target.
var named = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_-]*)=(.+)$`)

// How often what changes seldom is read, and how far back at first.
const (
	profileEvery = 15 * time.Minute
	eventsEvery  = 15 * time.Minute
	profileBack  = 24 * time.Hour
	eventsBack   = 31 * 24 * time.Hour
)

// polled is a meter that is read.
type polled struct {
	id        site.ID
	target    string
	commands  meter.Commands
	commanded bool       // somebody may
	first     chan error // what the first poll said
	once      sync.Once
}

func (a *app) expose(ctx context.Context, e *exposed) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	allowed, err := allowances(e.allow)
	if err != nil {
		return err
	}
	here := site.New(nil)
	meters, commanders := make([]*polled, len(e.targets)), site.Meters{}
	for i, target := range e.targets {
		m := &polled{id: site.ID(fmt.Sprintf("meter%d", i+1)), target: target, first: make(chan error, 1), commanded: len(allowed) > 0}
		if parts := named.FindStringSubmatch(target); parts != nil {
			m.id, m.target = site.ID(parts[1]), parts[2]
		}
		if commanders[m.id] != nil {
			return usagef("two meters have the name %s", m.id)
		}
		if _, err := meter.ParseTarget(m.target); err != nil {
			return usageError{err}
		}
		if err := here.Add(m.id, obis.Meter{}); err != nil {
			return err
		}
		meters[i], commanders[m.id] = m, &m.commands
	}
	var commander site.Commander
	if allowed != nil {
		commander = site.Guard(allowed, commanders)
	}
	list := make([]site.Face, len(e.as))
	for i := range e.as {
		if list[i], err = a.face(e, i, cfg, here, commander); err != nil {
			return err
		}
	}
	return a.serveAll(ctx, here, meters, list, cfg, e.interval)
}

// allowances reads the file of --allow, nil where there is none.
func allowances(name string) ([]site.Allowance, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, configError{err}
	}
	defer f.Close()
	list, err := site.ReadAllowances(f)
	if err != nil {
		return nil, configError{err}
	}
	return list, nil
}

// serveAll polls the meters and serves the faces, until ctx ends or one of them fails. Where
// none of the meters answers its first poll, that is an error.
func (a *app) serveAll(ctx context.Context, here *site.Site, meters []*polled, faces []site.Face, cfg *meter.Config, interval time.Duration) error {
	outer := ctx
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	ended := errors.New("ended")
	begin := func(f func() error) {
		all.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				stop(err)
			}
		})
	}
	begin(func() error { return here.Run(ctx) })
	for _, m := range meters {
		begin(func() error { return a.poll(ctx, here, m, cfg, interval) })
	}
	var unreachable []error
	for _, m := range meters {
		select {
		case err := <-m.first:
			if err != nil {
				unreachable = append(unreachable, err)
			}
		case <-ctx.Done():
		}
	}
	if len(unreachable) == len(meters) {
		stop(ended)
		all.Wait()
		return errors.Join(unreachable...)
	}
	for _, f := range faces {
		begin(func() error {
			if err := f.Serve(ctx); err != nil {
				return err
			}
			if ctx.Err() == nil {
				return errors.New("a face ended")
			}
			return nil
		})
	}
	all.Wait()
	if outer.Err() != nil { // somebody had enough
		return nil
	}
	return context.Cause(ctx)
}

// poll reads one meter into the site.
func (a *app) poll(ctx context.Context, here *site.Site, m *polled, cfg *meter.Config, interval time.Duration) error {
	plan := &meter.Plan{Commands: &m.commands, Jobs: []meter.Job{
		{Name: "registers", Interval: interval},
		{Name: "profile", What: meter.ProfileRows, Interval: max(interval, profileEvery), LookBack: profileBack},
		{Name: "events", What: meter.EventLogs, Interval: max(interval, eventsEvery), LookBack: eventsBack},
	}}
	seldom := map[string]bool{} // jobs that the meter cannot do
	if m.commanded {            // what actors may command they see
		plan.Jobs = append(plan.Jobs, meter.Job{Name: "controls", Codes: []obis.Pattern{obis.Exactly(meter.Breaker), obis.Exactly(meter.Limiter)}, Interval: interval})
	}
	return meter.Poll(ctx, m.target, cfg, plan, func(p *meter.Polled) error {
		registers := p.Job.Name == "registers"
		if registers {
			m.once.Do(func() {
				if p.Result == nil {
					m.first <- p.Err
				}
				close(m.first)
			})
		}
		if p.Err != nil && (p.Result == nil || registers) && !(errors.Is(p.Err, meter.ErrNotSupported) && seldom[p.Job.Name]) {
			seldom[p.Job.Name] = true
			if registers || a.verbose {
				fmt.Fprintf(a.stderr, "warning: %s: %v\n", m.id, p.Err)
			}
		}
		if p.Result == nil {
			if p.Job.What == meter.Registers {
				return here.Fail(m.id, p.Job.Name, time.Time{})
			}
			return nil
		}
		stamp := site.Stamp{Job: p.Job.Name, Tick: p.Tick, Received: p.Result.Received, Until: p.Until}
		if p.Job.What != meter.Registers {
			stamp.Until = time.Time{}
		}
		return here.Put(m.id, p.Result.Data(), stamp)
	})
}

// listenAt returns where a face listens, by a URL with one of the schemes.
func (a *app) listenAt(listen string, schemes ...string) (scheme, address string, err error) {
	u, err := url.Parse(listen)
	if err == nil && u.Host != "" && u.Port() != "" {
		for _, s := range schemes {
			if u.Scheme == s {
				if isOpen(u.Host) {
					fmt.Fprintf(a.stderr, "warning: %s is open to all networks of this machine\n", listen)
				}
				return s, u.Host, nil
			}
		}
	}
	return "", "", usagef("--listen %q, want for example %s://127.0.0.1:4059", listen, schemes[0])
}

package meter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// Job is something that is read of a meter again and again.
type Job struct {
	Name string // by which its readings take the place of those before
	What JobKind
	// Codes are the registers that are read; none are the main ones of the meter.
	Codes []obis.Pattern
	// Profile is the profile that is read, zero the load profile. What came before is
	// not read again: each time what is behind its last row, and what was missing of it.
	Profile obis.Code
	// Interval is the time from one tick to the next, and Offset how far behind the
	// full intervals of UTC they lie: 15 min and 30 s are 00:00:30, 00:15:30, …
	Interval, Offset time.Duration
	// LookBack is how far back a profile or an event log is read at first, and holes are
	// asked for again; 0 is a day.
	LookBack time.Duration
	// Since is the last row or event that is known already, as after a restart.
	Since time.Time
}

// JobKind says what a job reads.
type JobKind uint8

// What jobs read.
const (
	Registers JobKind = iota
	ProfileRows
	EventLogs
)

// Polled is what a job brought.
type Polled struct {
	Job *Job
	// Tick is the aligned moment for which it was read.
	Tick time.Time
	// Result is what came, nil where nothing did; Err is why not, or not all of it.
	Result *Result
	Err    error
	More   int // results of the same tick that follow: of other meters that push on the line
	// Until is when what came is old unless it comes again: after two intervals.
	Until time.Time
	// Took is how long it took, and Load which part of the time all jobs took so far:
	// near 1 the line cannot carry more.
	Took time.Duration
	Load float64
}

const (
	maxBehind   = 4 // intervals that a job may be behind before it leaves ticks out
	firstRedial = time.Second
	lastRedial  = 2 * time.Minute
	dayBack     = 24 * time.Hour
	maxAsked    = 3 // times that a hole is asked for
)

// Plan is what is read of a meter, and how it is commanded meanwhile.
type Plan struct {
	Jobs []Job
	// Commands are carried out between the jobs; nil are none.
	Commands *Commands
}

// Commands is a [site.Commander] for a meter that is polled: what it is given is carried
// out by the Poll that has it in its plan, between two jobs. The zero Commands is ready.
type Commands struct {
	once sync.Once
	todo chan request
}

type request struct {
	ctx    context.Context
	cmd    site.Command
	answer chan<- reply
}

type reply struct {
	site.Answer
	err error
}

func (c *Commands) channel() chan request {
	if c == nil {
		return nil
	}
	c.once.Do(func() { c.todo = make(chan request) })
	return c.todo
}

// Command waits until the command was carried out. Where it was sent and not answered the
// error is [site.ErrUncertain].
func (c *Commands) Command(ctx context.Context, cmd site.Command) (site.Answer, error) {
	answer := make(chan reply, 1)
	select {
	case c.channel() <- request{ctx, cmd, answer}:
	case <-ctx.Done():
		return site.Answer{}, ctx.Err()
	}
	r := <-answer
	return r.Answer, r.err
}

// Poll reads a meter by a plan until ctx ends or each returns an error. It reads each
// job at once, and then at its ticks; it keeps the session, and dials anew after a
// failure, at first at once and then ever later. Jobs that are due together are read
// one after the other, those with the shortest interval first. A tick that falls into
// another job is made up for, as long as no more than four are waiting.
//
// A meter that pushes is heard all the time, and each tick brings the newest of each
// that was heard since, with the time at which it came.
func Poll(ctx context.Context, target string, cfg *Config, plan *Plan, each func(*Polled) error) error {
	if _, err := ParseTarget(target); err != nil {
		return err
	}
	p := &poller{target: target, cfg: cfg, each: each, started: time.Now()}
	for _, j := range plan.Jobs {
		if j.Interval <= 0 {
			return fmt.Errorf("meter: job %q: interval %v", j.Name, j.Interval)
		}
		j.LookBack = cmp.Or(j.LookBack, dayBack)
		p.plan = append(p.plan, &planned{Job: &j, next: boundary(p.started, &j), known: j.Since})
	}
	slices.SortStableFunc(p.plan, func(a, b *planned) int { return cmp.Compare(a.Interval, b.Interval) })
	if len(p.plan) == 0 {
		return errors.New("meter: a plan without jobs")
	}
	defer p.leave(ctx)
	for {
		due := slices.MinFunc(p.plan, func(a, b *planned) int { return a.next.Compare(b.next) })
		if err := p.wait(ctx, due.next, plan.Commands.channel()); err != nil {
			return err
		}
		if now := time.Now(); due.next.Sub(now) > due.Interval { // the clock was set back
			for _, j := range p.plan {
				j.next = boundary(now, j.Job).Add(j.Interval)
			}
			continue
		}
		if err := p.run(ctx, due); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		due.next = due.next.Add(due.Interval)
		if now := time.Now(); now.Sub(due.next) > maxBehind*due.Interval {
			due.next = boundary(now, due.Job)
		}
	}
}

// wait waits for a tick, and carries out the commands that come meanwhile.
func (p *poller) wait(ctx context.Context, tick time.Time, commands <-chan request) error {
	timer := time.NewTimer(time.Until(tick))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case r := <-commands:
			answer, err := p.command(ctx, r)
			r.answer <- reply{answer, err}
		}
	}
}

// command carries out a command, within the time of who gave it and that of the poll.
func (p *poller) command(ctx context.Context, r request) (site.Answer, error) {
	own, cancel := context.WithCancel(r.ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	if err := p.open(ctx); err != nil {
		return site.Answer{}, err
	}
	c, ok := p.session.(Controller)
	if !ok {
		return site.Answer{}, fmt.Errorf("meter: %w: %s meters are not commanded", ErrNotSupported, p.session.Protocol())
	}
	answer, err := c.Command(own, r.cmd)
	if err != nil && !usable(err) {
		p.leave(ctx)
		p.failed, p.redial = err, time.Now()
		if errors.Is(err, ErrTimeout) || errors.Is(err, ErrHungUp) || own.Err() != nil {
			err = fmt.Errorf("%w: %w", site.ErrUncertain, err)
		}
	}
	return answer, err
}

// boundary returns the last tick of a job that is not behind now.
func boundary(now time.Time, j *Job) time.Time {
	return now.Round(0).UTC().Add(-j.Offset).Truncate(j.Interval).Add(j.Offset)
}

// planned is a job with what is known of it.
type planned struct {
	*Job
	next  time.Time
	known time.Time // up to where rows or events are complete
	hole  time.Time // where the first row is missing that was asked for, and how often
	asked int
	seen  map[int64]bool // rows behind known that came, by their time in Unix
}

// poller reads a meter by a plan.
type poller struct {
	target  string
	cfg     *Config
	each    func(*Polled) error
	plan    []*planned
	session Session
	hearer  *hearer
	failed  error     // why there is no session
	redial  time.Time // when the next one is tried
	backoff time.Duration
	started time.Time
	busy    time.Duration
}

// run reads a job, and hands on what came.
func (p *poller) run(ctx context.Context, j *planned) error {
	begun := time.Now()
	var list []*Result
	err := p.open(ctx)
	if err == nil {
		list, err = p.read(ctx, j)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && p.session != nil && !usable(err) {
		p.leave(ctx)
		p.failed, p.redial = err, time.Now()
	}
	took := time.Since(begun)
	p.busy += took
	out := Polled{Job: j.Job, Tick: j.next, Err: err, Took: took, Until: time.Now().Add(2 * j.Interval), Load: float64(p.busy) / float64(max(time.Since(p.started), j.Interval))}
	if len(list) == 0 {
		if err == nil {
			return nil // of a meter that pushes nothing is new
		}
		return p.each(&out)
	}
	for i, r := range list {
		out.Result, out.More = r, len(list)-1-i
		if p.hearer != nil {
			out.Until = r.Received.Add(p.hearer.valid(j.Interval))
		}
		if err := p.each(&out); err != nil {
			return err
		}
	}
	return nil
}

// usable reports whether a session goes on after an error.
func usable(err error) bool {
	return errors.Is(err, ErrPartial) || errors.Is(err, ErrRefused) || errors.Is(err, ErrNotSupported)
}

// open sees to it that there is a session.
func (p *poller) open(ctx context.Context) error {
	if p.session != nil {
		return nil
	}
	if time.Now().Before(p.redial) {
		return p.failed
	}
	session, err := Dial(ctx, p.target, p.cfg)
	if err != nil {
		p.backoff = min(max(2*p.backoff, firstRedial), lastRedial)
		p.failed, p.redial = err, time.Now().Add(p.backoff)
		return err
	}
	p.session, p.failed, p.backoff = session, nil, 0
	if push, ok := session.(*pushSession); ok {
		p.hearer = hear(ctx, push)
	}
	return nil
}

// leave takes leave of the meter.
func (p *poller) leave(ctx context.Context) {
	if p.session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = p.session.Close(ctx)
	if p.hearer != nil {
		<-p.hearer.done
	}
	p.session, p.hearer = nil, nil
}

func (p *poller) read(ctx context.Context, j *planned) ([]*Result, error) {
	var r *Result
	var err error
	switch j.What {
	case ProfileRows:
		r, err = j.rows(ctx, p.session)
	case EventLogs:
		r, err = j.events(ctx, p.session)
	default:
		if p.hearer != nil {
			list, err := p.hearer.take(ctx, j.Interval)
			return slices.DeleteFunc(list, func(r *Result) bool {
				r.Choose(j.Codes)
				return len(j.Codes) > 0 && len(r.Readings) == 0
			}), err
		}
		r, err = p.session.Read(ctx, j.Codes...)
	}
	if r == nil {
		return nil, err
	}
	return []*Result{r}, err
}

// rows reads what of a profile is not known yet: what lies behind the last row, and once
// more what was missing before it.
func (j *planned) rows(ctx context.Context, s Session) (*Result, error) {
	earliest := time.Now().Add(-j.LookBack - 1) // a row at that very time is wanted
	if j.known.Before(earliest) {
		j.known = earliest
	}
	r, err := s.Profile(ctx, j.Profile, j.known, time.Time{})
	if r == nil {
		return nil, err
	}
	fresh := false
	for i, p := range r.Profiles {
		r.Profiles[i] = j.fresh(p, r.Clock)
		fresh = fresh || r.Profiles[i].Len() > 0
	}
	if !fresh && err == nil && len(r.Readings)+len(r.Events) == 0 {
		return nil, nil
	}
	return r, err
}

// fresh returns the rows that did not come before, and moves on to the first hole behind
// those that are known, which is given up after it was asked for several times.
func (j *planned) fresh(p *obis.Profile, clock obis.Clock) *obis.Profile {
	out := p.Clone()
	out.Reset()
	at := make([]time.Time, len(p.Times))
	for row, t := range p.Times {
		at[row], _ = t.Instant(clock)
		if at[row].IsZero() { // no instant: the fields of the meter tell rows apart
			at[row], _ = t.Instant(obis.Clock{Zone: time.UTC})
		}
		if j.seen[at[row].Unix()] || !at[row].After(j.known) {
			continue
		}
		out.AppendRow(p, row)
	}
	if j.seen == nil {
		j.seen = map[int64]bool{}
	}
	for _, t := range at {
		j.seen[t.Unix()] = true
	}
	known := slices.Sorted(maps.Keys(j.seen))
	for i, unix := range known {
		t := time.Unix(unix, 0)
		if i > 0 && p.Period > 0 && unix-known[i-1] > int64(p.Period)*3/2 && j.missing(time.Unix(known[i-1], 0)) {
			break
		}
		if t.After(j.known) {
			j.known = t
		}
	}
	maps.DeleteFunc(j.seen, func(unix int64, _ bool) bool { return unix < j.known.Unix() })
	return out
}

// missing reports whether a hole behind a row is to be asked for again.
func (j *planned) missing(row time.Time) bool {
	if !j.hole.Equal(row) {
		if row.Before(j.hole) {
			return false // it was given up
		}
		j.hole, j.asked = row, 0
	}
	j.asked++
	return j.asked < maxAsked
}

// events reads the events behind the last one that is known.
func (j *planned) events(ctx context.Context, s Session) (*Result, error) {
	from := j.known
	if earliest := time.Now().Add(-j.LookBack); from.Before(earliest) {
		from = earliest
	}
	r, err := s.Events(ctx, from, time.Time{})
	if r == nil {
		return nil, err
	}
	newest := j.known
	r.Events = slices.DeleteFunc(r.Events, func(e obis.Event) bool {
		at, ok := e.Time.Instant(r.Clock)
		if ok && at.After(newest) {
			newest = at
		}
		return ok && !at.After(j.known)
	})
	j.known = newest
	if len(r.Events) == 0 && err == nil {
		return nil, nil
	}
	return r, err
}

// hearer keeps the newest message of each meter that pushes.
type hearer struct {
	mu      sync.Mutex
	newest  map[string]*Result
	failed  error // the line is gone
	last    time.Time
	between time.Duration // the longest time from one message to the next
	first   chan struct{} // closed when there was a message or an error
	begun   bool          // it was waited for; of who takes alone
	done    chan struct{}
}

// hear listens until the session is closed.
func hear(ctx context.Context, s *pushSession) *hearer {
	h := &hearer{newest: map[string]*Result{}, last: time.Now(), first: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(h.done)
		heard := sync.OnceFunc(func() { close(h.first) })
		defer heard()
		for {
			r, err := s.next(ctx)
			h.mu.Lock()
			switch {
			case r != nil:
				if len(h.newest) < maxPushers || h.newest[r.Meter.ID] != nil {
					h.newest[r.Meter.ID] = r
				}
				h.between = max(h.between, time.Since(h.last))
				h.last = time.Now()
			case errors.Is(err, ErrTimeout), errors.Is(err, ErrFrame), errors.Is(err, ErrAuth), errors.Is(err, ErrMissingKey):
				h.failed = err // the next message may be better
			default:
				h.failed = err
				h.mu.Unlock()
				return
			}
			h.mu.Unlock()
			heard()
		}
	}()
	return h
}

// take returns the newest of each meter since the last time. Where nothing came it is
// an error only when it should have.
func (h *hearer) take(ctx context.Context, interval time.Duration) ([]*Result, error) {
	if !h.begun { // the first message, or why there is none, is waited for
		h.begun = true
		timer := time.NewTimer(pushWait)
		defer timer.Stop()
		select {
		case <-h.first:
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*Result, 0, len(h.newest))
	for _, id := range slices.Sorted(maps.Keys(h.newest)) {
		list = append(list, h.newest[id])
	}
	clear(h.newest)
	err := h.failed
	h.failed = nil
	switch {
	case len(list) > 0:
		return list, nil
	case err != nil && !errors.Is(err, ErrTimeout):
		return nil, err
	case time.Since(h.last) > h.holds(interval):
		return nil, fmt.Errorf("meter: %w: nothing was pushed for %v", ErrTimeout, time.Since(h.last).Round(time.Second))
	}
	return nil, nil
}

// valid returns for how long a message holds: two intervals, or two times what lies
// between messages.
func (h *hearer) valid(interval time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.holds(interval)
}

func (h *hearer) holds(interval time.Duration) time.Duration {
	return 2 * max(interval, h.between, time.Second)
}

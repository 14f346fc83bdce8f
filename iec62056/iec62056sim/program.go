package iec62056sim

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/obis"
)

// Log is an entry of the log P.98.
type Log struct {
	Time   time.Time
	Status uint16
}

const programTimeout = 60 * time.Second // without a command programming mode ends

// program is programming mode, until the reader ends it or is silent.
func (s *server) program(ctx context.Context) error {
	operand := s.meter.cfg.Operand
	if operand == "" {
		operand = "00000000"
	}
	if err := s.send(ctx, command("P0", "("+operand+")")); err != nil {
		return err
	}
	allowed := s.meter.cfg.Password == ""
	var last []iec62056.Message // blocks that were not acknowledged yet
	for {
		m, err := s.receive(ctx, time.Now().Add(programTimeout), false)
		switch {
		case err != nil:
			return err
		case m.Kind == iec62056.KindRequest:
			s.again = &m
			return nil
		case m.Kind == iec62056.KindAck && len(last) > 1:
			last = last[1:]
			err = s.sendBlock(ctx, last[0])
		case m.Kind == iec62056.KindNak && len(last) > 0:
			err = s.sendBlock(ctx, last[0])
		case m.Kind != iec62056.KindCommand:
		case m.Command == [2]byte{'B', '0'}:
			return nil
		case m.Command == [2]byte{'P', '1'}, m.Command == [2]byte{'P', '2'}:
			if string(m.Data) != "("+s.meter.cfg.Password+")" && s.meter.cfg.Password != "" {
				return s.send(ctx, command("B0", ""))
			}
			allowed = true
			err = s.send(ctx, iec62056.Message{Kind: iec62056.KindAck})
		default:
			last = s.meter.command(m, allowed)
			if last[0].Kind == iec62056.KindData {
				err = s.sendBlock(ctx, last[0])
			} else {
				err = s.send(ctx, last[0])
			}
		}
		if err != nil {
			return err
		}
	}
}

func command(name, data string) iec62056.Message {
	return iec62056.Message{Kind: iec62056.KindCommand, Command: [2]byte([]byte(name)), Data: []byte(data), HasData: data != ""}
}

func answer(data string) []iec62056.Message {
	return []iec62056.Message{{Kind: iec62056.KindData, Data: []byte(data)}}
}

const (
	errorUnknown = "(ER01)" // no such register or command
	errorDenied  = "(ER02)" // the password is missing
)

// command returns the answer to a command of programming mode, in one or more blocks.
func (m *Meter) command(c iec62056.Message, allowed bool) []iec62056.Message {
	id, argument, ok := strings.Cut(strings.TrimSuffix(string(c.Data), ")"), "(")
	switch kind := c.Command[0]; {
	case kind == 'E' && allowed:
		return []iec62056.Message{{Kind: iec62056.KindAck}}
	case kind == 'W' && allowed && ok && m.write(id, argument):
		return []iec62056.Message{{Kind: iec62056.KindAck}}
	case kind == 'W', kind == 'E':
		return answer(errorDenied)
	case kind != 'R' || !ok || m.cfg.Faults.NoR5 && c.Command[1] == '5':
		return answer(errorUnknown)
	case id == "P.01":
		return m.interval(m.profile, argument)
	case id == "P.98":
		return m.interval(m.log, argument)
	}
	for _, line := range m.readout() {
		if strings.HasPrefix(line, id+"(") {
			return answer(line)
		}
	}
	return answer(errorUnknown)
}

// maxWritten is how many registers may be written.
const maxWritten = 256

// write keeps the value of a register, unless there are too many.
func (m *Meter) write(id, value string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.written[id]; !known && len(m.written) >= maxWritten {
		return false
	}
	if m.written == nil {
		m.written = map[string]string{}
	}
	m.written[id] = value
	return true
}

// interval answers a request for an interval, "from;to" or "from;to;lines per block".
func (m *Meter) interval(lines func(from, to time.Time) []string, argument string) []iec62056.Message {
	fields := strings.Split(argument, ";")
	if len(fields) < 2 {
		fields = append(fields, "")
	}
	now := m.cfg.Now()
	from, okFrom := m.parseTime(fields[0], time.Time{})
	to, okTo := m.parseTime(fields[1], now)
	if !okFrom || !okTo {
		return answer(errorUnknown)
	}
	all := lines(from, to)
	per := len(all)
	if len(fields) > 2 {
		if n, err := strconv.Atoi(fields[2]); err == nil && n > 0 {
			per = n
		}
	}
	var blocks []iec62056.Message
	for len(all) > 0 {
		n := min(per, len(all))
		blocks = append(blocks, iec62056.Message{
			Kind: iec62056.KindData, Data: []byte(strings.Join(all[:n], "\r\n") + "\r\n"), Partial: n < len(all),
		})
		all = all[n:]
	}
	if len(blocks) == 0 {
		return answer("()")
	}
	return blocks
}

// parseTime reads YYMMDDhhmm in the meter's zone, with or without season digit;
// nothing gives the default.
func (m *Meter) parseTime(s string, missing time.Time) (time.Time, bool) {
	if s == "" {
		return missing, true
	}
	season := ""
	if len(s) == 11 {
		season, s = s[:1], s[1:]
	}
	t, err := time.ParseInLocation("0601021504", s, m.cfg.Now().Location())
	if err != nil {
		return time.Time{}, false
	}
	for _, other := range []time.Time{t.Add(-time.Hour), t.Add(time.Hour)} {
		if season != "" && seasonDigit(t) != season && seasonDigit(other) == season && other.Format("1504") == t.Format("1504") {
			return other, true
		}
	}
	return t, true
}

const profilePeriod = 15 * time.Minute

// profile returns the lines of a load profile of the periods that end from
// from to to. A new header begins where the season changes.
func (m *Meter) profile(from, to time.Time) []string {
	days := m.cfg.Days
	if days <= 0 {
		days = 40
	}
	now := m.cfg.Now()
	if oldest := now.AddDate(0, 0, -days); from.Before(oldest) {
		from = oldest
	}
	if to.After(now) {
		to = now
	}
	var lines []string
	season := ""
	t := from.Truncate(profilePeriod)
	if t.Before(from) {
		t = t.Add(profilePeriod)
	}
	for ; !t.After(to); t = t.Add(profilePeriod) {
		local := t.In(now.Location())
		if s := seasonDigit(local); s != season {
			status := "00"
			if s == "1" {
				status = "08"
			}
			season = s
			lines = append(lines, fmt.Sprintf("P.01(%s)(%s)(15)(2)(1.5)(kW)(2.5)(kW)", stamp(local), status))
		}
		quarter := t.Unix() / int64(profilePeriod/time.Second)
		lines = append(lines, fmt.Sprintf("(%06.3f)(%06.3f)", float64(quarter%97)/10, float64(quarter%13)/100))
	}
	return lines
}

func seasonDigit(t time.Time) string {
	if obis.IsDST(t) {
		return "1"
	}
	return "0"
}

// stamp is ZYYMMDDhhmmss.
func stamp(t time.Time) string { return seasonDigit(t) + t.Format("060102150405") }

// log returns the entries from from to to.
func (m *Meter) log(from, to time.Time) []string {
	entries := m.cfg.Logs
	if entries == nil {
		day := m.cfg.Now().Truncate(24 * time.Hour)
		entries = []Log{
			{day.Add(-50 * time.Hour), 0x0080}, {day.Add(-49 * time.Hour), 0x0040}, {day.Add(-20 * time.Hour), 0x0020},
		}
	}
	var lines []string
	for _, e := range entries {
		if !e.Time.Before(from) && !e.Time.After(to) {
			lines = append(lines, fmt.Sprintf("P.98(%s)(%04X)()(0)", stamp(e.Time.In(m.cfg.Now().Location())), e.Status))
		}
	}
	return lines
}

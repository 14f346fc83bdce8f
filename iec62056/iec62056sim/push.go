package iec62056sim

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/iec62056/p1"
	"github.com/openusm/meter/iec62056/sml"
	"github.com/openusm/meter/internal/stream"
	"github.com/openusm/meter/obis"
)

// Push sends the readout at 2400 baud without being asked, again and again
// after the interval (mode D), until the connection ends or ctx does.
func (m *Meter) Push(ctx context.Context, rw io.ReadWriteCloser, interval time.Duration) error {
	return push(ctx, rw, 2400, "7E1", interval, func() []byte {
		b, _ := iec62056.Message{Kind: iec62056.KindIdentification, Identification: m.ident}.AppendBinary(nil)
		data := strings.Join(m.readout(), "\r\n") + "\r\n!\r\n"
		b, _ = iec62056.Message{Kind: iec62056.KindData, Data: []byte(data)}.AppendBinary(b)
		return b
	})
}

// push sends what next returns, at once and after every interval, to whoever takes
// it within idleTime.
func push(ctx context.Context, rw io.ReadWriteCloser, baud int, framing string, interval time.Duration, next func() []byte) error {
	conn := stream.New(rw)
	defer conn.Close()
	if line, ok := rw.(interface {
		SetLine(baud int, framing string) error
	}); ok {
		if err := line.SetLine(baud, framing); err != nil {
			return err
		}
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := conn.Write(ctx, patience(rw, 0), next()); err != nil {
			if errors.Is(err, io.ErrClosedPipe) || ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// P1Config says what a [P1] meter is. The zero P1Config, and nil, are a Dutch
// meter of version 5 with a gas meter.
type P1Config struct {
	Version  string                       // "5.0", "4.2", "3" or "50217" (Belgium); empty means "5.0"
	Interval time.Duration                // between telegrams; 0 means one second, ten before version 5
	Now      func() time.Time             // the meter's clock, in the zone that it shows; nil means that of the machine
	Wrap     func(telegram []byte) []byte // turns each telegram into what is sent, to encrypt it; nil sends it as it is
	BadCRC   int                          // the first so many telegrams have a wrong CRC
}

// P1 is a simulated meter with a customer port. It serves any number of connections.
type P1 struct {
	cfg   P1Config
	start time.Time
	sent  atomic.Int64
}

// NewP1 returns a meter, which starts to count now.
func NewP1(cfg *P1Config) *P1 {
	p := &P1{}
	if cfg != nil {
		p.cfg = *cfg
	}
	if p.cfg.Version == "" {
		p.cfg.Version = "5.0"
	}
	if p.cfg.Now == nil {
		p.cfg.Now = time.Now
	}
	if p.cfg.Interval <= 0 {
		p.cfg.Interval = 10 * time.Second
		if p.cfg.Version[0] == '5' {
			p.cfg.Interval = time.Second
		}
	}
	p.start = p.cfg.Now()
	return p
}

// Serve sends telegrams until the connection ends or ctx does.
func (p *P1) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	baud, framing := 115200, "8N1"
	if p.cfg.Version == "3" {
		baud, framing = 9600, "7E1"
	}
	return push(ctx, rw, baud, framing, p.cfg.Interval, p.next)
}

func (p *P1) next() []byte {
	b := p.Telegram(p.cfg.Now())
	if int(p.sent.Add(1)) <= p.cfg.BadCRC {
		b[len(b)/2] ^= 1
	}
	if p.cfg.Wrap != nil {
		return p.cfg.Wrap(b)
	}
	return b
}

// Telegram returns what the meter sends at a time.
func (p *P1) Telegram(now time.Time) []byte {
	checked := p.cfg.Version != "3"
	id, _, _ := iec62056.ParseIdentification([]byte("/OUM5\\2METERSIM\r\n"))
	t := p1.Telegram{Identification: id, Checked: checked, Data: []byte(strings.Join(p.lines(now), "\r\n"))}
	b, _ := t.AppendBinary(nil)
	return b
}

// lines is a household with a little sun on the roof.
func (p *P1) lines(now time.Time) []string {
	wh := int64(now.Sub(p.start) / (3600 * time.Millisecond))
	kwh := func(wh int64) string { return fmt.Sprintf("%06d.%03d*kWh", wh/1000, wh%1000) }
	common := []string{
		"1-0:1.8.1(" + kwh(4_321_987+wh) + ")",
		"1-0:1.8.2(" + kwh(3_210_654) + ")",
		"1-0:2.8.1(" + kwh(987_321) + ")",
		"1-0:2.8.2(" + kwh(2_109_876) + ")",
		"0-0:96.14.0(0002)",
		fmt.Sprintf("1-0:1.7.0(01.%03d*kW)", 100+now.Unix()%60),
		"1-0:2.7.0(00.000*kW)",
	}
	switch p.cfg.Version {
	case "3":
		return append(append([]string{"0-0:96.1.1(" + hexText("SIM0000004321") + ")"}, common...),
			"0-0:17.0.0(0999.00*kW)", "0-0:96.3.10(1)", "0-0:96.13.1()", "0-0:96.13.0()", "0-1:24.1.0(3)",
			"0-1:96.1.0("+hexText("G2622243")+")",
			"0-1:24.3.0("+now.Truncate(time.Hour).Format("060102150405")+")(00)(60)(1)(0-1:24.2.1)(m3)", "(00012.345)", "0-1:24.4.0(1)")
	case "50217":
		return append(append([]string{"0-0:96.1.4(50217)", "0-0:96.1.1(" + hexText("1SIM0000000001") + ")", "0-0:1.0.0(" + p1Stamp(now) + ")"}, common...),
			"1-0:1.4.0(00.052*kW)", "1-0:1.6.0("+p1Stamp(now.Add(-time.Hour))+")(03.064*kW)", "1-0:32.7.0(232.9*V)", "1-0:31.7.0(000.27*A)",
			"0-0:96.13.0()", "0-1:24.1.0(003)", "0-1:96.1.1("+hexText("7SIM0000000001")+")", "0-1:24.4.0(1)",
			"0-1:24.2.3("+p1Stamp(now.Truncate(5*time.Minute))+")(00092.287*m3)")
	}
	version := strings.ReplaceAll(p.cfg.Version, ".", "")
	return append(append([]string{"1-3:0.2.8(" + version + ")", "0-0:1.0.0(" + p1Stamp(now) + ")", "0-0:96.1.1(" + hexText("E0012006112000001") + ")"}, common...),
		"0-0:96.7.21(00013)", "0-0:96.7.9(00002)",
		"1-0:99.97.0(2)(0-0:96.7.19)(251208152415W)(0000000240*s)(260708151004S)(0000000301*s)",
		"1-0:32.32.0(00002)", "1-0:52.32.0(00001)", "1-0:72.32.0(00000)", "1-0:32.36.0(00000)", "1-0:52.36.0(00003)", "1-0:72.36.0(00000)",
		"0-0:96.13.0()", "1-0:32.7.0(230.1*V)", "1-0:52.7.0(229.8*V)", "1-0:72.7.0(231.0*V)",
		"1-0:31.7.0(001*A)", "1-0:51.7.0(002*A)", "1-0:71.7.0(003*A)",
		"1-0:21.7.0(00.378*kW)", "1-0:41.7.0(00.611*kW)", "1-0:61.7.0(00.204*kW)",
		"1-0:22.7.0(00.000*kW)", "1-0:42.7.0(00.000*kW)", "1-0:62.7.0(00.000*kW)",
		"0-1:24.1.0(003)", "0-1:96.1.0("+hexText("G0026003112000002")+")",
		"0-1:24.2.1("+p1Stamp(now.Truncate(5*time.Minute))+")(12785.123*m3)")
}

func hexText(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }

// p1Stamp is YYMMDDhhmmssX.
func p1Stamp(t time.Time) string {
	if obis.IsDST(t) {
		return t.Format("060102150405") + "S"
	}
	return t.Format("060102150405") + "W"
}

// SMLConfig says what an [SML] meter is. The zero SMLConfig, and nil, are a
// meter that sends once a second.
type SMLConfig struct {
	ServerID []byte           // ten octets of DIN 43863-5; empty means "1 OUM 00 60694612"
	Interval time.Duration    // between files; 0 means one second
	Now      func() time.Time // the meter's clock; nil means that of the machine
	BadCRC   int              // the first so many files have a wrong CRC
}

// SML is a simulated meter that pushes SML. It serves any number of connections.
type SML struct {
	cfg   SMLConfig
	start time.Time
	sent  atomic.Int64
}

// NewSML returns a meter, which starts to count now.
func NewSML(cfg *SMLConfig) *SML {
	s := &SML{}
	if cfg != nil {
		s.cfg = *cfg
	}
	if s.cfg.Now == nil {
		s.cfg.Now = time.Now
	}
	if s.cfg.Interval <= 0 {
		s.cfg.Interval = time.Second
	}
	if len(s.cfg.ServerID) == 0 {
		s.cfg.ServerID = []byte{0x0A, 0x01, 'O', 'U', 'M', 0, 0x03, 0x9E, 0x20, 0x54}
	}
	s.start = s.cfg.Now()
	return s
}

// Serve sends files until the connection ends or ctx does.
func (s *SML) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	return push(ctx, rw, 9600, "8N1", s.cfg.Interval, func() []byte {
		b := s.File(s.cfg.Now())
		if int(s.sent.Add(1)) <= s.cfg.BadCRC {
			b[len(b)/2] ^= 1
		}
		return b
	})
}

// File returns what the meter sends at a time.
func (s *SML) File(now time.Time) []byte {
	seconds := int32(now.Sub(s.start) / time.Second)
	index := obis.Relative(1000 + seconds)
	l := sml.List{ServerID: s.cfg.ServerID, Name: []byte{1, 0, 98, 10, 255, 255}, SensorTime: index}
	register := func(c, d, e byte, unit obis.Unit, v obis.Value) sml.Entry {
		return sml.Entry{Name: []byte{1, 0, c, d, e, 255}, Unit: unit, Value: v}
	}
	energy := register(1, 8, 0, obis.WattHour, obis.Int(123_456_780+int64(seconds)*3, -1))
	energy.HasStatus, energy.Status, energy.Time = true, 0x1C0104, index
	l.SetEntries([]sml.Entry{
		{Name: []byte{1, 0, 96, 50, 1, 1}, Value: obis.Text(s.cfg.ServerID[2:5])},
		{Name: []byte{1, 0, 96, 1, 0, 255}, Value: obis.Octets(s.cfg.ServerID)},
		energy,
		register(2, 8, 0, obis.WattHour, obis.Int(1234, -1)),
		register(16, 7, 0, obis.Watt, obis.Int(1000+now.Unix()%60, 0)),
		register(36, 7, 0, obis.Watt, obis.Int(-300, 0)),
		register(32, 7, 0, obis.Volt, obis.Int(2301, -1)),
	})
	var data []byte
	id := byte(s.sent.Load())
	for _, m := range []sml.Message{
		sml.Open([]byte{id, 1}, []byte{id}, s.cfg.ServerID), l.Message([]byte{id, 2}), sml.Close([]byte{id, 3}),
	} {
		data, _ = m.AppendBinary(data)
	}
	b, _ := sml.Frame{Data: data}.AppendBinary(nil)
	return b
}

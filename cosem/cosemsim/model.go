package cosemsim

import (
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/obis"
)

// quantity is a register of the meter: its value follows from the time.
type quantity struct {
	name   string
	scaler int8
	unit   obis.Unit
	at     func(t time.Time) int64
}

// epoch is when the counters stood at zero.
var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// power is the load in watts: a base with a daily and a quarter-hourly swing, all in whole numbers.
func power(t time.Time) int64 {
	quarter := t.Unix() / 900
	return 400 + (quarter*37)%200 + []int64{0, 0, 0, 100, 900, 500, 700, 1600}[t.UTC().Hour()/3]
}

// energy counts what was drawn since the epoch, in tenths of a watt hour: the mean load is 1,100 W.
func energy(t time.Time) int64 {
	seconds := int64(t.Sub(epoch) / time.Second)
	return seconds * 1100 * 10 / 3600
}

func constant(v int64) func(time.Time) int64 { return func(time.Time) int64 { return v } }

func share(f func(time.Time) int64, part, of int64) func(time.Time) int64 {
	return func(t time.Time) int64 { return f(t) * part / of }
}

var quantities = []quantity{
	{"1-0:1.8.0", -1, obis.WattHour, energy},
	{"1-0:1.8.1", -1, obis.WattHour, share(energy, 2, 3)},
	{"1-0:1.8.2", -1, obis.WattHour, func(t time.Time) int64 { return energy(t) - share(energy, 2, 3)(t) }},
	{"1-0:2.8.0", -1, obis.WattHour, share(energy, 1, 20)},
	{"1-0:3.8.0", -1, obis.VarHour, share(energy, 1, 5)},
	{"1-0:4.8.0", -1, obis.VarHour, share(energy, 1, 50)},
	{"1-0:1.7.0", 0, obis.Watt, power},
	{"1-0:2.7.0", 0, obis.Watt, constant(0)},
	{"1-0:3.7.0", 0, obis.Var, share(power, 1, 5)},
	{"1-0:32.7.0", -1, obis.Volt, func(t time.Time) int64 { return 2301 + t.Unix()/60%7 }},
	{"1-0:52.7.0", -1, obis.Volt, func(t time.Time) int64 { return 2296 + t.Unix()/60%5 }},
	{"1-0:72.7.0", -1, obis.Volt, func(t time.Time) int64 { return 2305 + t.Unix()/60%3 }},
	{"1-0:31.7.0", -2, obis.Ampere, share(power, 100, 3*230)},
	{"1-0:51.7.0", -2, obis.Ampere, share(power, 100, 3*229)},
	{"1-0:71.7.0", -2, obis.Ampere, share(power, 100, 3*231)},
	{"1-0:13.7.0", -3, obis.Count, constant(981)},
	{"1-0:14.7.0", -2, obis.Hertz, func(t time.Time) int64 { return 4998 + t.Unix()/30%5 }},
}

// profileColumns are the registers that the load profile records.
var profileColumns = []string{"1-0:1.8.0", "1-0:2.8.0", "1-0:3.8.0", "1-0:4.8.0"}

var clockColumn = cosem.Capture{Attribute: cosem.Attribute{Class: cosem.ClassClock, Name: obis.MustParse("0-0:1.0.0"), Index: 2}}

func (m *Meter) now() time.Time { return m.cfg.Now().Add(m.shift).In(m.cfg.Zone) }

// build makes the objects of the meter.
func (m *Meter) build() {
	m.add(cosem.ClassData, "0-0:42.0.0", 2, values(fixed(cosem.OctetString([]byte(m.cfg.DeviceName)))))
	m.add(cosem.ClassData, "0-0:96.1.0", 2, values(fixed(cosem.OctetString([]byte(m.cfg.Serial)))))
	m.add(cosem.ClassData, "1-0:0.2.0", 2, values(fixed(cosem.VisibleString("1.0"))))
	m.add(cosem.ClassSAPAssignment, "0-0:41.0.0", 2, values(fixed(cosem.Array(cosem.Structure(
		cosem.Uint16(dlms.DefaultServer), cosem.OctetString([]byte(m.cfg.DeviceName)))))))
	m.buildClock()
	for _, q := range quantities {
		value := func() cosem.Data { return cosem.Uint32(uint32(q.at(m.now()))) }
		m.add(cosem.ClassRegister, q.name, 3, values(value, fixed(cosem.ScalerUnit{Scaler: q.scaler, Unit: q.unit, Known: true}.Data())))
	}
	watt := fixed(cosem.ScalerUnit{Unit: obis.Watt, Known: true}.Data())
	m.add(cosem.ClassExtendedRegister, "1-0:1.6.0", 5, values(
		fixed(cosem.Uint32(4321)), watt, fixed(cosem.Uint8(0)), func() cosem.Data { return cosem.DateTime(obis.FromTime(m.monthStart())) }))
	m.add(cosem.ClassDemandRegister, "1-0:1.4.0", 9, values(
		func() cosem.Data { return cosem.Uint32(uint32(power(m.now()))) },
		func() cosem.Data { return cosem.Uint32(uint32(power(m.now().Add(-m.cfg.Period)))) },
		watt, fixed(cosem.Uint8(0)),
		func() cosem.Data { return cosem.DateTime(obis.FromTime(m.now())) },
		func() cosem.Data { return cosem.DateTime(obis.FromTime(m.now().Truncate(m.cfg.Period))) },
		fixed(cosem.Uint32(uint32(m.cfg.Period/time.Second))), fixed(cosem.Uint16(1))))
	m.buildLoadProfile()
	m.buildEventLog()
	m.buildControls()
	m.buildImage()
	m.buildSecurity()
}

func (m *Meter) monthStart() time.Time {
	now := m.now()
	return time.Date(now.Year(), now.Month(), 1, 18, 30, 0, 0, m.cfg.Zone)
}

func (m *Meter) buildClock() {
	_, offset := m.now().Zone()
	m.add(cosem.ClassClock, "0-0:1.0.0", 9, values(
		func() cosem.Data { return cosem.DateTime(obis.FromTime(m.now())) },
		fixed(cosem.Int16(int16(-offset/60))), fixed(cosem.Uint8(0)),
		fixed(cosem.DateTime(obis.Time{})), fixed(cosem.DateTime(obis.Time{})), fixed(cosem.Int8(60)),
		fixed(cosem.Bool(false)), fixed(cosem.Enum(1))))
	m.writable(2, func(d cosem.Data) cosem.DataAccessResult {
		t, ok := d.Time()
		if !ok {
			return cosem.TypeUnmatched
		}
		at, ok := t.Instant(obis.Clock{Zone: m.cfg.Zone})
		if !ok {
			return cosem.TypeUnmatched
		}
		m.shift = at.Sub(m.cfg.Now())
		return cosem.Success
	})
}

// relay is the meter's disconnector.
type relay struct{ off bool }

// buildControls adds what can be written and done: a message and the disconnector.
func (m *Meter) buildControls() {
	m.message = cosem.OctetString(nil)
	m.add(cosem.ClassData, "0-0:96.13.0", 2, values(func() cosem.Data { return m.message }))
	m.writable(2, func(d cosem.Data) cosem.DataAccessResult {
		if d.Tag() != cosem.TagOctetString {
			return cosem.TypeUnmatched
		}
		m.message = d.Clone()
		return cosem.Success
	})
	m.add(cosem.ClassDisconnectControl, "0-0:96.3.10", 4, values(
		func() cosem.Data { return cosem.Bool(!m.relay.off) },
		func() cosem.Data { return cosem.Enum(map[bool]uint8{true: 0, false: 1}[m.relay.off]) },
		fixed(cosem.Enum(4))))
	m.methods(2, func(_ *dlms.Partner, index int8, _ *cosem.Data) (*cosem.Data, cosem.ActionResult) {
		m.relay.off = index == 1
		return nil, 0
	})
	m.buildLimiter()
}

// buildLimiter adds a limiter of the power, in the type and scaler of that register.
func (m *Meter) buildLimiter() {
	none := cosem.Structure(cosem.Uint16(0), cosem.OctetString(make([]byte, 6)), cosem.Int8(0))
	m.threshold = 100_000
	threshold := func() cosem.Data { return cosem.Uint32(m.threshold) }
	m.add(cosem.ClassLimiter, "0-0:17.0.0", 11, values(
		fixed(cosem.Structure(cosem.Uint16(uint16(cosem.ClassRegister)), cosem.Name(obis.MustParse("1-0:1.7.0")), cosem.Int8(2))),
		threshold, threshold, threshold,
		fixed(cosem.Uint32(60)), fixed(cosem.Uint32(60)),
		fixed(cosem.Structure(cosem.Uint16(0), cosem.DateTime(obis.Time{}), cosem.Uint32(0))), fixed(cosem.Array()), fixed(cosem.Bool(false)),
		fixed(cosem.Structure(cosem.Structure(cosem.Name(obis.MustParse("0-0:10.0.106")), cosem.Uint16(1)), none))))
	m.writable(4, func(d cosem.Data) cosem.DataAccessResult {
		n, ok := d.Uint()
		if d.Tag() != cosem.TagDoubleLongUnsigned || !ok {
			return cosem.TypeUnmatched
		}
		m.threshold = uint32(n)
		return cosem.Success
	})
}

// buildLoadProfile adds 1-0:99.1.0: clock, status and four energies.
func (m *Meter) buildLoadProfile() {
	status := cosem.Capture{Attribute: cosem.Attribute{Class: cosem.ClassData, Name: obis.MustParse("0-0:96.10.1"), Index: 2}}
	m.add(cosem.ClassData, "0-0:96.10.1", 2, values(fixed(cosem.Uint8(0))))
	columns := []cosem.Capture{clockColumn, status}
	for _, name := range profileColumns {
		columns = append(columns, cosem.Capture{Attribute: cosem.Attribute{Class: cosem.ClassRegister, Name: obis.MustParse(name), Index: 2}})
	}
	m.addProfile("1-0:99.1.0", columns, uint32(m.cfg.Period/time.Second), uint32(m.cfg.Rows), m.loadRows)
}

// loadRows returns the rows of the load profile, the oldest first.
func (m *Meter) loadRows() []row {
	last := m.now().Truncate(m.cfg.Period)
	rows := make([]row, 0, m.cfg.Rows)
	for i := range m.cfg.Rows {
		at := last.Add(-time.Duration(m.cfg.Rows-1-i) * m.cfg.Period)
		r := row{at, []cosem.Data{cosem.DateTime(obis.FromTime(at)), cosem.Uint8(rowStatus(at))}}
		for _, name := range profileColumns {
			for _, q := range quantities {
				if q.name == name {
					r.cells = append(r.cells, cosem.Uint32(uint32(q.at(at))))
				}
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// rowStatus says that the supply failed once a week.
func rowStatus(at time.Time) uint8 {
	if at.Unix()/900%672 == 100 {
		return 0x80 // power down
	}
	return 0
}

// buildEventLog adds 0-0:99.98.0: clock and event code.
func (m *Meter) buildEventLog() {
	code := cosem.Capture{Attribute: cosem.Attribute{Class: cosem.ClassData, Name: obis.MustParse("0-0:96.11.0"), Index: 2}}
	m.add(cosem.ClassData, "0-0:96.11.0", 2, values(fixed(cosem.Uint8(1))))
	m.addProfile("0-0:99.98.0", []cosem.Capture{clockColumn, code}, 0, 100, m.eventRows)
}

// eventRows returns a power failure and its end for each of the last ten weeks.
func (m *Meter) eventRows() []row {
	var rows []row
	week := m.now().Truncate(7 * 24 * time.Hour)
	for i := 10; i > 0; i-- {
		down := week.Add(-time.Duration(i) * 7 * 24 * time.Hour).Add(25 * time.Hour).In(m.cfg.Zone)
		for _, e := range []struct {
			at   time.Time
			code uint8
		}{{down, 1}, {down.Add(3 * time.Minute), 2}} {
			rows = append(rows, row{e.at, []cosem.Data{cosem.DateTime(obis.FromTime(e.at)), cosem.Uint8(e.code)}})
		}
	}
	return rows
}

package mbus

import "github.com/openusm/meter/obis"

// maxMeters is how many meters a decoder remembers; the one that came first goes first.
const maxMeters = 4096

// meters is what a decoder remembers of each meter.
type meters struct {
	known map[Address]*meter
	order []Address // oldest at next
	next  int
	last  *meter
}

// meter is what is remembered of one.
type meter struct {
	address  Address
	asked    bool
	key      *Key
	counter  CounterID
	proves   bool       // one of its messages was verified
	identity obis.Meter // its texts; firmware and model are those of the last telegram
}

// of returns what is remembered of a meter.
func (m *meters) of(a Address) *meter {
	if m.last != nil && m.last.address == a {
		return m.last
	}
	found := m.known[a]
	if found == nil {
		found = m.add(a)
	}
	m.last = found
	return found
}

func (m *meters) add(a Address) *meter {
	if m.known == nil {
		m.known = map[Address]*meter{}
	}
	if len(m.order) < maxMeters {
		m.order = append(m.order, a)
	} else {
		delete(m.known, m.order[m.next])
		m.order[m.next] = a
		m.next = (m.next + 1) % maxMeters
	}
	found := &meter{address: a}
	m.known[a] = found
	return found
}

// Key returns the key of a meter, for which Keys is asked once.
func (d *Decoder) Key(a Address) *Key {
	if d.Keys == nil {
		return nil
	}
	m := d.meters.of(a)
	if !m.asked {
		m.asked, m.key = true, d.Keys(a)
		if m.key != nil {
			m.counter = m.key.CMAC(a.AppendLink(nil)[2:6])
		}
	}
	return m.key
}

// meter returns the identity of the meter that sent the telegram, whose texts
// are made once.
func (d *Decoder) meter(t *Telegram) obis.Meter {
	a := t.Header.Address
	if a == (Address{}) {
		return obis.Meter{}
	}
	m := d.meters.of(a)
	if m.identity.ID == "" {
		m.identity = a.Meter()
	}
	id := &m.identity
	firmware, model := false, false
	for i := range t.Records {
		r := &t.Records[i]
		if r.Value.IsNone() || r.Qualifiers != 0 {
			continue
		}
		switch r.Quantity {
		case QuantityMetrologyFirmwareVersion:
			d.text, firmware = remember(&id.Firmware, d.text, r.Value), true
		case QuantityModelVersion:
			d.text, model = remember(&id.Model, d.text, r.Value), true
		}
	}
	if !firmware {
		id.Firmware = ""
	}
	if !model {
		id.Model = ""
	}
	return *id
}

// remember makes the text of a value unless it is there already.
func remember(text *string, scratch []byte, v obis.Value) []byte {
	scratch = v.Append(scratch[:0])
	if *text != string(scratch) {
		*text = string(scratch)
	}
	return scratch
}

// Report is what a telegram says in the terms of the model.
type Report struct {
	Readings []obis.Reading // Source is an index of the telegram's records
	Profiles []obis.Profile
	Meter    obis.Meter
}

// Report returns the readings, profiles and meter of a telegram, in memory of
// the decoder: it is valid until the next call of Report or Parse. See
// [Decoder.AppendReadings] and [Decoder.AppendProfiles].
func (d *Decoder) Report(t *Telegram) *Report {
	r := &d.report
	r.Readings = d.AppendReadings(r.Readings[:0], t)
	r.Profiles = d.AppendProfiles(r.Profiles[:0], t)
	r.Meter = d.meter(t)
	return r
}

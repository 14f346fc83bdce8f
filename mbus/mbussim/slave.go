package mbussim

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/link"
	"github.com/openusm/meter/obis"
)

// Meter is a slave as it is configured.
type Meter struct {
	Primary     byte // 0: unconfigured
	Address     mbus.Address
	Status      byte
	Key         []byte                           // 16 octets: telegrams are encrypted in mode 5; nil: plain
	Fabrication uint32                           // the number for enhanced selection, eight digits; 0: the ID
	Telegrams   func(now time.Time) [][]byte     // the records of each telegram of an answer
	Alarm       func(now time.Time) (byte, bool) // the alarm octet, if there is an alarm; nil: never
}

// slave is a meter with the state of its link.
type slave struct {
	Meter
	selected bool
	own      history // for its primary address and 254
	network  history // for 253
	access   byte
	ahead    time.Duration // of its clock
	readout  [][]byte      // VIBs of the records to send; nil: all
}

// history is what a slave remembers to recognise repetitions.
type history struct {
	seen   bool // there was a request with FCV
	fcb    bool
	answer []byte // the last answer, sent again for a repetition
	next   int    // the telegram to send next
}

// ackFrame acknowledges.
var ackFrame = []byte{0xE5}

// answer returns what the slave sends after a frame, nil for nothing.
func (s *slave) answer(f link.Frame, now time.Time) []byte {
	if f.Form == link.Ack || !f.C.Primary() {
		return nil
	}
	if f.A == link.Selected && f.C.Function() == link.SndUD && len(f.Payload) > 0 && (f.Payload[0] == 0x52 || f.Payload[0] == 0x56) {
		return s.selection(f.Payload)
	}
	h := &s.own
	switch {
	case f.A == link.Selected && s.selected:
		h = &s.network
	case f.A == s.Primary, f.A == link.BroadcastTest:
	case f.A == link.Broadcast:
		s.react(f, h, now)
		return nil
	default:
		return nil
	}
	return s.react(f, h, now)
}

// react handles a frame that is for the slave.
func (s *slave) react(f link.Frame, h *history, now time.Time) []byte {
	switch f.C.Function() {
	case link.SndNKE:
		if f.A == link.Selected {
			s.selected = false
		}
		*h = history{}
		return ackFrame
	case link.SndUD:
		if s.repeated(f, h) {
			return h.answer
		}
		h.answer = s.command(f.Payload, h, now)
		return h.answer
	case link.ReqUD2:
		if s.repeated(f, h) && h.answer != nil {
			return h.answer
		}
		h.answer = s.telegram(h, now)
		return h.answer
	case link.ReqUD1:
		if s.repeated(f, h) && h.answer != nil {
			return h.answer
		}
		h.answer = s.alarm(now)
		return h.answer
	case link.ReqSKE:
		return s.frame(0x0B, nil)
	}
	return nil
}

// repeated reports whether the frame is the last one again, and remembers it.
func (s *slave) repeated(f link.Frame, h *history) bool {
	fcb, valid := f.C.FCB()
	if !valid {
		return false
	}
	again := h.seen && h.fcb == fcb
	h.seen, h.fcb = true, fcb
	return again
}

// selection selects or deselects the slave by secondary address.
func (s *slave) selection(p []byte) []byte {
	s.selected = false
	if len(p) < 9 {
		return nil
	}
	want := mbus.SecondaryAddress([8]byte(p[1:]))
	if p[0] == 0x56 {
		want.ID = binary.BigEndian.Uint32(p[1:])
		want.Manufacturer = mbus.Manufacturer(binary.BigEndian.Uint16(p[5:]))
	}
	if !s.Address.Matches(want) {
		return nil
	}
	if rest := p[9:]; len(rest) >= 6 && rest[0] == 0x0C && rest[1] == 0x78 {
		number := mbus.Address{ID: s.fabrication()}
		if !number.Matches(mbus.Address{ID: binary.LittleEndian.Uint32(rest[2:]), Manufacturer: 0xFFFF, Version: 0xFF, Type: 0xFF}) {
			return nil
		}
	}
	s.selected = true
	s.network = history{}
	return ackFrame
}

func (s *slave) fabrication() uint32 {
	if s.Fabrication != 0 {
		return s.Fabrication
	}
	return s.Address.ID
}

// command carries out what the master sent, and acknowledges.
func (s *slave) command(p []byte, h *history, now time.Time) []byte {
	if len(p) == 0 {
		return nil
	}
	switch p[0] {
	case 0x50:
		h.next = 0
	case 0x51:
		s.set(p[1:], now)
	}
	return ackFrame
}

// set carries out records of the master: addresses, the clock, and what to read out.
func (s *slave) set(p []byte, now time.Time) {
	var d mbus.Decoder
	all, err := d.AppendRecords(nil, p)
	if err != nil {
		return
	}
	var readout [][]byte
	for i := range all {
		r := &all[i]
		selection := r.DIB()[0]&0x0F == 0x08
		switch {
		case r.DIB()[0] == 0x7F:
			s.readout = nil
		case selection:
			readout = append(readout, append([]byte(nil), r.VIB()...))
		case r.Quantity == mbus.QuantityBusAddress && len(r.Data) == 1 && r.Data[0] <= link.MaxPrimary:
			s.Primary = r.Data[0]
		case r.Quantity == mbus.QuantityEnhancedIdentification && len(r.Data) == 4:
			s.Address.ID = binary.LittleEndian.Uint32(r.Data)
		case r.Quantity == mbus.QuantityEnhancedIdentification && len(r.Data) == 8:
			s.Address = mbus.SecondaryAddress([8]byte(r.Data))
		case r.Quantity == mbus.QuantityDateTime:
			if t, ok := r.Value.Time(); ok {
				if at, ok := t.Instant(obis.Clock{Zone: now.Location()}); ok {
					s.ahead = at.Sub(now)
				}
			}
		}
	}
	if readout != nil {
		s.readout = readout
	}
}

// chosen returns the records that the master chose for the readout, by their VIB.
func (s *slave) chosen(records []byte) (out []byte) {
	if s.readout == nil {
		return records
	}
	var d mbus.Decoder
	all, err := d.AppendRecords(nil, records)
	if err != nil {
		return records
	}
	for i := range all {
		if slices.ContainsFunc(s.readout, func(vib []byte) bool { return bytes.Equal(vib, all[i].VIB()) }) {
			out, _ = all[i].AppendBinary(out)
		}
	}
	return out
}

// telegram returns the next telegram of the readout.
func (s *slave) telegram(h *history, now time.Time) []byte {
	all := s.Telegrams(now.Add(s.ahead))
	if h.next >= len(all) {
		h.next = 0
	}
	if len(all) == 0 {
		return nil
	}
	records := append([]byte(nil), s.chosen(all[h.next])...)
	h.next++
	if h.next < len(all) {
		records = append(records, 0x1F)
	}
	s.access++
	return s.frame(link.RspUD, s.payload(records))
}

// payload puts the header, and encryption, before records.
func (s *slave) payload(records []byte) []byte {
	p := []byte{0x72}
	header := mbus.Header{Form: mbus.HeaderLong, Address: s.Address, Access: s.access, Status: s.Status}
	if s.Key == nil {
		return append(header.AppendBinary(p), records...)
	}
	key, err := mbus.NewKey(s.Key)
	if err != nil {
		return append(header.AppendBinary(p), records...)
	}
	sealed, err := mbus.AppendEncrypted(p, header, records, key)
	if err != nil {
		return append(header.AppendBinary(p), 0x0F) // more than a telegram can hold: no records
	}
	return sealed
}

// alarm answers a request for urgent data.
func (s *slave) alarm(now time.Time) []byte {
	if s.Alarm != nil {
		if a, ok := s.Alarm(now); ok {
			return s.frame(link.RspUD, []byte{0x71, a})
		}
	}
	return ackFrame
}

// frame wraps a payload in an answer of the slave.
func (s *slave) frame(c link.C, payload []byte) []byte {
	f := link.Frame{Form: link.Long, C: c, A: s.Primary, Payload: payload}
	if len(payload) == 0 {
		f.Form = link.Short
	}
	out, err := f.AppendBinary(nil)
	if err != nil {
		return nil
	}
	return out
}

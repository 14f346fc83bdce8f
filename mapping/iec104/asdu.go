package iec104

import (
	"time"

	"github.com/thinkgos/go-iecp5/asdu"

	"github.com/openusm/meter/obis"
)

// params are the sizes that IEC 60870-5-104 prescribes. Times are written by
// this package, with their bits for validity and summer time.
var params = &asdu.Params{CauseSize: 2, CommonAddrSize: 2, InfoObjAddrSize: 3, InfoObjTimeZone: time.UTC}

// maxASDU is the longest ASDU: an APDU of 253 octets behind the length, less four of control field.
const maxASDU = 249

// encoder makes ASDUs of points.
type encoder struct {
	zone *time.Location // of the time tags; nil for UTC
}

// form is an element with its type and how many objects with it fit into one ASDU:
// six octets of header, then address, element and, where there is one, time.
type form struct {
	id    asdu.TypeID
	timed bool
	most  int
}

// timed are the forms of what is told or read by itself, plain those of interrogations. A
// counter has its time always: it is that of its freezing.
var (
	timed = [...]form{Value: {asdu.M_ME_TF_1, true, (maxASDU - 6) / (3 + 5 + 7)}, Total: {asdu.M_IT_TB_1, true, (maxASDU - 6) / (3 + 5 + 7)},
		Single: {asdu.M_SP_TB_1, true, (maxASDU - 6) / (3 + 1 + 7)}}
	plain = [...]form{Value: {asdu.M_ME_NC_1, false, (maxASDU - 6) / (3 + 5)}, Total: timed[Total], Single: {asdu.M_SP_NA_1, false, (maxASDU - 6) / (3 + 1)}}
)

// points returns the ASDUs of points of one meter and one kind, in their order.
func (e *encoder) points(f form, cause asdu.Cause, origin asdu.OriginAddr, list []*Point, useFrozen bool) (out [][]byte) {
	for len(list) > 0 {
		n := min(len(list), f.most)
		a := asdu.NewASDU(params, asdu.Identifier{
			Type: f.id, Variable: asdu.VariableStruct{Number: byte(n)}, Coa: asdu.CauseOfTransmission{Cause: cause},
			OrigAddr: origin, CommonAddr: asdu.CommonAddr(list[0].Common),
		})
		for _, p := range list[:n] {
			if a.AppendInfoObjAddr(asdu.InfoObjAddr(p.Address)) != nil {
				continue // addresses have 24 bits: rules and state see to it
			}
			e.object(a, p, f.timed, useFrozen)
		}
		list = list[n:]
		if raw, err := a.MarshalBinary(); err == nil {
			out = append(out, raw)
		}
	}
	return out
}

func (e *encoder) object(a *asdu.ASDU, p *Point, timed, useFrozen bool) {
	at, bad := p.at, p.badClock
	switch p.Kind {
	case Single:
		b := p.quality &^ overflow
		if p.on {
			b |= 0x01
		}
		a.AppendBytes(b)
	case Total:
		r := asdu.BinaryCounterReading{CounterReading: p.count, HasCarry: p.carry, IsInvalid: p.quality&(invalid|notTopical) != 0}
		if f := p.frozen; useFrozen && f != nil {
			r = asdu.BinaryCounterReading{CounterReading: f.count, HasCarry: f.carry, IsInvalid: f.bad, SeqNumber: f.number}
			at, bad = f.at, false
		}
		a.AppendBinaryCounterReading(r)
	default:
		a.AppendFloat32(p.float).AppendBytes(p.quality)
	}
	if timed {
		tag := cp56(at, e.zone, bad)
		a.AppendBytes(tag[:]...)
	}
}

// cp56 returns a time as CP56Time2a (IEC 60870-5-4, 6.8): milliseconds, minute
// with IV, hour with SU, day with day of week, month, year.
func cp56(t time.Time, zone *time.Location, bad bool) [7]byte {
	if zone == nil {
		zone = time.UTC
	}
	t = t.In(zone)
	ms := t.Second()*1000 + t.Nanosecond()/1e6
	b := [7]byte{byte(ms), byte(ms >> 8), byte(t.Minute()), byte(t.Hour()), byte(t.Day()) | byte((t.Weekday()+6)%7+1)<<5, byte(t.Month()), byte(t.Year() % 100)}
	if bad || t.IsZero() {
		b[2] |= 0x80
	}
	if obis.IsDST(t) {
		b[3] |= 0x80
	}
	return b
}

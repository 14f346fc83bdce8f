package iec61850

import (
	"encoding/binary"
	"math"
	"strings"
	"time"
)

// Quality is the quality of IEC 61850-7-3: 13 bits, of which bit 0 of the bit
// string is the highest here (1<<12).
type Quality uint16

// The bits of a quality. The first two are the validity.
const (
	Overflow Quality = 1 << (10 - iota)
	OutOfRange
	BadReference
	Oscillatory
	Failure
	OldData
	Inconsistent
	Inaccurate
	Substituted
	Test
	OperatorBlocked
)

// The validities.
const (
	Good         Quality = 0 << 11
	Invalid      Quality = 1 << 11
	Questionable Quality = 3 << 11

	validity Quality = 3 << 11
)

// QualityBits is the number of bits of a quality.
const QualityBits = 13

// Validity returns Good, Invalid or Questionable; the reserved validity counts as Invalid.
func (q Quality) Validity() Quality {
	if v := q & validity; v != 2<<11 {
		return v
	}
	return Invalid
}

// Value returns the quality as a bit string.
func (q Quality) Value() Value { return Bits(uint64(q), QualityBits) }

// Quality returns the quality that a bit string of 13 bits holds.
func (v Value) Quality() Quality { return Quality(v.Bits() & (1<<QualityBits - 1)) }

var qualityNames = [...]string{"overflow", "out-of-range", "bad-reference", "oscillatory", "failure", "old-data", "inconsistent", "inaccurate",
	"substituted", "test", "operator-blocked"}

// String names the validity and the bits that are set.
func (q Quality) String() string {
	names := []string{"good"}
	switch q.Validity() {
	case Invalid:
		names[0] = "invalid"
	case Questionable:
		names[0] = "questionable"
	}
	for i, name := range qualityNames {
		if q&(Overflow>>i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// Timestamp is the time stamp of IEC 61850-7-2: seconds since 1970 in UTC, a
// binary fraction, and how good the clock is.
type Timestamp struct {
	Seconds  uint32
	Fraction uint32 // in 2^-24 s
	Quality  TimeQuality
}

// TimeQuality is the quality of a time stamp. The low five bits are the number
// of bits of the fraction that are accurate.
type TimeQuality uint8

// The bits of a TimeQuality.
const (
	LeapSecondsKnown     TimeQuality = 0x80
	ClockFailure         TimeQuality = 0x40
	ClockNotSynchronized TimeQuality = 0x20
	AccuracyUnspecified  TimeQuality = 0x1F
)

// NewTimestamp returns t to 2^-24 s. Times outside 1970 to 2106 give the zero Timestamp.
func NewTimestamp(t time.Time, q TimeQuality) Timestamp {
	s := t.Unix()
	if s < 0 || s > math.MaxUint32 {
		return Timestamp{Quality: q}
	}
	return Timestamp{uint32(s), uint32(uint64(t.Nanosecond()) << 24 / 1e9), q}
}

// Time returns the moment, to the nanosecond below it that has the same fraction.
func (t Timestamp) Time() time.Time {
	return time.Unix(int64(t.Seconds), int64((uint64(t.Fraction)*1e9+1<<24-1)>>24)).UTC()
}

// Value returns the time stamp as a value.
func (t Timestamp) Value() Value {
	return Value{kind: UTCTime, num: uint64(t.Seconds)<<32 | uint64(t.Fraction&0xFFFFFF)<<8 | uint64(t.Quality)}
}

// Time returns the time stamp of a UTCTime.
func (v Value) Time() Timestamp {
	if v.kind != UTCTime {
		return Timestamp{}
	}
	return Timestamp{uint32(v.num >> 32), uint32(v.num>>8) & 0xFFFFFF, TimeQuality(v.num)}
}

// ParseUTCTime reads the eight octets of a UTCTime.
func ParseUTCTime(b [8]byte) Value {
	return Value{kind: UTCTime, num: binary.BigEndian.Uint64(b[:])}
}

// UTCTimeOctets returns the eight octets of a UTCTime.
func (v Value) UTCTimeOctets() (b [8]byte) {
	binary.BigEndian.PutUint64(b[:], v.num)
	return b
}

// String returns the moment in RFC 3339 and what is wrong with the clock.
func (t Timestamp) String() string {
	s := t.Time().Format("2006-01-02T15:04:05.999999Z")
	if t.Quality&ClockFailure != 0 {
		s += " clock-failure"
	}
	if t.Quality&ClockNotSynchronized != 0 {
		s += " not-synchronized"
	}
	return s
}

// epoch is the zero of binary times.
var epoch = time.Date(1984, 1, 1, 0, 0, 0, 0, time.UTC)

// EntryTimeOf returns t, to the millisecond, as a binary time. Times outside
// 1984 to 2163 give zero.
func EntryTimeOf(t time.Time) Value {
	ms := t.UnixMilli() - epoch.UnixMilli()
	const day = 24 * 60 * 60 * 1000
	if ms < 0 || ms/day > math.MaxUint16 {
		ms = 0
	}
	return Value{kind: EntryTime, num: uint64(ms%day)<<16 | uint64(ms/day)}
}

// EntryTime returns the moment of a binary time.
func (v Value) EntryTime() time.Time {
	if v.kind != EntryTime {
		return time.Time{}
	}
	return epoch.AddDate(0, 0, int(v.num&0xFFFF)).Add(time.Duration(v.num>>16) * time.Millisecond)
}

// ParseEntryTime reads the six octets of a binary time: milliseconds since
// midnight, days since 1984-01-01.
func ParseEntryTime(b [6]byte) Value {
	return Value{kind: EntryTime, num: uint64(binary.BigEndian.Uint32(b[:]))<<16 | uint64(binary.BigEndian.Uint16(b[4:]))}
}

// EntryTimeOctets returns the six octets of a binary time.
func (v Value) EntryTimeOctets() (b [6]byte) {
	binary.BigEndian.PutUint32(b[:], uint32(v.num>>16))
	binary.BigEndian.PutUint16(b[4:], uint16(v.num))
	return b
}

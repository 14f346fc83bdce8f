// Package cim reads and writes the documents with which back offices exchange
// meter data: IEC 61968-9 MeterReadings, EndDeviceEvents and EndDeviceControls
// in the message envelope of IEC 61968-100.
//
//	1-0:1.8.0*255, Wh  <->  0.0.0.1.1.1.12.0.0.0.0.0.0.0.0.0.72.0
//
// What a value is, CIM says by the eighteen numbers of a [ReadingType]. A code
// whose type says less than the code itself is kept beside it, as the type's name.
package cim

import (
	"fmt"
	"strconv"
	"strings"
)

// ReadingType says what a value is, in the order of IEC 61968-9 annex C. The
// zero ReadingType says nothing.
type ReadingType [18]int32

// The parts of a ReadingType.
const (
	MacroPeriod = iota
	Aggregate
	MeasuringPeriod
	Accumulation
	FlowDirection
	Commodity
	MeasurementKind
	InterharmonicNumerator
	InterharmonicDenominator
	ArgumentNumerator
	ArgumentDenominator
	TOU
	CPP
	ConsumptionTier
	Phases
	Multiplier
	Unit
	Currency
)

// ParseReadingType reads eighteen numbers with dots between.
func ParseReadingType(s string) (t ReadingType, err error) {
	rest := s
	for i := range t {
		part, more, found := strings.Cut(rest, ".")
		if found == (i == len(t)-1) {
			return ReadingType{}, fmt.Errorf("cim: reading type %q has not 18 parts", s)
		}
		n, err := strconv.ParseInt(part, 10, 32)
		if err != nil {
			return ReadingType{}, fmt.Errorf("cim: reading type %q: part %d is no number", s, i+1)
		}
		t[i], rest = int32(n), more
	}
	return t, nil
}

// Append appends the eighteen numbers with dots between.
func (t ReadingType) Append(dst []byte) []byte {
	for i, n := range t {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = strconv.AppendInt(dst, int64(n), 10)
	}
	return dst
}

// String returns the text of [ReadingType.Append].
func (t ReadingType) String() string { return string(t.Append(nil)) }

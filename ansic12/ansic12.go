// Package ansic12 is the vocabulary of the North American meter standards:
// units of measure and how they become OBIS codes, events, procedures and what
// a program must be granted to run them.
//
// The packages below it are the protocols: psem the packets and services of C12.18
// and C12.21, tables the data of C12.19, epsem the network messages of C12.22, osgp
// those of the Open Smart Grid Protocol, session the reader, relay what passes messages
// of C12.22 on, and ansicsim a simulated meter.
//
//	optical port, modem      TCP, UDP                 power line
//	psem (packets)           epsem (ACSE, EPSEM)      osgp
//	        psem (services: read table, write table, …)
//	                tables (table 00 says how to read the others)
//	                        obis readings
//
// The OBIS codes are derived: the standard has no OBIS codes, but says of every
// source what it measures, over which time, in which quadrants and on which phase.
package ansic12

//go:generate go run ../internal/gen/ansic12

import (
	"fmt"
	"strconv"

	"github.com/openusm/meter/internal/jsontext"
)

// Source is where in a meter's tables a reading stood.
type Source struct {
	Table  uint16 // as on the wire: 2048 and up are the manufacturer's
	Offset int    // octets from the start of the table
	UOM    string
	// Code is the entry of table 12 itself, and Unconfirmed that the OBIS code and the unit
	// come from a part of it of which [UOM.Confirmed] is not sure.
	Code        string
	Unconfirmed bool
	Field       string
}

// AppendJSON appends the source as a JSON object.
func (s *Source) AppendJSON(dst []byte) []byte {
	dst = strconv.AppendUint(append(dst, `{"table":`...), uint64(s.Table), 10)
	dst = strconv.AppendInt(append(dst, `,"offset":`...), int64(s.Offset), 10)
	for _, f := range [...]struct{ name, text string }{{`,"uom":`, s.UOM}, {`,"uom_code":`, s.Code}} {
		if f.text != "" {
			dst = jsontext.AppendString(append(dst, f.name...), f.text)
		}
	}
	if s.Unconfirmed {
		dst = append(dst, `,"unconfirmed":true`...)
	}
	if s.Field != "" {
		dst = jsontext.AppendString(append(dst, `,"field":`...), s.Field)
	}
	return append(dst, '}')
}

// EventText says what a code of the logs means, "" where the standard has none for it.
func EventText(code uint16) string {
	if int(code) < len(eventTexts) {
		return eventTexts[code]
	}
	return ""
}

// Right is something that a program may do to a meter besides reading it.
type Right uint8

// The rights. They are granted one by one.
const (
	RightNone          Right = 0
	RightClock         Right = 1 << 0 // set the clock
	RightReset         Right = 1 << 1 // reset demands, force a self read, change the season
	RightLoadControl   Right = 1 << 2 // switch loads
	RightConfiguration Right = 1 << 3 // write tables and run all other procedures
)

var rightNames = map[Right]string{
	RightClock: "setting the clock", RightReset: "resetting demands", RightLoadControl: "load control", RightConfiguration: "configuration",
}

// String returns what is allowed, in words.
func (r Right) String() string {
	s := ""
	for bit := RightClock; bit <= RightConfiguration; bit <<= 1 {
		if r&bit == 0 {
			continue
		}
		if s != "" {
			s += ", "
		}
		s += rightNames[bit]
	}
	if s == "" {
		return "nothing"
	}
	return s
}

// The procedures that this library runs by name.
const (
	ProcedureRemoteReset = 9
	ProcedureSetClock    = 10
	ProcedureLoadControl = 21
	// ProcedureManufacturer is the flag of a manufacturer's procedure.
	ProcedureManufacturer = 0x0800
)

type procedure struct {
	name  string
	right Right
}

// ProcedureName returns the name of a procedure, "" where it is not the standard's.
func ProcedureName(number uint16) string { return procedures[number].name }

// ProcedureRight returns what a program must have been granted to run a procedure.
// Those of manufacturers need all rights.
func ProcedureRight(number uint16) Right {
	if p, ok := procedures[number]; ok {
		return p.right
	}
	return RightClock | RightReset | RightLoadControl | RightConfiguration
}

// ProcedureResult is how a procedure ended. Any but Completed and Accepted is an error.
type ProcedureResult uint8

// The results of table 8.
const (
	Completed ProcedureResult = iota
	Accepted                  // but not yet completed
	BadParameter
	Conflict
	BadTiming
	NotAuthorized
	Unrecognized
)

var resultNames = [...]string{"completed", "accepted, not yet completed", "invalid parameter", "conflicts with the meter's set-up",
	"not now", "not authorized", "unknown procedure"}

// String returns the result in words.
func (r ProcedureResult) String() string {
	if int(r) < len(resultNames) {
		return resultNames[r]
	}
	return fmt.Sprintf("result %d", uint8(r))
}

// Error makes a result an error.
func (r ProcedureResult) Error() string { return "procedure refused: " + r.String() }

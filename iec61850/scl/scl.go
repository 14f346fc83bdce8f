// Package scl reads and writes the files that describe IEDs (IEC 61850-6): ICD,
// CID, IID and SCD.
//
//	SCL ─ Header
//	    ├ Communication      ─ addresses of access points and of GOOSE messages
//	    ├ IED ─ AccessPoint ─ Server ─ LDevice ─ LN0, LN ─ values, data sets, control blocks
//	    └ DataTypeTemplates  ─ LNodeType → DOType → DAType → EnumType
//
// [Parse] makes the model of one IED, which a server can serve. [File.AppendText]
// writes a file that describes a model. [Validate] lists what is wrong with a file.
//
// Elements and attributes of other namespaces and what is Private are skipped.
// A file may have 64 MiB, a million elements nested 32 deep, and a model a million
// attributes with a value, of which an array may have 4,096; a type may have 1,024 members.
package scl

import (
	"fmt"

	"github.com/openusm/meter/iec61850"
)

// Namespace of the elements of SCL.
const Namespace = "http://www.iec.ch/61850/2003/SCL"

const (
	maxOctets   = 64 << 20
	maxElements = 1 << 20
	maxDepth    = 32
	maxLeaves   = 1 << 20
	maxArray    = 4096
	maxMembers  = 1024
)

// File is what an SCL file says of one IED.
type File struct {
	ID, Version, Revision string // of the file (Header)

	Model   *iec61850.Model
	Address Address

	// Values has AppendText write the values of the process, too (constraints ST
	// and MX of objects that have a time stamp), without their quality and time.
	Values bool
	// Warnings are what Parse could not carry into the model: values that do not
	// fit their type, and blocks that the model has no place for.
	Warnings []Finding
}

// Address is where an access point is in the network.
type Address struct {
	AccessPoint string // name; "" means AP1
	SubNetwork  string // name; "" means Subnet1
	Parameters  []Parameter
}

// Parameter is one part of an address (element P).
type Parameter struct {
	Type  string // "IP", "OSI-TSEL", …
	Value string
}

// Get returns the value of the parameter of a type, "" where there is none.
func (a Address) Get(typ string) string {
	for _, p := range a.Parameters {
		if p.Type == typ {
			return p.Value
		}
	}
	return ""
}

// MMSAddress returns the address of a server at an IP address, with the selectors that most servers use.
func MMSAddress(ip, mask string) Address {
	return Address{Parameters: []Parameter{{"IP", ip}, {"IP-SUBNET", mask}, {"OSI-TSEL", "0001"}, {"OSI-SSEL", "0001"}, {"OSI-PSEL", "00000001"}}}
}

// Options say which IED [Parse] takes. Nil Options work.
type Options struct {
	IED         string // name; "" means the only one that is a server
	AccessPoint string // name; "" means the first that is a server
}

// Finding is something that is wrong in a file.
type Finding struct {
	Line    int
	Path    string // the elements from the root on, with their names: IED[METER]/LDevice[MTR]
	Text    string
	Warning bool // the file can be used all the same
}

// String returns the finding in one line.
func (f Finding) String() string {
	kind := "error"
	if f.Warning {
		kind = "warning"
	}
	return fmt.Sprintf("line %d: %s: %s: %s", f.Line, kind, f.Path, f.Text)
}

// ParseError says which element of a file could not be read, and where.
type ParseError struct {
	Field  string // element, or attribute of one
	Offset int    // octets from the start of the slice given to Parse
	Line   int
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("scl: %s in line %d: %v", e.Field, e.Line, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

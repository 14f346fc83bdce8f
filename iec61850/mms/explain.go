package mms

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"sync"

	"github.com/openusm/meter/internal/ber"
)

// Explain calls note for each field of the packets in b, as both sides of an
// association sent them, or of one MMS PDU without the layers below it. The
// fields of a message stand in its order, the headers of the packets that carry
// it before them; headers of what has parts are notes of their own. It returns
// the error of the first layer that cannot be read; what it could read was noted.
func Explain(b []byte, note func(offset, length, depth int, field, meaning string)) error {
	if len(b) > 0 && b[0] != 3 {
		x := &explainer{note: note, parts: []part{{0, 0, len(b)}}}
		x.elements(b, 0, 0, "MMS")
		return check(b)
	}
	x := &explainer{note: note}
	var tsdu []byte
	for at := 0; at < len(b); {
		raw, n, err := ParseTPKT(b[at:])
		if err != nil {
			note(at, len(b)-at, 0, "octets", "no packet")
			return shift(err, at)
		}
		note(at, tpktHeader, 0, "TPKT", fmt.Sprintf("version 3, %d octets", n))
		t, err := ParseTPDU(raw)
		if err != nil {
			note(at+tpktHeader, len(raw), 1, "octets", "no TPDU")
			return shift(err, at+tpktHeader)
		}
		head := len(raw) - len(t.Data)
		note(at+tpktHeader, head, 1, "COTP", t.meaning())
		x.parts = append(x.parts, part{len(tsdu), at + n - len(t.Data), len(t.Data)})
		tsdu = append(tsdu, t.Data...)
		at += n
		if len(tsdu) > 1<<24 {
			return &ParseError{"cotp", "TSDU", at, ErrTooLong}
		}
		if t.Kind == TransportData && !t.Last {
			continue
		}
		if len(tsdu) > 0 {
			if err := x.session(tsdu); err != nil {
				return x.where(err)
			}
		}
		tsdu, x.parts = tsdu[:0], x.parts[:0]
	}
	if len(tsdu) > 0 {
		x.emit(0, len(tsdu), 2, "octets", "beginning of a message")
		return &ParseError{"cotp", "TSDU", len(b), io.ErrUnexpectedEOF}
	}
	return nil
}

// ExplainData calls note for the parts of a value (Data of MMS) at the start of b.
func ExplainData(b []byte, note func(offset, length, depth int, field, meaning string)) error {
	x := &explainer{note: note, parts: []part{{0, 0, len(b)}}}
	_, n, err := ParseData(b)
	x.elements(b[:max(n, 0)], 0, 0, "Data")
	return err
}

// meaning describes a TPDU.
func (t TPDU) meaning() string {
	switch t.Kind {
	case TransportData:
		if t.Last {
			return "data, last of the message"
		}
		return "data, more follow"
	case ConnectRequest:
		return fmt.Sprintf("connect request, TPDUs of %d, from selector %x to %x", t.Size, t.Calling, t.Called)
	case ConnectConfirm:
		return fmt.Sprintf("connect confirm, TPDUs of %d, selectors %x and %x", t.Size, t.Calling, t.Called)
	case DisconnectRequest:
		return fmt.Sprintf("disconnect request, reason %d", t.Reason)
	}
	return fmt.Sprintf("error, reason %d", t.Reason)
}

// part says which octets of the input a part of a message is.
type part struct{ from, at, n int }

// explainer notes the fields of a message that came in parts.
type explainer struct {
	note  func(offset, length, depth int, field, meaning string)
	parts []part
}

// emit notes octets of the message where they are in the input.
func (x *explainer) emit(off, n, depth int, field, meaning string) {
	for _, p := range x.parts {
		if from, to := max(off, p.from), min(off+n, p.from+p.n); from < to || n == 0 && p.from <= off && off <= p.from+p.n {
			x.note(p.at+from-p.from, max(to-from, 0), depth, field, meaning)
			if n == 0 {
				return
			}
			meaning = "(continued)"
		}
	}
}

// where turns the offset in the message of an error into that in the input.
func (x *explainer) where(err error) error {
	var pe *ParseError
	if !errors.As(err, &pe) {
		return err
	}
	moved := *pe
	for _, p := range x.parts {
		if pe.Offset >= p.from {
			moved.Offset = p.at + pe.Offset - p.from
		}
	}
	return &moved
}

var sessionNames = map[SPDUKind]string{SessionConnect: "CONNECT", SessionAccept: "ACCEPT", SessionRefuse: "REFUSE", SessionFinish: "FINISH",
	SessionDisconnect: "DISCONNECT", SessionAbort: "ABORT", SessionAbortAccept: "ABORT ACCEPT"}

var parameterNames = map[byte]string{paramConnectItem: "connect/accept item", 1: "connection identifier", 19: "protocol options", 22: "version",
	paramFunctions: "functional units", paramTransport: "transport disconnect", paramReason: "reason", paramCalling: "calling selector",
	paramCalled: "called selector", paramUserData: "user data", paramExtendedData: "extended user data"}

// session explains a session PDU and what it carries, and returns the error of
// the parsers that a stack uses.
func (x *explainer) session(b []byte) error {
	s, err := ParseSPDU(b)
	if err != nil {
		x.emit(0, len(b), 2, "octets", "no session PDU")
		return err
	}
	if s.Kind == SessionData {
		x.emit(0, 4, 2, "session", "give tokens, data transfer")
		return x.user(b[4:], 4)
	}
	params, n, err := parameter(b, 0)
	if err != nil {
		return err
	}
	x.emit(0, n-len(params), 2, "session", sessionNames[s.Kind])
	if err := x.parameters(s, params, n-len(params), 3); err != nil {
		return err
	}
	if n < len(b) {
		x.emit(n, len(b)-n, 2, "octets", "behind the PDU")
	}
	return nil
}

func (x *explainer) parameters(s SPDU, b []byte, base, depth int) error {
	for at := 0; at < len(b); {
		value, n, err := parameter(b[at:], base+at)
		if err != nil {
			return err
		}
		head, name := base+at+n-len(value), parameterNames[b[at]]
		if name == "" {
			name = "parameter " + strconv.Itoa(int(b[at]))
		}
		switch id := b[at]; {
		case (id == paramConnectItem || id == 1) && depth == 3:
			x.emit(base+at, n-len(value), depth, name, "")
			if err := x.parameters(s, value, head, depth+1); err != nil {
				return err
			}
		case id == paramUserData || id == paramExtendedData:
			x.emit(base+at, n-len(value), depth, name, "")
			if err := x.connection(s.Kind, value, head); err != nil {
				return err
			}
		default:
			x.emit(base+at, n, depth, name, fmt.Sprintf("%x", value))
		}
		at += n
	}
	return nil
}

// connection explains the presentation PDU of a session PDU other than data.
func (x *explainer) connection(kind SPDUKind, b []byte, base int) error {
	if kind != SessionConnect && kind != SessionAccept { // of which a stack reads no more
		x.elements(b, base, 4, "Presentation")
		return nil
	}
	x.elements(b, base, 4, "Presentation")
	p, err := ParsePresentation(b, kind == SessionAccept)
	if err != nil {
		return shift(err, base)
	}
	at := base + inside(b, p.Data)
	a, err := ParseACSE(p.Data)
	if err != nil {
		return shift(err, at)
	}
	if a.Data == nil {
		return nil
	}
	return shift(check(a.Data), at+inside(p.Data, a.Data))
}

// inside returns where part begins in whole, of which it is a part.
func inside(whole, part []byte) int {
	for i := range whole {
		if len(part) > 0 && &whole[i] == &part[0] {
			return i
		}
	}
	return len(whole)
}

func (x *explainer) user(b []byte, base int) error {
	x.elements(b, base, 3, "Presentation")
	_, pdu, err := ParseUserData(b)
	if err != nil {
		return shift(err, base)
	}
	return shift(check(pdu), base+inside(b, pdu))
}

// check reads an MMS PDU with the parsers of its service.
func check(b []byte) error {
	p, err := ParsePDU(b)
	if err != nil {
		return err
	}
	switch p.Kind {
	case InitiateRequest, InitiateResponse:
		_, err = p.Initiate()
	case Unconfirmed:
		_, err = p.Information()
	case ConfirmedError:
		_, err = p.ServiceError()
	case RejectPDUKind:
		_, err = p.Reject()
	case ConfirmedRequest:
		err = p.checkRequest()
	case ConfirmedResponse:
		err = p.checkResponse()
	}
	return err
}

func (p PDU) checkRequest() (err error) {
	switch p.Service {
	case GetNameList:
		_, err = ParseNameListRequest(p.Body)
	case Read:
		err = new(ReadRequest).Parse(p.Body)
	case Write:
		err = new(WriteRequest).Parse(p.Body)
	case GetVariableAttributes, GetNamedVariableList:
		_, err = ParseNameRequest(p.Body, p.Service)
	case DefineNamedVariableList:
		_, err = ParseDefineRequest(p.Body)
	case DeleteNamedVariableList:
		_, err = ParseDeleteRequest(p.Body)
	case ReadJournal:
		_, err = ParseJournalRequest(p.Body)
	case FileRead, FileClose:
		_, err = ParseFileHandle(p.Body)
	case FileOpen, FileRename, FileDelete, FileDirectory:
		_, err = ParseFileRequest(p.Body, p.Service)
	}
	return err
}

func (p PDU) checkResponse() (err error) {
	switch p.Service {
	case Status:
		_, err = ParseStates(p.Body)
	case GetNameList:
		_, _, err = ParseNameList(p.Body)
	case Identify:
		_, err = ParseIdentity(p.Body)
	case Read:
		_, err = ParseReadResponse(p.Body)
	case Write:
		_, err = ParseWriteResponse(p.Body)
	case GetVariableAttributes:
		_, err = ParseAttributes(p.Body)
	case GetNamedVariableList:
		_, err = ParseListAttributes(p.Body)
	case DeleteNamedVariableList:
		_, err = ParseDeleted(p.Body)
	case ReadJournal:
		_, _, err = ParseJournal(p.Body)
	case FileOpen:
		_, err = ParseFileOpened(p.Body)
	case FileRead:
		_, _, err = ParseFileData(p.Body)
	case FileDirectory:
		_, _, err = ParseDirectory(p.Body)
	}
	return err
}

// maxExplained is how deep elements are told apart.
const maxExplained = 64

// elements explains elements that stand one behind the other; kind names what
// they are. Octets that are no element are noted as such.
func (x *explainer) elements(b []byte, base, depth int, kind string) {
	for at, i := 0, 0; at < len(b); i++ {
		e, n, err := ber.Parse(b[at:])
		if err != nil || depth > maxExplained {
			x.emit(base+at, len(b)-at, depth, "octets", "not read")
			return
		}
		x.element(e, base+at, n, depth, kind, i)
		at += n
	}
}

func (x *explainer) element(e ber.Element, at, n, depth int, kind string, index int) {
	rule := grammar()[kind]
	f, known := rule[e.Tag]
	if !known {
		f = rule[0]
	}
	if index > 0 { // a second element of the same tag is something else
		if second, ok := rule[e.Tag|later]; ok {
			f = second
		}
	}
	if f.name == "" && (kind == "Data" || f.in == "Data") {
		f = field{dataNames[e.Tag], "Data"}
	}
	if f.name == "" {
		f.name = fmt.Sprintf("[%x]", uint32(e.Tag))
	}
	if e.Tag.Constructed() && f.in != "text" && f.in != "octets" {
		x.emit(at, n-len(e.Contents), depth, f.name, "")
		x.elements(e.Contents, at+n-len(e.Contents), depth+1, f.in)
		return
	}
	x.emit(at, n, depth, f.name, f.meaning(e))
}

// dataNames are the kinds of values by their tags.
var dataNames = map[ber.Tag]string{0xA1: "array", 0xA2: "structure", 0x83: "boolean", 0x84: "bit-string", 0x85: "integer", 0x86: "unsigned",
	0x87: "floating-point", 0x89: "octet-string", 0x8A: "visible-string", 0x8C: "binary-time", 0x90: "mms-string", 0x91: "utc-time"}

// field is what an element is called, and what its contents are: the name of a
// rule of the grammar, or how a primitive one reads.
type field struct{ name, in string }

// meaning reads the contents of a primitive element.
func (f field) meaning(e ber.Element) string {
	switch f.in {
	case "text":
		return printable(e.Contents)
	case "oid":
		return objectIdentifier(e.Contents)
	case "bool":
		if v, err := e.Bool(""); err == nil {
			return strconv.FormatBool(v)
		}
	case "int":
		if v, err := e.Int(""); err == nil {
			return strconv.FormatInt(v, 10)
		}
	case "failure":
		if v, err := e.Uint32(""); err == nil && v <= 0xFF {
			return strings.TrimPrefix(AccessError(v).Error(), "mms: ")
		}
	case "Data":
		if v, err := parseData(e, 0); err == nil {
			return v.String()
		}
	case "secret":
		return fmt.Sprintf("%d octets", len(e.Contents))
	case "null":
		return ""
	}
	if len(e.Contents) > 32 {
		return fmt.Sprintf("%x…", e.Contents[:32])
	}
	return fmt.Sprintf("%x", e.Contents)
}

func printable(b []byte) string { return strconv.Quote(string(b)) }

// objectIdentifier returns the arcs with points between them.
func objectIdentifier(b []byte) string {
	var arcs []string
	n := uint64(0)
	for i, c := range b {
		n = n<<7 | uint64(c&0x7F)
		if c&0x80 != 0 {
			continue
		}
		if len(arcs) == 0 && (i == 0 || n >= 80) {
			first := min(n/40, 2)
			arcs, n = append(arcs, strconv.FormatUint(first, 10)), n-40*first
		}
		arcs = append(arcs, strconv.FormatUint(n, 10))
		n = 0
	}
	return strings.Join(arcs, ".")
}

// later marks the tag of an element that is not the first of its message.
const later ber.Tag = 1 << 31

// grammar names the elements of each rule by their tags; tag 0 is any other.
var grammar = sync.OnceValue(func() map[string]map[ber.Tag]field {
	return map[string]map[ber.Tag]field{
		"Presentation": {0x31: {"presentation connect", "CP"}, 0x61: {"presentation data", "UserData"}, 0xA0: {"presentation abort", "ARU"}},
		"ARU":          {0xA0: {"context identifiers", "Results"}, 0x61: {"user data", "UserData"}},
		"CP":           {0xA0: {"mode selector", "Mode"}, 0xA2: {"normal mode parameters", "Parameters"}},
		"Mode":         {0x80: {"mode", "int"}},
		"Parameters": {0x80: {"protocol version", ""}, 0x81: {"calling selector", ""}, 0x82: {"called selector", ""}, 0x83: {"responding selector", ""},
			0xA4: {"contexts", "Contexts"}, 0xA5: {"results", "Results"}, 0x88: {"requirements", ""}, 0x61: {"user data", "UserData"}},
		"Contexts":  {0x30: {"context", "Context"}},
		"Context":   {0x02: {"identifier", "int"}, 0x06: {"abstract syntax", "oid"}, 0x30: {"transfer syntaxes", "Context2"}},
		"Context2":  {0x06: {"transfer syntax", "oid"}},
		"Results":   {0x30: {"result", "Result"}},
		"Result":    {0x80: {"result", "int"}, 0x81: {"transfer syntax", "oid"}, 0x82: {"reason", "int"}, 0x02: {"identifier", "int"}, 0x06: {"transfer syntax", "oid"}},
		"UserData":  {0x30: {"PDV list", "PDV"}},
		"PDV":       {0x06: {"transfer syntax", "oid"}, 0x02: {"context", "int"}, 0xA0: {"presentation data", "APDU"}},
		"APDU":      apdus(),
		"MMS":       pdus,
		"Associate": {0x80: {"protocol version", ""}, 0xA1: {"application context", "Name"}, 0xA2: {"called AP title", "Name"}, 0xA3: {"called AE qualifier", "Name"}, 0xA6: {"calling AP title", "Name"}, 0xA7: {"calling AE qualifier", "Name"}, 0x8A: {"requirements", ""}, 0x8B: {"mechanism", "oid"}, 0xAC: {"authentication", "Secret"}, 0xBE: {"user information", "External"}},
		"Associated": {0x80: {"protocol version", ""}, 0xA1: {"application context", "Name"}, 0xA2: {"result", "Name"}, 0xA3: {"diagnostic", "Diagnostic"}, 0xA4: {"responding AP title", "Name"}, 0xA5: {"responding AE qualifier", "Name"},
			0x88: {"requirements", ""}, 0x89: {"mechanism", "oid"}, 0xAA: {"authentication", "Secret"}, 0xBE: {"user information", "External"}},
		"Release":    {0x80: {"reason", "int"}, 0xBE: {"user information", "External"}},
		"Abort":      {0x80: {"source", "int"}, 0x81: {"diagnostic", "int"}, 0xBE: {"user information", "External"}},
		"Name":       {0x06: {"object identifier", "oid"}, 0x02: {"number", "int"}},
		"Diagnostic": {0xA1: {"of the service user", "Name"}, 0xA2: {"of the service provider", "Name"}},
		"Secret":     {0x80: {"password", "secret"}, 0: {"value", "secret"}},
		"External":   {0x28: {"external", "PDV"}},

		"Initiate":   {0x80: {"local detail, octets of a PDU", "int"}, 0x81: {"outstanding calling", "int"}, 0x82: {"outstanding called", "int"}, 0x83: {"nesting of data", "int"}, 0xA4: {"detail", "Detail"}},
		"Detail":     {0x80: {"version", "int"}, 0x81: {"parameters", ""}, 0x82: {"services", ""}},
		"Error":      {0x80: {"invoke id", "int"}, 0x81: {"modifier position", "int"}, 0xA1: {"service error", "ErrorClass"}, 0xA2: {"service error", "ErrorClass"}, 0xA0: {"error class", "ErrorCode"}},
		"ErrorClass": {0xA0: {"error class", "ErrorCode"}, 0x81: {"additional code", "int"}, 0x82: {"additional description", "text"}},
		"ErrorCode": {0x80: {"vmd-state", "int"}, 0x81: {"application-reference", "int"}, 0x82: {"definition", "int"}, 0x83: {"resource", "int"}, 0x84: {"service", "int"},
			0x85: {"service-preempt", "int"}, 0x86: {"time-resolution", "int"}, 0x87: {"access", "int"}, 0x88: {"initiate", "int"}, 0x89: {"conclude", "int"},
			0x8A: {"cancel", "int"}, 0x8B: {"file", "int"}, 0x8C: {"others", "int"}},
		"Reject": {0x80: {"invoke id", "int"}, 0x81: {"confirmed request", "int"}, 0x82: {"confirmed response", "int"}, 0x83: {"confirmed error", "int"},
			0x84: {"unconfirmed", "int"}, 0x85: {"PDU error", "int"}, 0x86: {"cancel request", "int"}, 0x8B: {"conclude request", "int"}},
		"Unconfirmed": {0xA0: {"information report", "Report"}, 0xA1: {"unsolicited status", "States"}},
		"Report":      {0xA0: {"variables", "Variables"}, 0xA1: {"variable list", "ObjectName"}, 0xA0 | later: {"access results", "Results of access"}},

		"Request": {0x02: {"invoke id", "int"}, 0x30: {"modifiers", ""}, 0x80: {"status", "bool"}, 0xA1: {"get name list", "NameList"}, 0x82: {"identify", "null"},
			0xA4: {"read", "Read"}, 0xA5: {"write", "Write"}, 0xA6: {"get variable access attributes", "Attributes"}, 0xAB: {"define named variable list", "Define"},
			0xAC: {"get named variable list attributes", "ObjectName"}, 0xAD: {"delete named variable list", "Delete"}, 0xBF2E: {"obtain file", "Files"},
			0xBF41: {"read journal", "Journal"}, 0xBF48: {"file open", "Open"}, 0x9F49: {"file read", "int"}, 0x9F4A: {"file close", "int"},
			0xBF4B: {"file rename", "Files"}, 0xBF4C: {"file delete", "FileName"}, 0xBF4D: {"file directory", "Files"}},
		"NameList":   {0xA0: {"object class", "Class"}, 0xA1: {"scope", "Scope"}, 0x82: {"continue after", "text"}},
		"Class":      {0x80: {"class", "int"}},
		"Scope":      {0x80: {"VMD", "null"}, 0x81: {"domain", "text"}, 0x82: {"association", "null"}},
		"Read":       {0x80: {"specification with result", "bool"}, 0xA1: {"access specification", "Access"}},
		"Access":     {0xA0: {"variables", "Variables"}, 0xA1: {"variable list", "ObjectName"}},
		"Variables":  {0x30: {"variable", "Variable"}},
		"Variable":   {0xA0: {"name", "ObjectName"}, 0xA5: {"alternate access", "Alternate"}},
		"ObjectName": {0x80: {"VMD", "text"}, 0xA1: {"domain", "DomainName"}, 0x82: {"association", "text"}},
		"DomainName": {0x1A: {"domain", "text"}, 0x1A | later: {"item", "text"}},
		"Alternate":  {0xA0: {"select", "Selection"}, 0x81: {"component", "text"}, 0x82: {"index", "int"}, 0xA3: {"range", "Range"}, 0x84: {"all elements", "null"}, 0x30: {"access", "Alternate"}},
		"Selection":  {0x80: {"component", "text"}, 0x81: {"index", "int"}, 0xA2: {"range", "Range"}, 0x83: {"all elements", "null"}, 0x30: {"access", "Alternate"}},
		"Range":      {0x80: {"low index", "int"}, 0x81: {"elements", "int"}},
		"Write":      {0xA0: {"variables", "Variables"}, 0xA1: {"variable list", "ObjectName"}, 0xA0 | later: {"values", "Data"}},
		"Attributes": {0xA0: {"name", "ObjectName"}},
		"Define":     {0x80: {"VMD", "text"}, 0xA1: {"domain", "DomainName"}, 0x82: {"association", "text"}, 0xA0: {"variables", "Variables"}},
		"Delete":     {0x80: {"scope", "int"}, 0xA1: {"variable lists", "ObjectName"}, 0x82: {"domain", "text"}},
		"Journal":    {0xA0: {"journal", "ObjectName"}, 0xA1: {"from", "Bound"}, 0xA2: {"to", "Bound"}, 0xA5: {"after", "Bound"}},
		"Bound":      {0x80: {"time", ""}, 0x81: {"entry", ""}},
		"Open":       {0xA0: {"file name", "FileName"}, 0x81: {"position", "int"}},
		"FileName":   {0x19: {"name", "text"}},
		"Files":      {0xA0: {"file", "FileName"}, 0xA1: {"file", "FileName"}, 0xA2: {"file", "FileName"}},

		"Response": {0x02: {"invoke id", "int"}, 0xA0: {"status", "States"}, 0xA1: {"name list", "Names"}, 0xA2: {"identify", "Identity"}, 0xA4: {"read", "Values"},
			0xA5: {"write", "Written"}, 0xA6: {"variable access attributes", "Type"}, 0x8B: {"named variable list defined", "null"}, 0xAC: {"named variable list", "List"},
			0xAD: {"named variable lists deleted", "Deleted"}, 0x9F2E: {"file obtained", "null"}, 0xBF41: {"journal", "Entries"}, 0xBF48: {"file opened", "Opened"},
			0xBF49: {"file data", "FileData"}, 0x9F4A: {"file closed", "null"}, 0x9F4B: {"file renamed", "null"}, 0x9F4C: {"file deleted", "null"}, 0xBF4D: {"directory", "Directory"}},
		"States":            {0x80: {"logical", "int"}, 0x81: {"physical", "int"}},
		"Names":             {0xA0: {"names", "Identifiers"}, 0x81: {"more follow", "bool"}},
		"Identifiers":       {0x1A: {"name", "text"}},
		"Identity":          {0x80: {"vendor", "text"}, 0x81: {"model", "text"}, 0x82: {"revision", "text"}},
		"Values":            {0xA0: {"access specification", "Access"}, 0xA1: {"access results", "Results of access"}},
		"Results of access": {0x80: {"failure", "failure"}, 0: {"", "Data"}},
		"Written":           {0x80: {"failure", "failure"}, 0x81: {"success", "null"}},
		"Type":              {0x80: {"deletable", "bool"}, 0xA2: {"type", "TypeOf"}},
		"TypeOf": {0xA1: {"array", "ArrayType"}, 0xA2: {"structure", "StructType"}, 0x83: {"boolean", "null"}, 0x84: {"bit-string", "int"}, 0x85: {"integer", "int"},
			0x86: {"unsigned", "int"}, 0xA7: {"floating-point", "FloatType"}, 0x89: {"octet-string", "int"}, 0x8A: {"visible-string", "int"},
			0x8C: {"binary-time with date", "bool"}, 0x90: {"mms-string", "int"}, 0x91: {"utc-time", "null"}},
		"ArrayType":    {0x81: {"elements", "int"}, 0xA2: {"element", "TypeOf"}},
		"StructType":   {0xA1: {"components", "Components"}},
		"Components":   {0x30: {"component", "Component"}},
		"Component":    {0x80: {"name", "text"}, 0xA1: {"type", "TypeOf"}},
		"FloatType":    {0x02: {"width", "int"}, 0x02 | later: {"exponent width", "int"}},
		"List":         {0x80: {"deletable", "bool"}, 0xA1: {"variables", "Variables"}},
		"Deleted":      {0x80: {"matched", "int"}, 0x81: {"deleted", "int"}},
		"Entries":      {0xA0: {"entries", "EntryList"}, 0x81: {"more follow", "bool"}},
		"EntryList":    {0x30: {"entry", "Entry"}},
		"Entry":        {0x80: {"entry", ""}, 0xA1: {"originator", "Originator"}, 0xA2: {"content", "EntryContent"}},
		"EntryContent": {0x80: {"time", ""}, 0xA2: {"data", "EntryData"}},
		"Originator":   {0x30: {"AP title", "Name"}},
		"EntryData":    {0xA1: {"variables", "EntryValues"}},
		"EntryValues":  {0x30: {"variable", "EntryValue"}},
		"EntryValue":   {0x80: {"tag", "text"}, 0xA1: {"value", "Data"}},
		"Opened":       {0x80: {"handle", "int"}, 0xA1: {"attributes", "FileInfo"}},
		"FileInfo":     {0x80: {"size", "int"}, 0x81: {"modified", "text"}},
		"FileData":     {0x80: {"data", ""}, 0x81: {"more follow", "bool"}},
		"Directory":    {0xA0: {"files", "FileList"}, 0x81: {"more follow", "bool"}},
		"FileList":     {0x30: {"list", "FileSeq"}},
		"FileSeq":      {0x30: {"file", "FileEntry"}},
		"FileEntry":    {0xA0: {"name", "FileName"}, 0xA1: {"attributes", "FileInfo"}},
	}
})

// acse and pdus are what presentation data may be.
var acse = map[ber.Tag]field{0x60: {"associate request", "Associate"}, 0x61: {"associate response", "Associated"}, 0x62: {"release request", "Release"},
	0x63: {"release response", "Release"}, 0x64: {"abort", "Abort"}}

var pdus = map[ber.Tag]field{0xA0: {"confirmed request", "Request"}, 0xA1: {"confirmed response", "Response"}, 0xA2: {"confirmed error", "Error"},
	0xA3: {"unconfirmed", "Unconfirmed"}, 0xA4: {"reject", "Reject"}, 0x85: {"cancel request", "int"}, 0x86: {"cancel response", "int"},
	0xA7: {"cancel error", "Error"}, 0xA8: {"initiate request", "Initiate"}, 0xA9: {"initiate response", "Initiate"}, 0xAA: {"initiate error", "Error"},
	0x8B: {"conclude request", "null"}, 0x8C: {"conclude response", "null"}, 0xAD: {"conclude error", "Error"}}

func apdus() map[ber.Tag]field {
	all := maps.Clone(acse)
	maps.Copy(all, pdus)
	return all
}

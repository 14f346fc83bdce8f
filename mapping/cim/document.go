package cim

import (
	"bytes"
	"time"

	"github.com/openusm/meter/internal/uuid"
	"github.com/openusm/meter/internal/xmltext"
	"github.com/openusm/meter/obis"
)

// Namespaces of the documents.
const (
	meterReadingsSpace = "http://iec.ch/TC57/2011/MeterReadings#"
	messageSpace       = "http://iec.ch/TC57/2011/schema/message"
)

// Document is a MeterReadings document (IEC 61968-9), alone or as the payload
// of a message. What it holds aliases the text from which it was read.
type Document struct {
	Header       *Header // of the message; nil for a document without one
	Readings     []MeterReading
	ReadingTypes []TypeDescription
	other        []*xmltext.Node
	types        map[ReadingType]obis.Code // that were given so far, to all meters, and the first code that had each
	refs         map[reference]string      // the ids of those that other codes have, too
	ids          map[string]bool           // that were given so
}

// Header is that of a message of IEC 61968-100. Empty fields are left out.
type Header struct {
	Verb, Noun, Revision, Context  string // "created", "MeterReadings", "2.0", "PRODUCTION"
	Timestamp                      DateTime
	Source, MessageID, Correlation string
	message                        string          // the element that is the message; "" is Message
	identify                       bool            // by what it carries, where it has no MessageID
	other                          []*xmltext.Node // address, user, properties, request and reply
}

// MeterReading is what one meter said.
type MeterReading struct {
	Events         []EndDeviceEvent
	IntervalBlocks []IntervalBlock
	Meter          *Meter
	Readings       []Reading
	other          []*xmltext.Node // usage point, interval of the values
	from, to       time.Time       // the interval of the values that were put in
}

// Meter names a meter.
type Meter struct {
	MRID  string
	Names []Name
	other []*xmltext.Node
}

// Name is a name with its type and who gives such names.
type Name struct{ Name, Type, Authority string }

// Reading is one value. Those of an [IntervalBlock] have no Type of their own.
type Reading struct {
	Reason     string
	Reported   DateTime
	Source     string
	TimeStamp  DateTime
	Value      obis.Value // a number, or text
	Qualities  []Quality
	Type       string // the reading type, as eighteen numbers or as the id of a [TypeDescription]
	Start, End DateTime
	other      []*xmltext.Node
}

// IntervalBlock is a run of values of one type.
type IntervalBlock struct {
	Readings []Reading
	Type     string
	other    []*xmltext.Node
}

// Quality says something of the quality of a value: "1.8.0" that it is estimated.
type Quality struct {
	Comment, Source string
	TimeStamp       DateTime
	Type            string
}

// EndDeviceEvent is an entry of a log.
type EndDeviceEvent struct {
	MRID     string
	Created  DateTime
	Reason   string
	Severity string
	Details  []Detail
	Type     string
	other    []*xmltext.Node
}

// Detail is a value that belongs to an event.
type Detail struct{ Name, Value string }

// TypeDescription names a reading type.
type TypeDescription struct {
	MRID  string
	Names []Name
	other []*xmltext.Node // the eighteen parts one by one
}

// DateTime is an xs:dateTime, which keeps the way in which it was written. The
// zero DateTime is none.
type DateTime struct {
	time time.Time
	text string
}

// At returns the DateTime of an instant.
func At(t time.Time) DateTime { return DateTime{time: t} }

// IsZero reports whether there is none.
func (t DateTime) IsZero() bool { return t.text == "" && t.time.IsZero() }

// String returns the text.
func (t DateTime) String() string { return string(t.append(nil)) }

func (t DateTime) append(dst []byte) []byte {
	if t.text != "" {
		return xmltext.AppendEscaped(dst, t.text)
	}
	return t.time.AppendFormat(dst, time.RFC3339Nano)
}

// Time returns the time as the model has it: without deviation where the text has no zone.
func (t DateTime) Time() (obis.Time, bool) {
	if t.IsZero() {
		return obis.Time{}, false
	}
	if t.text == "" {
		return obis.FromTime(t.time), true
	}
	// In UTC, lest a zone of this machine that has the same offset puts in its summer time.
	if at, err := time.ParseInLocation(time.RFC3339, t.text, time.UTC); err == nil {
		return obis.FromTime(at), true
	}
	if at, err := time.Parse("2006-01-02T15:04:05", t.text); err == nil {
		local := obis.LocalTime(at.Year(), int(at.Month()), at.Day(), at.Hour(), at.Minute(), at.Second())
		if at.Nanosecond() != 0 {
			local.Hundredths = uint8(at.Nanosecond() / 1e7)
		}
		return local, true
	}
	return obis.Time{}, false
}

// AppendXML appends the document.
func (d *Document) AppendXML(dst []byte) []byte {
	dst = append(dst, xmlHeader...)
	if d.Header == nil {
		return append(d.appendReadings(dst), '\n')
	}
	h := *d.Header
	if h.message == "" {
		h.message = "Message"
	}
	identify := h.identify && h.MessageID == ""
	if identify {
		h.MessageID = noUUID
	}
	dst = append(append(append(dst, '<'), h.message...), ` xmlns="`+messageSpace+`">`...)
	start := len(dst)
	dst = append(h.append(dst), "<Payload>"...)
	payload := len(dst)
	dst = append(d.appendReadings(dst), "</Payload></"...)
	if identify {
		at := start + bytes.LastIndex(dst[start:payload], []byte(noUUID))
		copy(dst[at:], uuid.Of(dst[payload:]))
	}
	return append(append(dst, h.message...), '>', '\n')
}

// noUUID stands for one until it is known.
const noUUID = "00000000-0000-0000-0000-000000000000"

const xmlHeader = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

func (d *Document) appendReadings(dst []byte) []byte {
	dst = append(dst, `<MeterReadings xmlns="`+meterReadingsSpace+`">`...)
	for i := range d.Readings {
		dst = append(d.Readings[i].append(append(dst, "<MeterReading>"...)), "</MeterReading>"...)
	}
	dst = appendNodes(dst, d.other, meterReadingsSpace)
	for i := range d.ReadingTypes {
		t := &d.ReadingTypes[i]
		dst = xmltext.AppendElement(append(dst, "<ReadingType>"...), "mRID", t.MRID)
		dst = appendNodes(dst, t.other, meterReadingsSpace)
		dst = append(appendNames(dst, t.Names), "</ReadingType>"...)
	}
	return append(dst, "</MeterReadings>"...)
}

func appendNodes(dst []byte, nodes []*xmltext.Node, space string) []byte {
	for _, n := range nodes {
		dst = n.Append(dst, space)
	}
	return dst
}

func (h *Header) append(dst []byte) []byte {
	dst = xmltext.AppendElement(append(dst, "<Header>"...), "Verb", h.Verb)
	dst = xmltext.AppendElement(dst, "Noun", h.Noun)
	dst = xmltext.AppendElement(dst, "Revision", h.Revision)
	dst = xmltext.AppendElement(dst, "Context", h.Context)
	dst = appendTime(dst, "Timestamp", h.Timestamp)
	dst = xmltext.AppendElement(dst, "Source", h.Source)
	dst = xmltext.AppendElement(dst, "MessageID", h.MessageID)
	dst = xmltext.AppendElement(dst, "CorrelationID", h.Correlation)
	return append(appendNodes(dst, h.other, messageSpace), "</Header>"...)
}

func (m *MeterReading) append(dst []byte) []byte {
	for i := range m.Events {
		dst = append(m.Events[i].append(append(dst, "<EndDeviceEvents>"...)), "</EndDeviceEvents>"...)
	}
	for i := range m.IntervalBlocks {
		b := &m.IntervalBlocks[i]
		dst = append(dst, "<IntervalBlocks>"...)
		for j := range b.Readings {
			dst = append(b.Readings[j].append(append(dst, "<IntervalReadings>"...)), "</IntervalReadings>"...)
		}
		dst = appendRef(appendNodes(dst, b.other, meterReadingsSpace), "ReadingType", b.Type)
		dst = append(dst, "</IntervalBlocks>"...)
	}
	if m.Meter != nil {
		dst = xmltext.AppendElement(append(dst, "<Meter>"...), "mRID", m.Meter.MRID)
		dst = appendNodes(dst, m.Meter.other, meterReadingsSpace)
		dst = append(appendNames(dst, m.Meter.Names), "</Meter>"...)
	}
	for i := range m.Readings {
		dst = append(m.Readings[i].append(append(dst, "<Readings>"...)), "</Readings>"...)
	}
	dst = appendNodes(dst, m.other, meterReadingsSpace)
	if !m.from.IsZero() {
		dst = appendTime(append(dst, "<valuesInterval>"...), "end", At(m.to))
		dst = append(appendTime(dst, "start", At(m.from)), "</valuesInterval>"...)
	}
	return dst
}

func appendNames(dst []byte, names []Name) []byte {
	for _, n := range names {
		dst = xmltext.AppendElement(append(dst, "<Names>"...), "name", n.Name)
		if n.Type != "" {
			dst = xmltext.AppendElement(append(dst, "<NameType>"...), "name", n.Type)
			if n.Authority != "" {
				dst = append(xmltext.AppendElement(append(dst, "<NameTypeAuthority>"...), "name", n.Authority), "</NameTypeAuthority>"...)
			}
			dst = append(dst, "</NameType>"...)
		}
		dst = append(dst, "</Names>"...)
	}
	return dst
}

func appendRef(dst []byte, name, ref string) []byte {
	if ref == "" {
		return dst
	}
	dst = append(append(append(dst, '<'), name...), ` ref="`...)
	return append(xmltext.AppendEscaped(dst, ref), `"/>`...)
}

func appendTime(dst []byte, name string, t DateTime) []byte {
	if t.IsZero() {
		return dst
	}
	dst = append(append(append(dst, '<'), name...), '>')
	return append(append(append(t.append(dst), "</"...), name...), '>')
}

func (r *Reading) append(dst []byte) []byte {
	dst = xmltext.AppendElement(dst, "reason", r.Reason)
	dst = appendTime(dst, "reportedDateTime", r.Reported)
	dst = xmltext.AppendElement(dst, "source", r.Source)
	dst = appendTime(dst, "timeStamp", r.TimeStamp)
	dst = append(dst, "<value>"...)
	if text, ok := r.Value.Bytes(); ok {
		dst = xmltext.AppendEscaped(dst, string(text))
	} else {
		dst = r.Value.Append(dst)
	}
	dst = append(dst, "</value>"...)
	for i := range r.Qualities {
		q := &r.Qualities[i]
		dst = xmltext.AppendElement(append(dst, "<ReadingQualities>"...), "comment", q.Comment)
		dst = xmltext.AppendElement(dst, "source", q.Source)
		dst = appendTime(dst, "timeStamp", q.TimeStamp)
		dst = append(appendRef(dst, "ReadingQualityType", q.Type), "</ReadingQualities>"...)
	}
	dst = appendRef(dst, "ReadingType", r.Type)
	if !r.Start.IsZero() || !r.End.IsZero() {
		dst = appendTime(append(dst, "<timePeriod>"...), "end", r.End)
		dst = append(appendTime(dst, "start", r.Start), "</timePeriod>"...)
	}
	return appendNodes(dst, r.other, meterReadingsSpace)
}

func (e *EndDeviceEvent) append(dst []byte) []byte {
	dst = xmltext.AppendElement(dst, "mRID", e.MRID)
	dst = appendTime(dst, "createdDateTime", e.Created)
	dst = xmltext.AppendElement(dst, "reason", e.Reason)
	dst = xmltext.AppendElement(dst, "severity", e.Severity)
	for _, d := range e.Details {
		dst = xmltext.AppendElement(append(dst, "<EndDeviceEventDetails>"...), "name", d.Name)
		dst = append(xmltext.AppendElement(dst, "value", d.Value), "</EndDeviceEventDetails>"...)
	}
	dst = appendRef(dst, "EndDeviceEventType", e.Type)
	return appendNodes(dst, e.other, meterReadingsSpace)
}

// parseValue reads the text of a value, which is a number unless it does not look like one.
func parseValue(text []byte) obis.Value {
	if v, ok := obis.ParseDecimal(bytes.TrimSpace(text)); ok {
		return v
	}
	if len(text) == 0 {
		return obis.Value{}
	}
	return obis.Text(bytes.Clone(text))
}

package cim

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/openusm/meter/internal/xmltext"
)

// ParseError says which element of a document could not be read, and where.
type ParseError struct {
	Field  string // the element
	Offset int    // octets from the start of the document
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("cim: %s at octet %d: %v", e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

// reader reads elements by their names in whatever order they come: what peers
// write differs in order and in what they leave out.
type reader struct{ *xmltext.Reader }

// wrap makes an error of the XML reader one of this package.
func (r *reader) wrap(field string, err error) error {
	if err == nil {
		return nil
	}
	var own *ParseError
	if errors.As(err, &own) {
		return err
	}
	at := r.Offset()
	var x *xmltext.Error
	if errors.As(err, &x) {
		at, err = x.Offset, x.Err
	}
	return &ParseError{Field: field, Offset: at, Err: err}
}

// each calls child for every element within the one that has just started;
// child must read it to its end.
func (r *reader) each(field string, child func(name string) error) error {
	for {
		k, err := r.Next()
		if err != nil {
			return r.wrap(field, err)
		}
		switch k {
		case xmltext.End:
			return nil
		case xmltext.Start:
			if err := child(r.Name.Local); err != nil {
				return r.wrap(field+"/"+r.Name.Local, err)
			}
		}
	}
}

// text reads the text of the element that has just started, as it is.
func (r *reader) text(to *string) error {
	b, err := r.Whole()
	*to = string(b)
	return err
}

// token reads a text around which white space says nothing.
func (r *reader) token(to *string) error {
	b, err := r.Content()
	*to = string(b)
	return err
}

func (r *reader) keep(to *[]*xmltext.Node) error {
	n, err := r.Tree()
	if err == nil {
		*to = append(*to, n)
	}
	return err
}

func (r *reader) ref(to *string) error {
	for _, a := range r.Attrs {
		if a.Name.Local == "ref" {
			*to = a.Value
		}
	}
	return r.Skip()
}

// Parse reads a MeterReadings document, alone or in a message of IEC 61968-100
// (Message, RequestMessage, ResponseMessage or EventMessage). EndDeviceEvents
// are read, too: as the meter readings, without values, of the meters they name.
func Parse(doc []byte) (*Document, error) {
	r := &reader{xmltext.NewReader(doc)}
	if _, err := r.Next(); err != nil {
		return nil, r.wrap("document", err)
	}
	d := &Document{}
	var err error
	switch r.Name.Local {
	case "MeterReadings":
		err = r.meterReadings(d)
	case "EndDeviceEvents":
		err = r.endDeviceEvents(d)
	case "Message", "RequestMessage", "ResponseMessage", "EventMessage":
		err = r.message(d)
	default:
		err = &ParseError{Field: r.Name.Local, Offset: r.Offset(), Err: errors.New("neither MeterReadings nor EndDeviceEvents nor a message")}
	}
	if err != nil {
		return nil, err
	}
	if _, err := r.Next(); err != io.EOF {
		return nil, r.wrap("document", err)
	}
	return d, nil
}

func (r *reader) message(d *Document) error {
	d.Header = &Header{message: r.Name.Local}
	payload := false
	err := r.each(d.Header.message, func(name string) error {
		switch name {
		case "Header":
			return r.header(d.Header)
		case "Payload":
			return r.each(name, func(name string) error {
				switch name {
				case "MeterReadings":
					payload = true
					return r.meterReadings(d)
				case "EndDeviceEvents":
					payload = true
					return r.endDeviceEvents(d)
				}
				return r.keep(&d.other)
			})
		}
		return r.Skip()
	})
	if err == nil && !payload {
		return &ParseError{Field: "Message", Offset: r.Offset(), Err: errors.New("a payload with neither MeterReadings nor EndDeviceEvents")}
	}
	return err
}

func (r *reader) header(h *Header) error {
	return r.each("Header", func(name string) error {
		switch name {
		case "Verb":
			return r.token(&h.Verb)
		case "Noun":
			return r.token(&h.Noun)
		case "Revision":
			return r.token(&h.Revision)
		case "Context":
			return r.token(&h.Context)
		case "Timestamp":
			return r.token(&h.Timestamp.text)
		case "Source":
			return r.token(&h.Source)
		case "MessageID":
			return r.token(&h.MessageID)
		case "CorrelationID":
			return r.token(&h.Correlation)
		}
		return r.keep(&h.other)
	})
}

func (r *reader) meterReadings(d *Document) error {
	return r.each("MeterReadings", func(name string) error {
		switch name {
		case "MeterReading":
			d.Readings = append(d.Readings, MeterReading{})
			return r.meterReading(&d.Readings[len(d.Readings)-1])
		case "ReadingType":
			d.ReadingTypes = append(d.ReadingTypes, TypeDescription{})
			t := &d.ReadingTypes[len(d.ReadingTypes)-1]
			return r.named(name, &t.MRID, &t.Names, &t.other)
		}
		return r.keep(&d.other)
	})
}

func (r *reader) meterReading(m *MeterReading) error {
	return r.each("MeterReading", func(name string) error {
		switch name {
		case "EndDeviceEvents":
			m.Events = append(m.Events, EndDeviceEvent{})
			return r.event(&m.Events[len(m.Events)-1])
		case "IntervalBlocks":
			m.IntervalBlocks = append(m.IntervalBlocks, IntervalBlock{})
			return r.block(&m.IntervalBlocks[len(m.IntervalBlocks)-1])
		case "Meter":
			m.Meter = &Meter{}
			return r.named(name, &m.Meter.MRID, &m.Meter.Names, &m.Meter.other)
		case "Readings":
			m.Readings = append(m.Readings, Reading{})
			return r.reading(name, &m.Readings[len(m.Readings)-1])
		}
		return r.keep(&m.other)
	})
}

func (r *reader) endDeviceEvents(d *Document) error {
	return r.each("EndDeviceEvents", func(name string) error {
		if name != "EndDeviceEvent" {
			return r.keep(&d.other)
		}
		var e EndDeviceEvent
		if err := r.event(&e); err != nil {
			return err
		}
		meter := e.takeAsset()
		n := len(d.Readings)
		if n == 0 || d.Readings[n-1].Meter == nil || d.Readings[n-1].Meter.MRID != meter.MRID {
			d.Readings = append(d.Readings, MeterReading{Meter: meter})
			n++
		}
		d.Readings[n-1].Events = append(d.Readings[n-1].Events, e)
		return nil
	})
}

// takeAsset removes the asset that an event names, and returns it as a meter.
func (e *EndDeviceEvent) takeAsset() *Meter {
	m := &Meter{}
	for i, n := range e.other {
		if n.Name.Local != "Assets" && n.Name.Local != "EndDevice" {
			continue
		}
		if id := n.Child("mRID"); id != nil {
			m.MRID = id.Text
		}
		for _, c := range n.Children {
			if name := c.Child("name"); c.Name.Local == "Names" && name != nil {
				m.Names = append(m.Names, Name{Name: name.Text})
			}
		}
		e.other = slices.Delete(e.other, i, i+1)
		break
	}
	return m
}

// named reads an object with an id and names.
func (r *reader) named(field string, id *string, names *[]Name, other *[]*xmltext.Node) error {
	return r.each(field, func(name string) error {
		switch name {
		case "mRID":
			return r.text(id)
		case "Names":
			*names = append(*names, Name{})
			return r.name(&(*names)[len(*names)-1])
		}
		return r.keep(other)
	})
}

func (r *reader) name(n *Name) error {
	return r.each("Names", func(name string) error {
		switch name {
		case "name":
			return r.text(&n.Name)
		case "NameType":
			return r.each(name, func(name string) error {
				switch name {
				case "name":
					return r.text(&n.Type)
				case "NameTypeAuthority":
					return r.each(name, func(name string) error {
						if name == "name" {
							return r.text(&n.Authority)
						}
						return r.Skip()
					})
				}
				return r.Skip()
			})
		}
		return r.Skip()
	})
}

func (r *reader) block(b *IntervalBlock) error {
	return r.each("IntervalBlocks", func(name string) error {
		switch name {
		case "IntervalReadings":
			b.Readings = append(b.Readings, Reading{})
			return r.reading(name, &b.Readings[len(b.Readings)-1])
		case "ReadingType":
			return r.ref(&b.Type)
		}
		return r.keep(&b.other)
	})
}

func (r *reader) reading(field string, x *Reading) error {
	return r.each(field, func(name string) error {
		switch name {
		case "reason":
			return r.text(&x.Reason)
		case "reportedDateTime":
			return r.token(&x.Reported.text)
		case "source":
			return r.text(&x.Source)
		case "timeStamp":
			return r.token(&x.TimeStamp.text)
		case "value":
			b, err := r.Content()
			x.Value = parseValue(b)
			return err
		case "ReadingQualities":
			x.Qualities = append(x.Qualities, Quality{})
			return r.quality(&x.Qualities[len(x.Qualities)-1])
		case "ReadingType":
			return r.ref(&x.Type)
		case "timePeriod":
			return r.each(name, func(name string) error {
				switch name {
				case "start":
					return r.token(&x.Start.text)
				case "end":
					return r.token(&x.End.text)
				}
				return r.Skip()
			})
		}
		return r.keep(&x.other)
	})
}

func (r *reader) quality(q *Quality) error {
	return r.each("ReadingQualities", func(name string) error {
		switch name {
		case "comment":
			return r.text(&q.Comment)
		case "source":
			return r.text(&q.Source)
		case "timeStamp":
			return r.token(&q.TimeStamp.text)
		case "ReadingQualityType":
			return r.ref(&q.Type)
		}
		return r.Skip()
	})
}

func (r *reader) event(e *EndDeviceEvent) error {
	return r.each("EndDeviceEvents", func(name string) error {
		switch name {
		case "mRID":
			return r.text(&e.MRID)
		case "createdDateTime":
			return r.token(&e.Created.text)
		case "reason":
			return r.text(&e.Reason)
		case "severity":
			return r.text(&e.Severity)
		case "EndDeviceEventDetails":
			e.Details = append(e.Details, Detail{})
			d := &e.Details[len(e.Details)-1]
			return r.each(name, func(name string) error {
				switch name {
				case "name":
					return r.text(&d.Name)
				case "value":
					return r.text(&d.Value)
				}
				return r.Skip()
			})
		case "EndDeviceEventType":
			return r.ref(&e.Type)
		}
		return r.keep(&e.other)
	})
}

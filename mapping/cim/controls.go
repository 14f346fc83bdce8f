package cim

import (
	"errors"
	"io"

	"github.com/openusm/meter/internal/xmltext"
)

// Control is an instruction to meters: to disconnect, to limit, to show a text.
type Control struct {
	MRID, Reason, IssuerID, IssuerTrackingID string
	Type                                     string   // EndDeviceControlType: type.domain.subdomain.action
	Devices                                  []string // ids of the meters, by mRID or else by their first name
	Groups                                   []string // ids of groups of meters
	Start, End                               DateTime // of what is scheduled
}

// ParseControls reads an EndDeviceControls document (IEC 61968-9), alone or in a
// message of IEC 61968-100. It carries out nothing.
func ParseControls(doc []byte) (list []Control, err error) {
	r := &reader{xmltext.NewReader(doc)}
	if _, err := r.Next(); err != nil {
		return nil, r.wrap("document", err)
	}
	root, found := r.Name.Local, false
	controls := func() error {
		found = true
		return r.each("EndDeviceControls", func(name string) error {
			if name != "EndDeviceControl" {
				return r.Skip()
			}
			list = append(list, Control{})
			return r.control(&list[len(list)-1])
		})
	}
	switch root {
	case "EndDeviceControls":
		err = controls()
	case "Message", "RequestMessage", "EventMessage":
		err = r.each(root, func(name string) error {
			if name != "Payload" {
				return r.Skip()
			}
			return r.each(name, func(name string) error {
				if name != "EndDeviceControls" {
					return r.Skip()
				}
				return controls()
			})
		})
	}
	if err == nil && !found {
		err = &ParseError{Field: root, Offset: r.Offset(), Err: errors.New("no EndDeviceControls")}
	}
	if err != nil {
		return nil, err
	}
	if _, err := r.Next(); err != io.EOF {
		return nil, r.wrap("document", err)
	}
	return list, nil
}

func (r *reader) control(c *Control) error {
	return r.each("EndDeviceControl", func(name string) error {
		switch name {
		case "mRID":
			return r.text(&c.MRID)
		case "reason":
			return r.text(&c.Reason)
		case "issuerID":
			return r.text(&c.IssuerID)
		case "issuerTrackingID":
			return r.text(&c.IssuerTrackingID)
		case "EndDeviceControlType":
			return r.ref(&c.Type)
		case "EndDevices":
			return r.id(name, &c.Devices)
		case "EndDeviceGroups":
			return r.id(name, &c.Groups)
		case "scheduledInterval":
			return r.each(name, func(name string) error {
				switch name {
				case "start":
					return r.token(&c.Start.text)
				case "end":
					return r.token(&c.End.text)
				}
				return r.Skip()
			})
		}
		return r.Skip()
	})
}

// id reads which object is meant.
func (r *reader) id(field string, to *[]string) error {
	var id string
	var names []Name
	var other []*xmltext.Node
	if err := r.named(field, &id, &names, &other); err != nil {
		return err
	}
	if id == "" && len(names) > 0 {
		id = names[0].Name
	}
	*to = append(*to, id)
	return nil
}

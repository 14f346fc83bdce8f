package dlms

import (
	"context"
	"fmt"
	"strings"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/obis"
)

// ParseMechanism reads the name of an authentication mechanism: none, low,
// hls-manufacturer, hls-md5, hls-sha1, hls-gmac, hls-sha256 or hls-ecdsa. "" is none.
func ParseMechanism(name string) (apdu.Mechanism, error) {
	names := [...]string{"none", "low", "hls-manufacturer", "hls-md5", "hls-sha1", "hls-gmac", "hls-sha256", "hls-ecdsa"}
	if name == "" {
		return apdu.MechanismNone, nil
	}
	for m, known := range names {
		if strings.EqualFold(name, known) {
			return apdu.Mechanism(m), nil
		}
	}
	return 0, fmt.Errorf("dlms: unknown authentication %q: one of %s", name, strings.Join(names[:], ", "))
}

// Select returns the codes of the meter's objects that match the patterns, none
// without patterns. A pattern of one code that the meter does not list is among
// them all the same.
func (c *Client) Select(ctx context.Context, patterns ...obis.Pattern) (codes []obis.Code, err error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	objects, err := c.Objects(ctx)
	if err != nil {
		return nil, err
	}
	seen := map[obis.Code]bool{}
	add := func(code obis.Code) {
		if !seen[code] {
			seen[code] = true
			codes = append(codes, code)
		}
	}
	for _, p := range patterns {
		for _, o := range objects {
			if p.Match(o.Name) {
				add(o.Name)
			}
		}
		if code, ok := p.Code(); ok {
			add(code)
		}
	}
	return codes, nil
}

// Profiles returns the codes of the meter's profiles that are no logs of events.
func (c *Client) Profiles(ctx context.Context) ([]obis.Code, error) { return c.generic(ctx, false) }

// EventLogs returns the codes of the meter's logs of events.
func (c *Client) EventLogs(ctx context.Context) ([]obis.Code, error) { return c.generic(ctx, true) }

func (c *Client) generic(ctx context.Context, logs bool) (codes []obis.Code, err error) {
	objects, err := c.Objects(ctx)
	for _, o := range objects {
		if o.Class == cosem.ClassProfileGeneric && logs == isEventLog(o.Name) {
			codes = append(codes, o.Name)
		}
	}
	return codes, err
}

// isEventLog knows the names of logs of events: C is 99 and D 97 or 98.
func isEventLog(c obis.Code) bool { return c[2] == 99 && (c[3] == 97 || c[3] == 98) }

// LoadProfile returns the code of the meter's load profile, 99.1 before others;
// the zero code where the meter has no profile.
func (c *Client) LoadProfile(ctx context.Context) (main obis.Code, err error) {
	codes, err := c.Profiles(ctx)
	for _, code := range codes {
		if !main.Valid() || code[2] == 99 && code[3] == 1 && !(main[2] == 99 && main[3] == 1) {
			main = code
		}
	}
	return main, err
}

// LogicalDevice is a logical device of a physical one.
type LogicalDevice struct {
	SAP   uint16
	Meter obis.Meter // what its name tells
}

// LogicalDevices returns the devices that the SAP assignment lists.
func (c *Client) LogicalDevices(ctx context.Context) (devices []LogicalDevice, err error) {
	list, err := c.Get(ctx, cosem.Attribute{Class: cosem.ClassSAPAssignment, Name: obis.Code{0, 0, 41, 0, 0, 255}, Index: 2}, nil)
	if err != nil {
		return nil, err
	}
	for _, device := range list.Elements() {
		sap, _ := device.At(0).Uint()
		name, _ := device.At(1).Bytes()
		devices = append(devices, LogicalDevice{uint16(sap), cosem.Identify([]obis.Reading{{Code: deviceName, Value: obis.Octets(name)}})})
	}
	return devices, nil
}

package dlms

import (
	"context"
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/obis"
)

// Select returns the codes of the listed objects that match any of the patterns,
// in the order of the patterns and then of the list, each once. A pattern of one
// code is that code whether it is listed or not.
func (c *Client) Select(ctx context.Context, patterns ...obis.Pattern) ([]obis.Code, error) {
	objects, err := c.Objects(ctx)
	if err != nil {
		return nil, err
	}
	var codes []obis.Code
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

// Profiles returns the codes of the listed profiles that are no event logs.
func (c *Client) Profiles(ctx context.Context) ([]obis.Code, error) {
	return c.profileCodes(ctx, func(c obis.Code) bool { return !isEventLog(c) })
}

// EventLogs returns the codes of the listed event logs.
func (c *Client) EventLogs(ctx context.Context) ([]obis.Code, error) {
	return c.profileCodes(ctx, isEventLog)
}

// isEventLog knows the names of event logs: C is 99 and D 97 or 98.
func isEventLog(c obis.Code) bool { return c[2] == 99 && (c[3] == 97 || c[3] == 98) }

func (c *Client) profileCodes(ctx context.Context, want func(obis.Code) bool) (codes []obis.Code, err error) {
	objects, err := c.Objects(ctx)
	for _, o := range objects {
		if o.Class == cosem.ClassProfileGeneric && want(o.Name) {
			codes = append(codes, o.Name)
		}
	}
	return codes, err
}

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

// LogicalDevices returns the logical devices of the meter, as its SAP assignment
// lists them: numbers to give as [Config.Server], and names.
func (c *Client) LogicalDevices(ctx context.Context) ([]cosem.SAP, error) {
	var v cosem.SAPAssignment
	err := c.View(ctx, obis.Code{0, 0, 41, 0, 0, 255}, &v)
	return v.Devices, err
}

// ParseMechanism returns the mechanism of a name of command lines: none, low,
// hls-manufacturer, hls-md5, hls-sha1, hls-gmac, hls-sha256 or hls-ecdsa.
func ParseMechanism(name string) (apdu.Mechanism, error) {
	for m := apdu.MechanismNone; m <= apdu.MechanismECDSA; m++ {
		if m.String() == name {
			return m, nil
		}
	}
	return 0, fmt.Errorf("dlms: no authentication mechanism %q", name)
}

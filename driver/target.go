package driver

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Target is where a meter is: a serial port, a network address, a simulated
// meter or a file; or where one calls in.
type Target struct {
	Scheme   string   // serial, tcp, udp, sim, file, listen; stdin for "-"
	Address  string   // port name, host:port, simulator, file name
	Baud     int      // serial only; 0 where the target does not say
	Framing  string   // serial only, as "7E1"; "" where the target does not say
	Protocol Protocol // listen only: what the meters that call in speak
}

// ParseTarget reads "/dev/ttyUSB0", "COM3", "serial:///dev/ttyUSB0?baud=9600&framing=8N1",
// "tcp://host:port", "udp://host:port", "listen+dlms://host:port", "sim:dlms", a file name
// or "-". The name of a device, or a link to one, is a serial port wherever it lies.
func ParseTarget(s string) (Target, error) {
	switch {
	case s == "-":
		return Target{Scheme: "stdin", Address: s}, nil
	case isDevice(s), strings.HasPrefix(s, "/dev/"), strings.HasPrefix(strings.ToUpper(s), "COM") && allDigits(s[3:]):
		return Target{Scheme: "serial", Address: s}, nil
	case strings.HasPrefix(s, "sim:"):
		return Target{Scheme: "sim", Address: s[len("sim:"):]}, nil
	case !strings.Contains(s, "://"):
		return Target{Scheme: "file", Address: filepath.Clean(s)}, nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return Target{}, fmt.Errorf("meter: target: %w", err)
	}
	scheme, protocol, calls := strings.Cut(u.Scheme, "+")
	switch scheme {
	case "tcp", "udp", "listen":
		if _, port, err := net.SplitHostPort(u.Host); err != nil || port == "" || u.Path != "" || u.RawQuery != "" {
			return Target{}, fmt.Errorf("meter: target %q has no host:port", s)
		}
		if calls != (scheme == "listen") {
			return Target{}, fmt.Errorf("meter: target %q: want for example listen+dlms://:4059", s)
		}
		return Target{Scheme: scheme, Address: u.Host, Protocol: Protocol(protocol)}, nil
	case "serial":
		return serialTarget(u)
	case "file":
		return Target{Scheme: "file", Address: u.Path}, nil
	}
	return Target{}, fmt.Errorf("meter: target %q: unknown scheme %q", s, u.Scheme)
}

func isDevice(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func allDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func serialTarget(u *url.URL) (t Target, err error) {
	t = Target{Scheme: "serial", Address: u.Host + u.Path}
	query := u.Query()
	if baud := query.Get("baud"); baud != "" {
		if t.Baud, err = strconv.Atoi(baud); err != nil || t.Baud <= 0 {
			return Target{}, fmt.Errorf("meter: target: baud %q", baud)
		}
	}
	if t.Framing = strings.ToUpper(query.Get("framing")); t.Framing != "" && !validFraming(t.Framing) {
		return Target{}, fmt.Errorf("meter: target: framing %q, want for example 8N1", t.Framing)
	}
	for key := range query {
		if key != "baud" && key != "framing" {
			return Target{}, fmt.Errorf("meter: target: unknown setting %q", key)
		}
	}
	return t, nil
}

func validFraming(s string) bool {
	return len(s) == 3 && strings.ContainsRune("5678", rune(s[0])) && strings.ContainsRune("NEOMS", rune(s[1])) && strings.ContainsRune("12", rune(s[2]))
}

// String returns the target as ParseTarget reads it.
func (t Target) String() string {
	switch t.Scheme {
	case "sim":
		return "sim:" + t.Address
	case "file", "stdin":
		return t.Address
	case "serial":
		s := "serial://" + t.Address
		if t.Baud != 0 {
			s += fmt.Sprintf("?baud=%d&framing=%s", t.Baud, t.Framing)
		}
		return s
	case "listen":
		return "listen+" + string(t.Protocol) + "://" + t.Address
	}
	return t.Scheme + "://" + t.Address
}

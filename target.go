package meter

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
// meter or a file.
type Target struct {
	Scheme  string // serial, tcp, udp, sim, file; stdin for "-"
	Address string // port name, host:port, simulator, file name
	Baud    int    // serial only; 0 where the target does not say
	Framing string // serial only, as "7E1"; "" where the target does not say
}

// ParseTarget reads "/dev/ttyUSB0", "COM3", "serial:///dev/ttyUSB0?baud=9600&framing=8N1",
// "tcp://host:port", "udp://host:port", "sim:dlms", a file name or "-". The name of a
// device, or a link to one, is a serial port wherever it lies.
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
	switch u.Scheme {
	case "tcp", "udp":
		if _, port, err := net.SplitHostPort(u.Host); err != nil || port == "" {
			return Target{}, fmt.Errorf("meter: target %q has no host:port", s)
		}
		return Target{Scheme: u.Scheme, Address: u.Host}, nil
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

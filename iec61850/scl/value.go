package scl

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/openusm/meter/iec61850"
)

var errValue = errors.New("no value of the type")

// dbpos are the names of the double point positions.
var dbpos = [...]string{"intermediate-state", "off", "on", "bad-state"}

// parseValue reads the text of a value of an attribute that is no array and no structure.
func parseValue(a *iec61850.Attribute, e iec61850.Enumeration, text string) (iec61850.Value, error) {
	t, _ := iec61850.BasicType(a.Basic)
	trimmed := strings.TrimSpace(text)
	switch {
	case a.Basic == "Enum":
		if ord, ok := e.Ord(text); ok {
			return iec61850.Int(int64(ord)), nil
		}
		if ord, ok := e.Ord(trimmed); ok {
			return iec61850.Int(int64(ord)), nil
		}
		if ord, err := strconv.ParseInt(trimmed, 10, 8); err == nil {
			return iec61850.Int(ord), nil
		}
		return iec61850.Value{}, fmt.Errorf("%q in %s: %w", text, e.Name, errValue)
	case a.Basic == "Dbpos":
		for i, name := range dbpos {
			if trimmed == name || trimmed == strings.TrimSuffix(name, "-state") || trimmed == strconv.Itoa(i) {
				return iec61850.Bits(uint64(i), 2), nil
			}
		}
	}
	v, ok := iec61850.Value{}, false
	switch t.Kind {
	case iec61850.Boolean:
		v, ok = iec61850.Bool(trimmed == "true" || trimmed == "1"), trimmed == "true" || trimmed == "1" || trimmed == "false" || trimmed == "0"
	case iec61850.Integer:
		n, err := strconv.ParseInt(trimmed, 10, 64)
		v, ok = iec61850.Int(n), err == nil
	case iec61850.Unsigned:
		n, err := strconv.ParseUint(trimmed, 10, 64)
		v, ok = iec61850.Uint(n), err == nil
	case iec61850.Float:
		f, err := strconv.ParseFloat(trimmed, t.Size)
		if v, ok = iec61850.Float64(f), err == nil; t.Size == 32 {
			v = iec61850.Float32(float32(f))
		}
	case iec61850.VisibleString:
		v, ok = iec61850.Visible(text), isVisible(text)
	case iec61850.UTF8String:
		v, ok = iec61850.UTF8(text), true
	case iec61850.OctetString:
		b, err := base64.StdEncoding.DecodeString(trimmed)
		v, ok = iec61850.Octets(b), err == nil
	case iec61850.UTCTime:
		at, err := time.Parse(time.RFC3339Nano, trimmed)
		if err != nil {
			at, err = time.Parse("2006-01-02T15:04:05.999999999", trimmed)
		}
		v, ok = iec61850.NewTimestamp(at, 0).Value(), err == nil
	case iec61850.BitString:
		v, ok = parseBits(trimmed)
	}
	if ok {
		if v, ok := t.Fits(v); ok {
			return v, nil
		}
	}
	return iec61850.Value{}, fmt.Errorf("%q for %s: %w", text, a.Basic, errValue)
}

func isVisible(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// parseBits reads a bit string as digits 0 and 1.
func parseBits(s string) (iec61850.Value, bool) {
	n, err := strconv.ParseUint(s, 2, 63)
	return iec61850.Bits(n, uint8(min(len(s), 63))), err == nil
}

// valueText returns the text of a value, not ok where SCL has none for its type.
func valueText(a *iec61850.Attribute, e iec61850.Enumeration, v iec61850.Value) (text string, ok bool) {
	switch {
	case a.Basic == "Enum":
		n, _ := v.Int()
		if text, ok = e.Text(int(n)); ok && text != "" {
			return text, true
		}
		return strconv.FormatInt(n, 10), true
	case a.Basic == "Dbpos":
		return dbpos[v.Bits()&3], true
	}
	switch v.Kind() {
	case iec61850.VisibleString, iec61850.UTF8String:
		return v.Text(), true
	case iec61850.OctetString:
		return base64.StdEncoding.EncodeToString([]byte(v.Text())), true
	case iec61850.UTCTime:
		return v.Time().Time().Format(time.RFC3339Nano), true
	case iec61850.Boolean, iec61850.Integer, iec61850.Unsigned, iec61850.Float, iec61850.BitString:
		return v.String(), true
	}
	return "", false
}

// isXML reports whether XML can carry the text as it is.
func isXML(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0xFFFD || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return true
}

// parseMAC reads an address as 01-0C-CD-01-00-00.
func parseMAC(s string) (mac [6]byte, ok bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.ReplaceAll(s, "-", ""), ":", ""))
	if err != nil || len(b) != 6 {
		return mac, false
	}
	return [6]byte(b), true
}

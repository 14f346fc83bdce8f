package epsem

import (
	"bytes"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Title is an AP title, the name of a station: an object identifier with its tag
// and length, 06 absolute or 80 relative to the root of C12.22.
type Title []byte

const (
	tagRelativeOID = 0x0D // of relative titles in services
	maxTitle       = 127  // octets of an identifier
	maxArc         = 1<<32 - 1
)

// ParseTitle reads a title as it is written: "1.3.6.1.4.1" absolute, ".42.7" relative to
// 2.16.124.113620.1.22.0.
func ParseTitle(text string) (Title, error) {
	bad := func() (Title, error) {
		return nil, fmt.Errorf("epsem: %q is no AP title such as .42.7 or 2.16.124.113620.1.22.0.42.7", text)
	}
	tag, rest := byte(tagAbsolute), text
	if strings.HasPrefix(text, ".") {
		tag, rest = tagRelative, text[1:]
	}
	var arcs []uint64
	for _, part := range strings.Split(rest, ".") {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return bad()
		}
		arcs = append(arcs, n)
	}
	if tag == tagAbsolute {
		if len(arcs) < 2 || arcs[0] > 2 || arcs[0] < 2 && arcs[1] > 39 {
			return bad()
		}
		arcs[1] += 40 * arcs[0]
		arcs = arcs[1:]
	}
	var content []byte
	for _, n := range arcs {
		content = appendArc(content, n)
	}
	if len(content) > maxTitle {
		return bad()
	}
	return wrap(tag, content), nil
}

// appendArc appends a number of an identifier in groups of seven bits.
func appendArc(dst []byte, n uint64) []byte {
	for groups := max((bits.Len64(n)+6)/7, 1); groups > 1; groups-- {
		dst = append(dst, byte(n>>(7*(groups-1)))|0x80)
	}
	return append(dst, byte(n&0x7F))
}

// content returns the identifier without tag and length, nil where the title is none.
func (t Title) content() []byte {
	if len(t) < 2 || int(t[1]) != len(t)-2 || t[1] > maxTitle {
		return nil
	}
	return t[2:]
}

// relative reports whether the title stands below the root.
func (t Title) relative() bool { return len(t) > 0 && (t[0] == tagRelative || t[0] == tagRelativeOID) }

// Absolute returns the title as an absolute one.
func (t Title) Absolute() Title {
	if !t.relative() || len(t.content()) == 0 {
		return t
	}
	return wrap(tagAbsolute, append(rootOID[:len(rootOID):len(rootOID)], t.content()...))
}

// Equal reports whether two titles name the same station, be they absolute or relative.
func (t Title) Equal(o Title) bool { return bytes.Equal(t.Absolute(), o.Absolute()) }

// String returns the title as ParseTitle reads it, and octets that are no title in hexadecimal.
func (t Title) String() string {
	b := t.content()
	if len(b) == 0 || b[len(b)-1]&0x80 != 0 {
		return fmt.Sprintf("%x", []byte(t))
	}
	var s strings.Builder
	first := !t.relative()
	n := uint64(0)
	for _, c := range b {
		if n > maxArc {
			return fmt.Sprintf("%x", []byte(t))
		}
		if n = n<<7 | uint64(c&0x7F); c&0x80 != 0 {
			continue
		}
		if first {
			root := min(n/40, 2)
			fmt.Fprintf(&s, "%d.%d", root, n-40*root)
			first = false
		} else {
			fmt.Fprintf(&s, ".%d", n)
		}
		n = 0
	}
	return s.String()
}

package coap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Link is a link to a resource (RFC 6690).
type Link struct {
	Path       string   // "/m/1-0:1.8.0"
	Type       string   // rt, several with blanks between; "" for none
	Interface  string   // if, likewise
	Formats    []Format // ct
	Observable bool     // obs
	Title      string
	Size       int // sz, the octets of the resource where that is more than one message holds; 0 for not said
}

// AppendLinks appends links in the CoRE link format (application/link-format).
func AppendLinks(dst []byte, links []Link) []byte {
	for i := range links {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = links[i].append(dst)
	}
	return dst
}

func (l *Link) append(dst []byte) []byte {
	dst = append(appendPath(append(dst, '<'), l.Path), '>')
	if l.Type != "" {
		dst = appendAttribute(dst, "rt", l.Type)
	}
	if l.Interface != "" {
		dst = appendAttribute(dst, "if", l.Interface)
	}
	if len(l.Formats) > 0 {
		dst = append(dst, ";ct="...)
		if len(l.Formats) > 1 {
			dst = append(dst, '"')
		}
		for i, f := range l.Formats {
			if i > 0 {
				dst = append(dst, ' ')
			}
			dst = strconv.AppendUint(dst, uint64(f), 10)
		}
		if len(l.Formats) > 1 {
			dst = append(dst, '"')
		}
	}
	if l.Size > 0 {
		dst = strconv.AppendInt(append(dst, ";sz="...), int64(l.Size), 10)
	}
	if l.Observable {
		dst = append(dst, ";obs"...)
	}
	if l.Title != "" {
		dst = appendAttribute(dst, "title", l.Title)
	}
	return dst
}

// appendAttribute appends a parameter with a quoted string.
func appendAttribute(dst []byte, name, value string) []byte {
	dst = append(append(append(dst, ';'), name...), '=', '"')
	for i := range len(value) {
		switch c := value[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c == 0x7F:
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// appendPath appends a path; what a URI reference cannot hold is percent-encoded.
func appendPath(dst []byte, path string) []byte {
	for i := range len(path) {
		c := path[i]
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("/-._~:@!$&'()*+,;=", c) >= 0 {
			dst = append(dst, c)
		} else {
			dst = fmt.Appendf(dst, "%%%02X", c)
		}
	}
	return dst
}

// match reports whether the link has what a query asks for: "rt=meter*", where
// "*" at the end stands for any further characters, or "obs".
func (l *Link) match(query string) (bool, error) {
	name, want, valued := strings.Cut(query, "=")
	var have []string
	switch name {
	case "href":
		have = []string{l.Path}
	case "rt":
		have = strings.Fields(l.Type)
	case "if":
		have = strings.Fields(l.Interface)
	case "ct":
		for _, f := range l.Formats {
			have = append(have, strconv.Itoa(int(f)))
		}
	case "title":
		if l.Title != "" {
			have = []string{l.Title}
		}
	case "sz":
		if l.Size > 0 {
			have = []string{strconv.Itoa(l.Size)}
		}
	case "obs":
		return l.Observable && want == "", nil
	case "":
		return false, fmt.Errorf("%w: a query without a name", ErrBadRequest)
	}
	if !valued {
		return len(have) > 0, nil
	}
	return slices.ContainsFunc(have, func(s string) bool {
		if begin, ok := strings.CutSuffix(want, "*"); ok {
			return strings.HasPrefix(s, begin)
		}
		return s == want
	}), nil
}

// filter returns the links that have all that the queries ask for.
func filter(links []Link, query []string) ([]Link, error) {
	var kept []Link
	for i := range links {
		keep := true
		for _, q := range query {
			ok, err := links[i].match(q)
			if err != nil {
				return nil, err
			}
			keep = keep && ok
		}
		if keep {
			kept = append(kept, links[i])
		}
	}
	return kept, nil
}

package scl

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// element is an element of the namespace of SCL.
type element struct {
	name         string
	parent       *element
	attrs        []xml.Attr
	children     []*element
	text         string
	offset, line int
}

// Errors of files that are read no further.
var (
	ErrTooLarge = errors.New("beyond the limit")
	ErrMissing  = errors.New("missing")
	ErrTwice    = errors.New("there already")
	ErrUnknown  = errors.New("not known")
)

// parseTree reads the elements of a file.
func parseTree(b []byte) (*element, error) {
	if len(b) > maxOctets {
		return nil, &ParseError{"file", 0, 1, fmt.Errorf("%d octets: %w", len(b), ErrTooLarge)}
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	d.CharsetReader = charset
	var root, at *element
	var text strings.Builder
	count, depth := 0, 0
	for {
		offset := int(d.InputOffset())
		line, _ := d.InputPos()
		token, err := d.Token()
		if errors.Is(err, io.EOF) && root != nil {
			return root, nil
		}
		if err != nil {
			return nil, syntax(d, err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if t.Name.Space != Namespace && t.Name.Space != "" || t.Name.Local == "Private" {
				if root == nil {
					return nil, &ParseError{t.Name.Local, offset, line, fmt.Errorf("of namespace %q, want SCL of %q", t.Name.Space, Namespace)}
				}
				if err := d.Skip(); err != nil {
					return nil, syntax(d, err)
				}
				continue
			}
			count, depth = count+1, depth+1
			if count > maxElements || depth > maxDepth {
				return nil, &ParseError{t.Name.Local, offset, line, fmt.Errorf("%d elements, %d deep: %w", count, depth, ErrTooLarge)}
			}
			e := &element{name: t.Name.Local, parent: at, offset: offset, line: line}
			for _, a := range t.Attr {
				if a.Name.Space == "" && a.Name.Local != "xmlns" {
					e.attrs = append(e.attrs, a)
				}
			}
			switch {
			case root == nil && e.name != "SCL":
				return nil, &ParseError{e.name, offset, line, errors.New("is the root, want SCL")}
			case root == nil:
				root = e
			default:
				at.children = append(at.children, e)
			}
			at = e
			text.Reset()
		case xml.EndElement:
			if len(at.children) == 0 {
				at.text = text.String()
			}
			at, depth = at.parent, depth-1
			text.Reset()
		case xml.CharData:
			text.Write(t)
		}
	}
}

// syntax returns the error of XML that is not well-formed.
func syntax(d *xml.Decoder, err error) error {
	line, _ := d.InputPos()
	var se *xml.SyntaxError
	switch {
	case errors.As(err, &se):
		line = se.Line
		if se.Msg == "unexpected EOF" {
			err = io.ErrUnexpectedEOF
		}
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return &ParseError{"XML", int(d.InputOffset()), line, err}
}

// charset reads the encodings of one octet for each character that vendors use beside UTF-8.
func charset(name string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(name) {
	case "utf-8", "us-ascii", "ascii":
		return in, nil
	case "iso-8859-1", "iso8859-1", "latin1", "windows-1252":
		return &latin1{in: in}, nil
	}
	return nil, fmt.Errorf("encoding %q: %w", name, ErrUnknown)
}

// latin1 turns ISO 8859-1 into UTF-8.
type latin1 struct {
	in      io.Reader
	pending []byte
	buf     [512]byte
}

func (l *latin1) Read(p []byte) (int, error) {
	if len(l.pending) == 0 {
		n, err := l.in.Read(l.buf[:])
		for _, c := range l.buf[:n] {
			l.pending = append(l.pending, string(rune(c))...)
		}
		if n == 0 {
			return 0, err
		}
	}
	n := copy(p, l.pending)
	l.pending = l.pending[:copy(l.pending, l.pending[n:])]
	return n, nil
}

// attr returns an attribute, "" where it is missing.
func (e *element) attr(name string) string {
	v, _ := e.lookup(name)
	return v
}

func (e *element) lookup(name string) (string, bool) {
	for _, a := range e.attrs {
		if a.Name.Local == name {
			return a.Value, true
		}
	}
	return "", false
}

// child returns the first child of that name, nil where there is none.
func (e *element) child(name string) *element {
	if e != nil {
		for _, c := range e.children {
			if c.name == name {
				return c
			}
		}
	}
	return nil
}

// each calls f for the children of that name.
func (e *element) each(name string, f func(*element) error) error {
	if e != nil {
		for _, c := range e.children {
			if c.name == name {
				if err := f(c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// flag returns a boolean attribute.
func (e *element) flag(name string, missing bool) bool {
	switch e.attr(name) {
	case "true", "1":
		return true
	case "false", "0":
		return false
	}
	return missing
}

// number returns the number of an attribute; ok where it is missing or one of 32 bits.
func (e *element) number(name string) (n uint32, ok bool) {
	text, have := e.lookup(name)
	if !have || text == "" {
		return 0, true
	}
	v, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
	return uint32(v), err == nil
}

// label tells elements of one name apart.
func (e *element) label() string {
	switch e.name {
	case "LN", "LN0":
		return e.attr("prefix") + e.attr("lnClass") + e.attr("inst")
	case "ConnectedAP":
		return e.attr("iedName") + " " + e.attr("apName")
	case "EnumVal":
		return e.attr("ord")
	case "P":
		return e.attr("type")
	case "FCDA":
		return e.attr("ldInst") + "/" + e.attr("prefix") + e.attr("lnClass") + e.attr("lnInst") + "." + e.attr("doName")
	}
	for _, name := range []string{"name", "id", "inst", "cbName"} {
		if v := e.attr(name); v != "" {
			return v
		}
	}
	return ""
}

// path returns where the element is.
func (e *element) path() string {
	var parts []string
	for ; e != nil; e = e.parent {
		part := e.name
		if l := e.label(); l != "" {
			part += "[" + l + "]"
		}
		parts = append([]string{part}, parts...)
	}
	return strings.Join(parts, "/")
}

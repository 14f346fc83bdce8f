// Package xmltext reads and writes the XML of metering documents without
// building a tree and without allocating for what it skips: a year of interval
// readings is a few hundred thousand elements.
//
// It knows elements, attributes, namespaces, character data with the five
// predefined entities and character references, CDATA, comments and processing
// instructions. It refuses document type declarations, with which the rest of
// XML (entities of one's own) would come, and all encodings but UTF-8.
package xmltext

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep elements may be nested.
const MaxDepth = 64

// Kind is the kind of a token.
type Kind uint8

// The kinds of tokens. Comments, processing instructions and white space
// outside the root element are passed over.
const (
	Start Kind = iota + 1 // of an element; an empty one is followed by its End
	End
	Text
)

// Name is a name with its namespace, "" for none. Both alias the document.
type Name struct{ Space, Local string }

// Attr is an attribute. Value is decoded.
type Attr struct {
	Name  Name
	Value string
}

// Reader reads one document. The zero Reader is of no use; see [NewReader].
type Reader struct {
	doc  []byte
	text string // doc, from which names are cut
	at   int
	last int // where the last token began

	Name  Name   // of the element that starts or ends
	Attrs []Attr // of the element that starts, without declarations of namespaces; valid until the next call
	Text  []byte // of the text, decoded; valid until the next call

	open    []element
	spaces  []binding
	buf     []byte
	rooted  bool
	pending bool // an empty element is to end
}

type element struct {
	name   Name
	raw    string
	spaces int // how many bindings held outside
}

type binding struct{ prefix, space string }

// NewReader returns a reader of a document, which it aliases and which must not change meanwhile.
func NewReader(doc []byte) *Reader {
	r := &Reader{doc: doc, text: string(doc)}
	if hasPrefix(r.text, "\uFEFF") {
		r.at = len("\uFEFF")
	}
	return r
}

// Error says where a document is no well-formed XML.
type Error struct {
	Offset int // octets from the start of the document
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("XML at octet %d: %v", e.Offset, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

func (r *Reader) fail(at int, format string, args ...any) (Kind, error) {
	return 0, &Error{at, fmt.Errorf(format, args...)}
}

// Offset returns where the last token began.
func (r *Reader) Offset() int { return r.last }

// Depth returns how many elements are open.
func (r *Reader) Depth() int { return len(r.open) }

// Next reads the next token, and returns io.EOF behind the root element.
func (r *Reader) Next() (Kind, error) {
	if r.pending {
		r.pending = false
		return r.pop(), nil
	}
	for r.at < len(r.doc) {
		r.last = r.at
		if r.doc[r.at] != '<' {
			k, err := r.readText()
			if k != 0 || err != nil {
				return k, err
			}
			continue
		}
		rest := r.text[r.at:]
		switch {
		case hasPrefix(rest, "<!--"):
			if err := r.skipComment(); err != nil {
				return 0, err
			}
		case hasPrefix(rest, "<?"):
			if err := r.skipInstruction(); err != nil {
				return 0, err
			}
		case hasPrefix(rest, "<![CDATA["):
			return r.readCDATA()
		case hasPrefix(rest, "<!"):
			return r.fail(r.at, "document type declarations are not accepted")
		case hasPrefix(rest, "</"):
			return r.readEnd()
		default:
			return r.readStart()
		}
	}
	if len(r.open) > 0 || !r.rooted {
		return 0, &Error{len(r.doc), io.ErrUnexpectedEOF}
	}
	return 0, io.EOF
}

func hasPrefix(s, prefix string) bool { return len(s) >= len(prefix) && s[:len(prefix)] == prefix }

// skipComment passes over a comment, in which no "--" may stand.
func (r *Reader) skipComment() error {
	start := r.at + len("<!--")
	n := bytes.Index(r.doc[start:], []byte("--"))
	end := start + n + len("--")
	switch {
	case n < 0 || end == len(r.doc):
		return &Error{len(r.doc), io.ErrUnexpectedEOF}
	case r.doc[end] != '>':
		return &Error{start + n, errors.New("\"--\" in a comment")}
	}
	if err := characters(r.doc[start:start+n], start); err != nil {
		return err
	}
	r.at = end + 1
	return nil
}

// skipInstruction passes over a processing instruction; the XML declaration may
// stand only where the document begins.
func (r *Reader) skipInstruction() error {
	start := r.at
	r.at += len("<?")
	target := r.readName()
	n := bytes.Index(r.doc[r.at:], []byte("?>"))
	switch {
	case n < 0:
		return &Error{len(r.doc), io.ErrUnexpectedEOF}
	case !validName(target) || strings.IndexByte(target, ':') >= 0:
		return &Error{start, fmt.Errorf("a processing instruction with the target %q", target)}
	case strings.EqualFold(target, "xml") && (target != "xml" || strings.TrimPrefix(r.text[:start], "\uFEFF") != ""):
		return &Error{start, errors.New("an XML declaration that does not begin the document")}
	}
	if err := characters(r.doc[r.at:r.at+n], r.at); err != nil {
		return err
	}
	r.at += n + len("?>")
	return nil
}

// readText reads character data up to the next markup. Outside the root only white space may stand.
func (r *Reader) readText() (Kind, error) {
	n := bytes.IndexByte(r.doc[r.at:], '<')
	if n < 0 {
		n = len(r.doc) - r.at
	}
	raw := r.doc[r.at : r.at+n]
	if len(r.open) == 0 {
		if len(bytes.TrimSpace(raw)) > 0 {
			return r.fail(r.at, "text outside the root element")
		}
		r.at += n
		return 0, nil
	}
	if end := bytes.IndexByte(raw, ']'); end >= 0 {
		if end = bytes.Index(raw[end:], []byte("]]>")); end >= 0 {
			return r.fail(r.at, "\"]]>\" in a text")
		}
	}
	text, err := r.decode(raw, r.at, true)
	if err != nil {
		return 0, err
	}
	r.Text = text
	r.at += n
	return Text, nil
}

func (r *Reader) readCDATA() (Kind, error) {
	const open = "<![CDATA["
	n := bytes.Index(r.doc[r.at+len(open):], []byte("]]>"))
	switch {
	case n < 0:
		return 0, &Error{len(r.doc), io.ErrUnexpectedEOF}
	case len(r.open) == 0:
		return r.fail(r.at, "text outside the root element")
	}
	text, err := r.decode(r.doc[r.at+len(open):r.at+len(open)+n], r.at+len(open), false)
	if err != nil {
		return 0, err
	}
	r.Text = text
	r.at += len(open) + n + len("]]>")
	return Text, nil
}

// decode makes the line ends of character data LF and, where they may be,
// replaces references. It aliases raw where there is nothing to do.
func (r *Reader) decode(raw []byte, at int, references bool) ([]byte, error) {
	if err := characters(raw, at); err != nil {
		return nil, err
	}
	references = references && bytes.IndexByte(raw, '&') >= 0
	if !references && bytes.IndexByte(raw, '\r') < 0 {
		return raw, nil
	}
	r.buf = r.buf[:0]
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '\r':
			if i++; i == len(raw) || raw[i] != '\n' {
				r.buf = append(r.buf, '\n')
			}
			continue
		case c != '&' || !references:
			r.buf = append(r.buf, c)
			i++
			continue
		}
		n := bytes.IndexByte(raw[i:], ';')
		if n < 0 {
			return nil, &Error{at + i, errors.New("reference without end")}
		}
		c, ok := reference(string(raw[i+1 : i+n]))
		if !ok {
			return nil, &Error{at + i, fmt.Errorf("unknown reference %q", raw[i:i+n+1])}
		}
		r.buf = utf8.AppendRune(r.buf, c)
		i += n + 1
	}
	return r.buf, nil
}

// characters checks that text holds only what XML allows.
func characters(text []byte, at int) error {
	if !utf8.Valid(text) {
		return &Error{at, errors.New("not UTF-8")}
	}
	for i, c := range text {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0xEF && !allowed(text[i:]) {
			return &Error{at + i, fmt.Errorf("%q, which XML does not have", text[i:i+1])}
		}
	}
	return nil
}

// allowed reports whether text does not begin with U+FFFE or U+FFFF.
func allowed(text []byte) bool {
	return !bytes.HasPrefix(text, []byte("\uFFFE")) && !bytes.HasPrefix(text, []byte("\uFFFF"))
}

// reference returns the character that the name of a reference stands for.
func reference(name string) (rune, bool) {
	switch name {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "apos":
		return '\'', true
	case "quot":
		return '"', true
	}
	if len(name) < 2 || name[0] != '#' {
		return 0, false
	}
	n, err := strconv.ParseUint(name[1:], 10, 32)
	if name[1] == 'x' {
		n, err = strconv.ParseUint(name[2:], 16, 32)
	}
	c := rune(n)
	return c, err == nil && utf8.ValidRune(c) && (c >= ' ' || c == '\t' || c == '\n' || c == '\r') && c != 0xFFFE && c != 0xFFFF
}

func (r *Reader) readEnd() (Kind, error) {
	start := r.at
	r.at += len("</")
	raw := r.readName()
	r.skipSpace()
	switch {
	case r.at >= len(r.doc):
		return 0, &Error{len(r.doc), io.ErrUnexpectedEOF}
	case r.doc[r.at] != '>':
		return r.fail(r.at, "%q in an end tag", r.doc[r.at])
	case len(r.open) == 0 || r.open[len(r.open)-1].raw != raw:
		return r.fail(start, "</%s> ends nothing that is open", raw)
	}
	r.at++
	return r.pop(), nil
}

func (r *Reader) pop() Kind {
	e := r.open[len(r.open)-1]
	r.open = r.open[:len(r.open)-1]
	r.spaces = r.spaces[:e.spaces]
	r.Name = e.name
	return End
}

func (r *Reader) readStart() (Kind, error) {
	start := r.at
	if r.rooted && len(r.open) == 0 {
		return r.fail(start, "a second root element")
	}
	if len(r.open) >= MaxDepth {
		return r.fail(start, "more than %d elements deep", MaxDepth)
	}
	r.at++
	e := element{raw: r.readName(), spaces: len(r.spaces)}
	if !validName(e.raw) {
		return r.fail(start, "%q is no name of an element", e.raw)
	}
	r.Attrs = r.Attrs[:0]
	for {
		spaced := r.skipSpace()
		if r.at >= len(r.doc) {
			return 0, &Error{len(r.doc), io.ErrUnexpectedEOF}
		}
		c := r.doc[r.at]
		if c == '>' || c == '/' {
			break
		}
		if !spaced {
			return r.fail(r.at, "%q in a name", c)
		}
		if err := r.readAttr(e.spaces); err != nil {
			return 0, err
		}
	}
	if r.doc[r.at] == '/' {
		r.pending = true
		r.at++
	}
	if r.at >= len(r.doc) {
		return 0, &Error{len(r.doc), io.ErrUnexpectedEOF}
	}
	if r.doc[r.at] != '>' {
		return r.fail(r.at, "%q in a start tag", r.doc[r.at])
	}
	r.at++
	return r.push(e, start)
}

// push resolves the names of an element that has been read.
func (r *Reader) push(e element, start int) (Kind, error) {
	var ok bool
	if e.name, ok = r.resolve(e.raw, true); !ok {
		return r.fail(start, "<%s>: no name with a prefix that has a namespace", e.raw)
	}
	for i := range r.Attrs {
		if r.Attrs[i].Name, ok = r.resolve(r.Attrs[i].Name.Local, false); !ok {
			return r.fail(start, "an attribute of <%s>: no name with a prefix that has a namespace", e.raw)
		}
	}
	for i := range r.Attrs {
		for j := range i {
			if r.Attrs[i].Name == r.Attrs[j].Name {
				return r.fail(start, "<%s> has %s twice", e.raw, r.Attrs[i].Name.Local)
			}
		}
	}
	r.open = append(r.open, e)
	r.rooted = true
	r.Name = e.name
	return Start, nil
}

// Bounds of the attributes of one element, and of the namespaces in force;
// documents have a handful of either.
const (
	maxAttrs  = 64
	maxSpaces = 64
)

// readAttr reads an attribute of an element outside of which so many bindings hold.
func (r *Reader) readAttr(outside int) error {
	start := r.at
	raw := r.readName()
	r.skipSpace()
	if raw == "" || r.at >= len(r.doc) || r.doc[r.at] != '=' {
		return r.attrError(start)
	}
	r.at++
	r.skipSpace()
	if r.at >= len(r.doc) || r.doc[r.at] != '"' && r.doc[r.at] != '\'' {
		return r.attrError(start)
	}
	n := bytes.IndexByte(r.doc[r.at+1:], r.doc[r.at])
	if n < 0 {
		return &Error{len(r.doc), io.ErrUnexpectedEOF}
	}
	from := r.at + 1
	value := r.doc[from : from+n]
	if bytes.IndexByte(value, '<') >= 0 {
		return &Error{from, errors.New("\"<\" in an attribute")}
	}
	text, err := r.decode(value, from, true)
	if err != nil {
		return err
	}
	v := r.text[from : from+n]
	if len(text) > 0 && &text[0] != &value[0] {
		v = string(text)
	}
	r.at = from + n + 1
	switch {
	case len(r.Attrs) == maxAttrs || len(r.spaces) == maxSpaces:
		return &Error{start, fmt.Errorf("more than %d attributes of an element, or %d namespaces", maxAttrs, maxSpaces)}
	case !validName(raw) || raw == "xmlns:":
		return &Error{start, fmt.Errorf("%q is no name of an attribute", raw)}
	case raw == "xmlns":
		return r.bind(start, outside, binding{"", v})
	case hasPrefix(raw, "xmlns:"):
		return r.bind(start, outside, binding{raw[len("xmlns:"):], v})
	}
	r.Attrs = append(r.Attrs, Attr{Name{Local: raw}, v})
	return nil
}

// The namespaces that are bound to "xml" and "xmlns", and to nothing else.
const (
	xmlSpace   = "http://www.w3.org/XML/1998/namespace"
	xmlnsSpace = "http://www.w3.org/2000/xmlns/"
)

// bind adds what an element declares.
func (r *Reader) bind(start, outside int, b binding) error {
	own := b.prefix == "xml" && b.space == xmlSpace
	switch {
	case b.prefix != "" && !validName(b.prefix) || strings.IndexByte(b.prefix, ':') >= 0 || b.prefix != "" && b.space == "":
		return &Error{start, fmt.Errorf("xmlns:%s=%q declares no prefix", b.prefix, b.space)}
	case !own && (b.prefix == "xml" || b.prefix == "xmlns" || b.space == xmlSpace || b.space == xmlnsSpace):
		return &Error{start, fmt.Errorf("xmlns:%s=%q, which is reserved", b.prefix, b.space)}
	}
	for _, other := range r.spaces[outside:] {
		if other.prefix == b.prefix {
			return &Error{start, fmt.Errorf("the namespace of prefix %q is declared twice", b.prefix)}
		}
	}
	r.spaces = append(r.spaces, b)
	return nil
}

func (r *Reader) attrError(start int) error {
	if r.at >= len(r.doc) {
		return &Error{len(r.doc), io.ErrUnexpectedEOF}
	}
	return &Error{start, errors.New("no attribute of the form name=\"value\"")}
}

// resolve splits a name and finds its namespace.
func (r *Reader) resolve(raw string, element bool) (Name, bool) {
	prefix, local := "", raw
	for i := range len(raw) {
		if raw[i] == ':' {
			prefix, local = raw[:i], raw[i+1:]
			break
		}
	}
	switch {
	case local == "" || raw[0] == ':' || strings.IndexByte(local, ':') >= 0:
		return Name{}, false
	case prefix == "" && !element:
		return Name{Local: local}, true
	case prefix == "xml":
		return Name{xmlSpace, local}, true
	}
	for i := len(r.spaces) - 1; i >= 0; i-- {
		if r.spaces[i].prefix == prefix {
			return Name{r.spaces[i].space, local}, true
		}
	}
	return Name{Local: local}, prefix == ""
}

// validName reports whether a name may be one. Of the characters beyond ASCII it
// looks only whether they are UTF-8.
func validName(name string) bool {
	if name == "" || name[0] == '-' || name[0] == '.' || '0' <= name[0] && name[0] <= '9' {
		return false
	}
	ascii := true
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.', c == ':':
		case c >= utf8.RuneSelf:
			ascii = false
		default:
			return false
		}
	}
	return ascii || utf8.ValidString(name)
}

// IsName reports whether a name without a prefix may be that of an element.
func IsName(name string) bool { return validName(name) && strings.IndexByte(name, ':') < 0 }

// readName reads up to what ends a name.
func (r *Reader) readName() string {
	start := r.at
	for r.at < len(r.doc) {
		switch r.doc[r.at] {
		case ' ', '\t', '\r', '\n', '/', '>', '=', '<', '"', '\'', '&':
			return r.text[start:r.at]
		}
		r.at++
	}
	return r.text[start:r.at]
}

func (r *Reader) skipSpace() (skipped bool) {
	for r.at < len(r.doc) {
		switch r.doc[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
			skipped = true
		default:
			return skipped
		}
	}
	return skipped
}

// Skip reads up to the end of the element that has just started.
func (r *Reader) Skip() error {
	for depth := len(r.open); len(r.open) >= depth; {
		if _, err := r.Next(); err != nil {
			return err
		}
	}
	return nil
}

// Content reads the text of the element that has just started, up to its end,
// without the white space around it. Elements within are an error. The text is
// valid until the next call.
func (r *Reader) Content() ([]byte, error) {
	text, err := r.Whole()
	return bytes.TrimSpace(text), err
}

// Whole reads what [Reader.Content] does, with the white space around it.
func (r *Reader) Whole() ([]byte, error) {
	var text []byte
	parts := 0
	for {
		k, err := r.Next()
		switch {
		case err != nil:
			return nil, err
		case k == End:
			return text, nil
		case k == Start:
			_, err := r.fail(r.last, "element %s where only text may stand", r.Name.Local)
			return nil, err
		case parts == 0:
			text = r.Text
			if !hasPrefix(r.text[r.at:], "</") { // more may come, in the memory of this part
				text = bytes.Clone(text)
			}
		default:
			text = append(text, r.Text...)
		}
		parts++
	}
}

package jsontext

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Reader reads a JSON document (RFC 8259) without reflection, one value after the
// other. Its first error is kept: every method after it returns nothing. A
// Reader of octets that are not changed meanwhile returns parts of them.
type Reader struct {
	b     []byte
	at    int
	fresh bool // the list or object that is being read has had no element yet
	none  bool // there is null instead of it
	space int  // octets of white space that were met
	err   error
}

// NewReader returns a reader of b.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err returns what was wrong first, nil where nothing was.
func (r *Reader) Err() error { return r.err }

// Fail keeps an error of what was read.
func (r *Reader) Fail(err error) {
	if r.err == nil && err != nil {
		r.err = err
	}
}

func (r *Reader) failf(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("json: octet %d: %s", r.at, fmt.Sprintf(format, args...))
	}
}

// Peek returns the first octet of the next value, 0 at the end.
func (r *Reader) Peek() byte {
	for r.at < len(r.b) {
		switch c := r.b[r.at]; c {
		case ' ', '\t', '\r', '\n':
			r.at++
			r.space++
		default:
			return c
		}
	}
	return 0
}

// End reports whether nothing but white space is left, which is an error where something is.
func (r *Reader) End() bool {
	if r.err == nil && (r.Peek() != 0 || r.at < len(r.b)) {
		r.failf("something behind the document")
	}
	return r.err == nil
}

// Open reads the beginning of a list ('[') or an object ('{'), of which null is an empty
// one. It is followed by calls of More until that is false.
func (r *Reader) Open(what byte) {
	switch c := r.Peek(); {
	case r.err != nil:
	case c == what:
		r.at++
		r.fresh = true
	case c == 'n':
		r.none = r.literal("null")
	default:
		r.unexpected("want %q", what)
	}
}

func (r *Reader) unexpected(format string, args ...any) {
	if r.at >= len(r.b) {
		r.failf("the document ends")
		return
	}
	r.failf("%q: "+format, append([]any{r.b[r.at]}, args...)...)
}

// More reports whether the list or object that was opened has another element.
// What is ']' or '}' ends it.
func (r *Reader) More(end byte) bool {
	c := r.Peek()
	switch {
	case r.err != nil:
		return false
	case r.none:
		r.none = false
		return false
	case c == end:
		r.at++
		r.fresh = false
		return false
	case r.fresh:
		r.fresh = false
		return true
	case c != ',':
		r.unexpected("want a comma")
		return false
	}
	r.at++
	if r.Peek() == end {
		r.unexpected("an element is missing")
		return false
	}
	return true
}

// Key reads the name of a member with its colon.
func (r *Reader) Key() []byte {
	key := r.String()
	if r.Peek() != ':' {
		r.unexpected("want a colon")
		return nil
	}
	r.at++
	return key
}

// String reads a string; null is an empty one.
func (r *Reader) String() []byte {
	if r.Peek() == 'n' {
		r.literal("null")
		return nil
	}
	if r.err != nil {
		return nil
	}
	if r.at >= len(r.b) || r.b[r.at] != '"' {
		r.unexpected("want a string")
		return nil
	}
	start := r.at + 1
	ascii := true
	for i := start; i < len(r.b); i++ {
		switch c := r.b[i]; {
		case c == '"':
			r.at = i + 1
			if s := r.b[start:i:i]; ascii || utf8.Valid(s) {
				return s
			}
			return []byte(string([]rune(string(r.b[start:i])))) // what is not UTF-8 becomes U+FFFD
		case c == '\\':
			return r.unescape(start, i)
		case c < ' ':
			r.at = i
			r.failf("a control character in a string")
			return nil
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.at = len(r.b)
	r.failf("a string without end")
	return nil
}

// unescape reads a string that begins at start and has its first backslash at i.
func (r *Reader) unescape(start, i int) []byte {
	s := append(make([]byte, 0, i-start+32), r.b[start:i]...)
	for ; i < len(r.b); i++ {
		c := r.b[i]
		switch {
		case c == '"':
			r.at = i + 1
			if !utf8.Valid(s) {
				s = []byte(string([]rune(string(s))))
			}
			return s
		case c < ' ':
			r.at = i
			r.failf("a control character in a string")
			return nil
		case c != '\\':
			s = append(s, c)
			continue
		}
		if i++; i == len(r.b) {
			break
		}
		switch c := r.b[i]; c {
		case '"', '\\', '/':
			s = append(s, c)
		case 'b':
			s = append(s, '\b')
		case 'f':
			s = append(s, '\f')
		case 'n':
			s = append(s, '\n')
		case 'r':
			s = append(s, '\r')
		case 't':
			s = append(s, '\t')
		case 'u':
			c, ok := r.hex4(i + 1)
			if !ok {
				r.at = i
				r.failf("a bad escape")
				return nil
			}
			i += 4
			if utf16.IsSurrogate(c) {
				pair := rune(utf8.RuneError)
				if i+2 < len(r.b) && r.b[i+1] == '\\' && r.b[i+2] == 'u' {
					if low, ok := r.hex4(i + 3); ok {
						if pair = utf16.DecodeRune(c, low); pair != utf8.RuneError {
							i += 6
						}
					}
				}
				c = pair
			}
			s = utf8.AppendRune(s, c)
		default:
			r.at = i
			r.failf("a bad escape")
			return nil
		}
	}
	r.at = len(r.b)
	r.failf("a string without end")
	return nil
}

func (r *Reader) hex4(at int) (c rune, ok bool) {
	if at+4 > len(r.b) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(r.b[at:at+4]), 16, 16)
	return rune(n), err == nil
}

// Number reads a number, and returns its text.
func (r *Reader) Number() []byte {
	r.Peek()
	if r.err != nil {
		return nil
	}
	start, i := r.at, r.at
	digits := func() bool {
		from := i
		for i < len(r.b) && '0' <= r.b[i] && r.b[i] <= '9' {
			i++
		}
		return i > from
	}
	at := func(c byte) bool {
		if i < len(r.b) && r.b[i] == c {
			i++
			return true
		}
		return false
	}
	at('-')
	first := i
	ok := digits() && (r.b[first] != '0' || i == first+1)
	if ok && at('.') {
		ok = digits()
	}
	if ok && (at('e') || at('E')) {
		_ = at('-') || at('+')
		ok = digits()
	}
	if !ok {
		r.unexpected("want a number")
		return nil
	}
	r.at = i
	return r.b[start:i]
}

// Int reads an integer from lowest to highest.
func (r *Reader) Int(lowest, highest int64) int64 {
	text := r.Number()
	if r.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < lowest || n > highest {
		r.failf("%s is no integer from %d to %d", text, lowest, highest)
		return 0
	}
	return n
}

// Bool reads true or false; null is false.
func (r *Reader) Bool() bool {
	switch r.Peek() {
	case 't':
		return r.literal("true")
	case 'f':
		r.literal("false")
	case 'n':
		r.literal("null")
	default:
		r.unexpected("want true or false")
	}
	return false
}

// literal reads a word.
func (r *Reader) literal(word string) bool {
	if r.err != nil {
		return false
	}
	if len(r.b)-r.at < len(word) || string(r.b[r.at:r.at+len(word)]) != word {
		r.failf("want %s", word)
		return false
	}
	r.at += len(word)
	return true
}

// Null reads null, where that comes next.
func (r *Reader) Null() bool { return r.Peek() == 'n' && r.literal("null") }

// maxDepth is how deep lists and objects that are skipped may be nested.
const maxDepth = 1000

// Raw reads any value, checks it, and returns its text. It reports whether the text
// has white space between its parts.
func (r *Reader) Raw() (text []byte, spaced bool) {
	r.Peek()
	start, before := r.at, r.space
	r.skip(0)
	if r.err != nil {
		return nil, false
	}
	return r.b[start:r.at], r.space > before
}

func (r *Reader) skip(depth int) {
	if depth > maxDepth {
		r.failf("nested too deep")
		return
	}
	switch r.Peek() {
	case '"':
		r.String()
	case 't', 'f', 'n':
		r.Bool()
	case '{':
		for r.Open('{'); r.More('}'); {
			r.Key()
			r.skip(depth + 1)
		}
	case '[':
		for r.Open('['); r.More(']'); {
			r.skip(depth + 1)
		}
	default:
		r.Number()
	}
}

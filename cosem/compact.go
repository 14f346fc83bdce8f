package cosem

import (
	"errors"
	"fmt"
)

// ErrTooLarge reports a compact array that would unfold to far more than was sent.
var ErrTooLarge = errors.New("compact-array unfolds to too much")

// maxUnfold bounds how many octets one octet of a compact array may become.
const maxUnfold = 16

// checkCompact returns where the compact-array ends whose type description stands at off.
func checkCompact(b []byte, off, depth int) (end int, err error) {
	description, at, err := typeDescription(b, off, depth)
	if err != nil {
		return 0, err
	}
	n, at, err := length(b, at, "compact-array")
	if err != nil {
		return 0, err
	}
	if n > len(b)-at {
		return 0, short("compact-array", b)
	}
	u := unfolder{limit: maxUnfold * (n + len(description) + 16), dry: true}
	if _, err = u.array(description, b[:at+n], at); err != nil {
		return 0, err
	}
	return at + n, nil
}

// typeDescription returns the type description at off, and where it ends.
func typeDescription(b []byte, off, depth int) (description []byte, end int, err error) {
	if off >= len(b) {
		return nil, 0, short("type-description", b)
	}
	switch tag := Tag(b[off]); {
	case tags[tag].kind == kindList && depth == 0:
		return nil, 0, &ParseError{Field: "type-description", Offset: off, Err: errDepth}
	case tag == TagArray:
		if len(b) < off+3 {
			return nil, 0, short("type-description", b)
		}
		_, end, err = typeDescription(b, off+3, depth-1)
	case tag == TagStructure:
		var count int
		if count, end, err = length(b, off+1, "type-description"); err != nil {
			return nil, 0, err
		}
		for range count {
			if _, end, err = typeDescription(b, end, depth-1); err != nil {
				return nil, 0, err
			}
		}
	case tags[tag].kind == kindUnknown, tag == TagCompactArray:
		return nil, 0, &ParseError{Field: "type-description", Offset: off, Err: fmt.Errorf("0x%02x: %w", b[off], errTag)}
	default:
		end = off + 1
	}
	if err != nil {
		return nil, 0, err
	}
	return b[off:end], end, nil
}

// Expand returns a compact array as an array with a tag on every value,
// appended to buf, which may be nil and which the result then aliases. Other
// values are returned as they are.
func (d Data) Expand(buf []byte) (Data, error) {
	if d.Tag() != TagCompactArray {
		return d, nil
	}
	description, at, err := typeDescription(d.b, 1, MaxDepth)
	if err != nil {
		return Data{}, err
	}
	n, at, err := length(d.b, at, "compact-array")
	if err != nil {
		return Data{}, err
	}
	limit := maxUnfold * (n + len(description) + 16)
	count, err := (&unfolder{limit: limit, dry: true}).array(description, d.b, at)
	if err != nil {
		return Data{}, err
	}
	start := len(buf)
	u := unfolder{limit: limit, out: AppendLength(append(buf, byte(TagArray)), count)}
	if _, err = u.array(description, d.b, at); err != nil {
		return Data{}, err
	}
	return Data{b: u.out[start:len(u.out):len(u.out)]}, nil
}

// unfolder turns untagged contents into tagged values.
type unfolder struct {
	out   []byte
	size  int // octets written, or that would have been
	limit int
	dry   bool // count only
}

// array unfolds elements of one description until b ends, and returns how many there were.
func (u *unfolder) array(description, b []byte, at int) (count int, err error) {
	for at < len(b) {
		start := at
		if at, err = u.element(description, b, at); err != nil {
			return 0, err
		}
		if at == start {
			return 0, &ParseError{Field: "compact-array", Offset: at, Err: errEmpty}
		}
		count++
	}
	return count, nil
}

// element unfolds one element, and returns where its contents end.
func (u *unfolder) element(description, b []byte, at int) (end int, err error) {
	tag := Tag(description[0])
	if err := u.grow(1, at); err != nil {
		return 0, err
	}
	u.put(byte(tag))
	switch info := &tags[tag]; {
	case tag == TagArray:
		count := int(description[1])<<8 | int(description[2])
		u.putLength(count)
		for range count {
			if at, err = u.element(description[3:], b, at); err != nil {
				return 0, err
			}
		}
		return at, nil
	case tag == TagStructure:
		count, next, err := length(description, 1, "type-description")
		if err != nil {
			return 0, err
		}
		u.putLength(count)
		for range count {
			if at, err = u.element(description[next:], b, at); err != nil {
				return 0, err
			}
			if _, next, err = typeDescription(description, next, MaxDepth); err != nil {
				return 0, err
			}
		}
		return at, nil
	case info.kind == kindFixed:
		end = at + int(info.width)
		if end > len(b) {
			return 0, &ParseError{Field: info.name, Offset: len(b), Err: errContent}
		}
	default:
		if end, err = checkString(b, at, info); err != nil {
			return 0, &ParseError{Field: info.name, Offset: len(b), Err: errContent}
		}
	}
	if err := u.grow(end-at, at); err != nil {
		return 0, err
	}
	u.put(b[at:end]...)
	return end, nil
}

func (u *unfolder) grow(n, at int) error {
	if u.size += n; u.size > u.limit {
		return &ParseError{Field: "compact-array", Offset: at, Err: ErrTooLarge}
	}
	return nil
}

func (u *unfolder) put(b ...byte) {
	if !u.dry {
		u.out = append(u.out, b...)
	}
}

func (u *unfolder) putLength(n int) {
	if !u.dry {
		u.out = AppendLength(u.out, n)
	}
}

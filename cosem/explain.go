package cosem

import (
	"fmt"

	"github.com/openusm/meter/obis"
)

// Explain calls note for each field of the value at the start of b, in wire
// order, as far as it can be read, and returns how many octets the value took.
// Depth counts the nesting; elements of a list are one deeper than the list.
func Explain(b []byte, depth int, note func(offset, length, depth int, field, meaning string)) (n int, err error) {
	return explain(b, 0, depth, MaxDepth, note)
}

func explain(b []byte, off, depth, limit int, note func(offset, length, depth int, field, meaning string)) (end int, err error) {
	end, err = checkData(b, off, limit)
	if off >= len(b) || tags[b[off]].kind == kindUnknown {
		return 0, err
	}
	tag := Tag(b[off])
	switch tags[tag].kind {
	case kindList:
		if limit == 0 {
			return 0, err
		}
		count, at, lengthErr := length(b, off+1, tag.String())
		if lengthErr != nil {
			return 0, lengthErr
		}
		note(off, at-off, depth, tag.String(), fmt.Sprintf("%d elements", count))
		for range count {
			if at, err = explain(b, at, depth+1, limit-1, note); err != nil {
				return 0, err
			}
		}
		return at, nil
	case kindCompact:
		if err != nil {
			return 0, err
		}
		d := Data{b: b[off:end]}
		expanded, err := d.Expand(nil)
		if err != nil {
			return 0, err
		}
		note(off, end-off, depth, tag.String(), fmt.Sprintf("%d elements: %s", expanded.Len(), expanded))
		return end, nil
	}
	if err != nil {
		return 0, err
	}
	note(off, end-off, depth, tag.String(), Data{b: b[off:end]}.meaning())
	return end, nil
}

// meaning describes a scalar for a reader.
func (d Data) meaning() string {
	if c, ok := d.Code(); ok && codePlausible(c) {
		if name := obis.Describe(c); name != "" {
			return c.String() + " " + name
		}
		return c.String()
	}
	if t, ok := d.Time(); ok && (d.Tag() != TagOctetString || plausibleTime(t)) {
		return t.String()
	}
	if b, ok := d.Bytes(); ok && printable(b) {
		return fmt.Sprintf("%q", b)
	}
	return d.Value().String()
}

func codePlausible(c obis.Code) bool { return c.Medium() != obis.Unknown }

// plausibleTime reports whether octets that may be a time are likely to be one.
func plausibleTime(t obis.Time) bool {
	return t.HasDate() && t.Year >= 1990 && t.Year < 2200
}

// String returns the value for logs: "structure{octet-string 0x…, double-long-unsigned 42}".
func (d Data) String() string {
	switch tags[d.Tag()].kind {
	case kindList:
		s := d.Tag().String() + "{"
		for i, e := range d.Elements() {
			if i > 0 {
				s += ", "
			}
			s += e.String()
		}
		return s + "}"
	case kindCompact:
		if e, err := d.Expand(nil); err == nil {
			return "compact " + e.String()
		}
	}
	if v := d.Value().String(); v != "" {
		return d.Tag().String() + " " + v
	}
	return d.Tag().String()
}

package mms

import (
	"fmt"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/internal/ber"
)

// appendType appends a TypeSpecification.
func appendType(dst []byte, t iec61850.Type) []byte {
	switch t.Kind {
	case iec61850.Structure:
		dst, outer := ber.Open(dst, 0xA2)
		dst, list := ber.Open(dst, 0xA1)
		for _, m := range t.Members {
			var item int
			dst, item = ber.Open(dst, 0x30)
			dst = ber.Append(dst, 0x80, m.Name)
			dst = appendTypeIn(dst, 0xA1, m.Type)
			dst = ber.Close(dst, item)
		}
		return ber.Close(ber.Close(dst, list), outer)
	case iec61850.Array:
		dst, outer := ber.Open(dst, 0xA1)
		dst = ber.AppendInt(dst, 0x81, int64(t.Count))
		return ber.Close(appendTypeIn(dst, 0xA2, *t.Element), outer)
	case iec61850.Boolean:
		return append(dst, 0x83, 0)
	case iec61850.BitString:
		return ber.AppendInt(dst, 0x84, int64(t.Size))
	case iec61850.Integer:
		return ber.AppendInt(dst, 0x85, int64(t.Size))
	case iec61850.Unsigned:
		return ber.AppendInt(dst, 0x86, int64(t.Size))
	case iec61850.Float:
		exponent := byte(8)
		if t.Size == 64 {
			exponent = 11
		}
		return append(dst, 0xA7, 6, 2, 1, byte(t.Size), 2, 1, exponent)
	case iec61850.OctetString:
		return ber.AppendInt(dst, 0x89, int64(t.Size))
	case iec61850.VisibleString:
		return ber.AppendInt(dst, 0x8A, int64(-t.Size))
	case iec61850.UTF8String:
		return ber.AppendInt(dst, 0x90, int64(-t.Size))
	case iec61850.EntryTime:
		return append(dst, 0x8C, 1, 1)
	case iec61850.UTCTime:
		return append(dst, 0x91, 0)
	}
	return dst
}

// appendTypeIn appends an element that holds a TypeSpecification.
func appendTypeIn(dst []byte, tag ber.Tag, t iec61850.Type) []byte {
	dst, mark := ber.Open(dst, tag)
	return ber.Close(appendType(dst, t), mark)
}

func parseType(e ber.Element, depth int) (t iec61850.Type, err error) {
	if depth == 0 {
		return t, &ber.Error{Field: "type", Offset: e.Offset, Err: errTooDeep}
	}
	switch e.Tag {
	case 0xA1:
		return parseArrayType(e, depth)
	case 0xA2:
		return parseStructType(e, depth)
	case 0x83:
		return iec61850.Type{Kind: iec61850.Boolean}, nil
	case 0x8C:
		return iec61850.Type{Kind: iec61850.EntryTime}, nil
	case 0x91:
		return iec61850.Type{Kind: iec61850.UTCTime}, nil
	case 0xA7:
		r := e.Reader()
		width, err := r.Want(0x02, "format width")
		if err != nil {
			return t, err
		}
		n, err := width.Int("format width")
		if err == nil && n != 32 && n != 64 {
			err = &ber.Error{Field: "format width", Offset: width.Offset, Err: fmt.Errorf("%d", n)}
		}
		return iec61850.Type{Kind: iec61850.Float, Size: int(n)}, err
	}
	kind := map[ber.Tag]iec61850.Kind{0x84: iec61850.BitString, 0x85: iec61850.Integer, 0x86: iec61850.Unsigned,
		0x89: iec61850.OctetString, 0x8A: iec61850.VisibleString, 0x90: iec61850.UTF8String}[e.Tag]
	if kind == iec61850.None {
		return t, &ber.Error{Field: "type", Offset: e.Offset, Err: fmt.Errorf("%w 0x%x", ber.ErrTag, uint32(e.Tag))}
	}
	n, err := e.Int("size")
	if err == nil && (n > 1<<20 || n < -1<<20) {
		err = &ber.Error{Field: "size", Offset: e.Offset, Err: ErrTooLong}
	}
	if (kind == iec61850.VisibleString || kind == iec61850.UTF8String) && n < 0 {
		n = -n
	}
	return iec61850.Type{Kind: kind, Size: int(n)}, err
}

func parseArrayType(e ber.Element, depth int) (t iec61850.Type, err error) {
	t = iec61850.Type{Kind: iec61850.Array}
	r := e.Reader()
	for r.More() {
		e, err := r.Next("array")
		if err != nil {
			return t, err
		}
		switch e.Tag {
		case 0x81:
			n, err := e.Int("number of elements")
			if err != nil || n < 0 || n > 1<<16 {
				return t, &ber.Error{Field: "number of elements", Offset: e.Offset, Err: ber.ErrLength}
			}
			t.Count = int(n)
		case 0xA2:
			in := e.Reader()
			inner, err := in.Next("element type")
			if err != nil {
				return t, err
			}
			element, err := parseType(inner, depth-1)
			if err != nil {
				return t, err
			}
			t.Element = &element
		}
	}
	if t.Element == nil {
		return t, &ber.Error{Field: "element type", Offset: r.Offset(), Err: fmt.Errorf("%w: none", ber.ErrTag)}
	}
	return t, nil
}

func parseStructType(e ber.Element, depth int) (t iec61850.Type, err error) {
	t = iec61850.Type{Kind: iec61850.Structure}
	r := e.Reader()
	if _, _, err := r.Option(0x80, "packed"); err != nil {
		return t, err
	}
	list, err := r.Want(0xA1, "components")
	if err != nil {
		return t, err
	}
	r = list.Reader()
	for r.More() {
		item, err := r.Want(0x30, "component")
		if err != nil {
			return t, err
		}
		in := item.Reader()
		name, _, err := in.Option(0x80, "component name")
		if err != nil {
			return t, err
		}
		typ, err := in.Want(0xA1, "component type")
		if err != nil {
			return t, err
		}
		in = typ.Reader()
		inner, err := in.Next("component type")
		if err != nil {
			return t, err
		}
		member, err := parseType(inner, depth-1)
		if err != nil {
			return t, err
		}
		t.Members = append(t.Members, iec61850.Member{Name: string(name.Contents), Type: member})
	}
	return t, nil
}

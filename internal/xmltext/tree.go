package xmltext

import (
	"io"
	"slices"
	"strings"
)

// Node is an element as a tree, for what a mapping carries along without
// knowing it. Text that stands between elements is not kept.
type Node struct {
	Name     Name
	Attrs    []Attr
	Children []*Node
	Text     string // of an element without children; "" where that is white space alone
}

// Tree reads the element that has just started, up to its end.
func (r *Reader) Tree() (*Node, error) {
	n := &Node{Name: r.Name, Attrs: slices.Clone(r.Attrs)}
	var text []byte
	for {
		k, err := r.Next()
		switch {
		case err != nil:
			return nil, err
		case k == Start:
			child, err := r.Tree()
			if err != nil {
				return nil, err
			}
			n.Children = append(n.Children, child)
		case k == Text:
			text = append(text, r.Text...)
		default:
			if len(n.Children) == 0 {
				if n.Text = string(text); strings.TrimSpace(n.Text) == "" {
					n.Text = ""
				}
			}
			return n, nil
		}
	}
}

// ParseTree reads a whole document as a tree.
func ParseTree(doc []byte) (*Node, error) {
	r := NewReader(doc)
	if _, err := r.Next(); err != nil {
		return nil, err
	}
	n, err := r.Tree()
	if err != nil {
		return nil, err
	}
	if _, err = r.Next(); err != io.EOF {
		return nil, err
	}
	return n, nil
}

// Child returns the first child of a name in any namespace, nil where there is none.
func (n *Node) Child(local string) *Node {
	if n == nil {
		return nil
	}
	for _, c := range n.Children {
		if c.Name.Local == local {
			return c
		}
	}
	return nil
}

// Append appends the element as XML, whose default namespace is space at that place.
func (n *Node) Append(dst []byte, space string) []byte {
	dst = append(append(dst, '<'), n.Name.Local...)
	if n.Name.Space != space {
		dst = append(AppendEscaped(append(dst, ` xmlns="`...), n.Name.Space), '"')
	}
	for i, a := range n.Attrs {
		dst = append(dst, ' ')
		if a.Name.Space == xmlSpace {
			dst = append(dst, "xml:"...)
		} else if a.Name.Space != "" {
			prefix := "a" + string(rune('0'+i%10)) + string(rune('0'+i/10))
			dst = append(append(append(dst, "xmlns:"...), prefix...), `="`...)
			dst = append(append(append(AppendEscaped(dst, a.Name.Space), `" `...), prefix...), ':')
		}
		dst = append(append(dst, a.Name.Local...), `="`...)
		dst = append(AppendEscaped(dst, a.Value), '"')
	}
	if len(n.Children) == 0 && n.Text == "" {
		return append(dst, "/>"...)
	}
	dst = AppendEscaped(append(dst, '>'), n.Text)
	for _, c := range n.Children {
		dst = c.Append(dst, n.Name.Space)
	}
	return append(append(append(dst, "</"...), n.Name.Local...), '>')
}

// Equal reports whether two elements say the same: names, attributes in any
// order, children in order, text.
func (n *Node) Equal(o *Node) bool {
	if n == nil || o == nil {
		return n == o
	}
	if n.Name != o.Name || n.Text != o.Text || len(n.Attrs) != len(o.Attrs) || len(n.Children) != len(o.Children) {
		return false
	}
	for _, a := range n.Attrs {
		if !slices.Contains(o.Attrs, a) {
			return false
		}
	}
	for i := range n.Children {
		if !n.Children[i].Equal(o.Children[i]) {
			return false
		}
	}
	return true
}

package driver

// Note is one field of an explained message.
type Note struct {
	Offset  int    // octets from the start of the input
	Octets  []byte // the field's octets; they alias the input, or what was deciphered from it
	Depth   int    // nesting: the fields of a field lie one deeper
	Field   string // as its standard names it
	Meaning string
}

// noter returns a function that notes fields of the part of octets that lies at
// offset in the input and is nested depth deep.
func noter(note func(Note), octets []byte, offset, depth int) func(off, n, d int, field, meaning string) {
	return func(off, n, d int, field, meaning string) {
		var part []byte
		if 0 <= off && off <= off+n && off+n <= len(octets) {
			part = octets[off : off+n]
		}
		note(Note{Offset: offset + off, Octets: part, Depth: depth + d, Field: field, Meaning: meaning})
	}
}

// fieldNote is how the packages of the protocols note a field.
type fieldNote = func(offset, length, depth int, field, meaning string)

// explains is an Explainer made of functions of a protocol: one explains the first
// message of b and returns its length, the other what a capture ends with; nil is
// the first one.
type explains struct {
	note  func(Note)
	first func(b []byte, note fieldNote) (int, error)
	end   func(b []byte, note fieldNote) error
}

func (e explains) Explain(b []byte, offset int) (int, error) {
	return e.first(b, noter(e.note, b, offset, 0))
}

func (e explains) End(b []byte, offset int) error {
	if e.end == nil {
		_, err := e.Explain(b, offset)
		return err
	}
	return e.end(b, noter(e.note, b, offset, 0))
}

// whole makes of a function that explains all of b one that says how long that is.
func whole(explain func(b []byte, note fieldNote) error) func([]byte, fieldNote) (int, error) {
	return func(b []byte, note fieldNote) (int, error) { return len(b), explain(b, note) }
}

package cosem

// listsObjects reports whether d tells of objects and not of their values: the
// capture objects of a profile, the objects of a push, the object list of an
// association. What stands beside the names there is no value of theirs.
//
// Where the message has values of objects by their names, those of registers that
// are all zero and of a type that a data index has are taken for values.
func listsObjects(d Data, values bool) bool {
	if d.Tag() != TagArray || d.Len() == 0 {
		return false
	}
	captures, listed, named := true, true, !values
	for _, e := range d.Elements() {
		c, isCapture := pushObject(e)
		captures = captures && isCapture && c.Element == 0
		named = named || isCapture && !c.holdsWord()
		if listed = listed && isListed(e); !captures && !listed {
			return false
		}
	}
	return listed || captures && named
}

// holdsWord reports whether the attribute may have a value of the type that the
// data index of a capture object has, so that the value may stand in its place.
func (c Capture) holdsWord() bool {
	l, ok := RegisterAttributes(c.Class)
	return ok && c.Class != ClassClock && l.isValue(c.Index)
}

// isListed reports whether e is an entry of the attribute object_list: class,
// version, name and access rights or, by short names, base name, class, version
// and name.
func isListed(e Data) bool {
	var f [4]Data
	if e.Tag() != TagStructure || !e.Split(f[:]) {
		return false
	}
	if _, named := f[3].Code(); named {
		return f[0].Tag() == TagLong && f[1].Tag() == TagLongUnsigned && f[2].Tag() == TagUnsigned
	}
	_, named := f[2].Code()
	return f[0].Tag() == TagLongUnsigned && f[1].Tag() == TagUnsigned && named &&
		f[3].Tag() == TagStructure && f[3].Len() == 2 && f[3].At(0).Tag() == TagArray && f[3].At(1).Tag() == TagArray
}

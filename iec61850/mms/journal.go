package mms

import (
	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/internal/ber"
)

// JournalRequest asks for entries of a journal. Zero fields leave the range open.
type JournalRequest struct {
	Name      Name
	Start     iec61850.Value // an EntryTime, or the octets of an entry
	Stop      iec61850.Value // an EntryTime, or the number of entries
	AfterTime iec61850.Value // of the entry after which to go on
	AfterID   []byte         // nil where there is none
}

// ParseJournalRequest reads the parameters of the request.
func ParseJournalRequest(b Body) (q JournalRequest, err error) {
	r := b.e.Reader()
	for err == nil && r.More() {
		var e ber.Element
		if e, err = r.Next("journal"); err != nil {
			break
		}
		switch e.Tag {
		case 0xA0:
			q.Name, err = parseNameIn(e)
		case 0xA1:
			q.Start, err = parseBound(e, false)
		case 0xA2:
			q.Stop, err = parseBound(e, true)
		case 0xA5:
			err = q.parseAfter(e)
		}
	}
	if err != nil {
		return JournalRequest{}, layered("mms", err)
	}
	return q, nil
}

// parseBound reads a time [0], or else an entry or a number [1].
func parseBound(e ber.Element, number bool) (v iec61850.Value, err error) {
	r := e.Reader()
	inner, err := r.Next("range")
	switch {
	case err != nil:
		return v, err
	case inner.Tag == 0x80:
		return parseData(ber.Element{Tag: 0x8C, Contents: inner.Contents, Offset: inner.Offset}, 1)
	case number:
		n, err := inner.Int("number of entries")
		return iec61850.Int(n), err
	}
	return iec61850.Octets(inner.Contents), nil
}

func (q *JournalRequest) parseAfter(e ber.Element) error {
	r := e.Reader()
	at, err := r.Want(0x80, "time of entry")
	if err != nil {
		return err
	}
	if q.AfterTime, err = parseData(ber.Element{Tag: 0x8C, Contents: at.Contents, Offset: at.Offset}, 1); err != nil {
		return err
	}
	id, err := r.Want(0x81, "entry")
	q.AfterID = id.Contents
	return err
}

// Append appends the parameters of the request.
func (q JournalRequest) Append(dst []byte) []byte {
	dst = q.Name.appendIn(dst, 0xA0)
	dst = appendBound(dst, 0xA1, q.Start)
	dst = appendBound(dst, 0xA2, q.Stop)
	if q.AfterID != nil {
		var mark int
		dst, mark = ber.Open(dst, 0xA5)
		t := q.AfterTime.EntryTimeOctets()
		dst = ber.Append(ber.Append(dst, 0x80, t[:]), 0x81, q.AfterID)
		dst = ber.Close(dst, mark)
	}
	return dst
}

func appendBound(dst []byte, tag ber.Tag, v iec61850.Value) []byte {
	if v.Kind() == iec61850.None {
		return dst
	}
	dst, mark := ber.Open(dst, tag)
	switch v.Kind() {
	case iec61850.EntryTime:
		t := v.EntryTimeOctets()
		dst = ber.Append(dst, 0x80, t[:])
	case iec61850.Integer:
		n, _ := v.Int()
		dst = ber.AppendInt(dst, 0x81, n)
	default:
		dst = ber.Append(dst, 0x81, v.Text())
	}
	return ber.Close(dst, mark)
}

// JournalEntry is one entry of a journal.
type JournalEntry struct {
	ID        []byte
	Time      iec61850.Value // an EntryTime
	Variables []JournalVariable
}

// JournalVariable is one value of an entry and what it is of.
type JournalVariable struct {
	Tag   string
	Value iec61850.Value
}

// AppendJournal appends the parameters of the answer: as many entries as fit in
// room octets, but one at least, and whether more follow.
func AppendJournal(dst []byte, entries []JournalEntry, room int) []byte {
	dst, list := ber.Open(dst, 0xA0)
	sent := 0
	for _, e := range entries {
		before := len(dst)
		dst = e.append(dst)
		if sent > 0 && len(dst)-list > room {
			dst = dst[:before]
			break
		}
		sent++
	}
	return ber.AppendBool(ber.Close(dst, list), 0x81, sent < len(entries))
}

func (j JournalEntry) append(dst []byte) []byte {
	dst, outer := ber.Open(dst, 0x30)
	dst = ber.Append(dst, 0x80, j.ID)
	dst = append(dst, 0xA1, 2, 0x30, 0) // originating application, not named
	dst, content := ber.Open(dst, 0xA2)
	t := j.Time.EntryTimeOctets()
	dst = ber.Append(dst, 0x80, t[:])
	dst, form := ber.Open(dst, 0xA2)
	dst, list := ber.Open(dst, 0xA1)
	for _, v := range j.Variables {
		var item, value int
		dst, item = ber.Open(dst, 0x30)
		dst = ber.Append(dst, 0x80, v.Tag)
		dst, value = ber.Open(dst, 0xA1)
		dst = ber.Close(ber.Close(AppendData(dst, v.Value), value), item)
	}
	return ber.Close(ber.Close(ber.Close(ber.Close(dst, list), form), content), outer)
}

// ParseJournal reads the parameters of the answer.
func ParseJournal(b Body) (entries []JournalEntry, more bool, err error) {
	entries, more, err = parseJournal(b)
	return entries, more, layered("mms", err)
}

func parseJournal(b Body) (entries []JournalEntry, more bool, err error) {
	r := b.e.Reader()
	list, err := r.Want(0xA0, "journal entries")
	if err != nil {
		return nil, false, err
	}
	in := list.Reader()
	for in.More() {
		e, err := in.Want(0x30, "journal entry")
		if err != nil {
			return nil, false, err
		}
		entry, err := parseEntry(e)
		if err != nil {
			return nil, false, err
		}
		entries = append(entries, entry)
	}
	more, err = moreFollows(&r, false)
	return entries, more, err
}

func parseEntry(e ber.Element) (j JournalEntry, err error) {
	r := e.Reader()
	id, err := r.Want(0x80, "entry")
	if err != nil {
		return j, err
	}
	j.ID = id.Contents
	if _, err := r.Want(0xA1, "originating application"); err != nil {
		return j, err
	}
	content, err := r.Want(0xA2, "entry content")
	if err != nil {
		return j, err
	}
	r = content.Reader()
	at, err := r.Want(0x80, "occurrence time")
	if err != nil {
		return j, err
	}
	if j.Time, err = parseData(ber.Element{Tag: 0x8C, Contents: at.Contents, Offset: at.Offset}, 1); err != nil {
		return j, err
	}
	form, ok, err := r.Option(0xA2, "entry data")
	if err != nil || !ok {
		return j, err
	}
	r = form.Reader()
	for r.More() {
		list, err := r.Next("variables")
		if err != nil {
			return j, err
		}
		if list.Tag == 0xA1 {
			if err := j.parseVariables(list); err != nil {
				return j, err
			}
		}
	}
	return j, nil
}

func (j *JournalEntry) parseVariables(list ber.Element) error {
	r := list.Reader()
	for r.More() {
		item, err := r.Want(0x30, "variable")
		if err != nil {
			return err
		}
		in := item.Reader()
		tag, err := in.Want(0x80, "variable tag")
		if err != nil {
			return err
		}
		spec, err := in.Want(0xA1, "variable value")
		if err != nil {
			return err
		}
		in = spec.Reader()
		data, err := in.Next("variable value")
		if err != nil {
			return err
		}
		v, err := parseData(data, maxDepth)
		if err != nil {
			return err
		}
		j.Variables = append(j.Variables, JournalVariable{string(tag.Contents), v})
	}
	return nil
}

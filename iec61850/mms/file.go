package mms

import (
	"time"

	"github.com/openusm/meter/internal/ber"
)

// FileInfo is a file as FileOpen and FileDirectory show it.
type FileInfo struct {
	Name     string
	Size     uint32
	Modified time.Time // zero where not known
}

const generalizedTime = "20060102150405Z"

func (f FileInfo) appendAttributes(dst []byte, tag ber.Tag) []byte {
	dst, mark := ber.Open(dst, tag)
	dst = ber.AppendUint(dst, 0x80, uint64(f.Size))
	if !f.Modified.IsZero() {
		dst = ber.Append(dst, 0x81, f.Modified.UTC().Format(generalizedTime))
	}
	return ber.Close(dst, mark)
}

func (f *FileInfo) parseAttributes(e ber.Element) (err error) {
	r := e.Reader()
	size, err := r.Want(0x80, "file size")
	if err != nil {
		return err
	}
	if f.Size, err = size.Uint32("file size"); err != nil {
		return err
	}
	modified, ok, err := r.Option(0x81, "last modified")
	if err != nil || !ok {
		return err
	}
	for _, layout := range []string{generalizedTime, "20060102150405.999Z", "20060102150405"} {
		if t, err := time.Parse(layout, string(modified.Contents)); err == nil {
			f.Modified = t
			return nil
		}
	}
	return nil
}

func appendFileName(dst []byte, tag ber.Tag, name string) []byte {
	dst, mark := ber.Open(dst, tag)
	return ber.Close(ber.Append(dst, 0x19, name), mark)
}

func parseFileName(e ber.Element) (name string, err error) {
	r := e.Reader()
	for r.More() {
		part, err := r.Next("file name")
		if err != nil {
			return "", err
		}
		name += string(part.Contents)
	}
	return name, nil
}

// FileRequest is the request of FileOpen, FileDelete, FileRename, FileDirectory and ObtainFile.
type FileRequest struct {
	Name     string // of FileDirectory: the folder, "" for all; of ObtainFile, the file of the client
	To       string // of FileRename and ObtainFile, the new name; of FileDirectory the name after which to go on
	Position uint32 // of FileOpen
}

// ParseFileRequest reads the parameters of the request.
func ParseFileRequest(b Body, s Service) (q FileRequest, err error) {
	r := b.e.Reader()
	for err == nil && r.More() {
		var e ber.Element
		if e, err = r.Next("file"); err != nil {
			break
		}
		switch {
		case s == FileDelete && e.Tag == 0x19:
			q.Name += string(e.Contents)
		case s == ObtainFile && e.Tag == 0xA0: // an application that has the file; it is the client, whatever this says
		case s == ObtainFile && e.Tag == 0xA1:
			q.Name, err = parseFileName(e)
		case s == ObtainFile && e.Tag == 0xA2:
			q.To, err = parseFileName(e)
		case e.Tag == 0xA0:
			q.Name, err = parseFileName(e)
		case e.Tag == 0xA1:
			q.To, err = parseFileName(e)
		case e.Tag == 0x81 && s == FileOpen:
			q.Position, err = e.Uint32("initial position")
		}
	}
	if err != nil {
		return FileRequest{}, layered("mms", err)
	}
	return q, nil
}

// Append appends the parameters of the request.
func (q FileRequest) Append(dst []byte, s Service) []byte {
	switch s {
	case FileDelete:
		return ber.Append(dst, 0x19, q.Name)
	case FileOpen:
		return ber.AppendUint(appendFileName(dst, 0xA0, q.Name), 0x81, uint64(q.Position))
	case FileRename:
		return appendFileName(appendFileName(dst, 0xA0, q.Name), 0xA1, q.To)
	case ObtainFile:
		return appendFileName(appendFileName(dst, 0xA1, q.Name), 0xA2, q.To)
	}
	if q.Name != "" {
		dst = appendFileName(dst, 0xA0, q.Name)
	}
	if q.To != "" {
		dst = appendFileName(dst, 0xA1, q.To)
	}
	return dst
}

// FileOpened is the answer to FileOpen.
type FileOpened struct {
	Handle uint32
	Info   FileInfo // without its name
}

// Append appends the parameters of the answer.
func (f FileOpened) Append(dst []byte) []byte {
	return f.Info.appendAttributes(ber.AppendUint(dst, 0x80, uint64(f.Handle)), 0xA1)
}

// ParseFileOpened reads the parameters of the answer.
func ParseFileOpened(b Body) (f FileOpened, err error) {
	r := b.e.Reader()
	e, err := r.Want(0x80, "file handle")
	if err == nil {
		f.Handle, err = e.Uint32("file handle")
	}
	if err == nil {
		e, err = r.Want(0xA1, "file attributes")
	}
	if err == nil {
		err = f.Info.parseAttributes(e)
	}
	if err != nil {
		return FileOpened{}, layered("mms", err)
	}
	return f, nil
}

// ParseFileHandle reads the parameter of FileRead and FileClose.
func ParseFileHandle(b Body) (uint32, error) {
	h, err := b.e.Uint32("file handle")
	return h, layered("mms", err)
}

// AppendFileHandle appends the request of FileRead or FileClose, whose only parameter is the handle.
func AppendFileHandle(dst []byte, invokeID uint32, s Service, handle uint32) []byte {
	dst, outer := OpenConfirmed(dst, ConfirmedRequest, invokeID)
	return ber.Close(ber.AppendUint(dst, s.tag(false), uint64(handle)), outer)
}

// AppendFileData appends the parameters of the answer to FileRead.
func AppendFileData(dst, data []byte, more bool) []byte {
	return ber.AppendBool(ber.Append(dst, 0x80, data), 0x81, more)
}

// ParseFileData reads the parameters of the answer to FileRead.
func ParseFileData(b Body) (data []byte, more bool, err error) {
	r := b.e.Reader()
	e, err := r.Want(0x80, "file data")
	if err != nil {
		return nil, false, layered("mms", err)
	}
	if more, err = moreFollows(&r, true); err != nil {
		return nil, false, layered("mms", err)
	}
	return e.Contents, more, nil
}

// moreFollows reads the optional flag that ends a list; def is its default.
func moreFollows(r *ber.Reader, def bool) (bool, error) {
	flag, ok, err := r.Option(0x81, "more follows")
	if !ok {
		return def, err
	}
	return flag.Bool("more follows")
}

// AppendDirectory appends the parameters of the answer to FileDirectory: as
// many files as fit in room octets, and whether more follow.
func AppendDirectory(dst []byte, files []FileInfo, room int) []byte {
	dst, list := ber.Open(dst, 0xA0)
	dst, seq := ber.Open(dst, 0x30)
	sent := 0
	for _, f := range files {
		if len(dst)-list+len(f.Name)+48 > room {
			break
		}
		var entry int
		dst, entry = ber.Open(dst, 0x30)
		dst = appendFileName(dst, 0xA0, f.Name)
		dst = ber.Close(f.appendAttributes(dst, 0xA1), entry)
		sent++
	}
	dst = ber.Close(ber.Close(dst, seq), list)
	return ber.AppendBool(dst, 0x81, sent < len(files))
}

// ParseDirectory reads the parameters of the answer to FileDirectory.
func ParseDirectory(b Body) (files []FileInfo, more bool, err error) {
	files, more, err = parseDirectory(b)
	return files, more, layered("mms", err)
}

func parseDirectory(b Body) (files []FileInfo, more bool, err error) {
	r := b.e.Reader()
	list, err := r.Want(0xA0, "directory")
	if err != nil {
		return nil, false, err
	}
	in := list.Reader()
	if len(list.Contents) > 0 {
		seq, err := in.Want(0x30, "directory")
		if err != nil {
			return nil, false, err
		}
		in = seq.Reader()
	}
	for in.More() {
		entry, err := in.Want(0x30, "directory entry")
		if err != nil {
			return nil, false, err
		}
		part := entry.Reader()
		name, err := part.Want(0xA0, "file name")
		if err != nil {
			return nil, false, err
		}
		var f FileInfo
		if f.Name, err = parseFileName(name); err != nil {
			return nil, false, err
		}
		attributes, err := part.Want(0xA1, "file attributes")
		if err != nil {
			return nil, false, err
		}
		if err := f.parseAttributes(attributes); err != nil {
			return nil, false, err
		}
		files = append(files, f)
	}
	more, err = moreFollows(&r, false)
	return files, more, err
}

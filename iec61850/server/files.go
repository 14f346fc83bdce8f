package server

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"

	"github.com/openusm/meter/iec61850/mms"
)

// Files are what clients may see of a file store. Names are slash-separated
// paths without a leading slash.
type Files interface {
	Open(name string) (io.ReadSeekCloser, mms.FileInfo, error)
	// List returns the files below a folder, or the file itself, in the order of
	// their names; "" is the root.
	List(folder string) ([]mms.FileInfo, error)
	Delete(name string) error
	Rename(from, to string) error
	// Store keeps a file that a client sent, whole.
	Store(name string, content []byte) error
}

// ReadOnly returns the files of fsys, whose files must know [io.Seeker], without the means to change them.
func ReadOnly(fsys fs.FS) Files { return readOnly{fsys} }

type readOnly struct{ fsys fs.FS }

func (r readOnly) Open(name string) (io.ReadSeekCloser, mms.FileInfo, error) {
	f, err := r.fsys.Open(name)
	if err != nil {
		return nil, mms.FileInfo{}, err
	}
	info, err := f.Stat()
	seeker, ok := f.(io.ReadSeekCloser)
	if err != nil || !ok || info.IsDir() {
		_ = f.Close()
		return nil, mms.FileInfo{}, errors.Join(err, fs.ErrInvalid)
	}
	return seeker, fileInfo(name, info), nil
}

func fileInfo(name string, info fs.FileInfo) mms.FileInfo {
	return mms.FileInfo{Name: name, Size: uint32(min(info.Size(), 1<<32-1)), Modified: info.ModTime()}
}

func (r readOnly) List(folder string) (list []mms.FileInfo, err error) {
	if folder == "" {
		folder = "."
	}
	err = fs.WalkDir(r.fsys, folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			list = append(list, fileInfo(name, info))
		}
		return err
	})
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, err
}

func (readOnly) Delete(string) error         { return fs.ErrPermission }
func (readOnly) Rename(string, string) error { return fs.ErrPermission }
func (readOnly) Store(string, []byte) error  { return fs.ErrPermission }

// ReadWrite returns the files below a folder, and lets clients delete them, rename
// them and send new ones.
func ReadWrite(root *os.Root) Files { return readWrite{readOnly{root.FS()}, root} }

type readWrite struct {
	readOnly
	root *os.Root
}

func (r readWrite) Delete(name string) error { return r.root.Remove(name) }

func (r readWrite) Rename(from, to string) error {
	if err := r.root.MkdirAll(path.Dir(to), 0o755); err != nil {
		return err
	}
	return r.root.Rename(from, to)
}

// Store writes beside the file, so that nobody sees half of it.
func (r readWrite) Store(name string, content []byte) error {
	if err := r.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	part := name + ".part"
	if err := r.root.WriteFile(part, content, 0o644); err != nil {
		return err
	}
	return r.root.Rename(part, name)
}

const maxOpenFiles = 8

// fileError returns what MMS calls an error of the file store.
func fileError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
		return mms.ErrFileMissing
	case errors.Is(err, fs.ErrPermission):
		return mms.ErrFileAccess
	}
	return mms.ErrFileOther
}

// clean returns a name within the store.
func clean(name string) (string, error) {
	name = strings.Trim(path.Clean("/"+strings.ReplaceAll(name, "\\", "/")), "/")
	if name != "" && !fs.ValidPath(name) {
		return "", mms.ErrFileMissing
	}
	return name, nil
}

// file answers a service of files.
func (a *association) file(p mms.PDU) error {
	if p.Service == mms.FileRead || p.Service == mms.FileClose {
		handle, err := mms.ParseFileHandle(p.Body)
		if err != nil {
			return err
		}
		f := a.files[handle]
		if f == nil {
			return mms.ErrFileOther
		}
		if p.Service == mms.FileRead {
			return a.readFile(p, f)
		}
		delete(a.files, handle)
		_ = f.Close()
		a.respond(p, false, nil)
		return nil
	}
	q, err := mms.ParseFileRequest(p.Body, p.Service)
	if err != nil {
		return err
	}
	if p.Service == mms.ObtainFile { // whose name is one of the client's store
		return a.obtain(p, q)
	}
	if q.Name, err = clean(q.Name); err != nil {
		return err
	}
	switch p.Service {
	case mms.FileOpen:
		return a.openFile(p, q)
	case mms.FileDelete:
		err = a.s.cfg.Files.Delete(q.Name)
		a.s.track(a, "GenTrk", q.Name, deleteFile, err, nil)
	case mms.FileRename:
		if q.To, err = clean(q.To); err != nil {
			return err
		}
		err = a.s.cfg.Files.Rename(q.Name, q.To)
	case mms.FileDirectory:
		return a.directory(p, q)
	}
	if err != nil {
		return fileError(err)
	}
	a.respond(p, false, nil)
	return nil
}

func (a *association) openFile(p mms.PDU, q mms.FileRequest) error {
	if len(a.files) >= maxOpenFiles {
		return mms.ErrResource
	}
	f, info, err := a.s.cfg.Files.Open(q.Name)
	if err != nil {
		return fileError(err)
	}
	if q.Position > 0 {
		if _, err := f.Seek(int64(q.Position), io.SeekStart); err != nil || q.Position > info.Size {
			_ = f.Close()
			return mms.ErrFilePosition
		}
	}
	if a.files == nil {
		a.files = map[uint32]io.ReadSeekCloser{}
	}
	a.nextFile++
	a.files[a.nextFile] = f
	a.respond(p, true, mms.FileOpened{Handle: a.nextFile, Info: info}.Append)
	return nil
}

func (a *association) readFile(p mms.PDU, f io.Reader) error {
	buf := make([]byte, min(a.maxPDU-64, 32<<10))
	n, err := io.ReadFull(f, buf)
	more := err == nil
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return mms.ErrFileOther
	}
	a.respond(p, true, func(dst []byte) []byte { return mms.AppendFileData(dst, buf[:n], more) })
	return nil
}

func (a *association) directory(p mms.PDU, q mms.FileRequest) error {
	list, err := a.s.cfg.Files.List(q.Name)
	if err != nil {
		return fileError(err)
	}
	if q.To != "" {
		list = list[sort.Search(len(list), func(i int) bool { return list[i].Name > q.To }):]
	}
	a.respond(p, true, func(dst []byte) []byte { return mms.AppendDirectory(dst, list, a.maxPDU-64) })
	return nil
}

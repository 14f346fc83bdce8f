package client

import (
	"bytes"
	"context"
	"fmt"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/mms"
)

// Identify asks who the server is.
func (c *Client) Identify(ctx context.Context) (mms.Identity, error) {
	b, err := c.request(ctx, mms.Identify, false, nil)
	if err != nil {
		return mms.Identity{}, err
	}
	return mms.ParseIdentity(b)
}

// Status asks for the state of the server.
func (c *Client) Status(ctx context.Context) (mms.States, error) {
	b, err := c.request(ctx, mms.Status, false, func(dst []byte) []byte { return append(dst, 0) })
	if err != nil {
		return mms.States{}, err
	}
	return mms.ParseStates(b)
}

// Domains returns the names of the logical devices.
func (c *Client) Domains(ctx context.Context) ([]string, error) {
	return c.names(ctx, mms.NameListRequest{Class: mms.Domains})
}

// Names returns the names of a class in a domain; those of the association where domain is "".
func (c *Client) Names(ctx context.Context, class mms.ObjectClass, domain string) ([]string, error) {
	q := mms.NameListRequest{Class: class, Scope: mms.ScopeDomain, Domain: []byte(domain)}
	if domain == "" {
		q.Scope = mms.ScopeAssociation
	}
	return c.names(ctx, q)
}

// maxNames is how many names are taken from one server.
const maxNames = 1 << 20

// names asks until no more follow.
func (c *Client) names(ctx context.Context, q mms.NameListRequest) (all []string, err error) {
	for {
		b, err := c.request(ctx, mms.GetNameList, true, q.Append)
		if err != nil {
			return nil, err
		}
		list, more, err := mms.ParseNameList(b)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if !more {
			return all, nil
		}
		if len(list) == 0 || len(all) > maxNames || list[len(list)-1] == string(q.After) {
			return nil, fmt.Errorf("client: name list does not end")
		}
		q.After = []byte(list[len(list)-1])
	}
}

// Type returns the type of a variable.
func (c *Client) Type(ctx context.Context, n mms.Name) (iec61850.Type, error) {
	b, err := c.request(ctx, mms.GetVariableAttributes, true, func(dst []byte) []byte {
		return mms.AppendNameRequest(dst, mms.GetVariableAttributes, n)
	})
	if err != nil {
		return iec61850.Type{}, err
	}
	return mms.ParseAttributes(b)
}

// Read returns the values of variables, each with its own error.
func (c *Client) Read(ctx context.Context, names ...mms.Name) ([]mms.Result, error) {
	list := make([]mms.Variable, len(names))
	for i, n := range names {
		list[i] = mms.Variable{Name: n}
	}
	return c.ReadVariables(ctx, mms.Variables{Each: list})
}

// ReadVariables returns the values of variables, of a part of them, or of a named list.
func (c *Client) ReadVariables(ctx context.Context, v mms.Variables) ([]mms.Result, error) {
	b, err := c.request(ctx, mms.Read, true, mms.ReadRequest{Variables: v}.Append)
	if err != nil {
		return nil, err
	}
	results, err := mms.ParseReadResponse(b)
	if err == nil && !v.Named && len(results) != len(v.Each) {
		err = fmt.Errorf("client: %d values for %d variables", len(results), len(v.Each))
	}
	return results, err
}

// ReadOne returns the value of one variable.
func (c *Client) ReadOne(ctx context.Context, n mms.Name) (iec61850.Value, error) {
	results, err := c.Read(ctx, n)
	if err != nil {
		return iec61850.Value{}, err
	}
	return results[0].Value, results[0].Err
}

// Write sets variables; the result has nil or an [mms.AccessError] for each.
func (c *Client) Write(ctx context.Context, v mms.Variables, data ...iec61850.Value) ([]error, error) {
	b, err := c.request(ctx, mms.Write, true, mms.WriteRequest{Variables: v, Data: data}.Append)
	if err != nil {
		return nil, err
	}
	results, err := mms.ParseWriteResponse(b)
	if err == nil && len(results) != len(data) {
		err = fmt.Errorf("client: %d results for %d variables", len(results), len(data))
	}
	return results, err
}

// WriteOne sets one variable.
func (c *Client) WriteOne(ctx context.Context, n mms.Name, v iec61850.Value) error {
	results, err := c.Write(ctx, mms.Variables{Each: []mms.Variable{{Name: n}}}, v)
	if err != nil {
		return err
	}
	return results[0]
}

// List returns the members of a named variable list.
func (c *Client) List(ctx context.Context, n mms.Name) (mms.ListAttributes, error) {
	b, err := c.request(ctx, mms.GetNamedVariableList, true, func(dst []byte) []byte {
		return mms.AppendNameRequest(dst, mms.GetNamedVariableList, n)
	})
	if err != nil {
		return mms.ListAttributes{}, err
	}
	return mms.ParseListAttributes(b)
}

// DefineList makes a named variable list.
func (c *Client) DefineList(ctx context.Context, n mms.Name, members ...mms.Name) error {
	q := mms.DefineRequest{Name: n}
	for _, m := range members {
		q.Variables = append(q.Variables, mms.Variable{Name: m})
	}
	_, err := c.request(ctx, mms.DefineNamedVariableList, true, q.Append)
	return err
}

// DeleteLists deletes named variable lists and says how many there were and how many are gone.
func (c *Client) DeleteLists(ctx context.Context, names ...mms.Name) (mms.Deleted, error) {
	b, err := c.request(ctx, mms.DeleteNamedVariableList, true, mms.DeleteRequest{Names: names}.Append)
	if err != nil {
		return mms.Deleted{}, err
	}
	return mms.ParseDeleted(b)
}

// Files returns the files in a folder, "" being the root.
func (c *Client) Files(ctx context.Context, folder string) (all []mms.FileInfo, err error) {
	q := mms.FileRequest{Name: folder}
	for {
		b, err := c.request(ctx, mms.FileDirectory, true, func(dst []byte) []byte { return q.Append(dst, mms.FileDirectory) })
		if err != nil {
			return nil, err
		}
		list, more, err := mms.ParseDirectory(b)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if !more {
			return all, nil
		}
		if len(list) == 0 || list[len(list)-1].Name == q.To {
			return nil, fmt.Errorf("client: directory does not end")
		}
		q.To = list[len(list)-1].Name
	}
}

// ReadFile returns a file of at most limit octets.
func (c *Client) ReadFile(ctx context.Context, name string, limit int) ([]byte, error) {
	q := mms.FileRequest{Name: name}
	b, err := c.request(ctx, mms.FileOpen, true, func(dst []byte) []byte { return q.Append(dst, mms.FileOpen) })
	if err != nil {
		return nil, err
	}
	f, err := mms.ParseFileOpened(b)
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	for more := true; more && err == nil; {
		var data []byte
		if b, err = c.handle(ctx, mms.FileRead, f.Handle); err == nil {
			data, more, err = mms.ParseFileData(b)
		}
		if content.Write(data); content.Len() > limit {
			err = fmt.Errorf("client: file %s: %w: more than %d octets", name, mms.ErrTooLong, limit)
		}
	}
	if _, closing := c.handle(ctx, mms.FileClose, f.Handle); err == nil {
		err = closing
	}
	return content.Bytes(), err
}

func (c *Client) handle(ctx context.Context, s mms.Service, handle uint32) (mms.Body, error) {
	return c.do(ctx, s, func(dst []byte, id uint32) []byte { return mms.AppendFileHandle(dst, id, s, handle) })
}

// DeleteFile deletes a file.
func (c *Client) DeleteFile(ctx context.Context, name string) error {
	q := mms.FileRequest{Name: name}
	_, err := c.request(ctx, mms.FileDelete, true, func(dst []byte) []byte { return q.Append(dst, mms.FileDelete) })
	return err
}

// RenameFile gives a file another name.
func (c *Client) RenameFile(ctx context.Context, from, to string) error {
	q := mms.FileRequest{Name: from, To: to}
	_, err := c.request(ctx, mms.FileRename, true, func(dst []byte) []byte { return q.Append(dst, mms.FileRename) })
	return err
}

// Journal returns entries of a log, and whether more follow.
func (c *Client) Journal(ctx context.Context, q mms.JournalRequest) (entries []mms.JournalEntry, more bool, err error) {
	b, err := c.request(ctx, mms.ReadJournal, true, q.Append)
	if err != nil {
		return nil, false, err
	}
	return mms.ParseJournal(b)
}

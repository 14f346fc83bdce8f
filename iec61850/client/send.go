package client

import (
	"bytes"
	"context"

	"github.com/openusm/meter/iec61850/mms"
)

// SendFile has the server take a file (ObtainFile): the server reads it from this
// client, and stores it under the name.
func (c *Client) SendFile(ctx context.Context, name string, content []byte) error {
	c.mu.Lock()
	if c.files == nil {
		c.files = map[string][]byte{}
	}
	c.files[name] = content
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.files, name)
	}()
	q := mms.FileRequest{Name: name, To: name}
	_, err := c.request(ctx, mms.ObtainFile, true, func(dst []byte) []byte { return q.Append(dst, mms.ObtainFile) })
	return err
}

// serve answers a request of the server: it may read files that are being sent to it.
func (c *Client) serve(p mms.PDU) {
	constructed, params, err := c.answer(p)
	var pdu []byte
	switch e := err.(type) {
	case nil:
		pdu = mms.AppendConfirmed(nil, mms.ConfirmedResponse, p.InvokeID, p.Service, constructed, params)
	case mms.ServiceError:
		pdu = mms.AppendError(nil, p.InvokeID, e)
	case mms.Reject:
		pdu = e.AppendReject(nil)
	default:
		pdu = mms.Reject{InvokeID: p.InvokeID, HasInvokeID: true, Kind: mms.RejectConfirmed, Reason: mms.InvalidArgument}.AppendReject(nil)
	}
	if err := c.send(pdu); err != nil {
		c.cfg.Logger.Warn("answer not sent", "error", err)
	}
}

const (
	maxFileData  = 32 << 10 // octets of a file in one answer
	maxOpenFiles = 8
)

func (c *Client) answer(p mms.PDU) (constructed bool, params func([]byte) []byte, err error) {
	switch p.Service {
	case mms.FileOpen:
		q, err := mms.ParseFileRequest(p.Body, p.Service)
		if err != nil {
			return false, nil, err
		}
		c.mu.Lock()
		content, ok := c.files[q.Name]
		c.mu.Unlock()
		switch {
		case !ok:
			return false, nil, mms.ErrFileMissing
		case int64(q.Position) > int64(len(content)):
			return false, nil, mms.ErrFilePosition
		}
		if len(c.open) >= maxOpenFiles {
			return false, nil, mms.ErrResource
		}
		if c.open == nil {
			c.open = map[uint32]*bytes.Reader{}
		}
		c.nextFile++
		c.open[c.nextFile] = bytes.NewReader(content[q.Position:])
		return true, mms.FileOpened{Handle: c.nextFile, Info: mms.FileInfo{Size: uint32(len(content))}}.Append, nil
	case mms.FileRead, mms.FileClose:
		handle, err := mms.ParseFileHandle(p.Body)
		if err != nil {
			return false, nil, err
		}
		f := c.open[handle]
		if f == nil {
			return false, nil, mms.ErrFileOther
		}
		if p.Service == mms.FileClose {
			delete(c.open, handle)
			return false, nil, nil
		}
		data := make([]byte, min(max(c.agreed.MaxPDU-64, 64), maxFileData, f.Len()))
		_, _ = f.Read(data)
		return true, func(dst []byte) []byte { return mms.AppendFileData(dst, data, f.Len() > 0) }, nil
	}
	return false, nil, mms.Reject{InvokeID: p.InvokeID, HasInvokeID: true, Kind: mms.RejectConfirmed, Reason: mms.UnrecognizedService}
}

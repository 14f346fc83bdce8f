package server

import (
	"fmt"

	"github.com/openusm/meter/iec61850/mms"
)

// transfer is a file that a client asked us to obtain from it: we open, read and
// close it there, and answer the client's request when it was stored.
type transfer struct {
	answer  mms.PDU // the client's request
	name    string  // that the file is to have here
	handle  uint32  // of the client's open file
	waiting uint32  // invoke id of our request
	service mms.Service
	content []byte
	err     error // why it failed, while the file is being closed
}

// obtain begins to fetch a file from the client.
func (a *association) obtain(p mms.PDU, q mms.FileRequest) error {
	if a.transfer != nil {
		return mms.ErrResource
	}
	name, err := clean(q.To)
	if err != nil {
		return err
	}
	if name == "" {
		return mms.ErrFileMissing
	}
	a.transfer = &transfer{answer: mms.PDU{InvokeID: p.InvokeID, Service: p.Service}, name: name}
	q.To = ""
	a.callClient(mms.FileOpen, func(dst []byte, id uint32) []byte {
		return mms.AppendConfirmed(dst, mms.ConfirmedRequest, id, mms.FileOpen, true, func(dst []byte) []byte { return q.Append(dst, mms.FileOpen) })
	})
	return nil
}

// callClient sends a request of the transfer to the client.
func (a *association) callClient(s mms.Service, build func(dst []byte, id uint32) []byte) {
	a.nextID++
	a.transfer.waiting, a.transfer.service = a.nextID, s
	a.out = a.stack.AppendPDU(a.out, build(nil, a.nextID))
}

func (a *association) callHandle(s mms.Service) {
	a.callClient(s, func(dst []byte, id uint32) []byte { return mms.AppendFileHandle(dst, id, s, a.transfer.handle) })
}

// transferred goes on with the transfer when the client answered.
func (a *association) transferred(p mms.PDU) {
	t := a.transfer
	id := p.InvokeID
	if p.Kind == mms.RejectPDUKind {
		r, err := p.Reject()
		if err != nil || !r.HasInvokeID {
			return
		}
		id = r.InvokeID
	}
	if t == nil || id != t.waiting {
		return
	}
	if p.Kind != mms.ConfirmedResponse || p.Service != t.service {
		a.endTransfer(fmt.Errorf("server: %w by the client", mms.ErrFileOther))
		return
	}
	switch t.service {
	case mms.FileOpen:
		opened, err := mms.ParseFileOpened(p.Body)
		if err != nil {
			a.endTransfer(err)
			return
		}
		t.handle = opened.Handle
		if t.err == nil && int64(opened.Info.Size) > int64(a.s.cfg.MaxFile) {
			t.err = mms.ErrResource
		}
		if t.err != nil {
			a.callHandle(mms.FileClose)
			return
		}
		a.callHandle(mms.FileRead)
	case mms.FileRead:
		data, more, err := mms.ParseFileData(p.Body)
		t.content = append(t.content, data...)
		if len(t.content) > a.s.cfg.MaxFile {
			err = mms.ErrResource
		}
		if t.err == nil {
			t.err = err
		}
		if t.err == nil && more && len(data) > 0 {
			a.callHandle(mms.FileRead)
			return
		}
		a.callHandle(mms.FileClose)
	case mms.FileClose:
		if t.err == nil {
			if err := a.s.cfg.Files.Store(t.name, t.content); err != nil {
				t.err = fileError(err)
			}
		}
		a.endTransfer(t.err)
	}
}

// endTransfer answers the client's request.
func (a *association) endTransfer(err error) {
	p := a.transfer.answer
	a.s.track(a, "GenTrk", a.transfer.name, setFile, err, nil)
	a.transfer = nil
	a.pdu = a.pdu[:0]
	if err != nil {
		a.refuse(p.InvokeID, err)
	} else {
		a.respond(p, false, nil)
	}
	a.send()
}

// cancelTransfer has the transfer that answers the request end after the step at which it is.
func (a *association) cancelTransfer(id uint32) bool {
	if a.transfer == nil || a.transfer.answer.InvokeID != id {
		return false
	}
	a.transfer.err = mms.ErrCancelled
	return true
}

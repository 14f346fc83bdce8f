// Package mms reads and writes the PDUs of MMS (ISO 9506) as IEC 61850-8-1 uses
// them, and the layers below down to TCP.
//
//	TPKT ( COTP DT ( session data ( presentation user data ( MMS PDU ))))
//
// [Stack] is one side of an association without I/O: octets in, PDUs out. Each
// service has a file with its request and its response.
package mms

import (
	"fmt"

	"github.com/openusm/meter/internal/ber"
)

// PDUKind is the tag of an MMS PDU.
type PDUKind uint8

// The PDUs.
const (
	ConfirmedRequest  PDUKind = 0xA0
	ConfirmedResponse PDUKind = 0xA1
	ConfirmedError    PDUKind = 0xA2
	Unconfirmed       PDUKind = 0xA3
	RejectPDUKind     PDUKind = 0xA4
	CancelRequest     PDUKind = 0x85
	CancelResponse    PDUKind = 0x86
	CancelError       PDUKind = 0xA7
	InitiateRequest   PDUKind = 0xA8
	InitiateResponse  PDUKind = 0xA9
	InitiateError     PDUKind = 0xAA
	ConcludeRequest   PDUKind = 0x8B
	ConcludeResponse  PDUKind = 0x8C
	ConcludeError     PDUKind = 0xAD
)

// Service is the tag of a confirmed or unconfirmed service. Bit 5, which says
// whether the parameters are constructed, is set where request or response has it so.
type Service uint32

// The services, by the number of their tag.
const (
	Status                  Service = 0
	GetNameList             Service = 1
	Identify                Service = 2
	Read                    Service = 4
	Write                   Service = 5
	GetVariableAttributes   Service = 6
	DefineNamedVariableList Service = 11
	GetNamedVariableList    Service = 12
	DeleteNamedVariableList Service = 13
	ObtainFile              Service = 46
	ReadJournal             Service = 65
	FileOpen                Service = 72
	FileRead                Service = 73
	FileClose               Service = 74
	FileRename              Service = 75
	FileDelete              Service = 76
	FileDirectory           Service = 77
)

// tag returns the context tag of the service.
func (s Service) tag(constructed bool) ber.Tag {
	t := ber.Tag(0x80)
	if constructed {
		t = 0xA0
	}
	if s < 31 {
		return t | ber.Tag(s)
	}
	return (t|0x1F)<<8 | ber.Tag(s)
}

// service returns the number of a context tag.
func service(t ber.Tag) Service {
	if t <= 0xFF {
		return Service(t & 0x1F)
	}
	return Service(t & 0x7F)
}

// PDU is an MMS PDU of which the service parameters are not read yet.
type PDU struct {
	Kind     PDUKind
	InvokeID uint32  // of confirmed PDUs and cancels
	Service  Service // of ConfirmedRequest and ConfirmedResponse
	Body     Body    // of the service, or of the PDU itself where it has none
}

// Body is the parameters of a service as they came. It aliases the input.
type Body struct{ e ber.Element }

// Bytes returns the octets of the parameters.
func (b Body) Bytes() []byte { return b.e.Contents }

// ParsePDU reads an MMS PDU, which takes all of b.
func ParsePDU(b []byte) (PDU, error) {
	p, err := parsePDU(b)
	if err != nil {
		return PDU{}, layered("mms", err)
	}
	return p, nil
}

func parsePDU(b []byte) (p PDU, err error) {
	r := ber.NewReader(b)
	e, err := r.Next("PDU")
	if err != nil {
		return p, err
	}
	if r.More() {
		return p, &ber.Error{Field: "PDU", Offset: r.Offset(), Err: fmt.Errorf("followed by %d octets", len(b)-r.Offset())}
	}
	if e.Tag > 0xFF {
		return p, &ber.Error{Field: "PDU", Err: fmt.Errorf("%w 0x%x", ber.ErrTag, uint32(e.Tag))}
	}
	p = PDU{Kind: PDUKind(e.Tag), Body: Body{e}}
	switch p.Kind {
	case ConfirmedRequest, ConfirmedResponse:
		return p, p.parseConfirmed(e)
	case CancelRequest, CancelResponse:
		p.InvokeID, err = e.Uint32("invoke id")
		return p, err
	case ConfirmedError, CancelError:
		r := e.Reader()
		id, err := r.Want(0x80, "invoke id")
		if err != nil {
			return p, err
		}
		p.InvokeID, err = id.Uint32("invoke id")
		return p, err
	case Unconfirmed, RejectPDUKind, InitiateRequest, InitiateResponse, InitiateError, ConcludeRequest, ConcludeResponse, ConcludeError:
		return p, nil
	}
	return p, &ber.Error{Field: "PDU", Err: fmt.Errorf("%w 0x%x", ber.ErrTag, uint32(e.Tag))}
}

func (p *PDU) parseConfirmed(e ber.Element) error {
	r := e.Reader()
	id, err := r.Want(0x02, "invoke id")
	if err != nil {
		return err
	}
	if p.InvokeID, err = id.Uint32("invoke id"); err != nil {
		return err
	}
	if p.Kind == ConfirmedRequest && r.Peek() == 0x30 {
		if _, err := r.Next("modifiers"); err != nil {
			return err
		}
	}
	at := r.Offset()
	body, err := r.Next("service")
	if err != nil {
		return err
	}
	if c := body.Tag; c < 0x80 || c > 0xBF && c < 0x9F00 || c > 0xFFFF {
		return &ber.Error{Field: "service", Offset: at, Err: fmt.Errorf("%w 0x%x", ber.ErrTag, uint32(c))}
	}
	p.Service, p.Body = service(body.Tag), Body{body}
	return nil
}

// AppendConfirmed appends a confirmed request or response; params appends the
// parameters of the service, which are constructed or not.
func AppendConfirmed(dst []byte, kind PDUKind, invokeID uint32, s Service, constructed bool, params func([]byte) []byte) []byte {
	dst, outer := OpenConfirmed(dst, kind, invokeID)
	dst, inner := ber.Open(dst, s.tag(constructed))
	if params != nil {
		dst = params(dst)
	}
	return ber.Close(ber.Close(dst, inner), outer)
}

// OpenConfirmed appends the beginning of a confirmed PDU, which ber.Close completes.
func OpenConfirmed(dst []byte, kind PDUKind, invokeID uint32) (out []byte, mark int) {
	dst, mark = ber.Open(dst, ber.Tag(kind))
	return ber.AppendUint(dst, 0x02, uint64(invokeID)), mark
}

// AppendError appends a ConfirmedError.
func AppendError(dst []byte, invokeID uint32, e ServiceError) []byte {
	dst, outer := ber.Open(dst, ber.Tag(ConfirmedError))
	dst = ber.AppendUint(dst, 0x80, uint64(invokeID))
	dst, inner := ber.Open(dst, 0xA2)
	dst, class := ber.Open(dst, 0xA0)
	dst = ber.AppendUint(dst, 0x80|ber.Tag(e.Class), uint64(e.Code))
	return ber.Close(ber.Close(ber.Close(dst, class), inner), outer)
}

// ServiceError reads the body of a ConfirmedError.
func (p PDU) ServiceError() (ServiceError, error) {
	e, err := p.serviceError()
	return e, layered("mms", err)
}

func (p PDU) serviceError() (s ServiceError, err error) {
	r := p.Body.e.Reader()
	for r.More() {
		e, err := r.Next("error")
		if err != nil {
			return s, err
		}
		if e.Tag != 0xA2 {
			continue
		}
		in := e.Reader()
		class, err := in.Want(0xA0, "error class")
		if err != nil {
			return s, err
		}
		in = class.Reader()
		code, err := in.Next("error code")
		if err != nil {
			return s, err
		}
		n, err := code.Uint32("error code")
		return ServiceError{uint8(service(code.Tag)), uint8(min(n, 0xFF))}, err
	}
	return s, &ber.Error{Field: "error", Offset: r.Offset(), Err: fmt.Errorf("%w: none", ber.ErrTag)}
}

// AppendReject appends a RejectPDU.
func (r Reject) AppendReject(dst []byte) []byte {
	dst, mark := ber.Open(dst, ber.Tag(RejectPDUKind))
	if r.HasInvokeID {
		dst = ber.AppendUint(dst, 0x80, uint64(r.InvokeID))
	}
	dst = ber.AppendUint(dst, 0x80|ber.Tag(r.Kind), uint64(r.Reason))
	return ber.Close(dst, mark)
}

// Reject reads the body of a RejectPDU.
func (p PDU) Reject() (Reject, error) {
	var reject Reject
	r := p.Body.e.Reader()
	for r.More() {
		e, err := r.Next("reject")
		if err != nil {
			return Reject{}, layered("mms", err)
		}
		n, err := e.Uint32("reject")
		if err != nil {
			return Reject{}, layered("mms", err)
		}
		if e.Tag == 0x80 {
			reject.InvokeID, reject.HasInvokeID = n, true
		} else {
			reject.Kind, reject.Reason = uint8(service(e.Tag)), uint8(min(n, 0xFF))
		}
	}
	return reject, nil
}

// AppendConclude appends a ConcludeRequest or ConcludeResponse.
func AppendConclude(dst []byte, kind PDUKind) []byte { return append(dst, byte(kind), 0) }

// AppendCancel appends a CancelRequest or CancelResponse.
func AppendCancel(dst []byte, kind PDUKind, invokeID uint32) []byte {
	return ber.AppendUint(dst, ber.Tag(kind), uint64(invokeID))
}

// AppendCancelError appends the refusal of a cancel: there is nothing to cancel.
func AppendCancelError(dst []byte, invokeID uint32) []byte {
	dst, outer := ber.Open(dst, ber.Tag(CancelError))
	dst = ber.AppendUint(dst, 0x80, uint64(invokeID))
	return ber.Close(append(dst, 0xA1, 5, 0xA0, 3, 0x8A, 1, 1), outer)
}

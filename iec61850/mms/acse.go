package mms

import (
	"bytes"
	"fmt"

	"github.com/openusm/meter/internal/ber"
)

// ACSEKind is the tag of an ACSE PDU (ISO 8650).
type ACSEKind uint8

// The ACSE PDUs.
const (
	AssociateRequest  ACSEKind = 0x60
	AssociateResponse ACSEKind = 0x61
	ReleaseRequest    ACSEKind = 0x62
	ReleaseResponse   ACSEKind = 0x63
	ACSEAbort         ACSEKind = 0x64
)

// Diagnostics of a refused association, of the service user.
const (
	DiagnosticNull                   = 0
	DiagnosticNoReason               = 1
	DiagnosticContextUnsupported     = 2
	DiagnosticAuthenticationFailed   = 13
	DiagnosticAuthenticationRequired = 14
)

// ACSE is a PDU of the association control.
type ACSE struct {
	Kind       ACSEKind
	Title      []byte // called AP title of a request, responding one of a response: the octets of an object identifier
	Password   []byte // nil where there is none
	Mechanism  bool   // a mechanism other than the password was named
	Context    bool   // the application context is that of MMS
	Result     uint8  // of a response: 0 accepted, 1 rejected permanent, 2 transient
	Diagnostic uint8  // of a response
	Data       []byte // the MMS PDU; aliases the input
}

// ParseACSE reads an ACSE PDU, which takes all of b.
func ParseACSE(b []byte) (ACSE, error) {
	a, err := parseACSE(b)
	if err != nil {
		return ACSE{}, layered("acse", err)
	}
	return a, nil
}

func parseACSE(b []byte) (a ACSE, err error) {
	r := ber.NewReader(b)
	e, err := r.Next("APDU")
	if err != nil {
		return a, err
	}
	if e.Tag < 0x60 || e.Tag > 0x64 {
		return a, &ber.Error{Field: "APDU", Err: fmt.Errorf("%w 0x%x", ber.ErrTag, uint32(e.Tag))}
	}
	a.Kind = ACSEKind(e.Tag)
	r = e.Reader()
	for r.More() {
		e, err := r.Next("field")
		if err != nil {
			return a, err
		}
		if err := a.parseField(e); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (a *ACSE) parseField(e ber.Element) error {
	response := a.Kind == AssociateResponse
	switch {
	case e.Tag == 0xA1 && a.Kind <= AssociateResponse:
		r := e.Reader()
		oid, err := r.Want(0x06, "application context")
		a.Context = bytes.Equal(oid.Contents, oidMMSAnnex)
		return err
	case e.Tag == 0xA2 && a.Kind == AssociateRequest, e.Tag == 0xA4 && response:
		r := e.Reader()
		oid, err := r.Next("AP title")
		a.Title = oid.Contents
		return err
	case e.Tag == 0xA2 && response:
		r := e.Reader()
		v, err := r.Want(0x02, "result")
		if err != nil {
			return err
		}
		n, err := v.Uint32("result")
		a.Result = uint8(min(n, 0xFF))
		return err
	case e.Tag == 0xA3 && response:
		return a.parseDiagnostic(e)
	case e.Tag == 0x8B && !response, e.Tag == 0x89 && response:
		a.Mechanism = !bytes.Equal(e.Contents, oidPassword)
	case e.Tag == 0xAC && !response, e.Tag == 0xAA && response:
		r := e.Reader()
		v, err := r.Next("authentication value")
		if v.Tag == 0x80 {
			a.Password = v.Contents
		}
		return err
	case e.Tag == 0xBE:
		return a.parseUserInformation(e)
	}
	return nil
}

func (a *ACSE) parseDiagnostic(e ber.Element) error {
	r := e.Reader()
	source, err := r.Next("diagnostic")
	if err != nil {
		return err
	}
	r = source.Reader()
	v, err := r.Want(0x02, "diagnostic")
	if err != nil {
		return err
	}
	n, err := v.Uint32("diagnostic")
	a.Diagnostic = uint8(min(n, 0xFF))
	return err
}

// parseUserInformation reads the EXTERNAL in which the MMS PDU comes.
func (a *ACSE) parseUserInformation(e ber.Element) error {
	r := e.Reader()
	external, err := r.Want(0x28, "user information")
	if err != nil {
		return err
	}
	r = external.Reader()
	for r.More() {
		e, err := r.Next("user information")
		if err != nil {
			return err
		}
		if e.Tag == 0xA0 || e.Tag == 0x81 {
			a.Data = e.Contents
		}
	}
	return nil
}

// Append appends the PDU; its user information is of the presentation context.
func (a ACSE) Append(dst []byte, context int64) []byte {
	dst, pdu := ber.Open(dst, ber.Tag(a.Kind))
	switch a.Kind {
	case AssociateRequest:
		dst = appendNested(dst, 0xA1, 0x06, oidMMSAnnex)
		if a.Title != nil {
			dst = appendNested(dst, 0xA2, 0x06, a.Title)
		}
		if a.Password != nil {
			dst = append(dst, 0x8A, 2, 7, 0x80)
			dst = ber.Append(dst, 0x8B, oidPassword)
			dst = appendNested(dst, 0xAC, 0x80, a.Password)
		}
	case AssociateResponse:
		dst = appendNested(dst, 0xA1, 0x06, oidMMSAnnex)
		dst = append(dst, 0xA2, 3, 2, 1, a.Result)
		dst = append(dst, 0xA3, 5, 0xA1, 3, 2, 1, a.Diagnostic)
	case ReleaseRequest, ReleaseResponse:
		dst = append(dst, 0x80, 1, 0) // normal
	case ACSEAbort:
		dst = append(dst, 0x80, 1, 0) // by the service user
	}
	if a.Data != nil {
		var info, external int
		dst, info = ber.Open(dst, 0xBE)
		dst, external = ber.Open(dst, 0x28)
		dst = ber.AppendInt(dst, 0x02, context)
		dst = ber.Append(dst, 0xA0, a.Data)
		dst = ber.Close(ber.Close(dst, external), info)
	}
	return ber.Close(dst, pdu)
}

// appendNested appends an element that holds one other.
func appendNested(dst []byte, outer, inner ber.Tag, contents []byte) []byte {
	dst, mark := ber.Open(dst, outer)
	return ber.Close(ber.Append(dst, inner, contents), mark)
}

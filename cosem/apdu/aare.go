package apdu

import "fmt"

// AARE answers an AARQ.
type AARE struct {
	Version           bool // protocol-version written out
	Context           Context
	Result            AssociationResult
	Diagnostic        Diagnostic
	RespondingAPTitle []byte // nil for none, as all below: the server's system title
	RespondingAEQual  []byte // the server's certificate for signatures
	RespondingAPInvoc []byte // INTEGER contents
	RespondingAEInvoc []byte // INTEGER contents
	Authentication    bool   // responder-acse-requirements
	Mechanism         Mechanism
	hasMechanism      bool
	Value             []byte // responding-authentication-value: challenge
	Implementation    []byte
	UserInformation   []byte // an InitiateResponse or a ConfirmedServiceError, plain or ciphered
}

// AssociationResult is the outcome of an AARQ.
type AssociationResult uint8

// The outcomes of an AARQ.
const (
	Accepted          AssociationResult = 0
	RejectedPermanent AssociationResult = 1
	RejectedTransient AssociationResult = 2
)

// Diagnostic says why an association was rejected, or what it lacks.
type Diagnostic struct {
	Provider bool // from the ACSE service provider, not from its user
	Code     uint8
}

// Diagnostics of the ACSE service user that this tree tests for.
const (
	DiagnosticNull                   = 0
	DiagnosticNoReason               = 1
	DiagnosticContextNotSupported    = 2
	DiagnosticMechanismNotRecognised = 11
	DiagnosticMechanismRequired      = 12
	DiagnosticAuthenticationFailure  = 13
	DiagnosticAuthenticationRequired = 14
)

// String returns the name of the standard.
func (d Diagnostic) String() string {
	names := []string{"null", "no-reason-given", "application-context-name-not-supported", "calling-AP-title-not-recognized",
		"calling-AP-invocation-identifier-not-recognized", "calling-AE-qualifier-not-recognized",
		"calling-AE-invocation-identifier-not-recognized", "called-AP-title-not-recognized",
		"called-AP-invocation-identifier-not-recognized", "called-AE-qualifier-not-recognized",
		"called-AE-invocation-identifier-not-recognized", "authentication-mechanism-name-not-recognised",
		"authentication-mechanism-name-required", "authentication-failure", "authentication-required"}
	if d.Provider {
		names = []string{"null", "no-reason-given", "no-common-acse-version"}
	}
	if int(d.Code) < len(names) {
		return names[d.Code]
	}
	return fmt.Sprintf("diagnostic %d", d.Code)
}

// Name returns "AARE".
func (AARE) Name() string { return "AARE" }

func (r *reader) aare() PDU {
	p := AARE{}
	r.fields(responseFields, func(tag byte, f *reader) bool {
		at := f.Offset()
		switch tag {
		case fieldVersion:
			p.Version = len(f.leaf("protocol-version")) > 0
		case fieldContext:
			p.Context = Context(f.oid("application-context-name", at, f.wrapped("application-context-name", 0x06), arcContext))
		case 0xA2:
			p.Result = AssociationResult(f.integer("result"))
		case 0xA3:
			source, inner := f.tlv("result-source-diagnostic")
			if f.Err() == nil && source != 0xA1 && source != 0xA2 {
				f.Fail("result-source-diagnostic", at, fmt.Errorf("0x%02x: %w", source, errTag))
			}
			p.Diagnostic = Diagnostic{source == 0xA2, inner.integer("result-source-diagnostic")}
			f.adopt(inner)
		case 0xA4:
			p.RespondingAPTitle = f.wrapped("responding-AP-title", 0x04)
		case 0xA5:
			p.RespondingAEQual = f.wrapped("responding-AE-qualifier", 0x04)
		case 0xA6:
			p.RespondingAPInvoc = f.wrapped("responding-AP-invocation-id", 0x02)
		case 0xA7:
			p.RespondingAEInvoc = f.wrapped("responding-AE-invocation-id", 0x02)
		case fieldRespondReq:
			p.Authentication = f.requirements("responder-acse-requirements")
		case fieldRespondMech:
			p.Mechanism, p.hasMechanism = Mechanism(f.oid("mechanism-name", at, f.leaf("mechanism-name"), arcMechanism)), true
		case fieldRespondAuth:
			p.Value = f.wrapped("responding-authentication-value", 0x80)
		case fieldImplementation:
			p.Implementation = f.wrapped("implementation-information", 0x04)
		case fieldUser:
			p.UserInformation = f.wrapped("user-information", 0x04)
		default:
			return false
		}
		return true
	})
	return p
}

// AppendBinary appends the encoding. It fails where the fields exceed 65,535 octets.
func (p AARE) AppendBinary(dst []byte) ([]byte, error) {
	var f []byte
	if p.Version {
		f = append(f, fieldVersion, 2, 7, 0x80)
	}
	f = appendTLV(f, fieldContext, appendTLV(nil, 0x06, appendOID(nil, arcContext, byte(p.Context))...)...)
	f = append(f, 0xA2, 3, 2, 1, byte(p.Result))
	source := byte(0xA1)
	if p.Diagnostic.Provider {
		source = 0xA2
	}
	f = append(f, 0xA3, 5, source, 3, 2, 1, p.Diagnostic.Code)
	f = appendWrapped(f, 0xA4, 0x04, p.RespondingAPTitle)
	f = appendWrapped(f, 0xA5, 0x04, p.RespondingAEQual)
	f = appendWrapped(f, 0xA6, 0x02, p.RespondingAPInvoc)
	f = appendWrapped(f, 0xA7, 0x02, p.RespondingAEInvoc)
	if p.Authentication {
		f = append(f, fieldRespondReq, 2, 7, 0x80)
	}
	if p.hasMechanism || p.Mechanism != MechanismNone {
		f = appendTLV(f, fieldRespondMech, appendOID(nil, arcMechanism, byte(p.Mechanism))...)
	}
	f = appendWrapped(f, fieldRespondAuth, 0x80, p.Value)
	f = appendWrapped(f, fieldImplementation, 0x04, p.Implementation)
	f = appendWrapped(f, fieldUser, 0x04, p.UserInformation)
	return finish(dst, TagAARE, f)
}

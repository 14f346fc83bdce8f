package apdu

// AARQ asks for an association.
type AARQ struct {
	Version             bool // protocol-version written out
	Context             Context
	CalledAPTitle       []byte // nil for none, as all below
	CalledAEQualifier   []byte
	CalledAPInvocation  []byte // INTEGER contents
	CalledAEInvocation  []byte // INTEGER contents
	CallingAPTitle      []byte // the client's system title
	CallingAEQualifier  []byte // the client's certificate for signatures
	CallingAPInvocation []byte // INTEGER contents
	CallingAEInvocation []byte // INTEGER contents: the client's user id
	Authentication      bool   // sender-acse-requirements: the two fields that follow are in use
	Mechanism           Mechanism
	hasMechanism        bool
	Value               []byte // calling-authentication-value: password or challenge
	Implementation      []byte
	UserInformation     []byte // an InitiateRequest, plain or ciphered
}

// Name returns "AARQ".
func (AARQ) Name() string { return "AARQ" }

func (r *reader) aarq() PDU {
	p := AARQ{}
	r.fields(requestFields, func(tag byte, f *reader) bool {
		at := f.Offset()
		switch tag {
		case fieldVersion:
			p.Version = len(f.leaf("protocol-version")) > 0
		case fieldContext:
			p.Context = Context(f.oid("application-context-name", at, f.wrapped("application-context-name", 0x06), arcContext))
		case 0xA2:
			p.CalledAPTitle = f.wrapped("called-AP-title", 0x04)
		case 0xA3:
			p.CalledAEQualifier = f.wrapped("called-AE-qualifier", 0x04)
		case 0xA4:
			p.CalledAPInvocation = f.wrapped("called-AP-invocation-id", 0x02)
		case 0xA5:
			p.CalledAEInvocation = f.wrapped("called-AE-invocation-id", 0x02)
		case 0xA6:
			p.CallingAPTitle = f.wrapped("calling-AP-title", 0x04)
		case 0xA7:
			p.CallingAEQualifier = f.wrapped("calling-AE-qualifier", 0x04)
		case 0xA8:
			p.CallingAPInvocation = f.wrapped("calling-AP-invocation-id", 0x02)
		case 0xA9:
			p.CallingAEInvocation = f.wrapped("calling-AE-invocation-id", 0x02)
		case fieldRequirements:
			p.Authentication = f.requirements("sender-acse-requirements")
		case fieldMechanism:
			p.Mechanism, p.hasMechanism = Mechanism(f.oid("mechanism-name", at, f.leaf("mechanism-name"), arcMechanism)), true
		case fieldAuth:
			p.Value = f.wrapped("calling-authentication-value", 0x80)
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
func (p AARQ) AppendBinary(dst []byte) ([]byte, error) {
	var f []byte
	if p.Version {
		f = append(f, fieldVersion, 2, 7, 0x80)
	}
	f = appendTLV(f, fieldContext, appendTLV(nil, 0x06, appendOID(nil, arcContext, byte(p.Context))...)...)
	f = appendWrapped(f, 0xA2, 0x04, p.CalledAPTitle)
	f = appendWrapped(f, 0xA3, 0x04, p.CalledAEQualifier)
	f = appendWrapped(f, 0xA4, 0x02, p.CalledAPInvocation)
	f = appendWrapped(f, 0xA5, 0x02, p.CalledAEInvocation)
	f = appendWrapped(f, 0xA6, 0x04, p.CallingAPTitle)
	f = appendWrapped(f, 0xA7, 0x04, p.CallingAEQualifier)
	f = appendWrapped(f, 0xA8, 0x02, p.CallingAPInvocation)
	f = appendWrapped(f, 0xA9, 0x02, p.CallingAEInvocation)
	if p.Authentication {
		f = append(f, fieldRequirements, 2, 7, 0x80)
	}
	if p.hasMechanism || p.Mechanism != MechanismNone {
		f = appendTLV(f, fieldMechanism, appendOID(nil, arcMechanism, byte(p.Mechanism))...)
	}
	f = appendWrapped(f, fieldAuth, 0x80, p.Value)
	f = appendWrapped(f, fieldImplementation, 0x04, p.Implementation)
	f = appendWrapped(f, fieldUser, 0x04, p.UserInformation)
	return finish(dst, TagAARQ, f)
}

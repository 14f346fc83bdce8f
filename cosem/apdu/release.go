package apdu

import "fmt"

// RLRQ asks to release an association.
type RLRQ struct {
	Reason          *uint8 // 0 normal, 1 urgent, 30 user defined; nil for none
	UserInformation []byte // an InitiateRequest, plain or ciphered; nil for none
}

// RLRE answers an RLRQ.
type RLRE struct {
	Reason          *uint8 // 0 normal, 1 not finished, 30 user defined; nil for none
	UserInformation []byte // an InitiateResponse, plain or ciphered; nil for none
}

// Name returns "RLRQ".
func (RLRQ) Name() string { return "RLRQ" }

// Name returns "RLRE".
func (RLRE) Name() string { return "RLRE" }

func (r *reader) rlrq() PDU {
	reason, user := r.release()
	return RLRQ{reason, user}
}

func (r *reader) rlre() PDU {
	reason, user := r.release()
	return RLRE{reason, user}
}

func (r *reader) release() (reason *uint8, user []byte) {
	r.fields(releaseFields, func(tag byte, f *reader) bool {
		switch tag {
		case 0x80:
			at, b := f.Offset(), f.leaf("reason")
			if len(b) != 1 {
				f.Fail("reason", at, fmt.Errorf("%d octets, want 1", len(b)))
				return true
			}
			reason = &b[0]
		case fieldUser:
			user = f.wrapped("user-information", 0x04)
		default:
			return false
		}
		return true
	})
	return reason, user
}

func appendRelease(dst []byte, tag byte, reason *uint8, user []byte) ([]byte, error) {
	var f []byte
	if reason != nil {
		f = append(f, 0x80, 1, *reason)
	}
	return finish(dst, tag, appendWrapped(f, fieldUser, 0x04, user))
}

// AppendBinary appends the encoding. It fails where the fields exceed 65,535 octets.
func (p RLRQ) AppendBinary(dst []byte) ([]byte, error) {
	return appendRelease(dst, TagRLRQ, p.Reason, p.UserInformation)
}

// AppendBinary appends the encoding. It fails where the fields exceed 65,535 octets.
func (p RLRE) AppendBinary(dst []byte) ([]byte, error) {
	return appendRelease(dst, TagRLRE, p.Reason, p.UserInformation)
}

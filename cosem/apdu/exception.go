package apdu

import "fmt"

// ExceptionResponse refuses a service as such. It is an error, too.
type ExceptionResponse struct {
	State   uint8 // 1 service not allowed, 2 service unknown
	Service ServiceException
	Counter uint32 // the invocation counter that is expected, for InvocationCounterError
}

// ServiceException is the reason of an exception-response.
type ServiceException uint8

// The reasons of IEC 62056-5-3.
const (
	OperationNotPossible   ServiceException = 1
	ServiceNotSupported    ServiceException = 2
	OtherReason            ServiceException = 3
	PDUTooLong             ServiceException = 4
	DecipheringError       ServiceException = 5
	InvocationCounterError ServiceException = 6
)

// String returns the name of the standard.
func (s ServiceException) String() string {
	names := [...]string{1: "operation-not-possible", "service-not-supported", "other-reason", "pdu-too-long",
		"deciphering-error", "invocation-counter-error"}
	if int(s) < len(names) && s > 0 {
		return names[s]
	}
	return fmt.Sprintf("service-error %d", uint8(s))
}

// Name returns "exception-response".
func (ExceptionResponse) Name() string { return "exception-response" }

// Error describes the refusal.
func (p ExceptionResponse) Error() string {
	state := fmt.Sprintf("state-error %d", p.State)
	switch p.State {
	case 1:
		state = "service-not-allowed"
	case 2:
		state = "service-unknown"
	}
	if p.Service == InvocationCounterError {
		return fmt.Sprintf("cosem: exception-response: %s, %v, expected %d", state, p.Service, p.Counter)
	}
	return fmt.Sprintf("cosem: exception-response: %s, %v", state, p.Service)
}

func (r *reader) exceptionResponse() PDU {
	r.Uint8("tag")
	p := ExceptionResponse{State: r.Uint8("state-error"), Service: ServiceException(r.Uint8("service-error"))}
	if p.Service == InvocationCounterError {
		p.Counter = r.Uint32("invocation-counter")
	}
	return p
}

// AppendBinary appends the encoding. It never fails.
func (p ExceptionResponse) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(dst, TagExceptionResponse, p.State, byte(p.Service))
	if p.Service == InvocationCounterError {
		dst = appendUint32(dst, p.Counter)
	}
	return dst, nil
}

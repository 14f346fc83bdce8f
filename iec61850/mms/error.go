package mms

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/openusm/meter/internal/ber"
)

// ParseError says which field of which layer could not be read, and where.
type ParseError struct {
	Layer  string // "tpkt", "cotp", "session", "presentation", "acse" or "mms"
	Field  string
	Offset int // octets from the start of the slice given to the parser
	Err    error
}

func (e *ParseError) Error() string {
	layer := "mms: "
	if e.Layer != "mms" {
		layer += e.Layer + ": "
	}
	return fmt.Sprintf("%s%s at octet %d: %v", layer, e.Field, e.Offset, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

// layered turns an error of BER into one of a layer.
func layered(layer string, err error) error {
	if err == nil {
		return nil
	}
	var be *ber.Error
	if errors.As(err, &be) {
		return &ParseError{layer, be.Field, be.Offset, be.Err}
	}
	return err
}

// ErrTooLong reports something longer than the limits or the peer allow.
var ErrTooLong = errors.New("too long")

// AccessError is why one variable could not be read or written (DataAccessError).
type AccessError uint8

// The reasons.
const (
	ObjectInvalidated AccessError = iota
	HardwareFault
	TemporarilyUnavailable
	ObjectAccessDenied
	ObjectUndefined
	InvalidAddress
	TypeUnsupported
	TypeInconsistent
	ObjectAttributeInconsistent
	ObjectAccessUnsupported
	ObjectNonExistent
	ObjectValueInvalid
)

var accessNames = [...]string{"object-invalidated", "hardware-fault", "temporarily-unavailable", "object-access-denied", "object-undefined",
	"invalid-address", "type-unsupported", "type-inconsistent", "object-attribute-inconsistent", "object-access-unsupported",
	"object-non-existent", "object-value-invalid"}

func (e AccessError) Error() string {
	if int(e) < len(accessNames) {
		return "mms: " + accessNames[e]
	}
	return "mms: data access error " + strconv.Itoa(int(e))
}

// ServiceError is why a request failed: a class and a code within it.
type ServiceError struct{ Class, Code uint8 }

// The errors that this library sends.
var (
	ErrDomainMissing     = ServiceError{7, 2}  // access: object-non-existent
	ErrAccessDenied      = ServiceError{7, 3}  // access: object-access-denied
	ErrAccessUnsupported = ServiceError{7, 1}  // access: object-access-unsupported
	ErrDefinitionExists  = ServiceError{2, 5}  // definition: object-exists
	ErrDefinitionInvalid = ServiceError{2, 1}  // definition: object-undefined
	ErrResource          = ServiceError{3, 0}  // resource: other
	ErrCancelled         = ServiceError{5, 3}  // service-preempt: cancel
	ErrServiceOther      = ServiceError{4, 0}  // service: other
	ErrFileMissing       = ServiceError{11, 7} // file: file-non-existent
	ErrFileAccess        = ServiceError{11, 6} // file: file-access-denied
	ErrFileOther         = ServiceError{11, 0} // file: other
	ErrFilePosition      = ServiceError{11, 5} // file: position-invalid
)

var serviceClasses = [...]string{"vmd-state", "application-reference", "definition", "resource", "service", "service-preempt",
	"time-resolution", "access", "initiate", "conclude", "cancel", "file", "others"}

func (e ServiceError) Error() string {
	class := strconv.Itoa(int(e.Class))
	if int(e.Class) < len(serviceClasses) {
		class = serviceClasses[e.Class]
	}
	return fmt.Sprintf("mms: service error %s %d", class, e.Code)
}

// Reject is the refusal of a PDU that could not be understood.
type Reject struct {
	InvokeID    uint32
	HasInvokeID bool
	Kind        uint8 // 1 confirmed request, 2 response, 3 error, 4 unconfirmed, 5 PDU
	Reason      uint8
}

// The reasons that this library sends.
const (
	RejectConfirmed       = 1
	RejectPDU             = 5
	UnrecognizedService   = 1
	InvalidArgument       = 4
	MaxOutstandingReached = 6
)

func (r Reject) Error() string {
	return fmt.Sprintf("mms: rejected, kind %d reason %d", r.Kind, r.Reason)
}

package apdu

import "fmt"

// ConfirmedServiceError refuses to initiate an association, or an SN service. It is an error, too.
type ConfirmedServiceError struct {
	Service uint8 // 1 initiate, 5 read, 6 write
	Kind    ServiceErrorKind
	Code    uint8 // its meaning depends on Kind
}

// ServiceErrorKind is the choice of a ServiceError.
type ServiceErrorKind uint8

// ServiceErrorInitiate is the kind of a refusal to initiate an association.
const ServiceErrorInitiate ServiceErrorKind = 6

var serviceErrors = [...]struct {
	kind  string
	codes []string
}{
	0: {"application-reference", []string{"other", "time-elapsed", "application-unreachable", "application-reference-invalid",
		"application-context-unsupported", "provider-communication-error", "deciphering-error"}},
	1: {"hardware-resource", []string{"other", "memory-unavailable", "processor-resource-unavailable", "mass-storage-unavailable",
		"other-resource-unavailable"}},
	2:  {"vde-state-error", []string{"other", "no-dlms-context", "loading-data-set", "status-nochange", "status-inoperable"}},
	3:  {"service", []string{"other", "pdu-size", "service-unsupported"}},
	4:  {"definition", []string{"other", "object-undefined", "object-class-inconsistent", "object-attribute-inconsistent"}},
	5:  {"access", []string{"other", "scope-of-access-violated", "object-access-violated", "hardware-fault", "object-unavailable"}},
	6:  {"initiate", []string{"other", "dlms-version-too-low", "incompatible-conformance", "pdu-size-too-short", "refused-by-the-VDE-handler"}},
	7:  {"load-data-set", nil},
	9:  {"task", nil},
	10: {"other", nil},
}

// Name returns "confirmed-service-error".
func (ConfirmedServiceError) Name() string { return "confirmed-service-error" }

// Error describes the refusal.
func (p ConfirmedServiceError) Error() string {
	service := fmt.Sprintf("service %d", p.Service)
	switch p.Service {
	case 1:
		service = "initiate"
	case 5:
		service = "read"
	case 6:
		service = "write"
	}
	kind, code := fmt.Sprintf("error %d", p.Kind), fmt.Sprintf("code %d", p.Code)
	if int(p.Kind) < len(serviceErrors) && serviceErrors[p.Kind].kind != "" {
		e := serviceErrors[p.Kind]
		kind = e.kind
		if int(p.Code) < len(e.codes) {
			code = e.codes[p.Code]
		}
	}
	return fmt.Sprintf("cosem: confirmed-service-error: %s refused: %s, %s", service, kind, code)
}

func (r *reader) confirmedServiceError() PDU {
	r.Uint8("tag")
	return ConfirmedServiceError{r.Uint8("service"), ServiceErrorKind(r.Uint8("service-error")), r.Uint8("value")}
}

// AppendBinary appends the encoding. It never fails.
func (p ConfirmedServiceError) AppendBinary(dst []byte) ([]byte, error) {
	return append(dst, TagConfirmedServiceError, p.Service, byte(p.Kind), p.Code), nil
}

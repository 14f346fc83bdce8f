package apdu

import (
	"encoding/hex"
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/obis"
)

// Note is called for a field of a PDU: where it lies, how deeply it is nested,
// its name and what it means.
type Note = func(offset, length, depth int, field, meaning string)

// Explain calls note for each field of the PDU at the start of b, in wire order,
// as far as it can be read, and returns the error at which reading broke.
// Ciphered contents are shown as they are; see package security.
func Explain(b []byte, note Note) error {
	_, _, err := explain(b, 0, note)
	return err
}

func explain(b []byte, depth int, note Note) (PDU, int, error) {
	r := newReader(b)
	r.note, r.level = note, depth
	return r.pdu()
}

// explainLeaf notes the contents of an ACSE field, and what the initiate in user-information says.
func (r *reader) explainLeaf(field string, at int, b []byte) {
	if field == "user-information" {
		_, _, _ = explain(b, r.level, func(off, n, depth int, f, meaning string) { r.note(at+off, n, depth, f, meaning) })
		return
	}
	meaning := hex.EncodeToString(b)
	switch field {
	case "application-context-name":
		meaning = oidMeaning(b, "LN without ciphering", "SN without ciphering", "LN with ciphering", "SN with ciphering")
	case "mechanism-name":
		if len(b) == 7 {
			meaning = Mechanism(b[6]).String()
		}
	case "result":
		meaning = choiceName(uint64(b[0])+1, "accepted", "rejected, permanently", "rejected, for now")
	case "result-source-diagnostic":
		meaning = Diagnostic{Code: b[0]}.String()
	case "sender-acse-requirements", "responder-acse-requirements":
		meaning = "authentication"
	}
	r.note(at, len(b), r.level, field, meaning)
}

func oidMeaning(b []byte, names ...string) string {
	if len(b) != 7 {
		return hex.EncodeToString(b)
	}
	return choiceName(uint64(b[6]), names...)
}

// Uint8 reads one octet.
func (r *reader) Uint8(field string) uint8 {
	at := r.Offset()
	v := r.Cursor.Uint8(field)
	r.tell(at, field, uint64(v))
	return v
}

// Uint16 reads two octets.
func (r *reader) Uint16(field string) uint16 {
	at := r.Offset()
	v := r.Cursor.Uint16(field)
	r.tell(at, field, uint64(v))
	return v
}

// Uint32 reads four octets.
func (r *reader) Uint32(field string) uint32 {
	at := r.Offset()
	v := r.Cursor.Uint32(field)
	r.tell(at, field, uint64(v))
	return v
}

// Bytes reads octets.
func (r *reader) Bytes(n int, field string) []byte {
	at := r.Offset()
	b := r.Cursor.Bytes(n, field)
	if r.note != nil && r.Err() == nil && n > 0 {
		r.note(at, n, r.level, field, octetsMeaning(field, b))
	}
	return b
}

// Rest reads all that is left.
func (r *reader) Rest() []byte { return r.Bytes(r.Len(), "contents") }

// tell notes a number.
func (r *reader) tell(at int, field string, v uint64) {
	if r.note != nil && r.Err() == nil {
		r.note(at, r.Offset()-at, r.level, field, numberMeaning(field, v))
	}
}

func numberMeaning(field string, v uint64) string {
	switch field {
	case "tag":
		return fmt.Sprintf("0x%02x %s", v, tagName(uint8(v)))
	case "class-id":
		return fmt.Sprintf("%d %v", v, cosem.Class(v))
	case "data-access-result":
		return cosem.DataAccessResult(v).String()
	case "attribute-id", "method-id":
		return fmt.Sprint(int8(v))
	case "conformance":
		return Conformance(v & 0xFFFFFF).String()
	case "invoke-id-and-priority":
		return invokeMeaning(v&15, v&uint64(Confirmed) != 0, v&uint64(HighPriority) != 0)
	case "long-invoke-id-and-priority":
		return invokeMeaning(v&0xFFFFFF, v&uint64(LongConfirmed) != 0, v&uint64(LongHighPriority) != 0)
	case "get-request":
		return choiceName(v, "normal", "next", "with-list")
	case "get-response":
		return choiceName(v, "normal", "with-datablock", "with-list")
	case "set-request":
		return choiceName(v, "normal", "with-first-datablock", "with-datablock", "with-list", "with-list-and-first-datablock")
	case "set-response":
		return choiceName(v, "normal", "datablock", "last-datablock", "last-datablock-with-list", "with-list")
	case "action-request":
		return choiceName(v, "normal", "next-pblock", "with-list", "with-first-pblock", "with-list-and-first-pblock", "with-pblock")
	case "action-response":
		return choiceName(v, "normal", "with-pblock", "with-list", "next-pblock")
	case "service-error":
		return ServiceException(v).String()
	}
	return fmt.Sprint(v)
}

func invokeMeaning(id uint64, confirmed, high bool) string {
	s := fmt.Sprintf("invocation %d", id)
	if confirmed {
		s += ", confirmed"
	}
	if high {
		s += ", high priority"
	}
	return s
}

func choiceName(v uint64, names ...string) string {
	if v >= 1 && v <= uint64(len(names)) {
		return names[v-1]
	}
	return fmt.Sprint(v)
}

func octetsMeaning(field string, b []byte) string {
	if len(b) == 6 && field == "instance-id" {
		c := obis.Code(b)
		return (c.String() + " " + obis.Describe(c))
	}
	if field == "date-time" {
		if t, ok := cosem.ParseTime(b); ok {
			return t.String()
		}
	}
	return hex.EncodeToString(b)
}

var tagNames = map[uint8]string{
	TagInitiateRequest: "initiate-request", TagReadRequest: "read-request", TagWriteRequest: "write-request",
	TagInitiateResponse: "initiate-response", TagReadResponse: "read-response", TagWriteResponse: "write-response",
	TagConfirmedServiceError: "confirmed-service-error", TagDataNotification: "data-notification",
	TagUnconfirmedWrite: "unconfirmed-write-request", TagInformationReport: "information-report-request",
	TagAARQ: "AARQ", TagAARE: "AARE", TagRLRQ: "RLRQ", TagRLRE: "RLRE",
	TagGetRequest: "get-request", TagSetRequest: "set-request", TagEventNotification: "event-notification-request",
	TagActionRequest: "action-request", TagGetResponse: "get-response", TagSetResponse: "set-response",
	TagActionResponse: "action-response", TagExceptionResponse: "exception-response",
	TagAccessRequest: "access-request", TagAccessResponse: "access-response",
	TagGeneralGloCiphering: "general-glo-ciphering", TagGeneralDedCiphering: "general-ded-ciphering",
	TagGeneralCiphering: "general-ciphering", TagGeneralSigning: "general-signing",
	TagGeneralBlockTransfer: "general-block-transfer", TagGatewayRequest: "gateway-request", TagGatewayResponse: "gateway-response",
}

func tagName(tag uint8) string {
	if name := cipheredNames[tag]; name != "" {
		return name
	}
	return tagNames[tag]
}

package apdu

import (
	"fmt"
	"strings"
)

// Conformance is the set of services that a side knows; bit 0 of the standard is the most significant of 24.
type Conformance uint32

// The services of a Conformance.
const (
	GeneralProtection   Conformance = 1 << (23 - 1)
	GeneralBlocks       Conformance = 1 << (23 - 2)
	ServiceRead         Conformance = 1 << (23 - 3)
	ServiceWrite        Conformance = 1 << (23 - 4)
	UnconfirmedWrites   Conformance = 1 << (23 - 5)
	DeltaValueEncoding  Conformance = 1 << (23 - 6)
	Attribute0WithSet   Conformance = 1 << (23 - 8)
	PriorityManagement  Conformance = 1 << (23 - 9)
	Attribute0WithGet   Conformance = 1 << (23 - 10)
	BlockTransferGet    Conformance = 1 << (23 - 11)
	BlockTransferSet    Conformance = 1 << (23 - 12)
	BlockTransferAction Conformance = 1 << (23 - 13)
	MultipleReferences  Conformance = 1 << (23 - 14)
	ServiceInformation  Conformance = 1 << (23 - 15)
	ServiceNotification Conformance = 1 << (23 - 16)
	ServiceAccess       Conformance = 1 << (23 - 17)
	ParameterizedAccess Conformance = 1 << (23 - 18)
	ServiceGet          Conformance = 1 << (23 - 19)
	ServiceSet          Conformance = 1 << (23 - 20)
	SelectiveAccess     Conformance = 1 << (23 - 21)
	ServiceEvent        Conformance = 1 << (23 - 22)
	ServiceAction       Conformance = 1 << 0
)

var conformanceNames = [24]string{
	"reserved", "general-protection", "general-block-transfer", "read", "write", "unconfirmed-write", "delta-value-encoding", "reserved",
	"attribute0-supported-with-set", "priority-mgmt-supported", "attribute0-supported-with-get", "block-transfer-with-get-or-read",
	"block-transfer-with-set-or-write", "block-transfer-with-action", "multiple-references", "information-report",
	"data-notification", "access", "parameterized-access", "get", "set", "selective-access", "event-notification", "action",
}

// String returns the names of the services, separated by spaces.
func (c Conformance) String() string {
	var names []string
	for i, name := range conformanceNames {
		if c&(1<<(23-i)) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// InitiateRequest proposes an xDLMS context; it travels in the user-information of an [AARQ].
type InitiateRequest struct {
	DedicatedKey    []byte // nil for none
	NoResponse      bool   // response-allowed is false
	Quality         *uint8 // proposed-quality-of-service
	Version         uint8  // 6
	ShortTag        bool   // conformance with the tag 5F alone, as some meters write it
	Conformance     Conformance
	MaxPDU          uint16 // octets that the client can receive, 0 for no limit
	explicitAllowed bool   // response-allowed true written out
}

// InitiateResponse accepts an xDLMS context; it travels in the user-information of an [AARE].
type InitiateResponse struct {
	Quality     *uint8 // negotiated-quality-of-service
	Version     uint8  // 6
	ShortTag    bool   // as in the request
	Conformance Conformance
	MaxPDU      uint16 // octets that the server can receive
	VAAName     uint16 // 0x0007 for LN referencing, 0xFA00 for SN
}

// The names of the VDE for LN and SN referencing.
const (
	VAANameLN = 0x0007
	VAANameSN = 0xFA00
)

// Name returns "initiate-request".
func (InitiateRequest) Name() string { return "initiate-request" }

// Name returns "initiate-response".
func (InitiateResponse) Name() string { return "initiate-response" }

func (r *reader) initiateRequest() PDU {
	r.Uint8("tag")
	p := InitiateRequest{}
	if r.optional("dedicated-key") {
		p.DedicatedKey = r.octets("dedicated-key")
	}
	if r.optional("response-allowed") {
		p.explicitAllowed = r.boolean("response-allowed")
		p.NoResponse = !p.explicitAllowed
	}
	p.Quality = r.quality()
	p.Version = r.Uint8("dlms-version-number")
	p.Conformance, p.ShortTag = r.conformance()
	p.MaxPDU = r.Uint16("client-max-receive-pdu-size")
	return p
}

func (r *reader) initiateResponse() PDU {
	r.Uint8("tag")
	p := InitiateResponse{Quality: r.quality(), Version: r.Uint8("dlms-version-number")}
	p.Conformance, p.ShortTag = r.conformance()
	p.MaxPDU = r.Uint16("server-max-receive-pdu-size")
	p.VAAName = r.Uint16("vaa-name")
	return p
}

func (r *reader) quality() *uint8 {
	if !r.optional("quality-of-service") {
		return nil
	}
	q := r.Uint8("quality-of-service")
	return &q
}

// conformance reads 5F 1F 04 00 and three octets; some meters leave out 1F.
func (r *reader) conformance() (c Conformance, short bool) {
	at := r.Offset()
	tag, next := r.Uint8("conformance-tag"), r.Uint8("conformance-tag")
	if short = next == 0x04; !short && r.Err() == nil && next == 0x1F {
		next = r.Uint8("conformance-tag")
	}
	word := r.Uint32("conformance")
	if r.Err() == nil && (tag != 0x5F || next != 0x04 || word>>24 != 0) {
		r.Fail("conformance", at, fmt.Errorf("no bit-string of 24 bits: %w", errTag))
	}
	return Conformance(word), short
}

func appendConformance(dst []byte, c Conformance, short bool) []byte {
	dst = append(dst, 0x5F)
	if !short {
		dst = append(dst, 0x1F)
	}
	return append(dst, 0x04, 0, byte(c>>16), byte(c>>8), byte(c))
}

func appendQuality(dst []byte, q *uint8) []byte {
	if q == nil {
		return append(dst, 0)
	}
	return append(dst, 1, *q)
}

// AppendBinary appends the encoding. It never fails.
func (p InitiateRequest) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(dst, TagInitiateRequest)
	if p.DedicatedKey == nil {
		dst = append(dst, 0)
	} else {
		dst = appendOctets(append(dst, 1), p.DedicatedKey)
	}
	switch {
	case p.NoResponse:
		dst = append(dst, 1, 0)
	case p.explicitAllowed:
		dst = append(dst, 1, 1)
	default:
		dst = append(dst, 0)
	}
	dst = append(appendQuality(dst, p.Quality), p.Version)
	dst = appendConformance(dst, p.Conformance, p.ShortTag)
	return append(dst, byte(p.MaxPDU>>8), byte(p.MaxPDU)), nil
}

// AppendBinary appends the encoding. It never fails.
func (p InitiateResponse) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(appendQuality(append(dst, TagInitiateResponse), p.Quality), p.Version)
	dst = appendConformance(dst, p.Conformance, p.ShortTag)
	return append(dst, byte(p.MaxPDU>>8), byte(p.MaxPDU), byte(p.VAAName>>8), byte(p.VAAName)), nil
}

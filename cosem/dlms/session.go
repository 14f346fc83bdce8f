package dlms

import (
	"crypto/subtle"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/obis"
)

// Device is a logical device: what a [Server] shows. Its methods are called
// from one goroutine for each connection.
type Device interface {
	// Objects returns the objects that an association may see, with access rights.
	Objects(p *Partner) []cosem.Object
	// Get reads an attribute; the selection is nil for the whole of it.
	Get(p *Partner, a cosem.Attribute, s *cosem.Selection) (cosem.Data, cosem.DataAccessResult)
}

// Partner is the client to which an association belongs.
type Partner struct {
	Client uint16 // SAP
	Server uint16 // logical device
	Auth   apdu.Mechanism
}

// Access is one way to associate with a server.
type Access struct {
	Client   uint16 // SAP for which it holds; zero means any
	Auth     apdu.Mechanism
	Password []byte
}

// session is the server's side of the associations of one client. It does no I/O.
type session struct {
	cfg     *ServerConfig
	device  Device
	partner Partner

	open        bool
	pending     bool // an HLS handshake is under way
	conformance apdu.Conformance
	maxSend     int
	long        longGet
	out         []byte
}

// longGet is an answer that is fetched block by block.
type longGet struct {
	raw    []byte
	number uint32
	active bool
}

func newSession(cfg *ServerConfig, device Device, client, server uint16) *session {
	return &session{cfg: cfg, device: device, partner: Partner{Client: client, Server: server}}
}

// handle answers an APDU; the answer is empty where there is none. It is valid until the next call.
func (s *session) handle(b []byte) []byte {
	p, err := parse(b)
	if err != nil {
		return s.answer(apdu.ExceptionResponse{State: 2, Service: apdu.OtherReason})
	}
	switch p := p.(type) {
	case apdu.AARQ:
		return s.answer(s.associate(p))
	case apdu.RLRQ:
		s.close()
		reason := uint8(0)
		return s.answer(apdu.RLRE{Reason: &reason})
	}
	if !s.open {
		return s.answer(apdu.ExceptionResponse{State: 1, Service: apdu.OperationNotPossible})
	}
	switch p := p.(type) {
	case apdu.GetRequestNormal:
		return s.get(p)
	case apdu.GetRequestNext:
		return s.getNext(p)
	case apdu.GetRequestWithList:
		return s.getList(p)
	}
	return s.answer(apdu.ExceptionResponse{State: 2, Service: apdu.ServiceNotSupported})
}

func (s *session) close() {
	s.open, s.pending, s.long = false, false, longGet{}
}

func (s *session) answer(p apdu.PDU) []byte {
	out, err := p.AppendBinary(s.out[:0])
	if err != nil {
		out, _ = apdu.ExceptionResponse{State: 1, Service: apdu.OtherReason}.AppendBinary(s.out[:0])
	}
	s.out = out
	return out
}

// associate answers an AARQ.
func (s *session) associate(p apdu.AARQ) apdu.AARE {
	s.close()
	refuse := func(code uint8) apdu.AARE {
		return apdu.AARE{Context: p.Context, Result: apdu.RejectedPermanent, Diagnostic: apdu.Diagnostic{Code: code}}
	}
	if p.Context != apdu.ContextLN {
		return refuse(apdu.DiagnosticContextNotSupported)
	}
	access, code := s.access(p)
	if code != apdu.DiagnosticNull {
		return refuse(code)
	}
	user, _, err := apdu.Parse(p.UserInformation)
	initiate, ok := user.(apdu.InitiateRequest)
	if err != nil || !ok {
		return refuse(apdu.DiagnosticNoReason)
	}
	if e, bad := s.negotiate(initiate); bad {
		aare := refuse(apdu.DiagnosticNoReason)
		aare.UserInformation, _ = e.AppendBinary(nil)
		return aare
	}
	s.open, s.partner.Auth = true, access.Auth
	aare := apdu.AARE{Context: p.Context}
	aare.UserInformation, _ = apdu.InitiateResponse{
		Version: 6, Conformance: s.conformance, MaxPDU: s.cfg.MaxPDU, VAAName: apdu.VAANameLN,
	}.AppendBinary(nil)
	return aare
}

// access finds the access that an AARQ may use.
func (s *session) access(p apdu.AARQ) (Access, uint8) {
	if p.Authentication && p.Mechanism == apdu.MechanismNone && len(p.Value) > 0 {
		return Access{}, apdu.DiagnosticMechanismRequired
	}
	known := false
	for _, a := range s.cfg.Access {
		if a.Client != 0 && a.Client != s.partner.Client {
			continue
		}
		known = true
		if a.Auth != p.Mechanism {
			continue
		}
		if a.Auth == apdu.MechanismLow && subtle.ConstantTimeCompare(a.Password, p.Value) != 1 {
			return Access{}, apdu.DiagnosticAuthenticationFailure
		}
		return a, apdu.DiagnosticNull
	}
	switch {
	case !known:
		return Access{}, apdu.DiagnosticNoReason
	case p.Mechanism == apdu.MechanismNone:
		return Access{}, apdu.DiagnosticAuthenticationRequired
	}
	return Access{}, apdu.DiagnosticMechanismNotRecognised
}

// negotiate agrees on services and sizes.
func (s *session) negotiate(p apdu.InitiateRequest) (e apdu.ConfirmedServiceError, bad bool) {
	e = apdu.ConfirmedServiceError{Service: 1, Kind: apdu.ServiceErrorInitiate}
	switch s.conformance = p.Conformance & s.cfg.Conformance; {
	case p.Version < 6:
		e.Code = 1
	case s.conformance == 0:
		e.Code = 2
	case p.MaxPDU > 0 && p.MaxPDU < minPDU:
		e.Code = 3
	default:
		s.maxSend = int(p.MaxPDU)
		if p.MaxPDU == 0 {
			s.maxSend = 0xFFFF
		}
		return e, false
	}
	return e, true
}

const minPDU = 12

// read reads one attribute, that of the association itself or one of the device.
func (s *session) read(g apdu.Get) apdu.Result {
	a := g.Attribute
	if a.Class == cosem.ClassAssociationLN && a.Name == associationName {
		return s.readAssociation(a.Index)
	}
	d, code := s.device.Get(&s.partner, a, g.Selection)
	return apdu.Result{Data: d, Code: code}
}

// associationVersionServed is the version of Association LN that the server has.
const associationVersionServed = 1

func (s *session) readAssociation(index int8) apdu.Result {
	switch index {
	case 1:
		return apdu.Result{Data: cosem.Name(associationName)}
	case 2:
		self := cosem.Object{Class: cosem.ClassAssociationLN, Version: associationVersionServed, Name: associationName}
		for i := range int8(9) {
			self.Attributes = append(self.Attributes, cosem.AttributeAccess{Index: i + 1, Mode: cosem.AccessRead})
		}
		objects := append([]cosem.Object{self}, s.device.Objects(&s.partner)...)
		return apdu.Result{Data: cosem.ObjectList(objects, associationVersionServed)}
	case 3:
		return apdu.Result{Data: cosem.Structure(cosem.Int8(int8(s.partner.Client)), cosem.Uint16(s.partner.Server))}
	case 4:
		return apdu.Result{Data: cosem.OctetString([]byte{0x60, 0x85, 0x74, 0x05, 0x08, 0x01, byte(apdu.ContextLN)})}
	case 5:
		c := s.conformance
		return apdu.Result{Data: cosem.Structure(
			cosem.BitString([]byte{byte(c >> 16), byte(c >> 8), byte(c)}, 24),
			cosem.Uint16(s.cfg.MaxPDU), cosem.Uint16(uint16(s.maxSend)), cosem.Uint8(6), cosem.Int8(0), cosem.OctetString(nil))}
	case 6:
		return apdu.Result{Data: cosem.OctetString([]byte{0x60, 0x85, 0x74, 0x05, 0x08, 0x02, byte(s.partner.Auth)})}
	case 7:
		return apdu.Result{Code: cosem.ReadWriteDenied}
	case 8:
		return apdu.Result{Data: cosem.Enum(2)}
	case 9:
		return apdu.Result{Data: cosem.Name(obis.Code{0, 0, 43, 0, 0, 255})}
	}
	return apdu.Result{Code: cosem.ObjectUndefined}
}

func (s *session) get(p apdu.GetRequestNormal) []byte {
	result := s.read(p.Get)
	out := s.answer(apdu.GetResponseNormal{Invoke: p.Invoke, Result: result})
	if len(out) <= s.maxSend {
		return out
	}
	return s.startLong(p.Invoke, out[4:])
}

func (s *session) getList(p apdu.GetRequestWithList) []byte {
	results := make([]apdu.Result, len(p.List))
	for i, g := range p.List {
		results[i] = s.read(g)
	}
	out := s.answer(apdu.GetResponseWithList{Invoke: p.Invoke, List: results})
	if len(out) <= s.maxSend {
		return out
	}
	return s.startLong(p.Invoke, out[3:])
}

// startLong answers with the first of many blocks.
func (s *session) startLong(invoke apdu.InvokeID, raw []byte) []byte {
	if s.conformance&apdu.BlockTransferGet == 0 {
		return s.answer(apdu.GetResponseNormal{Invoke: invoke, Result: apdu.Result{Code: cosem.DataBlockUnavailable}})
	}
	s.long = longGet{raw: append([]byte(nil), raw...), active: true}
	return s.block(invoke)
}

func (s *session) getNext(p apdu.GetRequestNext) []byte {
	code := cosem.Success
	switch {
	case !s.long.active:
		code = cosem.NoLongGetInProgress
	case p.Block != s.long.number:
		code = cosem.DataBlockNumberInvalid
	default:
		return s.block(p.Invoke)
	}
	number := s.long.number
	s.long = longGet{}
	return s.answer(apdu.GetResponseWithBlock{Invoke: p.Invoke, Block: apdu.Block{Last: true, Number: number}, Code: code})
}

// blockOverhead is what a get-response with a block has besides raw data.
const blockOverhead = 3 + 1 + 4 + 1 + 3

func (s *session) block(invoke apdu.InvokeID) []byte {
	n := min(len(s.long.raw), max(1, s.maxSend-blockOverhead))
	s.long.number++
	b := apdu.Block{Last: n == len(s.long.raw), Number: s.long.number, Raw: s.long.raw[:n]}
	s.long.raw = s.long.raw[n:]
	if b.Last {
		s.long.active = false
	}
	return s.answer(apdu.GetResponseWithBlock{Invoke: invoke, Block: b})
}

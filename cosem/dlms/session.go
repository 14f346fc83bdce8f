package dlms

import (
	"crypto/subtle"
	"errors"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

// Device is a logical device: what a [Server] shows. Its methods are called by
// the goroutines of all connections.
type Device interface {
	// Objects returns the objects that an association may see, with access rights.
	Objects(p *Partner) []cosem.Object
	// Get reads an attribute; the selection is nil for the whole of it.
	Get(p *Partner, a cosem.Attribute, s *cosem.Selection) (cosem.Data, cosem.DataAccessResult)
	// Set writes an attribute. The data are valid until it returns.
	Set(p *Partner, a cosem.Attribute, s *cosem.Selection, d cosem.Data) cosem.DataAccessResult
	// Action invokes a method; parameters and what it returns may be nil.
	Action(p *Partner, m cosem.Method, parameters *cosem.Data) (*cosem.Data, cosem.ActionResult)
}

// Partner is the client to which an association belongs.
type Partner struct {
	Client uint16 // SAP
	Server uint16 // logical device
	Auth   apdu.Mechanism
	Title  security.Title // system title; zero where the client has none
	User   uint8          // the client's user id, 0 for none
	// Access is what the client associated by. It must not be changed.
	Access *Access
}

// Access is one way to associate with a server.
type Access struct {
	Client   uint16 // SAP for which it holds; zero means any
	Auth     apdu.Mechanism
	Password []byte // of low level security, and the secret of the HLS mechanisms that need one
	// Security holds the keys; nil allows contexts without ciphering only. A zero
	// Peer takes any client that knows the keys.
	Security *Security
	// Require is how requests must be protected at least; zero means not at all.
	Require security.Control
}

// session is the server's side of the associations of one client. It does no I/O.
type session struct {
	cfg     *ServerConfig
	device  Device
	partner Partner

	open        bool
	pending     bool // a handshake is under way
	context     apdu.Context
	channel     *channel
	handshake   security.Handshake
	conformance apdu.Conformance
	maxSend     int
	protection  protection // of the last request, in which kind the answer is given
	long        longAnswer
	request     longRequest
	names       *shortNames
	blocks      *transfer
	out         []byte
	frames      [][]byte
}

func newSession(cfg *ServerConfig, device Device, client, server uint16) *session {
	return &session{cfg: cfg, device: device, partner: Partner{Client: client, Server: server}, channel: &channel{}, maxSend: 0xFFFF}
}

func (s *session) close() {
	*s = session{
		cfg: s.cfg, device: s.device, partner: Partner{Client: s.partner.Client, Server: s.partner.Server},
		channel: &channel{}, maxSend: 0xFFFF, out: s.out, frames: s.frames[:0],
	}
}

// handle answers an APDU with APDUs of its own, none where there is no answer.
// They are valid until the next call.
func (s *session) handle(b []byte) [][]byte {
	s.frames = s.frames[:0]
	if len(b) == 0 {
		return nil
	}
	if b[0] == apdu.TagGatewayRequest {
		return s.gateway(b)
	}
	if b[0] == apdu.TagGeneralBlockTransfer {
		return s.block(b)
	}
	s.blocks = nil
	answer := s.whole(b)
	if len(answer) == 0 {
		return nil
	}
	if len(answer) > s.maxSend && s.conformance&apdu.GeneralBlocks != 0 {
		t := newTransfer(s.cfg.Window, s.maxSend)
		s.blocks = &t
		t.send(answer)
		s.frames = t.poll(s.frames)
		return s.frames
	}
	s.frames = append(s.frames, answer)
	return s.frames
}

// gateway answers a request that came through a gateway protocol header, in kind.
func (s *session) gateway(b []byte) [][]byte {
	p, err := parse(b)
	g, ok := p.(apdu.Gateway)
	if err != nil || !ok || len(g.PDU) == 0 || g.PDU[0] == apdu.TagGatewayRequest {
		s.frames = append(s.frames, s.plain(apdu.ExceptionResponse{State: 2, Service: apdu.OtherReason}))
		return s.frames
	}
	answers := s.handle(g.PDU)
	for i, answer := range answers {
		answers[i], _ = apdu.Gateway{Response: true, Network: g.Network, Address: g.Address, PDU: answer}.AppendBinary(nil)
	}
	return answers
}

// block takes a block of a general block transfer.
func (s *session) block(b []byte) [][]byte {
	p, err := parse(b)
	if err != nil || !s.open || s.conformance&apdu.GeneralBlocks == 0 {
		s.frames = append(s.frames, s.plain(apdu.ExceptionResponse{State: 1, Service: apdu.OperationNotPossible}))
		return s.frames
	}
	g := p.(apdu.GeneralBlockTransfer)
	if s.blocks == nil || g.Number == 1 && g.Ack == 0 && len(g.Data) > 0 { // a request begins
		t := newTransfer(s.cfg.Window, s.maxSend)
		t.limit = s.cfg.MaxLong
		s.blocks = &t
	}
	whole, done, err := s.blocks.feed(g)
	if err != nil {
		s.blocks = nil
		s.frames = append(s.frames, s.plain(apdu.ExceptionResponse{State: 1, Service: apdu.PDUTooLong}))
		return s.frames
	}
	if done {
		if answer := s.whole(whole); len(answer) > 0 {
			s.blocks.send(answer)
		} else {
			s.blocks.owed = true
		}
	}
	s.frames = s.blocks.poll(s.frames)
	return s.frames
}

// whole answers an APDU that is complete.
func (s *session) whole(b []byte) []byte {
	switch b[0] {
	case apdu.TagAARQ:
		return s.associate(b)
	case apdu.TagRLRQ:
		return s.release(b)
	}
	plain, how, err := s.channel.unprotect(b)
	if err != nil {
		return s.plain(s.refusal(err))
	}
	s.protection = how
	p, err := parse(plain)
	if err != nil {
		return s.reply(apdu.ExceptionResponse{State: 2, Service: apdu.OtherReason})
	}
	if !s.open && !(s.pending && s.isProof(p)) {
		return s.plain(apdu.ExceptionResponse{State: 1, Service: apdu.OperationNotPossible})
	}
	if !s.isProof(p) && !s.protected(how) {
		return s.plain(apdu.ExceptionResponse{State: 1, Service: apdu.OperationNotPossible})
	}
	return s.serve(p)
}

// refusal says why a ciphered request could not be deciphered.
func (s *session) refusal(err error) apdu.ExceptionResponse {
	e := apdu.ExceptionResponse{State: 1, Service: apdu.DecipheringError}
	if errors.Is(err, security.ErrReplay) {
		e.Service = apdu.InvocationCounterError
		if c, ok := s.channel.counters.(interface {
			Expected(security.CounterID) uint32
		}); ok {
			e.Counter = c.Expected(security.CounterID{Title: s.channel.peer, Receive: true})
		}
	}
	return e
}

// protected reports whether a request is protected as its access requires.
func (s *session) protected(how protection) bool {
	need := security.Control(0)
	if s.partner.Access != nil {
		need = s.partner.Access.Require
	}
	if need&security.Authenticated != 0 && how.trust != security.Verified {
		return false
	}
	return how.control&need == need
}

// isProof reports whether a PDU is the invocation of reply_to_HLS_authentication.
func (s *session) isProof(p apdu.PDU) bool {
	if r, ok := p.(apdu.ReadRequest); ok && s.context.SN() && len(r.List) == 1 {
		return r.List[0].Kind == apdu.VariableParameterized && r.List[0].Name == baseAssociationSN+replyToHLS
	}
	a, ok := p.(apdu.ActionRequestNormal)
	return ok && a.Method == cosem.Method{Class: cosem.ClassAssociationLN, Name: associationName, Index: 1}
}

// serve answers a request.
func (s *session) serve(p apdu.PDU) []byte {
	if s.context.SN() {
		return s.serveSN(p)
	}
	need := func(c apdu.Conformance) bool { return s.conformance&c == c }
	switch p := p.(type) {
	case apdu.GetRequestNormal:
		if need(apdu.ServiceGet) {
			return s.get(p)
		}
	case apdu.GetRequestNext:
		if need(apdu.ServiceGet | apdu.BlockTransferGet) {
			return s.getNext(p)
		}
	case apdu.GetRequestWithList:
		if need(apdu.ServiceGet | apdu.MultipleReferences) {
			return s.getList(p)
		}
	case apdu.SetRequestNormal, apdu.SetRequestWithList:
		if need(apdu.ServiceSet) {
			return s.set(p)
		}
	case apdu.SetRequestFirstBlock, apdu.SetRequestBlock, apdu.SetRequestWithListFirstBlock:
		if need(apdu.ServiceSet | apdu.BlockTransferSet) {
			return s.setBlock(p)
		}
	case apdu.ActionRequestNormal:
		if need(apdu.ServiceAction) || s.pending {
			return s.actionNormal(p)
		}
	case apdu.ActionRequestWithList:
		if need(apdu.ServiceAction | apdu.MultipleReferences) {
			return s.actionList(p)
		}
	case apdu.ActionRequestFirstBlock, apdu.ActionRequestBlock, apdu.ActionRequestWithListFirstBlock:
		if need(apdu.ServiceAction | apdu.BlockTransferAction) {
			return s.actionBlock(p)
		}
	case apdu.ActionRequestNext:
		if need(apdu.ServiceAction | apdu.BlockTransferAction) {
			return s.actionNext(p)
		}
	case apdu.AccessRequest:
		if need(apdu.ServiceAccess) {
			return s.access(p)
		}
	}
	return s.reply(apdu.ExceptionResponse{State: 2, Service: apdu.ServiceNotSupported})
}

// plain returns the encoding of a PDU.
func (s *session) plain(p apdu.PDU) []byte {
	out, err := p.AppendBinary(s.out[:0])
	if err != nil {
		out, _ = apdu.ExceptionResponse{State: 1, Service: apdu.OtherReason}.AppendBinary(s.out[:0])
	}
	s.out = out
	return out
}

// reply returns an answer, protected as the request was.
func (s *session) reply(p apdu.PDU) []byte {
	plain := s.plain(p)
	how := s.protection
	how.control &^= security.Broadcast
	how.signed = how.signed && s.channel.sec != nil && s.channel.sec.Signing != nil
	if how.control&(security.Authenticated|security.Encrypted) == 0 && !how.signed {
		return plain
	}
	if how.key != nil && how.key.Kind == apdu.KeyWrapped && len(s.channel.sec.Master) == 0 {
		how.key = nil
	}
	out, err := s.channel.protect(plain, how)
	if err != nil {
		s.cfg.Logger.Error("answer cannot be protected", "error", err)
		return s.plain(apdu.ExceptionResponse{State: 1, Service: apdu.OtherReason})
	}
	return out
}

// room returns how many octets a plain answer may have.
func (s *session) room() int {
	n := s.maxSend
	if s.protection.control&(security.Authenticated|security.Encrypted) != 0 {
		n -= 1 + 1 + security.TitleLen + 4 + 5 + 12
	}
	if s.protection.signed || s.protection.style == StyleCiphering {
		n -= 400
	}
	return max(n, minPDU)
}

// fits reports whether a plain answer can be given in one piece, or will be cut
// by general block transfer.
func (s *session) fits(n int) bool { return s.conformance&apdu.GeneralBlocks != 0 || n <= s.room() }

// associate answers an AARQ.
func (s *session) associate(b []byte) []byte {
	parsed, err := parse(b)
	if err != nil {
		return s.plain(apdu.ExceptionResponse{State: 2, Service: apdu.OtherReason})
	}
	p := parsed.(apdu.AARQ)
	s.close()
	aare, err := s.accept(p)
	if err != nil {
		answer := s.refusal(err)
		s.close()
		return s.plain(answer)
	}
	if aare.Result != apdu.Accepted {
		s.open, s.pending = false, false
	}
	return s.plain(aare)
}

func refuse(p apdu.AARQ, code uint8) apdu.AARE {
	return apdu.AARE{Context: p.Context, Result: apdu.RejectedPermanent, Diagnostic: apdu.Diagnostic{Code: code}}
}

// accept decides on an AARQ. The error is [security.ErrReplay], which tells the
// client more than a refusal.
func (s *session) accept(p apdu.AARQ) (apdu.AARE, error) {
	if p.Context < apdu.ContextLN || p.Context > apdu.ContextSNCiphered {
		return refuse(p, apdu.DiagnosticContextNotSupported), nil
	}
	access, code := s.allowed(p)
	if code != apdu.DiagnosticNull {
		return refuse(p, code), nil
	}
	s.partner.Auth, s.partner.Access, s.context = access.Auth, access, p.Context
	if len(p.CallingAPTitle) == security.TitleLen {
		s.partner.Title = security.Title(p.CallingAPTitle)
	}
	if len(p.CallingAEInvocation) == 1 {
		s.partner.User = p.CallingAEInvocation[0]
	}
	if !s.secure(p, access) {
		return refuse(p, apdu.DiagnosticNoReason), nil
	}
	plain, how, err := s.channel.unprotect(p.UserInformation)
	if errors.Is(err, security.ErrReplay) {
		return apdu.AARE{}, err
	}
	if err != nil {
		return s.initiateError(p, apdu.ConfirmedServiceError{Service: 1, Kind: 0, Code: 6}), nil
	}
	user, _, err := apdu.Parse(plain)
	initiate, ok := user.(apdu.InitiateRequest)
	if err != nil || !ok || !s.protected(how) {
		return refuse(p, apdu.DiagnosticNoReason), nil
	}
	if e, bad := s.negotiate(initiate); bad {
		return s.initiateError(p, e), nil
	}
	if len(initiate.DedicatedKey) > 0 {
		if how.control&security.Encrypted == 0 || s.channel.setDedicated(initiate.DedicatedKey) != nil {
			return refuse(p, apdu.DiagnosticNoReason), nil
		}
	}
	return s.opened(p, access, how), nil
}

func (s *session) initiateError(p apdu.AARQ, e apdu.ConfirmedServiceError) apdu.AARE {
	aare := refuse(p, apdu.DiagnosticNoReason)
	aare.UserInformation, _ = e.AppendBinary(nil)
	return aare
}

// secure sets the channel up for the keys of an access.
func (s *session) secure(p apdu.AARQ, access *Access) bool {
	sec := access.Security
	needed := p.Context.Ciphered() || access.Auth >= apdu.MechanismGMAC
	if !needed {
		return access.Require == 0
	}
	if sec == nil || len(p.CallingAPTitle) != security.TitleLen || sec.Peer != (security.Title{}) && sec.Peer != s.partner.Title {
		return false
	}
	own := *sec
	if own.Counters == nil {
		own.Counters = s.cfg.counters
	}
	if len(own.PeerSigning) == 0 && len(p.CallingAEQualifier) > 0 {
		own.PeerSigning, _ = security.PublicKeyOf(p.CallingAEQualifier)
	}
	c, err := newChannel(&own)
	if err != nil {
		s.cfg.Logger.Error("keys of an access", "error", err)
		return false
	}
	c.peer = s.partner.Title
	s.channel = c
	return !p.Context.Ciphered() || c.ciphers()
}

// opened returns the AARE that accepts.
func (s *session) opened(p apdu.AARQ, access *Access, how protection) apdu.AARE {
	aare := apdu.AARE{Context: p.Context}
	vaa := uint16(apdu.VAANameLN)
	if p.Context.SN() {
		vaa = apdu.VAANameSN
	}
	plain, _ := apdu.InitiateResponse{Version: 6, Conformance: s.conformance, MaxPDU: s.cfg.MaxPDU, VAAName: vaa}.AppendBinary(nil)
	if s.channel.sec != nil {
		aare.RespondingAPTitle = s.channel.own[:]
		aare.RespondingAEQual = s.channel.sec.Certificate
	}
	how.dedicated = false
	out, err := s.channel.protect(plain, how)
	if err != nil {
		return refuse(p, apdu.DiagnosticNoReason)
	}
	aare.UserInformation = append([]byte(nil), out...)
	s.open = true
	if !access.Auth.HLS() {
		return aare
	}
	s.open, s.pending = false, true
	challenge, err := security.NewChallenge(uint8(access.Auth))
	if err != nil || len(p.Value) < minChallenge || len(p.Value) > maxChallenge {
		return refuse(p, apdu.DiagnosticAuthenticationFailure)
	}
	s.handshake = security.Handshake{
		Mechanism: uint8(access.Auth), Secret: security.Key(access.Password),
		Peer: s.partner.Title, OwnChallenge: challenge, PeerChallenge: append([]byte(nil), p.Value...),
	}
	if sec := s.channel.sec; sec != nil {
		h := &s.handshake
		h.Own, h.Suite, h.Sealer, h.Signer, h.PeerPublic = s.channel.own, sec.Suite, s.channel.global, sec.Signing, sec.PeerSigning
	}
	aare.Diagnostic.Code = apdu.DiagnosticAuthenticationRequired
	aare.Authentication, aare.Mechanism, aare.Value = true, access.Auth, challenge
	return aare
}

// The lengths of a challenge that the standard allows.
const (
	minChallenge = 8
	maxChallenge = 64
)

// prove checks the client's proof and returns our own.
func (s *session) prove(parameters *cosem.Data) (*cosem.Data, cosem.ActionResult) {
	if !s.pending || parameters == nil {
		return nil, cosem.ActionResult(cosem.ReadWriteDenied)
	}
	s.pending = false
	proof, _ := parameters.Bytes()
	err := s.handshake.Check(proof)
	// The counter of the proof is below that of the message which carries it, where that is ciphered.
	if err == nil && s.handshake.CheckedCounter && s.protection.control == 0 {
		err = s.channel.counters.Accept(security.CounterID{Title: s.channel.peer, Receive: true}, s.handshake.LastCounter)
	}
	if err != nil {
		s.cfg.Logger.Warn("handshake failed", "client", s.partner.Client, "error", err)
		return nil, cosem.ActionResult(cosem.ReadWriteDenied)
	}
	if s.handshake.Mechanism == uint8(apdu.MechanismGMAC) {
		if s.handshake.OwnCounter, err = s.channel.counters.Next(security.CounterID{Title: s.channel.own}); err != nil {
			return nil, cosem.ActionResult(cosem.OtherReason)
		}
	}
	own, err := s.handshake.Answer()
	if err != nil {
		return nil, cosem.ActionResult(cosem.OtherReason)
	}
	s.open = true
	d := cosem.OctetString(own)
	return &d, 0
}

// allowed finds the access that an AARQ may use.
func (s *session) allowed(p apdu.AARQ) (*Access, uint8) {
	if p.Authentication && p.Mechanism == apdu.MechanismNone && len(p.Value) > 0 {
		return nil, apdu.DiagnosticMechanismRequired
	}
	known, wrong := false, false
	list := *s.cfg.access.Load()
	for i := range list {
		a := &list[i]
		if a.Client != 0 && a.Client != s.partner.Client {
			continue
		}
		known = true
		if a.Auth != p.Mechanism {
			continue
		}
		if a.Auth == apdu.MechanismLow && subtle.ConstantTimeCompare(a.Password, p.Value) != 1 {
			wrong = true
			continue
		}
		return a, apdu.DiagnosticNull
	}
	switch {
	case wrong:
		return nil, apdu.DiagnosticAuthenticationFailure
	case !known:
		return nil, apdu.DiagnosticNoReason
	case p.Mechanism == apdu.MechanismNone:
		return nil, apdu.DiagnosticAuthenticationRequired
	}
	return nil, apdu.DiagnosticMechanismNotRecognised
}

// negotiate agrees on services and sizes.
func (s *session) negotiate(p apdu.InitiateRequest) (e apdu.ConfirmedServiceError, bad bool) {
	e = apdu.ConfirmedServiceError{Service: 1, Kind: apdu.ServiceErrorInitiate}
	can := s.cfg.Conformance
	if s.context.SN() {
		can = s.cfg.ConformanceSN
	}
	switch s.conformance = p.Conformance & can; {
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

// release answers an RLRQ.
func (s *session) release(b []byte) []byte {
	reason := uint8(0)
	rlre := apdu.RLRE{Reason: &reason}
	p, err := parse(b)
	if err != nil {
		return s.plain(apdu.ExceptionResponse{State: 2, Service: apdu.OtherReason})
	}
	if user := p.(apdu.RLRQ).UserInformation; s.open && len(user) > 0 {
		if _, how, err := s.channel.unprotect(user); err == nil {
			plain, _ := apdu.InitiateResponse{Version: 6, Conformance: s.conformance, MaxPDU: s.cfg.MaxPDU, VAAName: apdu.VAANameLN}.AppendBinary(nil)
			if out, err := s.channel.protect(plain, how); err == nil {
				rlre.UserInformation = append([]byte(nil), out...)
			}
		}
	}
	s.close()
	return s.plain(rlre)
}

// read reads one attribute, that of the association itself or one of the device.
func (s *session) read(g apdu.Get) apdu.Result {
	a := g.Attribute
	if a.Class == cosem.ClassAssociationLN && a.Name == associationName {
		return s.readAssociation(a.Index)
	}
	d, code := s.device.Get(&s.partner, a, g.Selection)
	return apdu.Result{Data: d, Code: code}
}

// write writes one attribute.
func (s *session) write(g apdu.Get, d cosem.Data) cosem.DataAccessResult {
	if g.Attribute.Class == cosem.ClassAssociationLN && g.Attribute.Name == associationName {
		return cosem.ReadWriteDenied
	}
	return s.device.Set(&s.partner, g.Attribute, g.Selection, d)
}

// invoke invokes one method.
func (s *session) invoke(m cosem.Method, parameters *cosem.Data) apdu.Action {
	var d *cosem.Data
	var code cosem.ActionResult
	if m.Class == cosem.ClassAssociationLN && m.Name == associationName {
		code = cosem.ActionResult(cosem.ObjectUndefined)
		if m.Index == 1 {
			d, code = s.prove(parameters)
		}
	} else {
		d, code = s.device.Action(&s.partner, m, parameters)
	}
	a := apdu.Action{Code: code}
	if d != nil {
		a.Return = &apdu.Result{Data: *d}
	}
	return a
}

// associationVersionServed is the version of Association LN that the server has.
const associationVersionServed = 1

// associationObject is the entry of the association in its own object list.
func associationObject() cosem.Object {
	self := cosem.Object{Class: cosem.ClassAssociationLN, Version: associationVersionServed, Name: associationName}
	for i := range int8(9) {
		self.Attributes = append(self.Attributes, cosem.AttributeAccess{Index: i + 1, Mode: cosem.AccessRead})
	}
	self.Methods = []cosem.MethodAccess{{Index: 1, Mode: cosem.AccessRead}}
	return self
}

func (s *session) readAssociation(index int8) apdu.Result {
	switch index {
	case 1:
		return apdu.Result{Data: cosem.Name(associationName)}
	case 2:
		objects := append([]cosem.Object{associationObject()}, s.device.Objects(&s.partner)...)
		return apdu.Result{Data: cosem.ObjectList(objects, associationVersionServed)}
	case 3:
		return apdu.Result{Data: cosem.Structure(cosem.Int8(int8(s.partner.Client)), cosem.Uint16(s.partner.Server))}
	case 4:
		return apdu.Result{Data: cosem.OctetString([]byte{0x60, 0x85, 0x74, 0x05, 0x08, 0x01, byte(s.context)})}
	case 5:
		c := s.conformance
		return apdu.Result{Data: cosem.Structure(
			cosem.BitString([]byte{byte(c >> 16), byte(c >> 8), byte(c)}, 24),
			cosem.Uint16(s.cfg.MaxPDU), cosem.Uint16(uint16(min(s.maxSend, 0xFFFF))), cosem.Uint8(6), cosem.Int8(0), cosem.OctetString(nil))}
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

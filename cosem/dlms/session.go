package dlms

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/security"
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
	Remote string // the client's address; "" where the connection has none

	ctx context.Context
}

// Context returns the context of the connection, for what a device does that takes its time.
func (p *Partner) Context() context.Context {
	if p.ctx == nil {
		return context.Background()
	}
	return p.ctx
}

// stranger is a partner before it associates.
func (p *Partner) stranger() Partner {
	return Partner{Client: p.Client, Server: p.Server, Remote: p.Remote, ctx: p.ctx}
}

// Access is one way to associate with a server.
type Access struct {
	Name     string // of whom it is, for the device; "" is nobody in particular
	Client   uint16 // SAP for which it holds; zero means any
	Auth     apdu.Mechanism
	Password []byte // of low level security, and the secret of the HLS mechanisms that need one
	// Security holds the keys; nil allows contexts without ciphering only, and keys
	// only contexts with it (but for [Security.PlainContext]). A zero Peer takes
	// any client that knows the keys.
	Security *Security
	// Require is how requests must be protected at least; zero means what the keys
	// imply: authenticated and encrypted, or encrypted only where there is no
	// authentication key.
	Require security.Control
}

// Policed is a [Device] with a security policy that can be strengthened while it
// serves, as by method security_activate of a Security setup.
type Policed interface {
	// Policy returns how the requests of an association must be protected, and its
	// answers, besides what its access requires. Zero means not at all.
	Policy(p *Partner) (requests, answers security.Control)
}

// session is the server's side of the associations of one client. It does no I/O.
type session struct {
	cfg     *ServerConfig
	device  Device
	partner Partner

	state       state
	required    required
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
	held        int // octets of the budget that the session has
	out         []byte
	frames      [][]byte
}

func newSession(cfg *ServerConfig, device Device, partner Partner) *session {
	return &session{cfg: cfg, device: device, partner: partner, channel: &channel{}, maxSend: 0xFFFF}
}

// end closes the session for good.
func (s *session) end() {
	if err := settle(s.channel.sec); err != nil {
		s.cfg.Logger.Error("invocation counters", "error", err)
	}
	s.close()
}

func (s *session) close() {
	s.forget()
	*s = session{
		cfg: s.cfg, device: s.device, partner: s.partner.stranger(),
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
	if len(answer) > s.maxSend && s.conformance&apdu.GeneralBlocks != 0 {
		t := newTransfer(s.cfg.Window, s.maxSend)
		s.blocks = &t
		t.send(answer)
		s.frames = t.poll(s.frames)
	} else if len(answer) > 0 {
		s.frames = append(s.frames, answer)
	}
	return s.answers()
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
	if err != nil || s.state != stateOpen || s.conformance&apdu.GeneralBlocks == 0 {
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
	return s.answers()
}

// whole answers an APDU that is complete.
func (s *session) whole(b []byte) []byte {
	switch b[0] {
	case apdu.TagAARQ:
		return s.associate(b)
	case apdu.TagRLRQ:
		return s.release(b)
	}
	notNow := apdu.ExceptionResponse{State: 1, Service: apdu.OperationNotPossible}
	if s.state == stateIdle {
		return s.plain(notNow)
	}
	plain, how, err := s.channel.unprotect(b)
	if err != nil {
		return s.plain(s.refusal(err))
	}
	p, err := parse(plain)
	e := eventRequest
	if err == nil && s.state == statePending && s.isProof(p) {
		e = eventProof
	}
	if _, err := s.state.take(e, s.demands(), how); err != nil {
		return s.plain(notNow)
	}
	s.protection = how
	if err != nil {
		return s.reply(apdu.ExceptionResponse{State: 2, Service: apdu.OtherReason})
	}
	answer := s.serve(p)
	if e == eventProof && s.state != stateOpen { // nothing is left of who could not prove himself
		answer = append([]byte(nil), answer...)
		s.close()
	}
	return answer
}

// demands is the protection that requests must have now.
func (s *session) demands() required {
	r := s.required
	if d, ok := s.device.(Policed); ok {
		requests, _ := d.Policy(&s.partner)
		r.control |= requests & (security.Authenticated | security.Encrypted)
	}
	return r
}

// refusal says why a ciphered request could not be deciphered.
func (s *session) refusal(err error) apdu.ExceptionResponse {
	e := apdu.ExceptionResponse{State: 1, Service: apdu.DecipheringError}
	if errors.Is(err, security.ErrReplay) {
		e.Service = apdu.InvocationCounterError
		if c, ok := s.channel.counters.(expecter); ok {
			e.Counter = c.Expected(security.CounterID{Title: s.channel.peer, Receive: true})
		}
	}
	return e
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
		if need(apdu.ServiceAction) || s.state == statePending {
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
	if d, ok := s.device.(Policed); ok && s.channel.ciphers() {
		if _, answers := d.Policy(&s.partner); answers&(security.Authenticated|security.Encrypted) != 0 {
			how.control |= answers&(security.Authenticated|security.Encrypted) | security.Control(s.channel.sec.Suite)
		}
	}
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
	fresh := newSession(s.cfg, s.device, s.partner.stranger())
	fresh.state = s.state
	aare, err := fresh.accept(p)
	switch {
	case err != nil: // who is refused leaves nothing, and ends no association that is open
		return s.plain(fresh.refusal(err))
	case aare.Result != apdu.Accepted:
		return s.plain(aare)
	}
	fresh.out, fresh.frames = s.out, s.frames
	s.close()
	*s = *fresh
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
	if err != nil || !ok {
		return refuse(p, apdu.DiagnosticNoReason), nil
	}
	e := eventAssociate
	if access.Auth.HLS() {
		e = eventAssociateHLS
	}
	next, err := s.state.take(e, s.demands(), how)
	if err != nil {
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
	aare := s.opened(p, access, how)
	if aare.Result == apdu.Accepted {
		s.state = next
	}
	return aare, nil
}

func (s *session) initiateError(p apdu.AARQ, e apdu.ConfirmedServiceError) apdu.AARE {
	aare := refuse(p, apdu.DiagnosticNoReason)
	aare.UserInformation, _ = e.AppendBinary(nil)
	return aare
}

// secure sets the channel up for the keys of an access.
func (s *session) secure(p apdu.AARQ, access *Access) bool {
	sec := access.Security
	if sec == nil {
		return true
	}
	if sec.Peer != (security.Title{}) && sec.Peer != s.partner.Title {
		return false
	}
	own := *sec
	if own.Counters == nil {
		own.Counters = s.cfg.Counters
	}
	c, err := newAssociationChannel(&own)
	if err != nil {
		s.cfg.Logger.Error("keys of an access", "error", err)
		return false
	}
	// Titles are part of nonces and proofs; a digest of HLS-SHA256 does without a client's.
	titled := len(p.CallingAPTitle) == security.TitleLen
	if !titled && (c.ciphers() || access.Auth == apdu.MechanismGMAC || access.Auth == apdu.MechanismECDSA) {
		return false
	}
	if err := errors.Join(c.identify(p.CallingAPTitle, p.CallingAEQualifier), c.able(access.Auth, true)); err != nil {
		s.cfg.Logger.Warn("association refused", "client", s.partner.Client, "error", err)
		return false
	}
	s.channel, s.required = c, c.required()
	if access.Require != 0 {
		s.required.control = access.Require & (security.Authenticated | security.Encrypted)
	}
	return true
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
	if !access.Auth.HLS() {
		return aare
	}
	s.handshake = security.Handshake{
		Mechanism: uint8(access.Auth), Secret: security.Key(access.Password),
		Peer: s.partner.Title, OwnChallenge: security.NewChallenge(uint8(access.Auth)),
	}
	if sec := s.channel.sec; sec != nil {
		h := &s.handshake
		h.Own, h.Suite, h.Sealer, h.Signer, h.PeerPublic = s.channel.own, sec.Suite, s.channel.global, sec.Signing, s.channel.peerSigning
	}
	own := s.handshake.OwnChallenge
	if s.handshake.Challenged(p.Value) != nil || !s.cfg.challenges.fresh(p.Value) || !s.cfg.challenges.fresh(own) {
		return refuse(p, apdu.DiagnosticAuthenticationFailure)
	}
	aare.Diagnostic.Code = apdu.DiagnosticAuthenticationRequired
	aare.Authentication, aare.Mechanism, aare.Value = true, access.Auth, own
	return aare
}

// prove checks the client's proof and returns our own.
func (s *session) prove(parameters *cosem.Data) (*cosem.Data, cosem.ActionResult) {
	if s.state != statePending || parameters == nil {
		return nil, cosem.ActionResult(cosem.ReadWriteDenied)
	}
	s.state = stateIdle
	proof, _ := parameters.Bytes()
	err := s.handshake.Check(proof)
	if err == nil {
		err = s.channel.proved(&s.handshake, s.protection.tag)
	}
	if err != nil {
		s.cfg.Logger.Warn("handshake failed", "client", s.partner.Client, "error", err)
		return nil, cosem.ActionResult(cosem.ReadWriteDenied)
	}
	if s.handshake.Mechanism == uint8(apdu.MechanismGMAC) {
		if s.handshake.OwnCounter, err = s.channel.next(); err != nil {
			return nil, cosem.ActionResult(cosem.OtherReason)
		}
	}
	own, err := s.handshake.Answer()
	if err != nil {
		return nil, cosem.ActionResult(cosem.OtherReason)
	}
	s.state = stateOpen
	d := cosem.OctetString(own)
	return &d, 0
}

// allowed finds the access that an AARQ may use.
func (s *session) allowed(p apdu.AARQ) (*Access, uint8) {
	if p.Authentication && p.Mechanism == apdu.MechanismNone && len(p.Value) > 0 {
		return nil, apdu.DiagnosticMechanismRequired
	}
	known, wrong, context := false, false, false
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
		if a.Security.ciphers() != p.Context.Ciphered() {
			context = true
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
	case context:
		return nil, apdu.DiagnosticContextNotSupported
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
	if user := p.(apdu.RLRQ).UserInformation; s.state == stateOpen && len(user) > 0 {
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
		return s.readAssociation(a.Index, g.Selection)
	}
	d, code := s.device.Get(&s.partner, a, g.Selection)
	if len(d.Binary()) > s.cfg.MaxAnswer {
		return apdu.Result{Code: cosem.DataBlockUnavailable}
	}
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
func (s *session) associationObject() cosem.Object {
	self := cosem.Object{Class: cosem.ClassAssociationLN, Version: associationVersionServed, Name: associationName}
	for i := range int8(9) {
		a := cosem.AttributeAccess{Index: i + 1, Mode: cosem.AccessRead}
		switch a.Index {
		case 2:
			a.Selectors = []int8{1, 2, 3, 4}
		case 7:
			a.Mode = 0 // the secret
		case 9:
			if !s.hasSecuritySetup() {
				continue
			}
		}
		self.Attributes = append(self.Attributes, a)
	}
	self.Methods = []cosem.MethodAccess{{Index: 1, Mode: cosem.AccessRead}}
	return self
}

// hasSecuritySetup reports whether the device shows the object that attribute
// security_setup_reference would name.
func (s *session) hasSecuritySetup() bool {
	for _, o := range s.device.Objects(&s.partner) {
		if o.Class == cosem.ClassSecuritySetup && o.Name == securityName {
			return true
		}
	}
	return false
}

// objectList returns the objects that the association shows, itself first, or
// what a selection names: all without access_rights (1), classes without them
// (2, a list of class_id), objects (3, a list of class_id and logical_name), or
// one object, which is then no list (4).
func (s *session) objectList(selection *cosem.Selection) apdu.Result {
	objects := append([]cosem.Object{s.associationObject()}, s.device.Objects(&s.partner)...)
	if selection == nil {
		return apdu.Result{Data: cosem.ObjectList(objects, associationVersionServed)}
	}
	p := selection.Parameters
	wanted, ok := selectsObjects(selection.Selector, p)
	if !ok {
		return apdu.Result{Code: cosem.TypeUnmatched}
	}
	objects = slices.DeleteFunc(objects, func(o cosem.Object) bool { return !wanted(o) })
	switch selection.Selector {
	case 1, 2:
		list := make([]cosem.Data, len(objects))
		for i, o := range objects {
			list[i] = cosem.Structure(cosem.Uint16(uint16(o.Class)), cosem.Uint8(o.Version), cosem.Name(o.Name))
		}
		return apdu.Result{Data: cosem.Array(list...)}
	case 4:
		if len(objects) == 0 {
			return apdu.Result{Code: cosem.ObjectUndefined}
		}
		return apdu.Result{Data: cosem.ObjectList(objects[:1], associationVersionServed).At(0)}
	}
	return apdu.Result{Data: cosem.ObjectList(objects, associationVersionServed)}
}

// selectsObjects reads a selection of attribute object_list of Association LN.
func selectsObjects(selector uint8, p cosem.Data) (wanted func(cosem.Object) bool, ok bool) {
	switch selector {
	case 1:
		return func(cosem.Object) bool { return true }, p.Tag() == cosem.TagNull
	case 2:
		return anyOf(p, selectsClass)
	case 3:
		return anyOf(p, selectsObject)
	case 4:
		return selectsObject(p)
	}
	return nil, false
}

// selectsClass reads the class_id of a selection.
func selectsClass(d cosem.Data) (wanted func(cosem.Object) bool, ok bool) {
	class, ok := d.Uint()
	return func(o cosem.Object) bool { return uint64(o.Class) == class }, ok
}

// selectsObject reads the class_id and logical_name of a selection.
func selectsObject(d cosem.Data) (wanted func(cosem.Object) bool, ok bool) {
	var f [2]cosem.Data
	if d.Tag() != cosem.TagStructure || !d.Split(f[:]) {
		return nil, false
	}
	class, ok1 := f[0].Uint()
	name, ok2 := f[1].Code()
	return func(o cosem.Object) bool { return uint64(o.Class) == class && o.Name == name }, ok1 && ok2
}

// anyOf reads a selection that is a list.
func anyOf(list cosem.Data, read func(cosem.Data) (func(cosem.Object) bool, bool)) (wanted func(cosem.Object) bool, ok bool) {
	if list.Tag() != cosem.TagArray || list.Len() > maxItems {
		return nil, false
	}
	var each []func(cosem.Object) bool
	for _, d := range list.Elements() {
		one, ok := read(d)
		if !ok {
			return nil, false
		}
		each = append(each, one)
	}
	return func(o cosem.Object) bool {
		return slices.ContainsFunc(each, func(one func(cosem.Object) bool) bool { return one(o) })
	}, true
}

func (s *session) readAssociation(index int8, selection *cosem.Selection) apdu.Result {
	if selection != nil && index != 2 {
		return apdu.Result{Code: cosem.TypeUnmatched}
	}
	switch index {
	case 1:
		return apdu.Result{Data: cosem.Name(associationName)}
	case 2:
		return s.objectList(selection)
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
		if s.hasSecuritySetup() {
			return apdu.Result{Data: cosem.Name(securityName)}
		}
	}
	return apdu.Result{Code: cosem.ObjectUndefined}
}

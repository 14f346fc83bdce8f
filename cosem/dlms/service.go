package dlms

import (
	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
)

// longAnswer is an answer that is fetched block by block.
type longAnswer struct {
	raw    []byte
	number uint32 // of the last block that was sent
	active bool
	action bool // of a method, rather than of a get
}

// longRequest is a request that comes block by block.
type longRequest struct {
	raw     []byte
	number  uint32 // of the last block that came; 0 where nothing is under way
	list    []apdu.Get
	methods []cosem.Method
	many    bool // a list of several was asked for
}

// get answers a request for one attribute.
func (s *session) get(p apdu.GetRequestNormal) []byte {
	s.long = longAnswer{}
	response := apdu.GetResponseNormal{Invoke: p.Invoke, Result: s.read(p.Get)}
	if n := len(response.Data.Binary()); response.Code != cosem.Success || s.fits(4+n) {
		return s.reply(response)
	}
	return s.startLong(p.Invoke, append([]byte(nil), response.Data.Binary()...), false)
}

func (s *session) getList(p apdu.GetRequestWithList) []byte {
	s.long = longAnswer{}
	results := make([]apdu.Result, len(p.List))
	var room items
	for i, g := range p.List {
		results[i] = s.readItem(&room, g)
	}
	if raw := apdu.AppendResults(nil, results); !s.fits(3 + len(raw)) {
		return s.startLong(p.Invoke, raw, false)
	}
	return s.reply(apdu.GetResponseWithList{Invoke: p.Invoke, List: results})
}

// startLong answers with the first of many blocks.
func (s *session) startLong(invoke apdu.InvokeID, raw []byte, action bool) []byte {
	if action && s.conformance&apdu.BlockTransferAction == 0 {
		return s.reply(apdu.ActionResponseNormal{Invoke: invoke, Action: apdu.Action{Code: cosem.ActionResult(cosem.OtherReason)}})
	}
	if !action && s.conformance&apdu.BlockTransferGet == 0 {
		return s.reply(apdu.GetResponseNormal{Invoke: invoke, Result: apdu.Result{Code: cosem.DataBlockUnavailable}})
	}
	s.long = longAnswer{raw: raw, active: true, action: action}
	return s.answerBlock(invoke)
}

// blockOverhead is what an answer with a block has besides raw data.
const blockOverhead = 3 + 1 + 4 + 1 + 3

// answerBlock answers with the next block.
func (s *session) answerBlock(invoke apdu.InvokeID) []byte {
	n := min(len(s.long.raw), max(1, s.room()-blockOverhead))
	s.long.number++
	b := apdu.Block{Last: n == len(s.long.raw), Number: s.long.number, Raw: s.long.raw[:n]}
	s.long.raw = s.long.raw[n:]
	s.long.active = !b.Last
	if s.long.action {
		return s.reply(apdu.ActionResponseBlock{Invoke: invoke, Block: b})
	}
	return s.reply(apdu.GetResponseWithBlock{Invoke: invoke, Block: b})
}

func (s *session) getNext(p apdu.GetRequestNext) []byte {
	code := cosem.Success
	switch {
	case !s.long.active || s.long.action:
		code = cosem.NoLongGetInProgress
	case p.Block != s.long.number:
		code = cosem.DataBlockNumberInvalid
	default:
		return s.answerBlock(p.Invoke)
	}
	number := s.long.number
	s.long = longAnswer{}
	return s.reply(apdu.GetResponseWithBlock{Invoke: p.Invoke, Block: apdu.Block{Last: true, Number: number}, Code: code})
}

// confirmed reports whether the client wants an answer.
func confirmed(invoke apdu.InvokeID) bool { return invoke&apdu.Confirmed != 0 }

// set answers a request to write that is complete.
func (s *session) set(p apdu.PDU) []byte {
	switch p := p.(type) {
	case apdu.SetRequestNormal:
		code := s.write(p.Get, p.Data)
		if !confirmed(p.Invoke) {
			return nil
		}
		return s.reply(apdu.SetResponseNormal{Invoke: p.Invoke, Code: code})
	case apdu.SetRequestWithList:
		codes := s.writeList(p.List, p.Data)
		if !confirmed(p.Invoke) {
			return nil
		}
		return s.reply(apdu.SetResponseWithList{Invoke: p.Invoke, Codes: codes})
	}
	return nil
}

func (s *session) writeList(list []apdu.Get, data []cosem.Data) []cosem.DataAccessResult {
	codes := make([]cosem.DataAccessResult, len(list))
	for i, g := range list {
		codes[i] = cosem.OtherReason
		if len(data) == len(list) && i < maxItems {
			codes[i] = s.write(g, data[i])
		}
	}
	return codes
}

// gather adds a block to the request that is under way, and reports whether it
// was the one expected.
func (s *session) gather(b apdu.Block) bool {
	if b.Number != s.request.number+1 || len(s.request.raw)+len(b.Raw) > s.cfg.MaxLong {
		s.request = longRequest{}
		return false
	}
	s.request.raw = append(s.request.raw, b.Raw...)
	s.request.number = b.Number
	return true
}

// setBlock answers a part of a long request to write.
func (s *session) setBlock(p apdu.PDU) []byte {
	var invoke apdu.InvokeID
	var b apdu.Block
	switch p := p.(type) {
	case apdu.SetRequestFirstBlock:
		s.request = longRequest{list: []apdu.Get{p.Get}}
		invoke, b = p.Invoke, p.Block
	case apdu.SetRequestWithListFirstBlock:
		s.request = longRequest{list: p.List, many: true}
		invoke, b = p.Invoke, p.Block
	case apdu.SetRequestBlock:
		if invoke, b = p.Invoke, p.Block; s.request.number == 0 || s.request.list == nil {
			return s.reply(apdu.SetResponseLastBlock{Invoke: invoke, Code: cosem.NoLongSetInProgress, Number: b.Number})
		}
	}
	if s.request.number == 0 {
		s.request.list = cloneGets(s.request.list)
	}
	if !s.gather(b) {
		return s.reply(apdu.SetResponseLastBlock{Invoke: invoke, Code: cosem.DataBlockNumberInvalid, Number: b.Number})
	}
	if !b.Last {
		return s.reply(apdu.SetResponseBlock{Invoke: invoke, Number: b.Number})
	}
	whole := s.request
	s.request = longRequest{}
	if whole.many {
		data, err := apdu.ParseDataList(whole.raw)
		if err != nil {
			data = nil
		}
		return s.reply(apdu.SetResponseLastBlockWithList{Invoke: invoke, Codes: s.writeList(whole.list, data), Number: b.Number})
	}
	code := cosem.LongSetAborted
	if d, n, err := cosem.ParseData(whole.raw); err == nil && n == len(whole.raw) {
		code = s.write(whole.list[0], d)
	}
	return s.reply(apdu.SetResponseLastBlock{Invoke: invoke, Code: code, Number: b.Number})
}

// cloneGets gives references that outlive their request memory of their own.
func cloneGets(list []apdu.Get) []apdu.Get {
	out := append([]apdu.Get(nil), list...)
	for i := range out {
		if s := out[i].Selection; s != nil {
			out[i].Selection = &cosem.Selection{Selector: s.Selector, Parameters: s.Parameters.Clone()}
		}
	}
	return out
}

// actionNormal answers the invocation of one method.
func (s *session) actionNormal(p apdu.ActionRequestNormal) []byte {
	return s.actionAnswer(p.Invoke, s.invoke(p.Method, p.Parameters))
}

func (s *session) actionAnswer(invoke apdu.InvokeID, a apdu.Action) []byte {
	if !confirmed(invoke) {
		return nil
	}
	response := apdu.ActionResponseNormal{Invoke: invoke, Action: a}
	if plain := s.plain(response); !s.fits(len(plain)) {
		return s.startLong(invoke, append([]byte(nil), plain[3:]...), true)
	}
	return s.reply(response)
}

func (s *session) actionList(p apdu.ActionRequestWithList) []byte {
	return s.actionListAnswer(p.Invoke, p.Methods, p.Parameters)
}

func (s *session) actionListAnswer(invoke apdu.InvokeID, methods []cosem.Method, parameters []cosem.Data) []byte {
	response := apdu.ActionResponseWithList{Invoke: invoke}
	var room items
	for i, m := range methods {
		a := apdu.Action{Code: cosem.ActionResult(cosem.OtherReason)}
		if len(parameters) == len(methods) && room.more() {
			a = s.invoke(m, &parameters[i])
			if a.Return != nil {
				room.took(a.Return.Data)
			}
		}
		response.List = append(response.List, a)
	}
	if !confirmed(invoke) {
		return nil
	}
	if plain := s.plain(response); !s.fits(len(plain)) {
		return s.startLong(invoke, append([]byte(nil), plain[3:]...), true)
	}
	return s.reply(response)
}

// actionBlock answers a part of a long invocation.
func (s *session) actionBlock(p apdu.PDU) []byte {
	var invoke apdu.InvokeID
	var b apdu.Block
	switch p := p.(type) {
	case apdu.ActionRequestFirstBlock:
		s.request = longRequest{methods: []cosem.Method{p.Method}}
		invoke, b = p.Invoke, p.Block
	case apdu.ActionRequestWithListFirstBlock:
		s.request = longRequest{methods: p.Methods, many: true}
		invoke, b = p.Invoke, p.Block
	case apdu.ActionRequestBlock:
		invoke, b = p.Invoke, p.Block
	}
	refused := func(code cosem.ActionResult) []byte {
		return s.reply(apdu.ActionResponseNormal{Invoke: invoke, Action: apdu.Action{Code: code}})
	}
	if s.request.methods == nil {
		return refused(cosem.NoLongActionInProgress)
	}
	if !s.gather(b) {
		return refused(cosem.LongActionAborted)
	}
	if !b.Last {
		return s.reply(apdu.ActionResponseNext{Invoke: invoke, Number: b.Number})
	}
	whole := s.request
	s.request = longRequest{}
	if whole.many {
		parameters, err := apdu.ParseDataList(whole.raw)
		if err != nil {
			parameters = nil
		}
		return s.actionListAnswer(invoke, whole.methods, parameters)
	}
	d, n, err := cosem.ParseData(whole.raw)
	if err != nil || n < len(whole.raw) {
		return refused(cosem.LongActionAborted)
	}
	return s.actionAnswer(invoke, s.invoke(whole.methods[0], &d))
}

func (s *session) actionNext(p apdu.ActionRequestNext) []byte {
	if !s.long.active || !s.long.action || p.Block != s.long.number {
		s.long = longAnswer{}
		return s.reply(apdu.ActionResponseNormal{Invoke: p.Invoke, Action: apdu.Action{Code: cosem.NoLongActionInProgress}})
	}
	return s.answerBlock(p.Invoke)
}

// access answers an access-request, item by item.
func (s *session) access(p apdu.AccessRequest) []byte {
	response := apdu.AccessResponse{Invoke: p.Invoke}
	failed := false
	var room items
	for _, a := range p.List {
		r := apdu.AccessResult{Kind: a.Kind, Code: uint8(cosem.OtherReason)}
		get := apdu.Get{Attribute: a.Attribute, Selection: a.Selection}
		switch a.Kind {
		case apdu.AccessGetSelection:
			r.Kind = apdu.AccessGet
		case apdu.AccessSetSelection:
			r.Kind = apdu.AccessSet
		}
		switch {
		case failed && p.Invoke&apdu.LongBreakOnError != 0, !room.more():
		case r.Kind == apdu.AccessGet:
			result := s.read(get)
			r.Code, r.Data = uint8(result.Code), result.Data
		case r.Kind == apdu.AccessSet:
			r.Code = uint8(s.write(get, a.Data))
		case r.Kind == apdu.AccessAction:
			data := a.Data
			action := s.invoke(cosem.Method(a.Attribute), &data)
			r.Code = uint8(action.Code)
			if action.Return != nil {
				r.Data = action.Return.Data
			}
		}
		room.took(r.Data)
		failed = failed || r.Code != 0
		response.List = append(response.List, r)
	}
	if p.Invoke&apdu.LongConfirmed == 0 {
		return nil
	}
	if plain := s.plain(response); !s.fits(len(plain)) {
		return s.reply(apdu.ExceptionResponse{State: 1, Service: apdu.PDUTooLong})
	}
	return s.reply(response)
}

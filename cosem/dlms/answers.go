package dlms

import (
	"errors"
	"fmt"
	"slices"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

// errWhich reports an answer of which it is not certain which request it answers.
var errWhich = errors.New("dlms: messages are missing, repeated or out of order: this may be the answer to another request")

// read makes readings of the PDU of the message, and remembers what later ones need.
func (r *Receiver) read(f *flow) (*Message, error) {
	m, c := &r.message, f.conversation
	r.readings.Reset()
	switch p := m.PDU.(type) {
	case apdu.DataNotification:
		at, _ := cosem.ParseTime(p.Time)
		r.pushes(f).Append(&r.readings, p.Body, at)
	case apdu.EventNotification:
		at, _ := cosem.ParseTime(p.Time)
		r.values(c, []apdu.Get{{Attribute: p.Attribute}}, []apdu.Result{{Data: p.Data}}, at, false)
	case apdu.AARQ:
		*c = conversation{server: c.server, spoken: c.spoken, client: title(p.CallingAPTitle), last: c.last}
		c.last = slices.DeleteFunc(c.last, func(l counted) bool { return l.key == security.KeyDedicated })
		r.initiate(f, p.UserInformation)
		c.opening = m.Trust == security.Verified
	case apdu.AARE:
		if len(p.RespondingAPTitle) > 0 {
			c.server = title(p.RespondingAPTitle)
		}
		r.initiate(f, p.UserInformation)
		c.level, c.lead, c.opening = c.opening && m.Trust == security.Verified, 0, false
	case apdu.GetRequestNormal:
		c.ask(m, &c.asked[p.Invoke&0x0F], asked{list: []apdu.Get{p.Get}, single: true})
	case apdu.GetRequestWithList:
		c.ask(m, &c.asked[p.Invoke&0x0F], asked{list: p.List})
	case apdu.AccessRequest:
		c.ask(m, &c.access, asked{list: gets(p.List), invoke: uint32(p.Invoke) & 0xFFFFFF})
	case apdu.GetResponseNormal:
		r.answer(c, &c.asked[p.Invoke&0x0F], true, []apdu.Result{p.Result}, r.doubtful(c))
	case apdu.GetResponseWithList:
		r.answer(c, &c.asked[p.Invoke&0x0F], false, p.List, r.doubtful(c))
	case apdu.GetResponseWithBlock:
		return r.answerBlock(f, p)
	case apdu.AccessResponse:
		r.accessed(c, p)
	case apdu.ExceptionResponse:
		c.forget() // it does not say what it answers
		m.warn(error(p))
	case apdu.ConfirmedServiceError:
		c.forget()
		m.warn(error(p))
	}
	r.identify(f)
	return m, nil
}

// title returns a system title, zero where it is none.
func title(b []byte) (t security.Title) {
	if len(b) == security.TitleLen {
		t = security.Title(b)
	}
	return t
}

// pushes returns what reads the lists of the sender.
func (r *Receiver) pushes(f *flow) *cosem.Pushes {
	if r.message.Title != (security.Title{}) && !r.message.Unverified {
		return &r.sender(r.message.Title).pushes
	}
	return &f.pushes
}

// initiate reads the user-information of an AARQ or an AARE. That of an AARQ may
// hold a dedicated key, which must come encrypted.
func (r *Receiver) initiate(f *flow, b []byte) {
	m := &r.message
	if len(b) == 0 || !isProtected(b[0]) {
		return
	}
	m.Title, m.sealed = security.Title{}, true
	plain, err := r.open(f, b)
	if err != nil {
		m.warn(err)
		return
	}
	p, err := parse(plain)
	if err != nil {
		m.warn(m.nonsense(err))
		return
	}
	r.explain.pdu(plain)
	m.Layers = append(m.Layers, Layer{Name: p.Name()})
	_ = r.believe(f, false)
	request, ok := p.(apdu.InitiateRequest)
	if !ok || len(request.DedicatedKey) == 0 || m.keys == nil || m.Control&security.Encrypted == 0 ||
		m.keys.demanded()&security.Authenticated != 0 && m.Trust != security.Verified {
		return
	}
	if f.dedicated, err = m.keys.cipher(slices.Clone(request.DedicatedKey)); err != nil {
		m.warn(err)
	}
}

// gets returns what an access-request reads; other requests in it are a zero Get.
func gets(list []apdu.Access) []apdu.Get {
	all := make([]apdu.Get, len(list))
	for i, a := range list {
		if a.Kind == apdu.AccessGet || a.Kind == apdu.AccessGetSelection {
			all[i] = apdu.Get{Attribute: a.Attribute, Selection: a.Selection}
		}
	}
	return all
}

// ask remembers a request. One that takes the place of another one, which was not
// answered, makes it uncertain what the next answer belongs to.
func (c *conversation) ask(m *Message, slot *asked, a asked) {
	if len(a.list) > maxList {
		a.list = nil
	}
	a.list = slices.Clone(a.list)
	for i := range a.list {
		if s := a.list[i].Selection; s != nil { // it lies in memory that is used again
			a.list[i].Selection = &cosem.Selection{Selector: s.Selector, Parameters: s.Parameters.Clone()}
		}
	}
	a.unverified, a.number = m.Unverified, c.requests
	a.doubtful = slot.list != nil && !slices.EqualFunc(slot.list, a.list, sameGet)
	*slot = a
}

// unknown reports whether it is not certain that an answer is one to this request:
// where the server has gone on as far as the client it answers the newest one.
func (c *conversation) unknown(a *asked, answer *Message) bool {
	return a.doubtful || a.unverified && !answer.Unverified || answer.Trust == security.Verified && a.number != c.requests
}

func sameGet(a, b apdu.Get) bool {
	if a.Attribute != b.Attribute || (a.Selection == nil) != (b.Selection == nil) {
		return false
	}
	return a.Selection == nil || a.Selection.Selector == b.Selection.Selector && a.Selection.Parameters.Equal(b.Selection.Parameters)
}

// went follows the counters of both sides. Each counts the messages that it sends,
// so that with every answer the server has gone on as far as the client. Where
// messages are missing, repeated or in another order it has not. The server's half
// of the HLS handshake can answer nothing but the client's, and both are the newest
// of their sides where no dedicated key is in use yet, which counts for itself.
func (c *conversation) went(m *Message) {
	if m.Trust != security.Verified || len(m.Plain) < 2 {
		return
	}
	action := c.acting
	c.opening, c.acting = false, false
	c.level = c.level && m.counted
	switch m.Plain[0] {
	case apdu.TagDataNotification, apdu.TagEventNotification, apdu.TagInformationReport:
		c.lead -= m.step - 1
	case apdu.TagGetRequest, apdu.TagSetRequest, apdu.TagActionRequest, apdu.TagAccessRequest, apdu.TagReadRequest, apdu.TagWriteRequest,
		apdu.TagUnconfirmedWrite, apdu.TagRLRQ:
		c.lead += m.step
		if next := m.Plain[0] == apdu.TagGetRequest && m.Plain[1] == 2; !next { // which asks for more of the same
			c.requests++
		}
		c.acting = provesHLS(m.Plain) && !m.late && !c.counts(m.Title, security.KeyDedicated)
	default:
		c.lead -= m.step
		if action && !c.level && !m.late && answersHLS(m.Plain) {
			c.level, c.lead = true, 0
		}
	}
}

// provesHLS reports whether a PDU is a request for reply_to_HLS_authentication.
func provesHLS(b []byte) bool {
	const class, method = 3, 11 // offsets
	return len(b) > method && b[0] == apdu.TagActionRequest && b[1] == 1 && cosem.Class(b[class])<<8|cosem.Class(b[class+1]) == cosem.ClassAssociationLN && b[method] == 1
}

// answersHLS reports whether a PDU is the answer of an action that returned an octet string.
func answersHLS(b []byte) bool {
	const result, given, choice, data = 3, 4, 5, 6 // offsets
	return len(b) > data && b[0] == apdu.TagActionResponse && b[1] == 1 && b[result] == 0 && b[given] == 1 && b[choice] == 0 && b[data] == 9
}

// doubtful reports whether it is not certain what request the message answers.
func (r *Receiver) doubtful(c *conversation) bool {
	return r.message.Trust == security.Verified && (!c.level || c.lead != 0)
}

// answerBlock takes a block of a get-response.
func (r *Receiver) answerBlock(f *flow, p apdu.GetResponseWithBlock) (*Message, error) {
	m := &r.message
	if p.Code != cosem.Success {
		m.warn(fmt.Errorf("dlms: get-response: %w", p.Code))
		f.answer.end(r)
		return m, nil
	}
	if p.Number == 1 || p.Invoke&0x0F != f.invoke {
		if f.answer.open && p.Invoke&0x0F != f.invoke {
			m.warn(fmt.Errorf("dlms: get-response %d: %w", f.invoke, errBegun))
			f.answer.end(r)
		}
		f.invoke, f.doubtful, f.unverified = p.Invoke&0x0F, false, m.Unverified
	}
	f.doubtful = f.doubtful || m.Unverified != f.unverified || r.doubtful(f.conversation)
	whole, err := f.answer.add(r, f, p.Number, p.Raw, p.Last)
	if err != nil {
		return nil, err
	}
	if whole == nil {
		f.layers, f.warnings = append(f.layers, m.Layers...), append(f.warnings, m.Warnings...)
		f.layers, f.warnings = f.layers[:min(len(f.layers), maxLayers)], f.warnings[:min(len(f.warnings), maxLayers)]
		return nil, nil
	}
	r.explain.joined("joined blocks", whole)
	for _, w := range f.warnings { // of the block that completed it
		m.warn(w)
	}
	f.warnings = f.warnings[:0]
	slot := &f.asked[f.invoke]
	m.Unverified = m.Unverified || f.unverified
	m.Plain = whole
	if slot.list != nil && !slot.single {
		results, err := apdu.ParseResults(whole)
		if err != nil {
			return nil, err
		}
		m.PDU = apdu.GetResponseWithList{Invoke: p.Invoke, List: results}
		r.answer(f.conversation, slot, false, results, f.doubtful)
	} else {
		data, n, err := cosem.ParseData(whole)
		if err == nil && n < len(whole) {
			err = &cosem.ParseError{Field: "raw-data", Offset: n, Err: fmt.Errorf("%d octets too many", len(whole)-n)}
		}
		if err != nil {
			return nil, err
		}
		result := apdu.Result{Data: data}
		m.PDU = apdu.GetResponseNormal{Invoke: p.Invoke, Result: result}
		r.answer(f.conversation, slot, true, []apdu.Result{result}, f.doubtful)
	}
	m.Layers = append(m.Layers, Layer{Name: m.PDU.Name()})
	r.identify(f)
	return m, nil
}

// accessed reads the answer to an access-request, which may repeat what was asked for.
func (r *Receiver) accessed(c *conversation, p apdu.AccessResponse) {
	at, _ := cosem.ParseTime(p.Time)
	slot, doubtful := c.access, r.doubtful(c)
	c.access = asked{}
	if len(p.Echo) == len(p.List) {
		slot = asked{list: gets(p.Echo)}
		doubtful = false
	} else if slot.invoke != uint32(p.Invoke)&0xFFFFFF {
		slot.list = nil
	}
	var list []apdu.Get
	var results []apdu.Result
	for i, result := range p.List {
		if result.Kind != apdu.AccessGet {
			continue
		}
		results = append(results, apdu.Result{Data: result.Data, Code: cosem.DataAccessResult(result.Code)})
		if len(slot.list) == len(p.List) {
			list = append(list, slot.list[i])
		}
	}
	r.matched(c, list, results, at, doubtful || c.unknown(&slot, &r.message))
}

// answer reads results under the names that were asked for.
func (r *Receiver) answer(c *conversation, slot *asked, single bool, results []apdu.Result, doubtful bool) {
	a := *slot
	*slot = asked{}
	if a.single != single {
		a.list = nil
	}
	r.matched(c, a.list, results, obis.Time{}, doubtful || c.unknown(&a, &r.message))
}

// matched reads results under the names that were asked for; those of a request
// that nobody knows become readings without a name.
func (r *Receiver) matched(c *conversation, list []apdu.Get, results []apdu.Result, at obis.Time, doubtful bool) {
	m := &r.message
	if len(list) != len(results) {
		for _, result := range results {
			if result.Code != cosem.Success {
				m.warn(fmt.Errorf("dlms: get-response: %w", result.Code))
				continue
			}
			r.readings.Raw(result.Data, at)
		}
		return
	}
	if doubtful && !m.Unverified {
		m.warn(errWhich)
		defer func() {
			for i := range r.readings.List {
				r.readings.List[i].Quality.Flags |= obis.Questionable
			}
			for _, p := range m.Profiles {
				p.Mark(obis.Questionable)
			}
		}()
	}
	r.values(c, list, results, at, !doubtful)
}

// maxRegisters is how far apart the attributes of a register may be asked for in one request.
const maxRegisters = 64

// values reads attributes whose names are known. Only those that are values make
// readings; what says how to read others is kept.
func (r *Receiver) values(c *conversation, list []apdu.Get, results []apdu.Result, at obis.Time, keep bool) {
	m, d := &r.message, c.described(r.message.Unverified)
	var registers []cosem.Register
	var told []bool // a value of the register came
	for i, g := range list {
		a, result := g.Attribute, results[i]
		if result.Code != cosem.Success {
			m.warn(fmt.Errorf("dlms: get-response: %v: %w", a, result.Code))
			continue
		}
		if a.Class == cosem.ClassProfileGeneric {
			r.profile(d, g, result.Data, at, keep)
			continue
		}
		l, ok := cosem.RegisterAttributes(a.Class)
		if !ok || a.Index == 0 {
			continue
		}
		k := len(registers) - 1
		for k >= max(0, len(registers)-maxRegisters) && (registers[k].Class != a.Class || registers[k].Name != a.Name) {
			k--
		}
		if k < max(0, len(registers)-maxRegisters) {
			k = len(registers)
			registers, told = append(registers, cosem.Register{Class: a.Class, Name: a.Name}), append(told, false)
		}
		registers[k].Set(a.Index, result.Data)
		told[k] = told[k] || a.Index == l.Value || a.Index == l.Last
		if s, ok := cosem.ParseScalerUnit(result.Data); ok && a.Index == l.ScalerUnit && keep {
			d.keepScaler(a, s)
		}
	}
	for i := range registers {
		if !told[i] {
			continue
		}
		if l, _ := cosem.RegisterAttributes(registers[i].Class); registers[i].ScalerUnit.IsNull() && l.ScalerUnit != 0 {
			if s, ok := d.scalers[cosem.Attribute{Class: registers[i].Class, Name: registers[i].Name, Index: l.ScalerUnit}]; ok {
				registers[i].ScalerUnit = s.Data()
			}
		}
		r.readings.Register(&registers[i], at)
	}
}

// keepScaler remembers scaler and unit of a register.
func (d *described) keepScaler(a cosem.Attribute, s cosem.ScalerUnit) {
	if d.scalers == nil {
		d.scalers = map[cosem.Attribute]cosem.ScalerUnit{}
	}
	if _, known := d.scalers[a]; known || len(d.scalers) < maxKnown {
		d.scalers[a] = s
	}
}

// captured is what was read of a profile.
type captured struct {
	columns []cosem.Capture
	period  int32
}

// maxProfiles bounds the profiles of a conversation of which the columns are remembered.
const maxProfiles = 64

// profile reads an attribute of a profile. A buffer whose columns nobody knows
// becomes readings without names.
func (r *Receiver) profile(of *described, g apdu.Get, d cosem.Data, at obis.Time, keep bool) {
	m, name := &r.message, g.Attribute.Name
	known := of.profiles[name]
	switch g.Attribute.Index {
	case 3, 4:
		if !keep {
			return
		}
		if known == nil {
			if len(of.profiles) >= maxProfiles {
				return
			}
			if of.profiles == nil {
				of.profiles = map[obis.Code]*captured{}
			}
			known = &captured{}
			of.profiles[name] = known
		}
		if g.Attribute.Index == 4 {
			period, _ := d.Uint()
			known.period = int32(min(period, 1<<31-1))
			return
		}
		columns, err := cosem.ParseCaptureObjects(d)
		if err != nil {
			m.warn(err)
		}
		if len(columns) > maxList {
			columns = nil
		}
		known.columns = columns
	case 2:
		if known != nil && len(known.columns) > 0 {
			p, err := of.buffer(known, g, d)
			if err == nil {
				m.Profiles = append(m.Profiles, p)
				return
			}
			m.warn(err)
		}
		r.readings.Raw(d, at)
	}
}

// buffer reads the buffer of a profile, or those columns of it that were asked for.
func (of *described) buffer(known *captured, g apdu.Get, d cosem.Data) (*obis.Profile, error) {
	columns := known.columns
	if g.Selection != nil {
		if selected, ok := g.Selection.Range(); ok && len(selected.Columns) > 0 {
			columns = selected.Columns
		} else if e, ok := g.Selection.Entries(); ok && e.FirstColumn > 0 {
			last := int(e.LastColumn)
			if last == 0 || last > len(columns) {
				last = len(columns)
			}
			columns = columns[min(int(e.FirstColumn)-1, last):last]
		}
	}
	layout := cosem.Layout{Name: g.Attribute.Name, Period: known.period, Columns: make([]cosem.Column, len(columns))}
	for i, capture := range columns {
		layout.Columns[i].Capture = capture
		l, _ := cosem.RegisterAttributes(capture.Class)
		if l.ScalerUnit == 0 || capture.Index != l.Value && capture.Index != l.Last {
			layout.Columns[i].ScalerUnit = cosem.ScalerUnit{Known: true} // no register: the number stands for itself
			continue
		}
		layout.Columns[i].ScalerUnit = of.scalers[cosem.Attribute{Class: capture.Class, Name: capture.Name, Index: l.ScalerUnit}]
	}
	p := &obis.Profile{}
	layout.Describe(p)
	return p, layout.Append(p, d.Clone())
}

// identify gives the message its readings, and says what it tells of its sender.
func (r *Receiver) identify(f *flow) {
	m := &r.message
	if m.Unverified {
		markUnverified(r.readings.List)
		for _, p := range m.Profiles {
			p.Mark(obis.Unverified)
		}
	}
	m.Readings, m.Attributes = r.readings.List, r.readings.Attributes
	if n := r.readings.Dropped; n > 0 {
		m.warn(fmt.Errorf("dlms: %d readings beyond %d: %w", n, cosem.MaxReadings, errTooMuch))
	}
	known := &f.meter
	if m.Title != (security.Title{}) {
		known = &r.sender(m.Title).meter
	}
	m.Meter = r.readings.Identify(known)
	if m.Title != (security.Title{}) {
		if m.Meter.SystemTitle = known.SystemTitle; m.Meter.SystemTitle == "" {
			m.Meter.SystemTitle = m.Title.String()
		}
		if m.Meter.Manufacturer == "" {
			if m.Meter.Manufacturer = known.Manufacturer; m.Meter.Manufacturer == "" {
				m.Meter.Manufacturer = flagID(m.Title[:3])
			}
		}
	}
	*known = m.Meter
}

func flagID(b []byte) string {
	for _, c := range b {
		if c < 'A' || c > 'Z' {
			return ""
		}
	}
	return string(b)
}

func markUnverified(readings []obis.Reading) {
	for i := range readings {
		readings[i].Quality.Flags |= obis.Unverified
	}
}

package mbus

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Security says how a telegram was protected.
type Security struct {
	Mode       int    // security mode of the configuration field, 0 for none
	Encrypted  bool   // octets of it were encrypted, and are deciphered
	Verified   bool   // a message authentication code was checked and right
	Unverified bool   // there is one that could not be checked, or a meter that has a key sent this without protection
	Ambiguous  bool   // the configuration field names a mode, and what follows can be read as it is: an old meter's signature, or chance; or the frame may be a damaged one of another format
	Counted    bool   // Counter was transmitted
	Counter    uint32 // of the message; as true as the message is verified
}

// CounterID stands for a meter and its key in [Counters]: the code of its ID by
// that key. Manufacturer, version and type are no part of what a message proves
// in mode 7, so that they make no other meter.
type CounterID [16]byte

// Counters remembers the greatest counter of a verified message of each meter.
// It outlives programs where its implementation does.
type Counters interface {
	// Counter returns the last counter of a meter, if there was one.
	Counter(CounterID) (counter uint32, known bool)
	// SetCounter remembers the counter of a message that was verified.
	SetCounter(id CounterID, counter uint32) error
}

// MemoryCounters keeps counters in memory: as many as there are meters with
// keys. It is safe for use by several goroutines. The zero value is empty.
type MemoryCounters struct {
	mu   sync.Mutex
	last map[CounterID]uint32
}

// Counter returns the last counter of a meter, if there was one.
func (m *MemoryCounters) Counter(id CounterID) (counter uint32, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	counter, known = m.last[id]
	return counter, known
}

// SetCounter remembers the counter of a message that was verified.
func (m *MemoryCounters) SetCounter(id CounterID, counter uint32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil {
		m.last = map[CounterID]uint32{}
	}
	m.last[id] = counter
	return nil
}

// The reasons for which a telegram is not believed. What Parse returns with them
// has its header and no records; where it stays encrypted, these octets as payload.
var (
	ErrNoKey       = errors.New("telegram is encrypted and there is no key for this meter")
	ErrWrongKey    = errors.New("wrong key, or the telegram was damaged")
	ErrBadMAC      = errors.New("wrong message authentication code")
	ErrUnsupported = errors.New("security mode is not supported")
	ErrReplay      = errors.New("message counter is not above that of the last verified message")
	ErrUnprotected = errors.New("telegram with less protection than the key of its meter, or its verified messages, demand")
	ErrNoCounter   = errors.New("key is derived from a message counter that was not transmitted")
)

// SecurityError says why a telegram is not believed, or stays encrypted.
type SecurityError struct {
	Address Address
	Layer   string // "ELL" or "AFL" for those layers of radio, "" for the transport layer
	Mode    int
	Err     error // one of [ErrNoKey], [ErrWrongKey], [ErrBadMAC], [ErrUnsupported], [ErrNoCounter], [ErrReplay] and [ErrUnprotected]
}

func (e *SecurityError) Error() string {
	if e.Layer != "" {
		return fmt.Sprintf("mbus: meter %s, %s: %v", e.Address, e.Layer, e.Err)
	}
	return fmt.Sprintf("mbus: meter %s, security mode %d (%s): %v", e.Address, e.Mode, modeName(e.Mode), e.Err)
}

func (e *SecurityError) Unwrap() error { return e.Err }

var modeNames = [32]string{
	0: "none", 1: "manufacturer's", 2: "DES-CBC without IV", 3: "DES-CBC", 4: "AES-CBC without IV", 5: "AES-CBC", 7: "AES-CBC with ephemeral key", 8: "AES-CTR with CMAC", 9: "AES-GCM", 10: "AES-CCM", 13: "TLS", 15: "manufacturer's",
}

func modeName(mode int) string {
	if modeNames[mode&31] == "" {
		return "reserved"
	}
	return modeNames[mode&31]
}

// encryptable reports whether the configuration field of a wired meter is that
// of an encrypted telegram: old meters have a signature in its place. Who has a
// key for a meter says that it is none.
func (d *Decoder) encryptable(t *Telegram) bool {
	switch c := t.Header.Config; c.Mode() {
	case 5, 7:
		return c.Blocks() > 0
	default:
		return d.Key(t.Header.Address) != nil
	}
}

// announced reports whether the configuration field has the number of encrypted
// octets where modes 2 to 4 have it, and that it fits what is there. Such a
// telegram is not read, even where its cipher text looks like records.
func (t *Telegram) announced(mode int) bool {
	n := 0
	switch mode {
	case 2, 3:
		n = int(t.Header.Config & 0xFF)
		if n%8 != 0 {
			return false
		}
	case 4:
		n = 16 * t.Header.Config.Blocks()
	}
	return 0 < n && n <= len(t.Payload)
}

// suspect judges a wired telegram that names a mode of which it is not known
// whether it means one. What cannot be read to its end is encrypted.
func (t *Telegram) suspect(mode int) error {
	t.Security.Mode = mode
	if (mode == 5 || mode == 7) && t.Header.Config.Blocks() == 0 {
		return nil // by which nothing is encrypted
	}
	if t.Broken != nil || t.announced(mode) {
		t.Records, t.Broken = nil, nil
		t.Security.Encrypted = true
		return &SecurityError{Address: t.Header.Address, Mode: mode, Err: ErrUnsupported}
	}
	t.Security.Ambiguous = true
	return nil
}

// judge checks the message authentication code of the layer below, the counter,
// and whether the telegram is protected as the key of its meter demands.
func (d *Decoder) judge(t *Telegram, b []byte, lower Lower) error {
	if lower.Counted {
		t.Security.Counter, t.Security.Counted = lower.Counter, true
	}
	err := d.authenticate(t, b, lower)
	if err == nil && d.Keys != nil && (t.Security.Verified || t.hasValues()) && d.Key(t.Header.Address) != nil {
		err = d.admit(t, lower)
	}
	if err != nil {
		t.Records, t.Broken = nil, nil
	}
	return err
}

// authenticate checks the code over a message that could be read: a wrong code
// is thus told from a wrong key.
func (d *Decoder) authenticate(t *Telegram, b []byte, lower Lower) error {
	if lower.MAC == nil {
		return nil
	}
	key := d.Key(t.Header.Address)
	if key == nil {
		t.Security.Unverified = true // readable, but not proved
		return nil
	}
	ok, err := lower.MAC.Verify(b, key, t.Header.Address.ID)
	switch {
	case errors.Is(err, ErrUnsupported):
		t.Security.Unverified = true
		return nil
	case err != nil:
		return err
	case !ok:
		return &SecurityError{Address: t.Header.Address, Layer: "AFL", Mode: t.Security.Mode, Err: ErrBadMAC}
	}
	t.Security.Verified = true
	return nil
}

// admit applies the policy to a telegram of a meter that has a key. A meter that
// proved one of its messages proves them all: one whose code was cut off is
// taken for unprotected.
func (d *Decoder) admit(t *Telegram, lower Lower) error {
	s, a := &t.Security, t.Header.Address
	m := d.meters.of(a)
	var last uint32
	known := false
	if d.Counters != nil {
		last, known = d.Counters.Counter(m.counter)
	}
	proves := m.proves || known
	switch {
	case s.Verified:
		m.proves = true
	case proves || !s.Encrypted && !lower.Deciphered:
		if d.Counters != nil && (d.AcceptUnprotected == nil || !d.AcceptUnprotected(a)) {
			return &SecurityError{Address: a, Mode: s.Mode, Err: ErrUnprotected}
		}
		s.Unverified = true
	}
	switch {
	case d.Counters == nil || !s.Counted:
		return nil
	case known && s.Counter <= last:
		return &SecurityError{Address: a, Mode: s.Mode, Err: ErrReplay}
	case !s.Verified:
		return nil
	}
	return d.Counters.SetCounter(m.counter, s.Counter)
}

// decrypt returns the telegram b with its plain text in place of the encrypted
// octets, and where that begins; t.Payload becomes that text.
func (d *Decoder) decrypt(t *Telegram, b []byte, lower Lower) (text []byte, start int, err error) {
	mode := t.Header.Config.Mode()
	t.Security.Mode = mode
	start = len(b) - len(t.Payload)
	text = b
	switch mode {
	case 5, 7:
		text, start, err = d.decryptBlocks(t, b, start, lower)
	case 10:
		text, start, err = d.decryptMode10(t, b, start)
	default:
		err = ErrUnsupported
	}
	if err != nil {
		return nil, 0, asSecurityError(err, t.Header.Address, mode)
	}
	t.Payload = text[start:]
	return text, start, nil
}

// asSecurityError names meter and mode, unless the telegram itself is malformed.
func asSecurityError(err error, a Address, mode int) error {
	var pe *ParseError
	if errors.As(err, &pe) {
		return err
	}
	return &SecurityError{Address: a, Mode: mode, Err: err}
}

// decryptBlocks decrypts modes 5 and 7: whole blocks of AES-CBC, with an initial
// vector of address and access number, or with a key that is derived for this
// message. The plain text begins with two fillers, by which a wrong key is told.
func (d *Decoder) decryptBlocks(t *Telegram, b []byte, start int, lower Lower) (text []byte, at int, err error) {
	var e extensionHeader
	if t.Header.Config.Mode() == 7 {
		if e, start, err = parseExtension(t.Header.Config, b, start); err != nil {
			return nil, 0, err
		}
		t.Security.Counter, t.Security.Counted = e.counter, e.counted
	}
	sealed := b[start:]
	n := 16 * t.Header.Config.Blocks()
	if n > len(sealed) {
		return nil, 0, &ParseError{Field: "encrypted blocks", Offset: len(b), Err: fmt.Errorf("%d octets announced: %w", n, io.ErrUnexpectedEOF)}
	}
	if n == 0 {
		return b, start, nil
	}
	// A receiver that decrypts leaves the configuration field as it was.
	plain := sealed[0] == difFiller && sealed[1] == difFiller
	key := d.Key(t.Header.Address)
	switch {
	case key == nil && plain:
		return b, start, nil
	case key == nil:
		t.Security.Encrypted = true
		return nil, 0, ErrNoKey
	}
	t.Security.Encrypted = true
	d.iv = [16]byte{}
	if t.Header.Config.Mode() == 5 {
		d.iv = cbcVector(t.Header)
	} else if key, err = e.derive(key, t.Header.Address, lower); err != nil {
		return nil, 0, err
	}
	d.plain = append(d.plain[:0], b...)
	key.decryptCBC(&d.iv, d.plain[start:start+n], sealed[:n])
	switch {
	case d.plain[start] == difFiller && d.plain[start+1] == difFiller:
		t.open = start + n
		return d.plain, start, nil
	case plain:
		t.Security.Encrypted = false
		return b, start, nil
	}
	return nil, 0, ErrWrongKey
}

// extensionHeader is what modes 7 and 10 have behind the configuration field.
type extensionHeader struct {
	derivation byte // 0: the key itself, 1: key derivation function A
	tag        byte // how long the tag of mode 10 is
	counted    bool
	counter    uint32
}

// parseExtension reads the octets behind the configuration field at b[at:], and
// returns where they end.
func parseExtension(c Config, b []byte, at int) (e extensionHeader, end int, err error) {
	need := 1
	if c.Mode() == 10 {
		need = 2
	}
	e.counted = c&0x2000 != 0
	counter := at + need
	end = counter
	if e.counted {
		end += 4
	}
	if at < len(b) && b[at]&0x40 != 0 {
		end++ // version of the key
	}
	if end > len(b) || at >= len(b) {
		return e, 0, &ParseError{Field: "configuration extension", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	e.derivation = b[at] >> 4 & 3
	if need == 2 {
		e.tag = b[at+1]
	}
	if e.counted {
		e.counter = binary.LittleEndian.Uint32(b[counter:])
	}
	return e, end, nil
}

// derive returns the key that encrypts the message.
func (e extensionHeader) derive(key *Key, a Address, lower Lower) (*Key, error) {
	switch {
	case e.derivation == 0:
		return key, nil
	case e.derivation != 1:
		return nil, ErrUnsupported
	case e.counted:
		return key.Derive(DeriveEncryption, e.counter, a.ID)
	case lower.Counted:
		return key.Derive(DeriveEncryption, lower.Counter, a.ID)
	}
	return nil, ErrNoCounter
}

// tagLen is the length of the tag of mode 10 by the second octet of the
// configuration extension. Only 8 was seen in a telegram.
var tagLen = [4]int{4, 8, 12, 16}

// decryptMode10 decrypts and checks AES-CCM. The nonce is made of address and
// counter, the header is authenticated with the text. This layout was found in
// telegrams of Kamstrup meters, whose tags it satisfies.
func (d *Decoder) decryptMode10(t *Telegram, b []byte, header int) (text []byte, start int, err error) {
	e, start, err := parseExtension(t.Header.Config, b, header)
	if err != nil {
		return nil, 0, err
	}
	t.Security.Encrypted = true
	t.Security.Counter, t.Security.Counted = e.counter, e.counted
	if e.tag > 3 || !e.counted {
		return nil, 0, ErrUnsupported
	}
	end := len(b) - tagLen[e.tag]
	if n := int(t.Header.Config & 0xFF); n != 0xFF && start+n <= end {
		end = start + n
	} else if n != 0xFF || end < start {
		return nil, 0, &ParseError{Field: "encrypted octets", Offset: len(b), Err: fmt.Errorf("%d octets and the tag announced: %w", n, io.ErrUnexpectedEOF)}
	}
	key := d.Key(t.Header.Address)
	if key == nil {
		return nil, 0, ErrNoKey
	}
	if key, err = e.derive(key, t.Header.Address, Lower{}); err != nil {
		return nil, 0, err
	}
	var nonce [13]byte
	t.Header.Address.AppendLink(nonce[:0])
	binary.BigEndian.PutUint32(nonce[9:], e.counter)
	authenticated := b[: header+2 : header+2] // CI, header and configuration extension
	d.plain = append(d.plain[:0], b[:start]...)
	verified := false
	if d.plain, verified = key.openCCM(d.plain, nonce, authenticated, b[start:end], b[len(b)-tagLen[e.tag]:]); verified {
		t.Security.Verified = true
		return d.plain, start, nil
	}
	// A plain text that makes sense tells a wrong tag from a wrong key.
	if _, err := d.appendRecords(d.records[:0], d.plain, start); err == nil && end > start {
		return nil, 0, ErrBadMAC
	}
	return nil, 0, ErrWrongKey
}

// AppendEncrypted appends a header and records encrypted in mode 5, for which it
// sets the configuration field and fills up the last block.
func AppendEncrypted(dst []byte, h Header, records []byte, key *Key) ([]byte, error) {
	blocks := (2 + len(records) + 15) / 16
	if blocks > 15 {
		return dst, fmt.Errorf("mbus: %d octets of records are more than mode 5 can encrypt", len(records))
	}
	h.Config = h.Config&^0x1FF0 | 0x0500 | Config(blocks)<<4
	return appendBlocks(h.AppendBinary(dst), records, blocks, key, cbcVector(h)), nil
}

// AppendEphemeral appends a header and records encrypted in mode 7, by a key that
// is derived from key and the message counter, which the AFL must carry. It sets
// the configuration field and fills up the last block.
func AppendEphemeral(dst []byte, h Header, records []byte, key *Key, counter uint32) ([]byte, error) {
	blocks := (2 + len(records) + 15) / 16
	if blocks > 15 {
		return dst, fmt.Errorf("mbus: %d octets of records are more than mode 7 can encrypt", len(records))
	}
	ephemeral, err := key.Derive(DeriveEncryption, counter, h.Address.ID)
	if err != nil {
		return dst, err
	}
	h.Config = h.Config&^0x3FFF | 0x0700 | Config(blocks)<<4
	const derivationA = 0x10
	return appendBlocks(append(h.AppendBinary(dst), derivationA), records, blocks, ephemeral, [16]byte{}), nil
}

// appendBlocks appends records in blocks of AES-CBC.
func appendBlocks(dst, records []byte, blocks int, key *Key, iv [16]byte) []byte {
	at := len(dst)
	dst = append(append(dst, difFiller, difFiller), records...)
	for len(dst)-at < 16*blocks {
		dst = append(dst, difFiller)
	}
	cipher.NewCBCEncrypter(key.block, iv[:]).CryptBlocks(dst[at:], dst[at:])
	return dst
}

// cbcVector is the initial vector of mode 5: link address and eight times the access number.
func cbcVector(h Header) (iv [16]byte) {
	h.Address.AppendLink(iv[:0])
	for i := 8; i < 16; i++ {
		iv[i] = h.Access
	}
	return iv
}

package mbus

import (
	"io"
	"slices"

	"github.com/openusm/meter/internal/wire"
	"github.com/openusm/meter/obis"
)

// Telegram is what one CI field begins. It aliases the input, and the memory of
// the [Decoder] that read it.
type Telegram struct {
	CI       CI
	Header   Header
	Content  Content  // what CI announces; ContentFixed also for the old use of CI 73
	Security Security // what was done about encryption
	Payload  []byte   // the octets behind the header, decrypted
	Records  []Record // of ContentRecords, ContentFixed, ContentCompact and ContentCommand
	More     bool     // the meter has another telegram for the next request
	start    int      // of Payload in the slice given to Parse
	open     int      // where what was not encrypted begins, in a telegram that was
	Broken   error    // where the records stop being readable; a [*ParseError], nil where all could be read
}

// Decoder reads telegrams without allocating, once its memory has grown. What
// it returned is valid until the next call of Parse. It is not safe for use by
// several goroutines. The zero Decoder has no keys.
type Decoder struct {
	// Keys returns the key of a meter, nil where there is none. It is asked once
	// for a meter; the answers for the last 4,096 meters are remembered. Nil: no keys.
	Keys func(Address) *Key
	// Counters remembers the counters of verified messages: one that is not above
	// the last of its meter is refused ([ErrReplay]), and so is a telegram without
	// protection of a meter that has a key ([ErrUnprotected]). Nil: this is a
	// capture, of which the messages may come in any order and more than once, and
	// the readings of such telegrams are delivered as unverified.
	Counters Counters
	// AcceptUnprotected delivers telegrams without protection of meters that have
	// a key on live lines too, as unverified.
	AcceptUnprotected func(Address) bool
	// Formats remembers the formats by which compact frames are read. Nil: only
	// those that are known beforehand.
	Formats Formats
	// MaxRecords is how many records a telegram may have. 0: 1024.
	MaxRecords int

	records []Record
	scratch []byte // texts in reading order and bits with the first octet first
	plain   []byte // what was decrypted or rebuilt
	times   []storageTime
	iv      [16]byte
	stream  [16]byte     // a block of the key stream of CTR
	headers []byte       // of a full frame
	last    bool         // nothing comes for which a format would have to be learnt
	full    []byte       // rebuilt from a compact frame
	maker   Manufacturer // whose rules these are
	rules   []manufacturerRow
	msb     bool // numbers come with their most significant octet first
	meters  meters
	report  Report
	text    []byte
}

// Lower is what the layers below know of a telegram. The zero Lower is that of a wire.
type Lower struct {
	Radio   bool
	Address Address // of the radio link layer, for headers without one and for security
	Counter uint32  // message counter of the AFL, for mode 7
	Counted bool    // there is such a counter
	// Deciphered says that a layer below was encrypted, and opened with the key of the meter.
	Deciphered bool
	// MAC is the message authentication code of the AFL, nil where there is none.
	MAC interface {
		// Verify reports whether it is that of the message, which begins with its CI
		// field, by the key of the meter of this ID. An error that is [ErrUnsupported]
		// means that this cannot be told.
		Verify(message []byte, key *Key, id uint32) (bool, error)
	}
}

// Parse reads a telegram of a wired meter, from the CI field to the end of b.
func Parse(b []byte) (Telegram, error) { return new(Decoder).Parse(b, Lower{}) }

// Parse reads a telegram from the CI field to the end of b. It fails where the
// headers cannot be read, or where the telegram stays encrypted: see [Security]
// for what it then returns. A record that cannot be read spoils no other, see
// [Telegram.Broken].
func (d *Decoder) Parse(b []byte, lower Lower) (t Telegram, err error) {
	if len(b) == 0 {
		return Telegram{}, &ParseError{Field: "CI", Err: io.ErrUnexpectedEOF}
	}
	t.CI = CI(b[0])
	info := ciTable[b[0]]
	form := info.header
	t.Content = info.content
	if t.CI == 0x73 && !lower.Radio && len(b) == 1+fixedLen || t.CI == 0x77 {
		t.Content, form = ContentFixed, HeaderNone
	}
	d.msb = t.CI == 0x76 || t.CI == 0x77
	d.scratch = d.scratch[:0]
	n := 0
	t.Header, n, err = parseHeader(b, form, d.msb)
	if err != nil {
		return Telegram{}, err
	}
	if form != HeaderLong {
		t.Header.Address = lower.Address
	}
	t.Payload = b[n:]
	base := b
	t.open = len(b)
	mode := t.Header.Config.Mode()
	if form == HeaderNone {
		mode = 0
	}
	ambiguous := mode != 0 && !lower.Radio && !d.encryptable(&t)
	if mode != 0 && !ambiguous {
		if base, n, err = d.decrypt(&t, b, lower); err != nil {
			return t, err
		}
	}
	t.start = n
	if err := d.content(&t, base, n); err != nil {
		return t, err
	}
	if ambiguous && t.hasValues() {
		if err := t.suspect(mode); err != nil {
			return t, err
		}
	}
	if err := d.judge(&t, b, lower); err != nil {
		return t, err
	}
	if d.Formats != nil && !d.last && t.Broken == nil && (t.Content == ContentRecords || t.Content == ContentCommand) {
		d.learn(&t)
	}
	return t, nil
}

// hasValues reports whether the content are values of the meter.
func (t *Telegram) hasValues() bool {
	return t.Content == ContentRecords || t.Content == ContentFixed || t.Content == ContentCompact
}

// content reads what stands behind the header, b[n:].
func (d *Decoder) content(t *Telegram, b []byte, n int) error {
	if mode := t.Security.Mode; (mode == 5 || mode == 7) && t.Content != ContentRecords {
		for range 2 { // the fillers that prove the key are no part of other contents
			if n < len(b) && b[n] == difFiller {
				n++
			}
		}
	}
	switch t.Content {
	case ContentRecords, ContentCommand:
		d.records, t.Broken = d.appendRecords(d.records[:0], b, n)
		t.Records = d.records
	case ContentFixed:
		return d.fixed(t, b, n)
	case ContentCompact:
		return d.compact(t, b, n)
	case ContentFormat:
		return d.format(b, n)
	}
	if k := len(t.Records); k > 0 {
		t.More = t.Records[k-1].Function == MoreFollows
	}
	return nil
}

// Clone returns the telegram with memory of its own.
func (t Telegram) Clone() Telegram {
	t.Payload = append([]byte(nil), t.Payload...)
	t.Records = slices.Clone(t.Records)
	for i := range t.Records {
		t.Records[i].own(nil)
	}
	return t
}

// own appends the octets to which the record refers to dst, and makes it refer to
// them there; those of its value get memory of their own.
func (r *Record) own(dst []byte) []byte {
	dst = wire.Move(wire.Move(dst, &r.ID), &r.Data)
	if r.Value.Kind() >= obis.KindBits { // numbers refer to none
		r.Value = r.Value.Clone()
	}
	return dst
}

// Meter returns the identity of the meter that sent the telegram.
func (t *Telegram) Meter() obis.Meter {
	return new(Decoder).meter(t)
}

// AppError is the application error that a meter reports instead of an answer.
type AppError struct {
	Code  byte
	Known bool // Code was transmitted
}

func (e AppError) Error() string {
	switch {
	case !e.Known:
		return "mbus: application error"
	case int(e.Code) < len(appErrors):
		return "mbus: application error: " + appErrors[e.Code]
	}
	return "mbus: application error: reserved code"
}

var appErrors = [...]string{
	"unspecified", "CI field not implemented", "buffer too long", "too many records", "premature end of record",
	"more than 10 DIFEs", "more than 10 VIFEs", "reserved", "application too busy", "too many readouts",
}

// AppError returns the application error that the telegram is, if it is one.
func (t *Telegram) AppError() (e AppError, ok bool) {
	if t.Content != ContentError {
		return AppError{}, false
	}
	if len(t.Payload) > 0 {
		e = AppError{t.Payload[0], true}
	}
	return e, true
}

// Alarm returns the alarm octet of a telegram that carries one.
func (t *Telegram) Alarm() (alarm byte, ok bool) {
	if t.Content != ContentAlarm || len(t.Payload) == 0 {
		return 0, false
	}
	return t.Payload[0], true
}

// reversed returns the octets of b in the other order, in memory of the decoder.
func (d *Decoder) reversed(b []byte) []byte {
	if len(b) == 1 {
		return b
	}
	at := len(d.scratch)
	for i := len(b) - 1; i >= 0; i-- {
		d.scratch = append(d.scratch, b[i])
	}
	return d.scratch[at:len(d.scratch):len(d.scratch)]
}

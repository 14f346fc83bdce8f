package wmbus

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/openusm/meter/mbus"
)

// AFL is the authentication and fragmentation layer (EN 13757-7). The zero AFL is none.
//
//	90 length FCL(2) [MCL] [KI(2)] [MCR(4)] [MAC] [ML(2)]
//
// FCL says which of the fields are there.
type AFL struct {
	Control  uint16 // FCL: fragmentation control
	Message  byte   // MCL: message control, how the message is authenticated
	KeyInfo  uint16 // KI
	Counter  uint32 // MCR: message counter
	MAC      []byte
	Length   uint16 // ML: of the whole message
	size     int    // octets that the layer takes
	fragment uint16 // FCL as it came with this fragment
	macLen   int
}

const (
	fclMore    = 0x4000
	fclMessage = 0x2000
	fclLength  = 0x1000
	fclCounter = 0x0800
	fclMAC     = 0x0400
	fclKeyInfo = 0x0200
)

// Fragment returns the number of the fragment, 0 if the message is not fragmented.
func (a AFL) Fragment() int { return int(a.Control & 0xFF) }

// More reports whether more fragments follow.
func (a AFL) More() bool { return a.Control&fclMore != 0 }

// macLen is the length of the MAC by the authentication type of MCL.
var macLen = [16]int{3: 2, 4: 4, 5: 8, 6: 12, 7: 16, 8: 12, 9: 16}

// parseAFL reads the layer at the start of b.
func parseAFL(b []byte) (a AFL, err error) {
	fail := func(field string, offset int, err error) (AFL, error) {
		return AFL{}, &ParseError{Layer: "AFL", Field: field, Offset: offset, Err: err}
	}
	if len(b) < 2 || len(b) < 2+int(b[1]) {
		return fail("header", len(b), io.ErrUnexpectedEOF)
	}
	a.size = 2 + int(b[1])
	at, end := 2, a.size
	short := false
	take := func(n int) []byte {
		if at+n > end {
			short = true
			return make([]byte, 4)
		}
		at += n
		return b[at-n : at : at]
	}
	a.Control = binary.LittleEndian.Uint16(take(2))
	a.fragment = a.Control
	if a.Control&fclMessage != 0 {
		a.Message = take(1)[0]
	}
	if a.Control&fclKeyInfo != 0 {
		a.KeyInfo = binary.LittleEndian.Uint16(take(2))
	}
	if a.Control&fclCounter != 0 {
		a.Counter = binary.LittleEndian.Uint32(take(4))
	}
	if short {
		return fail("length", 1, fmt.Errorf("%d octets do not hold the fields announced", b[1]))
	}
	if a.Control&fclMAC != 0 {
		n := macLen[a.Message&15]
		if a.Control&fclMessage == 0 { // the length was announced with the first fragment
			n = end - at
			if a.Control&fclLength != 0 {
				n -= 2
			}
		}
		if n < 0 || at+n > end {
			return fail("MAC", at, fmt.Errorf("%d octets do not fit", n))
		}
		a.MAC, a.macLen = take(n), n
	}
	if a.Control&fclLength != 0 {
		a.Length = binary.LittleEndian.Uint16(take(2))
	}
	if short {
		return fail("length", 1, fmt.Errorf("%d octets do not hold the fields announced", b[1]))
	}
	return a, nil
}

// merge takes over from the first fragment what later ones do not repeat.
func (a *AFL) merge(first AFL) {
	if a.Control&fclMessage == 0 {
		a.Message = first.Message
	}
	if a.Control&fclKeyInfo == 0 {
		a.KeyInfo = first.KeyInfo
	}
	if a.Control&fclCounter == 0 {
		a.Counter = first.Counter
	}
	if a.Control&fclLength == 0 {
		a.Length = first.Length
	}
	a.Control |= first.Control &^ (fclMore | 0xFF)
	if a.MAC == nil {
		a.MAC = first.MAC
	}
}

// Verify checks the MAC over the message, which begins with its CI field, with
// a key derived from that of the meter.
func (a *AFL) Verify(message []byte, key *mbus.Key, id uint32) (ok bool, err error) {
	t := a.Message & 15
	if t >= 8 || macLen[t] == 0 {
		return false, mbus.ErrUnsupported
	}
	if len(a.MAC) != macLen[t] {
		return false, nil
	}
	k, err := key.Derive(mbus.DeriveAuthentication, a.Counter, id)
	if err != nil {
		return false, err
	}
	head := []byte{a.Message}
	if a.Message&0x10 != 0 {
		head = binary.LittleEndian.AppendUint16(head, a.KeyInfo)
	}
	if a.Message&0x20 != 0 {
		head = binary.LittleEndian.AppendUint32(head, a.Counter)
	}
	if a.Message&0x40 != 0 {
		head = binary.LittleEndian.AppendUint16(head, a.Length)
	}
	mac := k.CMAC(head, message)
	return subtle.ConstantTimeCompare(mac[:len(a.MAC)], a.MAC) == 1, nil
}

// ErrFragment reports a fragment that was kept: the message is complete only
// with those that follow.
var ErrFragment = errors.New("wmbus: more fragments of this message follow")

// ErrLostFragment reports that a fragment of the message was missed.
var ErrLostFragment = errors.New("a fragment is missing")

// maxMessages is how many fragmented messages are kept at a time.
const maxMessages = 64

// maxMessage is the greatest length of a reassembled message.
const maxMessage = 1 << 14

// message is a message of which not all fragments have come.
type message struct {
	first AFL
	last  int // number of the last fragment
	data  []byte
}

// fragments reassembles messages.
type fragments struct {
	open  map[mbus.Address]*message
	order []mbus.Address // oldest first
}

// add takes a fragment and returns the whole message if it is the last, its layer completed.
func (f *fragments) add(from mbus.Address, a *AFL, data []byte) (whole []byte, err error) {
	lost := func(n int) ([]byte, error) {
		f.drop(from)
		return nil, &ParseError{Layer: "AFL", Field: "fragment", Offset: 2, Err: fmt.Errorf("%w: number %d", ErrLostFragment, n)}
	}
	m := f.open[from]
	switch n := a.Fragment(); {
	case n == 1:
		f.drop(from)
		m = f.begin(from, a)
	case m == nil:
		return lost(1)
	case n == m.last && a.More():
		return nil, ErrFragment // repeated
	case n != m.last+1:
		return lost(m.last + 1)
	}
	m.last = a.Fragment()
	m.data = append(m.data, data...)
	if len(m.data) > maxMessage {
		f.drop(from)
		return nil, &ParseError{Layer: "AFL", Field: "fragment", Offset: 2, Err: fmt.Errorf("message of more than %d octets", maxMessage)}
	}
	if a.More() {
		return nil, ErrFragment
	}
	f.drop(from)
	a.merge(m.first)
	if a.Control&fclLength != 0 && int(a.Length) != len(m.data) {
		return nil, &ParseError{Layer: "AFL", Field: "ML", Offset: 2, Err: fmt.Errorf("message of %d octets, %d announced", len(m.data), a.Length)}
	}
	return m.data, nil
}

// begin opens a message, in place of the oldest if there are too many.
func (f *fragments) begin(from mbus.Address, a *AFL) *message {
	if f.open == nil {
		f.open = map[mbus.Address]*message{}
	}
	if len(f.order) >= maxMessages {
		f.drop(f.order[0])
	}
	m := &message{first: *a}
	m.first.MAC = append([]byte(nil), a.MAC...)
	f.open[from] = m
	f.order = append(f.order, from)
	return m
}

func (f *fragments) drop(from mbus.Address) {
	if f.open[from] == nil {
		return
	}
	delete(f.open, from)
	for i, a := range f.order {
		if a == from {
			f.order = append(f.order[:i], f.order[i+1:]...)
			return
		}
	}
}

// AppendAuthenticated appends an AFL with a message counter and a code of eight
// octets, and behind it the message, from its CI field on, of the meter of this ID.
func AppendAuthenticated(dst, message []byte, key *mbus.Key, counter, id uint32) ([]byte, error) {
	const (
		control = fclMessage | fclCounter | fclMAC
		method  = 0x25 // the counter is in the message, CMAC of eight octets
		size    = 2 + 1 + 4 + 8
	)
	k, err := key.Derive(mbus.DeriveAuthentication, counter, id)
	if err != nil {
		return dst, err
	}
	fields := binary.LittleEndian.AppendUint32([]byte{method}, counter)
	mac := k.CMAC(fields, message)
	dst = binary.LittleEndian.AppendUint16(append(dst, 0x90, size), control)
	return append(append(append(dst, fields...), mac[:8]...), message...), nil
}

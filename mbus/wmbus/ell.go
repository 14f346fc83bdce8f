package wmbus

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/openusm/meter/internal/crc16"
	"github.com/openusm/meter/mbus"
)

// ELL is the extended link layer (EN 13757-4). The zero ELL is none.
//
//	8C CC ACC
//	8D CC ACC SN(4) CRC(2)
//	8E CC ACC M2(2) A2(6)
//	8F CC ACC M2(2) A2(6) SN(4) CRC(2)
//
// What follows SN may be encrypted, the CRC included.
type ELL struct {
	CI       byte         // 8C to 8F
	Control  byte         // communication control field
	Access   byte         // access number
	Receiver mbus.Address // of 8E and 8F
	Session  uint32       // session number of 8D and 8F
	Verified bool         // the CRC of the payload was right: no proof of who sent it
	// Deciphered says that the payload was encrypted, and opened with the key of the meter.
	Deciphered bool
}

// Bits of the communication control field.
const (
	ellHop      = 0x10 // the telegram was repeated
	ellRepeated = 0x02 // it was relayed by another meter
)

// secured reports whether the layer has a session number and a CRC.
func (e ELL) secured() bool { return e.CI == 0x8D || e.CI == 0x8F }

// Encryption returns how the session number says that the payload is encrypted:
// 0 not at all, 1 AES-CTR.
func (e ELL) Encryption() int { return int(e.Session >> 29) }

// parseELL reads the layer at the start of b and returns how many octets it
// took, the CRC not among them.
func parseELL(b []byte) (e ELL, n int, err error) {
	n = 3
	switch b[0] {
	case 0x8D:
		n = 7
	case 0x8E:
		n = 11
	case 0x8F:
		n = 15
	}
	if len(b) < n {
		return ELL{}, 0, &ParseError{Layer: "ELL", Field: "header", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	e = ELL{CI: b[0], Control: b[1], Access: b[2]}
	rest := b[3:n]
	if e.CI >= 0x8E {
		e.Receiver = mbus.LinkAddress([8]byte(rest))
		rest = rest[8:]
	}
	if e.secured() {
		e.Session = binary.LittleEndian.Uint32(rest)
	}
	return e, n, nil
}

// open decrypts what follows the session number, and checks its CRC. It appends
// the payload without the CRC to dst.
func (e *ELL) open(dst, b []byte, sender mbus.Address, d *mbus.Decoder) (payload []byte, err error) {
	if len(b) < crcLen {
		return nil, &ParseError{Layer: "ELL", Field: "CRC", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	plain := b
	inPlain := binary.LittleEndian.Uint16(b) == crc16.EN13757(b[crcLen:]) // the receiver has decrypted it
	switch n := e.Encryption(); {
	case n == 0 || inPlain:
	case n == 1:
		k := d.Key(sender)
		if k == nil {
			return nil, &mbus.SecurityError{Address: sender, Layer: "ELL", Err: mbus.ErrNoKey}
		}
		dst = append(dst, b...)
		plain = dst[len(dst)-len(b):]
		d.DecryptCTR(k, e.counter(sender), plain)
	default:
		return nil, &mbus.SecurityError{Address: sender, Layer: "ELL", Mode: n, Err: mbus.ErrUnsupported}
	}
	have, want := binary.LittleEndian.Uint16(plain), crc16.EN13757(plain[crcLen:])
	if have != want {
		if e.Encryption() != 0 && !inPlain {
			return nil, &mbus.SecurityError{Address: sender, Layer: "ELL", Err: mbus.ErrWrongKey}
		}
		return nil, &ParseError{Layer: "ELL", Field: "CRC", Err: fmt.Errorf("%w: 0x%04x, want 0x%04x", ErrCRC, have, want)}
	}
	e.Verified, e.Deciphered = true, e.Encryption() != 0 && !inPlain
	return plain[crcLen:], nil
}

// counter is the first counter block: sender, control field without the bits
// that repeaters change, session, and the number of the frame and the block.
func (e *ELL) counter(sender mbus.Address) (c [16]byte) {
	sender.AppendLink(c[:0])
	c[8] = e.Control &^ (ellHop | ellRepeated)
	binary.LittleEndian.PutUint32(c[9:], e.Session)
	return c
}

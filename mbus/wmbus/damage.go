package wmbus

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/openusm/meter/internal/crc16"
	"github.com/openusm/meter/mbus"
)

// A bare frame has nothing by which damage could be seen, and a frame with CRCs
// that was damaged has the length of a bare one, or a length that was damaged
// itself. What tells them apart is that a CRC is wrong as one flipped bit makes
// it, and what stands behind the last record.

// maxFrame is the longest frame with its CRCs.
const maxFrame = 1 + 255 + crcLen*(2+(255-headerLen)/blockLen)

// flipped tells by how a CRC is wrong which bit was flipped: 1 for the last one of
// the CRC, 2 for the one before, and so on, 0 for more than one.
var flipped = sync.OnceValue(func() *[1 << 16]uint16 {
	const polynomial = 0x3D65
	at := new([1 << 16]uint16)
	for syndrome, bit := uint16(1), uint16(1); bit <= 8*maxFrame && at[syndrome] == 0; bit++ {
		at[syndrome] = bit
		carry := syndrome >> 15
		syndrome = syndrome<<1 ^ polynomial*carry
	}
	return at
})

// oneBit reports whether b[:size] and the CRC behind it differ in one bit from
// what fits, and how many octets before the end of the CRC it is.
func oneBit(b []byte, size int) (octet int, yes bool) {
	syndrome := crc16.EN13757(b[:size]) ^ binary.BigEndian.Uint16(b[size:])
	bit := int(flipped()[syndrome])
	return (bit - 1) / 8, 0 < bit && bit <= 8*(size+crcLen)
}

// damagedB reports whether b, all of it, is a frame of format B one bit of which
// was flipped.
func damagedB(b []byte) bool {
	if len(b) > firstPartB+2*crcLen {
		second := b[firstPartB+crcLen:]
		if len(second) > firstPartB+crcLen {
			return false
		}
		size := len(second) - crcLen
		first := crc16.EN13757(b[:firstPartB]) == binary.BigEndian.Uint16(b[firstPartB:])
		last := crc16.EN13757(second[:size]) == binary.BigEndian.Uint16(second[size:])
		if first != last {
			return true
		}
		_, yes := oneBit(b, firstPartB)
		return yes && last
	}
	if len(b) <= headerLen+crcLen || len(b) > firstPartB+crcLen {
		return false
	}
	_, yes := oneBit(b, len(b)-crcLen)
	return yes
}

// damagedA reports whether b is a frame of format A although its CRCs are wrong:
// it has the length of one, its first block is whole, or lacks nothing but one
// bit of the length.
func damagedA(b []byte) bool {
	if len(b) == lengthA(b[0]) {
		return true
	}
	if len(b) < headerLen+crcLen {
		return false
	}
	if crc16.EN13757(b[:headerLen]) == binary.BigEndian.Uint16(b[headerLen:]) {
		return true
	}
	if at, yes := oneBit(b, headerLen); !yes || at != headerLen+crcLen-1 {
		return false
	}
	for bit := range 8 {
		if l := b[0] ^ 1<<bit; l >= headerLen && lengthA(l) == len(b) {
			return true
		}
	}
	return false
}

// damaged returns the error of a frame with CRCs that b is, which has the form of
// the bare frame f of n octets.
func damaged(f Frame, n int, b []byte) (Format, error) {
	switch {
	case n < len(b) && damagedA(b), n == len(b) && len(b) >= headerLen+crcLen && damagedA(b) && !ends(f.Payload):
		return FormatA, wrongCRC(b, headerLen)
	case n < len(b) && damagedB(b), n == len(b) && damagedB(b) && hasCRC(f.Payload):
		return FormatB, wrongCRC(b, min(len(b)-crcLen, firstPartB))
	}
	return Bare, nil
}

// wrongCRC is the error of the CRC behind b[:size], or of a later one where that is right.
func wrongCRC(b []byte, size int) error {
	if err := checkCRC(b, 0, size); err != nil {
		return err
	}
	return &ParseError{Field: "CRC", Offset: size + crcLen, Err: ErrCRC}
}

// hasCRC reports whether a payload has a CRC behind what it holds, as far as that
// can be told: records that stop making sense at its end or need nothing of it,
// blocks that leave so many octets over. Fillers are no CRC.
func hasCRC(payload []byte) bool {
	t, err := application(payload)
	var se *mbus.SecurityError
	n := len(payload) - crcLen
	switch {
	case n < 0 || t.Content != mbus.ContentRecords:
		return false
	case errors.As(err, &se):
		return (se.Mode == 5 || se.Mode == 7) && len(t.Payload)-extensionLen(&t)-16*t.Header.Config.Blocks() == crcLen
	case err != nil || t.Broken != nil:
		return true
	}
	return payload[n] != payload[n+1] && ends(payload[:n])
}

// extensionLen is how many octets mode 7 has between configuration field and blocks.
func extensionLen(t *mbus.Telegram) (n int) {
	if t.Header.Config.Mode() != 7 || len(t.Payload) == 0 {
		return 0
	}
	n = 1
	if t.Header.Config&0x2000 != 0 { // message counter
		n += 4
	}
	if t.Payload[0]&0x40 != 0 { // version of the key
		n++
	}
	return n
}

// ends reports whether the records of a telegram go to the end of its payload.
func ends(payload []byte) bool {
	t, err := application(payload)
	return errors.As(err, new(*mbus.SecurityError)) || err == nil && t.Broken == nil
}

// application reads the telegram within the payload of a frame.
func application(payload []byte) (mbus.Telegram, error) {
	var d Decoder
	t := Telegram{Frame: Frame{Payload: payload}}
	if err := d.unwrap(&t); err != nil {
		return mbus.Telegram{}, err
	}
	return d.Decoder.Parse(d.inner.octets, d.inner.lower)
}

package sml

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/openusm/meter/obis"
)

// AppendReadings appends the readings of all lists of the frame. The error
// joins those of messages that cannot be read; the readings of the others are
// there all the same. Source counts the registers of the frame. A [Decoder] does
// it again and again without allocating.
func AppendReadings(dst []obis.Reading, f Frame) ([]obis.Reading, error) {
	var d Decoder
	dst = d.read(dst, f)
	return dst, d.content.Err
}

// Meter returns the identity of the meter that sent the frame.
func (f Frame) Meter() obis.Meter { return new(Decoder).Decode(f).Meter }

var (
	codeManufacturer    = obis.Code{129, 129, 199, 130, 3, 255}
	codeManufacturerFNN = obis.Code{1, 0, 96, 50, 1, 1}
	codeDevice          = obis.Code{1, 0, 96, 1, 0, 255}
	codeServer          = obis.Code{1, 0, 0, 0, 9, 255}
)

// identify takes a server id. Those of DIN 43863-5 are written as people do,
// "1 DZG 00 60694612": medium, manufacturer, block, number. Others are text or
// hexadecimal.
func identify(m *obis.Meter, id []byte) {
	number := id
	switch {
	case len(id) == 0:
		return
	case len(id) == 10 && (id[0] == 0x09 || id[0] == 0x0A) && isLetters(id[2:5]):
		number = id[1:]
	case len(id) == 9 && isLetters(id[1:4]):
	default:
		m.ID = text(id)
		m.Serial = m.ID
		return
	}
	m.Manufacturer = string(number[1:4])
	n := uint32(number[5])<<24 | uint32(number[6])<<16 | uint32(number[7])<<8 | uint32(number[8])
	m.Serial = fmt.Sprintf("%08d", n)
	m.ID = fmt.Sprintf("%X%s%02X%s", number[0], number[1:4], number[4], m.Serial)
}

func isLetters(b []byte) bool {
	for _, c := range b {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}

func text(b []byte) string {
	if octets(b).Kind() == obis.KindText {
		return string(b)
	}
	return strings.ToUpper(hex.EncodeToString(b))
}

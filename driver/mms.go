package driver

import (
	"encoding/binary"

	"github.com/openusm/meter/iec61850/goose"
	"github.com/openusm/meter/iec61850/mms"
)

// mmsDriver explains the packets of an association of IEC 61850-8-1.
func mmsDriver() Driver {
	return Driver{Protocol: MMS, Detect: isTPKT, Explainer: func(_ *Config, note func(Note)) (Explainer, error) {
		return explains{note, whole(mms.Explain), nil}, nil
	}}
}

// gooseDriver explains messages of IEC 61850-8-1 behind their EtherType.
func gooseDriver() Driver {
	return Driver{Protocol: GOOSE, Explainer: func(_ *Config, note func(Note)) (Explainer, error) {
		return explains{note, whole(goose.Explain), nil}, nil
	}}
}

// isTPKT knows a packet of RFC 1006 with a TPDU of class 0 in it.
func isTPKT(b []byte) bool {
	if len(b) < 7 || b[0] != 3 || b[1] != 0 || int(binary.BigEndian.Uint16(b[2:])) < 7 {
		return false
	}
	switch b[5] {
	case 0xE0, 0xD0, 0xF0, 0x80, 0x70:
		return int(b[4])+5 <= int(binary.BigEndian.Uint16(b[2:]))
	}
	return false
}

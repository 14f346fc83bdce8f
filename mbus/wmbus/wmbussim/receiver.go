package wmbussim

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/openusm/meter/internal/crc16"
	"github.com/openusm/meter/mbus/wmbus"
)

// Receiver is a kind of receiver, by the name that [wmbus.Reception] has for it.
type Receiver string

// The receivers.
const (
	CUL     Receiver = "cul"       // lines: the frame with its CRCs
	Amber   Receiver = "amb"       // AMB8465 in command mode
	Raw     Receiver = "raw"       // AMB8465 without it: from the L field on, one telegram behind the other
	IMST    Receiver = "im871a"    // iM871A
	RTL     Receiver = "rtl-wmbus" // lines of rtl-wmbus
	HexLine Receiver = "hex"       // lines of digits, without CRCs
)

// heard is a telegram at the receiver's antenna.
type heard struct {
	frame wmbus.Frame
	meter *Meter
	at    time.Time
}

// handOver returns what makes a receiver's message of a telegram.
func (r Receiver) handOver() (func(heard) ([]byte, error), error) {
	switch r {
	case CUL:
		return cul, nil
	case Amber:
		return amber, nil
	case Raw:
		return raw, nil
	case IMST:
		return imst, nil
	case RTL:
		return rtl, nil
	case HexLine:
		return hexLine, nil
	}
	return nil, fmt.Errorf("wmbussim: unknown receiver %q", r)
}

// signal is the strength at which all telegrams come, as the CC1101 says it: -64 dBm.
const signal = 20

func raw(h heard) ([]byte, error) { return h.frame.Append(nil, wmbus.Bare) }

func hexLine(h heard) ([]byte, error) {
	b, err := raw(h)
	return []byte(strings.ToUpper(hex.EncodeToString(b)) + "\r\n"), err
}

func cul(h heard) ([]byte, error) {
	format, mark := wmbus.FormatA, "b"
	if h.meter.Mode == C1 && h.meter.Format == wmbus.FormatB {
		format, mark = wmbus.FormatB, "bY"
	}
	b, err := h.frame.Append(nil, format)
	return fmt.Appendf(nil, "%s%X\r\n", mark, append(b, signal)), err
}

func amber(h heard) ([]byte, error) {
	b, err := raw(h)
	if err != nil {
		return nil, err
	}
	out := append([]byte{0xFF, 0x03, b[0]}, b[1:]...)
	sum := byte(0)
	for _, c := range out {
		sum ^= c
	}
	return append(out, sum), nil
}

func imst(h heard) ([]byte, error) {
	b, err := raw(h)
	if err != nil {
		return nil, err
	}
	out := append([]byte{0xA5, 0xC2, 0x03, b[0]}, b[1:]...)
	out = append(out, 0xEE) // -64 dBm, as the host controller interface says it
	crc := crc16.X25(out[1:])
	return append(out, byte(crc), byte(crc>>8)), nil
}

func rtl(h heard) ([]byte, error) {
	b, err := raw(h)
	return fmt.Appendf(nil, "%s;1;1;%s;-64;-64;%08X;0x%x\n", h.meter.Mode, h.at.UTC().Format("2006-01-02 15:04:05.000"), h.meter.Address.ID, b), err
}

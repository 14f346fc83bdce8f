package hdlc

import "fmt"

// Control is the control octet.
type Control uint8

// The unnumbered and supervisory frames, without the poll/final bit.
const (
	SNRM Control = 0x83 // set normal response mode: connect
	DISC Control = 0x43 // disconnect
	UA   Control = 0x63 // unnumbered acknowledge
	DM   Control = 0x0F // disconnected mode
	FRMR Control = 0x87 // frame reject
	UI   Control = 0x03 // unnumbered information
	RR   Control = 0x01 // receive ready, N(R) in bits 5 to 7
	RNR  Control = 0x05 // receive not ready, N(R) in bits 5 to 7

	// PollFinal is the poll bit of a command and the final bit of a response.
	PollFinal Control = 0x10
)

// Information returns the control octet of an I frame.
func Information(send, receive uint8) Control { return Control(receive&7<<5 | send&7<<1) }

// Ready returns the control octet of an RR frame.
func Ready(receive uint8) Control { return RR | Control(receive&7<<5) }

// Kind returns the type of the frame: SNRM, DISC, UA, DM, FRMR, UI, RR, RNR, or 0 for an I frame.
func (c Control) Kind() Control {
	switch {
	case c&1 == 0:
		return 0
	case c&3 == 1:
		return c & 0x0F
	}
	return c &^ PollFinal
}

// IsInformation reports whether this is an I frame.
func (c Control) IsInformation() bool { return c&1 == 0 }

// Send returns N(S) of an I frame.
func (c Control) Send() uint8 { return uint8(c>>1) & 7 }

// Receive returns N(R) of an I, RR or RNR frame.
func (c Control) Receive() uint8 { return uint8(c >> 5) }

// String returns "I(0,1)", "RR(2)", "SNRM", … with " P/F" where that bit is set.
func (c Control) String() string {
	s := ""
	switch k := c.Kind(); k {
	case 0:
		s = fmt.Sprintf("I(%d,%d)", c.Send(), c.Receive())
	case RR:
		s = fmt.Sprintf("RR(%d)", c.Receive())
	case RNR:
		s = fmt.Sprintf("RNR(%d)", c.Receive())
	case SNRM:
		s = "SNRM"
	case DISC:
		s = "DISC"
	case UA:
		s = "UA"
	case DM:
		s = "DM"
	case FRMR:
		s = "FRMR"
	case UI:
		s = "UI"
	default:
		s = fmt.Sprintf("control 0x%02x", uint8(k))
	}
	if c&PollFinal != 0 {
		s += " P/F"
	}
	return s
}

package link

import "fmt"

// C is a control field.
type C byte

// The control fields of the master, without FCB and FCV, and of the slave,
// without ACD and DFC.
const (
	SndNKE C = 0x40 // reset the link
	SndUD  C = 0x43 // send data to the slave; on the wire always with FCV
	ReqSKE C = 0x49 // ask for the state of the link
	ReqUD1 C = 0x4A // ask for alarms
	ReqUD2 C = 0x4B // ask for data
	RspUD  C = 0x08 // data of the slave
)

// The bits of a control field.
const (
	prm    C = 0x40
	fcbACD C = 0x20
	fcvDFC C = 0x10
)

// Primary reports whether the frame comes from the master.
func (c C) Primary() bool { return c&prm != 0 }

// Function returns the field without FCB and FCV, or ACD and DFC.
func (c C) Function() C { return c &^ (fcbACD | fcvDFC) }

// WithFCB returns a master's field with FCV set and FCB as given.
func (c C) WithFCB(fcb bool) C {
	c = c&^fcbACD | fcvDFC
	if fcb {
		c |= fcbACD
	}
	return c
}

// FCB returns the frame count bit of a master's field, and whether it counts.
func (c C) FCB() (fcb, valid bool) { return c&fcbACD != 0, c&prm != 0 && c&fcvDFC != 0 }

// ACD reports whether a slave has urgent data to be asked for with ReqUD1.
func (c C) ACD() bool { return c&prm == 0 && c&fcbACD != 0 }

// DFC reports whether a slave can take no more data.
func (c C) DFC() bool { return c&prm == 0 && c&fcvDFC != 0 }

// String names the field as the standard does.
func (c C) String() string {
	name := ""
	switch c.Function() {
	case SndNKE:
		name = "SND_NKE"
	case SndUD:
		name = "SND_UD"
	case 0x48, ReqSKE:
		name = "REQ_SKE"
	case ReqUD1:
		name = "REQ_UD1"
	case ReqUD2:
		name = "REQ_UD2"
	case RspUD:
		name = "RSP_UD"
	case 0:
		name = "ACK"
	default:
		return fmt.Sprintf("C 0x%02x", byte(c))
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{
		{c.Primary() && c&fcbACD != 0, "FCB"}, {c.Primary() && c&fcvDFC != 0, "FCV"}, {c.ACD(), "ACD"}, {c.DFC(), "DFC"},
	} {
		if flag.set {
			name += " " + flag.name
		}
	}
	return name
}

// The addresses that are no slave's own.
const (
	Unconfigured  = 0    // as delivered
	MaxPrimary    = 250  // the greatest address of a slave
	Selected      = 0xFD // the slave that was selected by its secondary address
	BroadcastTest = 0xFE // all slaves, which answer
	Broadcast     = 0xFF // all slaves, none of which answers
)

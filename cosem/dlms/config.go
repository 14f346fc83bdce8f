// Package dlms has the actors of DLMS/COSEM: a client, a server, and a listener
// for what meters push.
//
// A [Client] opens an association over HDLC or the wrapper, and reads objects as
// OBIS readings, profiles and events. A [Server] is the other side.
package dlms

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

// Link is how APDUs travel.
type Link uint8

// The links.
const (
	LinkHDLC    Link = iota // serial lines, also tunnelled through TCP
	LinkWrapper             // TCP and UDP
	LinkAuto                // of a server: what the first octet of a connection says
	LinkNone                // of a receiver: APDUs that another carrier brings
)

// Defaults of a [Config].
const (
	DefaultClient  = 16 // the public client
	DefaultServer  = 1  // the management logical device
	DefaultTimeout = 10 * time.Second
	DefaultRetries = 2
	DefaultMaxPDU  = 0xFFFF
)

// Config says how a client talks to a server. The zero Config is the public
// client, without authentication, over HDLC.
type Config struct {
	Link     Link
	Client   uint16 // client SAP; zero means DefaultClient
	Server   uint16 // logical device; zero means DefaultServer
	Physical uint16 // lower HDLC address of the meter; zero means none
	// AddressSize is the length of the server's HDLC address: 1, 2 or 4; zero
	// means the shortest that holds both parts.
	AddressSize uint8
	HDLC        hdlc.Parameters // proposed; zero fields mean the defaults of the standard

	Auth     apdu.Mechanism
	Password []byte // of low level security, and the secret of the HLS mechanisms that need one

	// Security is needed to cipher, and for the mechanisms from HLS-GMAC on; nil for none.
	Security *Security
	// AcceptUnprotected takes answers and pushes that are protected less than the
	// association requires, and marks what they say as unverified: for meters that
	// answer in plain, or without a tag, what they were asked with one. Whoever
	// sits on the line can then say anything.
	AcceptUnprotected bool
	// UserID is sent as the client's user; zero means none.
	UserID uint8
	// ShortNames references objects by short names (SN), as old meters do.
	ShortNames bool

	Timeout      time.Duration // for an answer; zero means DefaultTimeout
	FrameTimeout time.Duration // between octets of one HDLC frame; zero means hdlc.DefaultFrameTimeout
	Retries      int           // of requests that may be repeated; zero means DefaultRetries, negative none
	MaxPDU       uint16        // octets that we receive; zero means DefaultMaxPDU
	// Window is how many blocks of a general block transfer we receive before we
	// acknowledge; zero means 1.
	Window uint8
	// Conformance is what the client proposes; zero means all that it knows but Without.
	Conformance apdu.Conformance
	Without     apdu.Conformance
	// Gateway reaches a meter behind a gateway; nil talks to the meter itself.
	Gateway *Gateway
	// Echo is set for adapters that hear what they send.
	Echo bool
	// Clock is how to read the meter's times, for restricting profiles by
	// instants; the zero Clock trusts the deviation and takes local times for UTC.
	Clock obis.Clock

	// Push is called for what the meter sends of its own accord between request
	// and answer, protected as the association requires; trust is
	// [security.Verified] where a tag or signature was checked. It must not keep
	// the PDU. Nil means to ignore it.
	Push func(p apdu.PDU, trust security.Trust)

	// Trace is called for every frame on the wire, in which the octets of passwords
	// are replaced by "*"; nil for none.
	Trace  func(send bool, frame []byte)
	Logger *slog.Logger // nil is silent
}

// Gateway is the address of a meter behind a gateway (the gateway protocol header).
type Gateway struct {
	Network uint8
	Address []byte // of the meter in that network
}

// clientConformance is what a [Client] knows to use.
const clientConformance = apdu.BlockTransferGet | apdu.BlockTransferSet | apdu.BlockTransferAction | apdu.MultipleReferences |
	apdu.ServiceGet | apdu.ServiceSet | apdu.ServiceAction | apdu.ServiceAccess | apdu.SelectiveAccess | apdu.GeneralBlocks |
	apdu.ServiceNotification | apdu.ServiceEvent | apdu.PriorityManagement

// clientConformanceSN is the same for SN referencing.
const clientConformanceSN = apdu.ServiceRead | apdu.ServiceWrite | apdu.UnconfirmedWrites | apdu.ParameterizedAccess |
	apdu.MultipleReferences | apdu.ServiceInformation | apdu.BlockTransferGet | apdu.BlockTransferSet

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Client == 0 {
		d.Client = DefaultClient
	}
	if d.Server == 0 {
		d.Server = DefaultServer
	}
	if d.Timeout == 0 {
		d.Timeout = DefaultTimeout
	}
	if d.FrameTimeout == 0 {
		d.FrameTimeout = hdlc.DefaultFrameTimeout
	}
	if d.Retries == 0 {
		d.Retries = DefaultRetries
	}
	if d.Retries < 0 {
		d.Retries = 0
	}
	if d.MaxPDU == 0 {
		d.MaxPDU = DefaultMaxPDU
	}
	if d.Conformance == 0 {
		d.Conformance = clientConformance
		if d.ShortNames {
			d.Conformance = clientConformanceSN
		}
		if d.Security != nil && (d.Security.Style == StyleAuto || d.Security.Style == StyleGeneral || d.Security.Style == StyleCiphering || d.Security.Sign) {
			d.Conformance |= apdu.GeneralProtection
		}
		d.Conformance &^= d.Without
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return d
}

// check reports addresses that do not fit into the frames of the link.
func (c *Config) check() error {
	if c.Link != LinkHDLC {
		return nil
	}
	most := uint16(0x3FFF)
	switch c.AddressSize {
	case 0, 4:
	case 1, 2:
		most = 0x7F
	default:
		return fmt.Errorf("dlms: HDLC addresses of %d octets: want 1, 2 or 4", c.AddressSize)
	}
	switch {
	case c.Client > 0x7F:
		return fmt.Errorf("dlms: client %d does not fit into an HDLC address, which ends at %d", c.Client, 0x7F)
	case c.Server > most || c.Physical > most:
		return fmt.Errorf("dlms: server %d with physical address %d does not fit into HDLC addresses, which end at %d", c.Server, c.Physical, most)
	case c.AddressSize == 1 && c.Physical != 0:
		return fmt.Errorf("dlms: HDLC addresses of 1 octet have no physical address, %d", c.Physical)
	}
	return nil
}

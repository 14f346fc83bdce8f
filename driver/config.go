package driver

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/keys"
	"github.com/openusm/meter/obis"
)

// Config tells what a target needs: first what all protocols share, then a
// struct for each that has settings of its own. A nil *Config is all zero values.
type Config struct {
	Protocol Protocol // "" is Auto
	// Address picks a meter on a line with several: the M-Bus slave (primary number
	// or secondary address), the 62056-21 device address; "" is the only one there.
	Address string
	Keys    keys.Set
	Timeout time.Duration // for one answer; 0 is the protocol's default
	Retries int           // repeats of an unanswered request; 0 is the protocol's default, -1 none

	// Counters keeps what must never come twice: the invocation counters of DLMS, the
	// vectors of C12.22, and those of messages that came. It is demanded where keys are
	// used on a line: dlms.OpenCounters opens a file, security.MemoryCounters forgets.
	Counters security.Counters

	Clock obis.Clock // how to read times that the meter sent without deviation

	// AcceptUnprotected names meters (by id or system title; "*" is all) whose messages
	// are taken although they are protected less than their keys imply. Their
	// readings are marked unverified. From other meters such messages are refused.
	AcceptUnprotected []string

	DLMS DLMSConfig
	C12  C12Config
	OSGP OSGPConfig

	// Drivers are protocols that a program brings along; they prevail over ours of the same name.
	Drivers []Driver

	// OpenSerial opens a serial port; without it serial targets fail.
	// Package github.com/openusm/meter/serial has one.
	OpenSerial func(name string, baud int, framing string) (io.ReadWriteCloser, error)
	// Open replaces Open for all targets, for recording and replaying. Nil is [Open].
	Open func(ctx context.Context, t Target, cfg *Config) (io.ReadWriteCloser, error)

	Trace  func(send bool, frame []byte) // sees every frame on the wire; nil sees nothing
	Logger *slog.Logger                  // nil is silent
	Tried  func(what string)             // hears what detection tries; nil hears nothing

	live bool // messages come from a line, not from a capture
}

// DLMSConfig are the settings of DLMS/COSEM associations.
type DLMSConfig struct {
	Auth   string // none, low, hls-manufacturer, hls-md5, …; "" is low with a password, else none
	Client uint16 // client SAP; 0 is 16, the public client, without authentication and 1 with it
	Server uint16 // logical device; 0 is 1
	// Link is "hdlc" or "wrapper"; "" is HDLC on lines, the wrapper by UDP, and
	// whichever the meter answers by TCP.
	Link string
	// Physical is the lower HDLC address of the meter on its line; 0 is none.
	// AddressSize is how many octets both addresses take: 1, 2 or 4; 0 is as few as do.
	Physical    uint16
	AddressSize uint8

	Suite int // security suite 0, 1 or 2
	// PlainContext authenticates by HLS 5 to 7 without ciphering what follows.
	PlainContext bool
	// ShortNames references objects by short names (SN), as old meters do.
	ShortNames bool
	// Without are services that are not proposed, as general block transfer for
	// meters that have it wrong.
	Without apdu.Conformance
}

// C12Config are the settings of ANSI C12.18, C12.21 and C12.22.
type C12Config struct {
	UserID uint16 // of the logon
	User   string // its name
	// Table is the number of the table that Decode and Explain are given, and Table0
	// the octets of table 00 of its meter, where its layout depends on that. A
	// response of OSGP without its request has this table, too.
	Table  uint16
	Table0 []byte
	// Called and Calling are the AP titles of the meter and of ourselves for C12.22,
	// absolute (1.3.6.1.4.1.99.1) or relative (.42.7); "" sends to whoever is there.
	Called, Calling string
	Sessionless     bool // each request stands alone
}

// OSGPConfig are the settings of OSGP messages.
type OSGPConfig struct {
	Address string // subnet and node, as 1.2; "" is all zero
}

// accepts reports whether the meter with one of these ids may protect its
// messages less than its keys imply.
func (cfg *Config) accepts(ids ...string) bool {
	return slices.ContainsFunc(cfg.AcceptUnprotected, func(id string) bool { return id == "*" || slices.Contains(ids, id) })
}

// maxRemembered is how many answers of a key store are remembered.
const maxRemembered = 10_000

// Prepared returns a configuration that may be used many times: of cfg, or the zero
// one. Live says that messages come from a line, not from a capture.
func Prepared(cfg *Config, live bool) *Config {
	var own Config
	if cfg != nil {
		own = *cfg
	}
	own.live = live
	if own.Keys.Find != nil {
		own.Keys.Find = keys.Remember(own.Keys.Find, maxRemembered)
	}
	return &own
}

// wall shows an instant as the meter's clock does, with the fields of its zone.
func (cfg *Config) wall(t time.Time) time.Time {
	if t.IsZero() || cfg.Clock.Zone == nil {
		return t
	}
	t = t.In(cfg.Clock.Zone)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// within keeps the events from one moment to another, both included, by the
// meter's clock; those that have no time stay.
func within(events []obis.Event, from, to time.Time) (kept []obis.Event) {
	for _, e := range events {
		at, ok := e.Time.Instant(obis.Clock{Zone: time.UTC})
		if !ok || (from.IsZero() || !at.Before(from)) && (to.IsZero() || !at.After(to)) {
			kept = append(kept, e)
		}
	}
	return kept
}

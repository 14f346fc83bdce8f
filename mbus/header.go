package mbus

import (
	"encoding/binary"
	"io"
)

// CI is a control information field: it says which header follows, and what
// comes behind that.
type CI byte

// String returns the name of the field, "" for those that no table has.
func (c CI) String() string { return ciNames[c] }

// Header returns the form of the header that follows.
func (c CI) Header() HeaderForm { return ciTable[c].header }

// Content returns what comes behind the header.
func (c CI) Content() Content { return ciTable[c].content }

type ciInfo struct {
	header  HeaderForm
	content Content
}

// HeaderForm is the form of the transport layer's header.
type HeaderForm uint8

// The forms.
const (
	HeaderNone  HeaderForm = iota
	HeaderShort            // access number, status, configuration
	HeaderLong             // address, then as the short one
)

// Content is what a CI field announces.
type Content uint8

// The contents.
const (
	ContentUnknown      Content = iota
	ContentRecords              // data records of the meter
	ContentFixed                // the fixed data structure of EN 1434
	ContentCompact              // data without their headers, which a format frame has
	ContentFormat               // the headers alone
	ContentError                // an application error
	ContentAlarm                // alarm bits
	ContentDLMS                 // an APDU of DLMS/COSEM
	ContentManufacturer         // a protocol of the manufacturer
	ContentCommand              // data records for the meter
	ContentSelect               // selection by secondary address
	ContentReset                // application reset or selection
	ContentBaud                 // change of the baud rate
	ContentApplication          // the selected application
	ContentTransport            // nothing: the transport layer alone
	ContentELL                  // the extended link layer of radio
	ContentAFL                  // the authentication and fragmentation layer
	ContentOther                // something else that the standard knows
)

var contentNames = [...]string{
	"unknown", "records", "fixed", "compact", "format", "error", "alarm", "dlms", "manufacturer", "command",
	"select", "reset", "baud", "application", "transport", "ell", "afl", "other",
}

// String returns the content in lower case.
func (c Content) String() string { return contentNames[c] }

// Header is the header of the transport layer.
type Header struct {
	Form    HeaderForm
	Address Address // from the long header, or else from the link layer; zero if neither has one
	Access  byte    // counts the answers of the meter
	Status  byte
	Config  Config
}

// The bits of a status octet.
const (
	StatusBusy        = 0x01 // application busy
	StatusError       = 0x02 // any application error
	StatusAlarm       = 0x03 // abnormal condition: both of the low bits
	StatusLowPower    = 0x04
	StatusPermanent   = 0x08 // permanent error
	StatusTemporary   = 0x10 // temporary error
	statusApplication = 0x03
)

const (
	shortHeaderLen = 4
	longHeaderLen  = 12
)

// parseHeader reads the header of a form behind the CI field at b[0].
func parseHeader(b []byte, form HeaderForm, msb bool) (h Header, n int, err error) {
	h.Form = form
	rest := b[1:]
	switch form {
	case HeaderNone:
		return h, 1, nil
	case HeaderLong:
		if len(rest) < longHeaderLen {
			return Header{}, 0, &ParseError{Field: "long header", Offset: len(b), Err: io.ErrUnexpectedEOF}
		}
		h.Address = SecondaryAddress([8]byte(rest))
		if msb {
			h.Address.ID = binary.BigEndian.Uint32(rest)
			h.Address.Manufacturer = Manufacturer(binary.BigEndian.Uint16(rest[4:]))
		}
		rest = rest[8:]
		n = 8
	}
	if len(rest) < shortHeaderLen {
		return Header{}, 0, &ParseError{Field: "short header", Offset: len(b), Err: io.ErrUnexpectedEOF}
	}
	h.Access, h.Status = rest[0], rest[1]
	h.Config = Config(binary.LittleEndian.Uint16(rest[2:]))
	return h, n + 1 + shortHeaderLen, nil
}

// AppendBinary appends the octets that stand behind the CI field.
func (h Header) AppendBinary(dst []byte) []byte {
	if h.Form == HeaderNone {
		return dst
	}
	if h.Form == HeaderLong {
		dst = h.Address.AppendSecondary(dst)
	}
	dst = append(dst, h.Access, h.Status)
	return binary.LittleEndian.AppendUint16(dst, uint16(h.Config))
}

// Config is the configuration field of the header, called signature in old wired meters.
type Config uint16

// Mode returns the security mode.
func (c Config) Mode() int { return int(c >> 8 & 31) }

// Blocks returns how many blocks of 16 octets are encrypted in modes 5 and 7.
func (c Config) Blocks() int { return int(c >> 4 & 15) }

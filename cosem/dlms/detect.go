package dlms

import (
	"errors"
	"io"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/cosem/wrapper"
)

// maxLead is how many octets before the first HDLC frame may be noise.
const maxLead = 4096

// IsHDLC reports whether octets hold an HDLC frame, with checksums that are right,
// not far from their beginning.
func IsHDLC(b []byte) bool {
	var s hdlc.Scanner
	s.Feed(b[:min(len(b), maxLead)])
	for {
		_, err := s.Next()
		if err == nil {
			return true
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			if s.Pending() == 0 {
				return false
			}
			s.Skip() // what looked like a frame may have hidden one
		}
	}
}

// IsWrapper reports whether octets are frames of the wrapper, each with one
// well-formed APDU. Of the last frame the end may be missing if there is another one.
func IsWrapper(b []byte) bool {
	for whole := 0; ; whole++ {
		if len(b) == 0 || b[0] != 0 {
			return whole > 0 && len(b) == 0
		}
		f, n, err := wrapper.Parse(b)
		if err != nil {
			return whole > 0 && errors.Is(err, io.ErrUnexpectedEOF)
		}
		if !IsAPDU(f.APDU) {
			return false
		}
		b = b[n:]
	}
}

// IsAPDU reports whether octets are one APDU, with the LLC header of HDLC or
// without, that is known and well-formed to its end. Of what is ciphered the
// header is looked at.
func IsAPDU(b []byte) bool {
	if isLLC(b) {
		b = b[3:]
	}
	p, n, err := apdu.Parse(b)
	if err != nil || n != len(b) {
		return false
	}
	switch p := p.(type) {
	case apdu.Unknown, apdu.InitiateRequest, apdu.InitiateResponse: // these travel in others only
		return false
	case apdu.Ciphered:
		return isContents(p.Contents)
	case apdu.GeneralCiphered:
		return isTitle(p.SystemTitle) && isContents(p.Contents)
	case apdu.GeneralCiphering:
		return isTitle(p.Originator) && isTitle(p.Recipient) && isContents(p.Contents)
	case apdu.GeneralSigning:
		return isTitle(p.Originator) && isTitle(p.Recipient) && IsAPDU(p.Contents)
	case apdu.GeneralBlockTransfer:
		return p.Number > 0 || len(p.Data) == 0
	case apdu.Gateway:
		return IsAPDU(p.PDU)
	}
	return true
}

func isTitle(b []byte) bool { return len(b) == 0 || len(b) == security.TitleLen }

// isContents reports whether the header of what is ciphered can be one.
func isContents(b []byte) bool {
	c, err := security.ParseContents(b)
	if err != nil || c.Control.Suite() > security.Suite2 {
		return false
	}
	return c.Control&security.Authenticated == 0 && len(c.Text) > 0 || len(c.Text) >= 12
}

package mms

import (
	"fmt"
	"io"
)

// SPDUKind is the identifier of a session PDU (ISO 8327).
type SPDUKind uint8

// The session PDUs of the kernel.
const (
	SessionConnect     SPDUKind = 13
	SessionAccept      SPDUKind = 14
	SessionRefuse      SPDUKind = 12
	SessionFinish      SPDUKind = 9
	SessionDisconnect  SPDUKind = 10
	SessionAbort       SPDUKind = 25
	SessionAbortAccept SPDUKind = 26
	SessionData        SPDUKind = 1 // after a GIVE TOKENS of the same number
)

// SPDU is a session PDU.
type SPDU struct {
	Kind    SPDUKind
	Calling []byte // session selectors, of SessionConnect and SessionAccept
	Called  []byte // called or responding
	Reason  uint8  // of SessionRefuse
	Data    []byte // the presentation PDU; aliases the input
}

const (
	paramConnectItem   = 5
	paramFunctions     = 20
	paramTransport     = 17
	paramReason        = 50
	paramCalling       = 51
	paramCalled        = 52
	paramUserData      = 193
	paramExtendedData  = 194
	maxOrdinaryData    = 512
	duplex             = 2
	sessionVersion     = 2
	maxSessionSelector = 16
)

// ParseSPDU reads a session PDU, which takes all of b.
func ParseSPDU(b []byte) (SPDU, error) {
	if len(b) >= 4 && b[0] == 1 && b[1] == 0 && b[2] == 1 && b[3] == 0 {
		return SPDU{Kind: SessionData, Data: b[4:]}, nil
	}
	if len(b) == 0 {
		return SPDU{}, &ParseError{"session", "identifier", 0, io.ErrUnexpectedEOF}
	}
	s := SPDU{Kind: SPDUKind(b[0])}
	switch s.Kind {
	case SessionConnect, SessionAccept, SessionRefuse, SessionFinish, SessionDisconnect, SessionAbort, SessionAbortAccept:
	case SessionData:
		return SPDU{}, &ParseError{"session", "data transfer", 1, fmt.Errorf("without the two empty headers")}
	default:
		return SPDU{}, &ParseError{"session", "identifier", 0, fmt.Errorf("%d", b[0])}
	}
	params, _, err := parameter(b, 0)
	if err != nil {
		return SPDU{}, err
	}
	return s, s.parse(params, len(b)-len(params), 0)
}

// parse reads parameters and the groups of them.
func (s *SPDU) parse(b []byte, base, depth int) error {
	for at := 0; at < len(b); {
		value, n, err := parameter(b[at:], base+at)
		if err != nil {
			return err
		}
		switch b[at] {
		case paramConnectItem, 1:
			if depth == 0 {
				if err := s.parse(value, base+at+n-len(value), 1); err != nil {
					return err
				}
			}
		case paramCalling:
			s.Calling = value
		case paramCalled:
			s.Called = value
		case paramReason:
			if len(value) > 0 {
				s.Reason = value[0]
			}
			if s.Kind == SessionRefuse && len(value) > 1 {
				s.Data = value[1:]
			}
		case paramUserData, paramExtendedData:
			s.Data = value
		}
		at += n
	}
	return nil
}

// parameter reads an identifier, a length of one or three octets, and the value.
func parameter(b []byte, base int) (value []byte, n int, err error) {
	if len(b) < 2 {
		return nil, 0, &ParseError{"session", "parameter", base + len(b), io.ErrUnexpectedEOF}
	}
	n, length := 2, int(b[1])
	if length == 0xFF {
		if len(b) < 4 {
			return nil, 0, &ParseError{"session", "length", base + len(b), io.ErrUnexpectedEOF}
		}
		n, length = 4, int(b[2])<<8|int(b[3])
	}
	if len(b)-n < length {
		return nil, 0, &ParseError{"session", "parameter", base + len(b), io.ErrUnexpectedEOF}
	}
	return b[n : n+length : n+length], n + length, nil
}

// Append appends the PDU.
func (s SPDU) Append(dst []byte) ([]byte, error) {
	if s.Kind == SessionData {
		return append(append(dst, 1, 0, 1, 0), s.Data...), nil
	}
	if len(s.Calling) > maxSessionSelector || len(s.Called) > maxSessionSelector || len(s.Data) > 0xFF00 {
		return dst, fmt.Errorf("mms: session PDU: %w", ErrTooLong)
	}
	var p []byte
	switch s.Kind {
	case SessionConnect, SessionAccept:
		p = append(p, paramConnectItem, 6, 19, 1, 0, 22, 1, sessionVersion, paramFunctions, 2, 0, duplex)
		if s.Kind == SessionConnect {
			p = appendParameter(p, paramCalling, s.Calling)
		}
		p = appendParameter(p, paramCalled, s.Called)
	case SessionAbort:
		p = append(p, paramTransport, 1, 11) // connection to be released, user abort, no reason beyond
	case SessionRefuse:
		p = append(p, paramTransport, 1, 1)
		p = appendParameter(p, paramReason, append([]byte{s.Reason}, s.Data...))
	case SessionFinish, SessionDisconnect, SessionAbortAccept:
	default:
		return dst, fmt.Errorf("mms: session PDU of identifier %d", s.Kind)
	}
	if len(s.Data) > 0 && s.Kind != SessionRefuse {
		id := byte(paramUserData)
		if len(s.Data) > maxOrdinaryData && s.Kind == SessionConnect {
			id = paramExtendedData
		}
		p = appendParameter(p, id, s.Data)
	}
	return appendParameter(dst, byte(s.Kind), p), nil
}

func appendParameter(dst []byte, id byte, value []byte) []byte {
	dst = append(dst, id)
	if len(value) < 0xFF {
		dst = append(dst, byte(len(value)))
	} else {
		dst = append(dst, 0xFF, byte(len(value)>>8), byte(len(value)))
	}
	return append(dst, value...)
}

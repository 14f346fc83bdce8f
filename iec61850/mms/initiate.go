package mms

import (
	"fmt"
	"math"

	"github.com/openusm/meter/internal/ber"
)

// Initiate is what the two sides agree upon, proposed or accepted.
type Initiate struct {
	Response bool
	MaxPDU   int // localDetail: octets of the longest PDU; 0: not given
	Calling  int // requests that may be outstanding at the side that calls
	Called   int
	Nesting  int // of data; 0: not given
	Version  int
	CBB      uint16   // parameter conformance, bit 0 the highest
	Services Services // that the sender supports
}

// Services is a set of services.
type Services [11]byte

// DefaultCBB are the parameters str1, str2, vnam, valt and vlis.
const DefaultCBB = 0xF100

// Set adds the services.
func (s *Services) Set(list ...Service) {
	for _, n := range list {
		if int(n) < 8*len(s) {
			s[n/8] |= 0x80 >> (n % 8)
		}
	}
}

// Has reports whether a service is in the set.
func (s Services) Has(n Service) bool { return int(n) < 8*len(s) && s[n/8]&(0x80>>(n%8)) != 0 }

const servicesBits = 85

// Initiate reads the body of an InitiateRequest or InitiateResponse.
func (p PDU) Initiate() (Initiate, error) {
	i, err := p.initiate()
	if err != nil {
		return Initiate{}, layered("mms", err)
	}
	return i, nil
}

func (p PDU) initiate() (i Initiate, err error) {
	i.Response = p.Kind == InitiateResponse
	r := p.Body.e.Reader()
	for r.More() {
		e, err := r.Next("initiate")
		if err != nil {
			return i, err
		}
		switch e.Tag {
		case 0x80:
			i.MaxPDU, err = parseCount(e, "local detail")
		case 0x81:
			i.Calling, err = parseCount(e, "max serv outstanding calling")
		case 0x82:
			i.Called, err = parseCount(e, "max serv outstanding called")
		case 0x83:
			i.Nesting, err = parseCount(e, "data structure nesting level")
		case 0xA4:
			err = i.parseDetail(e)
		}
		if err != nil {
			return i, err
		}
	}
	return i, nil
}

// parseCount reads a number from 0 to 2^31-1.
func parseCount(e ber.Element, field string) (int, error) {
	n, err := e.Int(field)
	if err == nil && (n < 0 || n > math.MaxInt32) {
		err = &ber.Error{Field: field, Offset: e.Offset, Err: ber.ErrLength}
	}
	if err != nil {
		return 0, err
	}
	return int(n), nil
}

func (i *Initiate) parseDetail(e ber.Element) error {
	r := e.Reader()
	for r.More() {
		e, err := r.Next("init detail")
		if err != nil {
			return err
		}
		switch e.Tag {
		case 0x80:
			n, err := e.Int("version")
			if err != nil {
				return err
			}
			i.Version = int(int32(n))
		case 0x81, 0x82:
			if len(e.Contents) < 1 || e.Contents[0] > 7 {
				return &ber.Error{Field: "bit string", Offset: e.Offset, Err: ber.ErrLength}
			}
			if e.Tag == 0x82 {
				copy(i.Services[:], e.Contents[1:])
				i.Services[len(i.Services)-1] &= 0xF8
				continue
			}
			for k, c := range e.Contents[1:] {
				if k < 2 {
					i.CBB |= uint16(c) << (8 - 8*k)
				}
			}
		}
	}
	return nil
}

// Append appends the PDU.
func (i Initiate) Append(dst []byte) []byte {
	kind := InitiateRequest
	if i.Response {
		kind = InitiateResponse
	}
	dst, outer := ber.Open(dst, ber.Tag(kind))
	if i.MaxPDU > 0 {
		dst = ber.AppendInt(dst, 0x80, int64(i.MaxPDU))
	}
	dst = ber.AppendInt(dst, 0x81, int64(i.Calling))
	dst = ber.AppendInt(dst, 0x82, int64(i.Called))
	if i.Nesting > 0 {
		dst = ber.AppendInt(dst, 0x83, int64(i.Nesting))
	}
	dst, detail := ber.Open(dst, 0xA4)
	dst = ber.AppendInt(dst, 0x80, int64(i.Version))
	dst = append(dst, 0x81, 3, 5, byte(i.CBB>>8), byte(i.CBB))
	dst = append(dst, 0x82, 1+byte(len(i.Services)), byte(8*len(i.Services)-servicesBits))
	dst = append(dst, i.Services[:]...)
	return ber.Close(ber.Close(dst, detail), outer)
}

// Identity is the answer to Identify.
type Identity struct{ Vendor, Model, Revision string }

// Append appends the parameters of the response.
func (i Identity) Append(dst []byte) []byte {
	return ber.Append(ber.Append(ber.Append(dst, 0x80, i.Vendor), 0x81, i.Model), 0x82, i.Revision)
}

// ParseIdentity reads the parameters of the response.
func ParseIdentity(b Body) (i Identity, err error) {
	r := b.e.Reader()
	for r.More() {
		e, err := r.Next("identify")
		if err != nil {
			return Identity{}, layered("mms", err)
		}
		switch e.Tag {
		case 0x80:
			i.Vendor = string(e.Contents)
		case 0x81:
			i.Model = string(e.Contents)
		case 0x82:
			i.Revision = string(e.Contents)
		}
	}
	return i, nil
}

// States is the answer to Status: 0 is "state changes allowed" and "operational".
type States struct{ Logical, Physical uint8 }

// Append appends the parameters of the response.
func (s States) Append(dst []byte) []byte {
	return ber.AppendUint(ber.AppendUint(dst, 0x80, uint64(s.Logical)), 0x81, uint64(s.Physical))
}

// ParseStates reads the parameters of the response.
func ParseStates(b Body) (s States, err error) {
	r := b.e.Reader()
	for _, to := range []*uint8{&s.Logical, &s.Physical} {
		e, err := r.Next("status")
		if err != nil {
			return States{}, layered("mms", err)
		}
		n, err := e.Uint32("status")
		if err == nil && n > 0xFF {
			err = &ber.Error{Field: "status", Offset: e.Offset, Err: fmt.Errorf("%d", n)}
		}
		if err != nil {
			return States{}, layered("mms", err)
		}
		*to = uint8(n)
	}
	return s, nil
}

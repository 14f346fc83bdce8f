package apdu

import "github.com/openusm/meter/cosem"

// Header is what general-ciphering and general-signing say of a message. All fields may be empty.
type Header struct {
	Transaction []byte
	Originator  []byte // system title of the sender
	Recipient   []byte // system title of the receiver
	Time        []byte // a COSEM date-time
	Other       []byte
}

// GeneralCiphering is any PDU, ciphered end to end with a key that is named, sent along or agreed.
type GeneralCiphering struct {
	Header
	Key      *KeyInfo // nil where both sides know
	Contents []byte   // security control, invocation counter, payload, authentication tag
}

// KeyInfo says with which key a GeneralCiphering was ciphered.
type KeyInfo struct {
	Kind       KeyKind
	ID         uint8  // identified: 0 global unicast, 1 global broadcast; wrapped: the key that wraps, 0 master
	Parameters []byte // agreed: one octet, 1 one-pass, 2 static unified
	Data       []byte // wrapped: the wrapped key; agreed: public key and signature, or empty
}

// KeyKind is the choice of a key-info.
type KeyKind uint8

// The choices of a key-info.
const (
	KeyIdentified KeyKind = 0
	KeyWrapped    KeyKind = 1
	KeyAgreed     KeyKind = 2
)

// Name returns "general-ciphering".
func (GeneralCiphering) Name() string { return "general-ciphering" }

func (r *reader) header() Header {
	return Header{
		Transaction: r.octets("transaction-id"),
		Originator:  r.octets("originator-system-title"),
		Recipient:   r.octets("recipient-system-title"),
		Time:        r.octets("date-time"),
		Other:       r.octets("other-information"),
	}
}

func (r *reader) generalCiphering() PDU {
	r.Uint8("tag")
	p := GeneralCiphering{Header: r.header()}
	if r.optional("key-info") {
		p.Key = r.keyInfo()
	}
	p.Contents = r.octets("ciphered-content")
	return p
}

func (r *reader) keyInfo() *KeyInfo {
	k := &KeyInfo{Kind: KeyKind(r.Uint8("key-info"))}
	switch k.Kind {
	case KeyIdentified:
		k.ID = r.Uint8("key-id")
	case KeyWrapped:
		k.ID = r.Uint8("kek-id")
		k.Data = r.octets("key-ciphered-data")
	case KeyAgreed:
		k.Parameters = r.octets("key-parameters")
		k.Data = r.octets("key-ciphered-data")
	default:
		r.choice("key-info", uint8(k.Kind))
	}
	return k
}

// Append appends the five fields, each with its length.
func (h Header) Append(dst []byte) []byte {
	for _, f := range [][]byte{h.Transaction, h.Originator, h.Recipient, h.Time, h.Other} {
		dst = appendOctets(dst, f)
	}
	return dst
}

// AppendBinary appends the encoding. It never fails.
func (p GeneralCiphering) AppendBinary(dst []byte) ([]byte, error) {
	dst = p.Header.Append(append(dst, TagGeneralCiphering))
	if p.Key == nil {
		dst = append(dst, 0)
	} else {
		dst = p.Key.append(append(dst, 1))
	}
	return appendOctets(dst, p.Contents), nil
}

func (k *KeyInfo) append(dst []byte) []byte {
	dst = append(dst, byte(k.Kind))
	switch k.Kind {
	case KeyIdentified:
		return append(dst, k.ID)
	case KeyWrapped:
		return appendOctets(append(dst, k.ID), k.Data)
	}
	return appendOctets(append(cosem.AppendLength(dst, len(k.Parameters)), k.Parameters...), k.Data)
}

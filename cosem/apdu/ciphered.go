package apdu

// Ciphered is a PDU of one service, ciphered with a global or a dedicated key.
type Ciphered struct {
	Tag      uint8  // the tag of the plain PDU plus what [Ciphered.Dedicated] tells
	Contents []byte // security control, invocation counter, payload, authentication tag
}

// Name returns "glo-get-request" and the like.
func (p Ciphered) Name() string { return cipheredNames[p.Tag] }

// Dedicated reports whether the key is the dedicated one.
func (p Ciphered) Dedicated() bool {
	return p.Tag >= 0x41 && p.Tag <= 0x58 || p.Tag >= 0xD0 && p.Tag <= 0xD7
}

var cipheredNames = [256]string{
	0x21: "glo-initiate-request", 0x25: "glo-read-request", 0x26: "glo-write-request", 0x28: "glo-initiate-response",
	0x2C: "glo-read-response", 0x2D: "glo-write-response", 0x2E: "glo-confirmed-service-error",
	0x36: "glo-unconfirmed-write-request", 0x38: "glo-information-report-request",
	0x41: "ded-initiate-request", 0x45: "ded-read-request", 0x46: "ded-write-request", 0x48: "ded-initiate-response",
	0x4C: "ded-read-response", 0x4D: "ded-write-response", 0x4E: "ded-confirmed-service-error",
	0x56: "ded-unconfirmed-write-request", 0x58: "ded-information-report-request",
	0xC8: "glo-get-request", 0xC9: "glo-set-request", 0xCA: "glo-event-notification-request", 0xCB: "glo-action-request",
	0xCC: "glo-get-response", 0xCD: "glo-set-response", 0xCF: "glo-action-response",
	0xD0: "ded-get-request", 0xD1: "ded-set-request", 0xD2: "ded-event-notification-request", 0xD3: "ded-action-request",
	0xD4: "ded-get-response", 0xD5: "ded-set-response", 0xD7: "ded-action-response",
}

// CipheredTag returns the tag of the ciphered form of the service whose plain
// tag is given. It is not ok for PDUs that have none.
func CipheredTag(plain uint8, dedicated bool) (tag uint8, ok bool) {
	switch {
	case plain < 0x20 && dedicated:
		tag = plain + 0x40
	case plain < 0x20:
		tag = plain + 0x20
	case plain >= 0xC0 && plain <= 0xC7 && dedicated:
		tag = plain + 0x10
	case plain >= 0xC0 && plain <= 0xC7:
		tag = plain + 0x08
	}
	return tag, isServiceCiphered(tag)
}

// PlainTag is the inverse of [CipheredTag].
func PlainTag(ciphered uint8) (plain uint8, ok bool) {
	switch {
	case !isServiceCiphered(ciphered):
		return 0, false
	case ciphered < 0x40:
		return ciphered - 0x20, true
	case ciphered < 0xC0:
		return ciphered - 0x40, true
	case ciphered < 0xD0:
		return ciphered - 0x08, true
	}
	return ciphered - 0x10, true
}

func isServiceCiphered(tag byte) bool {
	return cipheredNames[tag] != ""
}

func (r *reader) ciphered() PDU {
	return Ciphered{r.Uint8("tag"), r.octets("ciphered-service")}
}

// AppendBinary appends the encoding. It never fails.
func (p Ciphered) AppendBinary(dst []byte) ([]byte, error) {
	return appendOctets(append(dst, p.Tag), p.Contents), nil
}

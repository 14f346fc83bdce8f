package apdu

// GeneralCiphered is any PDU, ciphered with the global or the dedicated key of
// the sender that is named.
type GeneralCiphered struct {
	Dedicated   bool
	SystemTitle []byte // of the sender; empty where the receiver knows it
	Contents    []byte // security control, invocation counter, payload, authentication tag
}

// Name returns "general-glo-ciphering" or "general-ded-ciphering".
func (p GeneralCiphered) Name() string {
	if p.Dedicated {
		return "general-ded-ciphering"
	}
	return "general-glo-ciphering"
}

func (r *reader) generalCiphered() PDU {
	return GeneralCiphered{
		Dedicated:   r.Uint8("tag") == TagGeneralDedCiphering,
		SystemTitle: r.octets("system-title"),
		Contents:    r.octets("ciphered-content"),
	}
}

// AppendBinary appends the encoding. It never fails.
func (p GeneralCiphered) AppendBinary(dst []byte) ([]byte, error) {
	tag := byte(TagGeneralGloCiphering)
	if p.Dedicated {
		tag = TagGeneralDedCiphering
	}
	return appendOctets(appendOctets(append(dst, tag), p.SystemTitle), p.Contents), nil
}

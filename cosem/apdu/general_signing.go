package apdu

// GeneralSigning is any PDU, plain or ciphered, with a digital signature.
type GeneralSigning struct {
	Header
	Contents  []byte
	Signature []byte // r and s, 64 octets for P-256, 96 for P-384
}

// Name returns "general-signing".
func (GeneralSigning) Name() string { return "general-signing" }

func (r *reader) generalSigning() PDU {
	r.Uint8("tag")
	return GeneralSigning{r.header(), r.octets("content"), r.octets("signature")}
}

// AppendBinary appends the encoding. It never fails.
func (p GeneralSigning) AppendBinary(dst []byte) ([]byte, error) {
	dst = p.Header.Append(append(dst, TagGeneralSigning))
	return appendOctets(appendOctets(dst, p.Contents), p.Signature), nil
}

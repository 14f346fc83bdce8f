package apdu

// Gateway carries a PDU to or from a meter behind a gateway (the gateway protocol header).
type Gateway struct {
	Response bool // from the meter
	Network  uint8
	Address  []byte // of the meter in that network
	PDU      []byte
}

// Name returns "gateway-request" or "gateway-response".
func (p Gateway) Name() string {
	if p.Response {
		return "gateway-response"
	}
	return "gateway-request"
}

func (r *reader) gateway() PDU {
	return Gateway{r.Uint8("tag") == TagGatewayResponse, r.Uint8("network-id"), r.octets("physical-device-address"), r.Rest()}
}

// AppendBinary appends the encoding. It never fails.
func (p Gateway) AppendBinary(dst []byte) ([]byte, error) {
	tag := byte(TagGatewayRequest)
	if p.Response {
		tag = TagGatewayResponse
	}
	return append(appendOctets(append(dst, tag, p.Network), p.Address), p.PDU...), nil
}

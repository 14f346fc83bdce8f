package apdu

// GeneralBlockTransfer is a part of any PDU that was cut into blocks.
type GeneralBlockTransfer struct {
	Last      bool   // the last block
	Streaming bool   // more blocks follow without waiting for an acknowledgement
	Window    uint8  // blocks that the sender can receive before it acknowledges, 0 to 63
	Number    uint16 // of this block, from 1
	Ack       uint16 // of the last block that was received in order
	Data      []byte
}

// Name returns "general-block-transfer".
func (GeneralBlockTransfer) Name() string { return "general-block-transfer" }

func (r *reader) generalBlockTransfer() PDU {
	r.Uint8("tag")
	control := r.Uint8("block-control")
	return GeneralBlockTransfer{
		Last: control&0x80 != 0, Streaming: control&0x40 != 0, Window: control & 0x3F,
		Number: r.Uint16("block-number"), Ack: r.Uint16("block-number-ack"), Data: r.octets("block-data"),
	}
}

// AppendBinary appends the encoding. It never fails.
func (p GeneralBlockTransfer) AppendBinary(dst []byte) ([]byte, error) {
	control := p.Window & 0x3F
	if p.Last {
		control |= 0x80
	}
	if p.Streaming {
		control |= 0x40
	}
	dst = append(dst, TagGeneralBlockTransfer, control, byte(p.Number>>8), byte(p.Number), byte(p.Ack>>8), byte(p.Ack))
	return appendOctets(dst, p.Data), nil
}

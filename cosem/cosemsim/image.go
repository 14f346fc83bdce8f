package cosemsim

import (
	"bytes"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/dlms"
)

// imageBlock is the size of the blocks in which the meter takes an image.
const imageBlock = 200

// maxImage is the size of the largest image that the meter takes.
const maxImage = 1 << 20

// image is the firmware image that is being transferred to the meter.
type image struct {
	id     []byte
	data   []byte
	have   []byte // bit i of the bit-string: block i is there
	status uint8
}

func (m *Meter) imageBlocks() int { return (len(m.image.data) + imageBlock - 1) / imageBlock }

// missing returns the first block that is not there.
func (m *Meter) missing() int {
	for i := range m.imageBlocks() {
		if m.image.have[i/8]>>(7-i%8)&1 == 0 {
			return i
		}
	}
	return m.imageBlocks()
}

// buildImage adds 0-0:44.0.0. An image is verified where it does not begin with "BAD".
func (m *Meter) buildImage() {
	m.add(cosem.ClassImageTransfer, "0-0:44.0.0", 7, values(
		fixed(cosem.Uint32(imageBlock)),
		func() cosem.Data { return cosem.BitString(m.image.have, m.imageBlocks()) },
		func() cosem.Data { return cosem.Uint32(uint32(m.missing())) },
		fixed(cosem.Bool(true)),
		func() cosem.Data { return cosem.Enum(m.image.status) },
		func() cosem.Data {
			if m.image.status != cosem.ImageVerified {
				return cosem.Array()
			}
			return cosem.Array(cosem.Structure(cosem.Uint32(uint32(len(m.image.data))), cosem.OctetString(m.image.id), cosem.OctetString(nil)))
		}))
	m.methods(4, func(_ *dlms.Partner, index int8, d *cosem.Data) (*cosem.Data, cosem.ActionResult) {
		if d == nil {
			return nil, cosem.ActionResult(cosem.TypeUnmatched)
		}
		switch index {
		case 1:
			return nil, m.initiateImage(*d)
		case 2:
			return nil, m.takeBlock(*d)
		case 3:
			if m.missing() < m.imageBlocks() {
				return nil, cosem.ActionResult(cosem.OtherReason)
			}
			m.image.status = cosem.ImageVerified
			if bytes.HasPrefix(m.image.data, []byte("BAD")) {
				m.image.status = cosem.ImageVerifyFailed
			}
			return nil, 0
		}
		if m.image.status != cosem.ImageVerified {
			return nil, cosem.ActionResult(cosem.OtherReason)
		}
		m.image.status = cosem.ImageActivated
		return nil, 0
	})
}

func (m *Meter) initiateImage(d cosem.Data) cosem.ActionResult {
	var p struct {
		ID   []byte
		Size uint32
	}
	if cosem.Unmarshal(d, &p) != nil || p.Size > maxImage {
		return cosem.ActionResult(cosem.TypeUnmatched)
	}
	m.image = image{id: bytes.Clone(p.ID), data: make([]byte, p.Size), status: cosem.ImageInitiated}
	m.image.have = make([]byte, (m.imageBlocks()+7)/8)
	return 0
}

func (m *Meter) takeBlock(d cosem.Data) cosem.ActionResult {
	var p struct {
		Number uint32
		Value  []byte
	}
	n := func() int { return int(p.Number) }
	switch {
	case cosem.Unmarshal(d, &p) != nil:
		return cosem.ActionResult(cosem.TypeUnmatched)
	case m.image.status != cosem.ImageInitiated, n() >= m.imageBlocks():
		return cosem.ActionResult(cosem.OtherReason)
	case m.cfg.Faults.DropImageBlock > 0 && n() == m.cfg.Faults.DropImageBlock:
		m.cfg.Faults.DropImageBlock = 0
		return 0
	}
	copy(m.image.data[n()*imageBlock:], p.Value)
	m.image.have[n()/8] |= 0x80 >> (n() % 8)
	return 0
}

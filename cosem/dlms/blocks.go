package dlms

import (
	"fmt"

	"github.com/openusm/meter/cosem/apdu"
)

// transfer is one side of a general block transfer: it cuts an APDU into blocks
// and puts together the one that comes. It does no I/O.
type transfer struct {
	window uint8 // blocks that we receive before we acknowledge
	size   int   // octets of a block that we send
	limit  int   // octets that we put together

	out        []byte // what is sent, from block acked+1 on
	sending    bool
	acked      uint16 // the last of our blocks that the peer has
	sent       uint16 // the last of our blocks that was sent
	peerWindow uint8

	in       []byte
	received uint16 // the last of the peer's blocks that came in order
	run      uint8  // blocks since our last acknowledgement
	ackOf    uint16 // the block that the last acknowledgement was of
	owed     bool   // an acknowledgement is due
}

// blockHeader is what a general-block-transfer has besides data.
const blockHeader = 1 + 1 + 2 + 2 + 3

func newTransfer(window uint8, maxSend int) transfer {
	return transfer{window: max(window, 1), size: max(1, maxSend-blockHeader), limit: maxLong, peerWindow: 1}
}

// send begins to send an APDU.
func (t *transfer) send(b []byte) {
	t.out, t.sending, t.sent = append(t.out[:0], b...), true, t.acked
}

// feed takes a block of the peer. It returns the APDU when that is complete.
func (t *transfer) feed(p apdu.GeneralBlockTransfer) (whole []byte, done bool, err error) {
	t.peerWindow = max(p.Window, 1)
	t.acknowledged(p.Ack)
	if len(p.Data) == 0 { // an acknowledgement and nothing else, which is numbered all the same
		if p.Number == t.received+1 {
			t.received = p.Number
		}
		return nil, false, nil
	}
	switch {
	case p.Number == t.received+1, p.Number == 1 && len(t.in) == 0:
		if len(t.in)+len(p.Data) > t.limit {
			return nil, false, fmt.Errorf("dlms: general block transfer of more than %d octets: %w", t.limit, ErrProtocol)
		}
		t.in, t.received = append(t.in, p.Data...), p.Number
		if p.Last {
			whole, t.in = t.in, nil
			return whole, true, nil
		}
	case p.Number == 0:
		return nil, false, fmt.Errorf("dlms: general block transfer of block 0: %w", ErrProtocol)
	}
	// A block that is lost or repeated: the acknowledgement tells what we have. It
	// is due at the end of a window also where the peer says that it goes on, as
	// Gurux does at window 1.
	if t.run++; !p.Streaming || t.run >= t.window {
		t.owed = true
	}
	return nil, false, nil
}

// acknowledged forgets the blocks up to n, and goes back to the one behind it.
func (t *transfer) acknowledged(n uint16) {
	if !t.sending {
		return
	}
	if n < t.acked || n > t.sent {
		n = t.acked
	}
	size := min(len(t.out), int(n-t.acked)*t.size)
	t.out = t.out[:copy(t.out, t.out[size:])]
	t.acked, t.sent = n, n
	if len(t.out) == 0 {
		t.sending = false
	}
}

// poll appends the encoding of the blocks that may be sent now to frames.
func (t *transfer) poll(frames [][]byte) [][]byte {
	if !t.sending {
		if t.owed {
			frames = append(frames, t.acknowledgement())
		}
		return frames
	}
	if t.sent != t.acked {
		return frames // waiting for an acknowledgement
	}
	t.owed, t.run = false, 0
	at := 0
	for range t.peerWindow {
		n := min(t.size, len(t.out)-at)
		t.sent++
		p := apdu.GeneralBlockTransfer{Window: t.window, Number: t.sent, Ack: t.received, Data: t.out[at : at+n]}
		at += n
		p.Last = at == len(t.out)
		p.Streaming = !p.Last && t.sent-t.acked < uint16(t.peerWindow)
		b, _ := p.AppendBinary(nil)
		frames = append(frames, b)
		if p.Last {
			break
		}
	}
	return frames
}

// repeat makes the blocks that were not acknowledged, or the acknowledgement, due again.
func (t *transfer) repeat() {
	if t.sending {
		t.sent = t.acked
		return
	}
	t.owed = true
}

// acknowledgement returns a block without data.
func (t *transfer) acknowledgement() []byte {
	t.owed, t.run = false, 0
	if t.ackOf != t.received {
		t.ackOf = t.received
		t.acked++
		t.sent = t.acked
	}
	b, _ := apdu.GeneralBlockTransfer{Last: true, Window: t.window, Number: t.acked, Ack: t.received}.AppendBinary(nil)
	return b
}

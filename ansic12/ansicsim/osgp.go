package ansicsim

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/openusm/meter/ansic12/osgp"
	"github.com/openusm/meter/ansic12/psem"
)

// OSGPConfig is how the meter answers requests of the Open Smart Grid Protocol.
type OSGPConfig struct {
	Key     osgp.Key // of digests, right or all zeros
	Address osgp.Address
}

// osgpState is what the meter remembers of the requests that came.
type osgpState struct {
	known    bool
	sequence uint32
	request  string
	answer   []byte
}

// AnswerOSGP returns the answer to a request of OSGP, nil where it is none. A
// sequence number must not come again but with the same request, which is answered as
// it was.
func (m *Meter) AnswerOSGP(b []byte) []byte {
	request, n, err := osgp.ParseRequest(b)
	if err != nil || n != len(b) || n > osgp.MaxAPDU {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	cfg, state := &m.cfg.OSGP, &m.osgp
	response, fresh := osgp.Response{}, false
	switch {
	case request.Check(&cfg.Key, cfg.Address) != nil:
		response.Status = osgp.DIG
	case state.known && state.request == string(b):
		return state.answer
	case state.known && int32(request.Sequence-state.sequence) <= 0:
		response.Status = osgp.SEQ
	default:
		response, fresh = m.carryOutOSGP(&request), true
	}
	if response.Sign(&cfg.Key, cfg.Address, request) != nil {
		return nil
	}
	answer, _ := response.AppendBinary(nil)
	if fresh {
		*state = osgpState{true, request.Sequence, string(b), answer}
	}
	return answer
}

// carryOutOSGP reads or writes a table. Basic tables are those of C12.19, and what a
// message cannot hold must be read in parts.
func (m *Meter) carryOutOSGP(q *osgp.Request) osgp.Response {
	c := &conversation{state: psem.StateSession, secure: true}
	var got *psem.Response
	switch q.Service {
	case osgp.ReadTable:
		got = m.read(c, psem.Read{Table: q.Table})
	case osgp.ReadPart:
		got = m.read(c, psem.Read{Table: q.Table, ByOffset: true, Offset: q.Offset, Count: q.Count})
	case osgp.WriteTable:
		got = m.take(c, psem.Write{Table: q.Table, Data: q.Data})
	default:
		got = m.take(c, psem.Write{Table: q.Table, ByOffset: true, Offset: q.Offset, Data: q.Data})
	}
	response := osgp.Response{Status: osgp.Status(got.Status)}
	if q.Service != osgp.ReadTable && q.Service != osgp.ReadPart || got.Status != psem.OK {
		return response
	}
	data, err := got.TableData()
	if err != nil || len(data) > osgp.MaxRead {
		return osgp.Response{Status: osgp.ONP}
	}
	return osgp.Response{Read: true, Data: data}
}

// ServeOSGP answers requests of OSGP, each a datagram, until ctx ends.
func (m *Meter) ServeOSGP(ctx context.Context, conn net.PacketConn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	buf := make([]byte, maxMessage)
	for {
		n, from, err := conn.ReadFrom(buf)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			continue // an answer that could not be delivered, on some systems
		}
		m.trace(false, buf[:n])
		answer := m.AnswerOSGP(buf[:n])
		if answer == nil {
			continue
		}
		m.trace(true, answer)
		_ = conn.SetWriteDeadline(time.Now().Add(writeDeadline))
		_, _ = conn.WriteTo(answer, from) // one reader that is gone is no failure
	}
}

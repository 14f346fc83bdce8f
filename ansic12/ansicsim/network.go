package ansicsim

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/internal/stream"
)

// ServeNetwork answers one connection of C12.22 (TCP or connected UDP) until it ends
// or ctx does. The meter takes requests in the clear, without a logon too where
// it has no password.
func (m *Meter) ServeNetwork(ctx context.Context, rw io.ReadWriteCloser) error {
	conn := stream.New(rw)
	defer conn.Close()
	c := conversation{state: psem.StateIdentified, secure: m.cfg.Password == ""}
	link := psem.NewLink(nil)
	var in []byte
	var buf [4096]byte
	for {
		message, n, err := epsem.Parse(in)
		switch {
		case err == nil:
			answer, err := m.reply(&c, link, &message)
			if err != nil {
				return err
			}
			in = append([]byte(nil), in[n:]...)
			if err := conn.Write(ctx, time.Time{}, answer); err != nil {
				return err
			}
			continue
		case !errors.Is(err, io.ErrUnexpectedEOF) || len(in) > 1<<16:
			return err
		}
		n, err = conn.Read(ctx, time.Time{}, buf[:])
		in = append(in, buf[:n]...)
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
				return ctx.Err()
			}
			return err
		}
	}
}

// reply answers the services of a message, with the names the other way round.
func (m *Meter) reply(c *conversation, link *psem.Link, message *epsem.Message) ([]byte, error) {
	services, err := message.Services()
	if err != nil {
		services = nil
	}
	out := epsem.Message{Control: 0x80}
	for _, e := range message.Elements {
		switch e.Tag {
		case epsem.TagContext:
			out.Elements = append(out.Elements, e)
		case epsem.TagCalling:
			out.Elements = append(out.Elements, epsem.Element{Tag: epsem.TagCalled, Content: e.Content})
		case epsem.TagCalled:
			out.Elements = append(out.Elements, epsem.Element{Tag: epsem.TagCalling, Content: e.Content})
		case epsem.TagCallingID:
			out.Elements = append(out.Elements, epsem.Element{Tag: epsem.TagCalledID, Content: e.Content})
		}
	}
	for _, service := range services {
		if c.state == psem.StateIdentified && len(service) > 0 && psem.Service(service[0]) >= psem.ServiceRead && psem.Service(service[0]) < psem.ServiceLogon {
			c.state = psem.StateSession // sessionless
		}
		response, _ := m.respond(c, link, false, service)
		if response == nil {
			continue
		}
		b, _ := response.AppendBinary(nil)
		out.Body = epsem.AppendService(out.Body, b)
	}
	if err != nil {
		out.Body = epsem.AppendService(out.Body, []byte{byte(psem.SME)})
	}
	return out.AppendBinary(nil)
}

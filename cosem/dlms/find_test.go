package dlms

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
)

// whoCame remembers who set something.
type whoCame struct {
	Exposed
	partner Partner
	ended   error
}

func (w *whoCame) Set(p *Partner, _ cosem.Attribute, _ *cosem.Selection, _ cosem.Data) cosem.DataAccessResult {
	w.partner, w.ended = *p, p.Context().Err()
	return cosem.Success
}

// Logical devices that are found when they are asked for are served on one connection, more
// of them than may be open at once, and are told who asks.
func TestFind(t *testing.T) {
	device := &whoCame{}
	for _, link := range []Link{LinkWrapper, LinkHDLC} {
		server, err := NewServer(&ServerConfig{Link: link, Access: []Access{{Name: "head-end", Auth: apdu.MechanismLow, Password: []byte("secret")}}, Find: func(number uint16) Device {
			if number < 16 || number > 60 {
				return nil
			}
			return device
		}})
		require.NoError(t, err)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		go func() {
			if c, err := l.Accept(); err == nil {
				_ = server.Serve(t.Context(), c)
			}
		}()
		conn, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		for sap := uint16(16); sap < 16+2*maxSessions; sap++ {
			client := NewClient(keep{conn}, &Config{Link: link, Client: 32, Server: sap, Auth: apdu.MechanismLow, Password: []byte("secret"), Retries: -1})
			require.NoError(t, client.Open(t.Context()))
			require.NoError(t, client.Set(t.Context(), cosem.Attribute{Class: cosem.ClassData, Name: deviceID, Index: 2}, nil, cosem.Uint8(1)))
			require.Equal(t, sap, device.partner.Server)
			require.Equal(t, "head-end", device.partner.Access.Name)
			require.Equal(t, conn.LocalAddr().String(), device.partner.Remote)
			require.NoError(t, device.ended)
			require.NoError(t, client.Close(context.Background()))
		}
		require.NoError(t, conn.Close())
		require.NoError(t, l.Close())
	}
}

// keep is a connection that outlives the clients on it.
type keep struct{ net.Conn }

func (keep) Close() error { return nil }

package client_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/client"
	"github.com/openusm/meter/iec61850/mms"
)

// accept plays the server of one association, to which it then gives the PDU.
func accept(conn net.Conn, pdu []byte) {
	var stack mms.Stack
	in, buf := []byte(nil), make([]byte, 4096)
	for open := false; !open; {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		in = append(in, buf[:n]...)
		ev, n, out, err := stack.Next(in, nil)
		if err != nil {
			continue
		}
		in = in[n:]
		if ev.Kind == mms.AssociateIn {
			out, _ = stack.AppendAccept(out, mms.Initiate{Response: true, MaxPDU: 2000, Calling: 5, Called: 5, Nesting: 5, Version: 1}.Append(nil))
			open = true
		}
		_, _ = conn.Write(out)
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	_, _ = conn.Write(stack.AppendPDU(nil, pdu))
}

// FuzzClient has a server say something that a client did not ask for.
func FuzzClient(f *testing.F) {
	value := mms.Result{Value: iec61850.Visible("x")}
	f.Add(mms.Information{Variables: mms.Variables{Named: true, List: mms.Name{Item: []byte("RPT")}}, Results: []mms.Result{value, {Value: iec61850.Bits(0x1FF, 10)}}}.Append(nil))
	f.Add(mms.AppendConfirmed(nil, mms.ConfirmedRequest, 1, mms.FileOpen, true, func(dst []byte) []byte { return mms.FileRequest{Name: "mine"}.Append(dst, mms.FileOpen) }))
	f.Add(mms.AppendFileHandle(nil, 1, mms.FileRead, 1))
	f.Add(mms.AppendConfirmed(nil, mms.ConfirmedResponse, 1, mms.Read, true, nil))
	f.Add(mms.AppendError(nil, 1, mms.ErrResource))
	f.Add(mms.AppendConclude(nil, mms.ConcludeResponse))
	f.Fuzz(func(t *testing.T, pdu []byte) {
		near, far := net.Pipe()
		played := make(chan struct{})
		go func() { accept(far, pdu); close(played) }()
		c, err := client.New(context.Background(), near, &client.Config{Timeout: 5 * time.Second, Information: func(i mms.Information) { _, _, _ = client.ParseReport(i) }})
		require.NoError(t, err)
		go func() {
			<-played
			_ = far.Close()
		}()
		_, _ = c.ReadOne(context.Background(), mms.DomainName("a", "b"))
		_ = c.Close()
		<-played
	})
}

// What a server is to fetch is what this client sends, and nothing else.
func TestServerMayFetchOnlyWhatIsSent(t *testing.T) {
	near, far := net.Pipe()
	answers := make(chan mms.PDU, 1)
	open := mms.AppendConfirmed(nil, mms.ConfirmedRequest, 7, mms.FileOpen, true, func(dst []byte) []byte { return mms.FileRequest{Name: "/etc/passwd"}.Append(dst, mms.FileOpen) })
	go accept(far, open)
	trace := func(send bool, frame []byte) {
		// TPKT, COTP, session and presentation come before the PDU, the only one that we send unasked.
		for i := range frame {
			if p, err := mms.ParsePDU(frame[i:]); send && err == nil && p.Kind == mms.ConfirmedError {
				answers <- p
				return
			}
		}
	}
	c, err := client.New(t.Context(), near, &client.Config{Trace: trace})
	require.NoError(t, err)
	defer c.Close()
	p := <-answers
	require.EqualValues(t, 7, p.InvokeID)
	refused, err := p.ServiceError()
	require.NoError(t, err)
	require.Equal(t, mms.ErrFileMissing, refused)
}

package meter

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/driver"
	"github.com/openusm/meter/keys"
)

// pusher opens a connection that brings b and then nothing more.
func pusher(t *testing.T, b []byte) *Config {
	return &Config{Open: func(context.Context, Target, *Config) (io.ReadWriteCloser, error) {
		near, far := net.Pipe()
		t.Cleanup(func() { _ = far.Close() })
		go func() {
			for len(b) > 0 { // in pieces, as lines bring it
				n := min(7, len(b))
				if _, err := far.Write(b[:n]); err != nil {
					return
				}
				b = b[n:]
			}
			_ = far.Close()
		}()
		return near, nil
	}}
}

const (
	p1Telegram = "/KFM5KAIFA-METER\r\n\r\n1-3:0.2.8(42)\r\n1-0:1.8.1(001581.123*kWh)\r\n!"
	heatFrame  = "6828286808017278563412430401042a0000000c05452301000c13100235000b2b0042000a5a03070a5e02053a16"
)

func TestListenFindsTheProtocol(t *testing.T) {
	heat, err := hex.DecodeString(heatFrame)
	require.NoError(t, err)
	for name, test := range map[string]struct {
		octets   []byte
		protocol Protocol
		want     []Protocol
	}{
		"P1 among noise":             {[]byte("9*kWh)\r\n!12\r\n" + p1Telegram + "\r\n\x00\xFF" + p1Telegram + "\r\n"), Auto, []Protocol{P1, P1}},
		"M-Bus where it is named":    {append([]byte{0xE5, 0x00, 0x68}, heat...), MBus, []Protocol{MBus}},
		"nothing that anyone knows":  {[]byte("GET / HTTP/1.1\r\n\r\n"), Auto, nil},
		"radio telegrams of a stick": {[]byte("b2E446532785634123C077A2F0000000C1327048502046D32371F1502FD1700002F2F2F2F2F2F2F2F2F2F\r\n"), WMBus, nil},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := pusher(t, test.octets)
			cfg.Protocol = test.protocol
			var got []Protocol
			err := Listen(t.Context(), "tcp://192.0.2.1:1", cfg, func(r *Result, err error) {
				if r != nil && err == nil {
					got = append(got, r.Protocol)
				}
			})
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestListenAcceptsMeters(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	push, err := hex.DecodeString("0001000100100023" + "0f0000000000" + "0203" + "09060100010800ff" + "06000003e8" + "02020f00161e" + "0000000000")
	require.NoError(t, err)
	push = push[:len(push)-5]
	push[7] = byte(len(push) - 8)
	go func() {
		for range 2 { // two meters, one after the other
			for {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					time.Sleep(time.Millisecond)
					continue
				}
				_, _ = conn.Write(push)
				_ = conn.Close()
				break
			}
		}
	}()
	heard := 0
	err = Listen(ctx, "tcp://"+address, &Config{Protocol: DLMS}, func(r *Result, err error) {
		require.NoError(t, err)
		require.Len(t, r.Readings, 1)
		require.Equal(t, "1-0:1.8.0*255", r.Readings[0].Code.String())
		require.Equal(t, "1000", r.Readings[0].Value.String())
		if heard++; heard == 2 {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 2, heard)
}

func TestListenRefuses(t *testing.T) {
	require.Error(t, Listen(t.Context(), "tcp://127.0.0.1:1", nil, nil))
	require.ErrorIs(t, Listen(t.Context(), "tcp://192.0.2.1:1", func() *Config {
		c := pusher(t, nil)
		c.Protocol = C1218
		return c
	}(), nil), ErrNotSupported)
}

// Damaged telegrams are counted and told of once a minute, however many there are.
func TestDamagedTelegramsDoNotFlood(t *testing.T) {
	l, err := newListener(&Config{Protocol: P1}, nil)
	require.NoError(t, err)
	var told []error
	l.handle = func(r *Result, err error) {
		if err != nil {
			told = append(told, err)
		}
	}
	l.feed([]byte(p1Telegram + "\r\n"))
	for range 1000 {
		l.feed([]byte(p1Telegram + "FFFF\r\n"))
	}
	require.LessOrEqual(t, len(told), 1)
	for _, err := range told {
		require.True(t, errors.Is(err, ErrFrame))
	}
}

// A decoder that read HDLC frames reads those of the wrapper, too.
func TestDecoderKnowsBothLinks(t *testing.T) {
	d := NewDecoder(nil)
	for _, s := range []string{"7ea019030310fccae6e600c001c100080000010000ff0200601a7e", "000100100001001f601da109060760857405080101be10040e01000000065f1f0400205e9f00c8"} {
		b, _ := hex.DecodeString(s)
		_, err := d.Decode(b)
		require.NoError(t, err)
	}
}

// A telegram that ends without a line end is read when the line ends.
func TestListenReadsWhatTheConnectionEndsWith(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		_, _ = far.Write([]byte("/ISk5\\2MT382-1003\r\n\r\n1-0:1.8.0(000317.695*kWh)\r\n!"))
		_ = far.Close()
	}()
	n := 0
	_ = listenOn(t.Context(), near, driver.Prepared(&Config{}, true), func(r *Result, err error) {
		if r != nil {
			n += len(r.Readings)
		}
	}, time.Time{})
	require.Equal(t, 1, n)
}

// Of a meter whose key is known, no telegram in the clear is believed on a line.
func TestPlainTelegramOfAMeterWithKeys(t *testing.T) {
	cfg := driver.Prepared(&Config{Protocol: P1, Keys: keys.Set{ByMeter: map[string]keys.Set{"E0045003883449817": {Key: make([]byte, 16)}}}, Counters: nil}, true)
	telegram := "/ABC5x\r\n\r\n0-0:96.1.1(4530303435303033383833343439383137)\r\n1-0:1.8.0(000666.000*kWh)\r\n!\r\n"
	l, err := newListener(cfg, func(r *Result, err error) { require.Nil(t, r, "%v", err) })
	require.NoError(t, err)
	l.datagram([]byte(telegram))
}

package modbus_test

import (
	"context"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter"
	"github.com/openusm/meter/examples/modbus"
	"github.com/openusm/meter/obis"
)

//go:embed meter.csv
var table []byte

// registers are those of a meter at 230.2 V that imported 12,345.5 kWh.
var registers = map[uint16]uint16{
	0x0000: 0x4366, 0x0001: 0x3333, 0x0006: 0x4020, 0x0007: 0, 0x000C: 0xC3F0, 0x000D: 0x8000,
	0x0046: 0x4248, 0x0047: 0x0000, 0x0048: 0x4640, 0x0049: 0xE600, 0x0100: 0x0001, 0x0101: 0xE240, 0x0102: 0xFC18,
}

// serve answers requests: by TCP, or by RTU with what spoils its answers.
func serve(rw io.ReadWriter, tcp bool, spoil func([]byte) []byte) {
	head, tail := 0, 2
	if tcp {
		head, tail = 6, 0
	}
	for b := make([]byte, head+6+tail); ; {
		if _, err := io.ReadFull(rw, b); err != nil {
			return
		}
		answer := append([]byte(nil), b[head:head+2]...)
		at, n := binary.BigEndian.Uint16(b[head+2:]), binary.BigEndian.Uint16(b[head+4:])
		if _, ok := registers[at]; ok {
			answer = append(answer, byte(2*n))
			for i := range n {
				answer = binary.BigEndian.AppendUint16(answer, registers[at+i])
			}
		} else {
			answer[1] |= 0x80
			answer = append(answer, 2)
		}
		if tcp {
			answer = append(append(append([]byte(nil), b[:4]...), 0, byte(len(answer))), answer...)
		} else {
			sum := uint16(0xFFFF)
			for _, c := range answer {
				sum ^= uint16(c)
				for range 8 {
					if sum&1 != 0 {
						sum = sum>>1 ^ 0xA001
					} else {
						sum >>= 1
					}
				}
			}
			answer = append(answer, byte(sum), byte(sum>>8))
		}
		if spoil != nil {
			answer = spoil(answer)
		}
		if _, err := rw.Write(answer); err != nil {
			return
		}
	}
}

func dial(t *testing.T, target string, table []byte, spoil func([]byte) []byte) meter.Session {
	driver, err := modbus.New(table)
	require.NoError(t, err)
	cfg := &meter.Config{Protocol: modbus.Protocol, Drivers: []meter.Driver{driver}, Timeout: time.Second}
	cfg.Open = func(_ context.Context, at meter.Target, _ *meter.Config) (io.ReadWriteCloser, error) {
		near, far := net.Pipe()
		t.Cleanup(func() { _ = far.Close() })
		go serve(far, at.Scheme == "tcp", spoil)
		return near, nil
	}
	s, err := meter.Dial(t.Context(), target, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func TestRead(t *testing.T) {
	for _, target := range []string{"tcp://192.0.2.7:502", "/dev/ttyS0"} {
		r, err := dial(t, target, table, nil).Read(t.Context())
		require.NoError(t, err)
		got := map[string]string{}
		for _, x := range r.Readings {
			got[x.Code.String()] = x.Value.String() + " " + x.Unit.String()
		}
		require.Equal(t, map[string]string{
			"1-0:32.7.0*255": "230.2 V", "1-0:31.7.0*255": "2.5 A", "1-0:16.7.0*255": "-481 W", "1-0:14.7.0*255": "50 Hz",
			"1-0:1.8.0*255": "12345500 Wh", "1-0:2.8.0*255": "1234560 Wh", "1-0:13.7.0*255": "-1.000 ",
		}, got)
	}
}

func TestOneRefusedRegisterLosesNoOther(t *testing.T) {
	more := append(table[:len(table):len(table)], "4,0x0300,u16,0,W,1-0:36.7.0\n"...)
	r, err := dial(t, "tcp://192.0.2.7:502", more, nil).Read(t.Context())
	require.ErrorIs(t, err, meter.ErrPartial)
	require.ErrorContains(t, err, "exception 2")
	require.Len(t, r.Readings, 7)
}

func TestRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		target string
		spoil  func([]byte) []byte
		want   error
	}{
		"a wrong CRC":              {"/dev/ttyS0", func(b []byte) []byte { b[3] ^= 1; return b }, meter.ErrFrame},
		"another unit":             {"tcp://192.0.2.7:502", func(b []byte) []byte { b[6]++; return b }, meter.ErrFrame},
		"an answer of long before": {"tcp://192.0.2.7:502", func(b []byte) []byte { b[1]++; return b }, meter.ErrFrame},
		"half an answer":           {"/dev/ttyS0", func(b []byte) []byte { return b[:4] }, meter.ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, test.target, table, test.spoil).Read(t.Context())
			require.ErrorIs(t, err, test.want)
		})
	}
	for _, bad := range []string{"4,0,f32,0,V", "5,0,f32,0,V,1-0:32.7.0", "4,0,f16,0,V,1-0:32.7.0", "4,0,f32,0,furlong,1-0:32.7.0", "4,x,f32,0,V,1-0:32.7.0"} {
		_, err := modbus.New([]byte(bad))
		require.Error(t, err, bad)
	}
}

func Example() {
	driver, err := modbus.New(table)
	if err != nil {
		log.Fatal(err)
	}
	cfg := &meter.Config{Protocol: modbus.Protocol, Address: "1", Drivers: []meter.Driver{driver}}
	cfg.Open = func(context.Context, meter.Target, *meter.Config) (io.ReadWriteCloser, error) { // a meter in this process
		near, far := net.Pipe()
		go serve(far, true, nil)
		return near, nil
	}
	session, err := meter.Dial(context.Background(), "tcp://192.0.2.7:502", cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close(context.Background())
	voltage, err := obis.ParsePattern("1-0:32.7.0")
	if err != nil {
		log.Fatal(err)
	}
	result, err := session.Read(context.Background(), voltage)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range result.Readings {
		fmt.Println(r.Code, r.Value, r.Unit)
	}
	// Output: 1-0:32.7.0*255 230.2 V
}

package meter

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/driver"
	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/iec62056/p1"
	"github.com/openusm/meter/iec62056/sml"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/keys"
	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/link"
	"github.com/openusm/meter/obis"
)

// captures are one message of each protocol, and what its codec does with it.
func captures(t testing.TB) map[Protocol]struct {
	octets []byte
	codec  func() int
} {
	telegram, err := os.ReadFile("iec62056/p1/testdata/v5.txt")
	require.NoError(t, err)
	lines, err := os.ReadFile("iec62056/testdata/readout.txt")
	require.NoError(t, err)
	body, err := iec62056.Message{Kind: iec62056.KindData, Data: lines}.AppendBinary(nil)
	require.NoError(t, err)
	readout := append([]byte("/OUM5METERSIM\r\n"), body...)
	file := smlFile(t)
	frame, err := hex.DecodeString("687777680801727856341224230104" + "2a000000" +
		"0c7871000071" + "046d3b0e543b" + "0c0545230100" + "0c1321430005" + "0b2c200400" + "0b3b800100" + "0a5a0307" + "0a5e0205" +
		"0b61102000" + "426c3f3c" + "4c0500110000" + "4c1300800000" + "8c100500000000" + "04224c1d0000" + "1b2c900700" + "1b3b500200" + "02fd170000" + "0422aabb0000")
	require.NoError(t, err)
	frame, err = link.Frame{Form: link.Long, C: link.RspUD, A: 1, Payload: frame[6:]}.AppendBinary(nil)
	require.NoError(t, err)

	var ofP1 p1.Decoder
	var ofReadout iec62056.Decoder
	var ofSML sml.Decoder
	var ofMBus mbus.Decoder
	var of mbus.Telegram
	return map[Protocol]struct {
		octets []byte
		codec  func() int
	}{
		P1: {telegram, func() int {
			m, _, _ := p1.Parse(telegram)
			return len(ofP1.Decode(m).Readings)
		}},
		IEC62056: {readout, func() int {
			r, _, _ := iec62056.ParseReadout(readout)
			return len(ofReadout.Decode(r).Readings)
		}},
		SML: {file, func() int {
			f, _, _ := sml.ParseFrame(file)
			return len(ofSML.Decode(f).Readings)
		}},
		MBus: {frame, func() int {
			f, _, _ := link.Parse(frame)
			of, _ = ofMBus.Parse(f.Payload, mbus.Lower{})
			return len(ofMBus.Report(&of).Readings)
		}},
	}
}

// smlFile is what a simulated meter pushes.
func smlFile(t testing.TB) (file []byte) {
	cfg := &Config{Trace: func(_ bool, b []byte) { file = append(file, b...) }}
	s, err := Dial(context.Background(), "sim:sml", cfg)
	require.NoError(t, err)
	_, err = s.Read(context.Background())
	require.NoError(t, err)
	require.NoError(t, s.Close(context.Background()))
	_, n, err := sml.ParseFrame(file)
	require.NoError(t, err)
	return file[:n]
}

// The front door beside the codec that it calls: 0.67 of it and more with a decoder
// that is used again, a third of it and more with one for each capture.
func BenchmarkDecode(b *testing.B) {
	for protocol, c := range captures(b) {
		want := c.codec()
		require.NotZero(b, want, protocol)
		d := NewDecoder(nil)
		for name, decode := range map[string]func() (*Result, error){
			"reused": func() (*Result, error) { return d.Decode(c.octets) },
			"once":   func() (*Result, error) { return Decode(c.octets, nil) },
		} {
			b.Run(fmt.Sprint(protocol, "/", name), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(c.octets)))
				for b.Loop() {
					r, err := decode()
					if err != nil || len(r.Readings) != want {
						b.Fatal(err, len(r.Readings), want)
					}
				}
				golden.OfFloor(b, func() { c.codec() })
			})
		}
	}
}

func TestDecodeAllocates(t *testing.T) {
	for protocol, c := range captures(t) {
		d := NewDecoder(nil)
		reused := testing.AllocsPerRun(100, func() {
			if _, err := d.Decode(c.octets); err != nil {
				t.Fatal(err)
			}
		})
		assert.Zero(t, reused, "%s with a decoder that is used again", protocol)
		for _, cfg := range []*Config{nil, {Protocol: protocol, Clock: obis.Clock{Zone: time.UTC}}} {
			once := math.Inf(1) // at best: the race detector has pools lose some of what they keep
			for range 20 {
				once = min(once, testing.AllocsPerRun(1, func() { _, _ = Decode(c.octets, cfg) }))
			}
			assert.LessOrEqual(t, once, 15.0, "%s with one for each capture", protocol)
		}
	}
}

// What Decode returns is its caller's: neither the octets that were given nor what
// others decode meanwhile change it.
func TestDecodeOwns(t *testing.T) {
	all := captures(t)
	var wg sync.WaitGroup
	for range 4 {
		for protocol, c := range all {
			wg.Go(func() {
				given := bytes.Clone(c.octets)
				r, err := Decode(given, nil)
				if !assert.NoError(t, err, protocol) {
					return
				}
				doc := r.AppendJSON(nil)
				clear(given)
				for _, other := range all {
					_, _ = Decode(other.octets, nil)
					_, _ = DecodeText(strings.Repeat("00", len(other.octets)), nil)
				}
				assert.Equal(t, string(doc), string(r.AppendJSON(nil)), protocol)
				again, err := DecodeText(hex.EncodeToString(c.octets), nil)
				assert.NoError(t, err, protocol)
				assert.Equal(t, string(doc), string(again.AppendJSON(nil)), protocol)
			})
		}
	}
	wg.Wait()
}

func TestDecodeOwnsAPDU(t *testing.T) {
	given, err := apdu.DataNotification{Invoke: 1, Body: cosem.Array(
		cosem.Structure(cosem.Name(obis.Code{0, 0, 96, 1, 0, 255}), cosem.OctetString([]byte("12345678"))))}.AppendBinary(nil)
	require.NoError(t, err)
	for _, cfg := range []*Config{nil, {}} {
		b := bytes.Clone(given)
		r, err := Decode(b, cfg)
		require.NoError(t, err)
		require.Len(t, r.Readings, 1)
		doc := r.AppendJSON(nil)
		clear(b)
		require.Equal(t, string(doc), string(r.AppendJSON(nil)))
	}
}

// A capture is read by what it says itself, not by what another one has taught.
func TestDecodeForgets(t *testing.T) {
	frame := func(text string) []byte {
		payload, err := hex.DecodeString(text)
		require.NoError(t, err)
		b, err := link.Frame{Form: link.Long, C: link.RspUD, A: 1, Payload: payload}.AppendBinary(nil)
		require.NoError(t, err)
		return b
	}
	full, compact := frame("780202d20402152e16022a3423"), frame("79313b42a6d2042e163423") // OMS annex G.5
	for range 2 {
		r, err := Decode(full, nil)
		require.NoError(t, err)
		require.Len(t, r.Readings, 3)
		_, err = Decode(compact, nil)
		require.ErrorIs(t, err, mbus.ErrUnknownFormat)
		r, err = Decode(append(full, compact...), nil)
		require.NoError(t, err)
		require.Len(t, r.Readings, 6)
	}
}

// pushes returns n pushes of 20 registers each, ciphered and authenticated with
// counters that grow, in HDLC frames, and who reads them.
func pushes(t testing.TB, n int) ([][]byte, *Config) {
	set := keys.Set{Encryption: secret(0, 16), Authentication: secret(0xD0, 16)}
	list := make([]cosem.Data, 20)
	for i := range list {
		list[i] = cosem.Structure(cosem.Name(obis.Code{1, 0, byte(i + 1), 8, 0, 255}), cosem.Uint32(uint32(1000*i)),
			cosem.ScalerUnit{Scaler: -1, Unit: obis.WattHour, Known: true}.Data())
	}
	plain, err := apdu.DataNotification{Invoke: 1, Time: make([]byte, 12), Body: cosem.Array(list...)}.AppendBinary(nil)
	require.NoError(t, err)
	cipher, err := security.NewCipher(security.Key(set.Encryption), security.Key(set.Authentication))
	require.NoError(t, err)
	title := security.Title{'O', 'S', 'M', 0, 0, 0, 0, 1}
	frames := make([][]byte, n)
	for i := range frames {
		contents, err := security.AppendSealed(nil, cipher, security.Authenticated|security.Encrypted, title, uint32(i+1), nil, plain)
		require.NoError(t, err)
		b, err := apdu.GeneralCiphered{SystemTitle: title[:], Contents: contents}.AppendBinary([]byte{0xE6, 0xE7, 0})
		require.NoError(t, err)
		f := hdlc.Frame{Destination: hdlc.Address{Upper: 16}, Source: hdlc.Address{Upper: 1}, Control: hdlc.UI, Info: b}
		frames[i], err = f.AppendBinary(nil)
		require.NoError(t, err)
	}
	return frames, &Config{Protocol: DLMS, Keys: set, Counters: &security.MemoryCounters{}}
}

// BenchmarkListenPush is a ciphered push of 20 registers on a line, beside the
// receiver of the DLMS tree.
func BenchmarkListenPush(b *testing.B) {
	frames, cfg := pushes(b, 1)
	l, err := newListener(driver.Prepared(cfg, false), func(r *Result, err error) {
		if err != nil || len(r.Readings) != 20 || !r.Verified() {
			b.Fatal(err)
		}
	})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		l.feed(frames[0])
	}
	sec := &dlms.Security{Unicast: security.Key(cfg.Keys.Encryption), Authentication: security.Key(cfg.Keys.Authentication)}
	r := dlms.NewReceiver(&dlms.ReceiverConfig{Keys: func(security.Title) *dlms.Security { return sec }})
	golden.OfFloor(b, func() {
		r.Feed(frames[0])
		_, _ = r.Next()
	})
}

func TestListenPushAllocates(t *testing.T) {
	frames, cfg := pushes(t, 200)
	heard := 0
	l, err := newListener(driver.Prepared(cfg, true), func(r *Result, err error) {
		require.NoError(t, err)
		heard++
	})
	require.NoError(t, err)
	next := 0
	allocs := testing.AllocsPerRun(100, func() {
		l.feed(frames[next])
		next++
	})
	require.LessOrEqual(t, allocs, 1.0)
	require.Equal(t, next, heard)
}

// BenchmarkJSON writes what a telegram of P1 says.
func BenchmarkJSON(b *testing.B) {
	c := captures(b)[P1]
	r, err := Decode(c.octets, nil)
	require.NoError(b, err)
	var doc []byte
	b.ReportAllocs()
	for b.Loop() {
		doc = r.AppendJSON(doc[:0])
	}
	var v any
	require.NoError(b, json.Unmarshal(doc, &v))
	golden.OfFloor(b, func() { _, _ = json.Marshal(v) })
}

package mbus

import (
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mbus/link"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// heatFrame is a long frame of 125 octets with the 18 records of a heat meter.
const heatFrame = "687777680801727856341224230104" + "2a000000" +
	"0c7871000071" + "046d3b0e543b" + "0c0545230100" + "0c1321430005" + "0b2c200400" + "0b3b800100" + "0a5a0307" + "0a5e0205" +
	"0b61102000" + "426c3f3c" + "4c0500110000" + "4c1300800000" + "8c1005000000 00" + "04224c1d0000" + "1b2c900700" + "1b3b500200" + "02fd170000" + "0422aabb0000"

func benchFrame(t testing.TB) []byte {
	var payload []byte
	raw, err := hex.DecodeString(clean(heatFrame))
	require.NoError(t, err)
	payload = raw[6:]
	f := link.Frame{Form: link.Long, C: link.RspUD, A: 1, Payload: payload}
	frame, err := f.AppendBinary(nil)
	require.NoError(t, err)
	return frame
}

func clean(s string) string {
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		if s[i] != ' ' {
			out = append(out, s[i])
		}
	}
	return string(out)
}

// readings is the whole way from a frame to readings.
func readings(d *Decoder, dst []obis.Reading, frame []byte) ([]obis.Reading, error) {
	f, _, err := link.Parse(frame)
	if err != nil {
		return dst, err
	}
	t, err := d.Parse(f.Payload, Lower{})
	if err != nil {
		return dst, err
	}
	return d.AppendReadings(dst, &t), nil
}

func TestReadingsDoNotAllocate(t *testing.T) {
	frame := benchFrame(t)
	var d Decoder
	dst := make([]obis.Reading, 0, 32)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if r, err := readings(&d, dst[:0], frame); err != nil || len(r) != 18 {
			t.Fatal(len(r), err)
		}
	}))
}

func BenchmarkReadings(b *testing.B) {
	frame := benchFrame(b)
	dst := make([]obis.Reading, 0, 32)
	var d Decoder
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = readings(&d, dst[:0], frame); err != nil {
			b.Fatal(err)
		}
	}
	require.Len(b, dst, 18)
	golden.OfFloor(b, func() { dst = handCoded(dst[:0], frame) })
	require.Len(b, dst, 18)
}

// handCoded is the floor: it splits the records of this frame and writes a
// reading for each, without looking at anything that this frame does not have.
func handCoded(dst []obis.Reading, frame []byte) []obis.Reading {
	b := frame[6 : len(frame)-2]
	sum := frame[4] + frame[5]
	for _, c := range b {
		sum += c
	}
	if sum != frame[len(frame)-2] {
		return nil
	}
	b = b[13:]
	for i := 0; i < len(b); {
		start := i
		dif := b[i]
		i++
		for e := dif; e >= 0x80; i++ {
			e = b[i]
		}
		vif := b[i]
		i++
		for e := vif; e >= 0x80; i++ {
			e = b[i]
			vif = e
		}
		id := b[start:i]
		n := int(codeLen[dif&15])
		var m int64
		switch {
		case dif&8 != 0:
			for k := n - 1; k >= 0; k-- {
				m = m*100 + int64(b[i+k]>>4)*10 + int64(b[i+k]&15)
			}
		case n == 4:
			m = int64(int32(binary.LittleEndian.Uint32(b[i:])))
		default:
			m = int64(int16(binary.LittleEndian.Uint16(b[i:])))
		}
		i += n
		v := &vifTable[0][vif&0x7F]
		dst = append(dst, obis.Reading{
			Code: obis.Code{6, 0, codeTable[obis.Heat][v.quantity].code[2], dif >> 6 & 1, 0, 255}, Unit: v.unit, Rule: obis.RuleStandard,
			Value: obis.Int(m, v.exp), RawID: id, Source: uint32(len(dst)),
		})
	}
	return dst
}

func TestDecryptionDoesNotAllocate(t *testing.T) {
	sealed, _, key := sealedFrame(t)
	d := Decoder{Keys: func(Address) *Key { return key }}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if tg, err := d.Parse(sealed, Lower{}); err != nil || len(tg.Records) != 18 {
			t.Fatal(err)
		}
	}))
}

// sealedFrame returns the payload of the frame encrypted in mode 5 and in plain text.
func sealedFrame(t testing.TB) (sealed, plain []byte, key *Key) {
	key, err := NewKey(make([]byte, 16))
	require.NoError(t, err)
	plain = benchFrame(t)[6:]
	plain = plain[: len(plain)-2 : len(plain)-2]
	h, n, err := parseHeader(plain, HeaderLong, false)
	require.NoError(t, err)
	sealed, err = AppendEncrypted([]byte{0x72}, h, plain[n:], key)
	require.NoError(t, err)
	return sealed, plain, key
}

// BenchmarkDecrypt reads a telegram of mode 5, beside the same telegram in the
// clear and AES-CBC of its octets.
func BenchmarkDecrypt(b *testing.B) {
	sealed, plain, key := sealedFrame(b)
	dst := make([]obis.Reading, 0, 32)
	d := Decoder{Keys: func(Address) *Key { return key }}
	read := func(payload []byte) {
		t, err := d.Parse(payload, Lower{})
		if err != nil {
			b.Fatal(err)
		}
		dst = d.AppendReadings(dst[:0], &t)
	}
	out, iv := make([]byte, 256), make([]byte, 16)
	text := sealed[1+longHeaderLen:]
	b.SetBytes(int64(len(sealed)))
	b.ReportAllocs()
	for b.Loop() {
		read(sealed)
	}
	require.Len(b, dst, 18)
	golden.OfFloor(b, func() {
		read(plain)
		cipher.NewCBCDecrypter(key.block, iv).CryptBlocks(out[:len(text)], text)
	})
}

// BenchmarkReport is all that is shown of a telegram, beside its readings alone.
func BenchmarkReport(b *testing.B) {
	frame := benchFrame(b)
	var d, alone Decoder
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		f, _, err := link.Parse(frame)
		if err != nil {
			b.Fatal(err)
		}
		t, err := d.Parse(f.Payload, Lower{})
		if err != nil {
			b.Fatal(err)
		}
		if len(d.Report(&t).Readings) != 18 {
			b.Fatal("readings are missing")
		}
	}
	dst := make([]obis.Reading, 0, 32)
	golden.OfFloor(b, func() { dst, _ = readings(&alone, dst[:0], frame) })
}

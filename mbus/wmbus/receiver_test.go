package wmbus

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/openusm/meter/internal/crc16"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/mbus"
	"github.com/stretchr/testify/require"
)

// A water meter's volume and date, without encryption.
const bare = "1b449315785634123303780c1427048502046d32371f1502fd170000"

func TestReceiver(t *testing.T) {
	frame := golden.Unhex(t, bare)
	f, _, err := Parse(frame, Bare)
	require.NoError(t, err)
	a, err := f.Append(nil, FormatA)
	require.NoError(t, err)
	b, err := f.Append(nil, FormatB)
	require.NoError(t, err)
	imst := append([]byte{0xA5, 0xE2, 0x03, frame[0]}, frame[1:]...)
	imst = append(imst, 1, 2, 3, 4, 0x64)
	crc := crc16.X25(imst[1:])
	imst = append(imst, byte(crc), byte(crc>>8))
	amber := append([]byte{0xFF, 0x03, frame[0]}, frame[1:]...)
	sum := byte(0)
	for _, c := range amber {
		sum ^= c
	}
	amber = append(amber, sum)
	for name, test := range map[string]struct {
		octets   []byte
		receiver string
		rssi     int
	}{
		"iM871A":                {imst, "im871a", -73},
		"AMB8465":               {amber, "amb", 0},
		"AMB8465 without frame": {frame, "raw", 0},
		"CUL":                   {fmt.Appendf(nil, "b%X30\r\n", a), "cul", -50},
		"CUL, format B":         {fmt.Appendf(nil, "bY%X\r\n", b), "cul", 0},
		"rtl-wmbus":             {fmt.Appendf(nil, "T1;1;1;2019-04-03 19:00:42.000;97;148;12345678;0x%x\n", frame), "rtl-wmbus", 0},
		"hexadecimal":           {fmt.Appendf(nil, "% x\n", frame), "hex", 0},
		"with a word":           {[]byte("telegram=|" + bare[:20] + "_" + bare[20:] + "|\n"), "hex", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var r Receiver
			for range 2 { // octet by octet, twice in a row
				for i, c := range test.octets {
					r.Feed([]byte{c})
					rec, err := r.Next()
					if i < len(test.octets)-1 {
						require.ErrorIs(t, err, io.ErrUnexpectedEOF)
						continue
					}
					require.NoError(t, err)
					require.Equal(t, frame, rec.Frame)
					require.Equal(t, test.receiver, rec.Receiver)
					require.Equal(t, test.rssi, rec.RSSI)
				}
			}
		})
	}
}

// Answers of the iM871A to commands are no telegrams; this request is from its manual.
func TestIMST(t *testing.T) {
	require.Equal(t, uint16(0x1334), crc16.X25([]byte{0x81, 0x0F, 0x00}))
	var r Receiver
	r.Feed([]byte{0xA5, 0x81, 0x0F, 0x00, 0x34, 0x13})
	_, err := r.Next()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Empty(t, r.buf.Rest())
}

func TestReceiverRecovers(t *testing.T) {
	var r Receiver
	const damaged = "T1;0;0;2024-03-26 21:22:31.000;63;69;FFFF8569;0x29446850\n"
	r.Feed([]byte("no telegram\n" + damaged + "\n" + bare + "\n"))
	r.Feed([]byte{0xA5, 0x82, 0x03, 0x01, 0x00, 0x00, 0x00})
	var got []string
	for range 20 {
		rec, err := r.Next()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err == nil {
			got = append(got, hex.EncodeToString(rec.Frame))
		} else {
			got = append(got, "error")
		}
	}
	require.Equal(t, "error error "+bare+" error", strings.Join(got, " "))
	_, err := r.Flush()
	require.Error(t, err)
	require.Equal(t, Stats{Messages: 1, ChecksumErrors: 2, Malformed: 1, Skipped: 12 + uint64(len(damaged)) + 7}, r.Stats())
}

// Telegrams of every length come out of a receiver that delivers nothing but
// the frame, whatever letters its octets are.
func TestReceiverOfBareFrames(t *testing.T) {
	addresses := []mbus.Address{
		{Manufacturer: 0x2C2D, ID: 0x20313233, Version: 0x41, Type: 0x37}, // all letters and digits
		{Manufacturer: 0x1593, ID: 0x0A0D0A0D, Version: 0x33, Type: 7},
		{Manufacturer: 0x4442, ID: 0x12345678, Version: 2, Type: 2},
	}
	for _, rssi := range []bool{false, true} {
		r := Receiver{AmberRSSI: rssi}
		for n := 1; n <= 240; n++ {
			for i, address := range addresses {
				payload := bytes.Repeat([]byte{[]byte{0x7A, 0x0A, 0xF3}[i]}, n)
				payload[n-1] = 0 // no line
				f := Frame{C: C([]byte{0x44, 0x46, 0x08}[i]), Address: address, Payload: payload}
				frame, err := f.Append(nil, Bare)
				require.NoError(t, err)
				sent := bytes.Clone(frame)
				if rssi {
					sent[0]++
					sent = append(sent, 0xC0)
				}
				r.Feed(sent[:len(sent)/2])
				_, err = r.Next()
				require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%x", sent)
				r.Feed(sent[len(sent)/2:])
				rec, err := r.Next()
				require.NoError(t, err, "%x", sent)
				require.Equal(t, frame, rec.Frame)
				require.Equal(t, "raw", rec.Receiver)
			}
		}
		require.Zero(t, r.Stats().Skipped)
	}
}

func TestReceiverDoesNotAllocate(t *testing.T) {
	frame := golden.Unhex(t, bare)
	for _, octets := range [][]byte{frame, fmt.Appendf(nil, "%x\n", frame), fmt.Appendf(nil, "T1;1;1;2019-04-03 19:00:42.000;97;148;12345678;0x%x\n", frame)} {
		var r Receiver
		require.Zero(t, testing.AllocsPerRun(100, func() {
			r.Feed(octets)
			if _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
		}))
	}
}

func TestAmberRSSI(t *testing.T) {
	frame := golden.Unhex(t, bare)
	r := Receiver{AmberRSSI: true}
	r.Feed(append([]byte{frame[0] + 1}, append(bytes.Clone(frame[1:]), 0xC0)...))
	rec, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, frame, rec.Frame)
	require.Equal(t, -106, rec.RSSI)
}

func FuzzReceiver(f *testing.F) {
	f.Add([]byte(bare + "\n"))
	f.Add(golden.Unhex(f, bare))
	f.Add([]byte{0xA5, 0x81, 0x0F, 0x00, 0x34, 0x13})
	f.Add([]byte("T1;1;1;2019-04-03 19:00:42.000;97;148;12345678;0x" + bare + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Receiver
		r.Feed(b)
		for range len(b) + 1 {
			rec, err := r.Next()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			require.LessOrEqual(t, len(rec.Frame), len(b)+1)
		}
		_, _ = r.Flush()
		require.LessOrEqual(t, len(r.buf.Rest()), len(b)+1)
	})
}

// Four telegrams that cannot be read give four different answers.
func TestSecurityAnswers(t *testing.T) {
	right, err := mbus.NewKey(golden.Unhex(t, "0102030405060708090A0B0C0D0E0F11"))
	require.NoError(t, err)
	wrong, err := mbus.NewKey(make([]byte, 16))
	require.NoError(t, err)
	address := mbus.Address{ID: 0x12345678, Manufacturer: 0x1593, Version: 0x33, Type: 3}
	sealed, err := mbus.AppendEncrypted([]byte{0x7A}, mbus.Header{Form: mbus.HeaderShort, Address: address, Access: 7}, golden.Unhex(t, "0c14270485020c78"+"12345678"), right)
	require.NoError(t, err)
	encrypted, err := Frame{C: 0x44, Address: address, Payload: sealed}.Append(nil, Bare)
	require.NoError(t, err)
	for name, test := range map[string]struct {
		frame []byte
		key   *mbus.Key
		err   error
	}{
		"right key":   {encrypted, right, nil},
		"wrong key":   {encrypted, wrong, mbus.ErrWrongKey},
		"missing key": {encrypted, nil, mbus.ErrNoKey},
		"plain":       {golden.Unhex(t, bare), nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decoder{}
			d.Keys = func(a mbus.Address) *mbus.Key {
				require.Equal(t, address, a)
				return test.key
			}
			tg, err := d.Parse(test.frame)
			require.ErrorIs(t, err, test.err)
			require.Equal(t, name != "plain", tg.Security.Encrypted)
			require.Equal(t, address, tg.Header.Address)
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		bare, "0f44ae0c7856341201074447780b134365871e6d", "1444ae0c78563412" + "01078c2027780b13436587" + "7ac5",
		"40449315785634123303900f002c25b30a000021924d4f2fb66e017a75002007109058475f4bc91df878b80a1b0f98b629024aac727942bfc549233c0140829b93",
		"2a442d2c313134331b168d20e903241e202e453cff7cb68c402f1964987dac469de3a9c064108e768767db",
		"3044372c060382533c168c20307a3000ff2a100101000000ee96dcb77c54d3693cf56934a05b182b104c18ede38b67278d",
		"32442d2c313134331b168f20e93a63665544330a3103241e202e453cff7cb68c402f1964987dac469de3a9c064108e768767db",
	} {
		f.Add(golden.Unhex(f, s))
	}
	key, err := mbus.NewKey(golden.Unhex(f, "000102030405060708090A0B0C0D0E0F"))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, b []byte) {
		d := Decoder{}
		d.Keys = func(mbus.Address) *mbus.Key { return key }
		d.Formats = &mbus.MemoryFormats{}
		if tg, err := d.Parse(b); err == nil {
			d.AppendReadings(nil, &tg.Telegram)
			d.AppendProfiles(nil, &tg.Telegram)
		}
		for _, format := range []Format{Bare, FormatA, FormatB} {
			frame, n, err := Parse(b, format)
			if err != nil {
				require.Zero(t, n)
				continue
			}
			again, err := frame.Append(nil, format)
			if len(frame.Payload) == 0 {
				require.Error(t, err)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, b[:n], again)
			for i := range n {
				_, _, err := Parse(b[:i:i], format)
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			}
		}
	})
}

func FuzzCoding(f *testing.F) {
	f.Add(golden.Unhex(f, bare))
	f.Fuzz(func(t *testing.T, b []byte) {
		chips := AppendThreeOfSix(nil, b)
		if back, err := AppendFromThreeOfSix(nil, chips); len(b) > 0 && syncT(chips) == 0 && len(chips)%3 == 0 {
			require.NoError(t, err)
			require.Equal(t, b, back)
		}
		_, _ = AppendFromThreeOfSix(nil, b)
		_, _ = AppendFromManchester(nil, b)
	})
}

// Every octet is explained once, also where CRCs stand between.
func FuzzExplain(f *testing.F) {
	for _, s := range []string{
		bare, "0f44ae0c7856341201074447780b134365871e6d",
		"40449315785634123303900f002c25b30a000021924d4f2fb66e017a75002007109058475f4bc91df878b80a1b0f98b629024aac727942bfc549233c0140829b93",
		"54cd2a442d2c313134331b16d4638d20e903241e202e453cff7cb68c402fc7111964987dac469de3a9c064108e768767b8e2dbb8b8",
		"3044372c060382533c168c20307a3000ff2a100101000000ee96dcb77c54d3693cf56934a05b182b104c18ede38b67278d",
		"32442d2c313134331b168f20e93a63665544330a3103241e202e453cff7cb68c402f1964987dac469de3a9c064108e768767db",
	} {
		f.Add(golden.Unhex(f, s))
	}
	key, err := mbus.NewKey(golden.Unhex(f, "000102030405060708090A0B0C0D0E0F"))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, b []byte) {
		d := Decoder{}
		d.Keys = func(mbus.Address) *mbus.Key { return key }
		next := 0
		taken, err := d.Explain(b, func(offset, length, depth int, field, meaning string) {
			require.Equal(t, next, offset, field)
			require.Positive(t, length, field)
			next += length
			require.LessOrEqual(t, next, len(b), field)
		})
		d = Decoder{}
		d.Keys = func(mbus.Address) *mbus.Key { return key }
		tg, parsed := d.Parse(b)
		if parsed == nil {
			_, _, n, err := Detect(b)
			require.NoError(t, err)
			require.Equal(t, n, next, "%x", b)
			require.Equal(t, n, taken)
		}
		if parsed == nil && tg.Broken != nil {
			require.Error(t, err)
			return
		}
		require.Equal(t, parsed, err)
	})
}

package sml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

type row struct {
	ID       string
	Protocol string
	Hex      string
	Tags     []string
	Expected struct {
		CRC    bool `json:"crc_x25_ok"`
		OBIS   json.RawMessage
		Stream bool
		Starts int `json:"start_seqs"`
	}
}

// Streams of the corpus: how many whole frames with right checks they hold,
// counted by another program.
var corpusStreams = map[string]int{
	"de3102779546": 2,
	"d47f72598473": 3,
	"37bac84b7c20": 11,
}

func TestCorpus(t *testing.T) {
	seen := 0
	for _, r := range golden.Corpus[row](t, "ansi_iec.jsonl") {
		if r.Protocol != "sml" {
			continue
		}
		seen++
		t.Run(r.Tags[len(r.Tags)-1], func(t *testing.T) {
			if r.Expected.Stream {
				corpusStream(t, r)
				return
			}
			b := golden.Unhex(t, r.Hex)
			f, _, err := ParseFrame(b)
			if !r.Expected.CRC {
				require.ErrorIs(t, err, ErrChecksum)
				return
			}
			require.NoError(t, err)
			got, err := AppendReadings(nil, f)
			require.NoError(t, err)
			var want [][]string
			require.NoError(t, json.Unmarshal(r.Expected.OBIS, &want))
			requireReadings(t, want, got)
			require.NotEmpty(t, f.Meter().ID)
			require.NoError(t, explainAll(b, func(offset, length, _ int, field, _ string) {
				require.LessOrEqual(t, offset+length, len(b), field)
			}))
		})
	}
	require.NotZero(t, seen)
}

func requireReadings(t *testing.T, want [][]string, got []obis.Reading) {
	byCode := map[string]obis.Reading{}
	for _, r := range got {
		byCode[r.Code.String()] = r
	}
	for _, w := range want {
		r, ok := byCode[w[0]]
		require.True(t, ok, w[0])
		switch {
		case len(w) == 3:
			require.Equal(t, w[2], r.Unit.String(), w[0])
			text := r.Value.String()
			// The other program prints one digit for each power of ten below one.
			require.Equal(t, w[1], text, w[0])
		case r.Value.Kind() == obis.KindText && strings.HasPrefix(w[1], r.Value.String()):
		default:
			b, ok := r.Value.Bytes()
			require.True(t, ok)
			// The other program shows no more of a long octet string, and
			// printable octets as they are.
			hex := strings.TrimSpace(fmt.Sprintf("% x", b))
			wanted := strings.TrimSpace(strings.TrimPrefix(w[1], "("))
			require.True(t, strings.HasPrefix(hex, wanted) || strings.HasSuffix(hex, wanted) || strings.Contains(hex, wanted), "%s: %s, want %s", w[0], hex, w[1])
		}
	}
}

func corpusStream(t *testing.T, r row) {
	b := golden.Unhex(t, r.Hex)
	for _, piece := range []int{1, 64, len(b)} {
		var s Stream
		frames := 0
		for rest := b; len(rest) > 0; {
			n := min(piece, len(rest))
			s.Feed(rest[:n])
			rest = rest[n:]
			for f := range found(&s) {
				readings, err := AppendReadings(nil, f)
				require.NoError(t, err)
				require.NotEmpty(t, readings)
				frames++
				if r.ID == "d47f72598473" {
					last := readings[len(readings)-1]
					power, _ := last.Value.Float64()
					require.Less(t, power, -100.0, "export, as the counters of the capture show")
				}
			}
		}
		require.Equal(t, corpusStreams[r.ID], frames, "pieces of %d: %+v", piece, s.Stats())
	}
}

// testFrame is a file as a meter of two registers and a power sends it.
func testFrame(serverID []byte, entries ...Entry) []byte {
	if entries == nil {
		entries = []Entry{
			{Name: []byte{1, 0, 96, 50, 1, 1}, Value: obis.Text([]byte("OUM"))},
			{Name: []byte{1, 0, 96, 1, 0, 255}, Value: obis.Octets(serverID)},
			{Name: []byte{1, 0, 1, 8, 0, 255}, HasStatus: true, Status: 0x1C0104, Time: obis.Relative(31), Unit: obis.WattHour, Value: obis.Int(123456789, -1)},
			{Name: []byte{1, 0, 2, 8, 0, 255}, Unit: obis.WattHour, Value: obis.Int(12, -1)},
			{Name: []byte{1, 0, 16, 7, 0, 255}, Unit: obis.Watt, Value: obis.Int(-10550, -2)},
		}
	}
	l := List{ServerID: serverID, Name: []byte{1, 0, 98, 10, 255, 255}, SensorTime: obis.Relative(42)}
	l.SetEntries(entries)
	var data []byte
	for _, m := range []Message{Open([]byte{1}, []byte{9}, serverID), l.Message([]byte{2}), Close([]byte{3})} {
		data, _ = m.AppendBinary(data)
	}
	b, _ := Frame{Data: data}.AppendBinary(nil)
	return b
}

var testServer = []byte{0x0A, 0x01, 'O', 'U', 'M', 0, 0x03, 0x9E, 0x20, 0x54}

func show(r obis.Reading) string {
	s := fmt.Sprintf("%v %v %v", r.Code, r.Value, r.Unit)
	if !r.Time.IsZero() {
		s += " @" + r.Time.String()
	}
	if r.Quality != (obis.Quality{}) {
		s += fmt.Sprintf(" %v 0x%X", r.Quality.Flags, r.Quality.Raw)
	}
	return s
}

func TestReadings(t *testing.T) {
	f, n, err := ParseFrame(testFrame(testServer))
	require.NoError(t, err)
	require.Equal(t, len(testFrame(testServer)), n)
	readings, err := AppendReadings(nil, f)
	require.NoError(t, err)
	var got []string
	for _, r := range readings {
		got = append(got, show(r))
	}
	require.Equal(t, []string{
		"1-0:96.50.1*1 OUM ",
		"1-0:96.1.0*255 0x0a014f554d00039e2054 ",
		"1-0:1.8.0*255 12345678.9 Wh @+31s good 0x1C0104",
		"1-0:2.8.0*255 1.2 Wh",
		"1-0:16.7.0*255 -105.50 W",
	}, got)
	require.Equal(t, obis.Meter{ID: "1OUM0060694612", Manufacturer: "OUM", Serial: "60694612", Medium: obis.Electricity}, f.Meter())
}

// A telegram written out by hand, octet by octet, from the specification; its
// CRCs come from another program.
func TestVectors(t *testing.T) {
	for _, v := range golden.Load(t, "testdata/*.txt") {
		t.Run(v.Name, func(t *testing.T) {
			var s Stream
			s.Feed(v.Hex)
			f, err := s.Next()
			require.NoError(t, err, "%+v", s.Stats())
			var got []string
			readings, err := AppendReadings(nil, f)
			require.NoError(t, err)
			for _, r := range readings {
				got = append(got, show(r))
			}
			for m, err := range f.Messages() {
				require.NoError(t, err)
				if m.Check != CheckX25 {
					got = append(got, m.Check.String())
				}
				p, err := m.Profile()
				if err == nil {
					for row := range p.Profile.Len() {
						line := fmt.Sprintf("%v %d %v:", p.Profile.Code, p.Profile.Period, p.Profile.Times[row])
						for i := range p.Profile.Columns {
							c := &p.Profile.Columns[i]
							line += fmt.Sprintf(" %v=%v %v", c.Code, c.At(row), c.Unit)
						}
						got = append(got, fmt.Sprintf("%s 0x%X sig %X", line, p.Profile.Quality.At(row).Raw, p.Signature))
					}
				}
				if l, err := m.List(); err == nil && l.Signature != nil {
					got = append(got, fmt.Sprintf("signature %X", l.Signature))
				}
			}
			require.Equal(t, v.Want, strings.Join(got, "\n"))
		})
	}
}

// DZG DVS74 meters of two ranges of serial numbers shorten 327.68 W to 655.35 W
// to two octets without regard to the sign; others really mean minus.
func TestUnsignedSentAsSigned(t *testing.T) {
	power := Entry{Name: []byte{1, 0, 16, 7, 0, 255}, Unit: obis.Watt, Value: obis.Int(-29912, -2)}
	wide := Entry{Name: []byte{1, 0, 16, 7, 0, 255}, Unit: obis.Watt, Value: obis.Int(-78851, -2)}
	for serial, want := range map[uint32]string{
		41_999_999: "-299.12", 42_000_000: "356.24", 48_999_999: "356.24", 49_000_000: "-299.12",
		55_000_000: "356.24", 58_999_999: "356.24", 60_694_611: "-299.12",
	} {
		id := []byte{0x0A, 0x01, 'D', 'Z', 'G', 0, byte(serial >> 24), byte(serial >> 16), byte(serial >> 8), byte(serial)}
		f, _, err := ParseFrame(testFrame(id, power, wide))
		require.NoError(t, err)
		readings, err := AppendReadings(nil, f)
		require.NoError(t, err)
		require.Equal(t, want, readings[0].Value.String(), "serial %d", serial)
		require.Equal(t, "-788.51", readings[1].Value.String(), "three octets keep their sign")
	}
}

// A scaler of 0xFF is minus one, not 255.
func TestScalerIsSigned(t *testing.T) {
	f, _, err := ParseFrame(testFrame(testServer, Entry{Name: []byte{1, 0, 1, 8, 0, 255}, Unit: obis.WattHour, Value: obis.Int(5, -1)}))
	require.NoError(t, err)
	readings, err := AppendReadings(nil, f)
	require.NoError(t, err)
	require.Equal(t, "0.5", readings[0].Value.String())
}

func TestEscapes(t *testing.T) {
	for _, payload := range [][]byte{
		{0x1B, 0x1B, 0x1B, 0x1B}, {1, 0x1B, 0x1B, 0x1B, 0x1B, 2}, {0x1B}, {1, 2, 3, 0x1B}, {1, 0x1B, 0x1B, 0x1B},
		{0x1B, 0x1B, 0x1B, 0x1B, 0x1B, 0x1B, 0x1B, 0x1B}, {},
	} {
		b, err := Frame{Data: payload}.AppendBinary(nil)
		require.NoError(t, err)
		require.Zero(t, len(b)%4)
		f, n, err := ParseFrame(b)
		require.NoError(t, err, "%x", b)
		require.Equal(t, len(b), n)
		require.Equal(t, payload, append([]byte{}, f.Data...))
	}
}

func TestParseFrameRefuses(t *testing.T) {
	good := testFrame(testServer)
	broken := append([]byte(nil), good...)
	broken[40] ^= 1
	version2 := append([]byte(nil), good...)
	version2[4] = 2
	for name, test := range map[string]struct {
		in    []byte
		field string
		is    error
	}{
		"half a start": {good[:5], "start", io.ErrUnexpectedEOF},
		"no start":     {[]byte{0x76}, "start", nil},
		"version 2":    {version2, "start", nil},
		"half":         {good[:100], "end", io.ErrUnexpectedEOF},
		"wrong CRC":    {broken, "CRC", ErrChecksum},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := ParseFrame(test.in)
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			require.Zero(t, n)
			require.Equal(t, test.field, pe.Field)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
		})
	}
	for i := range good {
		_, _, err := ParseFrame(good[:i])
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
}

func TestBadRegisterLeavesTheOthers(t *testing.T) {
	good := Entry{Name: []byte{1, 0, 1, 8, 0, 255}, Unit: obis.WattHour, Value: obis.Int(5, 0)}
	var l List
	l.SetEntries([]Entry{good, good, good})
	entry := len(l.entries) / 3
	require.Equal(t, []byte{0x62, 30}, l.entries[entry+10:entry+12])
	l.entries[entry+10] = 0x42 // a unit of type bool
	m, _, err := ParseMessage(mustMessage(l.Message([]byte{1})))
	require.NoError(t, err)
	parsed, err := m.List()
	require.NoError(t, err)
	readings := parsed.AppendReadings(nil)
	require.Len(t, readings, 3)
	require.Equal(t, obis.Bad, readings[1].Quality.Validity())
	require.Equal(t, "5", readings[2].Value.String())
}

func mustMessage(m Message) []byte {
	b, err := m.AppendBinary(nil)
	if err != nil {
		return nil
	}
	return b
}

func TestExplainGoesAsFarAsItCan(t *testing.T) {
	good := testFrame(testServer)
	broken := append([]byte(nil), good...)
	broken[len(broken)-1] ^= 1
	for name, test := range map[string]struct {
		in    []byte
		is    error
		count int
	}{
		"whole":     {good, nil, 3},
		"wrong CRC": {broken, ErrChecksum, 3},
		"cut off":   {good[:len(good)-40], io.ErrUnexpectedEOF, 1},
	} {
		t.Run(name, func(t *testing.T) {
			messages, codes := 0, []string{}
			err := explainAll(test.in, func(offset, length, depth int, field, meaning string) {
				require.LessOrEqual(t, offset+length, len(test.in))
				switch field {
				case "message":
					messages++
				case "objName":
					codes = append(codes, meaning)
				}
			})
			require.ErrorIs(t, err, test.is)
			require.Equal(t, test.count, messages)
			require.Contains(t, codes, "1-0:1.8.0*255 active energy import total")
		})
	}
}

func TestHostileLengthsEnd(t *testing.T) {
	for _, body := range [][]byte{
		{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F},
		{0x76, 0xFF, 0x8F, 0x8F, 0x8F, 0x0F},
		{0x8F, 0x8F, 0x8F, 0x8F, 0x8F, 0x8F, 0x0F},
	} {
		_, n, err := ParseMessage(body)
		require.Error(t, err)
		require.Zero(t, n)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	escaped := testFrame(testServer, Entry{Name: []byte{1, 0, 96, 1, 0, 255}, Value: obis.Octets(bytes.Repeat([]byte{0x1B}, 9))})
	for _, b := range [][]byte{testFrame(testServer), escaped} {
		var s Stream
		var d Decoder
		decode := func() {
			s.Feed(b)
			f, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			if c := d.Decode(f); c.Err != nil || len(c.Readings) == 0 {
				t.Fatal(c.Err)
			}
		}
		decode()
		require.Zero(t, testing.AllocsPerRun(100, decode))
	}
}

// A Decoder that is used again says what a new one does, and what the messages
// one by one say.
func TestDecoderForgets(t *testing.T) {
	other := bytes.Clone(testServer)
	other[len(other)-1]++
	var d Decoder
	for _, b := range [][]byte{testFrame(testServer), testFrame(other), testFrame(nil), testFrame(testServer)} {
		f, _, err := ParseFrame(b)
		require.NoError(t, err)
		c, fresh := d.Decode(f), new(Decoder).Decode(f)
		require.Equal(t, fresh.Meter, c.Meter)
		require.Equal(t, fresh.Readings, c.Readings)
		var tags []Tag
		for m, err := range f.Messages() {
			require.NoError(t, err)
			tags = append(tags, m.Tag)
		}
		require.Equal(t, tags, c.Messages)
	}
}

// Whatever octet of a message is changed, or missing, nothing it says is read:
// its CRC tells. The other messages are read all the same where it has its length.
func TestDamagedMessages(t *testing.T) {
	f, _, err := ParseFrame(testFrame(testServer))
	require.NoError(t, err)
	want := new(Decoder).Decode(f)
	var d Decoder
	for i := range f.Data {
		for _, bit := range []byte{1, 0x80} {
			damaged := bytes.Clone(f.Data)
			damaged[i] ^= bit
			c := d.Decode(Frame{Data: damaged})
			if c.Err == nil {
				// The only octets that no CRC covers are the ends of messages and the length of the CRC itself.
				require.Equal(t, want.Readings, c.Readings)
			} else if len(c.Readings) > 0 {
				require.Equal(t, want.Readings, c.Readings)
			}
		}
		short := d.Decode(Frame{Data: f.Data[:i]})
		require.True(t, len(short.Readings) == 0 || len(short.Readings) == len(want.Readings))
		_, n, err := ParseMessage(f.Data[:i])
		if err != nil {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.Zero(t, n)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add(testFrame(testServer))
	b, _ := Frame{Data: []byte{0x1B, 0x1B, 0x1B, 0x1B, 0x1B}}.AppendBinary(nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, n, err := ParseFrame(b)
		if err != nil {
			require.Zero(t, n)
			return
		}
		require.LessOrEqual(t, n, len(b))
		again, err := frame.AppendBinary(nil)
		require.NoError(t, err)
		second, _, err := ParseFrame(again)
		require.NoError(t, err)
		require.Equal(t, string(frame.Data), string(second.Data))
	})
}

// FuzzMessages gives the messages right checks, so that what is in them is reached.
func FuzzMessages(f *testing.F) {
	frame, _, err := ParseFrame(testFrame(testServer))
	if err != nil {
		f.Fatal(err)
	}
	for m := range frame.Messages() {
		f.Add(uint32(m.Tag), m.Body)
	}
	for _, v := range golden.Load(f, "testdata/*.txt") {
		var s Stream
		s.Feed(v.Hex)
		frame, _ := s.Next()
		for m := range frame.Messages() {
			f.Add(uint32(m.Tag), m.Body)
		}
	}
	f.Fuzz(func(t *testing.T, tag uint32, body []byte) {
		b := mustMessage(Message{Tag: Tag(tag), Body: body})
		_ = explainAll(b, func(offset, length, _ int, field, _ string) {
			if offset < 0 || length < 0 || offset+length > len(b) {
				t.Fatalf("%s at %d+%d of %d", field, offset, length, len(b))
			}
		})
		m, n, err := ParseMessage(b)
		if err != nil {
			var pe *ParseError
			require.True(t, errors.As(err, &pe))
			require.Zero(t, n)
			return
		}
		require.LessOrEqual(t, n, len(b))
		second, _, err := ParseMessage(mustMessage(m))
		require.NoError(t, err)
		require.Equal(t, m.Body, second.Body)
		require.Equal(t, m.Tag, second.Tag)
		if l, err := m.List(); err == nil {
			require.LessOrEqual(t, len(l.AppendReadings(nil)), len(b))
			again := l.Message(nil)
			_, err := again.List()
			require.NoError(t, err)
		}
		if p, err := m.Profile(); err == nil {
			require.LessOrEqual(t, p.Profile.Len(), len(b))
		}
	})
}

// BenchmarkFrame reads a frame of about 300 octets to readings, beside a floor
// that runs a byte-table CRC over the same octets.
func BenchmarkFrame(b *testing.B) {
	id := testServer
	entries := []Entry{
		{Name: []byte{129, 129, 199, 130, 3, 255}, Value: obis.Text([]byte("OUM"))},
		{Name: []byte{1, 0, 0, 0, 9, 255}, Value: obis.Octets(id)},
		{Name: []byte{1, 0, 1, 8, 0, 255}, HasStatus: true, Status: 0x182, Unit: obis.WattHour, Value: obis.Int(22462413600, -4)},
		{Name: []byte{1, 0, 1, 8, 1, 255}, Unit: obis.WattHour, Value: obis.Int(22462413600, -4)},
		{Name: []byte{1, 0, 1, 8, 2, 255}, Unit: obis.WattHour, Value: obis.Int(0, -4)},
		{Name: []byte{1, 0, 16, 7, 0, 255}, Unit: obis.Watt, Value: obis.Int(168, 0)},
		{Name: []byte{129, 129, 199, 130, 5, 255}, Value: obis.Octets(make([]byte, 48))},
	}
	raw := testFrame(id, entries...)
	table := [256]uint16{}
	for i := range table {
		c := uint16(i)
		for range 8 {
			c = c>>1 ^ 0x8408*(c&1)
		}
		table[i] = c
	}
	var d Decoder
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		f, _, err := ParseFrame(raw)
		if err != nil {
			b.Fatal(err)
		}
		if c := d.Decode(f); c.Err != nil {
			b.Fatal(c.Err)
		}
	}
	golden.OfFloor(b, func() {
		crc := uint16(0xFFFF)
		for _, c := range raw {
			crc = crc>>8 ^ table[byte(crc)^c]
		}
		floorSink += crc
	})
}

var floorSink uint16

func Example() {
	var s Stream // finds frames in what the optical head delivers
	s.Feed(testFrame(testServer))
	for {
		f, err := s.Next()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break // feed it with what comes next
		}
		if err != nil {
			fmt.Println(err) // a frame was damaged
			continue
		}
		readings, err := AppendReadings(nil, f)
		if err != nil {
			fmt.Println(err)
		}
		for _, r := range readings[2:] {
			fmt.Println(r.Code, r.Value, r.Unit)
		}
	}
	// Output:
	// 1-0:1.8.0*255 12345678.9 Wh
	// 1-0:2.8.0*255 1.2 Wh
	// 1-0:16.7.0*255 -105.50 W
}

func FuzzStream(f *testing.F) {
	f.Add(append([]byte("noise"), testFrame(testServer)...), 7)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		if piece <= 0 {
			return
		}
		var s Stream
		frames := uint64(0)
		for rest := b; len(rest) > 0; {
			n := min(piece, len(rest))
			s.Feed(rest[:n])
			rest = rest[n:]
			for fr := range found(&s) {
				_, _ = AppendReadings(nil, fr)
				frames++
			}
		}
		require.Equal(t, frames, s.Stats().Messages)
		require.LessOrEqual(t, s.Stats().Skipped, uint64(len(b)))
	})
}

// found goes through what the stream finds, past what is damaged.
func found(s *Stream) iter.Seq[Frame] {
	return func(yield func(Frame) bool) {
		for {
			m, err := s.Next()
			if errors.Is(err, io.ErrUnexpectedEOF) || err == nil && !yield(m) {
				return
			}
		}
	}
}

// explainAll explains a whole capture, message by message, and returns the first error.
func explainAll(b []byte, note Note) (first error) {
	for at := 0; at < len(b); {
		shifted := func(offset, length, depth int, field, meaning string) { note(at+offset, length, depth, field, meaning) }
		n, err := Explain(b[at:], shifted)
		if n == 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			err = ExplainCut(b[at:], shifted)
			n = len(b) - at
		}
		if first == nil {
			first = err
		}
		at += n
	}
	return first
}

// Every frame of a capture is explained, and of a part of one nothing is noted
// that would be noted again.
func TestExplainStream(t *testing.T) {
	one := testFrame(testServer)
	line := bytes.Join([][]byte{[]byte("noise"), one, one, []byte("\r\n"), one}, nil)
	found := 0
	require.NoError(t, explainAll(line, func(offset, length, _ int, field, _ string) {
		require.LessOrEqual(t, offset+length, len(line))
		if field == "CRC" {
			found++
		}
	}))
	require.Equal(t, 3, found)
	for end := range line {
		for at := 0; at < end; {
			noted := 0
			n, err := Explain(line[at:end], func(offset, length, _ int, _, _ string) {
				noted++
				require.LessOrEqual(t, at+offset+length, end)
			})
			if n == 0 {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				require.Zero(t, noted)
				break
			}
			require.NoError(t, err)
			at += n
		}
	}
}

// BenchmarkStream reads frames in the pieces in which files and sockets deliver
// them, beside the frames one by one.
func BenchmarkStream(b *testing.B) {
	one := testFrame(testServer)
	capture := bytes.Repeat(one, 64)
	var s Stream
	var d Decoder
	b.SetBytes(int64(len(capture)))
	b.ReportAllocs()
	for b.Loop() {
		for rest := capture; len(rest) > 0; {
			n := min(4096, len(rest))
			s.Feed(rest[:n])
			rest = rest[n:]
			for f := range found(&s) {
				d.Decode(f)
			}
		}
	}
	golden.OfFloor(b, func() {
		for range 64 {
			f, _, _ := ParseFrame(one)
			d.Decode(f)
		}
	})
}

// A unit or a scaler of two octets is not the one that its lower octet would be.
func TestWideUnitsAndScalers(t *testing.T) {
	good := Entry{Name: []byte{1, 0, 1, 8, 0, 255}, Unit: obis.WattHour, Value: obis.Int(5, -1)}
	read := func(from, to []byte) obis.Reading {
		var l List
		l.SetEntries([]Entry{good})
		require.Equal(t, 1, bytes.Count(l.entries, from))
		l.entries = bytes.Replace(l.entries, from, to, 1)
		m, _, err := ParseMessage(mustMessage(l.Message([]byte{1})))
		require.NoError(t, err)
		parsed, err := m.List()
		require.NoError(t, err)
		return parsed.AppendReadings(nil)[0]
	}
	r := read([]byte{0x62, 30}, []byte{0x63, 1, 30})
	require.Equal(t, obis.OtherUnit, r.Unit)
	require.Equal(t, obis.Bad, read([]byte{0x62, 30, 0x52, 0xFF}, []byte{0x62, 30, 0x53, 1, 0xFF}).Quality.Validity())
	require.Equal(t, obis.Questionable, read([]byte{0x62, 30}, []byte{0x62, 59}).Quality.Flags)
}

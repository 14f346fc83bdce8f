package receive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/session"
	"github.com/openusm/meter/ansic12/tables"
	"github.com/openusm/meter/obis"
)

// all gives octets to a receiver at once, as a capture.
func all(r *Receiver, b []byte) (messages []Message, err error) {
	r.Feed(b)
	r.End()
	for {
		m, e := r.Next()
		switch {
		case e == io.EOF:
			return messages, err
		case e != nil:
			err = errors.Join(err, e)
		default:
			c := *m
			c.Layers, c.Readings = append([]Layer(nil), m.Layers...), append([]obis.Reading(nil), m.Readings...)
			messages = append(messages, c)
		}
	}
}

func readings(messages []Message) (list []obis.Reading) {
	for _, m := range messages {
		list = append(list, m.Readings...)
	}
	return list
}

// capture is a conversation with the simulated meter.
func capture(t testing.TB) (b []byte) {
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = ansicsim.New(nil).Serve(ctx, far) }()
	client := session.NewClient(near, &session.Config{Trace: func(_ bool, frame []byte) { b = append(b, frame...) }})
	require.NoError(t, client.Open(ctx))
	_, _, err := client.Read(ctx)
	require.NoError(t, err)
	require.NoError(t, client.Close(ctx))
	cancel()
	<-done
	return b
}

// Whatever pieces the octets come in, the readings are the same.
func TestPieces(t *testing.T) {
	b := capture(t)
	r, err := New(nil)
	require.NoError(t, err)
	whole, err := all(r, b)
	require.NoError(t, err)
	require.Greater(t, len(readings(whole)), 40)
	r, err = New(&Config{Live: true})
	require.NoError(t, err)
	var piecewise []obis.Reading
	for len(b) > 0 {
		n := min(7, len(b))
		r.Feed(b[:n])
		b = b[n:]
		for {
			m, err := r.Next()
			if err != nil {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				break
			}
			piecewise = append(piecewise, m.Readings...)
		}
	}
	require.Equal(t, len(readings(whole)), len(piecewise))
}

func TestNoiseIsSkipped(t *testing.T) {
	b := capture(t)
	r, err := New(nil)
	require.NoError(t, err)
	damaged := append([]byte("noise"), b...)
	messages, err := all(r, damaged)
	require.Error(t, err)
	require.NotEmpty(t, readings(messages))
	require.EqualValues(t, 5, r.Stats().Skipped)
}

// push is a message that brings a table and wants no answer.
func push(t testing.TB, calling string, key []byte, vector uint32, tables ...uint16) []byte {
	title, err := epsem.ParseTitle(calling)
	require.NoError(t, err)
	m := epsem.Message{Control: 0x80 | byte(epsem.ResponseNever), Elements: []epsem.Element{
		{Tag: epsem.TagCalling, Content: title}, {Tag: epsem.TagCallingID, Content: []byte{2, 1, 7}},
	}}
	sim := ansicsim.New(nil)
	for _, table := range tables {
		b, err := psem.Write{Table: table, Data: content(sim, table)}.AppendBinary(nil)
		require.NoError(t, err)
		m.Body = epsem.AppendService(m.Body, b)
	}
	var b []byte
	if key == nil {
		b, err = m.AppendBinary(nil)
	} else {
		b, err = m.Seal(epsem.Ciphered, key, 5, vector)
	}
	require.NoError(t, err)
	return b
}

var layout = []uint16{0, 1, 5, 11, 12, 15, 16, 21, 22}

// On a line a message must be protected as the keys imply, and come once.
func TestLivePolicy(t *testing.T) {
	key := []byte("0123456789abcdef")
	cfg := Config{Form: Messages, Live: true, Key: func(id uint8) []byte { return key }}
	next := func(r *Receiver, b []byte) (*Message, error) {
		r.Feed(b)
		return r.Next()
	}
	r, err := New(&cfg)
	require.NoError(t, err)
	m, err := next(r, push(t, ".42", key, 100, append(layout, 23)...))
	require.NoError(t, err)
	require.NotEmpty(t, m.Readings)
	require.True(t, m.Layers[0].Verified)
	require.EqualValues(t, 100, m.Layers[0].Counter)
	_, err = next(r, push(t, ".42", key, 100, 23))
	require.ErrorIs(t, err, ErrReplay)
	_, err = next(r, push(t, ".42", key, 99, 23))
	require.ErrorIs(t, err, ErrReplay)
	_, err = next(r, push(t, ".42", nil, 0, 23))
	require.ErrorIs(t, err, ErrUnprotected)
	_, err = next(r, push(t, ".42", []byte("another key-----"), 101, 23))
	require.ErrorIs(t, err, epsem.ErrMAC)
	_, err = next(r, push(t, ".43", key, 50, layout...))
	require.NoError(t, err, "another meter counts for itself")
	_, err = next(r, push(t, ".42", key, 101, 23))
	require.NoError(t, err, "what was refused moved nothing")

	cfg.AcceptUnprotected = true
	r, err = New(&cfg)
	require.NoError(t, err)
	m, err = next(r, push(t, ".42", nil, 0, append(layout, 23)...))
	require.NoError(t, err)
	require.NotEmpty(t, m.Readings)
	for _, x := range m.Readings {
		require.NotZero(t, x.Quality.Flags&obis.Unverified)
	}
}

// In a capture what is less protected than the keys imply is marked.
func TestCaptureMarksWhatIsNotProtected(t *testing.T) {
	key := []byte("0123456789abcdef")
	r, err := New(&Config{Form: Messages, Key: func(uint8) []byte { return key }})
	require.NoError(t, err)
	messages, err := all(r, push(t, ".42", nil, 0, append(layout, 23)...))
	require.NoError(t, err)
	require.NotEmpty(t, readings(messages))
	for _, x := range readings(messages) {
		require.NotZero(t, x.Quality.Flags&obis.Unverified)
	}
	r, err = New(&Config{Form: Messages})
	require.NoError(t, err)
	_, err = all(r, push(t, ".42", key, 1, 23))
	require.ErrorIs(t, err, ErrNoKey)
}

// Answers belong to the question of the same conversation.
func TestAnswersArePaired(t *testing.T) {
	title := func(text string) epsem.Title {
		t, _ := epsem.ParseTitle(text)
		return t
	}
	message := func(called, calling string, elements []epsem.Element, service []byte) []byte {
		m := epsem.Message{Control: 0x80, Elements: append([]epsem.Element{
			{Tag: epsem.TagCalled, Content: title(called)}, {Tag: epsem.TagCalling, Content: title(calling)},
		}, elements...), Body: epsem.AppendService(nil, service)}
		b, err := m.AppendBinary(nil)
		require.NoError(t, err)
		return b
	}
	read := func(table uint16) []byte {
		b, err := psem.Read{Table: table}.AppendBinary(nil)
		require.NoError(t, err)
		return b
	}
	sim := ansicsim.New(nil)
	answer := func(table uint16) []byte {
		r, err := psem.TableResponse(content(sim, table))
		require.NoError(t, err)
		b, err := r.AppendBinary(nil)
		require.NoError(t, err)
		return b
	}
	calling := func(id byte) []epsem.Element {
		return []epsem.Element{{Tag: epsem.TagCallingID, Content: []byte{2, 1, id}}}
	}
	called := func(id byte) []epsem.Element {
		return []epsem.Element{{Tag: epsem.TagCalledID, Content: []byte{2, 1, id}}}
	}
	var b []byte
	// Two questions are under way at once, and are answered the other way round.
	b = append(b, message(".42", ".1", calling(1), read(0))...)
	b = append(b, message(".1", ".42", called(1), answer(0))...)
	b = append(b, message(".42", ".1", calling(2), read(1))...)
	b = append(b, message(".42", ".1", calling(3), read(5))...)
	b = append(b, message(".1", ".42", called(3), answer(5))...)
	b = append(b, message(".1", ".42", called(2), answer(1))...)
	r, err := New(&Config{Form: Messages})
	require.NoError(t, err)
	messages, err := all(r, b)
	require.NoError(t, err)
	require.Len(t, messages, 6)
	require.Equal(t, "OUSM", messages[5].Meter.Manufacturer)
}

// FuzzReceiver: whatever comes, memory stays bounded and the receiver comes to an end.
func FuzzReceiver(f *testing.F) {
	f.Add(capture(f), uint8(Packets), false)
	f.Add(push(f, ".42", nil, 0, append(layout, 23)...), uint8(Messages), true)
	f.Add([]byte("\x60\x0c\xbe\x0a\x28\x08\x81\x06\x80\x01\x20\x01\x20\x01"), uint8(Messages), false)
	f.Add([]byte("\x00\x3f\x00\x40\x00\x01\x02\x00\x54\x00\x00\x00\x08\x01\x02\x03\x04\x05\x06\x07\x08"), uint8(OSGP), false)
	key := []byte("0123456789abcdef")
	f.Add(push(f, ".42", key, 9, 0, 23), uint8(Messages), true)
	f.Fuzz(func(t *testing.T, b []byte, form uint8, live bool) {
		r, err := New(&Config{Form: Form(form % 4), Live: live, Key: func(uint8) []byte { return key }, Table: 23})
		require.NoError(t, err)
		for range 2 {
			r.Feed(b)
			r.End()
			for n := 0; ; n++ {
				m, err := r.Next()
				if err == io.EOF {
					break
				}
				require.NotErrorIs(t, err, io.EOF)
				require.LessOrEqual(t, n, 2*len(b)+8, "it advances")
				if err == nil {
					for _, x := range m.Readings {
						require.Less(t, int(x.Source), len(m.Sources))
					}
				}
			}
			require.Zero(t, r.Pending())
		}
	})
}

// content returns a table of the simulated meter.
func content(sim *ansicsim.Meter, table uint16) []byte {
	b, _ := sim.Table(table)
	return b
}

// pushed is an unprotected push of any octets.
func pushed(t testing.TB, calling string, w psem.Write) []byte {
	title, err := epsem.ParseTitle(calling)
	require.NoError(t, err)
	m := epsem.Message{Control: 0x80 | byte(epsem.ResponseNever), Elements: []epsem.Element{{Tag: epsem.TagCalling, Content: title}}}
	b, err := w.AppendBinary(nil)
	require.NoError(t, err)
	m.Body = epsem.AppendService(nil, b)
	b, err = m.AppendBinary(nil)
	require.NoError(t, err)
	return b
}

// Whoever pushes without end, under as many titles as he likes, has us hold no more than
// the constants say. Big tables are refused where others do not refer to them, too.
func TestHeldOfMeters(t *testing.T) {
	const long = 20_000
	r, err := New(&Config{Form: Messages, Live: true})
	require.NoError(t, err)
	held := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	feed := func(calling string, w psem.Write) error {
		r.Feed(pushed(t, calling, w))
		m, err := r.Next()
		require.NoError(t, err)
		return m.Err
	}
	data := make([]byte, long)
	var total error
	for range 6 { // each replaces the one before
		if err := feed(".1", psem.Write{Table: 16, Data: data}); err != nil {
			require.NotContains(t, err.Error(), "to which others refer")
		}
	}
	for _, table := range []uint16{1, 12, 15, 16, 22, 27, 62, 63} {
		total = errors.Join(total, feed(".1", psem.Write{Table: table, Data: data}))
	}
	require.ErrorContains(t, total, "to which others refer")
	before := held()
	const meters = 40
	for i := range meters {
		calling := fmt.Sprintf(".2.%d", i)
		for _, table := range []uint16{5, 16, 22, 27, 3000} {
			_ = feed(calling, psem.Write{Table: table, Data: data})
		}
		_ = feed(calling, psem.Write{Table: 64, ByOffset: true, Data: data})
	}
	require.LessOrEqual(t, r.parts, maxParts)
	sum := 0
	for _, m := range r.meters.known {
		sum += len(m.parts)
	}
	require.Equal(t, sum, r.parts)
	each := (held() - before) / meters
	t.Logf("%d octets for each of %d meters", each, len(r.meters.known))
	require.LessOrEqual(t, each, tables.MaxHeld+maxParts/maxMeters+2*long)
	runtime.KeepAlive(r)
}

// BenchmarkStranger is a long push of what becomes most readings.
func BenchmarkStranger(b *testing.B) {
	r, err := New(&Config{Form: Messages, Live: true})
	require.NoError(b, err)
	raw := pushed(b, ".1", psem.Write{Table: 16, Data: make([]byte, 60_000)})
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		r.Feed(raw)
		m, err := r.Next()
		if err != nil || len(m.Readings) == 0 {
			b.Fatal(err)
		}
	}
}

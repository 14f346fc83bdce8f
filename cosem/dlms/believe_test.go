package dlms

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/cosem/wrapper"
	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
)

var (
	pusher   = security.Title{'O', 'S', 'M', 0, 0, 0, 0, 7}
	pushKey  = security.Key("0123456789abcdef")
	pushAuth = security.Key("fedcba9876543210")
	energy   = obis.MustParse("1-0:1.8.0")
)

// pushPDU is a push of one register.
func pushPDU(value uint32) []byte {
	b, _ := apdu.DataNotification{Invoke: 1, Body: cosem.Array(cosem.Structure(cosem.Name(energy), cosem.Uint32(value),
		cosem.ScalerUnit{Unit: obis.WattHour, Known: true}.Data()))}.AppendBinary(nil)
	return b
}

// glo puts general-glo-ciphering around a PDU.
func glo(t testing.TB, title security.Title, control security.Control, counter uint32, plain []byte) []byte {
	s, err := security.NewCipher(pushKey, pushAuth)
	require.NoError(t, err)
	contents, err := security.AppendSealed(nil, s, control, title, counter, nil, plain)
	require.NoError(t, err)
	b, err := apdu.GeneralCiphered{SystemTitle: title[:], Contents: contents}.AppendBinary(nil)
	require.NoError(t, err)
	return b
}

const both = security.Authenticated | security.Encrypted

// stripped is a push whose tag was cut off and in which a bit was changed.
func stripped(t testing.TB, counter uint32) []byte {
	p, _, err := apdu.ParseGeneralCiphered(glo(t, pusher, both, counter, pushPDU(5)))
	require.NoError(t, err)
	contents := p.Contents[:len(p.Contents)-12]
	contents[0], contents[5+22] = byte(security.Encrypted), contents[5+22]^0x40
	p.Contents = contents
	b, _ := p.AppendBinary(nil)
	return b
}

func knows(ek, ak security.Key) func(security.Title) *Security {
	return func(title security.Title) *Security {
		if title != pusher {
			return nil
		}
		return &Security{Unicast: ek, Authentication: ak}
	}
}

// Where only meters by their titles have keys, a push that names nobody is that of
// anybody, whoever it says that it is.
func TestBelieveUnnamed(t *testing.T) {
	cfg := ReceiverConfig{Link: LinkWrapper, Keys: knows(pushKey, pushAuth), Unnamed: both}
	feed := func(cfg ReceiverConfig, pdus ...[]byte) (*Message, error) {
		r := NewReceiver(&cfg)
		for _, pdu := range pdus {
			b, err := wrapper.Frame{Source: 1, Destination: 1, APDU: pdu}.AppendBinary(nil)
			require.NoError(t, err)
			r.Feed(b)
		}
		var m *Message
		var err error
		for range pdus {
			m, err = r.Next()
		}
		return m, err
	}
	m, err := feed(cfg, pushPDU(5))
	require.NoError(t, err)
	require.True(t, m.Unverified)
	aare, err := apdu.AARE{Context: apdu.ContextLNCiphered, RespondingAPTitle: []byte("STRANGER")}.AppendBinary(nil)
	require.NoError(t, err)
	for name, pdus := range map[string][][]byte{"a push": {pushPDU(5)}, "behind a title that anybody may tell": {aare, pushPDU(5)}} {
		live := cfg
		live.Counters = &security.MemoryCounters{}
		_, err = feed(live, pdus...)
		require.ErrorIs(t, err, ErrUnprotected, name)
		live.AcceptUnprotected = func(security.Title) bool { return true }
		m, err = feed(live, pdus...)
		require.NoError(t, err, name)
		require.True(t, m.Unverified, name)
	}
	live := cfg
	live.Counters = &security.MemoryCounters{}
	m, err = feed(live, glo(t, pusher, both, 9, pushPDU(5)))
	require.NoError(t, err)
	require.False(t, m.Unverified)
}

// What is believed of a push, on a live line and in a capture.
func TestBelieve(t *testing.T) {
	forged := func(control security.Control) []byte { return glo(t, pusher, control, 1<<30, pushPDU(666)) }
	for name, test := range map[string]struct {
		b       []byte
		ek, ak  security.Key
		live    error
		capture obis.Flags
		err     error // in a capture
	}{
		"authenticated and encrypted":           {b: glo(t, pusher, both, 9, pushPDU(5)), ek: pushKey, ak: pushAuth},
		"authenticated":                         {b: glo(t, pusher, security.Authenticated, 9, pushPDU(5)), ek: pushKey, ak: pushAuth},
		"encrypted, and the tag is demanded":    {b: forged(security.Encrypted), ek: pushKey, ak: pushAuth, live: ErrUnprotected, capture: obis.Unverified},
		"the tag was cut off":                   {b: stripped(t, 10), ek: pushKey, ak: pushAuth, live: ErrUnprotected, capture: obis.Unverified},
		"security control 0":                    {b: forged(0), ek: pushKey, ak: pushAuth, live: ErrUnprotected, capture: obis.Unverified},
		"encrypted, with an encryption key":     {b: glo(t, pusher, security.Encrypted, 9, pushPDU(5)), ek: pushKey, capture: obis.Unverified},
		"a tag and no key to check it":          {b: glo(t, pusher, both, 9, pushPDU(5)), ek: pushKey, capture: obis.Unverified},
		"in the clear, with an encryption key":  {b: forged(0), ek: pushKey, live: ErrUnprotected, capture: obis.Unverified},
		"authenticated only, nothing to check":  {b: forged(security.Authenticated), ek: pushKey, live: ErrUnprotected, capture: obis.Unverified},
		"plain, and no keys":                    {b: pushPDU(5)},
		"a wrong key":                           {b: glo(t, pusher, both, 9, pushPDU(5)), ek: pushAuth, ak: pushAuth, live: security.ErrAuthentication, err: security.ErrAuthentication},
		"a wrong key, and none to check":        {b: glo(t, pusher, both, 9, pushPDU(5)), ek: pushAuth, live: ErrWrongKey, err: ErrWrongKey},
		"no key":                                {b: glo(t, pusher, both, 9, pushPDU(5)), live: security.ErrNoKey, err: security.ErrNoKey},
		"a nested cipher, the outer one open":   {b: glo(t, pusher, 0, 8, glo(t, pusher, both, 9, pushPDU(5))), ek: pushKey, ak: pushAuth},
		"a nested cipher of others":             {b: glo(t, security.Title{1}, 0, 8, glo(t, pusher, both, 9, pushPDU(5))), ek: pushKey, ak: pushAuth, live: security.ErrNoKey, err: security.ErrNoKey},
		"five ciphers":                          {b: glo(t, pusher, both, 8, glo(t, pusher, both, 9, glo(t, pusher, 0, 9, glo(t, pusher, 0, 9, glo(t, pusher, both, 9, pushPDU(5)))))), ek: pushKey, ak: pushAuth, live: ErrProtocol, err: ErrProtocol},
		"a cipher around another one's":         {b: glo(t, pusher, both, 8, glo(t, security.Title{1}, both, 9, pushPDU(5))), ek: pushKey, ak: pushAuth, live: errSenders, err: errSenders},
		"ciphered garbage with the right tag":   {b: glo(t, pusher, both, 8, []byte{0x0F, 1}), ek: pushKey, ak: pushAuth, live: new(apdu.ParseError), err: new(apdu.ParseError)},
		"the telegram of a customer port":       {b: glo(t, pusher, both, 8, []byte("/ABC5x\r\n")), ek: pushKey, ak: pushAuth},
		"a telegram with a wrong key, unsigned": {b: glo(t, pusher, security.Encrypted, 8, []byte("/\x01\x02\x03")), ek: pushKey, live: ErrWrongKey, err: ErrWrongKey},
	} {
		t.Run(name, func(t *testing.T) {
			keys := knows(test.ek, test.ak)
			if test.ek == nil {
				keys = nil
			}
			check := func(m *Message, err, want error, flags obis.Flags) {
				t.Helper()
				var parse *apdu.ParseError
				if errors.As(want, &parse) {
					require.ErrorAs(t, err, &parse)
					require.NotErrorIs(t, err, io.ErrUnexpectedEOF, "no more octets of it come")
					return
				}
				require.ErrorIs(t, err, want)
				if want != nil {
					return
				}
				require.Equal(t, flags == obis.Unverified, m.Unverified)
				for _, r := range m.Readings {
					require.Equal(t, flags, r.Quality.Flags)
					require.Equal(t, cosem.Attribute{Name: energy, Index: 2}, m.Attributes[r.Source])
				}
				require.Equal(t, len(m.Readings) == 0, m.PDU == nil)
			}
			m, err := NewReceiver(&ReceiverConfig{Keys: keys}).APDU(test.b)
			check(m, err, test.err, test.capture)
			m, err = NewReceiver(&ReceiverConfig{Keys: keys, Counters: &security.MemoryCounters{}}).APDU(test.b)
			check(m, err, test.live, test.capture)
			if errors.Is(test.live, ErrUnprotected) {
				m, err = NewReceiver(&ReceiverConfig{Keys: keys, Counters: &security.MemoryCounters{}, AcceptUnprotected: func(security.Title) bool { return true }}).APDU(test.b)
				check(m, err, nil, obis.Unverified)
			}
		})
	}
}

// A plain push on a line where the meter has shown its title, or where keys of
// whoever is not named are known, is not believed.
func TestPlainAmongProtected(t *testing.T) {
	r := NewReceiver(&ReceiverConfig{Keys: knows(pushKey, pushAuth), Counters: &security.MemoryCounters{}})
	_, err := r.APDU(glo(t, pusher, both, 9, pushPDU(5)))
	require.NoError(t, err)
	_, err = r.APDU(pushPDU(666))
	require.ErrorIs(t, err, ErrUnprotected)

	r = NewReceiver(&ReceiverConfig{Keys: func(security.Title) *Security { return &Security{Unicast: pushKey, Authentication: pushAuth} }})
	m, err := r.APDU(pushPDU(666))
	require.NoError(t, err)
	require.Equal(t, obis.Unverified, m.Readings[0].Quality.Flags)
}

// Nobody without the key can use up the counters of a meter, and nothing comes twice.
func TestForgedCounters(t *testing.T) {
	counters := &security.MemoryCounters{}
	r := NewReceiver(&ReceiverConfig{Keys: knows(pushKey, pushAuth), Counters: counters, AcceptUnprotected: func(security.Title) bool { return true }})
	for i, b := range [][]byte{glo(t, pusher, 0, 0xFFFFFFFF, pushPDU(1)), glo(t, pusher, security.Encrypted, 0xFFFFFFFE, pushPDU(2)), stripped(t, 0xFFFFFFF0)} {
		_, err := r.APDU(b)
		require.NoError(t, err, i)
	}
	for counter := range uint32(3) {
		b := glo(t, pusher, both, 10+counter, pushPDU(5))
		_, err := r.APDU(b)
		require.NoError(t, err)
		_, err = r.APDU(b)
		require.ErrorIs(t, err, security.ErrReplay)
	}
	m, err := NewReceiver(&ReceiverConfig{Keys: knows(pushKey, pushAuth)}).APDU(glo(t, pusher, both, 1, pushPDU(5)))
	require.NoError(t, err, "captures have messages in any order")
	require.Equal(t, security.Verified, m.Trust)
	require.EqualValues(t, 1, m.Counter)
	require.Equal(t, "OSM", m.Meter.Manufacturer)
	require.Equal(t, pusher.String(), m.Meter.SystemTitle)
}

// Keys are asked for once a title.
func TestKeysAreAskedOnce(t *testing.T) {
	asked := 0
	r := NewReceiver(&ReceiverConfig{Keys: func(title security.Title) *Security {
		asked++
		return &Security{Unicast: pushKey, Authentication: pushAuth}
	}})
	for counter := range uint32(20) {
		_, err := r.APDU(glo(t, pusher, both, counter, pushPDU(5)))
		require.NoError(t, err)
	}
	require.Equal(t, 1, asked)
	for i := range 5 * maxSenders {
		_, _ = r.APDU(glo(t, security.Title{1, byte(i), byte(i >> 8)}, both, 1, pushPDU(5)))
	}
	require.LessOrEqual(t, len(r.senders), maxSenders)
}

// The originator that a general-signing names is the sender of what is inside.
func TestSigned(t *testing.T) {
	client := security.Title{'C', 'P', 'T', 0, 0, 0, 0, 1}
	signer, err := security.NewSigningKey(security.Suite1, bytes.Repeat([]byte{7}, 32))
	require.NoError(t, err)
	stranger, err := security.NewSigningKey(security.Suite1, bytes.Repeat([]byte{8}, 32))
	require.NoError(t, err)
	sealer, err := security.NewCipher(pushKey, pushAuth)
	require.NoError(t, err)
	get, _ := energyValue.AppendBinary(nil)
	contents, err := security.AppendSealed(nil, sealer, both|1, client, 9, nil, get)
	require.NoError(t, err)
	inner, _ := apdu.Ciphered{Tag: 0xC8, Contents: contents}.AppendBinary(nil)
	e := &security.EndToEnd{Suite: security.Suite1, Signing: signer}
	signed, err := e.Sign(apdu.Header{Transaction: make([]byte, 8), Originator: client[:], Recipient: pusher[:]}, inner)
	require.NoError(t, err)
	b, _ := signed.AppendBinary(nil)
	for name, test := range map[string]struct {
		public []byte
		trust  security.Trust
		err    error
	}{
		"checked":           {signer.Public(), security.Verified, nil},
		"not to be checked": {nil, security.Unverified, nil},
		"another's":         {stranger.Public(), 0, security.ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReceiver(&ReceiverConfig{Keys: func(title security.Title) *Security {
				return &Security{Suite: security.Suite1, Unicast: pushKey, Authentication: pushAuth, PeerSigning: test.public, Title: client, Peer: pusher}
			}})
			m, err := r.APDU(b)
			require.ErrorIs(t, err, test.err)
			if err != nil {
				return
			}
			require.Equal(t, get, m.Plain)
			require.Equal(t, client, m.Title)
			require.Equal(t, []string{"general-signing", "glo-get-request", "get-request-normal"}, names(m.Layers))
			require.Equal(t, test.trust, m.Layers[0].Trust)
			require.Equal(t, security.Verified, m.Layers[1].Trust)
		})
	}
}

func names(layers []Layer) (all []string) {
	for _, l := range layers {
		all = append(all, l.Name)
	}
	return all
}

// told feeds frames and returns what came: readings, errors and warnings as text.
func told(r *Receiver, frames ...[]byte) string {
	var all []string
	for _, f := range frames {
		r.Feed(f)
		for {
			m, err := r.Next()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil {
				all = append(all, "error: "+err.Error())
				continue
			}
			for _, w := range m.Warnings {
				all = append(all, "warning: "+w.Error())
			}
			for _, x := range m.Readings {
				all = append(all, fmt.Sprintf("%s=%v %v", x.ID(), x.Value, x.Quality.Flags))
			}
		}
	}
	return strings.Join(all, "\n")
}

func wrap(t testing.TB, from, to uint16, b []byte) []byte {
	f, err := wrapper.Frame{Source: from, Destination: to, APDU: b}.AppendBinary(nil)
	require.NoError(t, err)
	return f
}

func encode(t testing.TB, p apdu.PDU) []byte {
	b, err := p.AppendBinary(nil)
	require.NoError(t, err)
	return b
}

// Blocks of an answer go by number, partner and invoke id.
func TestAnswersInBlocks(t *testing.T) {
	name := obis.MustParse("0-0:42.0.0")
	value := []byte("\x09\x18METER-0123456789ABCDEFGH")
	request := func(client uint16) []byte {
		return wrap(t, client, 1, encode(t, apdu.GetRequestNormal{Invoke: 0xC1, Get: apdu.Get{Attribute: cosem.Attribute{Class: cosem.ClassData, Name: name, Index: 2}}}))
	}
	block := func(client uint16, number uint32, last bool, part []byte) []byte {
		return wrap(t, 1, client, encode(t, apdu.GetResponseWithBlock{Invoke: 0xC1, Block: apdu.Block{Last: last, Number: number, Raw: part}}))
	}
	one, two, three := block(16, 1, false, value[:10]), block(16, 2, false, value[10:18]), block(16, 3, true, value[18:])
	other := []byte("\x09\x04ABCD")
	const good = "0-0:42.0.0*255=METER-0123456789ABCDEFGH good"
	for what, test := range map[string]struct {
		frames [][]byte
		want   string
	}{
		"in order":                   {[][]byte{request(16), one, two, three}, good},
		"block 2 twice":              {[][]byte{request(16), one, two, two, three}, good},
		"block 1 twice":              {[][]byte{request(16), one, one, two, three}, good},
		"block 1 again after 2":      {[][]byte{request(16), one, two, one, two, three}, "warning: dlms: block 1 after block 2: " + errBegun.Error() + "\n" + good},
		"two blocks changed places":  {[][]byte{request(16), one, three, two}, "error: dlms: block 3 where 2 was expected: " + ErrLost.Error()},
		"block 2 is missing":         {[][]byte{request(16), one, three}, "error: dlms: block 3 where 2 was expected: " + ErrLost.Error()},
		"block 1 is missing":         {[][]byte{request(16), two, three}, "error: dlms: block 2 without block 1: " + ErrLost.Error()},
		"block 2 repeated otherwise": {[][]byte{request(16), one, two, block(16, 2, false, []byte("xxxxxxxx")), three}, "error: dlms: block 2: " + errRepeated.Error()},
		"two clients in turn": {[][]byte{request(16), request(17), one, block(17, 1, false, other[:3]), two, three, block(17, 2, true, other[3:])},
			good + "\n0-0:42.0.0*255=ABCD good"},
		"octets behind": {[][]byte{request(16), one, two, block(16, 3, true, append(value[18:len(value):len(value)], 9))}, "error: cosem: raw-data at octet 26: 1 octets too many"},
		"no request":    {[][]byte{one, two, three}, "=METER-0123456789ABCDEFGH good"},
	} {
		t.Run(what, func(t *testing.T) {
			require.Equal(t, test.want, told(NewReceiver(&ReceiverConfig{Link: LinkWrapper}), test.frames...))
		})
	}
}

// A request is answered by what has its number, and by nothing else.
func TestAnswersBelongToRequests(t *testing.T) {
	get := func(invoke apdu.InvokeID, code string) []byte {
		return wrap(t, 16, 1, encode(t, apdu.GetRequestNormal{Invoke: invoke, Get: apdu.Get{Attribute: cosem.Attribute{Class: cosem.ClassData, Name: obis.MustParse(code), Index: 2}}}))
	}
	answer := func(invoke apdu.InvokeID, v uint32) []byte {
		return wrap(t, 1, 16, encode(t, apdu.GetResponseNormal{Invoke: invoke, Result: apdu.Result{Data: cosem.Uint32(v)}}))
	}
	failed := wrap(t, 1, 16, encode(t, apdu.ExceptionResponse{State: 1, Service: 2}))
	a, b := "0-0:96.1.1", "0-0:96.1.2"
	for name, test := range map[string]struct {
		frames [][]byte
		want   string
	}{
		"one after the other":       {[][]byte{get(1, a), answer(1, 5), get(1, b), answer(1, 6)}, a + "*255=5 good\n" + b + "*255=6 good"},
		"two at once":               {[][]byte{get(1, a), get(2, b), answer(2, 6), answer(1, 5)}, b + "*255=6 good\n" + a + "*255=5 good"},
		"asked again":               {[][]byte{get(1, a), get(1, a), answer(1, 5)}, a + "*255=5 good"},
		"the answer came twice":     {[][]byte{get(1, a), answer(1, 5), answer(1, 5)}, a + "*255=5 good\n=5 scaler-unknown"},
		"an answer is missing":      {[][]byte{get(1, a), get(1, b), answer(1, 6)}, "warning: " + errWhich.Error() + "\n" + b + "*255=6 questionable"},
		"the server refused":        {[][]byte{get(1, a), failed, get(1, b), answer(1, 6)}, b + "*255=6 good"},
		"an answer to nothing":      {[][]byte{answer(1, 5)}, "=5 scaler-unknown"},
		"of another client's":       {[][]byte{get(1, a), wrap(t, 1, 17, answer(1, 5)[8:])}, "=5 scaler-unknown"},
		"a list and a single value": {[][]byte{wrap(t, 16, 1, encode(t, apdu.GetRequestWithList{Invoke: 1, List: []apdu.Get{{Attribute: cosem.Attribute{Class: 1, Name: obis.MustParse(a), Index: 2}}}})), answer(1, 5)}, "=5 scaler-unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			got := told(NewReceiver(&ReceiverConfig{Link: LinkAuto}), test.frames...)
			if name == "the server refused" {
				require.Contains(t, got, "warning: ")
				got = got[strings.Index(got, "\n")+1:]
			}
			require.Equal(t, test.want, got)
		})
	}
}

// Only attributes that are values make readings.
func TestOnlyValuesMakeReadings(t *testing.T) {
	for name, frames := range map[string]string{
		"capture_objects": "000100010010000dc001c100070100630100ff0300000100010010003cc401c1000103020412000809060000010000ff0f02120000020412000309060100010800ff0f02120000020412000309060100200700ff0f02120000",
		"object_list":     "000100010010000dc001c1000f0000280000ff0200000100010010003ec401c10001020204120003110009060100010800ff0202010102030f0216010001000204120008110009060000010000ff0202010102030f021601000100",
	} {
		t.Run(name, func(t *testing.T) {
			// Client and meter have the same address here: it is 1 → 16 both times.
			require.Empty(t, told(NewReceiver(&ReceiverConfig{Link: LinkAuto}), golden.Unhex(t, frames)))
		})
	}
}

func segmentFrame(t testing.TB, control hdlc.Control, more bool, info []byte) []byte {
	b, err := hdlc.Frame{Source: hdlc.Server(1, 0), Destination: hdlc.Client(16), Control: control, Segmented: more, Info: info}.AppendBinary(nil)
	require.NoError(t, err)
	return b
}

// Segments go by number; what is lost or repeated concerns one message alone.
func TestSegments(t *testing.T) {
	first, second := append([]byte{0xE6, 0xE7, 0}, pushPDU(5)...), append([]byte{0xE6, 0xE7, 0}, pushPDU(6)...)
	i := func(n uint8, more bool, info []byte) []byte {
		return segmentFrame(t, hdlc.Information(n, 0), more, info)
	}
	ui := func(more bool, info []byte) []byte { return segmentFrame(t, hdlc.UI, more, info) }
	a, b, c := i(0, true, first[:9]), i(1, true, first[9:20]), i(2, false, first[20:])
	lostBegin := func(n int) string {
		return fmt.Sprintf("error: dlms: a segment of %d octets without its beginning: %v", n, ErrLost)
	}
	a0 := func(info []byte) []byte { return i(0, true, info[9:20]) }
	const five, six = "1-0:1.8.0*255=5 good", "1-0:1.8.0*255=6 good"
	for what, test := range map[string]struct {
		frames [][]byte
		want   string
	}{
		"in order":                         {[][]byte{a, b, c, i(3, false, second)}, five + "\n" + six},
		"each twice":                       {[][]byte{a, a, b, b, c, c}, five},
		"the middle is lost":               {[][]byte{a, c, i(3, false, second)}, "error: dlms: segment 2 of 1→16: " + ErrLost.Error() + "\n" + six},
		"the first is lost":                {[][]byte{b, c, i(3, false, second)}, "error: dlms: a segment of 11 octets without its beginning: " + ErrLost.Error() + "\n" + six},
		"the last is lost":                 {[][]byte{a, b, i(3, false, second)}, "warning: dlms: 1→16: " + errBegun.Error() + "\n" + six},
		"UI frames, the last is lost":      {[][]byte{ui(true, first[:9]), ui(true, first[9:20]), ui(false, second)}, "warning: dlms: 1→16: " + errBegun.Error() + "\n" + six},
		"a UI frame between segments":      {[][]byte{a, ui(false, second), b, c}, six + "\n" + five},
		"I frames after a UI frame":        {[][]byte{ui(true, first[:9]), a0(first), a0(first), i(1, false, first[20:]), ui(true, second[:9]), i(2, false, second[9:])}, five + "\n" + six},
		"I after UI, one is lost":          {[][]byte{ui(true, first[:9]), i(1, false, first[20:]), ui(true, second[:9]), i(2, false, second[9:])}, "error: dlms: segment 1 of 1→16: " + ErrLost.Error() + "\n" + six},
		"I after UI, which is lost":        {[][]byte{a0(first), i(1, false, first[20:]), ui(true, second[:9]), i(0, false, second[9:])}, lostBegin(11) + "\n" + six},
		"I after UI, within a connection":  {[][]byte{i(0, false, second), ui(true, first[:9]), i(1, false, first[9:])}, six + "\n" + lostBegin(len(first)-9)},
		"an acknowledgement between":       {[][]byte{a, segmentFrame(t, hdlc.Ready(1), false, nil), b, c}, five},
		"the link is connected anew":       {[][]byte{a, segmentFrame(t, hdlc.UA, false, nil), i(0, false, second)}, six},
		"a bit of the middle is disturbed": {[][]byte{a, append([]byte{}, disturbed(b)...), c}, "error: hdlc: FCS at octet 19: 0x"},
	} {
		t.Run(what, func(t *testing.T) {
			got := told(NewReceiver(nil), test.frames...)
			if strings.Contains(test.want, "FCS") {
				require.Contains(t, got, test.want)
				require.NotContains(t, got, "good")
				return
			}
			require.Equal(t, test.want, got)
		})
	}
}

func disturbed(b []byte) []byte {
	b = append([]byte{}, b...)
	b[12] ^= 1
	return b
}

// General block transfers begin anew with block 1, also after an interrupted one.
func TestGeneralBlocks(t *testing.T) {
	whole := pushPDU(5)
	block := func(n uint16, last bool, part []byte) []byte {
		return wrap(t, 1, 16, encode(t, apdu.GeneralBlockTransfer{Last: last, Streaming: !last, Window: 1, Number: n, Data: part}))
	}
	one, two, three := block(1, false, whole[:7]), block(2, false, whole[7:15]), block(3, true, whole[15:])
	const good = "1-0:1.8.0*255=5 good"
	for what, test := range map[string]struct {
		frames [][]byte
		want   string
	}{
		"in order":                 {[][]byte{one, two, three, one, two, three}, good + "\n" + good},
		"interrupted":              {[][]byte{one, two, one, two, three}, "warning: dlms: block 1 after block 2: " + errBegun.Error() + "\n" + good},
		"recovered":                {[][]byte{one, two, two, three, three}, good},
		"out of order":             {[][]byte{one, three, two, three}, "error: dlms: block 3 where 2 was expected: " + ErrLost.Error()},
		"acknowledgements":         {[][]byte{one, wrap(t, 16, 1, encode(t, apdu.GeneralBlockTransfer{Last: true, Window: 1, Number: 1, Ack: 1})), two, three}, good},
		"after an acknowledgement": {[][]byte{block(1, true, nil), block(2, false, whole[:7]), block(3, true, whole[7:])}, good},
	} {
		t.Run(what, func(t *testing.T) {
			require.Equal(t, test.want, told(NewReceiver(&ReceiverConfig{Link: LinkAuto}), test.frames...))
		})
	}
}

// What is not complete is bounded, whoever sends it.
func TestReceiverIsBounded(t *testing.T) {
	r := NewReceiver(&ReceiverConfig{Counters: &security.MemoryCounters{}})
	info := append([]byte{0xE6, 0xE7, 0}, make([]byte, 2000)...)
	for i := range 60000 {
		f := hdlc.Frame{Source: hdlc.Server(uint16(i%3000), 17), Destination: hdlc.Client(16), Control: hdlc.UI, Segmented: true, Info: info[3:]}
		if i < 3000 {
			f.Info = info
		}
		_, _ = r.frame(f)
		require.LessOrEqual(t, len(r.flows), maxFlows)
		require.LessOrEqual(t, r.held, maxGathered)
	}
	total := 0
	for _, f := range r.flows {
		total += cap(f.numbered.b) + cap(f.pushed.b) + cap(f.blocks.b) + cap(f.answer.b)
	}
	require.Equal(t, total, r.held)
}

// The power that a Kaifa meter sends alone has its code from the list before.
func TestListsWithoutNames(t *testing.T) {
	power := encode(t, apdu.DataNotification{Body: cosem.Structure(cosem.Uint32(1234))})
	name := []byte("KFM_001")
	full := encode(t, apdu.DataNotification{Body: cosem.Structure(cosem.OctetString(name), cosem.OctetString([]byte("12")), cosem.OctetString([]byte("MA")),
		cosem.Uint32(900), cosem.Uint32(0), cosem.Uint32(0), cosem.Uint32(10), cosem.Uint32(4237), cosem.Uint32(2300))})
	r := NewReceiver(nil)
	frame := func(b []byte) []byte { return segmentFrame(t, hdlc.UI, false, append([]byte{0xE6, 0xE7, 0}, b...)) }
	told(r, frame(full))
	require.Equal(t, "1-0:1.7.0*255=1234 good", told(r, frame(power)))
}

// The link is what the first octets say, whatever noise is before.
func TestReceiverFindsTheLink(t *testing.T) {
	for name, b := range map[string][]byte{
		"wrapper": wrap(t, 1, 16, pushPDU(5)),
		"hdlc":    segmentFrame(t, hdlc.UI, false, append([]byte{0xE6, 0xE7, 0}, pushPDU(5)...)),
	} {
		t.Run(name, func(t *testing.T) {
			for _, noise := range []string{"", "\x00", "\x00\x00\xFF", "ab"} {
				r := NewReceiver(&ReceiverConfig{Link: LinkAuto})
				var one [][]byte
				for _, c := range append([]byte(noise), b...) {
					one = append(one, []byte{c})
				}
				require.Equal(t, "1-0:1.8.0*255=5 good", told(r, one...))
				require.EqualValues(t, len(noise), r.Stats().Skipped)
			}
		})
	}
}

// A push costs no more than its PDU.
func TestReceiveAllocates(t *testing.T) {
	frame := segmentFrame(t, hdlc.UI, false, append([]byte{0xE6, 0xE7, 0}, glo(t, pusher, both, 9, pushPDU(5))...))
	r := NewReceiver(&ReceiverConfig{Keys: knows(pushKey, pushAuth)})
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		r.Feed(frame)
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}), 2.0)
}

// FuzzReceiver cuts a stream in two: what is read does not depend on where.
func FuzzReceiver(f *testing.F) {
	hdlcFrame := segmentFrame(f, hdlc.UI, false, append([]byte{0xE6, 0xE7, 0}, glo(f, pusher, both, 9, pushPDU(5))...))
	segment := append(segmentFrame(f, hdlc.Information(0, 0), true, []byte{0xE6, 0xE7, 0, 0x0F}), segmentFrame(f, hdlc.Information(1, 0), false, pushPDU(5)[1:])...)
	blocks := append(wrap(f, 1, 16, encode(f, apdu.GeneralBlockTransfer{Number: 1, Data: pushPDU(5)[:9]})), wrap(f, 1, 16, encode(f, apdu.GeneralBlockTransfer{Last: true, Number: 2, Data: pushPDU(5)[9:]}))...)
	for _, b := range [][]byte{hdlcFrame, segment, blocks, wrap(f, 16, 1, encode(f, energyValue)), {0x7E, 0xA0, 0x07, 0x03, 0x21, 0x93, 0x0F, 0x01, 0x7E}} {
		f.Add(b, uint16(len(b)/2))
		f.Add(append(append([]byte{0}, b...), b...), uint16(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		cfg := &ReceiverConfig{Link: LinkAuto, Keys: knows(pushKey, pushAuth)}
		at := int(cut) % (len(b) + 1)
		whole, split := NewReceiver(cfg), NewReceiver(cfg)
		first := strings.Split(told(whole, b), "\n")
		second := strings.Split(strings.Trim(told(split, b[:at])+"\n"+told(split, b[at:]), "\n"), "\n")
		require.Len(t, second, len(first))
		for i := range first {
			if !strings.HasPrefix(first[i], "error: wrapper: version") { // which shows the octets that have come
				require.Equal(t, first[i], second[i])
			}
		}
		require.Equal(t, whole.Stats(), split.Stats())
		_, _ = whole.APDU(b)
		cfg.Counters = &security.MemoryCounters{}
		live := NewReceiver(cfg)
		_ = told(live, b)
		_, _ = live.APDU(b)
	})
}

// A dedicated key is taken from an AARQ that proposes it encrypted and, where that
// can be checked, authenticated.
func TestDedicatedKey(t *testing.T) {
	client := security.Title{'C', 'L', 'I', 0, 0, 0, 0, 1}
	dedicated := security.Key("DDDDDDDDDDDDDDDD")
	for control, want := range map[security.Control]error{both: nil, security.Encrypted: security.ErrNoKey, security.Authenticated: security.ErrNoKey, 0: security.ErrNoKey} {
		initiate := encode(t, apdu.InitiateRequest{DedicatedKey: dedicated, Version: 6, MaxPDU: 500})
		s, err := security.NewCipher(pushKey, pushAuth)
		require.NoError(t, err)
		contents, err := security.AppendSealed(nil, s, control, client, 1, nil, initiate)
		require.NoError(t, err)
		aarq := encode(t, apdu.AARQ{Context: apdu.ContextLNCiphered, CallingAPTitle: client[:], UserInformation: encode(t, apdu.Ciphered{Tag: 0x21, Contents: contents})})
		r := NewReceiver(&ReceiverConfig{Keys: func(security.Title) *Security { return &Security{Unicast: pushKey, Authentication: pushAuth} }})
		_, err = r.APDU(aarq)
		require.NoError(t, err)
		s, err = security.NewCipher(dedicated, pushAuth)
		require.NoError(t, err)
		contents, err = security.AppendSealed(nil, s, both, client, 2, nil, encode(t, energyValue))
		require.NoError(t, err)
		m, err := r.APDU(encode(t, apdu.Ciphered{Tag: 0xD0, Contents: contents}))
		require.ErrorIs(t, err, want, control)
		if err == nil {
			require.Equal(t, security.Verified, m.Trust)
			require.Equal(t, "get-request-normal", m.PDU.Name())
		}
	}
}

// What deciphers to a PDU and more octets was ciphered with another key.
func TestOctetsBehind(t *testing.T) {
	behind := append(pushPDU(5), 0)
	_, err := NewReceiver(&ReceiverConfig{Keys: knows(pushKey, nil)}).APDU(glo(t, pusher, security.Encrypted, 1, behind))
	require.ErrorIs(t, err, ErrWrongKey)
	m, err := NewReceiver(&ReceiverConfig{Keys: knows(pushKey, pushAuth)}).APDU(glo(t, pusher, both, 1, behind))
	require.NoError(t, err)
	require.Len(t, m.Warnings, 1)
	require.Equal(t, pushPDU(5), m.Plain)
}

// A request that anybody may have sent gives no name to a verified answer, and HDLC
// numbers that do not fit say that frames are missing.
func TestForgedRequests(t *testing.T) {
	get := encode(t, energyValue)
	answer := encode(t, apdu.GetResponseNormal{Invoke: energyValue.Invoke, Result: apdu.Result{Data: cosem.Uint32(5)}})
	r := NewReceiver(&ReceiverConfig{Keys: func(security.Title) *Security { return &Security{Unicast: pushKey, Authentication: pushAuth} }})
	_, err := r.APDU(get)
	require.NoError(t, err)
	m, err := r.APDU(glo(t, pusher, both, 1, answer))
	require.NoError(t, err)
	require.Equal(t, obis.Questionable, m.Readings[0].Quality.Flags&obis.Questionable)

	request := func(send, receive uint8) []byte {
		b, err := hdlc.Frame{Source: hdlc.Client(16), Destination: hdlc.Server(1, 0), Control: hdlc.Information(send, receive), Info: append([]byte{0xE6, 0xE6, 0}, get...)}.AppendBinary(nil)
		require.NoError(t, err)
		return b
	}
	response := func(send, receive uint8) []byte {
		return segmentFrame(t, hdlc.Information(send, receive), false, append([]byte{0xE6, 0xE7, 0}, answer...))
	}
	require.Equal(t, "1-0:1.8.0*255=5 scaler-unknown", told(NewReceiver(nil), request(0, 0), response(0, 1)))
	require.Equal(t, "=5 scaler-unknown", told(NewReceiver(nil), request(0, 0), response(1, 2)), "it answers a request that is not here")
}

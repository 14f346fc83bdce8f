package dlms

import (
	"encoding/hex"
	"encoding/xml"
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

// corpusRow is a row of dlms.jsonl.
type corpusRow struct {
	ID       string            `json:"id"`
	Hex      string            `json:"hex"`
	Layer    string            `json:"layer"`
	Source   string            `json:"source"`
	Keys     map[string]string `json:"keys"`
	Expected struct {
		XML     string            `json:"xml"`
		Plain   string            `json:"plaintext"`
		Decoded map[string]string `json:"amshan_decode"`
	} `json:"expected"`
}

// notComplete are unit vectors that are no complete and correct PDU, each with the reason.
var notComplete = map[string]string{
	"394ff5acc795": "plaintext of a cipher test",
	"3aa1ed3b86c7": "ciphertext without its header",
	"387b9331260a": "associated data of a GMAC",
	"b0fc7f927cce": "the length has its octets swapped, as its test wants",
	"95415eb9513e": "the length is longer than the frame, as its test wants",
	"beb823aec6e1": "a get-request-normal labelled next: octets are left over",
	"fb651842d6c5": "a get-response labelled set-request",
	"283d96ad87bc": "a get-response-normal labelled with-datablock",
	"b4d8868b9711": "a get-response-with-datablock labelled with-list",
	"cafe2a4a8ab9": "a get-response labelled glo-get-response",
	"ab713d32ba97": "an action-request labelled get-response",
	"71467c2a211e": "an action-request-normal labelled next-pblock",
	"995c1f8b3bdb": "an action-response labelled glo-get-request",
	"53ea267ed8c5": "a set-request labelled event-notification",
	"ecd9b612b3fb": "a set-request-normal labelled with-first-datablock",
	"79e8128a6195": "a set-request-normal labelled with-list-and-first-datablock",
	"40f47ae5c1b5": "a method descriptor alone",
	"38992d1c88fc": "the parameters of a selection without the selection",
	"5517a950a391": "the parameters of a selection without the selection",
	"c24a9421d9d3": "a data block alone",
	"2d06d24e3a1b": "an event-notification that is cut off, as its test wants",
	"335a25f2f9ae": "an initiate-response with tag 09, as its test wants",
	"7c468a9cbd51": "data-access-result success in place of data",
	"48400c719c75": "a length of 64 bits",
	"c0aa3b9a161e": "contents of a utf8-string",
	"533ade6a97b9": "contents of a utf8-string",
	"b8e4deef6fa2": "contents of a utf8-string",
	"16fbe63113c7": "contents of a long64",
	"effd45ba0a80": "contents of a long64",
	"2d396a178dd6": "contents of a long64",
	"8f9c0e9bc1c1": "contents of a long64-unsigned",
	"e98037f7c924": "contents of a float64",
}

func TestCorpusUnits(t *testing.T) {
	for _, row := range golden.Corpus[corpusRow](t, "dlms.jsonl") {
		if row.Layer != "apdu/unit" {
			continue
		}
		t.Run(row.ID, func(t *testing.T) {
			b := golden.Unhex(t, row.Hex)
			again, err := reencode(row.Source, b)
			if reason := notComplete[row.ID]; reason != "" {
				require.Error(t, err, "%s: %s", row.Hex, reason)
				return
			}
			require.NoError(t, err, row.Source+" "+row.Hex)
			require.Equal(t, hex.EncodeToString(b), hex.EncodeToString(again), row.Source)
		})
	}
}

// reencode parses all of b as what the test that it is from holds, and encodes it again.
func reencode(source string, b []byte) ([]byte, error) {
	var again []byte
	for rest := b; len(rest) > 0; {
		var n int
		var err error
		switch {
		case strings.Contains(source, "test_hdlc"):
			var f hdlc.Frame
			if f, n, err = hdlc.Parse(rest); err == nil {
				again, err = f.AppendBinary(again)
			}
		case strings.Contains(source, "wrapper/"):
			var f wrapper.Frame
			if f, n, err = wrapper.Parse(rest); err == nil {
				again, err = f.AppendBinary(again)
			}
		case strings.Contains(source, "axdr/"), strings.Contains(source, "a_xdr"), strings.Contains(source, "test_parsers"), strings.Contains(source, "test_capture_object"):
			var d cosem.Data
			if d, n, err = cosem.ParseData(rest); err == nil {
				again, err = d.AppendBinary(again)
			}
		default:
			var p apdu.PDU
			if p, err = parse(rest); err == nil {
				again, err = p.AppendBinary(again)
			}
			if _, unknown := p.(apdu.Unknown); unknown {
				err = ErrProtocol
			}
			n = len(rest)
		}
		if err != nil {
			return again, err
		}
		rest = rest[n:]
	}
	return again, nil
}

func TestCorpusWire(t *testing.T) {
	for _, row := range golden.Corpus[corpusRow](t, "dlms.jsonl") {
		if row.Layer != "wire" {
			continue
		}
		t.Run(row.ID, func(t *testing.T) {
			b := golden.Unhex(t, row.Hex)
			if b[0] != 0x7E {
				f, n, err := wrapper.Parse(b)
				require.NoError(t, err)
				require.Equal(t, len(b), n)
				again, err := reencode("apdu", f.APDU)
				if damaged[row.ID] != "" {
					require.Error(t, err)
					return
				}
				require.NoError(t, err)
				require.Equal(t, hex.EncodeToString(f.APDU), hex.EncodeToString(again))
				return
			}
			f, n, err := hdlc.Parse(b)
			require.NoError(t, err)
			require.Equal(t, len(b), n)
			again, err := f.AppendBinary(nil)
			require.NoError(t, err)
			require.Equal(t, b, again)
			if !f.Control.IsInformation() || f.Segmented || len(f.Info) < 3 || f.Info[0] != 0xE6 {
				return
			}
			again, err = reencode("apdu", f.Info[3:])
			require.NoError(t, err)
			require.Equal(t, hex.EncodeToString(f.Info[3:]), hex.EncodeToString(again))
		})
	}
}

// TestCorpusCiphered deciphers the sessions and the published examples of dlms.jsonl.
func TestCorpusCiphered(t *testing.T) {
	server := map[string]security.Title{} // the server's title, as the AARE of a session tells it
	deciphered := 0
	for _, row := range golden.Corpus[corpusRow](t, "dlms.jsonl") {
		sec := &Security{Unicast: unhexKey(t, row.Keys["ek"]), Authentication: unhexKey(t, row.Keys["ak"])}
		b := golden.Unhex(t, row.Hex)
		switch {
		case row.Layer == "ciphering suite 0":
			sec.Peer = security.Title(unhexKey(t, row.Keys["system_title"]))
		case row.Layer == "hls5":
			sealer, err := newCipher(0, sec.Unicast, sec.Authentication)
			require.NoError(t, err)
			h := security.Handshake{Mechanism: 5, Sealer: sealer, Peer: security.Title(unhexKey(t, row.Keys["system_title"])), OwnChallenge: unhexKey(t, row.Keys["challenge"])}
			require.NoError(t, h.Check(b))
			continue
		case row.Layer == "wire" && len(row.Keys) > 0:
			f, _, err := hdlc.Parse(b)
			require.NoError(t, err)
			if !f.Control.IsInformation() || f.Segmented || !isLLC(f.Info) {
				continue // of the segments the corpus does not hold all
			}
			b = f.Info[3:]
			session, _, _ := strings.Cut(row.Source, "#")
			p, err := parse(b)
			require.NoError(t, err)
			switch p := p.(type) {
			case apdu.AARQ:
				b = p.UserInformation
			case apdu.AARE:
				b = p.UserInformation
				if len(p.RespondingAPTitle) > 0 {
					server[session] = security.Title(p.RespondingAPTitle)
				}
			}
			sec.Peer = server[session]
			if strings.Contains(row.Source, " TX") {
				sec.Peer = security.Title(unhexKey(t, row.Keys["client_st"]))
			}
		default:
			continue
		}
		sec.Title = sec.Peer // whoever sent it
		r := NewReceiver(&ReceiverConfig{Keys: func(security.Title) *Security { return sec }})
		m, err := r.APDU(b)
		require.NoError(t, err, "%s %s", row.ID, row.Source)
		plain := m.Plain
		for _, l := range m.Layers {
			if l.Control != 0 {
				deciphered++
			}
			if l.Control&security.Authenticated != 0 {
				require.Equal(t, security.Verified, l.Trust)
			}
		}
		if want := row.Expected.Plain; want != "" {
			require.Equal(t, want, hex.EncodeToString(plain))
		}
	}
	require.Equal(t, 6, deciphered)
}

// damaged are frames of which something is wrong on the wire.
var damaged = map[string]string{
	"2d0d3d129573": "octets were lost or changed in the log: the FCS does not match, and the other program loses its place, too",
	"cf9c23143acb": "the length of the RLRE lacks the octets of its first field (Gurux Java)",
}

// TestCorpusPushes lets a listener hear every push of the corpus.
func TestCorpusPushes(t *testing.T) {
	for _, row := range golden.Corpus[corpusRow](t, "dlms.jsonl") {
		if !strings.Contains(row.Layer, "push") {
			continue
		}
		t.Run(row.ID+" "+row.Source, func(t *testing.T) {
			r := NewReceiver(&ReceiverConfig{Keys: func(security.Title) *Security {
				sec := &Security{Unicast: unhexKey(t, row.Keys["guek"]), Authentication: unhexKey(t, row.Keys["gak"])}
				if sec.Unicast == nil {
					return nil
				}
				return sec
			}})
			b := golden.Unhex(t, row.Hex)
			var m *Message
			var err error
			switch row.Layer {
			case "hdlc+push":
				r.Feed(b)
				for m == nil && err == nil {
					m, err = r.Next()
				}
			case "mbus-llc+push":
				m, err = r.APDU(unwrapMBus(t, b))
			default:
				m, err = r.APDU(b)
			}
			if damaged[row.ID] != "" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.NotEmpty(t, m.Readings)
			require.Empty(t, m.Warnings)
			for _, layer := range m.Layers {
				if layer.Control == 0 {
					continue
				}
				want := security.Verified
				if row.Keys["gak"] == "" {
					want = security.Unverified
				}
				if layer.Control&security.Authenticated == 0 {
					want = security.Unsigned
				}
				require.Equal(t, want, layer.Trust)
				require.Equal(t, want != security.Verified, m.Readings[0].Quality.Flags&obis.Unverified != 0)
			}
			if row.Expected.XML != "" {
				requireXML(t, row.Expected.XML, m.PDU.(apdu.DataNotification).Body)
			}
			requireDecoded(t, row.Expected.Decoded, m.Readings)
		})
	}
}

func unhexKey(t *testing.T, s string) security.Key {
	if s == "" {
		return nil
	}
	return golden.Unhex(t, s)
}

// unwrapMBus joins the user data of M-Bus long frames behind CI, source and destination.
func unwrapMBus(t *testing.T, b []byte) (whole []byte) {
	for len(b) > 0 {
		require.Equal(t, byte(0x68), b[0])
		n := int(b[1])
		whole = append(whole, b[9:4+n]...)
		b = b[4+n+2:]
	}
	return whole
}

// decodedNames are the codes behind the names of the other program.
var decodedNames = map[string]string{
	"active_power_import": "1.7.0", "active_power_export": "2.7.0", "reactive_power_import": "3.7.0", "reactive_power_export": "4.7.0",
	"current_l1": "31.7.0", "current_l2": "51.7.0", "current_l3": "71.7.0", "voltage_l1": "32.7.0", "voltage_l2": "52.7.0", "voltage_l3": "72.7.0",
	"active_power_import_total": "1.8.0", "active_power_export_total": "2.8.0",
	"reactive_power_import_total": "3.8.0", "reactive_power_export_total": "4.8.0",
}

func requireDecoded(t *testing.T, want map[string]string, readings []obis.Reading) {
	for name, value := range want {
		code, known := decodedNames[name]
		if !known {
			continue
		}
		found := false
		for _, r := range readings {
			if r.Code[0] != 1 || fmt.Sprintf("%d.%d.%d", r.Code[2], r.Code[3], r.Code[4]) != code {
				continue
			}
			found = true
			v, ok := obis.ParseNumber([]byte(value))
			require.True(t, ok)
			require.True(t, v.Equal(r.Value), "%s: %v, want %s", name, r.Value, value)
			require.NotEqual(t, obis.UnitUnknown, r.Unit)
		}
		require.True(t, found, "%s is missing", name)
	}
}

// requireXML compares a value with the tree that another program made of it.
func requireXML(t *testing.T, text string, d cosem.Data) {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(text))
	dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	var want []xml.StartElement
	body := false
	for {
		token, err := dec.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if e, ok := token.(xml.StartElement); ok {
			if body {
				want = append(want, e.Copy())
			}
			body = body || e.Name.Local == "DateTime"
		}
	}
	rest := matchXML(t, want, d)
	require.Empty(t, rest)
}

var xmlNames = map[cosem.Tag]string{
	cosem.TagNull: "NullData", cosem.TagArray: "ARRAY", cosem.TagStructure: "STRUCTURE", cosem.TagOctetString: "OCTETSTRING",
	cosem.TagVisibleString: "VISIBLESTRING", cosem.TagDoubleLongUnsigned: "UINT32", cosem.TagLongUnsigned: "UINT16",
	cosem.TagInteger: "INT8", cosem.TagLong: "INT16", cosem.TagEnum: "ENUM",
}

func matchXML(t *testing.T, want []xml.StartElement, d cosem.Data) []xml.StartElement {
	t.Helper()
	require.NotEmpty(t, want, "nothing expected for %v", d)
	e := want[0]
	require.Equal(t, e.Name.Local, xmlNames[d.Tag()], "%v", d)
	for _, a := range e.Attr {
		switch a.Name.Local {
		case "Qty":
			require.Equal(t, a.Value, fmt.Sprint(d.Len()))
		case "Value":
			require.Contains(t, spellings(d), strings.ReplaceAll(a.Value, " ", ""), "%v", d)
		}
	}
	want = want[1:]
	for _, element := range d.Elements() {
		want = matchXML(t, want, element)
	}
	return want
}

// spellings are the ways in which a value may be written.
func spellings(d cosem.Data) []string {
	b, ok := d.Bytes()
	if !ok {
		return []string{d.Value().String()}
	}
	dotted := strings.ReplaceAll(strings.Trim(fmt.Sprint(b), "[]"), " ", ".")
	all := []string{strings.TrimRight(string(b), "\x00"), strings.ReplaceAll(string(b), " ", ""), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), dotted}
	if at, ok := d.Time(); ok {
		all = append(all, spellTime(at)...)
	}
	return all
}

func spellTime(at obis.Time) []string {
	s := fmt.Sprintf("%04d-%02d-%02d%02d:%02d:%02d", at.Year, at.Month, at.Day, at.Hour, at.Minute, at.Second)
	all := []string{s}
	for _, h := range []string{"", fmt.Sprintf(".%02d", at.Hundredths)} {
		sign, dev := "-", at.Deviation
		if dev > 0 {
			sign = "+"
		} else {
			dev = -dev
		}
		all = append(all, s+h, fmt.Sprintf("%s%s%s%02d:%02d", s, h, sign, dev/60, dev%60))
	}
	return all
}

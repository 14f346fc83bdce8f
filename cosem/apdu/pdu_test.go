package apdu

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
)

func TestPDUs(t *testing.T) {
	for _, v := range golden.Load(t, "testdata/pdu.txt") {
		t.Run(v.Name, func(t *testing.T) {
			p, n, err := Parse(v.Hex)
			require.NoError(t, err)
			require.Equal(t, len(v.Hex), n)
			name, _, _ := strings.Cut(v.Name, ",")
			require.Equal(t, name, p.Name())
			require.Equal(t, v.Want, text(p))
			again, err := p.AppendBinary([]byte{0xEE})
			require.NoError(t, err)
			require.Equal(t, append([]byte{0xEE}, v.Hex...), again)

			end := 0
			require.NoError(t, Explain(v.Hex, func(off, length, _ int, field, _ string) {
				require.NotEmpty(t, field)
				require.LessOrEqual(t, end, off, "%s at %d overlaps what was before", field, off)
				end = max(end, off+length)
			}))
			require.Equal(t, len(v.Hex), end)
		})
	}
}

// text writes a PDU for the vector file: in short where the whole would be long.
func text(p PDU) string {
	switch p := p.(type) {
	case error:
		return p.Error()
	case ActionRequestNormal:
		return fmt.Sprintf("%v %v", p.Method, *p.Parameters)
	case InitiateRequest:
		names := strings.Fields(p.Conformance.String())
		return strings.Join(append(names[1:], names[0]), " ") + fmt.Sprint(" ", p.MaxPDU)
	case AARQ:
		return fmt.Sprintf("%v %v %s", map[Context]string{ContextLN: "LN"}[p.Context], p.Mechanism, p.Value)
	case AARE:
		return fmt.Sprintf("%v %v", map[AssociationResult]string{Accepted: "accepted"}[p.Result], p.Diagnostic)
	case RLRQ:
		return map[bool]string{true: "reason"}[*p.Reason == 0]
	case RLRE:
		return map[bool]string{true: "reason"}[*p.Reason == 0]
	case GeneralCiphering:
		switch p.Key.Kind {
		case KeyAgreed:
			return fmt.Sprintf("agreed %d", p.Key.Parameters[0])
		case KeyWrapped:
			return fmt.Sprintf("wrapped %d", p.Key.ID)
		}
		return fmt.Sprintf("identified %d", p.Key.ID)
	case ReadResponse:
		return fmt.Sprintf("%d items", len(p.List))
	}
	return strings.NewReplacer("cosem: ", "", "action: ", "").Replace(fmt.Sprintf("%+v", p))
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		hex    string
		field  string
		offset int
		short  bool
	}{
		"nothing":                         {"", "tag", 0, true},
		"choice of get-request":           {"c004", "get-request", 1, false},
		"half an attribute descriptor":    {"c001c10003010001", "instance-id", 8, true},
		"presence octet":                  {"c001c100030100010800ff0205", "access-selection", 12, false},
		"unknown type of data":            {"c401c100 07", "data tag", 4, false},
		"cut data":                        {"c401c100 0600", "data double-long-unsigned", 6, true},
		"AARQ, field runs over":           {"6005 a109 0607 60857405080101", "field", 2, false},
		"AARQ, strange object identifier": {"600b a109 0607 01020304050607", "application-context-name", 4, false},
		"AARE, field twice":               {"610a a203020100 a203020100", "field", 7, false},
		"count without items":             {"c003c17f00", "attribute-descriptor-list", 5, true},
		"access-request, lists differ":    {"d940000001 00 01 01 0008 0000010000ff 02 02 0000", "access-data", 17, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := Parse(golden.Unhex(t, test.hex))
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			require.Zero(t, n)
			require.Equal(t, test.field, pe.Field)
			require.Equal(t, test.offset, pe.Offset)
			require.Equal(t, test.short, errors.Is(err, io.ErrUnexpectedEOF))
		})
	}
}

func TestCipheredTags(t *testing.T) {
	for tag := range 256 {
		plain, ok := PlainTag(uint8(tag))
		if !ok {
			continue
		}
		back, ok := CipheredTag(plain, Ciphered{Tag: uint8(tag)}.Dedicated())
		require.True(t, ok)
		require.Equal(t, uint8(tag), back)
	}
	_, ok := CipheredTag(TagExceptionResponse, false)
	require.False(t, ok)
}

func FuzzParse(f *testing.F) {
	for _, v := range golden.Load(f, "testdata/pdu.txt") {
		f.Add(v.Hex)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, n, err := Parse(b)
		explainErr := Explain(b, func(off, length, _ int, _, _ string) {
			if off < 0 || length < 0 || off+length > len(b) {
				t.Fatalf("note of octets %d to %d of %d", off, off+length, len(b))
			}
		})
		require.Equal(t, err, explainErr)
		if err != nil {
			require.Zero(t, n)
			return
		}
		first, err := p.AppendBinary(nil)
		require.NoError(t, err)
		again, m, err := Parse(first)
		require.NoError(t, err)
		require.Equal(t, len(first), m)
		second, err := again.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, first, second)
		for cut := range n {
			_, _, err := Parse(b[:cut])
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut at %d of %d: %v", cut, n, err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, v := range golden.Load(b, "testdata/pdu.txt") {
		if v.Name != "get-request-normal" && v.Name != "get-response-with-datablock" {
			continue
		}
		b.Run(v.Name, func(b *testing.B) {
			b.SetBytes(int64(len(v.Hex)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Parse(v.Hex); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A PDU of which the end is missing is too short, wherever it is cut.
func TestPrefixesAreTooShort(t *testing.T) {
	for _, v := range golden.Load(t, "testdata/pdu.txt") {
		whole := len(v.Hex)
		if p, _, _ := Parse(v.Hex); p != nil {
			if g, ok := p.(Gateway); ok {
				whole -= len(g.PDU) // what it carries ends where the octets end
			}
		}
		for n := range whole {
			p, used, err := Parse(v.Hex[:n])
			if a, ok := p.(ActionResponseNormal); ok && n == 4 && a.Code == 0 {
				continue // some meters leave out that there is no data
			}
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%s, %d octets: %v", v.Name, n, p)
			require.Zero(t, used)
			require.Nil(t, p)
		}
	}
}

// choices are the fields that say what follows.
var choices = map[string]bool{
	"get-request": true, "get-response": true, "set-request": true, "set-response": true, "action-request": true, "action-response": true,
	"access-selection": true, "key-info": true, "result": true, "variable-access-specification": true, "read-response": true,
	"write-response": true, "access-request-specification": true, "access-response-specification": true, "time": true, "current-time": true,
	"dedicated-key": true, "proposed-quality-of-service": true, "negotiated-quality-of-service": true, "method-invocation-parameters": true,
	"return-parameters": true, "get-data-result": true,
}

// An octet that says what follows, and says what no standard knows, is refused where it stands.
func TestUnknownChoicesAreRefused(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range golden.Load(t, "testdata/pdu.txt") {
		require.NoError(t, Explain(v.Hex, func(off, length, _ int, field, _ string) {
			if length != 1 || !choices[field] || strings.HasPrefix(v.Name, "AAR") { // of which the user-information is read apart
				return
			}
			for _, other := range []byte{0x7E, 0xEE, 0xFF} {
				b := append([]byte{}, v.Hex...)
				b[off] = other
				_, _, err := Parse(b)
				if field == "result" && !strings.HasPrefix(v.Name, "get-response") {
					return // a code, of which there are many
				}
				require.Error(t, err, "%s: %s 0x%02x at %d", v.Name, field, other, off)
				if unknown := errors.Is(err, errChoice); unknown {
					var pe *ParseError
					require.ErrorAs(t, err, &pe)
					require.Equal(t, off, pe.Offset, "%s: %v", v.Name, err)
					seen[field] = true
				}
			}
		}))
	}
	for _, field := range []string{"get-request", "get-response", "set-request", "set-response", "action-request", "action-response", "access-selection",
		"key-info", "variable-access-specification", "read-response", "write-response", "access-request-specification", "access-response-specification"} {
		require.True(t, seen[field], field)
	}
}

// The kinds of an access-request end before and behind those of the standard.
func TestAccessKinds(t *testing.T) {
	for kind := range 256 {
		b := golden.Unhex(t, "d9 40000001 00 01 00 0008 0000010000ff 02 01 00")
		b[7] = byte(kind)
		_, _, err := Parse(b)
		switch AccessKind(kind) {
		case AccessGet, AccessSet, AccessAction:
			require.NoError(t, err)
		default: // with a selection, which is not there, or none at all
			require.Error(t, err, kind)
		}
	}
}

// A push whose entries have descriptors without tags (XT211) is a notification as
// any other, and its body A-XDR again.
func TestBareNotification(t *testing.T) {
	raw := golden.Unhex(t, "0f00000001000102"+"0202000100002a0000ff0209083132333435363738"+"020200030100010800ff020600001234")
	p, n, err := Parse(raw)
	require.NoError(t, err)
	require.Equal(t, len(raw), n)
	alone, _, err := ParseDataNotification(raw)
	require.NoError(t, err)
	require.Equal(t, p, alone)
	again, err := alone.AppendBinary(nil)
	require.NoError(t, err)
	second, n, err := Parse(again)
	require.NoError(t, err)
	require.Equal(t, len(again), n)
	require.Equal(t, p, second)
	for i := range raw {
		if p, n, err := Parse(raw[:i]); err == nil {
			require.Less(t, n, 15, "what looks complete by chance")
			require.LessOrEqual(t, p.(DataNotification).Body.Len(), 2)
		}
	}
}

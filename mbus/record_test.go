package mbus

import (
	"errors"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// fuzzSeeds are record streams with every kind of header and data.
var fuzzSeeds = []string{
	"0c1327048502046d32371f1502fd170000", "8c1005000000000d13e378ecff", "0dfd11053120e96241", "027c03686d6b3700", "02fc3c036c6d680500",
	"04ed ff0c00000101", "84046d00204131840413e80300008d04931f08021e6400ceff0700", "e4ffffffffffffffffff7f134d000000", "0413050000000fdeadbeef", "1f", "3f00",
	"0493021000000002da79c800", "4403", "02fb6800100d13ea000010632d5ec76b0500",
}

func FuzzParse(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add(append([]byte{0x78}, golden.Unhex(f, s)...))
		f.Add(append(golden.Unhex(f, "72785634122423010 42a000000"), golden.Unhex(f, s)...))
		f.Add(append(golden.Unhex(f, "7a2a000000"), golden.Unhex(f, s)...))
	}
	key, err := NewKey(make([]byte, 16))
	require.NoError(f, err)
	seedOwnRules(f, key)
	f.Fuzz(func(t *testing.T, b []byte) {
		d := Decoder{Keys: func(Address) *Key { return key }, Formats: &MemoryFormats{}}
		tg, err := d.Parse(b, Lower{})
		if err != nil {
			var pe *ParseError
			if errors.As(err, &pe) {
				require.LessOrEqual(t, pe.Offset, len(b))
			}
			return
		}
		readings := d.AppendReadings(nil, &tg)
		require.LessOrEqual(t, len(readings), len(tg.Records))
		for _, r := range readings {
			require.Less(t, int(r.Source), len(tg.Records))
			require.Equal(t, r.Code.Valid(), r.Rule != obis.RuleNone)
			_ = r.Value.String()
		}
		tg = tg.Clone()
		if tg.Content != ContentRecords || tg.Broken != nil {
			return
		}
		// What the records say of themselves makes the same records again.
		var again []byte
		for i := range tg.Records {
			if tg.Records[i].plainLen > 0 {
				return // its place is told by what follows, fillers and all
			}
			again, _ = tg.Records[i].AppendBinary(again)
		}
		msb := d.msb
		second, err := (&Decoder{msb: msb}).AppendRecords(nil, again)
		require.NoError(t, err)
		require.Len(t, second, len(tg.Records))
		for i := range second {
			a, b := &second[i], &tg.Records[i]
			require.Equal(t, a.ID, b.ID)
			require.True(t, a.Value.Equal(b.Value), "%v %v", a.Value, b.Value)
			require.Equal(t, a.Unit, b.Unit)
		}
	})
}

// seedOwnRules adds telegrams of all manufacturers with rules of their own, whole
// and cut, in the clear and sealed, and the headers of all security modes.
func seedOwnRules(f *testing.F, key *Key) {
	for _, m := range manufacturers() {
		h := Header{Form: HeaderLong, Address: Address{ID: 0x12345678, Manufacturer: m, Version: 2, Type: 2}, Access: 7}
		var records []byte
		for i, vib := range ownVIBs() {
			if i%7 == int(m)%7 && len(records) < 180 {
				records = append(append(append(records, 0x84, 0x40), vib...), 1, 2, 3, 4)
				records = append(append(append(records, 0x0A), vib...), 0x34, 0x12)
			}
		}
		plain := append(h.AppendBinary([]byte{0x72}), records...)
		f.Add(plain)
		f.Add(plain[:len(plain)-2])
		sealed, err := AppendEncrypted([]byte{0x72}, h, records, key)
		require.NoError(f, err)
		f.Add(sealed)
	}
	for mode := range Config(32) {
		h := Header{Form: HeaderLong, Address: Address{ID: 0x12345678, Manufacturer: 0x0442, Type: 2}, Config: mode<<8 | 0x2010}
		f.Add(append(h.AppendBinary([]byte{0x72}), make([]byte, 40)...))
	}
}

func FuzzExplain(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add(append(golden.Unhex(f, "72785634122423010 42a000000"), golden.Unhex(f, s)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Decoder
		next := 0
		explained := d.Explain(b, Lower{}, func(offset, length, depth int, field, meaning string) {
			require.Equal(t, next, offset, field)
			require.Positive(t, length, field)
			next += length
			require.LessOrEqual(t, next, len(b), field)
		})
		tg, err := d.Parse(b, Lower{})
		if err == nil {
			err = tg.Broken
		}
		require.Equal(t, err, explained)
		if err == nil {
			require.Equal(t, len(b), next)
		}
	})
}

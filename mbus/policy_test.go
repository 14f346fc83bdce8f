package mbus

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

var secured = Address{ID: 0x12345678, Manufacturer: 0x1593, Version: 0x33, Type: 7}

func policyDecoder(t testing.TB, counters Counters) *Decoder {
	key, err := NewKey(make([]byte, 16))
	require.NoError(t, err)
	return &Decoder{Counters: counters, Keys: func(a Address) *Key {
		if a == secured {
			return key
		}
		return nil
	}}
}

// A telegram without protection of a meter that has a key is nobody's word.
func TestUnprotected(t *testing.T) {
	key, err := NewKey(make([]byte, 16))
	require.NoError(t, err)
	records := golden.Unhex(t, "0413 01000000 0c78 78563412")
	header := Header{Form: HeaderLong, Address: secured, Access: 7}
	plain := append(header.AppendBinary([]byte{0x72}), records...)
	sealed, err := AppendEncrypted([]byte{0x72}, header, records, key)
	require.NoError(t, err)
	deciphered := append(Header{Form: HeaderLong, Address: secured, Config: 0x0510}.AppendBinary([]byte{0x72}), golden.Unhex(t, "2f2f0413010000002f2f2f2f2f2f2f2f")...)
	tail := append(sealed[:len(sealed):len(sealed)], golden.Unhex(t, "0413 02000000")...)
	stranger := append(Header{Form: HeaderLong, Address: Address{ID: 1}}.AppendBinary([]byte{0x72}), records...)
	for name, test := range map[string]struct {
		telegram   []byte
		live       error
		unverified []bool // of the readings of a capture
	}{
		"plain":                         {plain, ErrUnprotected, []bool{true, true}},
		"plain, though it says mode 5":  {deciphered, ErrUnprotected, []bool{true}},
		"sealed":                        {sealed, nil, []bool{false, false}},
		"sealed with plain records":     {tail, nil, []bool{false, false, true}},
		"plain of a meter without keys": {stranger, nil, []bool{false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, accept := range []bool{false, true} {
				d := policyDecoder(t, &MemoryCounters{})
				d.AcceptUnprotected = func(Address) bool { return accept }
				tg, err := d.Parse(test.telegram, Lower{})
				if test.live != nil && !accept {
					require.ErrorIs(t, err, test.live)
					require.Empty(t, tg.Records)
					require.Empty(t, d.AppendReadings(nil, &tg))
					continue
				}
				require.NoError(t, err)
				requireUnverified(t, test.unverified, d.AppendReadings(nil, &tg))
			}
			d := policyDecoder(t, nil)
			tg, err := d.Parse(test.telegram, Lower{})
			require.NoError(t, err)
			requireUnverified(t, test.unverified, d.AppendReadings(nil, &tg))
		})
	}
}

func requireUnverified(t *testing.T, want []bool, readings []obis.Reading) {
	t.Helper()
	require.Len(t, readings, len(want))
	for i, r := range readings {
		require.Equal(t, want[i], r.Quality.Flags&obis.Unverified != 0, "%v %v", r.Code, r.Value)
	}
}

// What is refused teaches nothing.
func TestRefusedTelegramsTeachNoFormat(t *testing.T) {
	d := policyDecoder(t, &MemoryCounters{})
	formats := &MemoryFormats{}
	d.Formats = formats
	plain := append(Header{Form: HeaderLong, Address: secured}.AppendBinary([]byte{0x72}), golden.Unhex(t, "041301000000")...)
	_, err := d.Parse(plain, Lower{})
	require.ErrorIs(t, err, ErrUnprotected)
	require.Empty(t, formats.headers)
	d.AcceptUnprotected = func(Address) bool { return true }
	_, err = d.Parse(plain, Lower{})
	require.NoError(t, err)
	require.Len(t, formats.headers, 1)
}

type right bool

func (ok right) Verify([]byte, *Key, uint32) (bool, error) { return bool(ok), nil }

type unsupported struct{}

func (unsupported) Verify([]byte, *Key, uint32) (bool, error) { return false, ErrUnsupported }

// Only a message whose code was right moves the counter, and none that is not above it is believed.
func TestReplay(t *testing.T) {
	counters := &MemoryCounters{}
	d := policyDecoder(t, counters)
	telegram := append(Header{Form: HeaderLong, Address: secured}.AppendBinary([]byte{0x72}), golden.Unhex(t, "041301000000")...)
	lower := func(counter uint32) Lower {
		return Lower{Radio: true, Counter: counter, Counted: true, MAC: right(true)}
	}
	read := func(l Lower) error {
		tg, err := d.Parse(telegram, l)
		require.Equal(t, err == nil, len(tg.Records) == 1)
		return err
	}
	require.NoError(t, read(lower(5)))
	require.ErrorIs(t, read(lower(5)), ErrReplay)
	require.ErrorIs(t, read(lower(4)), ErrReplay)
	require.NoError(t, read(lower(6)))

	forged := lower(1 << 31)
	forged.MAC = right(false)
	require.ErrorIs(t, read(forged), ErrBadMAC)
	forged.MAC = nil
	require.ErrorIs(t, read(forged), ErrUnprotected)
	forged.MAC = unsupported{}
	require.ErrorIs(t, read(forged), ErrUnprotected)
	forged.MAC, forged.Deciphered = nil, true
	require.ErrorIs(t, read(forged), ErrUnprotected, "opened with the key of the meter, but this one proves its messages")
	require.NoError(t, read(lower(7)), "none of these moved the counter")
	require.Len(t, counters.last, 1)
	last, known := counters.Counter(d.meters.of(secured).counter)
	require.True(t, known)
	require.EqualValues(t, 7, last)

	// Version and type of a meter are not proved: who changes them makes no other meter.
	key := d.Key(secured)
	d.Keys = func(Address) *Key { return key }
	telegram[7]++
	require.ErrorIs(t, read(lower(7)), ErrReplay)
	telegram[7]--

	restarted := policyDecoder(t, counters)
	_, err := restarted.Parse(telegram, forged)
	require.ErrorIs(t, err, ErrUnprotected, "the counters tell that this one proves its messages")

	capture := policyDecoder(t, nil)
	for range 2 {
		tg, err := capture.Parse(telegram, lower(5))
		require.NoError(t, err)
		require.True(t, tg.Security.Verified && tg.Security.Counted && tg.Security.Counter == 5)
	}
	tg, err := capture.Parse(telegram, forged)
	require.NoError(t, err)
	requireUnverified(t, []bool{true}, capture.AppendReadings(nil, &tg))
}

// A wired telegram of a mode that is not known here is not read as records where
// it cannot be, and questionable where it can.
func TestWiredModes(t *testing.T) {
	cipher := golden.Unhex(t, "5923a01bc5e6f7d890143264aa55c30f5923a01bc5e6f7d8")
	records := golden.Unhex(t, "041301000000")
	for mode := range Config(32) {
		h := Header{Form: HeaderLong, Address: Address{ID: 1}, Config: mode<<8 | 0x2010}
		var d Decoder
		tg, err := d.Parse(append(h.AppendBinary([]byte{0x72}), cipher...), Lower{})
		if mode == 0 {
			require.NoError(t, err)
			continue
		}
		require.ErrorAs(t, err, new(*SecurityError), "mode %d", mode)
		require.Empty(t, tg.Records)
		if mode == 5 || mode == 7 {
			continue
		}
		require.ErrorIs(t, err, ErrUnsupported)
		tg, err = d.Parse(append(h.AppendBinary([]byte{0x72}), records...), Lower{})
		require.NoError(t, err)
		require.True(t, tg.Security.Ambiguous)
		for _, r := range d.AppendReadings(nil, &tg) {
			require.NotZero(t, r.Quality.Flags&obis.Questionable)
		}
		h.Address = secured
		_, err = policyDecoder(t, nil).Parse(append(h.AppendBinary([]byte{0x72}), records...), Lower{})
		require.Error(t, err, "who has a key knows that it is no signature")
	}
}

func TestKeysAreAskedOnce(t *testing.T) {
	asked := map[Address]int{}
	d := Decoder{Keys: func(a Address) *Key { asked[a]++; return nil }}
	for n := range 3 * maxMeters {
		a := Address{ID: uint32(n)}
		for range 3 {
			require.Nil(t, d.Key(a))
		}
	}
	require.Len(t, asked, 3*maxMeters)
	for _, n := range asked {
		require.Equal(t, 1, n)
	}
	require.LessOrEqual(t, len(d.meters.known), maxMeters)
	require.LessOrEqual(t, len(d.meters.order), maxMeters)
}

func TestReport(t *testing.T) {
	sealed, plain, key := sealedFrame(t)
	profile := golden.Unhex(t, "72785634129315330 32a000000"+"0413 e8030000"+"046d 3b0e543b"+"8d0493130a 61 01 0a00 0b00 0c00 0d00")
	d := Decoder{Keys: func(a Address) *Key { return key }, Formats: &MemoryFormats{}}
	for _, payload := range [][]byte{sealed, plain, profile} {
		read := func() {
			tg, err := d.Parse(payload, Lower{})
			if err != nil {
				t.Fatal(err)
			}
			if r := d.Report(&tg); len(r.Readings) == 0 || r.Meter.ID == "" {
				t.Fatal("nothing")
			}
		}
		read()
		require.Zero(t, testing.AllocsPerRun(100, read))
		tg, err := d.Parse(payload, Lower{})
		require.NoError(t, err)
		r := d.Report(&tg)
		require.Equal(t, tg.Meter(), r.Meter)
		profiles := new(Decoder).AppendProfiles(nil, &tg)
		require.Len(t, r.Profiles, len(profiles))
		for i := range profiles {
			require.Equal(t, profiles[i].Times, r.Profiles[i].Times)
			require.Equal(t, profiles[i].Columns[0].Nums, r.Profiles[i].Columns[0].Nums)
		}
	}
}

// The texts of a meter follow what its telegrams say.
func TestReportForgetsFirmware(t *testing.T) {
	var d Decoder
	for _, test := range []struct{ records, firmware string }{{"0dfd0e 03 312e32", "2.1"}, {"0dfd0e 03 332e32", "2.3"}, {"041301000000", ""}} {
		tg, err := d.Parse(golden.Unhex(t, "72 78563412 9315 33 03 2a 00 0000"+test.records), Lower{})
		require.NoError(t, err)
		require.Equal(t, tg.Meter(), d.Report(&tg).Meter)
		require.Equal(t, test.firmware, d.Report(&tg).Meter.Firmware)
	}
}

func TestRecordJSON(t *testing.T) {
	type source struct {
		Function   string   `json:"function"`
		Storage    uint64   `json:"storage"`
		Tariff     uint32   `json:"tariff"`
		Subunit    uint16   `json:"subunit"`
		DIB        string   `json:"dib"`
		VIB        string   `json:"vib"`
		Quantity   string   `json:"quantity,omitempty"`
		Unit       string   `json:"unit,omitempty"`
		Qualifiers []string `json:"qualifiers,omitempty"`
		Error      string   `json:"error,omitempty"`
		Data       string   `json:"data,omitempty"`
	}
	upper := func(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }
	for _, s := range append(fuzzSeeds, "02fc036d2f2222 0100", "0c13ddddffff", "8cf04013 01020304", "04933a 01000000") {
		d := Decoder{}
		records, _ := d.AppendRecords(nil, golden.Unhex(t, s))
		for i := range records {
			r := &records[i]
			want := source{
				Function: r.Function.String(), Storage: r.Storage, Tariff: r.Tariff, Subunit: r.Subunit,
				DIB: upper(r.DIB()), VIB: upper(r.VIB()), Quantity: r.Quantity.String(), Qualifiers: r.Qualifiers.Names(nil),
			}
			if text := r.UnitText(); text != r.Unit.String() {
				want.Unit = text
			}
			if r.Error != 0 {
				want.Error = r.Error.String()
			}
			if r.Value.IsNone() {
				want.Data = upper(r.Data)
			}
			text, err := json.Marshal(want)
			require.NoError(t, err)
			require.Equal(t, string(text), string(r.AppendJSON(nil)), s)
		}
	}
}

package mbus

import (
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// manufacturers are all that have rules of their own, and none.
func manufacturers() []Manufacturer {
	all := []Manufacturer{0}
	for i := range manufacturerTable {
		if m := manufacturerTable[i].manufacturer; m != all[len(all)-1] {
			all = append(all, m)
		}
	}
	return all
}

// ownVIBs are VIBs by which the rows of the manufacturers' tables are found.
func ownVIBs() (all [][]byte) {
	for i := range manufacturerTable {
		row := &manufacturerTable[i]
		for table := range vifTable {
			for vif := range vifTable[table] {
				if vifTable[table][vif].quantity != row.quantity || table == 0 && vif >= 0x7B && row.quantity != QuantityManufacturerSpecific {
					continue
				}
				vib := append([]byte(nil), [][]byte{{}, {0xFB}, {0xFD}, {0xFD, 0xFD}}[table]...)
				own := []byte{}
				for _, shift := range []int{16, 8, 0} {
					if e := byte(row.extension >> shift); row.extension != noExtension && (e != 0 || shift == 0) {
						own = append(own, e|0x80)
					}
				}
				switch {
				case len(own) == 0:
					vib = append(vib, byte(vif))
				case row.quantity == QuantityManufacturerSpecific:
					vib = append(append(vib, 0xFF), own...)
				default:
					vib = append(append(vib, byte(vif)|0x80, 0xFF), own...)
				}
				vib[len(vib)-1] &= 0x7F
				all = append(all, vib)
				break
			}
		}
	}
	return all
}

// all is everything that can be asked of a telegram.
func all(t testing.TB, d *Decoder, b []byte, lower Lower) ([]obis.Reading, error) {
	tg, err := d.Parse(b, lower)
	if err != nil {
		return nil, err
	}
	readings := d.AppendReadings(nil, &tg)
	for i := range readings {
		_ = readings[i].Value.String()
	}
	d.AppendProfiles(nil, &tg)
	_ = tg.Meter()
	for i := range tg.Records {
		_ = tg.Records[i].UnitText()
		_, _ = tg.Records[i].AppendBinary(nil)
	}
	_ = tg.Clone()
	_ = new(Decoder).Explain(b, lower, func(int, int, int, string, string) {})
	return readings, nil
}

// A record of which octets are missing has no value, whatever the rules of the
// manufacturer and wherever it is cut.
func TestCutRecords(t *testing.T) {
	var d Decoder
	for _, m := range manufacturers() {
		header := append([]byte{0x72}, Header{Form: HeaderLong, Address: Address{ID: 0x12345678, Manufacturer: m, Version: 2, Type: 2}}.AppendBinary(nil)...)
		for _, vib := range ownVIBs() {
			for dif := range 16 {
				for _, dife := range [][]byte{nil, {0x40}, {0x80, 0x40}} {
					record := []byte{byte(dif)}
					if dife != nil {
						record[0] |= 0x80
					}
					record = append(append(append(record, dife...), vib...), 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x08)
					n := codeLen[dif]
					if dif == codeVariable {
						record[len(record)-8], n = 7, 8
					}
					record = record[:len(record)-8+int(n)]
					for cut := 1; cut < len(record); cut++ {
						b := append(append([]byte(nil), header...), record[:cut]...)
						readings, err := all(t, &d, b, Lower{})
						require.NoError(t, err)
						for _, r := range readings {
							require.True(t, r.Value.IsNone() || r.Quality.Flags&obis.Invalid != 0 || dif == codeSpecial, "%x: %v", b, r)
						}
					}
				}
			}
		}
	}
}

// A record without VIF is compared with the declarations of others.
func TestDeclarationBesideRecordWithoutVIF(t *testing.T) {
	var d Decoder
	for table, prefix := range [][]byte{{}, {0xFB}, {0xFD}, {0xFD, 0xFD}} {
		for vif := range vifTable[table] {
			b := append([]byte{0x78, 0x00}, prefix...)
			b = append(b, byte(vif)|0x80, 0x3F, 0x7F)
			_, err := all(t, &d, b, Lower{})
			require.NoError(t, err)
			b[len(b)-1] = 0x0F
			_, err = all(t, &d, append(b, 1), Lower{})
			require.NoError(t, err)
		}
	}
}

func TestPrefixesOfTelegrams(t *testing.T) {
	key, err := NewKey(make([]byte, 16))
	require.NoError(t, err)
	for _, s := range fuzzSeeds {
		for _, header := range []string{"78", "7a2a000000", "7a2a001005", "72785634124204020 22a000000", "7a2a00102a1001 01020304", "7a2a0030471001020304", "76 12345678 0442 02 02 2a 00 0000", "79", "6a", "69"} {
			whole := append(golden.Unhex(t, header), golden.Unhex(t, s)...)
			for n := range whole {
				for _, radio := range []bool{false, true} {
					d := Decoder{Keys: func(Address) *Key { return key }, Formats: &MemoryFormats{}}
					_, _ = all(t, &d, whole[:n:n], Lower{Radio: radio, Address: Address{Manufacturer: 0x0442}})
				}
			}
		}
	}
}

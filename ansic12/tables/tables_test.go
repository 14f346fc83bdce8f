package tables_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/tables"
	"github.com/openusm/meter/obis"
)

var utc = time.UTC

func TestDescriptionRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"table 1 X { A uint7 }":                       `no record "uint7"`,
		"table 1 X { A uint8":                         "ends early",
		"table 1 X { A uint8 } table 1 X { }":         "table 1 twice",
		"nonsense":                                    "want table or record",
		"table 1 X { A bits8 { B 8 } }":               "no number up to 7",
		"table 1 X { A uint8 [ 1x ] }":                "neither number nor field",
		"table 1 X { A uint8 obis nowhere\n}":         "neither a digit",
		"record R { } table 99999 X { include R }":    "no number up to 65535",
		"table 1 X { if 1 { if 1 { A octets -1 } } }": "neither number nor field",
	} {
		_, err := tables.ParseDescription(text)
		require.ErrorContains(t, err, want, text)
	}
}

// Another manufacturer's table is data.
func TestManufacturersTable(t *testing.T) {
	description, err := tables.ParseDescription("manufacturer ACME\ntable 2049 X_TBL {\n N uint8\n V int16 [N] obis 1-0:1.7.0\n}")
	require.NoError(t, err)
	config := table00(1, 2)
	copy(config[3:], "ACME")
	d, err := tables.NewDevice(config, description)
	require.NoError(t, err)
	readings, sources, err := d.AppendReadings(nil, nil, 2049, []byte{2, 0xFF, 0xFE, 0, 7})
	require.NoError(t, err)
	require.Len(t, readings, 3)
	require.Equal(t, "-2", readings[1].Value.String())
	require.Equal(t, obis.RuleManufacturer, readings[1].Rule)
	require.Equal(t, "V[1]", sources[2].Field)
	require.Equal(t, 3, sources[2].Offset)
	require.Equal(t, "2049.V[1]", string(readings[2].RawID))
}

// A meter's numbers in all formats.
func TestNumbers(t *testing.T) {
	for name, test := range map[string]struct {
		format      tables.NumberFormat
		integer     byte
		hex         string
		want        string
		scaleUnsure bool
	}{
		"float64":              {tables.Float64, 0, "0000000000004640", "44", false},
		"float32":              {tables.Float32, 0, "0000c841", "25", false},
		"characters":           {tables.FloatChar12, 0, hex.EncodeToString([]byte("  -12.50    ")), "-12.50", false},
		"characters, exponent": {tables.FloatChar6, 0, hex.EncodeToString([]byte("1.5E+2")), "150", false},
		"fixed":                {tables.Fixed32, 0, "40e20100", "12.3456", false},
		"BCD":                  {tables.FixedBCD4, 0, "00012345", "12345", true},
		"negative BCD":         {tables.FixedBCD4, 0, "d0012345", "-12345", true},
		"no BCD":               {tables.FixedBCD4, 0, "0a012345", "", false},
		"24 bits":              {tables.Int24, 0, "feffff", "-2", false},
		"one's complement":     {tables.Int24, 1, "fdffff", "-2", false},
		"sign and magnitude":   {tables.Int24, 2, "020080", "-2", false},
		"40 bits":              {tables.Int40, 0, "0000000080", "-549755813888", false},
		"48 bits":              {tables.Int48, 0, "010000000000", "1", false},
		"64 bits":              {tables.Int64, 0, "ffffffffffffff7f", "9223372036854775807", false},
	} {
		t.Run(name, func(t *testing.T) {
			config := table00(0, 2)
			config[1] |= test.integer << 6
			config[2] = byte(test.format)
			description, err := tables.ParseDescription("table 999 X { V ni1 }")
			require.NoError(t, err)
			d, err := tables.NewDevice(config, description)
			require.NoError(t, err)
			b, err := hex.DecodeString(test.hex)
			require.NoError(t, err)
			require.Len(t, b, test.format.Size())
			readings, _, err := d.AppendReadings(nil, nil, 999, b)
			require.NoError(t, err)
			require.Equal(t, test.want, readings[0].Value.String())
			require.Equal(t, test.scaleUnsure, readings[0].Quality.Flags&obis.ScalerUnknown != 0)
		})
	}
}

// device is a meter with one source and one summation, scaled by table 15.
func device(t *testing.T, link byte, uom uint32, multiplier, offset int64) *tables.Device {
	t.Helper()
	config := table00(0, 2)
	config[2] = byte(tables.Int64) | byte(tables.Int32)<<4
	d, err := tables.NewDevice(config)
	require.NoError(t, err)
	constants := binary.LittleEndian.AppendUint64(nil, uint64(multiplier))
	for table, b := range map[uint16][]byte{11: {0, 1, 0, 0, 0, 1, 2, 1}, 21: {0, 0, 0, 1, 0, 0, 0, 0, 0, 0}} {
		require.NoError(t, d.Add(table, b))
	}
	require.NoError(t, d.Add(12, binary.LittleEndian.AppendUint32(nil, uom)))
	require.NoError(t, d.Add(15, binary.LittleEndian.AppendUint64(constants, uint64(offset))))
	require.NoError(t, d.Add(16, []byte{link}))
	require.NoError(t, d.Add(22, []byte{0}))
	return d
}

// The ratios of table 15 are applied where the meter has not done so and has all
// constants applied, as often as they go into the quantity.
func TestRatios(t *testing.T) {
	const pending, applied = 0, 1
	for name, test := range map[string]struct {
		link          byte
		id            uint32 // of table 12, with time base 1
		flags1, ct, v byte
		flags2, ct2   byte
		want          string
		known         bool
	}{
		"active power":      {0x39, 0, pending, 40, 120, applied, 9, "4800000", true},
		"both sets":         {0x39, 0, pending, 40, 120, pending, 2, "9600000", true},
		"already applied":   {0x39, 0, applied, 40, 120, applied, 2, "1000", true},
		"not to be applied": {0x19, 0, pending, 40, 120, pending, 2, "1000", true},
		"voltage":           {0x39, 8, pending, 40, 120, applied, 2, "120000", true},
		"current":           {0x39, 12, pending, 40, 120, applied, 2, "40000", true},
		"voltage squared":   {0x39, 10, pending, 40, 120, applied, 2, "14400000", true},
		"power factor":      {0x39, 24, pending, 40, 120, pending, 2, "1000", true},
		"no ratio":          {0x39, 12, pending, 0, 120, applied, 2, "1000", false},
		"unknown quantity":  {0x39, 77, pending, 40, 120, applied, 2, "1000", false},
	} {
		t.Run(name, func(t *testing.T) {
			d := device(t, test.link, test.id|1<<8|0b1001<<14, 1, 0)
			require.NoError(t, d.Add(11, []byte{1<<5 | 1<<6, 1, 0, 0, 0, 1, 2, 1}))
			var b []byte
			for _, n := range []uint64{1, 0} {
				b = binary.LittleEndian.AppendUint64(b, n)
			}
			for _, set := range [][3]byte{{test.flags1, test.ct, test.v}, {test.flags2, test.ct2, 1}} {
				b = append(b, set[0])
				b = binary.LittleEndian.AppendUint64(b, uint64(set[1]))
				b = binary.LittleEndian.AppendUint64(b, uint64(set[2]))
			}
			require.NoError(t, d.Add(15, b))
			readings, _, err := d.AppendReadings(nil, nil, 23, binary.LittleEndian.AppendUint64(nil, 1000))
			require.NoError(t, err)
			value, ok := readings[0].Value.Rescale(0)
			require.True(t, ok)
			require.Equal(t, test.want, value.String())
			require.Equal(t, !test.known, readings[0].Quality.Flags&obis.ScalerUnknown != 0)
		})
	}
}

// Two self reads of a meter with one summation.
func TestSelfReads(t *testing.T) {
	d := device(t, 0x11, 0x00024000, 0, 0)
	require.NoError(t, d.Add(21, []byte{1 << 1, 1 << 1, 2, 1, 0, 0, 0, 0, 0, 0}))
	b := []byte{0, 2, 1, 9, 0, 0}
	for i := range byte(2) {
		b = append(b, 8+i, 0, 26, 11, 19+i, 12, 0)
		b = binary.LittleEndian.AppendUint64(b, uint64(1000+int(i)))
	}
	readings, _, err := d.AppendReadings(nil, nil, 26, b)
	require.NoError(t, err)
	values := map[string]string{}
	for _, r := range readings {
		if r.Code.Valid() {
			values[r.Code.String()] = r.Value.String() + " " + r.Time.String()
		}
	}
	require.Equal(t, map[string]string{"1-0:1.8.0*0": "1000 2026-11-19T12:00:00", "1-0:1.8.0*1": "1001 2026-11-20T12:00:00"}, values)
}

// Tables whose layout is not sure are read only where it fits to the octet.
func TestExact(t *testing.T) {
	d := device(t, 0x11, 0x00024000, 0, 0)
	require.NoError(t, d.Add(51, []byte{0, 1 << 4, 0, 0, 0, 0, 0, 0, 0}))
	b := []byte{2, 0, 0, 60, 0xFE, 0xD4} // two o'clock, one hour, -300 minutes
	b[4], b[5] = 0xD4, 0xFE
	readings, _, err := d.AppendReadings(nil, nil, 53, b)
	require.NoError(t, err)
	require.Equal(t, "53.TIME_ZONE_OFFSET", string(readings[len(readings)-1].RawID))
	require.Equal(t, "-300", readings[len(readings)-1].Value.String())
	for _, wrong := range [][]byte{b[:5], append(b[:6:6], 0)} {
		readings, _, err := d.AppendReadings(nil, nil, 53, wrong)
		var pe *tables.ParseError
		require.ErrorAs(t, err, &pe)
		require.EqualValues(t, 53, pe.Table)
		require.Empty(t, readings)
	}
}

// A calendar of one holiday, one change of season, two tier switches and one season.
func TestCalendar(t *testing.T) {
	d := device(t, 0x11, 0x00024000, 0, 0)
	limits := []byte{0, 0, 1 | 2<<4, 1, 1, 2, 0, 0, 0}
	require.NoError(t, d.Add(51, limits))
	b := []byte{26, 12, 25, 19, 0x11, 0x22, 3, 0xC1, 0x04, 0, 0x22, 0x7A, 1, 1, 2, 0, 3, 4}
	got := map[string]string{}
	require.NoError(t, d.Walk(54, b, func(f *tables.Field) { got[f.ID()] = f.Value.String() }))
	for id, want := range map[string]string{
		"NON_RECURR_DATES[0].CALENDAR_ACTION.CALENDAR_CTRL": "19", "RECURR_DATES[0].CALENDAR_ACTION.CALENDAR_CTRL": "3",
		"TIER_SWITCHES[0].TIER_SWITCH.NEW_TIER": "1", "TIER_SWITCHES[0].TIER_SWITCH.SWITCH_HOUR": "6", "TIER_SWITCHES[1].TIER_SWITCH.SWITCH_MIN": "30",
		"TIER_SWITCHES[1].DAY_SCH_NUM": "1", "DAILY_SCHEDULE_ID_MATRIX[0].SUNDAY_SCHEDULE": "2", "DAILY_SCHEDULE_ID_MATRIX[0].SPECIAL_SCHEDULE[1]": "4",
	} {
		require.Equal(t, want, got[id], id)
	}
	limits[1] = 1 << 1 // a schedule for each day
	require.NoError(t, d.Add(51, limits))
	clear(got)
	require.NoError(t, d.Walk(54, b, func(f *tables.Field) { got[f.ID()] = f.Value.String() }))
	require.Len(t, got, 1)
}

func TestNeeds(t *testing.T) {
	d, err := tables.NewDevice(table00(0, 2))
	require.NoError(t, err)
	for table, want := range map[uint16][]uint16{0: nil, 5: nil, 15: {11}, 23: {21}, 56: {51}, 62: {61}, 73: {71}, 999: nil} {
		require.Equal(t, want, d.Needs(table), table)
	}
}

// The nameplate of an electricity meter.
func TestNameplate(t *testing.T) {
	d, err := tables.NewDevice(table00(0, 2))
	require.NoError(t, err)
	b := append([]byte("7.2   7.2   \x01FM9S "), 0x52, 0x08, 0x21)
	b = append(b, "200   30    "...)
	readings, _, err := d.AppendReadings(nil, nil, 2, b)
	require.NoError(t, err)
	got := map[string]string{}
	for _, r := range readings {
		got[string(r.RawID)] = r.Value.String()
	}
	for field, want := range map[string]string{
		"2.E_KH": "7.2", "2.E_ED_CONFIG": "FM9S", "2.E_ELEMENTS.E_FREQ": "2", "2.E_ELEMENTS.E_NO_OF_ELEMENTS": "2", "2.E_ELEMENTS.E_BASE_TYPE": "1",
		"2.E_ELEMENTS.E_ACCURACY_CLASS": "2", "2.E_VOLTS.E_ED_SUPPLY_VOLTS": "2", "2.E_CLASS_MAX_AMPS": "200", "2.E_TA": "30",
	} {
		require.Equal(t, want, got[field], field)
	}
}

func TestScaling(t *testing.T) {
	const wattHours = 0x00024000 // import, bulk
	for name, test := range map[string]struct {
		link               byte
		uom                uint32
		multiplier, offset int64
		want               string
		unit               obis.Unit
	}{
		"engineering units":      {0x11, wattHours, 0, 0, "1000", obis.WattHour},
		"power of ten":           {0x11, wattHours | 2<<11, 0, 0, "1000000", obis.WattHour},
		"constants not applied":  {0x19, wattHours, 40, 5, "1000", obis.WattHour},
		"constants":              {0x39, wattHours, 40, 5, "40005", obis.WattHour},
		"pulses with constants":  {0x29, wattHours | 6<<11, 18, 0, "18", obis.WattHour},
		"pulses of unknown size": {0x01, wattHours, 0, 0, "1000", obis.UnitUnknown},
		"no unit":                {0x10, wattHours, 0, 0, "1000", obis.UnitUnknown},
		"overflow":               {0x39, wattHours, 1 << 62, 0, "1000", obis.UnitUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			d := device(t, test.link, test.uom, test.multiplier, test.offset)
			readings, _, err := d.AppendReadings(nil, nil, 23, binary.LittleEndian.AppendUint64(nil, 1000))
			require.NoError(t, err)
			require.Len(t, readings, 1)
			value, ok := readings[0].Value.Rescale(0)
			require.True(t, ok)
			require.Equal(t, test.want, value.String())
			require.Equal(t, test.unit, readings[0].Unit)
			require.Equal(t, test.unit == obis.UnitUnknown, readings[0].Quality.Flags&obis.ScalerUnknown != 0)
		})
	}
}

// The fields of every table of a meter lie one behind the other and fill it.
func TestWalkCoversTables(t *testing.T) {
	m := ansicsim.New(&ansicsim.Config{Now: func() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }})
	config, _ := m.Table(0)
	d, err := tables.NewDevice(config)
	require.NoError(t, err)
	for _, table := range m.Tables() {
		b, ok := m.Table(table)
		require.True(t, ok)
		require.NoError(t, d.Add(table, b), table)
		at := 0
		require.NoError(t, d.Walk(table, b, func(f *tables.Field) {
			require.NotEqual(t, "REST", f.Name, table)
			if f.Offset == at {
				at += f.Length
			}
			require.Equal(t, at, f.Offset+f.Length, "table %d %s", table, f.ID())
		}))
		require.Equal(t, len(b), at, table)
		for cut := range min(len(b), 64) {
			if err := d.Walk(table, b[:cut], func(*tables.Field) {}); err != nil {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			}
		}
	}
	_, err = tables.Decode(config, 23, nil, nil)
	require.Error(t, err)
}

func FuzzWalk(f *testing.F) {
	m := ansicsim.New(&ansicsim.Config{Now: func() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }})
	config, _ := m.Table(0)
	for _, table := range m.Tables() {
		b, _ := m.Table(table)
		f.Add(config, table, b[:min(len(b), 400)], []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	}
	f.Fuzz(func(t *testing.T, config []byte, table uint16, b, limits []byte) {
		d, err := tables.NewDevice(config)
		if err != nil {
			return
		}
		for _, n := range []uint16{11, 21, 61, 62, 63, 71} {
			_ = d.Add(n, limits)
		}
		at, count := 0, 0
		err = d.Walk(table, b, func(f *tables.Field) {
			count++
			if f.Offset < at || f.Offset+f.Length > len(b) {
				t.Fatalf("%s: %d+%d of %d", f.ID(), f.Offset, f.Length, len(b))
			}
			at = f.Offset
		})
		require.LessOrEqual(t, count, 33*(4096+16*len(b)))
		readings, sources, again := d.AppendReadings(nil, nil, table, b)
		require.Equal(t, err, again)
		require.Len(t, sources, len(readings))
		_, _ = d.AppendEvents(nil, table, b)
		var profile obis.Profile
		for set := 1; set <= 4; set++ {
			if p, err := d.LoadProfile(set); err == nil && p.BlockSize() < 1<<16 {
				p.Describe(&profile)
				_ = p.AppendTable(&profile, b)
			}
		}
	})
}

// block is a day of four channels in quarters of an hour.
func block(t testing.TB) (*tables.LoadProfile, []byte) {
	m := ansicsim.New(&ansicsim.Config{Now: func() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }})
	config, _ := m.Table(0)
	d, err := tables.NewDevice(config)
	require.NoError(t, err)
	for _, table := range []uint16{11, 12, 15, 16, 61, 62, 63} {
		b, _ := m.Table(table)
		require.NoError(t, d.Add(table, b))
	}
	p, err := d.LoadProfile(1)
	require.NoError(t, err)
	b, _ := m.Table(64)
	return p, b[:p.BlockSize()]
}

func TestProfileAllocatesNothing(t *testing.T) {
	p, b := block(t)
	var dst obis.Profile
	p.Describe(&dst)
	require.NoError(t, p.AppendBlock(&dst, b, 96))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		dst.Reset()
		if err := p.AppendBlock(&dst, b, 96); err != nil {
			t.Fatal(err)
		}
	}))
}

// floor reads the same block by hand to the same columns.
func floor(dst *obis.Profile, b []byte) {
	at := time.Date(2000+int(b[0]), time.Month(b[1]), int(b[2]), int(b[3]), int(b[4]), 0, 0, time.UTC)
	for k := range 96 {
		stamp := at.Add(time.Duration(k-95) * 15 * time.Minute)
		dst.Times = append(dst.Times, obis.LocalTime(stamp.Year(), int(stamp.Month()), stamp.Day(), stamp.Hour(), stamp.Minute(), 0))
		row := b[5+k*19:]
		if row[0] != 0 {
			dst.Quality.Add(k, obis.FromStatus(obis.StatusC1219LP, uint64(row[0])))
		}
		for c := range 4 {
			dst.Columns[c].AppendInt(int64(int32(binary.LittleEndian.Uint32(row[3+4*c:]))))
		}
	}
}

func BenchmarkProfileBlock(b *testing.B) {
	p, raw := block(b)
	var dst obis.Profile
	p.Describe(&dst)
	var own, least time.Duration
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		dst.Reset()
		start := time.Now()
		if err := p.AppendBlock(&dst, raw, 96); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		dst.Reset()
		floor(&dst, raw)
		own, least = own+middle.Sub(start), least+time.Since(middle)
	}
	b.ReportMetric(float64(least)/float64(own), "of_floor")
}

func ExampleDecode() {
	// Table 12 of a meter whose table 00 says that the low octet is first.
	got, _ := tables.Decode(nil, 12, []byte{0x00, 0x50, 0x02, 0x00}, nil)
	fmt.Println(got.Readings[0].Code, got.Readings[0].Unit, got.Sources[0].UOM)
	// Output: 1-0:1.8.0*255 Wh active power bulk Q1+Q4
}

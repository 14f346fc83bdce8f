package p1

import (
	"strconv"
	"strings"

	"github.com/openusm/meter/iec62056/internal/field"
	"github.com/openusm/meter/obis"
)

// Version says by which specification a telegram was made.
type Version struct {
	Number  string // "3" (or 2.2, which looks the same), "4.2", "5.0" of DSMR; "50217" of the Belgian e-MUCS; empty where it is not said
	Dialect Dialect
}

// Dialect is a family of telegrams.
type Dialect uint8

// The dialects. They differ in objects and units, not in form: nothing depends
// on them but what people like to know.
const (
	DialectUnknown    Dialect = iota
	DialectDSMR               // the Netherlands, and who follows them: 1-3:0.2.8
	DialectEMUCS              // Belgium: 0-0:96.1.4
	DialectLuxembourg         // like DSMR, with reactive energy and 0-0:42.0.0
	DialectTotal              // only totals, without version: Sweden, Hungary and others
)

var dialectNames = [...]string{"unknown", "DSMR", "e-MUCS", "Luxembourg", "totals"}

// String returns the name of the dialect.
func (d Dialect) String() string {
	if int(d) < len(dialectNames) {
		return dialectNames[d]
	}
	return "dialect " + strconv.Itoa(int(d))
}

var (
	codeVersionDSMR  = obis.Code{1, 3, 0, 2, 8, obis.FCurrent}
	codeVersionEMUCS = obis.Code{0, 0, 96, 1, 4, obis.FCurrent}
	codeClock        = obis.Code{0, 0, 1, 0, 0, obis.FCurrent}
	codeLogicalName  = obis.Code{0, 0, 42, 0, 0, obis.FCurrent}
	codeEquipment    = obis.Code{0, 0, 96, 1, 1, obis.FCurrent}
	codeEquipment0   = obis.Code{0, 0, 96, 1, 0, obis.FCurrent}
	codeImportTotal  = obis.Code{1, 0, 1, 8, 0, obis.FCurrent}
	codeImport1      = obis.Code{1, 0, 1, 8, 1, obis.FCurrent}
)

// dotted turns "50" into "5.0" and leaves other texts alone.
func dotted(b []byte) string {
	if len(b) == 2 {
		return string(b[:1]) + "." + string(b[1:])
	}
	return string(b)
}

// idText returns an equipment id, decoded where it is hexadecimal text.
func idText(text []byte) string {
	if decoded, ok := new(Decoder).unhex(text, isIDText); ok {
		return strings.TrimSpace(string(decoded))
	}
	return strings.TrimSpace(string(text))
}

// SubMeter is a meter that reports through the telegram of another one.
type SubMeter struct {
	Channel uint8 // value group B of its codes, 1 to 4
	Type    uint8 // M-Bus device type: 3 gas, 4 heat, 7 water, …; 0 unknown
	Meter   obis.Meter
}

// SubMeters returns the meters on the channels of the telegram, in the order in
// which they first appear.
func (t Telegram) SubMeters() (subs []SubMeter) {
	for d, err := range t.DataSets() {
		code, ok := field.Code(d.ID)
		if err != nil || !ok || code[0] != 0 || code[1] == 0 || code[2] != 24 && code[2] != 96 {
			continue
		}
		s := channel(&subs, code[1])
		switch {
		case code[2] == 24 && code[3] == 1:
			f, _ := d.Field(0)
			n, err := strconv.ParseUint(string(f.Text), 10, 8)
			if err == nil {
				s.Type, s.Meter.Medium = uint8(n), medium(uint8(n))
			}
		case code[2] == 96 && code[3] == 1 && (code[4] == 0 || code[4] == 1) && s.Meter.ID == "":
			f, _ := d.Field(0)
			s.Meter.ID = idText(f.Text)
			s.Meter.Serial = s.Meter.ID
		}
	}
	return subs
}

func channel(subs *[]SubMeter, n uint8) *SubMeter {
	for i := range *subs {
		if (*subs)[i].Channel == n {
			return &(*subs)[i]
		}
	}
	*subs = append(*subs, SubMeter{Channel: n})
	return &(*subs)[len(*subs)-1]
}

// medium returns what a meter of an M-Bus device type measures (EN 13757-7).
func medium(deviceType uint8) obis.Medium {
	switch deviceType {
	case 0x02:
		return obis.Electricity
	case 0x03:
		return obis.Gas
	case 0x04, 0x0C:
		return obis.Heat
	case 0x06, 0x15:
		return obis.HotWater
	case 0x07, 0x16:
		return obis.Water
	case 0x08:
		return obis.HeatCostAllocator
	case 0x0A, 0x0B:
		return obis.Cooling
	case 0:
		return obis.Unknown
	}
	return obis.Other
}

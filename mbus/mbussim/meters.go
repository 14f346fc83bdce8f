package mbussim

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/openusm/meter/mbus"
)

// Standard returns n meters of the kinds that buildings have, in turn heat,
// water, gas and electricity, with primary addresses from 1 to 250 and the
// addresses behind those unconfigured. Counters run from start on. Every fifth
// meter has a hexadecimal digit in its secondary address.
func Standard(n int, start time.Time) []Meter {
	kinds := []func(seed uint32, start time.Time) Meter{heat, water, gas, electricity}
	meters := make([]Meter, n)
	for i := range meters {
		m := kinds[i%len(kinds)](uint32(i), start)
		if i < 250 {
			m.Primary = byte(i + 1)
		}
		m.Address.ID = bcd(uint64(10000000+i*1234567%89999999), 8)
		if i%5 == 4 {
			m.Address.ID = m.Address.ID&^0xF0 | 0xA0 | uint32(i)<<4&0x50
		}
		meters[i] = m
	}
	return meters
}

// elapsed returns the hours since start.
func elapsed(start, now time.Time) float64 { return max(0, now.Sub(start).Hours()) }

func heat(seed uint32, start time.Time) Meter {
	return Meter{
		Address: mbus.Address{Manufacturer: manufacturer("HYD"), Version: 0x2A, Type: 0x04},
		Telegrams: func(now time.Time) [][]byte {
			h := elapsed(start, now)
			energy := 1234500 + 1000*uint64(seed) + uint64(4200*h) // Wh
			volume := 350210 + uint64(180*h)                       // litres
			var r records
			r.decimal(0x0C, 0x05, energy/100)
			r.decimal(0x0C, 0x13, volume)
			r.decimal(0x0B, 0x2C, 420)  // 4.20 kW
			r.decimal(0x0B, 0x3B, 180)  // 0.180 m3/h
			r.decimal(0x0A, 0x5A, 703)  // 70.3 °C
			r.decimal(0x0A, 0x5E, 502)  // 50.2 °C
			r.decimal(0x0B, 0x61, 2010) // 20.10 K
			r.dateTime(now)
			r.date(0x42, 0x6C, setDate(now))
			r.decimal(0x4C, 0x05, 11000)
			r.raw(0x02, 0xFD, 0x17, 0x00, 0x00)
			r.decimal(0x0C, 0x78, uint64(71000000+seed))
			return [][]byte{r}
		},
	}
}

func water(seed uint32, start time.Time) Meter {
	return Meter{
		Address: mbus.Address{Manufacturer: manufacturer("SEN"), Version: 0x68, Type: 0x07},
		Telegrams: func(now time.Time) [][]byte {
			volume := 87654 + 100*uint64(seed) + uint64(15*elapsed(start, now)) // litres
			var r records
			r.decimal(0x0C, 0x13, volume)
			r.decimal(0x0B, 0x3B, 15)
			r.dateTime(now)
			r.date(0x42, 0x6C, setDate(now))
			r.decimal(0x4C, 0x13, 80000)
			r.raw(0x02, 0xFD, 0x17, 0x00, 0x00)
			r.raw(0x02, 0xFD, 0x74, 0xDC, 0x0B) // 3036 days of battery
			return [][]byte{r}
		},
	}
}

func gas(seed uint32, start time.Time) Meter {
	return Meter{
		Address: mbus.Address{Manufacturer: manufacturer("ELS"), Version: 0x51, Type: 0x03},
		Telegrams: func(now time.Time) [][]byte {
			volume := 2850427 + 10*uint64(seed) + uint64(120*elapsed(start, now)) // 10 litres
			var r records
			r.decimal(0x0C, 0x14, volume)
			r.decimal(0x0B, 0x3B, 1200)
			r.dateTime(now)
			r.raw(0x02, 0xFD, 0x17, 0x00, 0x00)
			return [][]byte{r}
		},
	}
}

func electricity(seed uint32, start time.Time) Meter {
	return Meter{
		Address: mbus.Address{Manufacturer: manufacturer("ABB"), Version: 0x20, Type: 0x02},
		Telegrams: func(now time.Time) [][]byte {
			h := elapsed(start, now)
			imported := 45678900 + 100*uint64(seed) + uint64(1500*h) // Wh
			var r records
			r.number(0x04, []byte{0x03}, imported)
			r.number(0x84, []byte{0x10, 0x03}, imported*2/3)
			r.number(0x84, []byte{0x20, 0x03}, imported-imported*2/3)
			r.number(0x04, []byte{0x83, 0x3C}, 1200300)
			r.number(0x04, []byte{0xFB, 0x82, 0x75}, 38200)
			r.number(0x04, []byte{0x2B}, 1500)
			r.number(0x02, []byte{0xFD, 0xC8, 0xFC, 0x01}, 2301)
			r.number(0x02, []byte{0xFD, 0xC8, 0xFC, 0x02}, 2298)
			r.number(0x02, []byte{0xFD, 0xC8, 0xFC, 0x03}, 2304)
			r.number(0x02, []byte{0xFD, 0xD9, 0xFC, 0x01}, 2180)
			r.number(0x02, []byte{0xFB, 0x2E}, 500)
			r.dateTime(now)
			var second records
			second.number(0x14, []byte{0x2B}, 7400)
			second.number(0x02, []byte{0xFD, 0xD9, 0xFC, 0x02}, 2150)
			second.number(0x02, []byte{0xFD, 0xD9, 0xFC, 0x03}, 2195)
			second.decimal(0x0C, 0x78, uint64(90000000+seed))
			second.raw(0x02, 0xFD, 0x17, 0x00, 0x00)
			return [][]byte{r, second}
		},
	}
}

// setDate is the last day of the year before now.
func setDate(now time.Time) time.Time { return time.Date(now.Year()-1, 12, 31, 0, 0, 0, 0, time.UTC) }

func manufacturer(letters string) mbus.Manufacturer {
	m, err := mbus.ParseManufacturer(letters)
	if err != nil {
		return 0
	}
	return m
}

// bcd returns n as so many decimal digits, one in each half octet.
func bcd(n uint64, digits int) uint32 {
	text := fmt.Sprintf("%0*d", digits, n)
	v, err := strconv.ParseUint(text[len(text)-digits:], 16, 32)
	if err != nil {
		return 0
	}
	return uint32(v)
}

// records are data records in the making.
type records []byte

func (r *records) raw(b ...byte) { *r = append(*r, b...) }

// decimalLen is the length of the data of the DIFs that hold decimal digits.
func decimalLen(dif byte) int { return [...]int{0x9: 1, 0xA: 2, 0xB: 3, 0xC: 4}[dif&0x0F] }

// decimal appends a number in decimal digits with a primary VIF.
func (r *records) decimal(dif, vif byte, n uint64) {
	size := decimalLen(dif)
	digits := binary.LittleEndian.AppendUint32(nil, bcd(n, 2*size))
	*r = append(append(*r, dif, vif), digits[:size]...)
}

// number appends a binary number; head is what stands between DIF and data.
func (r *records) number(dif byte, head []byte, n uint64) {
	size := [...]int{0x1: 1, 0x2: 2, 0x3: 3, 0x4: 4}[dif&0x0F]
	data := binary.LittleEndian.AppendUint64(nil, n)
	*r = append(append(append(*r, dif), head...), data[:size]...)
}

// dateTime appends the current date and time of type F.
func (r *records) dateTime(t time.Time) {
	y := t.Year() % 100
	*r = append(*r, 0x04, 0x6D, byte(t.Minute()), byte(t.Hour()), byte(t.Day()|y&7<<5), byte(int(t.Month())|y>>3<<4))
}

// date appends a date of type G.
func (r *records) date(dif, vif byte, t time.Time) {
	y := t.Year() % 100
	*r = append(*r, dif, vif, byte(t.Day()|y&7<<5), byte(int(t.Month())|y>>3<<4))
}

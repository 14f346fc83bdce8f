package obis

import "math"

// ParseDecimal reads the whole of s as a decimal number as JSON and XML have it, with
// an optional sign, fraction and exponent. It is exact: of KindInt, or KindUint where
// only that has room, and not ok for what neither can hold.
func ParseDecimal(s []byte) (Value, bool) {
	if v, ok := ParseNumber(s); ok {
		return v, true
	}
	i := 0
	negative := len(s) > 0 && s[0] == '-'
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		i++
	}
	var m uint64
	exp, digits, zeros, point := 0, 0, 0, false
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.' && !point:
			point = true
			continue
		case c < '0' || c > '9':
			e, ok := parseExponent(s[i:])
			if !ok || digits == 0 {
				return Value{}, false
			}
			exp += e
			i = len(s)
			continue
		}
		digits++
		if point {
			exp--
		}
		if c == '0' { // zeros count once another digit follows
			zeros++
			continue
		}
		for ; zeros >= 0; zeros-- {
			d := uint64(0)
			if zeros == 0 {
				d = uint64(c - '0')
			}
			if m > (math.MaxUint64-d)/10 {
				return Value{}, false
			}
			m = m*10 + d
		}
		zeros = 0
	}
	exp += zeros
	switch {
	case digits == 0:
		return Value{}, false
	case m == 0:
		return Int(0, int8(max(min(exp, 0), math.MinInt8))), true
	case exp < math.MinInt8 || exp > math.MaxInt8 || negative && m > 1<<63:
		return Value{}, false
	case negative:
		return Int(-int64(m), int8(exp)), true
	}
	return Uint(m, int8(exp)), true
}

// parseExponent reads "e-3".
func parseExponent(s []byte) (e int, ok bool) {
	if len(s) < 2 || s[0]|0x20 != 'e' {
		return 0, false
	}
	s = s[1:]
	negative := s[0] == '-'
	if s[0] == '-' || s[0] == '+' {
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 4 {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		e = e*10 + int(c-'0')
	}
	if negative {
		e = -e
	}
	return e, true
}

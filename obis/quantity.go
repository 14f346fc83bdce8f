package obis

// Contradicts reports whether the unit is of another quantity than the code: a
// volume in watt hours, active energy in watts. Where nothing is known of one of
// them, and where the unit is [Count], it does not.
func (c Code) Contradicts(u Unit) bool {
	if int(u) >= len(unitQuantity) || unitQuantity[u] == 0 {
		return false
	}
	wanted := c.measured()
	return wanted != 0 && unitQuantity[u]&wanted == 0
}

// measured returns the quantities that the values of the code may be of, zero
// where nothing is known.
func (c Code) measured() uint32 {
	if int(c[0]) >= len(measures) || int(c[2]) >= len(measures[0]) {
		return 0
	}
	measured := measures[c[0]][c[2]]
	wanted := measured[1]
	if c[0] == 1 && measured[0] != measured[1] {
		_, what := c.quantity()
		switch d := c[3]; {
		case what != nil && what.integral:
			wanted = measured[0]
		case d == 0 || d > lastAverage:
			return 0 // thresholds, counts and durations
		}
	}
	return wanted
}

// lastAverage is the last value of group D of electricity that is an extreme, an
// average or the instant.
const lastAverage = 27

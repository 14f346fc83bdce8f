package golden

import "slices"

// Damage does to the messages of a conversation what happens on lines, or what
// an attacker does, as a script says: two octets a step, what and where. It
// repeats, drops, swaps and cuts messages, flips a bit, flips a bit and lets mend
// make the checksums right again (nil: no such steps), and puts noise between.
// No message has more than one bit flipped, which every checksum can tell.
func Damage(messages [][]byte, script []byte, mend func(message []byte)) [][]byte {
	line := slices.Clone(messages)
	flipped := make([]bool, len(line))
	for len(script) >= 2 && len(line) > 0 {
		what, where := script[0], int(script[1])
		script = script[2:]
		i := where % len(line)
		m := line[i]
		at := 0
		if len(script) > 0 {
			at = int(script[0])<<8 | int(what)
		}
		switch what % 7 {
		case 0:
			line, flipped = slices.Insert(line, i, m), slices.Insert(flipped, i, flipped[i])
		case 1:
			line, flipped = slices.Delete(line, i, i+1), slices.Delete(flipped, i, i+1)
		case 2:
			k := at % len(line)
			line[i], line[k], flipped[i], flipped[k] = line[k], line[i], flipped[k], flipped[i]
		case 3:
			if len(m) > 0 {
				line[i] = m[:at%len(m)]
			}
		case 4, 5:
			if len(m) == 0 || flipped[i] || what%7 == 5 && mend == nil {
				break
			}
			m = slices.Clone(m)
			m[at/8%len(m)] ^= 1 << (at % 8)
			if what%7 == 5 {
				mend(m)
			}
			line[i], flipped[i] = m, true
		case 6:
			noise := make([]byte, where%16)
			for k := range noise {
				noise[k] = byte(at*k + where)
			}
			line, flipped = slices.Insert(line, i, noise), slices.Insert(flipped, i, true)
		}
	}
	return line
}

package link

import (
	"errors"
	"fmt"
)

// Explain calls note for each field of the frame at the start of b, in wire
// order, as far as it can be read, and returns the error where it broke. The
// payload is one field, at depth 1.
func Explain(b []byte, note func(offset, length, depth int, field, meaning string)) error {
	f, n, err := Parse(b)
	broken := n // fields from here on are not noted
	var pe *ParseError
	if errors.As(err, &pe) {
		broken = pe.Offset
	}
	field := func(offset, length, depth int, name, meaning string) {
		if length > 0 && offset+length <= broken {
			note(offset, length, depth, name, meaning)
		}
	}
	if len(b) == 0 {
		return err
	}
	switch b[0] {
	case ack:
		field(0, 1, 0, "start", "acknowledgement")
	case startShort:
		field(0, 1, 0, "start", "short frame")
		if broken >= 3 {
			explainControl(b, 1, field)
		}
		field(3, 1, 0, "checksum", "correct")
		field(4, 1, 0, "stop", "")
	case startLong:
		field(0, 1, 0, "start", "control or long frame")
		if broken >= headerLen {
			field(1, 1, 0, "length", fmt.Sprintf("%d octets", b[1]))
			field(2, 1, 0, "second length", "the same")
			field(3, 1, 0, "second start", "")
		}
		if broken >= headerLen+2 {
			explainControl(b, 4, field)
		}
		if err == nil || errors.Is(err, ErrChecksum) || pe.Field == "stop" {
			end := headerLen + int(b[1])
			field(6, end-6, 1, "payload", "CI field and data")
			field(end, 1, 0, "checksum", "correct")
			field(end+1, 1, 0, "stop", f.Form.String()+" frame ends")
		}
	}
	return err
}

// ExplainDamaged explains what stands at the start of b and is no whole frame: a
// damaged one as far as it can be read, or noise. It returns where the next may
// begin.
func ExplainDamaged(b []byte, note func(offset, length, depth int, field, meaning string)) (n int, err error) {
	if b[0] == startLong && len(b) > headerLen && b[1] == b[2] && b[3] == startLong {
		err = Explain(b, note)
		if n := headerLen + int(b[1]) + 2; errors.Is(err, ErrChecksum) && b[n-1] == stop {
			return n, err
		}
		return noise(b), err
	}
	n = noise(b)
	note(0, n, 0, "noise", "no frame begins here")
	return n, nil
}

func explainControl(b []byte, offset int, field func(offset, length, depth int, name, meaning string)) {
	field(offset, 1, 0, "C", C(b[offset]).String())
	field(offset+1, 1, 0, "A", describeAddress(b[offset+1]))
}

func describeAddress(a byte) string {
	switch {
	case a == Unconfigured:
		return "unconfigured slave"
	case a <= MaxPrimary:
		return fmt.Sprintf("slave %d", a)
	case a == Selected:
		return "the selected slave"
	case a == BroadcastTest:
		return "all slaves, with answer"
	case a == Broadcast:
		return "all slaves, without answer"
	}
	return "reserved"
}

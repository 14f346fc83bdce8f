package obis

import "math/bits"

// Flags are the portable quality flags. Their names and numbers are those of
// tables/quality.csv; the zero Flags mean "good".
type Flags uint64

// Quality is what a meter said of a value: portable flags, and its own status
// word unchanged. The zero Quality is "good".
type Quality struct {
	Flags Flags
	Raw   uint64     // the status word as transmitted
	Kind  StatusKind // what Raw is; StatusNone if there was none
}

// StatusKind says which protocol's status word a [Quality] carries.
type StatusKind uint8

// The kinds of status word. The bits of each are listed in tables/status.csv.
const (
	StatusNone        StatusKind = iota
	StatusDLMSClock              // clock_status octet of a COSEM date-time
	StatusDLMSProfile            // 8-bit profile status of IDIS and DSMR (0-0:96.10.x)
	StatusVDEW                   // 8-bit status of a 62056-21 load profile (P.01)
	StatusMBus                   // status octet of the M-Bus data header
	StatusMBusRecord             // record error of a combinable VIFE, 0 to 31
	StatusC1219                  // ED_STD_STATUS1 of C12.19 table 03
	StatusC1219LP                // interval status of a C12.19 load profile: low nibble of the channel, high nibble common to all
	StatusIEC61850               // 13-bit quality of IEC 61850-7-3, bit 0 first
	StatusIEC104                 // QDS of IEC 60870-5-101
	StatusVendor                 // a word whose meaning is not known here
)

var statusKindNames = [...]string{
	"", "dlms-clock", "dlms-profile", "vdew", "mbus", "mbus-record", "c1219", "c1219-lp", "iec61850", "iec104", "vendor",
}

// String returns the kind in lower case, "" for StatusNone.
func (k StatusKind) String() string {
	if int(k) < len(statusKindNames) {
		return statusKindNames[k]
	}
	return ""
}

// ParseStatusKind returns the kind of a name as [StatusKind.String] writes it.
func ParseStatusKind(name string) (StatusKind, bool) {
	for k, n := range statusKindNames {
		if n == name {
			return StatusKind(k), true
		}
	}
	return 0, false
}

// Validity is the short form of a quality.
type Validity uint8

// The validities, from the best to none at all.
const (
	Good Validity = iota
	Doubtful
	Bad
	NoValue
)

// Validity derives the short form: no value where it is missing, bad where the
// value must not be used, doubtful where it needs care.
func (q Quality) Validity() Validity {
	switch f := q.Flags; {
	case f&Missing != 0:
		return NoValue
	case f&(Invalid|SensorFailure) != 0:
		return Bad
	case f&(Questionable|Overflow|Underflow|OutOfRange|BadReference|Oscillatory|DeviceFailure|TemporaryError|CommFailure|
		Old|Inconsistent|Inaccurate|Blocked|Test|Estimated|PartialInterval|LongInterval|ClockInvalid|ScalerUnknown|Unverified) != 0:
		return Doubtful
	}
	return Good
}

// With returns q with more flags.
func (q Quality) With(f Flags) Quality {
	q.Flags |= f
	return q
}

// FromStatus turns a protocol's status word into a quality, and keeps the word.
// Each portable flag that tables/status.csv gives for one of its bits is set.
func FromStatus(kind StatusKind, raw uint64) Quality {
	q := Quality{Raw: raw, Kind: kind}
	for _, b := range statusBits(kind) {
		if raw&b.mask == b.match {
			q.Flags |= b.flags
		}
	}
	return q
}

// Status expresses q as a status word of another kind, and returns the flags
// that this kind cannot express. For the kind that q came from the word is the
// transmitted one and nothing is lost.
func (q Quality) Status(kind StatusKind) (raw uint64, lost Flags) {
	if kind == q.Kind && kind != StatusNone {
		return q.Raw, q.Flags &^ FromStatus(kind, q.Raw).Flags
	}
	lost = q.Flags
	var fixed uint64 // bits that an earlier row has decided
	for _, b := range statusBits(kind) {
		// A row serves if it says nothing that is not so.
		if b.flags == 0 || b.flags&^q.Flags != 0 || b.flags&lost == 0 || (raw^b.match)&fixed&b.mask != 0 {
			continue
		}
		raw |= b.match
		fixed |= b.mask
		lost &^= b.flags
	}
	return raw, lost
}

// statusBit is one row of tables/status.csv: where raw&mask == match, flags hold.
type statusBit struct {
	mask, match uint64
	flags       Flags
}

func statusBits(kind StatusKind) []statusBit {
	if int(kind) < len(statusTable) {
		return statusTable[kind]
	}
	return nil
}

// Names appends the names of the flags in the order of their bits, in lower
// case with hyphens, or "good" where none is set.
func (f Flags) Names(dst []string) []string {
	if f == 0 {
		return append(dst, "good")
	}
	for ; f != 0; f &= f - 1 {
		if i := bits.TrailingZeros64(uint64(f)); i < len(flagNames) {
			dst = append(dst, flagNames[i])
		}
	}
	return dst
}

// String joins the names with commas.
func (f Flags) String() string {
	s := ""
	for i, name := range f.Names(nil) {
		if i > 0 {
			s += ","
		}
		s += name
	}
	return s
}

// ParseFlag returns the flag of a name as [Flags.Names] writes it; "good" is no flag.
func ParseFlag(name string) (Flags, bool) {
	for i, n := range flagNames {
		if n == name {
			return 1 << i, true
		}
	}
	return 0, name == "good"
}

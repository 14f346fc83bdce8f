package obis

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Every status word survives the way there and back, and a word of another
// kind carries exactly the flags that are not reported as lost.
func TestStatusLosesNothingSilently(t *testing.T) {
	for from := StatusDLMSClock; from < StatusVendor; from++ {
		for raw := range uint64(1 << 13) {
			q := FromStatus(from, raw)
			same, lost := q.Status(from)
			require.Equal(t, raw, same)
			require.Zero(t, lost)
			if raw > 255 && raw%17 != 0 {
				continue
			}
			for to := StatusDLMSClock; to < StatusVendor; to++ {
				word, lost := Quality{Flags: q.Flags}.Status(to)
				kept := FromStatus(to, word).Flags
				require.Zero(t, lost&^q.Flags, "lost what was not there")
				require.Equal(t, q.Flags, kept|lost, "%d %#x to %d", from, raw, to)
				require.Zero(t, kept&^q.Flags, "%d %#x to %d gave flags that were not there", from, raw, to)
			}
		}
	}
}

func TestFlagNames(t *testing.T) {
	require.Equal(t, []string{"good"}, Flags(0).Names(nil))
	require.Equal(t, "invalid,clock-invalid,dst", (Invalid | ClockInvalid | DST).String())
	for bit := range 64 {
		f := Flags(1) << bit
		if bit >= len(flagNames) {
			require.Empty(t, f.Names(nil))
			continue
		}
		got, ok := ParseFlag(f.String())
		require.True(t, ok)
		require.Equal(t, f, got)
	}
}

func TestValidity(t *testing.T) {
	require.Equal(t, Good, Quality{}.Validity())
	require.Equal(t, Good, Quality{Flags: DST | Reset}.Validity())
	require.Equal(t, Doubtful, Quality{Flags: Unverified}.Validity())
	require.Equal(t, Bad, Quality{Flags: Invalid | Questionable}.Validity())
	require.Equal(t, NoValue, Quality{Flags: Missing | Invalid}.Validity())
}

func TestStatusWords(t *testing.T) {
	require.Equal(t, Tamper|LowBattery, FromStatus(StatusMBus, 0x07).Flags)
	require.Equal(t, ClockInvalid|DST, FromStatus(StatusDLMSProfile, 0x0A).Flags)
	require.Equal(t, Missing, FromStatus(StatusMBusRecord, 0x15).Flags)
	require.Equal(t, Invalid, FromStatus(StatusIEC61850, 0x0002).Flags)
	require.Equal(t, Flags(0), FromStatus(StatusVendor, 0xFFFF).Flags)
}

package obis

import (
	"encoding/csv"
	"hash/maphash"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The names of more than a thousand codes: each object, each value of the groups
// C, D and E with a name of its own, and stored values.
func TestNames(t *testing.T) {
	f, err := os.Open("testdata/names.csv")
	require.NoError(t, err)
	defer f.Close()
	in := csv.NewReader(f)
	in.Comment = '#'
	rows, err := in.ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"code", "name"}, rows[0])
	require.Greater(t, len(rows), 1000)
	for _, row := range rows[1:] {
		c, err := ParseCode(row[0])
		require.NoError(t, err)
		require.Equal(t, row[0], c.String())
		require.Equal(t, row[1], Describe(c), row[0])
	}
}

// Codes that differ in C to F have different names, or none. What differs in the
// medium alone may have one name: the clock of a gas meter is a clock.
func TestNamesDiffer(t *testing.T) {
	type groups [4]byte // C to F
	owner := map[uint64]groups{}
	seed := maphash.MakeSeed()
	var dst []byte
	named := func(c Code) bool {
		dst = AppendDescription(dst[:0], c)
		if len(dst) == 0 {
			return false
		}
		hash, mine := maphash.Bytes(seed, dst), groups(c[2:])
		if other, ok := owner[hash]; ok && other != mine {
			require.Failf(t, "two codes of one name", "%q is %v and %v", dst, c, other)
		}
		owner[hash] = mine
		return true
	}
	for _, a := range []byte{0, 1, 2, 4, 5, 6, 7, 8, 9, 15} {
		for n := range 129 * 129 * 129 {
			c := Code{a, 0, upTo128(n / 129 / 129), upTo128(n / 129), upTo128(n), FCurrent}
			if q, _ := c.quantity(); q == nil && objectsOfC[c[2]] == objectsOfC[int(c[2])+1] && n%101 != 0 {
				continue // of a value of C that no table has
			}
			current := named(c)
			c[5] = 1
			if stored := named(c); (stored || current) && n%199 == 0 {
				for f := range 255 {
					c[5] = byte(f)
					named(c)
				}
			}
		}
	}
	require.Greater(t, len(owner), 100_000)
}

// upTo128 returns 0 to 127 of the last digit to base 129, and 255 for 128.
func upTo128(n int) byte {
	if n %= 129; n < 128 {
		return byte(n)
	}
	return 255
}

// The ranges of utilities and manufacturers have no names.
func TestManufacturersHaveNoNames(t *testing.T) {
	for a := range 256 {
		for _, of := range []struct{ group, lo, hi int }{{1, 65, 199}, {2, 128, 254}, {3, 128, 254}, {4, 128, 254}, {5, 128, 254}} {
			for v := of.lo; v <= of.hi; v++ {
				c := Code{byte(a), 0, 96, 1, 0, FCurrent}
				c[of.group] = byte(v)
				require.Empty(t, Describe(c), c)
			}
		}
	}
}

func TestDescribeDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 128)
	for _, code := range []string{"1-0:1.8.1*3", "0-0:97.98.29*255", "7-0:70.84.28*255", "1-0:83.8.90*255", "0-0:99.98.7*255"} {
		c := MustParse(code)
		require.NotEmpty(t, AppendDescription(dst[:0], c), code)
		require.Zero(t, testing.AllocsPerRun(100, func() { dst = AppendDescription(dst[:0], c) }), code)
	}
}

func BenchmarkDescribe(b *testing.B) {
	for _, code := range []string{"1-0:1.8.0*255", "1-0:0.2.0*255", "0-0:96.7.21*255", "7-0:3.2.0*255"} {
		c := MustParse(code)
		b.Run(code, func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst = AppendDescription(dst[:0], c)
			}
		})
	}
}

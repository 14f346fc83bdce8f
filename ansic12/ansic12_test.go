package ansic12

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/obis"
)

// The generated files are what the generator makes of the catalogue today.
func TestGenerated(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("go", "run", "../internal/gen/ansic12", "-out", dir).CombinedOutput()
	require.NoError(t, err, string(out))
	files, err := filepath.Glob("z*.go")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		want, err := os.ReadFile(filepath.Join(dir, file))
		require.NoError(t, err)
		have, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), string(have), "%s is stale: go generate ./ansic12", file)
	}
}

// uom makes an entry of its parts.
func uom(id uint8, base TimeBase, quadrants, segment uint8, net bool) UOM {
	u := UOM(id) | UOM(base)<<8 | UOM(quadrants)<<14 | UOM(segment)<<19
	if net {
		u |= 1 << 18
	}
	return u
}

func TestCode(t *testing.T) {
	for want, test := range map[string]struct {
		uom  UOM
		role Role
		tier uint8
	}{
		"1-0:1.8.0*255":    {uom(0, Bulk, 0b1001, 0, false), Present, 0},
		"1-0:2.8.2*255":    {uom(0, Bulk, 0b0110, 0, false), Present, 2},
		"1-0:15.8.0*255":   {uom(0, Bulk, 0b1111, 0, false), Present, 0},
		"1-0:16.7.0*255":   {uom(0, Instantaneous, 0b1111, 0, true), Present, 0},
		"1-0:3.29.0*255":   {uom(1, Bulk, 0b0011, 0, false), Interval, 0},
		"1-0:8.8.0*255":    {uom(1, Bulk, 0b1000, 0, false), Present, 0},
		"1-0:1.6.1*255":    {uom(0, Block, 0b1001, 0, false), Maximum, 1},
		"1-0:1.2.0*255":    {uom(0, Block, 0b1001, 0, false), Cumulative, 0},
		"1-0:1.4.0*255":    {uom(0, Block, 0b1001, 0, false), PresentDemand, 0},
		"1-0:1.5.0*255":    {uom(0, Block, 0b1001, 0, false), Interval, 0},
		"1-0:61.7.0*255":   {uom(0, Instantaneous, 0b1001, 7, false), Present, 0},
		"1-0:52.7.0*255":   {uom(8, Instantaneous, 0, 6, false), Present, 0},
		"1-0:124.7.0*255":  {uom(8, Instantaneous, 0, 1, false), Present, 0},
		"1-0:92.7.0*255":   {uom(8, Instantaneous, 0, 4, false), Present, 0},
		"1-0:91.7.0*255":   {uom(12, Instantaneous, 0, 4, false), Present, 0},
		"1-0:32.7.124*255": {uom(16, Instantaneous, 0, 5, false), Present, 0},
		"1-0:81.7.6*255":   {uom(22, Instantaneous, 0, 7, false), Present, 0},
		"1-0:89.8.0*255":   {uom(10, Bulk, 0, 0, false), Present, 0},
		"":                 {uom(0, Bulk, 0, 0, false), Present, 0}, // no direction
		" ":                {uom(77, Bulk, 0b1001, 0, false), Present, 0},
		"  ":               {uom(34, EventCount, 0, 0, false), Present, 0},
		"   ":              {uom(0, Bulk, 0b1001, 1, false), Present, 0}, // between phases
		"    ":             {uom(0, Bulk, 0b1001, 0, false) | 1<<31, Present, 0},
		"     ":            {uom(8, Instantaneous, 0, 5, false) | 1<<22, Present, 0},
	} {
		code, ok := test.uom.Code(test.role, test.tier)
		require.Equal(t, want[0:min(1, len(want))] > " ", ok, "%v: %v", want, code)
		if ok {
			require.Equal(t, want, code.String())
			require.NotEmpty(t, test.uom.String())
		}
	}
	require.Equal(t, obis.UnitUnknown, uom(77, Bulk, 0, 0, false).Unit())
	require.Equal(t, "quantity 77 bulk", uom(77, Bulk, 0, 0, false).String())
}

// A code or a segment that no public source prints is never silently sure.
func TestConfirmed(t *testing.T) {
	require.True(t, uom(0, Bulk, 0b1001, 0, false).Confirmed())
	require.True(t, uom(12, Instantaneous, 0, 0, false).Confirmed())
	require.False(t, uom(12, Instantaneous, 0, 5, false).Confirmed())
	for id := range 256 {
		if id > 15 {
			require.False(t, uom(uint8(id), Instantaneous, 0, 0, false).Confirmed(), id)
		}
	}
}

func TestRights(t *testing.T) {
	require.Equal(t, RightClock, ProcedureRight(10))
	require.Equal(t, RightLoadControl, ProcedureRight(21))
	require.Equal(t, "setting the clock, resetting demands, load control, configuration", ProcedureRight(0x0801).String())
}

func ExampleUOM_Code() {
	u := UOM(0x00024000)
	code, _ := u.Code(Present, 1)
	fmt.Println(code, u.Unit(), u)
	// Output: 1-0:1.8.1*255 Wh active power bulk Q1+Q4
}

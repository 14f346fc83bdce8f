package golden

import (
	"testing"
	"time"
)

// OfFloor reports how near a benchmark, whose loop has just ended, comes to a
// floor: hand-written code for the same work, run now. 1 is as fast.
func OfFloor(b *testing.B, floor func()) {
	own := float64(b.Elapsed()) / float64(b.N)
	floor() // warm
	n, start := 0, time.Now()
	for time.Since(start) < 20*time.Millisecond {
		floor()
		n++
	}
	b.ReportMetric(float64(time.Since(start))/float64(n)/own, "of_floor")
}

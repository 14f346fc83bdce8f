// Command decode prints what frames say, whatever protocol they are of.
//
//	go run ./decode 6812126808017278563412420402022a0000000a5a3402…
//	journalctl -u receiver | go run ./decode
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/openusm/meter"
	"github.com/openusm/meter/keys"
)

func main() {
	var in io.Reader = os.Stdin
	if len(os.Args) > 1 {
		in = strings.NewReader(strings.Join(os.Args[1:], "\n"))
	}
	if err := run(in, os.Stdout, &meter.Config{Keys: keys.Set{}}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run decodes a frame a line, in hexadecimal or as a radio receiver writes it. A line that
// cannot be decoded is told of, and costs nothing else.
func run(in io.Reader, out io.Writer, cfg *meter.Config) error {
	d := meter.NewDecoder(cfg)
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		r, err := d.DecodeText(lines.Bytes())
		if err != nil {
			fmt.Fprintf(out, "line %d: %v\n", n, err)
		}
		if r == nil || err != nil && !errors.Is(err, meter.ErrPartial) {
			continue
		}
		for i := range r.Readings {
			x := &r.Readings[i]
			fmt.Fprintf(out, "%s %s %s %v %v %v\n", r.Meter.ID, x.ID(), x.Rule, x.Value, x.Unit, x.Quality.Flags)
		}
	}
	return lines.Err()
}

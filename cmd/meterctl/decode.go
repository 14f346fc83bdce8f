package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/mapping/timeseries"
)

func (a *app) decodeCommand() *cobra.Command {
	var lines bool
	cmd := &cobra.Command{
		Use:   "decode [FILE|-|HEX…]",
		Short: "Decode a frame or a capture to readings",
		Long: `decode reads a frame or a capture (octets, hexadecimal digits, pcap) and prints its readings.

A capture of up to 1 MiB gives one result for each meter. Of a longer one, and with -o ndjson, each message is
a result of its own, printed as it is read. Each conversation of a pcap file is a capture of its own.`,
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if lines {
				return a.decodeLines(args, cfg)
			}
			in, err := a.input(args)
			if err != nil {
				return err
			}
			defer in.Close()
			return a.all(in, func(in io.Reader) error { return a.decode(in, cfg) })
		},
	}
	a.tableFlags(cmd)
	cmd.Flags().BoolVar(&lines, "lines", false, "one frame in hexadecimal per input line, one JSON object per output line")
	return cmd
}

// maxWhole is how long a capture may be that is decoded to one result.
const maxWhole = 1 << 20

// decode decodes a capture, as a whole or message by message.
func (a *app) decode(in io.Reader, cfg *meter.Config) error {
	b := bufio.NewReaderSize(in, maxWhole+1)
	head, err := b.Peek(maxWhole + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(head) <= maxWhole && a.output != "ndjson" {
		list, err := meter.DecodeMeters(head, cfg)
		return errors.Join(err, a.printMeters(list))
	}
	out := bufio.NewWriterSize(a.stdout, 1<<16)
	defer func(stdout io.Writer) { a.stdout = stdout }(a.stdout)
	a.stdout = out
	return errors.Join(a.decodeStream(b, cfg), out.Flush())
}

// printMeters prints the results of several meters. Metrics of all of them are one document.
func (a *app) printMeters(list []*meter.Result) error {
	if a.output != "prom" || len(list) < 2 {
		var err error
		for _, r := range list {
			err = errors.Join(err, a.print(r))
		}
		return err
	}
	var data []*mapping.Data
	for _, r := range list {
		for _, w := range r.Warnings {
			fmt.Fprintln(a.stderr, "warning:", w)
		}
		data = append(data, r.Data())
	}
	text, lost := timeseries.AppendPrometheus(nil, data...)
	for _, l := range lost {
		fmt.Fprintln(a.stderr, "warning:", l)
	}
	if _, err := a.stdout.Write(text); err != nil {
		return err
	}
	return carried(text, data...)
}

// decodeStream prints the messages of a capture as they are read.
func (a *app) decodeStream(in io.Reader, cfg *meter.Config) error {
	d := meter.NewDecoder(cfg)
	buf := make([]byte, 1<<16)
	var partial error
	decoded := false
	for ended := false; ; {
		r, err := d.Next()
		switch {
		case r != nil:
			decoded = true
			if err := a.print(r); err != nil {
				return err
			}
			if err != nil {
				partial = fmt.Errorf("%w: some messages", meter.ErrPartial)
			}
			continue
		case errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, meter.ErrFrame), err == io.EOF && !ended:
		case err == io.EOF && !decoded && partial == nil:
			return fmt.Errorf("%w: no message", meter.ErrFrame)
		case err == io.EOF:
			return partial
		default:
			fmt.Fprintln(a.stderr, "warning:", err)
			partial = fmt.Errorf("%w: some messages", meter.ErrPartial)
			if !decoded {
				partial = err
			}
			continue
		}
		n, err := in.Read(buf)
		if n > 0 {
			if err := d.Feed(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			d.End()
			ended = true
		} else if err != nil {
			return err
		}
	}
}

// tableFlags are for the tables of C12.19.
func (a *app) tableFlags(cmd *cobra.Command) {
	cmd.Flags().Uint16Var(&a.table, "table", 0, "C12.19: number of the table; manufacturer's tables from 2048 on")
	cmd.Flags().StringVar(&a.table0, "table0", "", "C12.19: table 00 of the meter, hexadecimal")
}

// errSomeLines tells that --lines met lines that it could not decode.
var errSomeLines = fmt.Errorf("%w: some lines could not be decoded", meter.ErrPartial)

// decodeLines decodes one frame for each line of input, in order.
func (a *app) decodeLines(args []string, cfg *meter.Config) error {
	in := a.stdin
	if len(args) > 1 {
		return usagef("--lines takes one file")
	}
	if len(args) == 1 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		in = interruptible(a.ctx, f)
	}
	return a.pipeline(bufio.NewReaderSize(in, 1<<16), cfg)
}

// batch are lines that are decoded together. Its memory is used again.
type batch struct {
	text []byte // of all lines
	ends []int  // of each
	out  []byte
	bad  bool
	done chan struct{}
}

// maxKept is how much memory a batch may hold on to.
const maxKept = 4 << 20

// maxBatch is how many lines are decoded together, where so many wait.
const maxBatch = 256

// pipeline decodes lines on all processors, and prints the results in order.
func (a *app) pipeline(in *bufio.Reader, cfg *meter.Config) error {
	workers := runtime.GOMAXPROCS(0)
	todo, inOrder, free := make(chan *batch), make(chan *batch, 2*workers), make(chan *batch, 4*workers)
	failed := make(chan error, 1)
	for range workers {
		go func() {
			d := meter.NewDecoder(cfg)
			for b := range todo {
				start := 0
				for _, end := range b.ends {
					b.decode(d, b.text[start:end])
					start = end
				}
				b.done <- struct{}{}
			}
		}()
	}
	go func() {
		defer close(inOrder)
		defer close(todo)
		for {
			b := &batch{done: make(chan struct{}, 1)}
			select {
			case b = <-free:
			default:
			}
			err := b.read(in)
			if len(b.ends) > 0 {
				inOrder <- b
				todo <- b
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					failed <- err
				}
				return
			}
		}
	}()
	bad := false
	var writing error
	for b := range inOrder {
		<-b.done
		if writing == nil {
			_, writing = a.stdout.Write(b.out)
		}
		if bad = bad || b.bad; cap(b.out)+cap(b.text) <= maxKept {
			select {
			case free <- b:
			default:
			}
		}
	}
	select {
	case err := <-failed:
		return errors.Join(err, writing)
	default:
	}
	if writing == nil && bad {
		return errSomeLines
	}
	return writing
}

// read reads a line, and as many more as are there already.
func (b *batch) read(in *bufio.Reader) error {
	b.text, b.ends, b.out, b.bad = b.text[:0], b.ends[:0], b.out[:0], false
	for {
		start := len(b.text)
		text, err := readLine(b.text, in)
		if line := bytes.TrimSpace(text[start:]); len(line) > 0 && line[0] != '#' {
			b.text = text
			b.ends = append(b.ends, len(text))
		}
		if err != nil || len(b.ends) == maxBatch || in.Buffered() == 0 && len(b.ends) > 0 {
			return err
		}
	}
}

// decode appends the JSON object of one line.
func (b *batch) decode(d *meter.Decoder, line []byte) {
	var r *meter.Result
	err := errLongLine
	if line = bytes.TrimSpace(line); len(line) <= maxLine {
		r, err = d.DecodeText(line)
	}
	if err == nil || r != nil && errors.Is(err, meter.ErrPartial) {
		b.out = append(r.AppendJSON(b.out), '\n')
		return
	}
	b.bad = true
	doc, _ := errorJSON(err)
	b.out = append(append(b.out, doc...), '\n')
}

// maxLine is the longest line of --lines.
const maxLine = 1 << 20

var errLongLine = fmt.Errorf("%w: a line of more than %d octets", meter.ErrFrame, maxLine)

// readLine appends a line. Of one that is too long it appends no more than tells that it is.
func readLine(dst []byte, r *bufio.Reader) ([]byte, error) {
	start := len(dst)
	for {
		part, err := r.ReadSlice('\n')
		if len(dst)-start <= maxLine {
			dst = append(dst, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return dst, err
		}
	}
}

func (a *app) explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain [FILE|-|HEX…]",
		Short: "Show a frame byte by byte: offset, octets, field, meaning",
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			in, err := a.input(args)
			if err != nil {
				return err
			}
			defer in.Close()
			out := bufio.NewWriterSize(a.stdout, 1<<16)
			err = a.all(in, func(in io.Reader) error { return explain(out, in, cfg) })
			return errors.Join(err, out.Flush())
		},
	}
	a.tableFlags(cmd)
	return cmd
}

// maxMessage is the longest message that is explained.
const maxMessage = 4 << 20

// explain writes one line for each field: offset, octets, field, meaning.
func explain(w io.Writer, in io.Reader, cfg *meter.Config) error {
	b := bufio.NewReaderSize(in, maxMessage)
	window := 4096 // octets that are looked at
	head, err := b.Peek(window)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(head) == 0 {
		return fmt.Errorf("%w: no octets", meter.ErrFrame)
	}
	var lines []byte // of one message
	e, err := meter.NewExplainer(head, cfg, func(n meter.Note) { lines = appendNote(lines, n) })
	if err != nil {
		return err
	}
	var broken error // the first message that could not be read; those behind it are explained all the same
	for offset := 0; ; {
		head, reading := b.Peek(window)
		if len(head) == 0 {
			if errors.Is(reading, io.EOF) {
				return broken
			}
			return reading
		}
		lines = lines[:0]
		n, err := e.Explain(head, offset)
		if n == 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			if reading == nil && window < maxMessage {
				window *= 2
				continue
			}
			lines = lines[:0]
			n, err = len(head), e.End(head, offset)
		}
		if _, err := w.Write(lines); err != nil {
			return err
		}
		if err != nil && broken == nil {
			broken = err
		}
		if n == 0 {
			return broken
		}
		offset += n
		_, _ = b.Discard(n)
	}
}

// appendNote appends the line of one field.
func appendNote(dst []byte, n meter.Note) []byte {
	octets, more := n.Octets, ""
	if len(octets) > 8 {
		octets, more = octets[:8], "…"
	}
	dst = fmt.Appendf(dst, "%04x  %-25s  ", n.Offset, fmt.Sprintf("% x", octets)+more)
	for range n.Depth {
		dst = append(dst, "  "...)
	}
	dst = append(dst, n.Field...)
	if n.Meaning != "" {
		dst = append(append(dst, ": "...), n.Meaning...)
	}
	return append(dst, '\n')
}

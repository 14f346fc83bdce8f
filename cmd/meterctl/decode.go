package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
)

func (a *app) decodeCommand() *cobra.Command {
	var lines bool
	cmd := &cobra.Command{
		Use:   "decode [FILE|-|HEX…]",
		Short: "Decode a frame or a capture to readings",
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if lines {
				return a.decodeLines(args, cfg)
			}
			raw, err := a.input(args)
			if err != nil {
				return err
			}
			r, err := meter.Decode(raw, cfg)
			return a.printAll(r, err)
		},
	}
	a.tableFlags(cmd)
	cmd.Flags().BoolVar(&lines, "lines", false, "one frame in hexadecimal per input line, one JSON object per output line")
	return cmd
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
		in = f
	}
	out := bufio.NewWriter(a.stdout)
	bad := false
	scanner := bufio.NewReaderSize(in, 1<<16)
	for {
		line, err := readLine(scanner)
		if err != nil && !errors.Is(err, io.EOF) {
			return errors.Join(err, out.Flush())
		}
		text := strings.TrimSpace(string(line))
		if text != "" && text[0] != '#' {
			if !a.decodeLine(out, text, cfg) {
				bad = true
			}
			if scanner.Buffered() == 0 {
				if err := out.Flush(); err != nil {
					return err
				}
			}
		}
		if err != nil {
			break
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if bad {
		return errSomeLines
	}
	return nil
}

// maxLine is the longest line of --lines.
const maxLine = 1 << 20

func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("a line of more than %d octets", maxLine)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// decodeLine writes the JSON object of one line, and reports whether the line could be decoded.
func (a *app) decodeLine(out *bufio.Writer, text string, cfg *meter.Config) bool {
	r, err := meter.DecodeText(text, cfg)
	if err == nil || r != nil && errors.Is(err, meter.ErrPartial) {
		var doc []byte
		if doc, err = r.MarshalJSON(); err == nil {
			_, _ = out.Write(append(doc, '\n'))
			return true
		}
	}
	doc, _ := errorJSON(err)
	_, _ = out.Write(append(doc, '\n'))
	return false
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
			raw, err := a.input(args)
			if err != nil {
				return err
			}
			var b bytes.Buffer
			err = explain(&b, raw, cfg)
			_, printing := a.stdout.Write(b.Bytes())
			return errors.Join(err, printing)
		},
	}
	a.tableFlags(cmd)
	return cmd
}

// explain writes one line for each field: offset, octets, field, meaning.
func explain(w io.Writer, raw []byte, cfg *meter.Config) error {
	return meter.Explain(raw, cfg, func(n meter.Note) {
		octets := n.Octets
		more := ""
		if len(octets) > 8 {
			octets, more = octets[:8], "…"
		}
		fmt.Fprintf(w, "%04x  %-25s  %s%s", n.Offset, fmt.Sprintf("% x", octets)+more, strings.Repeat("  ", n.Depth), n.Field)
		if n.Meaning != "" {
			fmt.Fprintf(w, ": %s", n.Meaning)
		}
		fmt.Fprintln(w)
	})
}

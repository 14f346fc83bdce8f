package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"github.com/openusm/meter"
)

// maxInput is the most of a pcap file that is read into memory.
const maxInput = 256 << 20

// input returns the octets that the arguments name: "-" or none is standard
// input, one existing file its content, anything else hexadecimal digits. A file
// of packets is as many captures as it has conversations.
func (a *app) input(args []string) (*captures, error) {
	if len(args) == 0 || len(args) == 1 && args[0] == "-" {
		return capture(io.NopCloser(a.stdin))
	}
	if len(args) == 1 {
		f, err := os.Open(args[0])
		if err == nil {
			return capture(source{interruptible(a.ctx, f), f})
		}
		if !errors.Is(err, fs.ErrNotExist) && len(args[0]) < 256 {
			return nil, usageError{err}
		}
	}
	b, ok := unhex(strings.Join(args, " "))
	if !ok {
		return nil, usagef("%q is neither a file nor hexadecimal", strings.Join(args, " "))
	}
	return &captures{[]io.Reader{bytes.NewReader(b)}, io.NopCloser(nil)}, nil
}

// whole is input for what must be known as a whole.
func (a *app) whole(args []string) ([]byte, error) {
	in, err := a.input(args)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if len(in.each) > 1 {
		return nil, usagef("%d conversations, or parts of them, in one capture: decode shows each", len(in.each))
	}
	b, err := io.ReadAll(io.LimitReader(in.each[0], maxInput+1))
	if len(b) > maxInput {
		return nil, usagef("more than %d MiB of input", maxInput>>20)
	}
	return b, err
}

// captures are what a file holds that is to be read one by one, and the file.
type captures struct {
	each []io.Reader
	io.Closer
}

// all has do read each capture; one that fails is told of, and keeps no other from being read.
func (a *app) all(in *captures, do func(io.Reader) error) error {
	if len(in.each) == 1 {
		return do(in.each[0])
	}
	var first error
	some := false
	for i, r := range in.each {
		err := do(r)
		if a.ctx.Err() != nil {
			return a.ctx.Err()
		}
		if err != nil {
			fmt.Fprintf(a.stderr, "warning: conversation %d: %v\n", i+1, err)
			first = cmp.Or(first, err)
		}
		some = some || err == nil || errors.Is(err, meter.ErrPartial)
	}
	if first != nil && some {
		return fmt.Errorf("%w: some conversations", meter.ErrPartial)
	}
	return first
}

// source is a reader of what a file means, and the file.
type source struct {
	io.Reader
	io.Closer
}

// capture returns the octets of a capture: of pcap, of hexadecimal text, or as they are.
func capture(f io.ReadCloser) (*captures, error) {
	b := bufio.NewReaderSize(f, 1<<16)
	head, err := b.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, f.Close())
	}
	if isPcap(head) {
		raw, err := io.ReadAll(io.LimitReader(b, maxInput+1))
		if err == nil && len(raw) > maxInput {
			err = usagef("more than %d MiB of packets", maxInput>>20)
		}
		var each []io.Reader
		if err == nil {
			each, err = conversations(raw)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return &captures{each, f}, nil
	}
	if isHexText(head) {
		return &captures{[]io.Reader{&hexReader{in: b}}, f}, nil
	}
	return &captures{[]io.Reader{b}, f}, nil
}

// isHexText reports whether what a capture begins with is hexadecimal text: lines of digits and
// comments, of which the last may be cut off.
func isHexText(head []byte) bool {
	text := string(head)
	if cut := strings.LastIndexByte(text, '\n'); cut > 0 && len(head) == 4096 {
		text = text[:cut]
	}
	digits := hexDigits(nil, text)
	if len(digits)%2 == 1 && len(head) == 4096 {
		digits = digits[:len(digits)-1]
	}
	_, err := hex.DecodeString(string(digits))
	return err == nil && len(digits) > 0
}

// hexReader reads the octets of hexadecimal text, of which a line may be as long as it likes.
type hexReader struct {
	in      *bufio.Reader
	held    []byte // text whose field is not whole
	comment bool   // the rest of the line is one
	ready   []byte // octets
	odd     []byte // a digit whose octet is not whole
	err     error
}

func (h *hexReader) Read(b []byte) (int, error) {
	for len(h.ready) == 0 {
		if h.err != nil {
			return 0, h.err
		}
		var text string
		text, h.err = h.piece()
		digits := hexDigits(h.odd, text)
		h.odd = append([]byte(nil), digits[len(digits)&^1:]...)
		var err error
		if h.ready, err = hex.AppendDecode(nil, digits[:len(digits)&^1]); err != nil {
			h.err = fmt.Errorf("%w: not hexadecimal: %w", meter.ErrFrame, err)
		}
		if errors.Is(h.err, io.EOF) && len(h.odd) > 0 {
			h.err = fmt.Errorf("%w: an odd number of hexadecimal digits", meter.ErrFrame)
		}
	}
	n := copy(b, h.ready)
	h.ready = h.ready[n:]
	return n, nil
}

// piece returns the next line or, of a long one, as many fields as are there.
func (h *hexReader) piece() (string, error) {
	part, err := h.in.ReadSlice('\n')
	long := errors.Is(err, bufio.ErrBufferFull)
	if long {
		err = nil
	}
	text := string(h.held) + string(part)
	h.held = nil
	if h.comment {
		text = "#" + text
	}
	if h.comment = long && strings.Contains(text, "#"); h.comment || !long {
		return text, err
	}
	if cut := strings.LastIndexFunc(text, between) + 1; cut > 0 {
		text, h.held = text[:cut], []byte(text[cut:])
	}
	return text, nil
}

// between reports what may stand between hexadecimal digits.
func between(r rune) bool { return unicode.IsSpace(r) || r == ':' || r == ',' }

// unhex reads hexadecimal digits between which white space, colons and commas
// may stand, and comments from "#" to the end of the line. It is not ok for
// anything else.
func unhex(text string) ([]byte, bool) {
	b, err := hex.DecodeString(string(hexDigits(nil, text)))
	return b, err == nil && len(b) > 0
}

// hexDigits appends the digits of text, without what stands between them.
func hexDigits(dst []byte, text string) []byte {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for _, field := range strings.FieldsFunc(line, between) {
			field = strings.TrimPrefix(strings.TrimPrefix(field, "0x"), "0X")
			dst = append(dst, field...)
		}
	}
	return dst
}

// isPcap knows a pcap or pcapng file.
func isPcap(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	switch [4]byte(head) {
	case [4]byte{0xD4, 0xC3, 0xB2, 0xA1}, [4]byte{0xA1, 0xB2, 0xC3, 0xD4}, [4]byte{0x4D, 0x3C, 0xB2, 0xA1}, [4]byte{0xA1, 0xB2, 0x3C, 0x4D}, [4]byte{0x0A, 0x0D, 0x0D, 0x0A}:
		return true
	}
	return false
}

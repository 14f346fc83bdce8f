package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/openusm/meter"
)

// maxInput is the most of a pcap file that is read into memory.
const maxInput = 256 << 20

// input returns the octets that the arguments name: "-" or none is standard
// input, one existing file its content, anything else hexadecimal digits.
func (a *app) input(args []string) (io.ReadCloser, error) {
	if len(args) == 0 || len(args) == 1 && args[0] == "-" {
		return capture(io.NopCloser(a.stdin))
	}
	if len(args) == 1 {
		f, err := os.Open(args[0])
		if err == nil {
			return capture(f)
		}
		if !errors.Is(err, fs.ErrNotExist) && len(args[0]) < 256 {
			return nil, usageError{err}
		}
	}
	b, ok := unhex(strings.Join(args, " "))
	if !ok {
		return nil, usagef("%q is neither a file nor hexadecimal", strings.Join(args, " "))
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// whole is input for what must be known as a whole.
func (a *app) whole(args []string) ([]byte, error) {
	in, err := a.input(args)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if len(b) > maxInput {
		return nil, usagef("more than %d MiB of input", maxInput>>20)
	}
	return b, err
}

// source is a reader of what a file means, and the file.
type source struct {
	io.Reader
	io.Closer
}

// capture returns the octets of a capture: of pcap, of hexadecimal text, or as they are.
func capture(f io.ReadCloser) (io.ReadCloser, error) {
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
		var payload []byte
		if err == nil {
			payload, _, err = pcapPayload(raw)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return source{bytes.NewReader(payload), f}, nil
	}
	if isHexText(head) {
		return source{&hexReader{in: b}, f}, nil
	}
	return source{b, f}, nil
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

// hexReader reads the octets of hexadecimal text.
type hexReader struct {
	in    *bufio.Reader
	ready []byte // octets
	odd   []byte // a digit whose octet is not whole
	err   error
}

func (h *hexReader) Read(b []byte) (int, error) {
	for len(h.ready) == 0 {
		if h.err != nil {
			return 0, h.err
		}
		line, err := h.in.ReadString('\n')
		if h.err = err; len(line) > 0 {
			digits := hexDigits(h.odd, line)
			h.odd = append([]byte(nil), digits[len(digits)&^1:]...)
			if h.ready, err = hex.AppendDecode(nil, digits[:len(digits)&^1]); err != nil {
				h.err = fmt.Errorf("%w: not hexadecimal: %w", meter.ErrFrame, err)
			}
		}
		if errors.Is(h.err, io.EOF) && len(h.odd) > 0 {
			h.err = fmt.Errorf("%w: an odd number of hexadecimal digits", meter.ErrFrame)
		}
	}
	n := copy(b, h.ready)
	h.ready = h.ready[n:]
	return n, nil
}

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
		for _, field := range strings.FieldsFunc(line, func(r rune) bool { return unicode.IsSpace(r) || r == ':' || r == ',' }) {
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

// pcapPayload returns what the TCP and UDP packets of a capture carried, one
// after the other and without retransmissions. It is not ok where raw is no pcap or pcapng file.
func pcapPayload(raw []byte) (payload []byte, ok bool, err error) {
	if len(raw) < 4 {
		return nil, false, nil
	}
	var source gopacket.PacketDataSource
	var link gopacket.Decoder
	switch [4]byte(raw) {
	case [4]byte{0xD4, 0xC3, 0xB2, 0xA1}, [4]byte{0xA1, 0xB2, 0xC3, 0xD4}, [4]byte{0x4D, 0x3C, 0xB2, 0xA1}, [4]byte{0xA1, 0xB2, 0x3C, 0x4D}:
		r, err := pcapgo.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, true, err
		}
		source, link = r, r.LinkType()
	case [4]byte{0x0A, 0x0D, 0x0D, 0x0A}:
		r, err := pcapgo.NewNgReader(bytes.NewReader(raw), pcapgo.DefaultNgReaderOptions)
		if err != nil {
			return nil, true, err
		}
		source, link = r, r.LinkType()
	default:
		return nil, false, nil
	}
	next := map[string]uint32{} // by flow: the sequence number that is due
	for {
		data, _, err := source.ReadPacketData()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return payload, true, nil
		}
		if err != nil {
			return payload, true, fmt.Errorf("pcap: %w", err)
		}
		packet := gopacket.NewPacket(data, link, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
		if udp, ok := packet.Layer(layers.LayerTypeUDP).(*layers.UDP); ok {
			payload = append(payload, udp.Payload...)
		}
		if tcp, ok := packet.Layer(layers.LayerTypeTCP).(*layers.TCP); ok && len(tcp.Payload) > 0 {
			flow := packet.NetworkLayer().NetworkFlow().String() + tcp.TransportFlow().String()
			due, known := next[flow]
			if known && int32(tcp.Seq-due) < 0 {
				continue
			}
			next[flow] = tcp.Seq + uint32(len(tcp.Payload))
			payload = append(payload, tcp.Payload...)
		}
	}
}

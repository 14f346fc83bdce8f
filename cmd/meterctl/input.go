package main

import (
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
)

// maxInput is the most that decode and explain read into memory.
const maxInput = 256 << 20

// input returns the octets that the arguments name: "-" or none is standard
// input, one existing file its content, anything else hexadecimal digits.
func (a *app) input(args []string) ([]byte, error) {
	if len(args) == 0 || len(args) == 1 && args[0] == "-" {
		return readAll(a.stdin)
	}
	if len(args) == 1 {
		f, err := os.Open(args[0])
		if err == nil {
			defer f.Close()
			return readAll(f)
		}
		if !errors.Is(err, fs.ErrNotExist) && len(args[0]) < 256 {
			return nil, usageError{err}
		}
	}
	b, ok := unhex(strings.Join(args, " "))
	if !ok {
		return nil, usagef("%q is neither a file nor hexadecimal", strings.Join(args, " "))
	}
	return b, nil
}

// readAll reads a capture: pcap, hexadecimal text, or the octets themselves.
func readAll(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxInput {
		return nil, usagef("more than %d MiB of input", maxInput>>20)
	}
	if payload, ok, err := pcapPayload(raw); ok {
		return payload, err
	}
	if b, ok := unhex(string(raw)); ok {
		return b, nil
	}
	return raw, nil
}

// unhex reads hexadecimal digits between which white space, colons and commas
// may stand, and comments from "#" to the end of the line. It is not ok for
// anything else.
func unhex(text string) ([]byte, bool) {
	var digits []byte
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for _, field := range strings.FieldsFunc(line, func(r rune) bool { return unicode.IsSpace(r) || r == ':' || r == ',' }) {
			field = strings.TrimPrefix(strings.TrimPrefix(field, "0x"), "0X")
			digits = append(digits, field...)
		}
	}
	b := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(b, digits); err != nil || len(b) == 0 {
		return nil, false
	}
	return b, true
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

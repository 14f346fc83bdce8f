package main

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// pcap makes a capture file of raw IP packets.
func pcap(packets ...[]byte) []byte {
	le := binary.LittleEndian
	file := le.AppendUint32(nil, 0xA1B2C3D4)
	file = le.AppendUint16(le.AppendUint16(file, 2), 4)
	file = append(file, make([]byte, 8)...)
	file = le.AppendUint32(le.AppendUint32(file, 65535), 101) // LINKTYPE_RAW
	for _, p := range packets {
		file = append(file, make([]byte, 8)...)
		file = le.AppendUint32(le.AppendUint32(file, uint32(len(p))), uint32(len(p)))
		file = append(file, p...)
	}
	return file
}

// tcpPacket makes an IPv4 packet with a TCP segment.
func tcpPacket(seq uint32, payload []byte) []byte { return tcpFrom(40000, seq, payload) }

// tcpFrom is [tcpPacket] to another port of the reader's.
func tcpFrom(port uint16, seq uint32, payload []byte) []byte {
	be := binary.BigEndian
	p := []byte{0x45, 0}
	p = be.AppendUint16(p, uint16(40+len(payload)))
	p = append(p, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2)
	p = be.AppendUint16(be.AppendUint16(p, 4059), port)
	p = be.AppendUint32(be.AppendUint32(p, seq), 0)
	p = append(p, 0x50, 0x10, 0xFF, 0xFF, 0, 0, 0, 0)
	return append(p, payload...)
}

// compiles builds a program inside the workspace.
func compiles(t *testing.T, program string) {
	t.Helper()
	dir, err := os.MkdirTemp("../..", "readme-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600))
	cmd := exec.Command("go", "vet", ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

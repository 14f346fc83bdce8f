package meter

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]Target{
		"/dev/ttyUSB0": {Scheme: "serial", Address: "/dev/ttyUSB0"},
		"COM3":         {Scheme: "serial", Address: "COM3"},
		"serial:///dev/ttyUSB0?baud=9600&framing=8n1": {Scheme: "serial", Address: "/dev/ttyUSB0", Baud: 9600, Framing: "8N1"},
		"serial://COM3":     {Scheme: "serial", Address: "COM3"},
		"tcp://[::1]:4059":  {Scheme: "tcp", Address: "[::1]:4059"},
		"listen+dlms://:1":  {Scheme: "listen", Address: ":1", Protocol: DLMS},
		"udp://192.0.2.1:1": {Scheme: "udp", Address: "192.0.2.1:1"},
		"sim:dlms":          {Scheme: "sim", Address: "dlms"},
		"capture.hex":       {Scheme: "file", Address: "capture.hex"},
		"-":                 {Scheme: "stdin", Address: "-"},
	} {
		got, err := ParseTarget(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	port := filepath.Join(t.TempDir(), "port")
	if os.Symlink(os.DevNull, port) == nil { // a pseudo terminal has such a link
		got, err := ParseTarget(port)
		require.NoError(t, err)
		require.Equal(t, Target{Scheme: "serial", Address: port}, got)
	}
	for _, bad := range []string{"tcp://host", "http://host:1", "serial:///dev/x?baud=fast", "serial:///dev/x?framing=9Q9", "serial:///dev/x?speed=1", "tcp://:"} {
		_, err := ParseTarget(bad)
		require.Error(t, err, bad)
	}
}

func TestDetect(t *testing.T) {
	for want, heads := range map[Protocol][]string{
		DLMS:     {"\x7E\xA0\x07\x03\x21\x93\x0F\x01\x7E", "\x00\x01\x00\x10\x00\x01\x00\x1f\x60\x1d\xa1\x09\x06\x07\x60\x85\x74\x05\x08\x01\x01\xbe\x10\x04\x0e"},
		MBus:     {"\x68\x03\x03\x68\x53\x01\xBD\x11\x16", "\x10\x5B\x01\x5C\x16", "\xE5"},
		SML:      {"\x1B\x1B\x1B\x1B\x01\x01\x01\x01\x76"},
		P1:       {"/ISk5\\2MT382-1000\r\n\r\n0-0:96.1.1(4B38)\r\n!1234\r\n"},
		IEC62056: {"/ISK5ME162\r\n\x021.8.0(1*kWh)\r\n!\r\n\x03\x00", "\x02F.F(00)\r\n!\r\n\x03\x0d", "\xAF\x3F\x21\x8D\x0A"},
		APDU:     {"\x0F\x00\x00\x26\xEB\x0C\x07\xE7", "\xC4\x01\xC1\x00\x12\x00\x01"},
	} {
		for _, head := range heads {
			got, err := Detect([]byte(head))
			require.NoError(t, err, "%q", head)
			require.Equal(t, want, got, "%q", head)
		}
	}
	for _, unknown := range []string{"", "GET / HTTP/1.1\r\n", "\xFF\xFF\xFF\xFF"} {
		_, err := Detect([]byte(unknown))
		require.ErrorIs(t, err, ErrUnknown, "%q", unknown)
	}
}

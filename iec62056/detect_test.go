package iec62056

import (
	"testing"

	"github.com/openusm/meter/internal/golden"
	"github.com/stretchr/testify/require"
)

func TestDetect(t *testing.T) {
	block := string(framed("1.8.0(1*kWh)\r\n!\r\n"))
	for name, s := range map[string]string{
		"request":                 "/?!\r\n",
		"request after a wake-up": "\x00\x00/?12345678!\r\n",
		"identification":          "/OUM5SIM\r\n",
		"readout":                 "/OUM3SIM\r\n" + block,
		"block":                   block,
		"block without end":       block[:15],
		"readout without frame":   "/OUM3SIM\r\n\r\n1.8.0(1*kWh)\r\nC.1.0(1)\r\n!\r\n",
		"heat meter":              "/SIE32WR5\r\n6.8(0029.055*MWh)6.26(01589.28*m3)0.0(00010213)!\r\n",
		"option":                  "\x06050\r\n",
		"data lines":              "1.8.0(1*kWh)\r\n2.8.0(2*kWh)\r\n",
		"end of a data line":      "8(1*kWh)\r\n2.8.0(2*kWh)\r\n!",
	} {
		require.True(t, Detect([]byte(s)), name)
		b := []byte(s)
		AddParity(b)
		require.True(t, Detect(b), name+" with parity")
	}
	for name, s := range map[string]string{
		"nothing": "", "ACK": "\x06", "a wrong check": block[:len(block)-1] + "\x7F", "text": "hello (world)", "a path": "/usr/bin\r\n", "JSON": "{\"a\":1}\r\n",
		"octets": "\x02\x01\x80\x90\xFF(\x00\x01\x02", "PSEM": "\xEE\x00\x00\x00\x00\x01\x20\x13\x10",
	} {
		require.False(t, Detect([]byte(s)), name)
	}
}

func TestDetectCorpus(t *testing.T) {
	for _, r := range golden.Corpus[row](t, "ansi_iec.jsonl") {
		if r.Protocol == "iec62056-21" {
			b := []byte(r.Text)
			if len(b) == 0 {
				b = golden.Unhex(t, r.Hex)
			}
			require.True(t, Detect(b), r.ID)
		}
	}
}

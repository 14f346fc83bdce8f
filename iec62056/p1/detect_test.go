package p1

import (
	"testing"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/internal/golden"
	"github.com/stretchr/testify/require"
)

func TestDetect(t *testing.T) {
	for _, name := range []string{"v3.txt", "v5.txt", "be.txt", "lu.txt", "se.txt"} {
		b := load(t, name)
		require.True(t, Detect(b), name)
		require.True(t, Detect(b[:len(b)/2]), "half of "+name)
		iec62056.AddParity(b)
		require.True(t, Detect(b), name+" with parity")
	}
	for name, s := range map[string]string{
		"a readout of mode D":       "/OUM3SIM\r\n\r\n1.8.0(1*kWh)\r\nC.1.0(1)\r\n!\r\n",
		"D0 with F":                 "/ESY5Q3DA1004 V3.04\r\n\r\n1-0:0.0.0*255(0273)\r\n1-0:1.8.0*255(00026107.7*kWh)\r\n!\r\n",
		"a heat meter":              "/SIE32WR5\r\n6.8(0029.055*MWh)6.26(01589.28*m3)0.0(00010213)!\r\n",
		"a frame":                   "/OUM5SIM\r\n\x02F.F(0)\r\n!\r\n\x03\x20",
		"an identification":         "/OUM5SIM\r\n",
		"a request":                 "/?!\r\n",
		"a path":                    "/usr/bin/x\n1-0:1.8.0(1)\n",
		"the middle of a telegram":  "1-0:1.8.1(000001.000*kWh)\r\n!\r\n",
		"four characters and lines": "/ABC\r\n1-0:1.8.1(000001.000*kWh)\r\n!\r\n",
	} {
		require.False(t, Detect([]byte(s)), name)
	}
	require.True(t, Detect([]byte("/ABC5X\r\n\r\n1-0:1.8.1(1*kWh)\r\nnoise\x80\r\n!1A2F\r\n")), "a CRC tells")
}

func TestDetectCorpus(t *testing.T) {
	for _, r := range golden.Corpus[row](t, "ansi_iec.jsonl") {
		if r.Protocol == "dsmr" {
			require.True(t, Detect([]byte(r.Text)), r.ID)
		} else if r.Text != "" {
			require.False(t, Detect([]byte(r.Text)), r.ID)
		}
	}
}

package iec62056

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// decodings returns the readings that a recording gives, also of what is left of it.
func decodings(b []byte, each func(obis.Reading)) {
	s := Stream{Conversation: true}
	s.Feed(b)
	var d Decoder
	for {
		in, err := s.Next()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err == nil && in.Message.Kind == 0 {
			for _, r := range d.Decode(in.Readout).Readings {
				each(r)
			}
		}
	}
	for _, r := range d.Decode(Salvage(s.Pending())).Readings {
		each(r)
	}
}

// A readout with a block check character shows nothing good that the meter did not
// send, whichever of its bits was flipped, and wherever it was cut off.
func TestNothingDamagedIsGood(t *testing.T) {
	sent := append([]byte("/LGZ52ZMD120APt.G03\r\n"), framed("F.F(00000000)\r\n0.0.0(12345678)\r\n1.8.0(001846.0*kWh)\r\n1.8.1*12(000012.3*kWh)\r\n1.8.1&12(000001.3*kWh)\r\n"+
		"1.6.1(0.123*kW)(0901161030)\r\n32.7.0(0230.0*V)\r\n!\r\n")...)
	truth := map[string]bool{}
	decodings(sent, func(r obis.Reading) { truth[show(r)] = true })
	require.Len(t, truth, 7)
	check := func(b []byte, what string) {
		decodings(b, func(r obis.Reading) {
			if r.Quality.Validity() == obis.Good && !truth[show(r)] {
				t.Fatalf("%s: %s is good", what, show(r))
			}
		})
	}
	start := bytes.IndexByte(sent, stx)
	at := bytes.Index(sent, []byte("1846"))
	for i := start + 1; i < len(sent); i++ { // the identification has no check, and nothing tells a lost STX from a meter that sends none
		for bit := range 8 {
			one := bytes.Clone(sent)
			one[i] ^= 1 << bit
			check(one, fmt.Sprintf("bit %d of octet %d", bit, i))
		}
		cut := bytes.Clone(sent[:i])
		if i > at {
			cut[at] ^= 1
		}
		check(cut, fmt.Sprintf("cut at %d", i))
	}
}

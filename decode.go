package meter

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/openusm/meter/mbus/wmbus"
	"github.com/openusm/meter/obis"
)

// Decode decodes the messages in b, one after the other, to one result. It
// finds out the protocol where cfg does not name it. What could be decoded is
// returned even beside an error that wraps [ErrPartial]. The result aliases b.
func Decode(b []byte, cfg *Config) (*Result, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("meter: %w: no octets", ErrFrame)
	}
	protocol := cfg.Protocol
	if protocol == "" || protocol == Auto {
		var err error
		if protocol, err = Detect(b); err != nil {
			return nil, err
		}
	}
	switch protocol {
	case DLMS:
		return decodeDLMS(b, cfg)
	case APDU:
		return decodeAPDU(b, cfg)
	case IEC62056:
		return decodeIEC62056(b, cfg)
	case P1:
		return decodeP1(b, cfg)
	case SML:
		return decodeSML(b, cfg)
	case WMBus:
		return decodeWMBus(b, cfg)
	case C1218:
		return decodeC1218(b, cfg)
	case C1222:
		return decodeC1222(b, cfg)
	case C1219:
		return decodeC1219(b, cfg)
	case OSGP:
		return decodeOSGP(b, cfg)
	case MBus:
		return decodeMBus(b, cfg)
	}
	return nil, fmt.Errorf("meter: decode %s: %w", protocol, ErrNotSupported)
}

// DecodeText decodes one line of a log: the hexadecimal digits of a frame, or
// a line of a radio receiver (rtl-wmbus, CUL).
func DecodeText(line string, cfg *Config) (*Result, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(line), ""))
	if err == nil && cfg.Protocol != WMBus {
		return Decode(b, cfg)
	}
	reception, radio := wmbus.ParseLine([]byte(line))
	if radio != nil {
		return nil, fmt.Errorf("meter: %w: the line is neither hexadecimal nor that of a radio receiver", ErrFrame)
	}
	return decodeWMBus(reception.Frame, cfg)
}

// choose keeps the readings that match one of the patterns, where there are
// any, and says which patterns match none.
func (r *Result) choose(patterns []obis.Pattern) (*Result, error) {
	if len(patterns) == 0 {
		return r, nil
	}
	matched := make([]bool, len(patterns))
	kept := r.Readings[:0]
	for _, x := range r.Readings {
		keep := false
		for i, p := range patterns {
			if p.Match(x.Code) {
				keep, matched[i] = true, true
			}
		}
		if keep {
			kept = append(kept, x)
		}
	}
	r.Readings = kept
	var missing []string
	for i, p := range patterns {
		if !matched[i] {
			missing = append(missing, p.String())
		}
	}
	if missing == nil {
		return r, nil
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("meter: %w: %s", ErrNotSupported, strings.Join(missing, ", "))
	}
	return r, fmt.Errorf("meter: %w: the meter has no %s", ErrPartial, strings.Join(missing, ", "))
}

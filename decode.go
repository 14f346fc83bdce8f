package meter

import (
	"encoding/hex"
	"fmt"
	"strings"

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
	case IEC62056, P1:
		return decodeIEC62056(b, cfg)
	case MBus:
		return decodeMBus(b, cfg)
	}
	return nil, fmt.Errorf("meter: decode %s: %w", protocol, ErrNotSupported)
}

// DecodeText decodes one line of a log: the hexadecimal digits of a frame.
func DecodeText(line string, cfg *Config) (*Result, error) {
	b, err := hex.DecodeString(strings.Join(strings.Fields(line), ""))
	if err != nil {
		return nil, fmt.Errorf("meter: %w: the line is not hexadecimal", ErrFrame)
	}
	return Decode(b, cfg)
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

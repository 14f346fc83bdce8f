package coap

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/openusm/meter/internal/jsontext"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
)

// ParseError says which record of a SenML pack could not be read, and which of its fields.
type ParseError struct {
	Record int
	Field  string
	Err    error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("coap: SenML record %d: %s: %v", e.Record, e.Field, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

// fields is one record as it stands in a pack, in either form.
type fields struct {
	baseName, baseUnit, name, unit   []byte
	text, data                       []byte
	baseTime, baseValue, value, time obis.Value
	has                              present
	truth                            bool
	rounded                          bool // a number is the nearest float to what was written
}

// present says which fields a record has, of those whose value does not tell.
type present uint8

const (
	hasBaseName present = 1 << iota
	hasBaseUnit
	hasUnit
	hasText
	hasTruth
	hasData
	hasSum
)

// ParseSenML reads a SenML pack in JSON. Names that are OBIS codes, as this
// package writes them, become codes, others raw ids; values of one name at
// several times a profile. Unread names the records that say something else,
// such as sums, units that the model does not have, times that count from when
// the pack was received.
func ParseSenML(doc []byte) (d *mapping.Data, unread []string, err error) {
	r := jsontext.NewReader(append([]byte(nil), doc...))
	p := packReader{records: make([]resolved, 0, len(doc)/64)}
	for r.Open('['); r.More(']'); {
		var f fields
		for r.Open('{'); r.More('}'); {
			label := r.Key()
			err := f.readJSON(r, label)
			if err == nil {
				err = r.Err()
			}
			if err != nil {
				return nil, nil, &ParseError{p.count, string(label), err}
			}
		}
		if err := p.add(&f); err != nil {
			return nil, nil, err
		}
	}
	if !r.End() {
		return nil, nil, fmt.Errorf("%w: %w", errSenML, r.Err())
	}
	return p.finish()
}

// readJSON reads the value of a label.
func (f *fields) readJSON(r *jsontext.Reader, label []byte) (err error) {
	if r.Null() {
		return nil
	}
	switch string(label) {
	case "bn":
		f.baseName = r.String()
		f.has |= hasBaseName
	case "bu":
		f.baseUnit = r.String()
		f.has |= hasBaseUnit
	case "n":
		f.name = r.String()
	case "u":
		f.unit = r.String()
		f.has |= hasUnit
	case "vs":
		f.text = r.String()
		f.has |= hasText
	case "bt":
		f.baseTime, err = f.readNumber(r)
	case "bv":
		f.baseValue, err = f.readNumber(r)
	case "v":
		f.value, err = f.readNumber(r)
	case "t":
		f.time, err = f.readNumber(r)
	case "s", "bs":
		_, err = f.readNumber(r)
		f.has |= hasSum
	case "vb":
		f.truth = r.Bool()
		f.has |= hasTruth
	case "bver":
		return version(r.Int(0, math.MaxInt64))
	case "vd":
		text := r.String()
		for len(text) > 0 && text[len(text)-1] == '=' {
			text = text[:len(text)-1]
		}
		f.data, err = base64.RawURLEncoding.AppendDecode(nil, text)
		f.has |= hasData
	default:
		if err := unknownLabel(string(label)); err != nil {
			return err
		}
		r.Raw()
	}
	return err
}

// unknownLabel refuses the labels that a reader must understand.
func unknownLabel(label string) error {
	if strings.HasSuffix(label, "_") {
		return errors.New("a label that must be understood")
	}
	return nil
}

// maxVersion is the version of SenML that RFC 8428 describes.
const maxVersion = 10

// version refuses the versions whose features are not known.
func version(n int64) error {
	if n > maxVersion && n != secondaryVersion {
		return fmt.Errorf("version %d, want at most %d, or %d", n, maxVersion, secondaryVersion)
	}
	return nil
}

func (f *fields) readNumber(r *jsontext.Reader) (obis.Value, error) {
	text := r.Number()
	if text == nil {
		return obis.Value{}, r.Err()
	}
	if v, ok := obis.ParseDecimal(text); ok {
		return v, nil
	}
	// What the model has no room for is the nearest float, which is all of it where its digits are those of the float.
	n, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return obis.Value{}, err
	}
	f.rounded = f.rounded || digits(text) != digits(strconv.AppendFloat(nil, n, 'f', -1, 64))
	return obis.Float64(math.Float64bits(n), 0), nil
}

// digits returns the digits of a number without the zeros around them.
func digits(number []byte) string {
	text := string(number)
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		text = text[:i]
	}
	return strings.Trim(strings.NewReplacer(".", "", "-", "").Replace(text), "0")
}

package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/result"
)

// parquetRow is one value: a reading, or a cell of a profile. A decimal number
// is exactly mantissa × 10^exponent, and value the nearest binary one.
type parquetRow struct {
	Meter    string     `parquet:"meter,dict"`
	Profile  string     `parquet:"profile,dict"` // the code of the profile, "" for readings
	OBIS     string     `parquet:"obis,dict"`
	RawID    string     `parquet:"raw_id,dict"`
	Name     string     `parquet:"name,dict"`
	Mantissa *int64     `parquet:"mantissa,optional"`
	Exponent *int32     `parquet:"exponent,optional"`
	Value    *float64   `parquet:"value,optional"`
	Text     *string    `parquet:"text,optional"`
	Unit     string     `parquet:"unit,dict"`
	Start    *time.Time `parquet:"start,optional,timestamp(microsecond)"`
	Time     *time.Time `parquet:"time,optional,timestamp(microsecond)"`
	Local    string     `parquet:"local_time"`                               // the meter's own time where it is no instant
	Received *time.Time `parquet:"received,optional,timestamp(millisecond)"` // by our clock
	Quality  string     `parquet:"quality,dict"`
	Status   *string    `parquet:"status,optional,dict"` // the meter's own word
	Rule     string     `parquet:"rule,dict"`
}

func toParquet(list []*mapping.Data, _ io.Reader) ([]byte, []mapping.Loss, error) {
	var out bytes.Buffer
	var lost []mapping.Loss
	w := parquet.NewGenericWriter[parquetRow](&out, parquet.Compression(&parquet.Zstd))
	for _, d := range list {
		rows := parquetRows(d)
		if _, err := w.Write(rows); err != nil {
			return nil, nil, err
		}
		var own []mapping.Loss
		for i := range d.Readings {
			if r := &d.Readings[i]; !r.Start.IsZero() {
				if _, ok := r.Start.Instant(d.Clock); !ok {
					own = append(own, mapping.Loss{Index: i, Reason: "the start of its interval, which is no instant"})
				}
			}
		}
		for i := range d.Events {
			own = append(own, mapping.Loss{Part: mapping.Event, Index: i, Reason: "this target has no events"})
		}
		lost = append(lost, d.Gather(own)...)
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	return out.Bytes(), lost, nil
}

func parquetRows(d *mapping.Data) (rows []parquetRow) {
	for i := range d.Readings {
		r := &d.Readings[i]
		row := parquetValue(d, r.Value, r.Time)
		row.OBIS, row.RawID, row.Name = r.Code.String(), obis.RawIDText(r.RawID), obis.Describe(r.Code)
		row.Unit, row.Rule = r.Unit.String(), r.Rule.String()
		if len(r.UnitText) > 0 {
			row.Unit = result.Latin1(obis.Text(r.UnitText))
		}
		row.of(r.Quality, obis.Quality{})
		row.Start = instant(r.Start, d.Clock)
		rows = append(rows, row)
	}
	for _, p := range d.Profiles {
		for c := range p.Columns {
			col := &p.Columns[c]
			name := obis.Describe(col.Code)
			for i := range p.Len() {
				row := parquetValue(d, col.At(i), p.Times[i])
				row.Profile, row.OBIS, row.RawID, row.Name = p.Code.String(), col.Code.String(), obis.RawIDText(col.RawID), name
				row.Unit, row.Rule = col.Unit.String(), col.Rule.String()
				row.of(col.Quality.At(i), p.Quality.At(i))
				if i < len(p.Starts) {
					row.Start = instant(p.Starts[i], d.Clock)
				}
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// of gives the row a quality of its own, and that of what it is part of.
func (row *parquetRow) of(own, whole obis.Quality) {
	row.Quality = (own.Flags | whole.Flags).String()
	if raw := cmp.Or(own.Raw, whole.Raw); raw != 0 {
		text := fmt.Sprintf("0x%x", raw)
		row.Status = &text
	}
}

// instant returns the moment that t names, nil where it names none.
func instant(t obis.Time, clock obis.Clock) *time.Time {
	at, ok := t.Instant(clock)
	if !ok {
		return nil
	}
	return &at
}

func parquetValue(d *mapping.Data, v obis.Value, t obis.Time) (row parquetRow) {
	row.Meter = d.Meter.ID
	if row.Time = instant(t, d.Clock); row.Time == nil {
		row.Local = t.String()
	}
	if !d.Received.IsZero() {
		row.Received = &d.Received
	}
	switch v.Kind() {
	case obis.KindNone:
		return row
	case obis.KindInt, obis.KindUint, obis.KindFloat32, obis.KindFloat64:
		if m, exp, ok := v.Decimal(); ok {
			e := int32(exp)
			row.Mantissa, row.Exponent = &m, &e
		}
		f, _ := v.Float64()
		row.Value = &f
	case obis.KindText:
		text := result.Latin1(v)
		row.Text = &text
	default:
		text := v.String()
		row.Text = &text
	}
	return row
}

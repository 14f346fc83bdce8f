package sml

import (
	"fmt"

	"github.com/openusm/meter/obis"
)

// ProfileResponse is the body of a GetProfilePackResponse, or of a
// GetProfileListResponse, which has one row. Its slices alias the input.
type ProfileResponse struct {
	ServerID  []byte
	Time      obis.Time // when the meter made the response
	Path      [][]byte  // parameterTreePath: what was asked for, usually one OBIS code
	Profile   *obis.Profile
	RawData   []byte
	Signature []byte
}

// Profile reads the body of a GetProfilePackResponse or GetProfileListResponse.
// Status words are kept in the quality of the rows.
func (m Message) Profile() (p ProfileResponse, err error) {
	c := cursor{b: m.Body, base: m.offset, layer: m.Tag.String()}
	switch m.Tag {
	case TagGetProfilePackRes:
		c.profileHead(&p, 8)
		c.pack(p.Profile)
	case TagGetProfileListRes:
		c.profileHead(&p, 9)
		c.row(p.Profile)
	default:
		c.fail("messageBody", 0, fmt.Errorf("this is a %v", m.Tag))
	}
	p.RawData = c.octets("rawdata")
	p.Signature = c.octets("profileSignature")
	if c.err != nil {
		return ProfileResponse{}, c.err
	}
	for i := range p.Profile.Columns {
		p.Profile.Columns[i].Doubt()
	}
	return p, nil
}

// profileHead reads what both responses begin with.
func (c *cursor) profileHead(p *ProfileResponse, elements int) {
	c.list("body", elements)
	p.ServerID = c.octets("serverId")
	p.Time = c.time("actTime")
	period, _ := c.unsigned("regPeriod")
	for range c.list("parameterTreePath", -1) {
		if id := c.octets("parameterTreePath"); c.err == nil {
			p.Path = append(p.Path, id)
		}
	}
	p.Profile = &obis.Profile{Period: int32(period)}
	if len(p.Path) > 0 && len(p.Path[0]) == 6 {
		p.Profile.Code = obis.Code(p.Path[0])
	}
}

// pack reads a header of columns and rows of values.
func (c *cursor) pack(p *obis.Profile) {
	for range c.list("headerList", -1) {
		c.list("profObjHeaderEntry", 3)
		p.Columns = append(p.Columns, c.column())
		if c.err != nil {
			return
		}
	}
	for range c.list("periodList", -1) {
		at := c.off
		c.list("profObjPeriodEntry", 4)
		t := c.time("valTime")
		status, _ := c.unsigned("status")
		n := c.list("valueList", -1)
		if c.err == nil && n != len(p.Columns) {
			c.fail("valueList", at, fmt.Errorf("%d values for %d columns", n, len(p.Columns)))
		}
		if c.err != nil {
			return
		}
		for i := range n {
			c.list("valueEntry", 2)
			c.cell(&p.Columns[i])
			c.octets("valueSignature")
		}
		c.octets("periodSignature")
		if c.err != nil {
			return
		}
		addRow(p, t, status)
	}
}

// row reads the single row of a GetProfileListResponse.
func (c *cursor) row(p *obis.Profile) {
	t := c.time("valTime")
	status, _ := c.unsigned("status")
	for range c.list("periodList", -1) {
		c.list("periodEntry", 5)
		p.Columns = append(p.Columns, c.column())
		c.cell(&p.Columns[len(p.Columns)-1])
		c.octets("valueSignature")
		if c.err != nil {
			return
		}
	}
	if c.err == nil {
		addRow(p, t, status)
	}
}

func (c *cursor) column() obis.Column {
	name := c.octets("objName")
	unit, hasUnit := c.unsigned("unit")
	col := obis.Column{RawID: name, Exp: c.scaler()}
	if len(name) == 6 {
		col.Code, col.Rule = obis.Code(name), obis.RuleTransmitted
	}
	if hasUnit {
		col.Unit = unitOf(unit)
	}
	return col
}

func (c *cursor) cell(col *obis.Column) {
	v, _ := c.value("value", col.Exp)
	if c.err == nil {
		col.Append(v)
	}
}

func addRow(p *obis.Profile, t obis.Time, status uint64) {
	if status != 0 {
		p.Quality.Add(p.Len(), obis.Quality{Raw: status, Kind: obis.StatusVendor})
	}
	p.Times = append(p.Times, t)
}

package dlms

import (
	"context"
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/obis"
)

// The short names that every server with SN referencing has.
const (
	baseAssociationSN = 0xFA00
	// An attribute lies eight further than the one before it.
	attributeStep = 8
)

// methodOffsets are where the methods of classes begin, counted from the base
// name: those of the classes that meters with short names have. Methods follow
// each other in steps of eight.
var methodOffsets = map[cosem.Class]uint16{
	cosem.ClassRegister: 0x28, cosem.ClassExtendedRegister: 0x38, cosem.ClassDemandRegister: 0x48,
	cosem.ClassProfileGeneric: 0x58, cosem.ClassClock: 0x60, cosem.ClassScriptTable: 0x20,
}

// replyToHLS is where Association SN has the method that proves the secret.
const replyToHLS = 0x58

// shortName returns the short name of an attribute.
func (c *Client) shortName(ctx context.Context, a cosem.Attribute) (uint16, error) {
	if a.Class == cosem.ClassAssociationSN || a.Class == cosem.ClassAssociationLN {
		return baseAssociationSN + uint16(a.Index-1)*attributeStep, nil
	}
	base, err := c.baseName(ctx, a.Class, a.Name)
	if err != nil {
		return 0, fmt.Errorf("dlms: %v: %w", a, err)
	}
	return base + uint16(a.Index-1)*attributeStep, nil
}

func (c *Client) baseName(ctx context.Context, class cosem.Class, name obis.Code) (uint16, error) {
	if _, err := c.readObjects(ctx); err != nil {
		return 0, err
	}
	for _, i := range c.byName[name] {
		if c.objects[i].Class == class {
			return c.objects[i].BaseName, nil
		}
	}
	return 0, errShortName
}

// getSN reads one attribute by its short name.
func (c *Client) getSN(ctx context.Context, a cosem.Attribute, s *cosem.Selection) (cosem.Data, error) {
	name, err := c.shortName(ctx, a)
	if err != nil {
		return cosem.Data{}, err
	}
	v := apdu.Variable{Kind: apdu.VariableName, Name: name}
	if s != nil {
		v.Kind, v.Selection = apdu.VariableParameterized, s
	}
	d, err := c.readVariable(ctx, v)
	if err != nil {
		return cosem.Data{}, fmt.Errorf("dlms: %v: %w", a, err)
	}
	return d, nil
}

// readVariable reads one variable, block by block where it is long.
func (c *Client) readVariable(ctx context.Context, v apdu.Variable) (cosem.Data, error) {
	var raw []byte
	for number := uint32(1); ; number++ {
		p, err := c.request(ctx, apdu.ReadRequest{List: []apdu.Variable{v}})
		if err != nil {
			return cosem.Data{}, err
		}
		response, ok := p.(apdu.ReadResponse)
		if !ok || len(response.List) != 1 {
			return cosem.Data{}, unexpected(p, "read-response of one item")
		}
		switch item := response.List[0]; item.Kind {
		case apdu.ReadData:
			return item.Data.Clone(), nil
		case apdu.ReadError:
			return cosem.Data{}, item.Code
		case apdu.ReadBlock:
			if item.Number != number || len(raw)+len(item.Raw) > maxLong {
				return cosem.Data{}, fmt.Errorf("block %d where %d was expected: %w", item.Number, number, ErrProtocol)
			}
			raw = append(raw, item.Raw...)
			if item.Last {
				return longRead(raw)
			}
			v = apdu.Variable{Kind: apdu.VariableBlockNumber, Block: apdu.Block{Number: number}}
		default:
			return cosem.Data{}, unexpected(p, "data")
		}
	}
}

// longRead reads the list of one result that the blocks of a long answer hold.
func longRead(raw []byte) (cosem.Data, error) {
	p, err := parse(append([]byte{apdu.TagReadResponse}, raw...))
	if err != nil {
		return cosem.Data{}, err
	}
	list := p.(apdu.ReadResponse).List
	if len(list) != 1 {
		return cosem.Data{}, fmt.Errorf("%d results where one was asked for: %w", len(list), ErrProtocol)
	}
	if list[0].Kind != apdu.ReadData {
		return cosem.Data{}, list[0].Code
	}
	return list[0].Data, nil
}

// setSN writes one attribute by its short name.
func (c *Client) setSN(ctx context.Context, a cosem.Attribute, d cosem.Data) error {
	name, err := c.shortName(ctx, a)
	if err != nil {
		return err
	}
	return c.writeVariable(ctx, name, d)
}

// actionSN invokes a method by writing to its short name.
func (c *Client) actionSN(ctx context.Context, m cosem.Method, parameters *cosem.Data) error {
	base, err := c.baseName(ctx, m.Class, m.Name)
	if err != nil {
		return fmt.Errorf("dlms: %v: %w", m, err)
	}
	offset, ok := methodOffsets[m.Class]
	if !ok {
		return fmt.Errorf("dlms: %v: %w", m, errShortName)
	}
	d := cosem.Int8(0)
	if parameters != nil {
		d = *parameters
	}
	return c.writeVariable(ctx, base+offset+uint16(m.Index-1)*attributeStep, d)
}

func (c *Client) writeVariable(ctx context.Context, name uint16, d cosem.Data) error {
	p, err := c.request(ctx, apdu.WriteRequest{List: []apdu.Variable{{Kind: apdu.VariableName, Name: name}}, Data: []cosem.Data{d}})
	if err != nil {
		return err
	}
	response, ok := p.(apdu.WriteResponse)
	if !ok || len(response.List) != 1 {
		return unexpected(p, "write-response of one item")
	}
	if w := response.List[0]; w.Kind != 0 {
		return fmt.Errorf("dlms: short name 0x%04x: %w", name, w.Code)
	}
	return nil
}

// proveSN invokes reply_to_HLS_authentication, which in SN referencing is read with its parameter.
func (c *Client) proveSN(ctx context.Context, proof cosem.Data) (*cosem.Data, error) {
	d, err := c.readVariable(ctx, apdu.Variable{
		Kind: apdu.VariableParameterized, Name: baseAssociationSN + replyToHLS, Selection: &cosem.Selection{Selector: 1, Parameters: proof},
	})
	return &d, err
}

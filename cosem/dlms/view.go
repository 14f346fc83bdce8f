package dlms

import (
	"context"
	"errors"
	"fmt"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/obis"
)

// View reads the attributes of an object that a view holds. An attribute that
// the meter refuses keeps its value in the view, and is in the error.
func (c *Client) View(ctx context.Context, name obis.Code, v cosem.View) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view(ctx, name, v)
}

func (c *Client) view(ctx context.Context, name obis.Code, v cosem.View) error {
	var list []apdu.Get
	for _, index := range cosem.Attributes(v) {
		list = append(list, apdu.Get{Attribute: cosem.Attribute{Class: v.Class(), Name: name, Index: index}})
	}
	results, err := c.getList(ctx, list)
	errs := []error{err}
	for i, r := range results {
		a := list[i].Attribute
		if err := r.refusal(); err != nil {
			errs = append(errs, fmt.Errorf("dlms: %v: %w", a, err))
			continue
		}
		errs = append(errs, cosem.SetAttribute(v, a.Index, r.Data))
	}
	return errors.Join(errs...)
}

// Attribute returns the attribute that a reading of [Client.Read] came from. Its
// class is zero for objects that the meter does not list.
func (c *Client) Attribute(r obis.Reading) (a cosem.Attribute) {
	if len(r.RawID) != len(a.Name)+1 {
		return cosem.Attribute{Name: r.Code}
	}
	a.Name, a.Index = obis.Code(r.RawID), int8(r.RawID[len(a.Name)])
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range c.byName[a.Name] {
		if _, ok := cosem.RegisterAttributes(c.objects[i].Class); ok {
			a.Class = c.objects[i].Class
			break
		}
	}
	return a
}

package site_test

import (
	"context"
	"fmt"
	"time"

	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// A face shows what a meter said, each time that something is new.
func ExampleSite() {
	s := site.New(nil)
	_ = s.Add("house", obis.Meter{Serial: "12345678"})
	said := func(wh int64) *mapping.Data {
		return &mapping.Data{Readings: []obis.Reading{{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(wh, 0)}}}
	}
	_ = s.Put("house", said(1000), site.Stamp{Job: "poll", Until: time.Now().Add(time.Minute)})

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for c := range s.Watch(ctx) {
		for _, i := range c.Set {
			r := c.Data.Readings[i]
			fmt.Println(c.Meter, r.Code, r.Value, r.Unit)
		}
		cancel() // once is enough here
	}
	// Output: house 1-0:1.8.0*255 1000 Wh
}

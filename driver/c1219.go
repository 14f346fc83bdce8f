package driver

import (
	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/ansic12/osgp"
	"github.com/openusm/meter/ansic12/receive"
	"github.com/openusm/meter/ansic12/tables"
	"github.com/openusm/meter/result"
)

// c1219Driver reads the octets of one table, which Config.C12 names.
func c1219Driver() Driver {
	return Driver{
		Protocol: C1219,
		Reader:   c12Reading(C1219, receive.Table),
		Explainer: func(cfg *Config, note func(Note)) (Explainer, error) {
			device := tables.Bare(tables.Config{})
			if len(cfg.C12.Table0) > 0 {
				var err error
				if device, err = tables.NewDevice(cfg.C12.Table0); err != nil {
					return nil, err
				}
			}
			return explains{note, whole(func(b []byte, note fieldNote) error { return device.Explain(cfg.C12.Table, b, note) }), nil}, nil
		},
	}
}

// osgpDriver reads application messages of OSGP (ETSI GS OSG 001).
func osgpDriver() Driver {
	return Driver{
		Protocol: OSGP,
		Reader:   c12Reading(OSGP, receive.OSGP),
		Explainer: func(_ *Config, note func(Note)) (Explainer, error) {
			var asked *osgp.Request
			return explains{note, func(b []byte, note fieldNote) (int, error) {
				m, err := osgp.Explain(b, asked, note)
				if asked = m.Request; m.Response != nil {
					asked = nil
				}
				return m.Length, err
			}, nil}, nil
		},
	}
}

// tableSource is what C12.19 knows of a reading beside the model.
type tableSource struct{ ansic12.Source }

func (*tableSource) Clone(list []Source) int { return len(result.Copies[*tableSource](list)) }

func appendC12Sources(dst []Source, list []ansic12.Source) []Source {
	all := make([]tableSource, len(list))
	for i := range list {
		all[i].Source = list[i]
		dst = append(dst, &all[i])
	}
	return dst
}

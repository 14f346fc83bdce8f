package meter

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/obis"
)

// Face shows the readings of a meter, whatever protocol it speaks, to one kind
// of actor.
type Face interface {
	// Update replaces what is shown, and returns what cannot be shown.
	Update(r *Result) (lost []string)
	// Serve serves one connection until it ends or ctx does. Several
	// connections may be served at once.
	Serve(ctx context.Context, rw io.ReadWriteCloser) error
}

// Faces returns the names of the faces.
func Faces() []string { return []string{"dlms", "iec61850"} }

// NewFace returns a face by its name: "dlms" is a logical device (number 1) of a
// DLMS/COSEM server, which clients may read as cfg's keys and password allow;
// "iec61850" is an IED that MMS clients read.
func NewFace(name string, cfg *Config) (Face, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	switch name {
	case "dlms":
		return newDLMSFace(cfg)
	case "iec61850":
		return &iedFace{cfg: cfg}, nil
	default:
		return nil, fmt.Errorf("meter: no face %q: one of %s", name, strings.Join(Faces(), ", "))
	}
}

func newDLMSFace(cfg *Config) (Face, error) {
	access, err := dlmsAccess(cfg)
	if err != nil {
		return nil, err
	}
	device := &dlms.Exposed{}
	server, err := dlms.NewServer(&dlms.ServerConfig{
		Link: dlms.LinkWrapper, Devices: map[uint16]dlms.Device{dlms.DefaultServer: device}, Access: access, Trace: cfg.Trace, Logger: cfg.Logger,
	})
	return &dlmsFace{device, server}, err
}

type dlmsFace struct {
	device *dlms.Exposed
	server *dlms.Server
}

func (f *dlmsFace) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	return f.server.Serve(ctx, rw)
}

func (f *dlmsFace) Update(r *Result) (lost []string) {
	f.device.Update(r.Meter, r.Readings, r.Profiles)
	seen := map[string]bool{}
	for i := range r.Readings {
		x := &r.Readings[i]
		switch {
		case !x.Code.Valid():
			lost = append(lost, x.ID()+": no OBIS code")
		case seen[x.ID()]:
			lost = append(lost, x.ID()+": the code is there already")
		case !x.Time.IsZero() && x.Unit == obis.UnitUnknown && x.Value.Kind() != obis.KindTime:
			lost = append(lost, x.ID()+": its time") // an object of class data has none
		}
		seen[x.ID()] = true
	}
	return lost
}

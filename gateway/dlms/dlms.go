// Package dlms shows a meter, whatever protocol it speaks, as a logical device of
// a DLMS/COSEM server, which the clients read that its accesses let in.
package dlms

import (
	"context"
	"io"
	"slices"

	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/result"
)

// Face is a meter as logical device 1. It is safe for use by several goroutines.
type Face struct {
	device *dlms.Exposed
	server *dlms.Server
}

// New returns a face for the clients of cfg's accesses; its devices are not used.
// Where one access needs a key or a password, those that need neither see the
// device's name and clock alone.
func New(cfg *dlms.ServerConfig) (*Face, error) {
	own := *cfg
	device := &dlms.Exposed{Secured: slices.ContainsFunc(own.Access, func(a dlms.Access) bool {
		return a.Security != nil || a.Auth != apdu.MechanismNone
	})}
	own.Devices = map[uint16]dlms.Device{dlms.DefaultServer: device}
	server, err := dlms.NewServer(&own)
	return &Face{device, server}, err
}

// Serve serves one connection until it ends or ctx does. Several connections may
// be served at once.
func (f *Face) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	return f.server.Serve(ctx, rw)
}

// Update replaces what is shown, and returns what cannot be shown.
func (f *Face) Update(r *result.Result) (lost []string) {
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

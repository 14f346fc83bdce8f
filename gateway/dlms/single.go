package dlms

import (
	"context"
	"io"
	"slices"

	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/mapping"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/result"
)

// Single is one meter as logical device 1, whose connections somebody else accepts. It is
// safe for use by several goroutines.
type Single struct {
	device *dlms.Exposed
	server *dlms.Server
}

// NewSingle returns a face for the clients of cfg's accesses; its devices are not used.
// Where one access needs a key or a password, those that need neither see the
// device's name and clock alone.
func NewSingle(cfg *dlms.ServerConfig) (*Single, error) {
	own := *cfg
	device := &dlms.Exposed{Secured: slices.ContainsFunc(own.Access, isSecured)}
	own.Devices = map[uint16]dlms.Device{dlms.DefaultServer: device}
	server, err := dlms.NewServer(&own)
	return &Single{device, server}, err
}

// Serve serves one connection until it ends or ctx does. Several connections may
// be served at once.
func (f *Single) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	return f.server.Serve(ctx, rw)
}

// Update replaces what is shown, and returns what cannot be shown.
func (f *Single) Update(r *result.Result) (lost []string) {
	f.device.Update(r.Meter, r.Readings, r.Profiles)
	for _, l := range lossesOf(r) {
		lost = append(lost, l.String())
	}
	return lost
}

func lossesOf(r *result.Result) (lost []mapping.Loss) {
	d := &mapping.Data{Readings: r.Readings}
	seen := map[obis.Code]bool{}
	for i := range r.Readings {
		x := &r.Readings[i]
		l := mapping.Loss{Index: i, Flags: x.Quality.Flags &^ (obis.Invalid | obis.Missing)} // these show as no value
		switch {
		case !x.Code.Valid():
			l.Reason = "no OBIS code"
		case seen[x.Code]:
			l.Reason = "the code is there already"
		case !x.Time.IsZero() && x.Unit == obis.UnitUnknown && x.Value.Kind() != obis.KindTime:
			l.Reason = "its time" // an object of class data has none
		}
		if seen[x.Code] = true; l.Reason != "" || l.Flags != 0 {
			lost = append(lost, l)
		}
		if !x.Start.IsZero() {
			lost = append(lost, mapping.Loss{Index: i, Reason: "the start of its interval"})
		}
		if x.Unit > lastUnit {
			lost = append(lost, mapping.Loss{Index: i, Reason: "its unit " + x.Unit.String() + ", which DLMS does not have"})
		}
	}
	for i, p := range r.Profiles {
		lost = append(lost, losses(i, p)...)
	}
	for i := range r.Events {
		lost = append(lost, mapping.Loss{Part: mapping.Event, Index: i, Flags: r.Events[i].Quality.Flags, Reason: "this target has no events"})
	}
	return d.Gather(lost)
}

// lastUnit is the last of the units of the Blue Book.
const lastUnit = 255

func losses(i int, p *obis.Profile) (lost []mapping.Loss) {
	lose := func(rows int, f obis.Flags, reason string) {
		lost = append(lost, mapping.Loss{Part: mapping.Profile, Index: i, Rows: rows, Flags: f, Reason: reason})
	}
	if p == nil || !p.Code.Valid() {
		lose(0, 0, "no OBIS code")
		return lost
	}
	if len(p.Starts) > 0 {
		lose(len(p.Starts), 0, "the starts of their intervals")
	}
	rows, flags := 0, obis.Flags(0)
	for row := range p.Times {
		f := p.Quality.At(row).Flags
		for c := range p.Columns {
			f |= p.Columns[c].Quality.At(row).Flags
		}
		if f != 0 {
			rows++
			flags |= f
		}
	}
	if rows > 0 {
		lose(rows, flags, "")
	}
	for c := range p.Columns {
		if u := p.Columns[c].Unit; u > lastUnit {
			lose(0, 0, "the unit "+u.String()+" of a column, which DLMS does not have")
		}
	}
	return lost
}

package driver

import (
	"context"
	"time"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/obis"
)

// iecBackend is a conversation by IEC 62056-21.
type iecBackend struct {
	*iec62056.Client
	cfg    *Config
	reader iecReader
}

func iecSession(client *iec62056.Client, cfg *Config) Session {
	return &meterSession{backend: &iecBackend{Client: client, cfg: cfg}, protocol: IEC62056, cfg: cfg, err: iecError}
}

// Meter is what the sign-on says of the meter.
func (b *iecBackend) Meter(context.Context) (obis.Meter, error) {
	return iec62056.Readout{Identification: b.Identification()}.Meter(), nil
}

func (b *iecBackend) Read(ctx context.Context, _ []obis.Pattern, into *Result) error {
	readout, err := b.Readout(ctx)
	if err != nil {
		return err
	}
	r := &Result{Clock: b.cfg.Clock}
	b.reader.readout(readout, r)
	*into = *r.Clone() // the readout is valid until the next call only
	return nil
}

// loadProfile is the load profile that VDEW meters have.
var loadProfile = obis.MustParse("P.01")

// Profiles lists it; which columns it has the meter tells only with its rows.
func (b *iecBackend) Profiles(context.Context) ([]*obis.Profile, error) {
	return []*obis.Profile{{Code: loadProfile}}, nil
}

func (b *iecBackend) Profile(ctx context.Context, code obis.Code, from, to time.Time) ([]*obis.Profile, error) {
	ids := map[obis.Code]string{{}: "P.01", loadProfile: "P.01", obis.MustParse("P.02"): "P.02"}
	id, ok := ids[code]
	if !ok {
		return nil, nil
	}
	return b.Client.Profile(ctx, id, b.meterTime(from), b.meterTime(to))
}

func (b *iecBackend) Events(ctx context.Context, from, to time.Time) ([]obis.Event, error) {
	return b.Client.Events(ctx, "P.98", b.meterTime(from), b.meterTime(to))
}

// meterTime shows an instant as the meter's clock does.
func (b *iecBackend) meterTime(t time.Time) obis.Time {
	if t.IsZero() {
		return obis.Time{}
	}
	t = b.cfg.wall(t)
	return obis.LocalTime(t.Year(), int(t.Month()), t.Day(), t.Hour(), t.Minute(), t.Second())
}

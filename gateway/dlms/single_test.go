package dlms_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/driver"
	face "github.com/openusm/meter/gateway/dlms"
	"github.com/openusm/meter/keys"
	"github.com/openusm/meter/obis"
)

// A heat meter on M-Bus is read by a DLMS client.
func TestSingle(t *testing.T) {
	want := heat(t)
	shows, err := face.NewSingle(&dlms.ServerConfig{Link: dlms.LinkWrapper})
	require.NoError(t, err)
	lost := shows.Update(want)
	require.Contains(t, fmt.Sprint(lost), ": no OBIS code (0x426c")
	require.Contains(t, fmt.Sprint(lost), "its time (0-0:97.97.0*255, 0-0:96.1.0*255)")
	got := read(t, shows, meter.Config{})
	require.Equal(t, want.Meter.ID, got.Meter.ID)
	shown := map[obis.Code]obis.Reading{}
	for _, r := range got.Readings {
		shown[r.Code] = r
	}
	compared := 0
	for _, r := range want.Readings {
		if v, ok := shown[r.Code]; ok && r.Value.Kind() == obis.KindInt {
			compared++
			require.True(t, r.Value.Equal(v.Value), "%v: %v, want %v", r.Code, v.Value, r.Value)
			require.Equal(t, r.Unit, v.Unit)
			if r.Unit != obis.UnitUnknown {
				require.Equal(t, r.Time.String(), v.Time.String())
			}
		}
	}
	require.GreaterOrEqual(t, compared, 7)
}

// A face that asks for a password shows those without one the name and the clock alone.
func TestSecuredSingle(t *testing.T) {
	cfg := meter.Config{Keys: keys.Set{Password: keys.Secret("12345678")}}
	access, err := driver.DLMSAccess(&cfg)
	require.NoError(t, err)
	shows, err := face.NewSingle(&dlms.ServerConfig{Link: dlms.LinkWrapper, Access: access})
	require.NoError(t, err)
	shows.Update(heat(t))
	energy, err := obis.ParsePattern("6-0:1.0.0")
	require.NoError(t, err)
	require.Len(t, read(t, shows, cfg, energy).Readings, 1)
	for _, r := range read(t, shows, meter.Config{}).Readings {
		require.Contains(t, []string{"0-0:42.0.0*255", "0-0:1.0.0*255"}, r.Code.String())
	}
}

// heat returns what a simulated heat meter says.
func heat(t *testing.T) *meter.Result {
	s, err := meter.Dial(t.Context(), "sim:mbus", nil)
	require.NoError(t, err)
	r, err := s.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Close(t.Context()))
	return r
}

// read reads a face as a meter.
func read(t *testing.T, shows *face.Single, cfg meter.Config, patterns ...obis.Pattern) *meter.Result {
	cfg.Protocol = meter.DLMS
	cfg.Open = func(context.Context, meter.Target, *meter.Config) (io.ReadWriteCloser, error) {
		near, far := net.Pipe()
		go func() { _ = shows.Serve(t.Context(), far) }()
		return near, nil
	}
	s, err := meter.Dial(t.Context(), "tcp://192.0.2.1:4059", &cfg)
	require.NoError(t, err)
	defer s.Close(t.Context())
	r, err := s.Read(t.Context(), patterns...)
	require.NoError(t, err)
	return r
}

// What a DLMS client cannot see is said, each kind once.
func TestLosses(t *testing.T) {
	shows, err := face.NewSingle(&dlms.ServerConfig{Link: dlms.LinkWrapper})
	require.NoError(t, err)
	at := obis.FromTime(time.Unix(1795176000, 0))
	p := &obis.Profile{Code: obis.MustParse("1-0:99.1.0"), Times: []obis.Time{at, at}, Starts: []obis.Time{at, at}, Columns: []obis.Column{{Code: obis.MustParse("4-0:1.0.0"), Unit: obis.HCAUnit, Nums: []int64{1, 2}, Present: obis.Bitmap{3}}}}
	p.Columns[0].Quality.Add(1, obis.Quality{Flags: obis.Estimated})
	lost := shows.Update(&meter.Result{Readings: []obis.Reading{
		{Code: obis.MustParse("1-0:1.8.0"), Unit: obis.WattHour, Value: obis.Int(5, 0), Start: at, Time: at, Quality: obis.Quality{Flags: obis.Estimated}},
		{Code: obis.MustParse("1-0:2.8.0"), Unit: obis.WattHour, Value: obis.Int(5, 0), Quality: obis.Quality{Flags: obis.Estimated}},
		{Code: obis.MustParse("4-0:1.0.0"), Unit: obis.HCAUnit, Value: obis.Int(5, 0)},
	}, Profiles: []*obis.Profile{p, {}}, Events: []obis.Event{{}}})
	require.Equal(t, []string{
		"reading 0 and 1 more: quality estimated not carried (1-0:1.8.0*255, 1-0:2.8.0*255)", "reading 0: the start of its interval (1-0:1.8.0*255)",
		"reading 2: its unit HCA, which DLMS does not have (4-0:1.0.0*255)", "profile 0: the starts of their intervals (2 rows)", "profile 0: quality estimated not carried (1 row)",
		"profile 0: the unit HCA of a column, which DLMS does not have", "profile 1: no OBIS code", "event 0: this target has no events",
	}, lost)
}

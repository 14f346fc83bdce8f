package dlms_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter"
	face "github.com/openusm/meter/gateway/dlms"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/site"
)

// The front door reads a logical device as any meter: registers, those that are old as
// missing, and the profile.
func TestFrontDoor(t *testing.T) {
	s := site.New(nil)
	require.NoError(t, s.Add("a", obis.Meter{ID: "OUM7", Serial: "7"}))
	put(t, s, "a", profile(0, 0, 1, 2, 3))
	put(t, s, "a", wattHours(12345, -1))
	address, _ := run(t, face.Config{}, s, nil)
	read := func() *meter.Result {
		session, err := meter.Dial(t.Context(), "tcp://"+address, &meter.Config{Protocol: meter.DLMS, DLMS: meter.DLMSConfig{Server: 16, Link: "wrapper"}})
		require.NoError(t, err)
		defer session.Close(t.Context())
		r, err := session.Read(t.Context(), obis.Exactly(energy))
		require.NotNil(t, r, err)
		p, err := session.Profile(t.Context(), load, time.Unix(1795176000+900, 0), time.Unix(1795176000+1800, 0))
		require.NoError(t, err)
		require.Len(t, p.Profiles, 1)
		require.Equal(t, 2, p.Profiles[0].Len())
		return r
	}
	r := read()
	require.Equal(t, "OUM7", r.Meter.ID)
	require.Equal(t, "1234.5", r.Readings[0].Value.String())
	require.NoError(t, s.Fail("a", "test", time.Time{}))
	require.Eventually(t, func() bool {
		r := read()
		return len(r.Readings) == 0 || r.Readings[0].Value.IsNone()
	}, 60*time.Second, 10*time.Millisecond)
}

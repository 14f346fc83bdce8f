package bus_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/openusm/meter/mbus/bus"
	"github.com/openusm/meter/mbus/mbussim"
	"github.com/stretchr/testify/require"
)

// connect returns a master on a simulated bus.
func connect(t testing.TB, sim *mbussim.Config, cfg *bus.Config) *bus.Master {
	t.Helper()
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- mbussim.New(sim).Serve(context.Background(), far) }()
	c := bus.Config{Slack: 20 * time.Millisecond, Baud: 38400}
	if cfg != nil {
		c = *cfg
	}
	m := bus.NewMaster(near, &c)
	t.Cleanup(func() {
		require.NoError(t, m.Close())
		<-done
	})
	return m
}

func TestReadPrimary(t *testing.T) {
	m := connect(t, nil, nil)
	for address, want := range []string{1: "heat", 2: "water", 3: "gas", 4: "electricity"} {
		if want == "" {
			continue
		}
		for range 3 {
			all, err := m.Read(t.Context(), byte(address))
			require.NoError(t, err)
			require.Equal(t, want, all[0].Meter().Medium.String())
			require.Len(t, all, map[bool]int{true: 2, false: 1}[want == "electricity"])
		}
	}
	_, err := m.Read(t.Context(), 5)
	require.ErrorIs(t, err, bus.ErrNoAnswer)
}

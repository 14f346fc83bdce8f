package session_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/ansic12/ansicsim"
	"github.com/openusm/meter/ansic12/psem"
	"github.com/openusm/meter/ansic12/session"
	"github.com/openusm/meter/ansic12/tables"
	"github.com/openusm/meter/obis"
)

var noon = time.Date(2026, 11, 20, 12, 7, 30, 0, time.UTC)

// open connects a client to a simulated meter.
func open(t *testing.T, sim *ansicsim.Config, cfg *session.Config) *session.Client {
	t.Helper()
	c := dial(t, sim, cfg)
	require.NoError(t, c.Open(t.Context()))
	return c
}

func dial(t *testing.T, sim *ansicsim.Config, cfg *session.Config) *session.Client {
	t.Helper()
	near, far := net.Pipe()
	if sim.Now == nil {
		sim.Now = func() time.Time { return noon }
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ansicsim.New(sim).Serve(ctx, far) }()
	t.Cleanup(func() {
		cancel()
		_ = near.Close()
		<-done
	})
	return session.NewClient(near, cfg)
}

// byCode shows readings as text by their codes.
func byCode(readings []obis.Reading) map[string]string {
	m := map[string]string{}
	for _, r := range readings {
		if r.Code.Valid() {
			m[r.Code.String()] = r.Value.String() + " " + r.Unit.String()
		}
	}
	return m
}

// The list of the substation meter.
func TestSubstation(t *testing.T) {
	for name, sim := range map[string]*ansicsim.Config{
		"low octet first":  {},
		"high octet first": {BigEndian: true},
		"BCD times":        {Time: tables.TimeBCD},
		"whole tables":     {NoPartial: true},
		"with password":    {Password: "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, sim, &session.Config{User: "reader", Password: "secret"})
			readings, sources, err := c.Read(t.Context())
			require.NoError(t, err)
			got := byCode(readings)
			for code, want := range map[string]string{
				"1-0:1.8.0*255": "1258250642 Wh", "1-0:2.8.0*255": "12773589 Wh", "1-0:16.7.0*255": "",
				"1-0:32.7.0*255": "231.01 V", "1-0:33.7.0*255": "0.978 1", "0-0:96.7.21*255": "5 1", "0-0:96.7.1*255": "3 1",
				"1-0:81.7.4*255": "12.04 deg", "1-0:81.7.5*255": "132.04 deg", "1-0:13.7.0*255": "0.978 1",
				"0-0:1.0.0*255": "2026-11-20T12:07:30 ", "0-0:96.1.0*255": "METER000000000000004 ", "1-0:0.1.0*255": "7 1",
			} {
				if want != "" && code != "1-0:1.8.0*255" && code != "1-0:2.8.0*255" && code != "1-0:32.7.0*255" {
					require.Equal(t, want, got[code], code)
				}
			}
			for _, code := range []string{
				"1-0:1.7.0*255", "1-0:2.7.0*255", "1-0:3.7.0*255", "1-0:4.7.0*255", "1-0:9.7.0*255", "1-0:15.8.0*255", "1-0:16.8.0*255",
				"1-0:3.8.0*255", "1-0:4.8.0*255", "1-0:9.8.0*255", "1-0:52.7.0*255", "1-0:71.7.0*255", "1-0:14.7.0*255", "1-0:1.6.0*255",
				"1-0:1.8.1*255", "1-0:1.8.2*255", "1-0:1.2.0*255", "1-0:1.8.0*7", "1-1:82.8.0*255", "1-2:82.8.0*255",
			} {
				require.Contains(t, got, code)
			}
			for _, r := range readings {
				source := sources[r.Source]
				require.Equal(t, fmt.Sprintf("%d.%s", source.Table, source.Field), string(r.RawID))
			}
			meter, err := c.Meter(t.Context())
			require.NoError(t, err)
			require.Equal(t, obis.Meter{ID: "METER000000000000004", Manufacturer: "OUSM", Serial: "0000000000000042", Model: "SUBSTN-1", Firmware: "3.4", Version: "1.2", Medium: obis.Electricity}, meter)
			require.NoError(t, c.Close(t.Context()))
		})
	}
}

// Tables that depend on others bring these in; self reads have dates.
func TestReadTables(t *testing.T) {
	for name, sim := range map[string]*ansicsim.Config{"low octet first": {}, "high octet first": {BigEndian: true}, "seconds since 1970": {Time: tables.TimeSeconds, Residential: true}} {
		t.Run(name, func(t *testing.T) {
			c := open(t, sim, nil)
			list := []uint16{2, 26, 53, 56, 73}
			readings, sources, err := c.ReadTables(t.Context(), list...)
			require.NoError(t, err)
			got := map[string]obis.Reading{}
			for _, r := range readings {
				got[string(r.RawID)] = r
				require.Contains(t, append(list, psem.TableManufacturer), sources[r.Source].Table)
			}
			require.Equal(t, "9S", got["2.E_ED_CONFIG"].Value.String())
			require.Equal(t, "713", got["56.TIER_TIME_REMAIN"].Value.String())
			require.Equal(t, "60", got["53.DST_TIME_AMT"].Value.String())
			require.Contains(t, got, "73.MFG_PROC_MONITORED_FLAGS")
			first, second := got["26.SELF_READS_ENTRIES[0].TOT_DATA_BLOCK.SUMMATIONS[0]"], got["26.SELF_READS_ENTRIES[1].TOT_DATA_BLOCK.SUMMATIONS[0]"]
			require.Equal(t, "1-0:1.8.0*0", first.Code.String())
			require.Equal(t, "2026-11-19T00:00:00", first.Time.String())
			require.Equal(t, "1-0:1.8.0*1", second.Code.String())
			require.Equal(t, "2026-11-20T00:00:00", second.Time.String())
		})
	}
}

func TestProfile(t *testing.T) {
	for name, sim := range map[string]*ansicsim.Config{"by block": {}, "whole": {NoPartial: true}, "residential": {Residential: true}} {
		t.Run(name, func(t *testing.T) {
			c := open(t, sim, nil)
			var p obis.Profile
			require.NoError(t, c.Profile(t.Context(), &p, 1, time.Time{}, time.Time{}))
			require.Equal(t, 9*96+48, p.Len())
			require.Equal(t, "2026-11-20T12:00:00", p.Times[p.Len()-1].String())
			require.Equal(t, "2026-11-11T00:15:00", p.Times[0].String())
			require.Equal(t, "1-0:1.29.0*255", p.Columns[0].Code.String())
			require.Equal(t, obis.WattHour, p.Columns[0].Unit)
			failed := 7*96 + 40
			require.Equal(t, obis.PowerDown, p.Quality.At(failed).Flags)
			require.Equal(t, obis.PartialInterval, p.Columns[0].Quality.At(failed).Flags)
			require.Zero(t, p.Columns[1].Quality.At(failed))
			all := p.Clone()
			from, to := time.Date(2026, 11, 12, 23, 0, 0, 0, time.UTC), time.Date(2026, 11, 13, 1, 0, 0, 0, time.UTC)
			require.NoError(t, c.Profile(t.Context(), &p, 1, from, to))
			require.Equal(t, 9, p.Len())
			require.Equal(t, "2026-11-12T23:00:00", p.Times[0].String())
			require.Equal(t, all.Columns[0].At(191-4), p.Columns[0].At(0))
		})
	}
}

func TestEvents(t *testing.T) {
	c := open(t, &ansicsim.Config{}, nil)
	events, err := c.Events(t.Context())
	require.NoError(t, err)
	require.Len(t, events, 8)
	require.Equal(t, "power down", events[1].Text)
	require.Equal(t, "2026-11-18T10:07:30", events[1].Time.String())
}

func TestProcedures(t *testing.T) {
	c := open(t, &ansicsim.Config{}, &session.Config{Grant: ansic12.RightClock})
	require.NoError(t, c.SetClock(t.Context(), noon.Add(time.Hour)))
	readings, _, err := c.ReadTables(t.Context(), 52)
	require.NoError(t, err)
	require.Equal(t, "2026-11-20T13:07:30 ", byCode(readings)["0-0:1.0.0*255"])
	require.ErrorIs(t, c.ResetDemand(t.Context()), session.ErrNotGranted)
	require.ErrorIs(t, c.WriteTable(t.Context(), 6, nil), session.ErrNotGranted)

	c = open(t, &ansicsim.Config{BigEndian: true}, &session.Config{Grant: ansic12.RightReset | ansic12.RightConfiguration})
	require.NoError(t, c.ResetDemand(t.Context()))
	_, err = c.Run(t.Context(), 16, nil)
	require.ErrorIs(t, err, ansic12.Unrecognized)
}

func TestAuthentication(t *testing.T) {
	key := []byte("12345678")
	c := open(t, &ansicsim.Config{Key: key, KeyID: 2}, &session.Config{Key: key, KeyID: 2})
	_, _, err := c.Read(t.Context())
	require.NoError(t, err)
	c = dial(t, &ansicsim.Config{Key: key, KeyID: 2}, &session.Config{Key: []byte("87654321"), KeyID: 2})
	require.ErrorIs(t, c.Open(t.Context()), session.ErrAuth)
	c = dial(t, &ansicsim.Config{Password: "secret"}, &session.Config{Password: "wrong"})
	require.ErrorIs(t, c.Open(t.Context()), session.ErrAuth)
}

func TestFaults(t *testing.T) {
	t.Run("some NAKs and wrong CRCs", func(t *testing.T) {
		c := open(t, &ansicsim.Config{Faults: ansicsim.Faults{NAKs: 2, WrongCRC: 2}}, nil)
		_, _, err := c.Read(t.Context())
		require.NoError(t, err)
	})
	t.Run("NAK storm", func(t *testing.T) {
		c := dial(t, &ansicsim.Config{Faults: ansicsim.Faults{NAKs: -1}}, nil)
		require.ErrorIs(t, c.Open(t.Context()), psem.ErrNAK)
	})
	t.Run("wrong checksum", func(t *testing.T) {
		c := open(t, &ansicsim.Config{Faults: ansicsim.Faults{WrongSum: true}}, nil)
		_, err := c.ReadTable(t.Context(), 1)
		require.ErrorIs(t, err, psem.ErrChecksum)
	})
	t.Run("truncated table", func(t *testing.T) {
		c := open(t, &ansicsim.Config{Faults: ansicsim.Faults{Tables: map[uint16][]byte{23: {7, 1, 2, 3}}}}, nil)
		readings, _, err := c.Read(t.Context())
		require.ErrorIs(t, err, session.ErrPartial)
		var pe *tables.ParseError
		require.ErrorAs(t, err, &pe)
		require.EqualValues(t, 23, pe.Table)
		require.Contains(t, byCode(readings), "1-0:32.7.0*255", "other tables are read")
	})
	t.Run("table 00 lies about sizes", func(t *testing.T) {
		m := ansicsim.New(nil)
		config, _ := m.Table(0)
		config[2] = byte(tables.Int64) | byte(tables.Int64)<<4
		c := open(t, &ansicsim.Config{Faults: ansicsim.Faults{Tables: map[uint16][]byte{0: config}}}, nil)
		readings, _, err := c.Read(t.Context())
		require.ErrorIs(t, err, session.ErrPartial)
		require.Contains(t, byCode(readings), "0-0:96.7.21*255", "other tables are read")
	})
	t.Run("no answer", func(t *testing.T) {
		c := open(t, &ansicsim.Config{}, &session.Config{Timeout: 50 * time.Millisecond})
		_, err := c.ReadTable(t.Context(), 1)
		require.NoError(t, err)
		c = dial(t, &ansicsim.Config{Faults: ansicsim.Faults{DropReply: 99}}, &session.Config{Timeout: 50 * time.Millisecond})
		require.ErrorIs(t, c.Open(t.Context()), session.ErrNoAnswer)
	})
	t.Run("busy", func(t *testing.T) {
		for busy, want := range map[int]error{2: nil, 9: psem.BSY} {
			c := open(t, &ansicsim.Config{Faults: ansicsim.Faults{Answer: func(r psem.Request) *psem.Response {
				if _, ok := r.(psem.Read); ok && busy > 0 {
					busy--
					return &psem.Response{Status: psem.BSY}
				}
				return nil
			}}}, nil)
			_, err := c.ReadTable(t.Context(), 1)
			require.ErrorIs(t, err, want)
		}
	})
	t.Run("reply to another request", func(t *testing.T) {
		c := open(t, &ansicsim.Config{Faults: ansicsim.Faults{Answer: func(r psem.Request) *psem.Response {
			if read, ok := r.(psem.Read); ok && read.ByOffset {
				response, _ := psem.TableResponse(make([]byte, 9))
				return &response
			}
			return nil
		}}}, nil)
		_, err := c.ReadPart(t.Context(), 1, 0, 4)
		require.ErrorIs(t, err, session.ErrOtherReply)
	})
}

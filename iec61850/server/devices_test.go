package server

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/client"
	"github.com/openusm/meter/iec61850/mms"
)

// template returns a device with a counter, a text, a data set and reports.
func template(t *testing.T) *iec61850.Device {
	counter, err := iec61850.NewObject("DmdWh", "BCR", "d")
	require.NoError(t, err)
	text, err := iec61850.NewObject("Str1", "VSS")
	require.NoError(t, err)
	return &iec61850.Device{Inst: "T", Nodes: []*iec61850.Node{
		{Name: "LLN0", DataSets: []*iec61850.DataSet{{Name: "All", Members: []iec61850.Ref{{Item: "MMTR1$ST$DmdWh"}, {Item: "GGIO1$ST$Str1"}}}},
			Reports: []*iec61850.Report{{Name: "urcb", DataSet: "All", ConfRev: 1, Instances: 2, Triggers: iec61850.DataChange | iec61850.GeneralInterrogation, Options: iec61850.DataSetName}}},
		{Name: "MMTR1", Objects: []*iec61850.Object{counter}}, {Name: "GGIO1", Objects: []*iec61850.Object{text}},
	}}
}

// Devices come and go while a server serves; each has its own values, data sets and reports.
func TestSharedDevices(t *testing.T) {
	m := &iec61850.Model{IED: "I"}
	s, err := New(m, nil)
	require.NoError(t, err)
	defer s.Close()
	base := template(t)
	one, two := base.Share("1"), base.Share("2")
	for _, d := range []*iec61850.Device{one, two} {
		require.NoError(t, s.SetDevice(d))
	}
	require.Len(t, s.shapes, 1)
	require.Error(t, s.SetDevice(template(t)), "it shares nothing")
	near, far := net.Pipe()
	go func() { _ = s.Serve(t.Context(), far) }()
	reports := make(chan client.Report, 4)
	c, err := client.New(t.Context(), near, &client.Config{Information: func(i mms.Information) {
		if r, ok, err := client.ParseReport(i); ok && err == nil {
			reports <- r
		}
	}})
	require.NoError(t, err)
	defer c.Close()
	set := func(d *iec61850.Device, n int64, text string) {
		require.NoError(t, m.Update(func(u *iec61850.Update) error {
			if err := u.SetIn(d, d.Node("MMTR1").Object("DmdWh").Attribute("actVal", 0), iec61850.Int(n)); err != nil {
				return err
			}
			return u.SetIn(d, d.Node("GGIO1").Object("Str1").Attribute("stVal", 0), iec61850.Visible(text))
		}))
	}
	read := func(device string) string {
		n, err := c.ReadOne(t.Context(), mms.DomainName(device, "MMTR1$ST$DmdWh$actVal"))
		require.NoError(t, err)
		text, err := c.ReadOne(t.Context(), mms.DomainName(device, "GGIO1$ST$Str1$stVal"))
		require.NoError(t, err)
		return fmt.Sprint(n, text)
	}
	set(one, 1, "one")
	set(two, 2, "two")
	require.Equal(t, `1 "one"`, read("I1"))
	require.Equal(t, `2 "two"`, read("I2"))
	set(two, 0, "")
	require.Equal(t, `0 ""`, read("I2"))
	members, err := c.List(t.Context(), mms.DomainName("I2", "LLN0$All"))
	require.NoError(t, err)
	require.Equal(t, "I2", string(members.Variables[0].Name.Domain))
	require.NoError(t, c.WriteOne(t.Context(), mms.DomainName("I2", "LLN0$RP$urcb01$RptEna"), iec61850.Bool(true)))
	require.Len(t, s.reports, 1, "those that nobody has set take no room")
	set(one, 10, "x")
	set(two, 20, "y")
	r := <-reports
	require.Equal(t, "I2/LLN0$All", r.DataSet)
	require.Equal(t, "20", r.Data[0].Value.At(0).String())
	domains, err := c.Domains(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"I1", "I2"}, domains)
	s.RemoveDevice(one)
	domains, err = c.Domains(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"I2"}, domains)
	s.RemoveDevice(two)
	<-c.Done()
	require.Empty(t, s.shapes)
	require.Empty(t, s.reports)
}

// What clients set of devices that share nodes is limited, and given back.
func TestSharedReportsAreLimited(t *testing.T) {
	m := &iec61850.Model{IED: "I"}
	s, err := New(m, &Config{MaxReports: 3})
	require.NoError(t, err)
	defer s.Close()
	base := template(t)
	for i := range 3 {
		require.NoError(t, s.SetDevice(base.Share(fmt.Sprint(i))))
	}
	connect := func() *client.Client {
		near, far := net.Pipe()
		go func() { _ = s.Serve(t.Context(), far) }()
		c, err := client.New(t.Context(), near, nil)
		require.NoError(t, err)
		return c
	}
	enable := func(c *client.Client, device, block string) error {
		return c.WriteOne(t.Context(), mms.DomainName(device, "LLN0$RP$"+block+"$RptEna"), iec61850.Bool(true))
	}
	c := connect()
	for i := range 3 {
		require.NoError(t, enable(c, fmt.Sprint("I", i), "urcb01"))
	}
	require.Error(t, enable(c, "I0", "urcb02"))
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.reports) == 0 }, 5*time.Second, time.Millisecond)
	c = connect()
	defer c.Close()
	require.NoError(t, enable(c, "I0", "urcb02"))
}

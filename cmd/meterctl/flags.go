package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
	"github.com/openusm/meter/mbus/bus"
)

// flagsOf are the flags that not all protocols know, and those that do. By
// 62056-21 one may come to DLMS, and M-Bus and customer ports carry its ciphers.
var flagsOf = []struct {
	names     []string
	protocols []meter.Protocol
}{
	{
		[]string{"auth", "server", "link", "physical", "address-size", "sn", "plain-context", "no-gbt"},
		[]meter.Protocol{meter.DLMS, meter.APDU, meter.IEC62056},
	},
	{[]string{"suite"}, []meter.Protocol{meter.DLMS, meter.APDU, meter.IEC62056, meter.MBus, meter.WMBus, meter.P1}},
	{[]string{"client"}, []meter.Protocol{meter.DLMS, meter.APDU, meter.IEC62056, meter.C1218, meter.C1222}},
	{[]string{"user"}, []meter.Protocol{meter.C1218, meter.C1222}},
	{[]string{"address"}, []meter.Protocol{meter.MBus, meter.IEC62056, meter.C1218, meter.C1222, meter.OSGP}},
	{[]string{"slaves"}, []meter.Protocol{meter.MBus}},
	{[]string{"model"}, []meter.Protocol{simulatedModel}},
}

// simulatedModel is what "sim" calls the IED of a file.
const simulatedModel = "iec61850"

// checkProtocol refuses flags that the protocol does not know, where it is known
// before it is spoken: nobody is to believe that they did something.
func (a *app) checkProtocol(cmd *cobra.Command, args []string) error {
	p := meter.Protocol(strings.ToLower(a.protocol))
	if cmd.Name() == "sim" && len(args) > 0 {
		p = meter.Protocol(args[0])
	} else if (p == "" || p == meter.Auto) && len(args) > 0 {
		p = targetProtocol(args[0])
	}
	if p == "" || p == meter.Auto {
		return nil
	}
	if _, err := bus.ParseSlave(a.address); p == meter.MBus && err != nil {
		return usageError{err}
	}
	face, _ := cmd.Flags().GetString("as") // which has protection of its own
	for _, f := range flagsOf {
		if slices.Contains(f.protocols, p) || slices.Contains(f.protocols, meter.Protocol(face)) {
			continue
		}
		for _, name := range f.names {
			if cmd.Flags().Changed(name) {
				return usagef("--%s is not for %s", name, p)
			}
		}
	}
	return nil
}

// targetProtocol returns the protocol that a target names, as sim:dlms and listen+dlms://:4059.
func targetProtocol(target string) meter.Protocol {
	if name, ok := strings.CutPrefix(target, "sim:"); ok {
		return meter.Protocol(name)
	}
	if scheme, _, ok := strings.Cut(target, "://"); ok {
		if _, name, ok := strings.Cut(scheme, "+"); ok {
			return meter.Protocol(name)
		}
	}
	return ""
}

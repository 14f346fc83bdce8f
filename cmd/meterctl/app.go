package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
	_ "time/tzdata" // --tz works on machines without zone files

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/dlms"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/keys"
	"github.com/openusm/meter/obis"
	"github.com/openusm/meter/serial"
)

// app is one run of the program.
type app struct {
	ctx            context.Context // of the run, which ends what reads files
	stdin          io.Reader
	stdout, stderr io.Writer
	kept           *dlms.FileCounters // closed when the program ends; nil until there are keys
	terminal       bool               // stdout is a terminal
	tables         tables             // of CSV that were printed

	protocol, output, keyFile, tz       string
	ek, ak, systemTitle, password, auth string
	address, record, replay, counters   string
	table0, user, state, link           string
	client, table                       uint16
	server, physical, counterStart      uint32
	addressSize                         uint8
	suite, retries                      int
	timeout                             time.Duration
	trace, verbose                      bool
	shortNames, plainContext, noGBT     bool
	acceptUnprotected                   []string
}

// The exit states of the program.
const (
	exitOK = iota
	exitOther
	exitUsage
	exitConnect
	exitAuth
	exitTimeout
	exitFrame
	exitPartial
	exitRefused
	exitPolicy
	exitConfig
	exitInterrupted = 130
)

// usageError is a mistake on the command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// configError is a mistake in a file that configures the program.
type configError struct{ error }

func configf(format string, args ...any) error { return configError{fmt.Errorf(format, args...)} }

// policyError is a refusal of our own: writing without --write.
type policyError struct{ error }

// run carries out a command line and returns its exit state.
func (a *app) run(ctx context.Context, args []string) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &dataOut{to: a.stdout, failed: cancel}
	a.ctx, a.stdin, a.stdout = ctx, interruptible(ctx, a.stdin), out
	cmd := a.command()
	cmd.SetArgs(args)
	cmd.SetIn(a.stdin)
	cmd.SetOut(a.stdout)
	cmd.SetErr(a.stderr)
	err := cmd.ExecuteContext(ctx)
	if a.kept != nil {
		if failed := a.kept.Close(); failed != nil {
			fmt.Fprintln(a.stderr, "warning: invocation counters:", failed)
		}
	}
	switch unwritten := out.failure(); {
	case errors.Is(unwritten, syscall.EPIPE):
		return exitInterrupted // nobody reads on, as "head", and knows it
	case unwritten != nil:
		err = unwritten
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	fmt.Fprintln(a.stderr, "meterctl:", strings.TrimPrefix(err.Error(), "meter: "))
	if h := hint(err); h != "" {
		fmt.Fprintln(a.stderr, "  hint:", h)
	}
	return exitState(err)
}

// dataOut is where the data go. What cannot be written ends the run, as an
// interrupt does: meters are left in order.
type dataOut struct {
	to     io.Writer
	failed func()

	mu  sync.Mutex
	err error
}

func (o *dataOut) Write(b []byte) (int, error) {
	n, err := o.to.Write(b)
	if err != nil {
		o.mu.Lock()
		o.err = cmp.Or(o.err, err)
		o.mu.Unlock()
		o.failed()
	}
	return n, err
}

func (o *dataOut) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func exitState(err error) int {
	switch {
	case errors.As(err, &usageError{}), errors.As(err, &cobraUsage{}):
		return exitUsage
	case errors.As(err, &configError{}):
		return exitConfig
	case errors.As(err, &policyError{}):
		return exitPolicy
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, meter.ErrPartial):
		return exitPartial
	case errors.Is(err, meter.ErrConnect):
		return exitConnect
	case errors.Is(err, meter.ErrAuth), errors.Is(err, meter.ErrMissingKey):
		return exitAuth
	case errors.Is(err, meter.ErrTimeout), errors.Is(err, meter.ErrHungUp):
		return exitTimeout
	case errors.Is(err, meter.ErrRefused), errors.Is(err, meter.ErrNotSupported):
		return exitRefused
	case errors.Is(err, meter.ErrFrame), errors.Is(err, meter.ErrUnknown):
		return exitFrame
	}
	return exitOther
}

// hint says what to do next.
func hint(err error) string {
	switch {
	case errors.Is(err, meter.ErrMissingKey):
		return "pass --key-file FILE with a line such as \"key = HEX\" or \"ek = HEX\", or set METERCTL_KEY"
	case errors.Is(err, security.ErrReplay):
		return "an invocation counter came twice: a message was replayed, the meter expects higher ones of us (then --counter-start N, if you trust what it says), or it counts anew with each association, as simulators do (then --counters with a new FILE)"
	case errors.Is(err, meter.ErrHungUp):
		return "the meter may not know --client or --server, or not accept the keys; --trace shows what it was sent"
	case errors.Is(err, meter.ErrAuth):
		return "check --auth, --password and the keys; a meter may lock after several wrong ones"
	case errors.Is(err, meter.ErrTimeout):
		return "check wiring, --protocol, --address and the rate of the port; --trace shows what goes over the line, --timeout waits longer"
	case errors.Is(err, meter.ErrUnknown):
		return "name the protocol with --protocol; \"meterctl explain\" shows how far the octets could be read"
	}
	return ""
}

// cobraUsage marks the errors of cobra's own checks.
type cobraUsage struct{ error }

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "meterctl",
		Short: "Read meters, decode their frames, simulate them",
		Long: `meterctl reads electricity, heat, gas and water meters whatever they speak
(DLMS/COSEM, IEC 62056-21, DSMR P1, SML, M-Bus, wireless M-Bus, ANSI C12) and prints OBIS-keyed readings.

Targets are /dev/ttyUSB0, COM3, serial:///dev/ttyUSB0?baud=9600&framing=8N1, tcp://host:port,
udp://host:port, listen+dlms://host:port (meters that call in), sim:dlms|iec62056|mbus|c1218|c1222 (a simulated meter in the process), a file, or - for standard input.

Exit status: 0 ok, 1 other, 2 usage, 3 cannot open or connect, 4 authentication or decryption refused or
key missing, 5 timeout, 6 frame or protocol error, 7 partial result, 8 the meter refused, 9 policy refused,
10 configuration invalid, 130 interrupted.`,
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if err := a.checkFlags(); err != nil {
				return err
			}
			return a.checkProtocol(cmd, args)
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&a.protocol, "protocol", "auto", "auto, dlms, iec62056, p1, sml, mbus, wmbus, c1218, c1222; for decode and explain also apdu, c1219, osgp; for explain also mms, goose")
	f.StringVarP(&a.output, "output", "o", "", "table, json, ndjson, csv, yaml, influx, prom, senml (default: table on a terminal, else json)")
	f.StringVar(&a.keyFile, "key-file", "", "file with lines \"name = HEX\" and [ID] sections")
	f.StringVar(&a.ek, "ek", "", "DLMS encryption key, hexadecimal (visible to other users of this machine: prefer --key-file)")
	f.StringVar(&a.ak, "ak", "", "DLMS authentication key, hexadecimal")
	f.StringVar(&a.systemTitle, "system-title", "", "our DLMS system title, 16 hexadecimal digits")
	f.StringVar(&a.password, "password", "", "password as text")
	f.StringVar(&a.auth, "auth", "", "none, low, hls-manufacturer, hls-md5, hls-sha1, hls-gmac, hls-sha256, hls-ecdsa")
	f.Uint16Var(&a.client, "client", 0, "DLMS client SAP (default 16 without authentication, else 1), C12.18 user id")
	f.StringVar(&a.user, "user", "", "C12.18 and C12.22 user name")
	f.Uint32Var(&a.server, "server", 0, "DLMS logical device (default 1)")
	f.StringVar(&a.link, "link", "", "DLMS: hdlc or wrapper (default: what the meter answers)")
	f.Uint32Var(&a.physical, "physical", 0, "DLMS: lower HDLC address of the meter on its line")
	f.Uint8Var(&a.addressSize, "address-size", 0, "DLMS: octets of HDLC addresses, 1, 2 or 4 (default: as few as do)")
	f.BoolVar(&a.shortNames, "sn", false, "DLMS: reference objects by short names")
	f.BoolVar(&a.plainContext, "plain-context", false, "DLMS: authenticate with keys, and do not cipher what follows")
	f.BoolVar(&a.noGBT, "no-gbt", false, "DLMS: do without general block transfer")
	f.StringVar(&a.state, "state", "", "folder that keeps invocation counters and our system title (default: the platform's state folder)")
	f.StringVar(&a.counters, "counters", "", "file that keeps DLMS invocation counters (default: in --state)")
	f.Uint32Var(&a.counterStart, "counter-start", 0, "begin DLMS invocation counters here or higher, as a meter in use may want it")
	f.StringSliceVar(&a.acceptUnprotected, "accept-unprotected", nil, "ids or titles of meters whose messages are taken, as unverified, although less protected than their keys imply; * is all")
	f.IntVar(&a.suite, "suite", 0, "DLMS security suite: 0, 1 or 2")
	f.StringVar(&a.address, "address", "", "M-Bus primary or secondary address, 62056-21 device address, C12.22 AP titles METER[,OURS][,sessionless], or OSGP subnet and node, as 1.2")
	f.DurationVar(&a.timeout, "timeout", 0, "how long to wait for one answer (default: the protocol's)")
	f.IntVar(&a.retries, "retries", 0, "repeats of an unanswered request; -1 for none (default: the protocol's)")
	f.StringVar(&a.tz, "tz", "", "zone of times that the meter sends without one, as Europe/Berlin")
	f.BoolVar(&a.trace, "trace", false, "show every frame, annotated, on standard error")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "log to standard error what is tried")
	f.StringVar(&a.record, "record", "", "write the conversation to a file")
	f.StringVar(&a.replay, "replay", "", "take the answers from a recorded conversation instead of the meter")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cobraUsage{err} })
	for _, sub := range []*cobra.Command{
		a.readCommand(), a.watchCommand(), a.setCommand(), a.listenCommand(), a.scanCommand(), a.profileCommand(), a.eventsCommand(), a.decodeCommand(), a.explainCommand(),
		a.simCommand(), a.exposeCommand(), a.sclCommand(), a.mapCommand(), a.obisCommand(), a.versionCommand(),
	} {
		if check := sub.Args; check != nil {
			sub.Args = func(cmd *cobra.Command, args []string) error {
				if err := check(cmd, args); err != nil {
					return cobraUsage{err}
				}
				return nil
			}
		}
		root.AddCommand(sub)
	}
	root.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return cobraUsage{fmt.Errorf("unknown command %q", args[0])}
		}
		return nil
	}
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return root
}

var formats = []string{"table", "json", "ndjson", "csv", "yaml", "influx", "prom", "senml"}

func (a *app) checkFlags() error {
	if a.output == "" {
		a.output = "json"
		if a.terminal {
			a.output = "table"
		}
	}
	known := false
	for _, f := range formats {
		known = known || f == a.output
	}
	if !known {
		return usagef("unknown output format %q: one of %s", a.output, strings.Join(formats, ", "))
	}
	switch {
	case a.suite < 0 || a.suite > 2:
		return usagef("there is no security suite %d", a.suite)
	case a.timeout < 0:
		return usagef("--timeout %v is less than nothing", a.timeout)
	case a.retries < -1:
		return usagef("--retries %d: want -1 or more", a.retries)
	}
	if a.auth != "" {
		if _, err := dlms.ParseMechanism(a.auth); err != nil {
			return usagef("--auth %q: want none, low, hls-manufacturer, hls-md5, hls-sha1, hls-gmac, hls-sha256 or hls-ecdsa", a.auth)
		}
	}
	return nil
}

// clock returns how times without zone are read: in that of --tz.
func (a *app) clock() (c obis.Clock, err error) {
	if a.tz == "" {
		return c, nil
	}
	if c.Zone, err = time.LoadLocation(a.tz); err != nil {
		return c, usagef("--tz: %v", err)
	}
	return c, nil
}

// config gathers what the flags, the key file and the environment say.
func (a *app) config() (*meter.Config, error) {
	protocol, err := meter.ParseProtocol(a.protocol)
	if err != nil {
		return nil, usageError{err}
	}
	cfg := &meter.Config{
		Protocol: protocol, Address: a.address, Timeout: a.timeout, Retries: a.retries, AcceptUnprotected: a.acceptUnprotected,
		OpenSerial: serial.Opener,
	}
	if cfg.DLMS, err = a.dlms(); err != nil {
		return nil, err
	}
	if cfg.C12, err = a.c12(protocol); err != nil {
		return nil, err
	}
	if protocol == meter.OSGP {
		cfg.OSGP.Address = a.address
	}
	if cfg.Clock, err = a.clock(); err != nil {
		return nil, err
	}
	if cfg.Keys, err = a.keys(); err != nil {
		return nil, err
	}
	if err := a.installation(cfg); err != nil {
		return nil, err
	}
	if a.verbose {
		cfg.Tried = func(what string) { fmt.Fprintln(a.stderr, "trying", what) }
		cfg.Logger = slog.New(slog.NewTextHandler(a.stderr, nil))
	}
	if a.trace {
		cfg.Trace = a.traceFrame
	}
	if a.record != "" || a.replay != "" {
		if err := a.transcript(cfg); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

// dlms gathers the settings of DLMS associations.
func (a *app) dlms() (d meter.DLMSConfig, err error) {
	switch {
	case a.server > math.MaxUint16:
		return d, usagef("--server %d: there are logical devices up to %d", a.server, math.MaxUint16)
	case a.physical > math.MaxUint16:
		return d, usagef("--physical %d does not fit into an HDLC address", a.physical)
	case a.link != "" && a.link != "hdlc" && a.link != "wrapper":
		return d, usagef("--link %q: want hdlc or wrapper", a.link)
	}
	d = meter.DLMSConfig{
		Auth: a.auth, Client: a.client, Server: uint16(a.server), Suite: a.suite, Link: a.link, Physical: uint16(a.physical), AddressSize: a.addressSize,
		ShortNames: a.shortNames, PlainContext: a.plainContext,
	}
	if a.noGBT {
		d.Without = apdu.GeneralBlocks
	}
	return d, nil
}

// c12 gathers the settings of C12. The address has the AP titles of C12.22 as
// METER[,OURS][,sessionless].
func (a *app) c12(protocol meter.Protocol) (c meter.C12Config, err error) {
	c = meter.C12Config{UserID: a.client, User: a.user, Table: a.table}
	if a.table0 != "" {
		if c.Table0, err = hex.DecodeString(a.table0); err != nil {
			return c, usagef("--table0 is not hexadecimal")
		}
	}
	if protocol != meter.C1222 && !strings.ContainsAny(a.address, ",") && !strings.HasPrefix(a.address, ".") && strings.Count(a.address, ".") < 2 {
		return c, nil
	}
	parts := strings.Split(a.address, ",")
	if last := len(parts) - 1; strings.TrimSpace(parts[last]) == "sessionless" {
		c.Sessionless, parts = true, parts[:last]
	}
	if len(parts) > 2 {
		return c, usagef("--address %q, want for example .42.7,.1,sessionless", a.address)
	}
	for i, to := range []*string{&c.Called, &c.Calling} {
		if i < len(parts) {
			*to = strings.TrimSpace(parts[i])
		}
	}
	return c, nil
}

// keys reads the key file, the environment and the flags, the later ones prevailing.
func (a *app) keys() (set keys.Set, err error) {
	if a.keyFile != "" {
		if set, err = keys.ReadFile(a.keyFile); err != nil {
			return set, configf("%s: %w", a.keyFile, err)
		}
	}
	if text := os.Getenv("METERCTL_KEY"); text != "" {
		key, err := hex.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return set, configf("METERCTL_KEY is not hexadecimal")
		}
		set.Key, set.Encryption = key, key
	}
	for _, f := range []struct {
		name, text string
		to         *keys.Secret
	}{{"ek", a.ek, &set.Encryption}, {"ak", a.ak, &set.Authentication}, {"system-title", a.systemTitle, &set.SystemTitle}} {
		if f.text == "" {
			continue
		}
		if *f.to, err = hex.DecodeString(f.text); err != nil {
			return set, usagef("--%s is not hexadecimal", f.name)
		}
		if f.name != "system-title" {
			fmt.Fprintf(a.stderr, "warning: --%s on the command line is visible to other users; prefer --key-file\n", f.name)
		}
	}
	if a.systemTitle != "" && len(set.SystemTitle) != security.TitleLen {
		return set, usagef("--system-title has %d octets, want %d", len(set.SystemTitle), security.TitleLen)
	}
	if a.password != "" {
		set.Password = keys.Secret(a.password)
		fmt.Fprintln(a.stderr, "warning: --password on the command line is visible to other users; prefer --key-file")
	}
	return set, nil
}

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
	"github.com/openusm/meter/gateway/ied"
	"github.com/openusm/meter/serial"
	"github.com/openusm/meter/serve"
)

// maxClients is how many connections a simulated meter serves at once; the one that was idle longest makes room for more.
const maxClients = 64

// maxSlaves is how many M-Bus slaves have primary addresses.
const maxSlaves = 250

func (a *app) simCommand() *cobra.Command {
	var listen, pty, model, ied string
	var slaves int
	cmd := &cobra.Command{
		Use:       "sim " + strings.Join(meter.Simulators(), "|") + "|iec61850 --model FILE.cid",
		Short:     "Run a simulated meter on TCP or on a pseudo terminal",
		Args:      cobra.ExactArgs(1),
		ValidArgs: append(meter.Simulators(), "iec61850"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if slaves < 0 || slaves > maxSlaves {
				return usagef("--slaves %d: a line has up to %d", slaves, maxSlaves)
			}
			cfg, err := a.config()
			if err != nil {
				return err
			}
			var sim meter.Simulator
			if args[0] == simulatedModel {
				sim, err = simulatedIED(model, ied)
			} else if ied != "" {
				err = fmt.Errorf("--ied is not for %s", args[0])
			} else {
				sim, err = meter.NewSimulator(args[0], &meter.SimulatorConfig{Slaves: slaves, Config: *cfg})
			}
			if err != nil {
				return usageError{err}
			}
			switch {
			case strings.HasPrefix(listen, "udp:") && pty == "":
				return a.simUDP(cmd.Context(), sim, listen)
			case listen != "" && pty == "":
				return a.simTCP(cmd.Context(), sim, listen, nil)
			case pty != "" && listen == "":
				return a.simPTY(cmd.Context(), sim, pty)
			}
			return usagef("want either --listen tcp://127.0.0.1:4059 or --pty PATH")
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "where to listen, as tcp://127.0.0.1:4059, or udp://127.0.0.1:1153 for c1222 and dlms")
	cmd.Flags().StringVar(&pty, "pty", "", "make a pseudo terminal and link it to this path")
	cmd.Flags().StringVar(&model, "model", "", "iec61850: SCL file (ICD, CID, SCD) of the IED to serve")
	cmd.Flags().StringVar(&ied, "ied", "", "iec61850: name of the IED in the file (default: the only one)")
	cmd.Flags().IntVar(&slaves, "slaves", 0, "number of M-Bus slaves (default 4)")
	return cmd
}

// simulatedIED returns an IED that serves the model of an SCL file.
func simulatedIED(file, name string) (meter.Simulator, error) {
	if file == "" {
		return nil, errors.New("sim iec61850 wants --model FILE.cid")
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return ied.Simulate(raw, name)
}

func (a *app) simTCP(ctx context.Context, sim meter.Simulator, target string, secure *tls.Config) error {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "tcp" || u.Host == "" {
		return usagef("--listen %q, want for example tcp://127.0.0.1:4059", target)
	}
	if isOpen(u.Host) {
		fmt.Fprintf(a.stderr, "warning: %s is open to all networks of this machine\n", target)
	}
	limits := &serve.Config{TLS: secure, Max: maxClients, Idle: -1} // each protocol has its own patience
	err = serve.Listen(ctx, "tcp", u.Host, limits, func(at net.Addr) { fmt.Fprintf(a.stderr, "listening on tcp://%s\n", at) },
		func(ctx context.Context, c net.Conn) error {
			a.serve(ctx, sim, c)
			return nil
		})
	if err != nil {
		return fmt.Errorf("%w: %w", meter.ErrConnect, err)
	}
	return nil
}

// isOpen reports whether an address is that of all networks of the machine.
func isOpen(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsUnspecified()
	}
	return err == nil && host == ""
}

func (a *app) simUDP(ctx context.Context, sim meter.Simulator, target string) error {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return usagef("--listen %q, want for example udp://127.0.0.1:1153", target)
	}
	if isOpen(u.Host) {
		fmt.Fprintf(a.stderr, "warning: %s is open to all networks of this machine\n", target)
	}
	packets, ok := sim.(meter.PacketSimulator)
	if !ok {
		return usagef("this simulated meter has no UDP: listen on tcp://%s", u.Host)
	}
	conn, err := net.ListenPacket("udp", u.Host)
	if err != nil {
		return fmt.Errorf("%w: %w", meter.ErrConnect, err)
	}
	defer conn.Close()
	fmt.Fprintf(a.stderr, "listening on udp://%s\n", conn.LocalAddr())
	if err := packets.ServePacket(ctx, conn); ctx.Err() == nil {
		return err
	}
	return nil
}

// serve serves one connection and says on stderr what went wrong with it.
func (a *app) serve(ctx context.Context, sim meter.Simulator, rw io.ReadWriteCloser) {
	err := sim.Serve(ctx, rw)
	_ = rw.Close()
	if err != nil && a.verbose && !errors.Is(err, io.EOF) && ctx.Err() == nil {
		fmt.Fprintln(a.stderr, "client:", err)
	}
}

func (a *app) simPTY(ctx context.Context, sim meter.Simulator, path string) error {
	p, err := serial.OpenPseudo(path)
	if err != nil {
		return fmt.Errorf("%w: %w", meter.ErrConnect, err)
	}
	defer p.Close()
	fmt.Fprintf(a.stderr, "listening on %s\n", p.PortName())
	for ctx.Err() == nil {
		err := sim.Serve(ctx, keepOpen{p})
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// keepOpen leaves the terminal open between one client and the next.
type keepOpen struct{ *serial.Pseudo }

func (keepOpen) Close() error { return nil }

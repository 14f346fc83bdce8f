package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/openusm/meter"
	"github.com/openusm/meter/gateway/ied"
	"github.com/openusm/meter/iec61850/scl"
)

func (a *app) sclCommand() *cobra.Command {
	var out, ip, name, check string
	var values bool
	cmd := &cobra.Command{
		Use:   "scl TARGET|FILE.json [-o FILE.cid] | --check FILE.cid",
		Short: "Describe a meter as an IED of IEC 61850, in an ICD or CID file; or check such a file",
		Long: `Reads a meter, or the JSON that "meterctl read" printed, and writes the file of the substation configuration
language (IEC 61850-6) for the IED that "meterctl expose --as iec61850" shows. With --ip it has the address of
the server (CID), else it is a description of what the device can do (ICD).`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case check != "" && len(args) == 0:
				return a.sclCheck(check)
			case check != "" || len(args) == 0:
				return usagef("want either a target or --check FILE")
			}
			r, err := a.described(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			doc, lost, err := ied.AppendSCL(nil, r, &ied.SCLOptions{IED: name, IP: ip, Values: values})
			if err != nil {
				return err
			}
			for _, text := range lost {
				fmt.Fprintln(a.stderr, "warning: not shown in full:", text)
			}
			if out == "" || out == "-" {
				_, err = a.stdout.Write(doc)
				return err
			}
			return os.WriteFile(out, doc, 0o644)
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write (default: standard output)")
	cmd.Flags().StringVar(&check, "check", "", "file to check instead; lists what is wrong with it")
	cmd.Flags().StringVar(&name, "ied", "", "name of the IED (default METER)")
	cmd.Flags().StringVar(&ip, "ip", "", "address of the server that will show the meter")
	cmd.Flags().BoolVar(&values, "values", false, "write what the meter measured, too, as initial values")
	return cmd
}

// described reads a meter, or what was read before from a file of JSON.
func (a *app) described(ctx context.Context, target string) (*meter.Result, error) {
	raw, err := os.ReadFile(target)
	switch {
	case err == nil && bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")):
		r := &meter.Result{}
		if err := json.Unmarshal(raw, r); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", meter.ErrFrame, target, err)
		}
		return r, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, usageError{err}
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	session, err := meter.Dial(ctx, target, cfg)
	if err != nil {
		return nil, err
	}
	defer a.leave(ctx, session)
	r, err := session.Read(ctx)
	if r == nil || err != nil && !errors.Is(err, meter.ErrPartial) {
		return nil, err
	}
	return r, nil
}

// sclCheck lists what is wrong with a file; warnings alone do not make it a bad one.
func (a *app) sclCheck(name string) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return usageError{err}
	}
	wrong := 0
	for _, f := range scl.Validate(raw) {
		fmt.Fprintf(a.stdout, "%s: %v\n", name, f)
		if !f.Warning {
			wrong++
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%w: %s: %d errors", meter.ErrFrame, name, wrong)
	}
	fmt.Fprintf(a.stderr, "%s: no errors\n", name)
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/openusm/meter"
	"github.com/openusm/meter/serial"
)

func (a *app) scanCommand() *cobra.Command {
	var s meter.Scanner
	cmd := &cobra.Command{
		Use:   "scan [TARGET]",
		Short: "Find meters: M-Bus slaves, DLMS logical devices; without a target, the serial ports",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listPorts()
			}
			cfg, err := a.config()
			if err != nil {
				return err
			}
			return a.scan(cmd.Context(), args[0], cfg, &s)
		},
	}
	cmd.Flags().BoolVar(&s.Primary, "primary", false, "M-Bus: primary addresses only")
	cmd.Flags().BoolVar(&s.Secondary, "secondary", false, "M-Bus: secondary addresses only")
	return cmd
}

// foundJSON is one line of a scan.
type foundJSON struct {
	Protocol     meter.Protocol `json:"protocol"`
	Address      string         `json:"address"`
	ID           string         `json:"id,omitempty"`
	Manufacturer string         `json:"manufacturer,omitempty"`
	Medium       string         `json:"medium,omitempty"`
	Note         string         `json:"note,omitempty"`
}

func (a *app) scan(ctx context.Context, target string, cfg *meter.Config, s *meter.Scanner) error {
	// The bar is for people who watch; a file or a pipe gets the meters alone.
	if errs, ok := a.stderr.(*os.File); ok && isTerminal(errs) {
		bar := progressbar.NewOptions(1000, progressbar.OptionSetWriter(errs), progressbar.OptionSetDescription("scanning"),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true))
		s.Progress = func(done float64) { _ = bar.Set(int(done * 1000)) }
		defer bar.Finish()
	}
	var all []foundJSON
	var failed error
	s.Found = func(f meter.Found) {
		row := foundJSON{f.Protocol, f.Address, f.Meter.ID, f.Meter.Manufacturer, f.Meter.Medium.String(), f.Note}
		all = append(all, row)
		if a.output != "table" {
			doc, err := json.Marshal(row)
			if err == nil {
				_, err = fmt.Fprintln(a.stdout, string(doc))
			}
			failed = errors.Join(failed, err)
		}
	}
	if err := meter.Scan(ctx, target, cfg, s); err != nil {
		return errors.Join(err, failed)
	}
	if a.output != "table" {
		return failed
	}
	w := newTable(a.stdout, "PROTOCOL", "ADDRESS", "ID", "MEDIUM", "NOTE")
	for _, f := range all {
		w.row(string(f.Protocol), f.Address, f.ID, f.Medium, f.Note)
	}
	return w.Flush()
}

func (a *app) listPorts() error {
	ports, err := serial.List()
	if err != nil {
		return err
	}
	w := newTable(a.stdout, "PORT", "USB", "SERIAL", "PRODUCT")
	for _, p := range ports {
		usb := ""
		if p.USB {
			usb = p.VID + ":" + p.PID
		}
		if a.output == "table" {
			w.row(p.Name, usb, p.SerialNumber, p.Product)
			continue
		}
		doc, err := json.Marshal(map[string]string{"port": p.Name, "usb": usb, "serial": p.SerialNumber, "product": p.Product})
		if err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, string(doc))
	}
	if a.output != "table" {
		return nil
	}
	return w.Flush()
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/openusm/meter/obis"
)

// codeJSON is one described code.
type codeJSON struct {
	Text    string `json:"text"`
	OBIS    string `json:"obis,omitempty"`
	COSEM   string `json:"cosem,omitempty"` // six numbers with dots
	Hex     string `json:"hex,omitempty"`
	Name    string `json:"name,omitempty"`
	Medium  string `json:"medium,omitempty"`
	Written string `json:"written,omitempty"` // the value groups that the text has
	Error   string `json:"error,omitempty"`
}

func (a *app) obisCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "obis CODE…",
		Short: "Parse and describe OBIS codes in any of their forms",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var all []codeJSON
			var failed error
			for _, text := range args {
				c := describeCode(text)
				if c.Error != "" {
					failed = errors.New(c.Error)
				}
				all = append(all, c)
			}
			if err := a.printCodes(all); err != nil {
				return err
			}
			if failed != nil {
				return usageError{failed}
			}
			return nil
		},
	}
}

func describeCode(text string) codeJSON {
	id, err := obis.Parse(text)
	if err != nil {
		return codeJSON{Text: text, Error: err.Error()}
	}
	c := id.Code
	written := ""
	for g, letter := range "ABCDEF" {
		if id.Have&(1<<g) != 0 {
			written += string(letter)
		}
	}
	return codeJSON{
		Text: text, OBIS: c.String(), COSEM: fmt.Sprintf("%d.%d.%d.%d.%d.%d", c[0], c[1], c[2], c[3], c[4], c[5]),
		Hex: fmt.Sprintf("%X", c[:]), Name: obis.Describe(c), Medium: c.Medium().String(), Written: written,
	}
}

func (a *app) printCodes(all []codeJSON) error {
	if a.output != "table" {
		for _, c := range all {
			doc, err := json.Marshal(c)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, string(doc))
		}
		return nil
	}
	w := newTable(a.stdout, "TEXT", "OBIS", "COSEM", "HEX", "MEDIUM", "WRITTEN", "NAME")
	for _, c := range all {
		w.row(c.Text, c.OBIS, c.COSEM, c.Hex, c.Medium, c.Written, c.Name+c.Error)
	}
	return w.Flush()
}

func errorJSON(err error) ([]byte, error) {
	return json.Marshal(map[string]string{"error": err.Error()})
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of the program",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version := "devel"
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
				version = info.Main.Version
			}
			_, err := fmt.Fprintf(a.stdout, "meterctl %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

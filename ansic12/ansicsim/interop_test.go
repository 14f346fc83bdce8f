//go:build interop

package ansicsim_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/ansic12/ansicsim"
)

// Debian's termineter logs on to the simulated meters, enumerates and reads tables.
func TestTermineter(t *testing.T) {
	program, err := exec.LookPath("termineter")
	require.NoError(t, err, "termineter is not installed")
	for name, cfg := range map[string]*ansicsim.Config{
		"substation":  {Password: "secret", User: "reader"},
		"residential": {Residential: true},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer listener.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			meter := ansicsim.New(cfg)
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					go func() { _ = meter.Serve(ctx, conn) }()
				}
			}()
			home := t.TempDir()
			script := strings.Join([]string{
				"set SERIAL_CONNECTION socket://" + listener.Addr().String(),
				"set USERNAME reader", "set PASSWORD secret", "set PASSWORD_HEX false", "connect",
				"use get_info", "run",
				"use enum_tables", "set LOWER 0", "set UPPER 8", "run",
				"use get_log_info", "run",
				"use read_table", "set TABLE_ID 28", "run",
				"set TABLE_ID 5", "run",
				"exit", "",
			}, "\n")
			command := exec.CommandContext(ctx, program)
			command.Stdin = strings.NewReader(script)
			command.Env = append(os.Environ(), "HOME="+home, "TERM=dumb")
			out, err := command.CombinedOutput()
			text := string(out)
			t.Log(text)
			require.NoError(t, err)
			// The log module then fails in its own printing of arguments.
			for _, want := range []string{
				"0000000000000042", "METER00000000000", "OUSM",
				"Found readable table, ID: 0", "Found readable table, ID: 1", "Found readable table, ID: 2", "Found readable table, ID: 3", "Found readable table, ID: 5",
				"Found readable table, ID: 6", "Found readable table, ID: 8", "Found 8 tables in range 0-8", "Log History Table Contains 16 Entries",
			} {
				require.Contains(t, text, want)
			}
		})
	}
}

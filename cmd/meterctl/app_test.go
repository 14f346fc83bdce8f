package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/openusm/meter"
	"github.com/openusm/meter/result"
)

// A heat meter answers on a wired M-Bus.
const heat = "6828286808017278563412430401042a0000000c05452301000c13100235000b2b0042000a5a03070a5e02053a16"

// outcome is what one run of the program left behind.
type outcome struct {
	exit           int
	stdout, stderr string
}

func run(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	return runContext(t.Context(), stdin, args...)
}

func runContext(ctx context.Context, stdin string, args ...string) outcome {
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs}
	exit := a.run(ctx, args)
	return outcome{exit, out.String(), errs.String()}
}

func TestExitStates(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	badKeys := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(badKeys, []byte("ek = zz\n"), 0o600))
	file := filepath.Join(t.TempDir(), "frame.hex")
	require.NoError(t, os.WriteFile(file, []byte(heat), 0o600))
	for name, test := range map[string]struct {
		exit int
		args []string
		says string // on stderr
	}{
		"decoded":                      {0, []string{"decode", heat}, ""},
		"no such command":              {2, []string{"frobnicate"}, "unknown command"},
		"no such flag":                 {2, []string{"read", "--frobnicate"}, "unknown flag"},
		"no target":                    {2, []string{"read"}, "requires at least 1 arg"},
		"bad target":                   {2, []string{"read", "tcp://nowhere"}, "host:port"},
		"bad code":                     {2, []string{"read", "sim:dlms", "1-0"}, "obis"},
		"bad format":                   {2, []string{"read", "sim:dlms", "-o", "xml"}, "unknown output format"},
		"bad protocol":                 {2, []string{"decode", "--protocol", "x25", heat}, "unknown protocol"},
		"neither file nor hexadecimal": {2, []string{"decode", "xyzzy"}, "neither a file nor hexadecimal"},
		"nobody listens":               {3, []string{"read", "tcp://127.0.0.1:1"}, "refused"},
		"no such port":                 {3, []string{"read", "/dev/there-is-no-such-port"}, "no such"},
		"no such file":                 {3, []string{"read", missing}, "missing"},
		"encrypted and no key":         {4, []string{"decode", "--protocol", "apdu", "C80A30000000010102030405"}, "encrypted"},
		"a wrong checksum":             {6, []string{"decode", heat[:len(heat)-4] + "0016"}, "checksum"},
		"half a frame":                 {6, []string{"decode", heat[:40]}, "EOF"},
		"a foreign protocol":           {6, []string{"decode", "47455420"}, "no known protocol"},
		"some codes are not there":     {7, []string{"read", "sim:iec62056", "1.8.0", "77.7.0"}, "77.7.0"},
		"no such code in a file":       {8, []string{"read", file, "77.7.0"}, "77.7.0"},
		"some codes are not in a file": {7, []string{"read", file, "6-0:1.0.0", "77.7.0"}, "77.7.0"},
		"none of the codes is there":   {8, []string{"read", "sim:iec62056", "77.7.0"}, "77.7.0"},
		"a bad key file":               {10, []string{"read", "sim:dlms", "--key-file", badKeys}, "line 1"},
		"a key file that is not there": {10, []string{"read", "sim:dlms", "--key-file", missing}, "missing"},
		"simulator that there is not":  {2, []string{"sim", "abacus", "--listen", "tcp://127.0.0.1:0"}, "abacus"},
		"simulator that is nowhere":    {2, []string{"sim", "dlms"}, "--listen"},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, "", test.args...)
			require.Equal(t, test.exit, got.exit, got.stderr)
			require.Contains(t, got.stderr, test.says)
			if test.exit != 0 && test.exit != 7 {
				require.Empty(t, got.stdout, "data only on stdout")
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	target := "tcp://" + silent.Addr().String()
	for _, protocol := range []string{"dlms", "mbus", "iec62056", "auto"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			got := run(t, "", "read", target, "--protocol", protocol, "--timeout", "50ms", "--retries", "-1")
			require.Equal(t, exitTimeout, got.exit, got.stderr)
			require.Contains(t, got.stderr, "hint:")
		})
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	got := runContext(ctx, "", "watch", "sim:dlms", "--interval", "10s")
	require.Equal(t, exitInterrupted, got.exit, got.stderr)
	require.Equal(t, 1, strings.Count(got.stdout, "\n"), "the sweep before the interrupt was printed")
}

// Every simulated meter can be read in every format.
func TestReadSimulators(t *testing.T) {
	for _, sim := range meter.Simulators() {
		for _, format := range formats {
			t.Run(sim+" "+format, func(t *testing.T) {
				t.Parallel()
				got := run(t, "", "read", "sim:"+sim, "-o", format)
				require.Equal(t, exitOK, got.exit, got.stderr)
				require.NotEmpty(t, got.stdout)
				switch format {
				case "json", "ndjson":
					var r meter.Result
					require.NoError(t, json.Unmarshal([]byte(got.stdout), &r))
					require.NotEmpty(t, r.Meter.ID)
					require.NotEmpty(t, r.Readings)
					if format == "ndjson" {
						require.Equal(t, 1, strings.Count(got.stdout, "\n"))
					}
				case "yaml":
					var doc map[string]any
					require.NoError(t, yaml.Unmarshal([]byte(got.stdout), &doc))
					require.Equal(t, result.Schema, doc["schema"])
				case "senml":
					var pack []map[string]any
					require.NoError(t, json.Unmarshal([]byte(got.stdout), &pack))
					require.NotEmpty(t, pack)
				}
			})
		}
	}
}

func TestProfileAndEvents(t *testing.T) {
	got := run(t, "", "profile", "sim:dlms", "--list", "-o", "json")
	require.Equal(t, exitOK, got.exit, got.stderr)
	require.Contains(t, got.stdout, "1-0:99.1.0*255")

	got = run(t, "", "profile", "sim:dlms", "-o", "json")
	require.Equal(t, exitOK, got.exit, got.stderr)
	var r meter.Result
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &r))
	require.Len(t, r.Profiles, 1)
	rows := r.Profiles[0].Len()
	require.Greater(t, rows, 96)

	last := r.Profiles[0].Times[rows-1].String()
	got = run(t, "", "profile", "sim:dlms", "--from", last, "-o", "csv")
	require.Equal(t, exitOK, got.exit, got.stderr)
	require.Equal(t, 2, strings.Count(got.stdout, "\n"), "a header and one row:\n%s", got.stdout)

	got = run(t, "", "events", "sim:dlms", "-o", "csv")
	require.Equal(t, exitOK, got.exit, got.stderr)
	require.Contains(t, got.stdout, "0-0:99.98.0*255")
}

func TestDecodeLines(t *testing.T) {
	got := run(t, heat+"\n# a comment\n\n"+heat[:20]+"\nnonsense\n"+heat+"\n", "decode", "--lines")
	require.Equal(t, exitPartial, got.exit)
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	require.Len(t, lines, 4, "one object for each frame, in order")
	require.Equal(t, lines[0], lines[3])
	require.Contains(t, lines[0], `"value":1234500`)
	for _, bad := range lines[1:3] {
		var e struct{ Error string }
		require.NoError(t, json.Unmarshal([]byte(bad), &e))
		require.NotEmpty(t, e.Error)
	}
}

func TestDecodeInputs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "frame")
	want := run(t, "", "decode", heat).stdout
	spaced := regexp.MustCompile("..").ReplaceAllString(heat, "0x$0, ")
	for name, content := range map[string]string{"hexadecimal": heat, "with decoration": "# a frame\n" + spaced + "\n", "binary": string(unhexed(t, heat))} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		require.Equal(t, want, run(t, "", "decode", file).stdout, name)
		require.Equal(t, want, run(t, content, "decode", "-").stdout, name)
		require.Equal(t, want, run(t, content, "decode").stdout, name)
	}
	require.Equal(t, want, run(t, "", "decode", heat[:10], heat[10:]).stdout, "several arguments are joined")
}

func unhexed(t *testing.T, s string) []byte {
	b, ok := unhex(s)
	require.True(t, ok)
	return b
}

// A capture of two packets, the second of which is sent again.
func TestPcap(t *testing.T) {
	frame := unhexed(t, heat)
	capture := pcap(tcpPacket(1000, frame[:10]), tcpPacket(1010, frame[10:]), tcpPacket(1010, frame[10:]))
	got := run(t, string(capture), "decode")
	require.Equal(t, exitOK, got.exit, got.stderr)
	require.Equal(t, run(t, "", "decode", heat).stdout, got.stdout)
	require.NotEqual(t, exitOK, run(t, string(capture[:30]), "decode").exit)
}

// pushed is a data-notification of one register in a wrapper, which has no checksum.
func pushed(value byte) []byte {
	b, _ := hex.DecodeString("0001000100010024" + "0f0000000100" + "01010203" + "09060100010800ff" + "06000000" + hex.EncodeToString([]byte{value}) + "02020f00161e" + "0000000000000000")
	b[7] = byte(len(b) - 8 - 8)
	return b[:len(b)-8]
}

// Packets of two meters come one between the other's; one is missing; one is late;
// one was cut by who captured it. No octet of one completes a message of another.
func TestPcapOfTwoMeters(t *testing.T) {
	a, b := pushed(11), pushed(22)
	cut := tcpFrom(1, 100, a)
	one, two := `"value":11,`, `"value":22,`
	for name, test := range map[string]struct {
		capture []byte
		exit    int
		want    []string
	}{
		"interleaved":           {pcap(tcpFrom(1, 100, a[:20]), tcpFrom(2, 500, b[:12]), tcpFrom(1, 120, a[20:]), tcpFrom(2, 512, b[12:])), 0, []string{one, two}},
		"one breaks off":        {pcap(tcpFrom(1, 100, a[:20]), tcpFrom(2, 500, b)), exitPartial, []string{two}},
		"a gap":                 {pcap(tcpFrom(1, 100, a[:20]), tcpFrom(1, 500, b), tcpFrom(1, 500+uint32(len(b)), a)), exitPartial, []string{two, one}},
		"late":                  {pcap(tcpFrom(1, 100, a), tcpFrom(1, 120+uint32(len(a)), b[20:]), tcpFrom(1, 100+uint32(len(a)), b[:20])), 0, []string{one, two}},
		"sent again, with more": {pcap(tcpFrom(1, 100, a[:20]), tcpFrom(1, 100, a)), 0, []string{one}},
		"cut":                   {pcap(cut[:len(cut)-8], tcpFrom(1, 100+uint32(len(a)), b)), exitPartial, []string{two}},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "cut" {
				binary.LittleEndian.PutUint32(test.capture[24+12:], uint32(len(cut)))
			}
			got := run(t, string(test.capture), "decode", "--protocol", "dlms", "-o", "ndjson")
			require.Equal(t, test.exit, got.exit, got.stderr)
			var lines []string // with readings; what is not whole has a warning and none
			for line := range strings.Lines(got.stdout) {
				if !strings.Contains(line, `"readings":[],`) {
					lines = append(lines, line)
				}
			}
			require.Len(t, lines, len(test.want), got.stdout)
			for i, want := range test.want {
				require.Contains(t, lines[i], want)
			}
		})
	}
}

// One line of hexadecimal digits may be as long as a capture; what stands between them is no matter.
func TestLongLines(t *testing.T) {
	frame, _ := strings.CutSuffix(heat, "\n")
	spaced := strings.TrimSpace(fmt.Sprintf("% x", unhexed(t, heat)))
	want := strings.Count(run(t, strings.Repeat(frame+"\n", 5000), "decode", "-o", "ndjson").stdout, "\n")
	require.Equal(t, 5000, want)
	for name, text := range map[string]string{
		"digits":  strings.Repeat(frame, 5000),
		"octets":  strings.Repeat(spaced+" ", 5000),
		"0x":      strings.Repeat("0x"+strings.ReplaceAll(spaced, " ", ", 0x")+", ", 5000),
		"comment": strings.Repeat(frame, 5000) + " # " + strings.Repeat(frame, 5000) + "\n#" + strings.Repeat("xyz ", 50000),
	} {
		got := run(t, text, "decode", "-o", "ndjson")
		require.Equal(t, exitOK, got.exit, "%s: %s", name, got.stderr)
		require.Equal(t, want, strings.Count(got.stdout, "\n"), name)
	}
	in, err := capture(io.NopCloser(strings.NewReader(strings.Repeat(frame, 100000))))
	require.NoError(t, err)
	n, err := in.each[0].Read(make([]byte, 1<<20))
	require.NoError(t, err)
	require.Less(t, n, 1<<17, "so much of the line is in memory")
}

// Who interrupts ends what waits for input that never comes.
func TestInterruptedInput(t *testing.T) {
	for _, args := range [][]string{{"decode", "-"}, {"decode", "--lines"}, {"explain"}, {"map", "--to", "csv"}, {"read", "-"}} {
		r, w := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		exit := make(chan int)
		go func() {
			a := &app{stdin: r, stdout: io.Discard, stderr: io.Discard}
			exit <- a.run(ctx, args)
		}()
		time.AfterFunc(50*time.Millisecond, cancel)
		select {
		case got := <-exit:
			require.Equal(t, exitInterrupted, got, args)
		case <-time.After(5 * time.Second):
			t.Fatal("still waiting", args)
		}
		_ = w.Close()
	}
}

// What would do nothing, or what nobody can mean, is refused before anything is opened.
func TestRefusedFlags(t *testing.T) {
	for line, says := range map[string]string{
		"read sim:mbus --server 5":                                       "--server is not for mbus",
		"read sim:mbus --auth hls-gmac":                                  "--auth is not for mbus",
		"read sim:mbus --address 300":                                    "want 0 to 254",
		"read sim:dlms --auth gmac":                                      "want none, low",
		"read sim:dlms --address 5":                                      "--address is not for dlms",
		"read tcp://127.0.0.1:1 --protocol sml --suite 1":                "--suite is not for sml",
		"read listen+dlms://127.0.0.1:0 --user x":                        "--user is not for dlms",
		"sim dlms --slaves 5 --listen tcp://127.0.0.1:0":                 "--slaves is not for dlms",
		"sim mbus --ied X --listen tcp://127.0.0.1:0":                    "--ied is not for mbus",
		"sim mbus --slaves -1 --listen tcp://127.0.0.1:0":                "--slaves -1",
		"sim mbus --slaves 100000000 --listen tcp://127.0.0.1:0":         "up to 250",
		"read sim:dlms --timeout -5s":                                    "--timeout",
		"read sim:dlms --retries -5":                                     "--retries",
		"watch sim:dlms --count -1":                                      "--count",
		"listen tcp://127.0.0.1:1 --count -1":                            "--count",
		"expose sim:mbus --as coap --auth low --listen coap://127.0.0.1": "--auth is not for mbus",
	} {
		got := run(t, "", strings.Fields(line)...)
		require.Equal(t, exitUsage, got.exit, "%s: %s", line, got.stderr)
		require.Contains(t, got.stderr, says, line)
	}
	for address, open := range map[string]bool{":1": true, "0.0.0.0:1": true, "[::]:1": true, "127.0.0.1:1": false, "[::1]:1": false, "localhost:1": false} {
		require.Equal(t, open, isOpen(address), address)
	}
}

// full is a disk, or a pipe, that takes the first so many writes.
type full struct {
	takes int
	err   error
}

func (f *full) Write(b []byte) (int, error) {
	if f.takes--; f.takes < 0 {
		return 0, f.err
	}
	return len(b), nil
}

// Who reads no more ends the program without a word, a full disk with one; the
// meter is left in order, so that its counters are believed at the next run.
func TestOutputEnds(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(keys, []byte("ek = 000102030405060708090A0B0C0D0E0F\nak = D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF\n"), 0o600))
	state := t.TempDir()
	frames := strings.Repeat(heat+"\n", 1000)
	for name, args := range map[string][]string{
		"watch": {"watch", "sim:dlms", "--interval", "1ms", "--auth", "hls-gmac", "--key-file", keys, "--state", state},
		"lines": {"decode", "--lines"},
		"json":  {"decode", "-o", "json"},
		"table": {"decode", "-o", "table"},
		"csv":   {"decode", "-o", "csv"},
		"obis":  {"obis", "1-0:1.8.0"},
	} {
		for _, test := range []struct {
			err  error
			exit int
			says string
		}{{syscall.EPIPE, exitInterrupted, ""}, {syscall.ENOSPC, exitOther, "no space left"}} {
			takes := 0
			if name == "watch" {
				takes = 2
			}
			var errs bytes.Buffer
			a := &app{stdin: strings.NewReader(frames), stdout: &full{takes, &fs.PathError{Op: "write", Path: "|1", Err: test.err}}, stderr: &errs}
			require.Equal(t, test.exit, a.run(t.Context(), args), "%s: %s", name, errs.String())
			if test.says == "" {
				require.NotContains(t, errs.String(), "meterctl:", name)
			} else {
				require.Contains(t, errs.String(), test.says, name)
			}
		}
	}
	got := run(t, "", "read", "sim:dlms", "1.8.0", "--auth", "hls-gmac", "--key-file", keys, "--state", state)
	require.Equal(t, exitOK, got.exit, got.stderr)
}

// A line that is too long loses itself.
func TestLongLineOfMany(t *testing.T) {
	got := run(t, heat+"\n"+strings.Repeat("A", 3<<20)+"\n"+heat+"\n", "decode", "--lines")
	require.Equal(t, exitPartial, got.exit, got.stderr)
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	require.Len(t, lines, 3)
	require.Contains(t, lines[1], `{"error":`)
	require.Equal(t, lines[0], lines[2])
}

func TestExplain(t *testing.T) {
	got := run(t, "", "explain", heat)
	require.Equal(t, exitOK, got.exit, got.stderr)
	require.Contains(t, got.stdout, "data: 1234500 Wh")
	got = run(t, "", "explain", heat[:30])
	require.Equal(t, exitFrame, got.exit)
	require.Contains(t, got.stdout, "length: 40 octets", "as far as it can be read")
}

// withoutReceipt leaves out when a result came.
func withoutReceipt(doc string) string {
	return regexp.MustCompile(` *"received":\s*"[^"]*",\n?`).ReplaceAllString(doc, "")
}

func TestRecordAndReplay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "transcript")
	first := run(t, "", "read", "sim:iec62056", "1.8.0", "--record", file, "-o", "json")
	require.Equal(t, exitOK, first.exit, first.stderr)
	again := run(t, "", "read", "tcp://nowhere.example:1", "1.8.0", "--protocol", "iec62056", "--replay", file, "-o", "json")
	require.Equal(t, exitOK, again.exit, again.stderr)
	require.Equal(t, withoutReceipt(first.stdout), withoutReceipt(again.stdout))
	other := run(t, "", "read", "tcp://nowhere.example:1", "--protocol", "mbus", "--replay", file)
	require.NotEqual(t, exitOK, other.exit)
	require.Contains(t, other.stderr, "differs")
}

func TestObis(t *testing.T) {
	got := run(t, "", "obis", "1.8.0", "C.1.0", "-o", "table")
	require.Equal(t, exitOK, got.exit)
	require.Contains(t, got.stdout, "active energy import total")
	require.Contains(t, got.stdout, "0-0:96.1.0*255")
	got = run(t, "", "obis", "1-1:30D", "-o", "json")
	require.Equal(t, exitUsage, got.exit)
	require.Contains(t, got.stdout, `"error"`)
}

func TestCompletionAndVersion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		got := run(t, "", "completion", shell)
		require.Equal(t, exitOK, got.exit)
		require.Contains(t, got.stdout, "meterctl")
	}
	require.Contains(t, run(t, "", "version").stdout, "meterctl ")
}

func TestKeysStaySecret(t *testing.T) {
	got := run(t, "", "read", "sim:dlms", "1.7.0", "--password", "hunter2-secret", "--auth", "none", "-v")
	require.Contains(t, got.stderr, "warning: --password")
	require.NotContains(t, got.stdout+got.stderr, "hunter2")
}

// The commands of the README print what the README shows.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```console\n\\$ meterctl (decode.*?)\n(meter .*?)```").FindStringSubmatch(string(text))
	require.NotNil(t, block)
	args := strings.Fields(strings.ReplaceAll(block[1], "\\\n", ""))
	require.Equal(t, block[2], run(t, "", args...).stdout)

	program := regexp.MustCompile("(?s)```go\n(.*?)```").FindStringSubmatch(string(text))
	require.NotNil(t, program)
	compiles(t, program[1])
}

// A simulated meter of C12.22 is read by UDP.
func TestSimUDP(t *testing.T) {
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	target := "udp://" + free.LocalAddr().String()
	require.NoError(t, free.Close())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan outcome, 1)
	go func() { done <- runContext(ctx, "", "sim", "c1222", "--listen", target) }()
	var got outcome
	require.Eventually(t, func() bool {
		got = run(t, "", "read", target, "1-0:14.7.0", "--protocol", "c1222", "--address", ".42,.1", "-o", "json")
		return got.exit == exitOK
	}, 10*time.Second, 50*time.Millisecond)
	require.Contains(t, got.stdout, `"protocol": "c1222"`)
	cancel()
	<-done
	got = run(t, "", "sim", "sml", "--listen", target)
	require.Equal(t, exitUsage, got.exit)
	require.Contains(t, got.stderr, "has no UDP")
}

// A recorded conversation has no password, and is replayed with it all the same.
func TestRecordHidesPasswords(t *testing.T) {
	record := filepath.Join(t.TempDir(), "record")
	flags := []string{"sim:dlms", "0-0:42.0.0", "--password", "geheim12"}
	got := run(t, "", append([]string{"read", "--record", record}, flags...)...)
	require.Equal(t, exitOK, got.exit, got.stderr)
	text, err := os.ReadFile(record)
	require.NoError(t, err)
	require.NotContains(t, string(text), hex.EncodeToString([]byte("geheim12")))
	require.Contains(t, string(text), hex.EncodeToString([]byte("********")))
	again := run(t, "", append([]string{"read", "--replay", record}, flags...)...)
	require.Equal(t, exitOK, again.exit, again.stderr)
	require.Equal(t, withoutReceipt(got.stdout), withoutReceipt(again.stdout))
}

// Nothing is written without being told to, and what cannot be is said.
func TestSet(t *testing.T) {
	for name, test := range map[string]struct {
		exit int
		args string
		says string
	}{
		"without --write":          {exitPolicy, "set sim:mbus clock now", "would set clock (0-0:1.0.0*255)"},
		"with it":                  {exitOK, "set sim:mbus clock now --write", "set clock"},
		"a relay":                  {exitOK, "set sim:dlms relay off --write", "disconnect control state"},
		"a limit":                  {exitOK, "set sim:dlms limit 4500 --write", "to 4500"},
		"a register":               {exitRefused, "set sim:dlms 1-0:1.8.0 5 --write", "denied"},
		"no such object":           {exitRefused, "set sim:dlms 1-0:99.9.0 5 --write", "no object"},
		"no such thing":            {exitRefused, "set sim:mbus relay off --write", "no such thing"},
		"a meter that only pushes": {exitRefused, "set sim:p1 clock now --write", "not commanded"},
		"no relay":                 {exitUsage, "set sim:dlms relay maybe", "on or off"},
		"no limit":                 {exitUsage, "set sim:dlms limit much", "watts"},
		"no code":                  {exitUsage, "set sim:dlms volume 5", "neither clock"},
		"no time":                  {exitUsage, "set sim:dlms clock later", "no time"},
	} {
		got := run(t, "", strings.Fields(test.args)...)
		require.Equal(t, test.exit, got.exit, "%s: %s", name, got.stderr)
		require.Contains(t, got.stderr, test.says, name)
	}
}

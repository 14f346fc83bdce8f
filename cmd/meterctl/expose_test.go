package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Several meters are read once each, and shown by several faces; one that dies is old in each.
func TestExposeMany(t *testing.T) {
	dying, unplug := start(t, "sim", "dlms", "--listen", "tcp://127.0.0.1:0")
	defer unplug()
	address := freeAddress(t)
	state := t.TempDir()
	_, stop := start(t, "expose", "one=tcp://"+dying, "two=sim:mbus", "sim:c1218", "--as", "dlms", "--listen", "tcp://"+address,
		"--as", "iec104", "--listen", "tcp://127.0.0.1:0", "--interval", "50ms", "--state", state)
	defer stop()
	read := func(sap, code string) outcome {
		return run(t, "", "read", "tcp://"+address, "--protocol", "dlms", "--server", sap, code, "-o", "csv", "--timeout", "5s")
	}
	require.Eventually(t, func() bool {
		for sap, code := range map[string]string{"16": "1-0:1.8.0", "17": "1-0:1.8.0", "18": "6-0:1.0.0"} {
			if got := read(sap, code); got.exit != exitOK || !strings.Contains(got.stdout, code) {
				return false
			}
		}
		return true
	}, 20*time.Second, 50*time.Millisecond)
	require.Contains(t, run(t, "", "scan", "tcp://"+address, "--protocol", "dlms", "-o", "json").stdout, `"18"`)
	unplug()
	saps := map[bool]int{}
	require.Eventually(t, func() bool {
		clear(saps)
		for _, sap := range []string{"16", "17"} {
			saps[read(sap, "1-0:1.8.0").exit == exitOK]++
		}
		return saps[true] == 1 && saps[false] == 1
	}, 20*time.Second, 50*time.Millisecond, "%v", saps)
}

// A face carries out what the table allows, and nothing else.
func TestExposeAllow(t *testing.T) {
	folder := t.TempDir()
	keys, allow := filepath.Join(folder, "keys"), filepath.Join(folder, "allow.csv")
	require.NoError(t, os.WriteFile(keys, []byte("[face:dlms]\npassword = geheim12\n"), 0o600))
	require.NoError(t, os.WriteFile(allow, []byte("actor,meter,code,lowest,highest\ndlms,house,0-0:96.3.10,,\n"), 0o600))
	address := freeAddress(t)
	_, stop := start(t, "expose", "house=sim:dlms", "--as", "dlms", "--listen", "tcp://"+address, "--interval", "50ms", "--key-file", keys, "--allow", allow, "--state", t.TempDir())
	defer stop()
	client := []string{"--protocol", "dlms", "--server", "16", "--auth", "low", "--password", "geheim12"}
	set := func(what, value string, flags ...string) outcome {
		return run(t, "", append([]string{"set", "tcp://" + address, what, value, "--write"}, flags...)...)
	}
	var got outcome
	require.Eventually(t, func() bool {
		got = set("0-0:96.3.10", "0", client...)
		return got.exit == exitOK
	}, 20*time.Second, 100*time.Millisecond, "%v", &got)
	require.Eventually(t, func() bool {
		return strings.Contains(run(t, "", append([]string{"read", "tcp://" + address, "0-0:96.3.10", "-o", "csv"}, client...)...).stdout, ",false,")
	}, 10*time.Second, 50*time.Millisecond)
	require.NotEqual(t, exitOK, set("clock", "now", client...).exit, "no row allows it")
	require.NotEqual(t, exitOK, set("0-0:96.3.10", "1", "--protocol", "dlms", "--server", "16").exit, "nobody in particular")
}

func TestExposeRefuses(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "allow.csv")
	require.NoError(t, os.WriteFile(bad, []byte("who,what\n"), 0o600))
	for args, want := range map[string]int{
		"sim:dlms":           exitUsage,
		"sim:dlms --as dlms": exitUsage,
		"sim:dlms --as dlms --as iec104 --listen tcp://127.0.0.1:0":             exitUsage,
		"sim:dlms --as morse --listen tcp://127.0.0.1:0":                        exitUsage,
		"sim:dlms --as dlms --listen udp://127.0.0.1:0":                         exitUsage,
		"sim:dlms --as dlms --listen tcp://127.0.0.1:0 --interval 0s":           exitUsage,
		"a=sim:dlms a=sim:mbus --as dlms --listen tcp://127.0.0.1:0":            exitUsage,
		"a=tcp://nowhere --as dlms --listen tcp://127.0.0.1:0":                  exitUsage,
		"sim:dlms --as dlms --listen tcp://127.0.0.1:0 --allow " + bad:          exitConfig,
		"sim:dlms --as dlms --listen tcp://127.0.0.1:0 --allow " + bad + "none": exitConfig,
		"tcp://127.0.0.1:1 --as dlms --listen tcp://127.0.0.1:0":                exitConnect,
	} {
		got := run(t, "", append([]string{"expose"}, strings.Fields(args)...)...)
		require.Equal(t, want, got.exit, "%s: %s", args, got.stderr)
	}
}

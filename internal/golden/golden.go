// Package golden loads test vectors: small text files beside the tests, and the
// corpus of foreign telegrams that METER_CORPUS names.
package golden

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// Vector is one block of a vector file.
type Vector struct {
	Name   string            // the text in [brackets]
	Fields map[string]string // "source", "key", …
	Hex    []byte            // the octets of the field "hex"
	Want   string            // the indented lines behind "want:", without their indentation
}

// Load reads the files that match the pattern, and fails where there are none. A file is
//
//	# comment
//	[name of the vector]
//	source: where the octets come from
//	hex: 68 03 03 68
//	  53 01 bd 11 16
//	want:
//	  the expected tree, line by line
func Load(t testing.TB, pattern string) []Vector {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("golden: no file matches %s (%v)", pattern, err)
	}
	var all []Vector
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parse(t, file, string(text))...)
	}
	return all
}

func parse(t testing.TB, file, text string) (all []Vector) {
	t.Helper()
	var v *Vector
	field := ""
	for n, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "#"), strings.TrimSpace(line) == "":
		case line[0] == '[':
			all = append(all, Vector{Name: strings.Trim(line, "[]"), Fields: map[string]string{}})
			v, field = &all[len(all)-1], ""
		case v == nil:
			t.Fatalf("%s:%d: no [name] before %q", file, n+1, line)
		case line[0] == ' ' && field != "":
			v.Fields[field] += strings.TrimPrefix(line, "  ") + "\n"
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				t.Fatalf("%s:%d: %q is no field", file, n+1, line)
			}
			field = name
			v.Fields[field] = strings.TrimSpace(value)
			if v.Fields[field] != "" {
				v.Fields[field] += "\n"
			}
		}
	}
	for i := range all {
		v := &all[i]
		for name, value := range v.Fields {
			v.Fields[name] = strings.TrimRight(value, "\n")
		}
		v.Want = v.Fields["want"]
		v.Hex = Unhex(t, v.Fields["hex"])
	}
	return all
}

// Unhex reads hexadecimal digits and skips white space between them.
func Unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// CorpusDir returns the folder that METER_CORPUS names. Where the variable is
// not set it skips the test and says so; where it names no folder it fails.
func CorpusDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("METER_CORPUS")
	if dir == "" {
		t.Skip("METER_CORPUS is not set: no corpus of foreign telegrams to test against")
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		t.Fatalf("METER_CORPUS=%s is no folder (%v)", dir, err)
	}
	return dir
}

// notJSON finds the numbers that some writers of JSON have and JSON has not.
var notJSON = regexp.MustCompile(`([:,\[]\s*)(?:NaN|-?Infinity)\b`)

// Corpus reads the rows of a JSON lines file of the corpus;
// numbers that JSON does not know, as NaN, are null.
func Corpus[T any](t testing.TB, name string) []T {
	t.Helper()
	f, err := os.Open(filepath.Join(CorpusDir(t), name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows []T
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		line = notJSON.ReplaceAll(line, []byte("${1}null"))
		var row T
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatalf("%s row %d: %v", name, len(rows)+1, err)
		}
		rows = append(rows, row)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(rows) == 0 {
		t.Fatalf("%s has no rows", name)
	}
	return rows
}

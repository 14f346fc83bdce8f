// Package deps holds the import rules of ARCHITECTURE.md as a test.
package deps

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/openusm/meter"

var (
	protocols = []string{"cosem", "iec62056", "mbus", "ansic12"}
	// Trees that a vendor imports alone: standard library only.
	standardOnly = append([]string{"obis", "iec61850", "internal", "serve", "site"}, protocols...)
	// Satellite modules: the root module must not know them.
	satellites = []string{"serial", "mapping/iec104", "gateway", "cmd", "stream", "examples"}
	// The only places where more than one protocol may be imported.
	composers = []string{"", "driver", "gateway", "stream", "cmd", "examples"}
	// Codecs and sans-I/O cores: bytes in, values out.
	codecs = []string{
		"obis", "internal/wire", "internal/ber",
		"cosem", "cosem/apdu", "cosem/hdlc", "cosem/wrapper", "cosem/security",
		"iec62056", "iec62056/p1", "iec62056/sml",
		"mbus", "mbus/link", "mbus/wmbus",
		"ansic12", "ansic12/psem", "ansic12/tables", "ansic12/epsem", "ansic12/osgp", "ansic12/receive", "result",
		"iec61850/scl", "iec61850/mms", "openadr/v2b", "openadr/v3",
		"mapping", "mapping/cim", "mapping/coap", "mapping/greenbutton", "mapping/ied", "mapping/ngsild", "mapping/timeseries",
	}
	links      = []string{"cosem/hdlc", "cosem/wrapper", "mbus/link", "ansic12/psem"}
	simulators = []string{"cosem/cosemsim", "iec62056/iec62056sim", "mbus/mbussim", "mbus/wmbus/wmbussim", "ansic12/ansicsim"}
)

// file is one Go file of the repository.
type file struct {
	folder  string // from the root, "" for the root itself
	name    string
	test    bool
	inits   int
	imports []string
}

func TestImportRules(t *testing.T) {
	files := repository(t)
	require.NotEmpty(t, files)
	for _, f := range files {
		for _, imported := range f.imports {
			for _, problem := range broken(f, imported) {
				t.Errorf("%s/%s imports %q: %s", f.folder, f.name, imported, problem)
			}
		}
		if f.inits > 0 && !f.test && !within(f.folder, satellites) {
			t.Errorf("%s/%s has a func init", f.folder, f.name)
		}
	}
}

// TestThinFrontDoor holds the front door and the adapters of the protocols to their size.
func TestThinFrontDoor(t *testing.T) {
	lines := func(pattern string) (all, most int) {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			n := strings.Count(string(text), "\n")
			all, most = all+n, max(most, n)
		}
		return all, most
	}
	front, _ := lines("../../*.go")
	require.NotZero(t, front)
	require.Less(t, front, 3000)
	_, adapter := lines("../../driver/*.go")
	require.NotZero(t, adapter)
	require.LessOrEqual(t, adapter, 200)
}

// TestRulesBite proves that each rule finds what it forbids.
func TestRulesBite(t *testing.T) {
	for _, bad := range []struct{ folder, imported string }{
		{"obis", module + "/internal/wire"},
		{"obis", "github.com/stretchr/testify"},
		{"cosem", module + "/mbus"},
		{"cosem/apdu", "net"},
		{"cosem/hdlc", module + "/obis"},
		{"mbus/bus", module + "/mapping"},
		{"mapping/cim", module + "/cosem"},
		{"iec61850/mms", module + "/obis"},
		{"mbus/mbussim", "testing"},
		{"", module + "/serial"},
		{"internal/wire", module + "/obis"},
		{"", "crypto/aes"},
		{"", "bufio"},
		{"", module + "/internal/wire"},
		{"driver", "crypto/aes"},
		{"driver", module},
		{"serve", module + "/obis"},
		{"result", module + "/cosem"},
		{"keys", module + "/mbus"},
		{"site", module + "/result"},
	} {
		require.NotEmpty(t, broken(file{folder: bad.folder, name: "x.go"}, bad.imported), "%+v", bad)
	}
	require.Empty(t, broken(file{folder: "cosem/dlms", name: "x.go"}, module+"/cosem/apdu"))
	require.Empty(t, broken(file{folder: "cosem/dlms", name: "x.go"}, "net"))
}

// broken returns the rules that this import breaks.
func broken(f file, imported string) (problems []string) {
	report := func(when bool, problem string) {
		if when {
			problems = append(problems, problem)
		}
	}
	own, ours := strings.CutPrefix(imported, module)
	own = strings.TrimPrefix(own, "/")
	thirdParty := !ours && strings.Contains(strings.Split(imported, "/")[0], ".")

	report(f.folder != "" && !f.test && thirdParty && within(f.folder, standardOnly), "standard library only here")
	report(!f.test && slices.Contains(codecs, f.folder) && slices.Contains([]string{"net", "os", "log"}, imported), "codecs do no I/O")
	report(slices.Contains(simulators, f.folder) && !f.test && imported == "testing", "simulators never import testing")
	front := !f.test && (f.folder == "" || f.folder == "driver")
	report(front && (imported == "crypto" || strings.HasPrefix(imported, "crypto/")), "the front door enciphers nothing")
	report(front && slices.Contains([]string{"bufio", module + "/internal/wire"}, imported) && f.name != "driver.go",
		"the front door gathers no octets")
	report(f.folder == "driver" && ours && (own == "" || within(own, []string{"gateway", "mapping"})), "is below the front door")
	report(f.folder == "serve" && !f.test && ours, "serves any protocol")
	report((f.folder == "result" || f.folder == "keys") && !f.test && ours && !slices.Contains([]string{"", "obis", "mapping", "internal", "result"}, strings.Split(own, "/")[0]),
		"knows no protocol")
	if !ours {
		return problems
	}
	report(!within(f.folder, satellites) && within(own, satellites), "the root module never imports a satellite")
	if f.test && strings.HasPrefix(own, "internal/golden") {
		return problems
	}
	report((f.folder == "obis" || f.folder == "internal/wire" || f.folder == "serve") && own != f.folder, "imports nothing of ours")
	report(f.folder == "site" && !f.test && !slices.Contains([]string{"obis", "mapping"}, own), "knows the model alone")
	report(slices.Contains(links, f.folder) && !strings.HasPrefix(own, "internal/") && own != f.folder, "link codecs import only internal/wire")
	tree, importedTree := strings.Split(f.folder, "/")[0], strings.Split(own, "/")[0]
	if slices.Contains(protocols, tree) {
		report(importedTree != tree && importedTree != "obis" && importedTree != "internal", "a protocol tree imports obis, internal and itself")
	}
	if tree == "iec61850" || tree == "openadr" {
		report(importedTree != tree && importedTree != "internal" && own != "serve", "knows nothing of OBIS or meters")
	}
	if tree == "mapping" && !within(f.folder, satellites) {
		report(!slices.Contains([]string{"mapping", "obis", "internal", "iec61850", "openadr"}, importedTree), "a mapping imports obis, mapping and its target")
	}
	report(slices.Contains(protocols, importedTree) && importedTree != tree && !slices.Contains(composers, tree),
		"only the front door and the programs compose protocols")
	return problems
}

// within reports whether folder is one of the trees or lies below one.
func within(folder string, trees []string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool {
		return folder == tree || strings.HasPrefix(folder, tree+"/")
	})
}

// repository parses the imports of every Go file.
func repository(t *testing.T) (files []file) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		f := file{folder: path.Dir(name), name: path.Base(name), test: strings.HasSuffix(name, "_test.go")}
		if f.folder == "." {
			f.folder = ""
		}
		for _, spec := range tree.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, imported)
		}
		for _, decl := range tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				f.inits++
			}
		}
		files = append(files, f)
		return nil
	}))
	return files
}

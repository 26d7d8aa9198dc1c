package main

import (
	"bufio"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// arrows are the imports between our own packages that the design allows:
// everything points down.
var arrows = map[string][]string{
	"":                    {"internal/app"},
	"migrations":          {},
	"identity/vault":      {"migrations", "identity/ledger"},
	"identity/policy":     {"migrations", "identity/ledger"},
	"identity/monitor":    {"migrations", "identity/ledger"},
	"identity/ledger":     {"migrations"},
	"scheduler/task":      {"migrations"},
	"migrations/migrated": {"migrations"},
	"identity/budget":     {"migrations", "identity/ledger"},
	"identity/label":      {},
	"identity":            {"identity/label", "identity/budget", "migrations", "identity/vault", "identity/policy", "identity/monitor", "identity/ledger", "scheduler/task"},
	"memory":              {"identity/label", "migrations", "identity/ledger", "scheduler/task"}, // a note carries the label of the turn that made it
	"scheduler":           {"migrations", "identity/label", "identity/ledger", "scheduler/task"},
	"scheduler/phrases":   {},
	"scheduler/handoff":   {"migrations", "identity/label", "identity/ledger", "scheduler", "scheduler/task"},
	"connection/auth":     {},
	"connection/web":      {},
	"connection/egress":   {},
	"connection/child":    {},
	"connection/mcp":      {"connection/child"},
	"connection":          {"migrations", "identity/ledger", "identity/vault", "connection/auth", "connection/web", "connection/child", "connection/egress", "connection/mcp"},
	"bot":                 {"identity/label", "identity/budget", "identity/monitor", "connection", "migrations", "identity", "identity/policy", "identity/ledger", "memory", "scheduler", "scheduler/handoff", "scheduler/task"},
	"handlers":            {"identity/budget", "connection", "bot", "migrations", "identity", "identity/vault", "identity/policy", "identity/monitor", "identity/ledger", "memory", "scheduler", "scheduler/handoff", "scheduler/task"},
	"handlers/console":    {"bot", "migrations", "identity", "identity/ledger", "memory", "scheduler", "scheduler/task"},
	"internal/slacksim":   {},
	"internal/modelsim":   {},
	"internal/tracker":    {},
	"internal/app": {"identity/label", "identity/budget", "connection", "connection/auth", "connection/child", "connection/egress", "bot", "handlers", "handlers/console", "identity", "identity/ledger", "identity/policy", "identity/vault", "identity/monitor", "memory", "migrations",
		"scheduler", "scheduler/handoff", "scheduler/task", "internal/slacksim", "internal/modelsim", "internal/tracker"},
	"docs/verify":    {},
	"internal/crash": {"internal/app", "internal/slacksim", "internal/modelsim", "identity/ledger", "migrations", "scheduler"}, // the duties whose runs it kills
}

// testArrows may be imported by any test: the emulators are what tests stand on.
var testArrows = []string{"identity/label", "internal/slacksim", "internal/modelsim", "internal/tracker", "migrations", "migrations/migrated", "identity/ledger", "identity/policy", "identity/vault", "identity", "memory", "scheduler", "scheduler/phrases", "scheduler/task"}

// keepers are libraries that only some files may import.
var keepers = map[string]func(file string) bool{
	"github.com/slack-go/slack": func(f string) bool {
		return strings.HasPrefix(f, "bot/slack") || strings.HasPrefix(f, "handlers/") || strings.HasPrefix(f, "internal/slacksim/")
	},
	"github.com/sashabaranov/go-openai": func(f string) bool { return strings.HasPrefix(f, "bot/model_openai") },
	"github.com/cedar-policy/cedar-go":  func(f string) bool { return strings.HasPrefix(f, "identity/policy/") },
	"github.com/modelcontextprotocol/go-sdk": func(f string) bool {
		return strings.HasPrefix(f, "connection/mcp/") || strings.HasPrefix(f, "internal/tracker/")
	},
	"github.com/mattn/go-sqlite3": func(f string) bool { return strings.HasPrefix(f, "migrations/") },
	"github.com/jackc/pgx/v5":     func(f string) bool { return strings.HasPrefix(f, "migrations/") },
}

func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "bin" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			files = append(files, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	for _, file := range goFiles(t) {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatalf("parse %s: %v", file, err)
		}
		from := filepath.ToSlash(filepath.Dir(file))
		if from == "." {
			from = ""
		}
		allowed, known := arrows[from]
		if !known {
			t.Errorf("%s: package %q is not in the list of arrows; add it with what it may import", file, from)
			continue
		}
		isTest := strings.HasSuffix(file, "_test.go")
		for _, i := range f.Imports {
			path := strings.Trim(i.Path.Value, `"`)
			if to, ours := strings.CutPrefix(path, "deskmate/"); ours {
				if to != from && !slices.Contains(allowed, to) && !(isTest && (slices.Contains(testArrows, to) || from == "")) {
					t.Errorf("%s imports %s: an arrow that the design does not have", file, to)
				}
			}
			for lib, may := range keepers {
				if (path == lib || strings.HasPrefix(path, lib+"/")) && !isTest && !may(file) {
					t.Errorf("%s imports %s, which only its keeper may", file, path)
				}
			}
		}
	}
}

// placeMakers are the files that may say where memory is read and for whom: the one
// way in production, which looks what is public still, and those of an operator at
// the command line, who reads all.
var placeMakers = []string{"bot/place.go", "internal/app/eval.go", "internal/app/memory_look.go"}

func TestMemoryIsReadFromPlacesOfTheDirectory(t *testing.T) {
	t.Parallel()
	made := regexp.MustCompile(`memory\.Place\{[^}]`)
	for _, file := range goFiles(t) {
		if strings.HasSuffix(file, "_test.go") || slices.Contains(placeMakers, file) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if made.Match(text) {
			t.Errorf("%s makes a place to read memory from: ask Directory.ReadingPlace for it", file)
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	t.Parallel()
	for _, file := range goFiles(t) {
		if n := countLines(t, file); n > 700 {
			t.Errorf("%s has %d lines; over 700 there is a second thing in it", file, n)
		} else if n > 500 {
			t.Logf("%s has %d lines; aim for 500", file, n)
		}
	}
}

func countLines(t *testing.T, file string) int {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for s := bufio.NewScanner(f); s.Scan(); n++ {
	}
	return n
}

// secretShapes are forms of live credentials that must not stand in the tree.
var secretShapes = regexp.MustCompile(`xox[bp]-\d{11,}-\d{11,}-[A-Za-z0-9]{20,}|xapp-1-A[A-Z0-9]{9,}-\d{11,}-[a-f0-9]{40,}|sk-[A-Za-z0-9]{40,}|ghp_[A-Za-z0-9]{36}|AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----`)

func TestNoSecretsInTheTree(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if m := secretShapes.Find(b); m != nil {
			t.Errorf("%s holds something with the shape of a live secret: %.12s…", path, m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every command that the README and docs give in a fenced block starts with a
// program or make target that exists.
func TestDocsNameRealTargets(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	target := regexp.MustCompile(`(?m)^(?:    |\s*\$ )?make ([a-z-]+)`)
	found := 0
	for _, file := range append(docs, "README.md") {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range target.FindAllStringSubmatch(string(b), -1) {
			found++
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).Match(makefile) {
				t.Errorf("%s names 'make %s', which the Makefile does not have", file, m[1])
			}
		}
	}
	if found == 0 {
		t.Error("no make target is named in README.md or docs: the newcomer has nothing to run")
	}
}

package connection_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"deskmate/connection"
	"deskmate/identity/ledger"
	"deskmate/identity/vault"
	"deskmate/migrations"
	"deskmate/migrations/migrated"
)

const workspace = "T0TEST"

// rig is a manager on a store of its own.
type rig struct {
	*connection.Manager
	notices []string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	db, err := migrations.Open(t.Context(), migrated.At(t, filepath.Join(dir, "deskmate.db")), migrations.Options{Logger: zerolog.Nop()})
	must(t, err)
	keys, err := ledger.LoadKeys(filepath.Join(dir, "key"))
	must(t, err)
	l := ledger.New(db, keys, ledger.Options{Logger: zerolog.Nop()})
	ring, err := vault.OpenFile(filepath.Join(dir, "vault-key"))
	must(t, err)
	r := &rig{}
	r.Manager = connection.New(connection.Options{DB: db, Ledger: l, Vault: vault.New(db, l, ring), Logger: zerolog.Nop(), Version: "test",
		Notice: func(_ *migrations.Tx, _, _, text string) error {
			r.notices = append(r.notices, text)
			return nil
		}})
	t.Cleanup(func() {
		r.Close()
		must(t, db.Close())
	})
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add connects a system by its YAML and accepts what it shows.
func (r *rig) add(t *testing.T, text string) connection.Connection {
	t.Helper()
	s, err := connection.Parse([]byte(text))
	must(t, err)
	_, err = r.Add(t.Context(), "U0ADA", workspace, s)
	must(t, err)
	c, err := r.Refresh(t.Context(), workspace, s.Name)
	must(t, err)
	if c.State != connection.StateNew || c.SeenPin == "" {
		t.Fatalf("before it is accepted it is %s, pin %q", c.State, c.SeenPin)
	}
	c, err = r.Accept(t.Context(), "U0ADA", workspace, s.Name, c.SeenPin)
	must(t, err)
	return c
}

func (r *rig) call(ctx context.Context, t *testing.T, tool, args string) (connection.Answer, error) {
	t.Helper()
	all, err := r.Offered(ctx, workspace)
	must(t, err)
	for _, x := range all {
		if x.Name == tool {
			return r.Call(ctx, connection.Call{Workspace: workspace, Tool: tool, Pin: x.Pin, Args: json.RawMessage(args), Thread: "th", Key: "k"})
		}
	}
	t.Fatalf("%s is not offered", tool)
	return connection.Answer{}, nil
}

// npmServer is the script of an MCP server of the npm packages, and its
// node_modules.
func npmServer(t *testing.T, name string) (script, modules string) {
	t.Helper()
	modules, err := filepath.Abs("testdata/npm/node_modules")
	must(t, err)
	script = filepath.Join(modules, "@modelcontextprotocol", "server-"+name, "dist", "index.js")
	_, err = os.Stat(script)
	if _, lerr := exec.LookPath("node"); err != nil || lerr != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the MCP servers of npm are not installed: %v", errors.Join(err, lerr))
		}
		t.Skip("the MCP servers of npm are not installed: scripts/deps.sh test")
	}
	return script, modules
}

func TestEverythingOverStdio(t *testing.T) {
	t.Parallel()
	script, modules := npmServer(t, "everything")
	r := newRig(t)
	c := r.add(t, `
name: everything
kind: mcp
command: [node, "`+script+`"]
read: ["`+modules+`"]
classes: {"*": read}
`)
	if len(c.Tools()) < 5 || !strings.Contains(c.Server, "verything") {
		t.Errorf("server %q with %d tools", c.Server, len(c.Tools()))
	}
	got, err := r.call(t.Context(), t, "everything.echo", `{"message":"hello there"}`)
	must(t, err)
	if !strings.Contains(got.Text, "hello there") {
		t.Errorf("echo gave %q", got.Text)
	}
	got, err = r.call(t.Context(), t, "everything.echo", `{"message":7}`)
	if err == nil && !got.Failed {
		t.Errorf("echo took a number: %q", got.Text)
	}
	var names []string
	for _, x := range c.Tools() {
		names = append(names, x.Name+" "+x.Class)
	}
	t.Log(strings.Join(names, ", "))
	_ = time.Now
}

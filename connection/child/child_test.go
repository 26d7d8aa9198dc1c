package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience bounds a wait for something that is certain to come.
const patience = time.Minute

// start runs a shell script in each sandbox that this machine has.
func start(t *testing.T, s Spec, script string) *Process {
	t.Helper()
	if s.Sandbox == "" {
		if _, err := Bubblewrap(); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	s.Command = []string{"/bin/sh", "-c", script}
	p, err := Start(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(p) })
	return p
}

func stop(p *Process) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.Stop(ctx)
}

// said is everything that the child writes until it ends.
func said(t *testing.T, p *Process) string {
	t.Helper()
	b, err := io.ReadAll(p.Stdout)
	if err != nil && !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
	ended(t, p)
	return string(b)
}

func ended(t *testing.T, p *Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatal("the child does not end")
	}
}

func TestEnvironmentIsExactlyWhatWasNamed(t *testing.T) {
	t.Setenv("SLACK_BOT_TOKEN", "xoxb-not-for-children")
	for _, sandbox := range []string{"", SandboxNone} {
		p := start(t, Spec{Env: map[string]string{"COLOUR": "green"}, Sandbox: sandbox, Network: NetworkFull}, `/usr/bin/env`)
		got := said(t, p)
		if !strings.Contains(got, "COLOUR=green") {
			t.Errorf("sandbox %q: the child has not what was named: %q, %v", sandbox, got, p.Err())
		}
		for _, line := range strings.Fields(got) {
			name, _, _ := strings.Cut(line, "=")
			// A shell sets PWD for what it runs, and bubblewrap the directory that it was told.
			if name != "COLOUR" && name != "PWD" && name != "_" && name != "OLDPWD" && name != "SHLVL" {
				t.Errorf("sandbox %q: the child has %q", sandbox, line)
			}
		}
	}
}

func TestSandboxShowsOnlyWhatItShould(t *testing.T) {
	t.Parallel()
	hidden, shown, own := t.TempDir(), t.TempDir(), t.TempDir()
	for dir, text := range map[string]string{hidden: "secret", shown: "open"} {
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, Spec{Dir: own, Read: []string{shown}}, fmt.Sprintf(
		`cat %s/file; echo; cat %s/file && echo SEEN; echo x > %s/new && echo WRITTEN; echo mine > here; pwd; ls /root /home /var /etc/shadow 2>/dev/null; tail -n +3 /proc/net/dev; ls -d /proc/[0-9]* | wc -l`, shown, hidden, shown))
	got := said(t, p)
	if p.Sandbox != SandboxBubblewrap {
		t.Fatalf("it runs in %q", p.Sandbox)
	}
	if !strings.HasPrefix(got, "open\n") {
		t.Errorf("it cannot read what it may: %q", got)
	}
	for _, bad := range []string{"secret", "SEEN", "WRITTEN", "shadow", "eth", "ens", "wlan"} {
		if strings.Contains(got, bad) {
			t.Errorf("the child got at %q: %s", bad, got)
		}
	}
	if !strings.Contains(got, own) {
		t.Errorf("it runs elsewhere than in %s: %s", own, got)
	}
	if b, err := os.ReadFile(filepath.Join(own, "here")); err != nil || string(b) != "mine\n" {
		t.Errorf("what it wrote in its directory: %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(shown, "new")); err == nil {
		t.Error("it wrote where it may only read")
	}
}

func TestOwnDirectoryGoesWithTheChild(t *testing.T) {
	t.Parallel()
	p := start(t, Spec{}, `pwd; echo x > kept`)
	dir := strings.TrimSpace(said(t, p))
	if !strings.Contains(dir, "deskmate-connection-") {
		t.Fatalf("it ran in %q", dir)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

// running reports whether a process has word in its command line.
func running(word string) bool {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range all {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), word) {
			return true
		}
	}
	return false
}

func TestStopEndsGrandchildrenThatIgnoreSignals(t *testing.T) {
	t.Parallel()
	for i, sandbox := range []string{"", SandboxNone} {
		mark := fmt.Sprintf("61%d234.%d", i, os.Getpid())
		p := start(t, Spec{Sandbox: sandbox, Network: NetworkFull},
			fmt.Sprintf(`trap "" TERM HUP INT; (trap "" TERM HUP INT; sleep %s) & setsid sleep %s & echo up; while :; do wait; done`, mark, mark))
		b := make([]byte, 3)
		if _, err := io.ReadFull(p.Stdout, b); err != nil {
			t.Fatal(err)
		}
		for until := time.Now().Add(patience); !running(mark) && time.Now().Before(until); {
			time.Sleep(5 * time.Millisecond) // until the kernel has started it
		}
		if !running(mark) {
			t.Fatalf("sandbox %q: the grandchild never ran", sandbox)
		}
		stop(p)
		for until := time.Now().Add(patience); running(mark) && time.Now().Before(until); {
			time.Sleep(5 * time.Millisecond) // until the kernel has taken it away
		}
		if running(mark) {
			t.Errorf("sandbox %q: a grandchild lives on", sandbox)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	p := start(t, Spec{Memory: 48 << 20, Sandbox: SandboxNone, Network: NetworkFull}, `tail /dev/zero`)
	ended(t, p)
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "of memory, and 48 is its limit") {
		t.Errorf("after too much memory: %v", err)
	}
	p = start(t, Spec{Processes: 5}, `for i in 1 2 3 4 5 6 7 8 9; do sleep 600 & done; wait`)
	ended(t, p)
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "and 5 is its limit") {
		t.Errorf("after too many processes: %v", err)
	}
}

func TestStderrIsHandedOverInBoundedLines(t *testing.T) {
	t.Parallel()
	lines := make(chan string, 10)
	p := start(t, Spec{Stderr: func(line string) { lines <- line }}, `echo first >&2; head -c 100000 /dev/zero | tr '\0' x >&2; echo >&2; echo last >&2`)
	said(t, p)
	if got := <-lines; got != "first" {
		t.Errorf("the first line is %q", got)
	}
	if got := <-lines; len(got) != mostLine {
		t.Errorf("a long line has %d bytes", len(got))
	}
	if got := <-lines; got != "last" {
		t.Errorf("the last line is %q", got)
	}
}

func TestWhatCannotBeStarted(t *testing.T) {
	t.Parallel()
	for _, s := range []Spec{
		{}, {Command: []string{"no-such-program-anywhere"}}, {Command: []string{"/bin/true"}, Network: "some"}, {Command: []string{"/bin/true"}, Sandbox: "chroot"},
	} {
		if p, err := Start(s); err == nil {
			stop(p)
			t.Errorf("%+v was started", s)
		}
	}
}

func TestEndIsTold(t *testing.T) {
	t.Parallel()
	p := start(t, Spec{}, `exit 3`)
	ended(t, p)
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("it ended with %v", err)
	}
}

// Package child runs a connection's program as a child process and talks to it
// over its standard input and output.
//
// It promises that the child gets exactly the environment that it was given and
// nothing of ours, that it runs apart from us (own process group; with
// bubblewrap also own process, file and network namespaces), that it is ended
// with everything that it started, and that a limit which cannot be kept is a
// refusal to start, unless the admin gave the limit up in so many words. It must
// never hand a secret on a command line, where every user of the machine reads it.
//
// It works on Linux; elsewhere only children without a sandbox start.
package child

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Values of Spec.Network.
const (
	NetworkNone = "none" // only a loopback of its own
	NetworkFull = "full" // what the machine has
)

// Values of Spec.Sandbox, and of what Process.Sandbox reports.
const (
	SandboxBubblewrap = "bubblewrap"
	SandboxNone       = "none"
)

// Bounds of what a child may take where the spec says nothing.
const (
	DefaultMemory    = 512 << 20 // bytes, of it and what it starts
	DefaultProcesses = 64
	DefaultCPU       = 1.0 // cores, on average over cpuWindow
	graceTime        = 2 * time.Second
	mostLine         = 4 << 10 // bytes of one line of stderr that are passed on
)

// Spec is a program to run and what it may have.
type Spec struct {
	Command   []string          // program and arguments; the program is looked up in our PATH
	Env       map[string]string // its whole environment
	Dir       string            // where it runs and may write; "" is a directory of its own that goes with it
	Read      []string          // files and directories that it may read, beside the system's programs and libraries
	Network   string            // none or full; "" is none
	Memory    int64             // bytes; 0 is DefaultMemory
	Processes int               // 0 is DefaultProcesses
	CPU       float64           // cores; 0 is DefaultCPU
	Sandbox   string            // "" is the best there is, and a refusal where there is none; none is the admin's choice
	Stderr    func(line string) // gets what it writes to stderr, a line at a time
}

// Process is a child that runs.
type Process struct {
	Stdin   io.WriteCloser
	Stdout  io.ReadCloser
	Sandbox string // what it runs in

	cmd      *exec.Cmd
	stderr   *os.File
	heard    chan struct{} // closed when all of stderr has been handed over
	own      string        // directory to remove, "" for none
	done     chan struct{}
	mu       sync.Mutex
	ended    error  // how it ended, once done is closed
	why      string // why we ended it
	stopOnce sync.Once
}

// ErrNoSandbox means that this machine cannot keep a child apart.
var ErrNoSandbox = errors.New("bubblewrap (bwrap) is not installed or does not work here: install it (package bubblewrap), or give up the sandbox of this connection with `sandbox: none`")

// Start runs the program. The child lives until Stop is called or it ends.
func Start(s Spec) (*Process, error) {
	if len(s.Command) == 0 {
		return nil, errors.New("start child: there is no command")
	}
	program, err := exec.LookPath(s.Command[0])
	if err != nil {
		return nil, fmt.Errorf("start child: %w", err)
	}
	if program, err = filepath.Abs(program); err != nil {
		return nil, fmt.Errorf("start child: %w", err)
	}
	p := &Process{done: make(chan struct{})}
	dir := s.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "deskmate-connection-"); err != nil {
			return nil, fmt.Errorf("start child: make its directory: %w", err)
		}
		p.own = dir
	}
	argv, sandbox, err := wrap(s, program, dir)
	if err != nil {
		p.tidy()
		return nil, fmt.Errorf("start child: %w", err)
	}
	p.Sandbox = sandbox
	if err := p.run(s, argv, dir); err != nil {
		p.tidy()
		return nil, fmt.Errorf("start child: %w", err)
	}
	return p, nil
}

func (p *Process) run(s Spec, argv []string, dir string) error {
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Dir = dir
	p.cmd.Env = []string{}
	for _, k := range slices.Sorted(maps.Keys(s.Env)) {
		p.cmd.Env = append(p.cmd.Env, k+"="+s.Env[k])
	}
	p.cmd.SysProcAttr = attributes()
	var err error
	if p.Stdin, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	out, outChild, err := os.Pipe()
	if err != nil {
		return err
	}
	errs, errsChild, err := os.Pipe()
	if err != nil {
		return errors.Join(err, out.Close(), outChild.Close())
	}
	p.cmd.Stdout, p.cmd.Stderr = outChild, errsChild
	err = p.cmd.Start()
	// The child has its own copies now.
	err = errors.Join(err, outChild.Close(), errsChild.Close())
	if err != nil {
		return errors.Join(err, out.Close(), errs.Close())
	}
	p.Stdout, p.stderr, p.heard = out, errs, make(chan struct{})
	go func() {
		defer close(p.heard)
		lines(errs, s.Stderr)
	}()
	go p.wait()
	go p.watch(s)
	return nil
}

// lines hands over what is written to r. A child that nobody reads would stand
// still, so it reads on whatever comes.
func lines(r io.Reader, tell func(string)) {
	b := bufio.NewReaderSize(r, mostLine)
	for {
		line, more, err := b.ReadLine()
		if err != nil {
			return
		}
		text := strings.ToValidUTF8(string(line), "�")
		for more && err == nil {
			_, more, err = b.ReadLine()
		}
		if tell != nil && strings.TrimSpace(text) != "" {
			tell(text)
		}
	}
}

func (p *Process) wait() {
	err := p.cmd.Wait()
	kill(p.cmd.Process.Pid) // what it left behind
	p.mu.Lock()
	p.ended = err
	if p.why != "" {
		p.ended = errors.New(p.why)
	}
	p.mu.Unlock()
	// What it wrote last is still read. Without a sandbox somebody may live on who
	// holds the other ends: they are not waited for.
	t := time.NewTimer(graceTime)
	defer t.Stop()
	select {
	case <-p.heard:
	case <-t.C:
	}
	_ = p.stderr.Close()
	time.AfterFunc(graceTime, func() { _ = p.Stdout.Close() })
	p.tidy()
	close(p.done)
}

func (p *Process) tidy() {
	if p.own != "" {
		_ = os.RemoveAll(p.own)
	}
}

// Done is closed when the child and what it started are gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the child ended, nil while it runs and after an orderly end.
func (p *Process) Err() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var exit *exec.ExitError
	if errors.As(p.ended, &exit) {
		return fmt.Errorf("the program ended: %s", exit.ProcessState)
	}
	return p.ended
}

// Stop ends the child: its input is closed, and what still runs after a short
// while is killed, with all that it started. It waits until that is done.
func (p *Process) Stop(ctx context.Context) {
	p.stopOnce.Do(func() {
		_ = p.Stdin.Close()
		t := time.NewTimer(graceTime)
		defer t.Stop()
		select {
		case <-p.done:
			return
		case <-t.C:
		case <-ctx.Done():
		}
		p.kill("")
	})
	<-p.done
}

// kill ends the child at once.
func (p *Process) kill(why string) {
	p.mu.Lock()
	if p.why == "" {
		p.why = why
	}
	p.mu.Unlock()
	kill(p.cmd.Process.Pid)
}

// kill sends SIGKILL to a process, its group and everything that descends from it.
func kill(pid int) {
	tree := descendants(pid)
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	for _, id := range tree {
		_ = syscall.Kill(id, syscall.SIGKILL)
	}
}

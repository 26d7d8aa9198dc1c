package child

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// system is what every child may read: programs, libraries and the few files that
// they need to find names and check certificates.
var system = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ssl", "/etc/pki", "/etc/ca-certificates",
	"/etc/ld.so.cache", "/etc/localtime", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group"}

// wrap is the command line that runs program in its sandbox.
func wrap(s Spec, program, dir string) (argv []string, sandbox string, err error) {
	switch s.Network {
	case "", NetworkNone, NetworkFull:
	default:
		return nil, "", fmt.Errorf("the network %q is none: %s or %s", s.Network, NetworkNone, NetworkFull)
	}
	switch s.Sandbox {
	case SandboxNone:
		return append([]string{program}, s.Command[1:]...), SandboxNone, nil
	case "", SandboxBubblewrap:
	default:
		return nil, "", fmt.Errorf("the sandbox %q is none: %s or %s", s.Sandbox, SandboxBubblewrap, SandboxNone)
	}
	bwrap, err := Bubblewrap()
	if err != nil {
		return nil, "", err
	}
	argv = []string{bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--hostname", "connection", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"}
	if s.Network == NetworkFull {
		argv = append(argv, "--share-net")
	}
	for _, path := range append(slices.Clone(system), s.Read...) {
		argv = readable(argv, path)
	}
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return nil, "", err
	}
	// A program of the system is there already; any other is shown by itself, under
	// the name that it was called by.
	if shown := append(slices.Clone(system), s.Read...); !inside(program, shown) || !inside(real, shown) {
		argv = append(argv, "--ro-bind", real, program)
	}
	argv = append(argv, "--bind", dir, dir, "--chdir", dir, "--")
	// bwrap limits no resources; the shell does that before it becomes the program.
	argv = append(argv, "/bin/sh", "-c", `ulimit -c 0; ulimit -n 1024; exec "$@"`, "sh", program)
	return append(argv, s.Command[1:]...), SandboxBubblewrap, nil
}

// inside reports whether a path is in one of dirs.
func inside(path string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return path == d || strings.HasPrefix(path, d+"/") })
}

// readable shows a path to the child. A link is shown as the link that it is, and
// what it points to.
func readable(argv []string, path string) []string {
	info, err := os.Lstat(path)
	if err != nil {
		return argv
	}
	if info.Mode()&os.ModeSymlink == 0 {
		return append(argv, "--ro-bind", path, path)
	}
	to, err := os.Readlink(path)
	if err != nil {
		return argv
	}
	if real, err := filepath.EvalSymlinks(path); err == nil && filepath.IsAbs(to) {
		argv = append(argv, "--ro-bind", real, real)
	} else if err == nil && filepath.Dir(path) != "/" {
		argv = append(argv, "--ro-bind", real, real)
	}
	return append(argv, "--symlink", to, path)
}

// Bubblewrap is the path of bwrap, if it is there and can do its work here: some
// systems forbid the namespaces that it needs. The answer is found once.
var Bubblewrap = sync.OnceValues(func() (string, error) {
	path, err := exec.LookPath("bwrap")
	if err != nil {
		return "", ErrNoSandbox
	}
	if out, err := exec.Command(path, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w (it says: %.200s)", ErrNoSandbox, out)
	}
	return path, nil
})

//go:build !linux

package child

import "syscall"

// attributes has the child lead a process group.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// watch has nothing to look at: only children without a sandbox, whose limits the
// admin gave up, run here.
func (p *Process) watch(Spec) {}

// descendants are only the process itself; its group is killed besides.
func descendants(pid int) []int { return []int{pid} }

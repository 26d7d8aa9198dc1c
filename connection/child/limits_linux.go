package child

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// How often a child's use is looked at, and over how long its share of the
// processor is averaged.
const (
	watchEvery = 500 * time.Millisecond
	cpuWindow  = 30 * time.Second
	tick       = 100 // clock ticks a second in /proc: the same on every Linux that Go runs on
)

// attributes has the child lead a process group and die with us.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// use is what a process takes at the moment.
type use struct {
	parent int
	memory int64         // bytes in RAM
	cpu    time.Duration // so far
}

// watch ends the child when it takes more than it may. Limits of memory are kept
// by looking, because the kernel's limit on addresses stops programs that reserve
// more than they use, and control groups are not ours to make everywhere.
func (p *Process) watch(s Spec) {
	memory, processes, cpu := s.Memory, s.Processes, s.CPU
	if memory == 0 {
		memory = DefaultMemory
	}
	if processes == 0 {
		processes = DefaultProcesses
	}
	if cpu == 0 {
		cpu = DefaultCPU
	}
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	var began time.Time
	var used time.Duration
	for {
		select {
		case <-p.done:
			return
		case <-t.C:
		}
		all := processTable()
		tree := family(all, p.cmd.Process.Pid)
		var sum use
		for _, id := range tree {
			sum.memory += all[id].memory
			sum.cpu += all[id].cpu
		}
		now := time.Now()
		switch {
		case sum.memory > memory:
			p.kill(fmt.Sprintf("the program was ended: it took %d MB of memory, and %d is its limit", sum.memory>>20, memory>>20))
		case len(tree) > processes:
			p.kill(fmt.Sprintf("the program was ended: it ran %d processes, and %d is its limit", len(tree), processes))
		case began.IsZero():
			began, used = now, sum.cpu
		case now.Sub(began) >= cpuWindow:
			if took := sum.cpu - used; took > time.Duration(cpu*float64(now.Sub(began))) {
				p.kill(fmt.Sprintf("the program was ended: it took %s of processor time in %s, and its limit is %g cores", took.Round(time.Second), now.Sub(began).Round(time.Second), cpu))
			}
			began, used = now, sum.cpu
		}
	}
}

// descendants are the processes that come from pid, and pid itself.
func descendants(pid int) []int { return family(processTable(), pid) }

func family(all map[int]use, pid int) []int {
	children := map[int][]int{}
	for id, u := range all {
		children[u.parent] = append(children[u.parent], id)
	}
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	return tree
}

// processTable reads /proc; see proc(5) for the fields of stat.
func processTable() map[int]use {
	all := map[int]use{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	page := int64(os.Getpagesize())
	for _, dir := range dirs {
		id, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended meanwhile
		}
		// The name in brackets may hold anything; the rest comes after the last one.
		fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(fields) < 22 {
			continue
		}
		number := func(i int) int64 {
			n, _ := strconv.ParseInt(string(fields[i]), 10, 64)
			return n
		}
		all[id] = use{parent: int(number(1)), memory: number(21) * page, cpu: time.Duration(number(11)+number(12)) * time.Second / tick}
	}
	return all
}

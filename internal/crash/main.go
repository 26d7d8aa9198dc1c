// Command crash kills deskmate again and again while people ask it things, and
// checks that nothing is lost and nothing done twice.
//
// It starts an emulated workspace with faults armed, builds the product with its
// named crash points, lets people ask without pause, has duties come due, and kills
// the process with SIGKILL: N times at random moments, or once at each pass of every
// named point.
// In the end every request must have exactly one answer, every side effect must
// have happened exactly once, and the ledger must verify. Any violation is
// printed and the exit code is 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// points are the named crash points of the product, and how many passes of each
// are tried.
var points = []string{
	"inbox:committed", "turn:began", "turn:model", "turn:action", "turn:replied",
	"gate:begin", "gate:intent", "gate:acted", "gate:outcome", "outbox:sending", "outbox:sent",
	"duty:advanced", "run:fired", "run:working", "run:reported", "run:ended",
}

func main() {
	n := flag.Int("n", 1000, "kills at random moments")
	walk := flag.Bool("points", true, "also kill at each named crash point")
	passes := flag.Int("passes", 3, "passes of each named point to kill at")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of the random moments and faults")
	faults := flag.Bool("faults", true, "arm the emulator's faults: 429, 500, lost answers, duplicates, lost acknowledgements, disconnects")
	level := flag.String("log", "error", "level of the product's log, shown when something goes wrong")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *n, *walk, *passes, *seed, *faults, *level); err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, n int, walk bool, passes int, seed uint64, faults bool, level string) (err error) {
	dir, err := os.MkdirTemp("", "deskmate-crash-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(dir)
		} else {
			fmt.Fprintln(os.Stderr, "crash: what is left is in", dir)
		}
	}()
	binary := filepath.Join(dir, "deskmate")
	if err := build(ctx, binary); err != nil {
		return err
	}
	fmt.Printf("seed %d\n", seed)
	d, err := newDriver(ctx, dir, binary, seed, faults, level)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	began := time.Now()
	if walk {
		for _, point := range points {
			for pass := 1; pass <= passes; pass++ {
				if err := d.killAt(ctx, point, pass); err != nil {
					return err
				}
			}
		}
		fmt.Printf("%d kills at %d named points\n", d.kills, len(points))
	}
	for i := range n {
		if err := d.killSometime(ctx); err != nil {
			return err
		}
		if (i+1)%100 == 0 {
			fmt.Printf("%d random kills, %d requests asked, %d answered, %s\n", i+1, d.asked(), d.answered(), time.Since(began).Round(time.Second))
		}
	}
	return d.settle(ctx, began)
}

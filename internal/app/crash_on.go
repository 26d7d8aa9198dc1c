//go:build crashpoints

package app

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// crashPoints makes the process kill itself at a named point, as the environment
// variable DESKMATE_CRASH says: POINT:N, at the Nth pass. It is built only with
// the tag crashpoints, for the crash driver.
func crashPoints(getenv func(string) string) (func(point string), error) {
	want := getenv("DESKMATE_CRASH")
	if want == "" {
		return nil, nil
	}
	i := strings.LastIndex(want, ":")
	if i < 0 {
		return nil, fmt.Errorf("DESKMATE_CRASH is %q, expected POINT:N", want)
	}
	n, err := strconv.ParseInt(want[i+1:], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("DESKMATE_CRASH is %q, expected POINT:N", want)
	}
	point := want[:i]
	var passes atomic.Int64
	return func(at string) {
		if at == point && passes.Add(1) == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until the signal has arrived
		}
	}, nil
}

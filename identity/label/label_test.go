package label

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// some is a random label: sometimes small, sometimes beyond its bounds.
func some(r *rand.Rand) Label {
	var l Label
	most := []int{0, 2, 5, 40}[r.IntN(4)]
	for range r.IntN(most + 1) {
		l = Join(l, Of(fmt.Sprintf("C%d", r.IntN(60)), []string{"private", "shared", "im", "public", ""}[r.IntN(5)]))
	}
	for range r.IntN(most + 1) {
		l = Join(l, From([]string{"tool", "guest", "outsider", "bot"}[r.IntN(4)], fmt.Sprintf("n %d", r.IntN(60))))
	}
	return l
}

// restricts reports whether a is at least as strict as b.
func restricts(a, b Label) bool {
	if !slices.Contains(a.Channels, Everything) {
		for _, c := range b.Channels {
			if !slices.Contains(a.Channels, c) {
				return false
			}
		}
	}
	if !slices.Contains(a.Untrusted, More) {
		for _, u := range b.Untrusted {
			if !slices.Contains(a.Untrusted, u) {
				return false
			}
		}
	}
	return a.Trusted() == (a.Trusted() && b.Trusted()) && (len(b.Channels) == 0 || len(a.Channels) > 0) && (b.Trusted() || !a.Trusted())
}

func TestJoinOnlyRestricts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		a, b, c := some(r), some(r), some(r)
		j := Join(a, b)
		if !restricts(j, a) || !restricts(j, b) {
			t.Fatalf("%v joined with %v gives %v, which is less strict", a, b, j)
		}
		if got := Join(b, a); !reflect.DeepEqual(got, j) {
			t.Fatalf("the order matters: %v and %v", j, got)
		}
		if got := Join(j, a); !reflect.DeepEqual(got, j) && !slices.Contains(j.Untrusted, More) {
			t.Fatalf("joining again changes %v to %v", j, got)
		}
		x, y := Join(Join(a, b), c), Join(a, Join(b, c))
		if !reflect.DeepEqual(x.Channels, y.Channels) || x.Trusted() != y.Trusted() {
			t.Fatalf("the grouping matters: %v and %v", x, y)
		}
		if len(j.Channels) > mostChannels || len(j.Untrusted) > mostUntrusted || !slices.IsSorted(j.Channels) || !slices.IsSorted(j.Untrusted) {
			t.Fatalf("%v is beyond its bounds or not sorted", j)
		}
		for _, w := range strings.Fields(j.String()) {
			if strings.HasPrefix(w, "from:") == slices.Contains(j.Channels, w) {
				t.Fatalf("%q is no word of %v", w, j)
			}
		}
	}
}

func TestPublicPlacesRestrictNothing(t *testing.T) {
	t.Parallel()
	if l := Of("C1", "public"); !l.IsZero() {
		t.Errorf("a public channel gives %v", l)
	}
	for _, kind := range []string{"private", "shared", "im", "mpim", ""} {
		if l := Of("C1", kind); len(l.Beside("C1")) != 0 || !slices.Equal(l.Beside("C2"), []string{"C1"}) || !l.Trusted() {
			t.Errorf("a channel of kind %q gives %v", kind, l)
		}
	}
	var many Label
	for i := range mostChannels + 1 {
		many = Join(many, Of(fmt.Sprint("C", i), "private"))
	}
	if !slices.Equal(many.Beside("C0", "C1"), []string{Everything}) {
		t.Errorf("too many places give %v", many)
	}
}

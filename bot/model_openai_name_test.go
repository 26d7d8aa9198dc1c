package bot

import (
	"regexp"
	"strings"
	"testing"
)

func TestNamesOnTheWireAreAllowedAndComeBack(t *testing.T) {
	t.Parallel()
	allowed := regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	names := []string{"post", "tracker.list_issues", "tracker.list__issues", "tracker__list_issues", "tracker.a.b", "tracker.a__b", "tracker._x", "tracker_._x",
		"t." + strings.Repeat("x", 100), "t." + strings.Repeat("x", 100) + "y", "t.a:b", "t.a/b", "t.a_b", strings.Repeat("p", 64), strings.Repeat("p", 65)}
	var tools []ToolDef
	for _, n := range names {
		tools = append(tools, ToolDef{Name: n})
	}
	seen := map[string]string{}
	for _, n := range names {
		w := wireName(n)
		if !allowed.MatchString(w) {
			t.Errorf("%q goes out as %q", n, w)
		}
		if had, twice := seen[w]; twice {
			t.Errorf("%q and %q go out as %q", had, n, w)
		}
		seen[w] = n
		if back := ownName(w, tools); back != n {
			t.Errorf("%q comes back as %q", n, back)
		}
	}
	if w := wireName("tracker.list_issues"); w != "tracker__list_issues" {
		t.Errorf("a plain name goes out as %q", w)
	}
	if n := ownName("made_up", tools); n != "made_up" {
		t.Errorf("an unknown name comes back as %q", n)
	}
}

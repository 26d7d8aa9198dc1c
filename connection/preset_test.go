package connection_test

import (
	"strings"
	"testing"

	"deskmate/connection"
)

func TestPresetsAreRight(t *testing.T) {
	t.Parallel()
	all := connection.Presets()
	if len(all) < 4 {
		t.Fatalf("there are %d presets", len(all))
	}
	for _, p := range all {
		values := map[string]string{}
		for _, open := range p.Open {
			name, about, ok := strings.Cut(open, ": ")
			if !ok || about == "" {
				t.Errorf("%s: the open value %q has no meaning", p.Name, open)
			}
			if values[name] = "/srv/x"; name == "url" {
				values[name] = "https://data.example.com"
			}
		}
		text, err := connection.Preset(p.Name, values)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		s, err := connection.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if problems := s.Check(); problems != nil || p.About == "" || s.Description == "" {
			t.Errorf("%s: %q, %+v", p.Name, problems, p)
		}
		if n := strings.Count(string(text), "\n"); n > 16 {
			t.Errorf("%s has %d lines", p.Name, n)
		}
		for name := range values {
			if _, err := connection.Preset(p.Name, map[string]string{name: "a\"\nkind: x"}); err == nil {
				t.Errorf("%s: %s was filled with what breaks out of its quotes", p.Name, name)
			}
		}
	}
	if _, err := connection.Preset("github", map[string]string{"more": "x"}); err == nil {
		t.Error("a value that the preset does not have was taken")
	}
	for _, name := range []string{"nothing", "../spec", "", "github.yaml"} {
		if _, err := connection.Preset(name, nil); err == nil {
			t.Errorf("the preset %q was found", name)
		}
	}
}

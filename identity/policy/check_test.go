package policy

import (
	"encoding/json"
	"math"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	if got := Check(g("1", Ask, scope("channel:C0ENG"), thread("1.2"), who(Members, Guests, Outsiders, Owner, "user:W1", "group:S1"), atMost500,
		hoursOf("daily 00:00-24:00 UTC"), limit(1, 1, time.Hour), quorum(2, "user:U1", "user:U2"), ttl(time.Hour), ends(start.Add(maxLife))), start); got != nil {
		t.Errorf("a grant that is fine: %q", got)
	}
	for _, c := range []struct {
		want  string
		grant Grant
	}{
		{"effect: must be", g("1", "")},
		{"id: must be g_", g("A b", Allow)},
		{"tools: name at least one", g("1", Allow, tools())},
		{"tools: \"a*\" is not a name", g("1", Allow, tools("a*"))},
		{"tools: \"**\"", g("1", Allow, tools("**"))},
		{"tools: \"\"", g("1", Allow, tools(""))},
		{"tools: \"*.*\"", g("1", Allow, tools("*.*"))},
		{"tools: \"x\" is there twice", g("1", Allow, tools("x", "x"))},
		{"bundle: name either", g("1", Allow, func(g *Grant) { g.Bundle = "b" })},
		{"bundle: \"a b\"", g("1", Allow, tools(), func(g *Grant) { g.Bundle = "a b" })},
		{"scope: \"\" is none", g("1", Allow, scope(""))},
		{"scope: \"general\" is not the id", g("1", Allow, scope("channel:general"))},
		{"scope: \"eng-?\" is not a pattern", g("1", Allow, scope("channels:eng-?"))},
		{"scope: \"secret\" is not a kind", g("1", Allow, scope("kind:secret"))},
		{"thread: must be", g("1", Allow, thread("1.2"))},
		{"thread: must be", g("1", Allow, scope("channel:C1"), thread("yesterday"))},
		{"who: guests only count", g("1", Allow, who(Guests))},
		{"who: outsiders only count", g("1", Ask, scope("channels:*"), who(Outsiders))},
		{"who: \"user:ben\" is nobody", g("1", Allow, who("user:ben"))},
		{"who: \"everybody\" is nobody", g("1", Allow, who("everybody"))},
		{"who: \"members\" is there twice", g("1", Allow, who(Members, Members))},
		{"args: a: set exactly one", g("1", Allow, rule(ArgRule{Name: "a"}))},
		{"args: a: set exactly one", g("1", Allow, rule(ArgRule{Name: "a", Prefix: "x", Host: "a.test"}))},
		{"args: : name: must be", g("1", Allow, rule(ArgRule{Equals: word("a")}))},
		{"args: a..b: name: must be", g("1", Allow, rule(ArgRule{Name: "a..b", Equals: word("a")}))},
		{"min, max: must be numbers", g("1", Allow, rule(ArgRule{Name: "a", Min: num(math.NaN())}))},
		{"min, max: no number is both", g("1", Allow, rule(ArgRule{Name: "a", Min: num(2), Max: num(1)}))},
		{"host: must be a name", g("1", Allow, rule(ArgRule{Name: "a", Host: "https://a.test"}))},
		{"host: must be a name", g("1", Allow, rule(ArgRule{Name: "a", Host: "*.com"}))},
		{"host: must be a name", g("1", Allow, rule(ArgRule{Name: "a", Host: "A.test"}))},
		{"hours: \"always\"", g("1", Allow, hoursOf("always"))},
		{"rate: must not be negative", g("1", Allow, limit(0, -1, time.Hour))},
		{"count: must not be negative", g("1", Allow, limit(-1, 0, 0))},
		{"rate_window: must be from", g("1", Allow, limit(0, 1, 0))},
		{"rate_window: is set", g("1", Allow, limit(0, 0, time.Hour))},
		{"a deny has no limit", g("1", Deny, limit(1, 0, 0))},
		{"approvers, quorum, ttl: are only for ask", g("1", Allow, quorum(2))},
		{"approvers: \"user:ada\" is nobody", g("1", Ask, quorum(1, "user:ada"))},
		{"quorum: must be from 1", g("1", Ask, quorum(-1))},
		{"quorum: 2 of 1 people", g("1", Ask, quorum(2, "user:U1"))},
		{"ttl: must be from", g("1", Ask, ttl(time.Second))},
		{"expires_at: is over", g("1", Allow, ends(start))},
		{"long_why: a grant that holds", g("1", Allow, ends(start.Add(maxLife+1)))},
		{"justification: say what", g("1", Allow, func(g *Grant) { g.Justification = " " })},
		{"justification: is longer", g("1", Allow, func(g *Grant) { g.Justification = strings.Repeat("x", 2000) })},
		{"hold what looks like a secret", g("1", Allow, rule(ArgRule{Name: "a", Equals: word("ghp_" + strings.Repeat("a", 36))}))},
	} {
		if got := strings.Join(Check(c.grant, start), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%+v: got %q, want %q", c.grant, got, c.want)
		}
	}
}

func TestHours(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hours string
		at    string // with a weekday, that the table can be read
		want  bool
	}{
		{"mon-fri 09:00-18:00 UTC", "Mon 2026-03-02 09:00:00Z", true},
		{"mon-fri 09:00-18:00 UTC", "Mon 2026-03-02 08:59:59Z", false},
		{"mon-fri 09:00-18:00 UTC", "Fri 2026-03-06 17:59:59Z", true},
		{"mon-fri 09:00-18:00 UTC", "Fri 2026-03-06 18:00:00Z", false},
		{"mon-fri 09:00-18:00 UTC", "Sat 2026-03-07 12:00:00Z", false},
		{"MON,wed 09:00-18:00 UTC", "Wed 2026-03-04 12:00:00Z", true},
		{"mon,wed 09:00-18:00 UTC", "Tue 2026-03-03 12:00:00Z", false},
		{"sat-mon 09:00-18:00 UTC", "Sun 2026-03-08 12:00:00Z", true},
		{"sat-mon 09:00-18:00 UTC", "Tue 2026-03-03 12:00:00Z", false},
		{"daily 00:00-24:00 UTC", "Sun 2026-03-08 23:59:59Z", true},
		{"fri 22:00-06:00 UTC", "Fri 2026-03-06 22:00:00Z", true},
		{"fri 22:00-06:00 UTC", "Sat 2026-03-07 05:59:59Z", true},
		{"fri 22:00-06:00 UTC", "Sat 2026-03-07 06:00:00Z", false},
		{"fri 22:00-06:00 UTC", "Fri 2026-03-06 05:00:00Z", false},
		{"fri 22:00-00:00 UTC", "Sat 2026-03-07 00:00:00Z", false},
		{"sun 22:00-06:00 UTC", "Mon 2026-03-09 01:00:00Z", true},
		{"mon 08:00-09:00,10:00-11:00 UTC", "Mon 2026-03-02 10:30:00Z", true},
		{"mon 08:00-09:00,10:00-11:00 UTC", "Mon 2026-03-02 09:30:00Z", false},
		{"mon 09:00-10:00 Europe/Berlin", "Mon 2026-03-02 08:30:00Z", true},
		{"mon 09:00-10:00 Europe/Berlin", "Mon 2026-03-30 07:30:00Z", true}, // in summer
		{"mon 00:00-03:00 Asia/Tokyo", "Sun 2026-03-01 16:00:00Z", true},
	} {
		when, err := time.Parse("Mon 2006-01-02 15:04:05Z07:00", c.at)
		if err != nil || when.Format("Mon") != c.at[:3] {
			t.Fatalf("%s: %v", c.at, err)
		}
		h, err := parseHours(c.hours)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.hold(when); got != c.want {
			t.Errorf("%s at %s: got %t", c.hours, c.at, got)
		}
	}
	for _, bad := range []string{"", "mon", "mon 09:00-18:00", "mon 9:00-18:00 UTC", "mon 09:00-09:00 UTC", "mon 09:00-25:00 UTC", "mon 24:00-08:00 UTC", "mon 09:60-10:00 UTC",
		"funday 09:00-18:00 UTC", "mon- 09:00-18:00 UTC", "mon 09:00 UTC", "mon 09:00-18:00 Mars/Olympus", "mon 09:00-18:00 Local", "mon 09:00-18:00 ../../etc/passwd", "mon-fri 09:00-18:00 UTC now"} {
		if _, err := parseHours(bad); err == nil {
			t.Errorf("%q was read as hours", bad)
		}
	}
}

var hostTable = map[string]string{
	"https://api.example.com":            "api.example.com",
	"https://api.example.com/a?b=c#d":    "api.example.com",
	"HTTPS://API.EXAMPLE.COM.:443":       "api.example.com",
	"http://example.com:80/":             "example.com",
	"https://10.0.0.1/":                  "10.0.0.1",
	"https://xn--bcher-kva.example/":     "xn--bcher-kva.example",
	"https://example.com:80/":            "", // another port than its own
	"https://example.com:8443/":          "",
	"https://example.com:/":              "", // read differently
	"https://user@example.com/":          "",
	"https://example.com@evil.test/":     "",
	"https://evil.test#@example.com/":    "evil.test",
	"https://evil.test?@example.com/":    "evil.test",
	"https://evil.test\\@example.com/":   "",
	"https://evil.test/\\example.com":    "",
	"https:example.com":                  "",
	"https:/example.com":                 "",
	"//example.com/":                     "",
	"example.com":                        "",
	"ftp://example.com/":                 "",
	"file://example.com/etc/passwd":      "",
	"javascript://example.com/%0aalert1": "",
	" https://example.com/":              "",
	"https://example.com\n.evil.test/":   "",
	"https://bücher.example/":            "",
	"https://ｅxample.com/":               "",
	"https://example.com..":              "",
	"https://.example.com/":              "",
	"https://ex%61mple.com/":             "",
	"https://[::1]/":                     "",
	"https://[::1%25eth0]/":              "",
	"https://2130706433/":                "",
	"https://0x7f.1/":                    "",
	"https://127.1/":                     "",
	"https://010.0.0.1/":                 "",
	"https://-a.example/":                "",
	"":                                   "",
	"https://":                           "",
}

func TestHosts(t *testing.T) {
	t.Parallel()
	for raw, want := range hostTable {
		if got, ok := hostOf(raw); ok != (want != "") || ok && got != want {
			t.Errorf("%q: got %q, %t, want %q", raw, got, ok, want)
		}
	}
	for _, c := range []struct {
		pattern, host string
		want          bool
	}{
		{"example.com", "example.com", true},
		{"example.com", "api.example.com", false},
		{"*.example.com", "api.example.com", true},
		{"*.example.com", "a.b.example.com", true},
		{"*.example.com", "example.com", false},
		{"*.example.com", "evilexample.com", false},
		{"*.example.com", "example.com.evil.test", false},
	} {
		if got := hostFits(c.pattern, c.host); got != c.want {
			t.Errorf("%s and %s: got %t", c.pattern, c.host, got)
		}
	}
}

// A host that is sure is one that another reading of the URL gives as well, and
// says what a pattern means by plain suffixes.
func FuzzHost(f *testing.F) {
	for raw := range hostTable {
		f.Add("*.example.com", raw)
		f.Add("example.com", raw)
	}
	f.Fuzz(func(t *testing.T, pattern, raw string) {
		host, ok := hostOf(raw)
		if !ok {
			return
		}
		// By hand: what is between // and the first of /?#, without the port.
		lower := strings.ToLower(raw)
		_, rest, found := strings.Cut(lower, "://")
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			rest = rest[:i]
		}
		rest = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(rest, ":443"), ":80"), ".")
		if !found || rest != host {
			t.Errorf("%q: got the host %q, by hand %q", raw, host, rest)
		}
		u, err := url.Parse(raw)
		if err != nil || u.User != nil || !strings.EqualFold(strings.TrimSuffix(u.Hostname(), "."), host) {
			t.Errorf("%q: got the host %q, and its URL is %v, %v", raw, host, u, err)
		}
		if !goodHostPattern(pattern) {
			return
		}
		want := host == pattern || strings.HasPrefix(pattern, "*.") && strings.HasSuffix(host, pattern[1:]) && len(host) > len(pattern)-1
		if got := hostFits(pattern, host); got != want {
			t.Errorf("%s and %s: got %t", pattern, host, got)
		}
	})
}

// What Check lets pass compiles, is kept as it is, and its Cedar text is the
// same however it is written down and read.
func FuzzCheck(f *testing.F) {
	add := func(g Grant) {
		b, err := json.Marshal(g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	for _, c := range cases {
		for _, g := range c.grants {
			add(g)
		}
	}
	add(g("1", Ask, scope("channel:C0ENG"), thread("1.2"), who(Members, Guests, Owner, "group:S1"), twoRepos, hoursOf("daily 00:00-24:00 UTC"), limit(1, 1, time.Hour)))
	f.Fuzz(func(t *testing.T, text string) {
		var g Grant
		if err := json.Unmarshal([]byte(text), &g); err != nil {
			return
		}
		problems := Check(g, start)
		for _, p := range problems {
			if field, _, ok := strings.Cut(p, ":"); !ok || strings.ContainsAny(field, " \n") && !strings.Contains(field, ", ") {
				t.Errorf("the problem %q names no field", p)
			}
			if !utf8.ValidString(p) {
				t.Errorf("the problem %q is no text", p)
			}
		}
		if len(problems) > 0 || g.Bundle != "" {
			return
		}
		c, err := compileGrant(g, g.Tools, "")
		if err != nil {
			t.Fatalf("what Check let pass does not compile: %v", err)
		}
		b, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		var again Grant
		if err := json.Unmarshal(b, &again); err != nil {
			t.Fatal(err)
		}
		if other, err := compileGrant(again, again.Tools, ""); err != nil || other.text != c.text {
			t.Errorf("read again it is %v, %v, first it was %s", other, err, c.text)
		}
	})
}

// Arguments that are read are what encoding/json reads, and no two of their
// members can be taken for each other.
func FuzzArgs(f *testing.F) {
	for _, s := range samples {
		f.Add(s.raw, "amount")
	}
	f.Add(`{"k": 1, "K": 2}`, "k") // the Kelvin sign
	f.Fuzz(func(t *testing.T, raw, name string) {
		got, err := parseArgs(json.RawMessage(raw))
		if err != nil || strings.TrimSpace(raw) == "" {
			return
		}
		var want map[string]any
		d := json.NewDecoder(strings.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&want); err != nil || len(want) != len(got) {
			t.Fatalf("%q: got %v, encoding/json %v, %v", raw, got, want, err)
		}
		for a := range got {
			for b := range got {
				if a != b && strings.EqualFold(a, b) {
					t.Errorf("%q: %q and %q are two", raw, a, b)
				}
			}
		}
		if v, ok := lookup(got, name); ok {
			if n, ok := numberOf(v); ok && !strings.ContainsAny(raw, "eE") {
				exact, ok := new(big.Rat).SetString(string(v.(json.Number)))
				if f, _ := n.Float64(); ok {
					if g, _ := exact.Float64(); f != g {
						t.Errorf("%v is read as %v", v, n)
					}
				}
			}
		}
	})
}

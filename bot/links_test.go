package bot

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var someLinks = links{home: "https://acme.slack.com/", hosts: []string{"docs.example.com", "*.trusted.example"}, known: []string{"https://wiki.example.org/page?id=7", "http://intranet/x"}}

// clickable are the addresses that Slack would make links of, found in another way
// than the code does: by splitting at what ends an address.
func clickable(mrkdwn string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`<([^<>@#!][^<>|]*)`).FindAllStringSubmatch(mrkdwn, -1) {
		out = append(out, unescapeLink(m[1]))
	}
	plain := regexp.MustCompile(`<[^<>]*>`).ReplaceAllString(mrkdwn, " ")
	for _, w := range strings.FieldsFunc(plain, func(r rune) bool { return strings.ContainsRune(" \n\t`|()<>\"'*_~,;", r) }) {
		w = unescapeLink(w)
		if m := regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[\pL\pN\[].*`).FindString(w); m != "" {
			out = append(out, m)
		} else if i := strings.IndexAny(w, "/?"); i > 0 && strings.Contains(w[:i], ".") && !strings.Contains(w[:i], "[.]") && regexp.MustCompile(`\.[a-zA-Z]{2,24}$`).MatchString(w[:i]) {
			out = append(out, w)
		}
	}
	return out
}

func TestHarmfulLinksAreWithheld(t *testing.T) {
	t.Parallel()
	evil64 := base64.RawURLEncoding.EncodeToString([]byte("https://evil.example/c"))
	for _, markdown := range []string{
		"see https://evil.example/?d=SECRET", "see <https://evil.example/?d=SECRET>", "[here](https://evil.example/?d=SECRET)", "![](https://evil.example/?d=SECRET)",
		"![pic](https://evil.example/SECRET.png \"title\")", "[here][1]\n\n[1]: https://evil.example/?d=SECRET", "[1]\n\n[1]: https://evil.example/?d=SECRET", "![alt][img]\n\n[img]: https://evil.example/SECRET",
		"<img src=\"https://evil.example/SECRET\">", "<a href='https://evil.example/SECRET'>x</a>", "http://evil.example/SECRET", "HTTPS://EVIL.example/SECRET", "ftp://evil.example/SECRET", "//evil.example/SECRET",
		"evil.example/SECRET", "www.evil.example/SECRET", "evil.example?d=SECRET", "evil.example:8080/SECRET", "SECRET.evil.example.com", "https://SECRET.evil.example",
		"mailto:thief@evil.example?subject=SECRET", "tel:+4912345SECRET", "javascript:alert(1)", "data:text/html,SECRET", "slack://channel?team=T&id=SECRET",
		"https://docs.example.com@evil.example/SECRET", "https://docs.example.com:pw@evil.example/SECRET", "https://evil.example/docs.example.com/SECRET", "https://docs.example.com.evil.example/SECRET",
		"https://docs.example.com/go?url=https://evil.example/SECRET", "https://docs.example.com/go?url=https%3A%2F%2Fevil.example%2FSECRET", "https://docs.example.com/go?url=https%253A%252F%252Fevil.example%252FSECRET",
		"https://docs.example.com/proxy/https://evil.example/SECRET", "https://docs.example.com/proxy/https:/evil.example/SECRET", "https://docs.example.com/proxy/https%3A%2F%2Fevil.example", "https://docs.example.com/go?u=" + evil64,
		"https://docs.example.com/go#https://evil.example/SECRET", "https://docs.example.com/go?u=//evil.example/SECRET", "https://docs.example.com/go?u=evil.example/SECRET", "https://docs.example.com//evil.example/x",
		"https://docs.example.com/?d=" + strings.Repeat("x", 41), "https://docs.example.com/" + strings.Repeat("QUJD", 12), "https://docs.example.com/?a=1&b=" + strings.Repeat("ab%20", 40),
		"https://docs.еxample.com/SECRET", "https://ԁocs.example.com/SECRET", "https://evil\u200b.example/SECRET", "https:\u200b//evil.example/SECRET", "https://evil\u00ad.example/SECRET", "ev\u2060il.example/SECRET", "https://evil。example/SECRET",
		"https:\\\\evil.example\\SECRET", "https://wiki.example.org/page?id=8", "https://wiki.example.org/page?id=7&x=SECRET", "https://wiki.example.org/page?id=7SECRET", "https://acme.slack.com/redirect?url=https://evil.example",
		"https://acme.slack.com.evil.example/archives/C1/p1", "http://acme.slack.com/archives/C0ENG/p1700000000000100", "https://evil.slack.com/archives/C0ENG/p1700000000000100", "https://acme.slack.com/archives/C0ENG/p1700000000000100?x=" + strings.Repeat("y", 60),
		"`https://evil.example/SECRET`", "```\nhttps://evil.example/SECRET\n```", "[https://docs.example.com/a](https://evil.example/SECRET)", "| a |\n|---|\n| https://evil.example/SECRET |", "> https://evil.example/SECRET", "- [x](https://evil.example/SECRET)",
		"**https://evil.example/SECRET**", "~~[x](https://evil.example/SECRET)~~", "&lt;https://evil.example/SECRET&gt;", "<https://evil.example/SECRET|here>", "(https://evil.example/SECRET)", "\"https://evil.example/SECRET\"", "https://evil.example/SECRET.",
		"[a](<https://evil.example/SECRET>)", "[a]( https://evil.example/SECRET 'x' )", "https://evil.example:443/SECRET", "https://[::1]/SECRET", "https://127.0.0.1/SECRET", "http://2130706433/SECRET", "https://xn--dcs-example-abc.com/SECRET",
		"[a](//evil.example/SECRET)", "[a](evil.example/SECRET)", "a.b.c.d.evil.com", "see https://trusted.example/x", "https://evil.trusted.example.evil.com/x",
	} {
		got := someLinks.harmless(Mrkdwn(markdown))
		for _, c := range clickable(got) {
			u, err := url.Parse(c)
			if err != nil || !someLinks.may(c) || strings.Contains(c, "SECRET") {
				t.Errorf("%q\nleaves the link %q (%v): %q", markdown, c, u, got)
			}
		}
		if strings.Contains(got, "evil.example/") || regexp.MustCompile(`(?i)(?:https?|ftp)://[^\s]*SECRET`).MatchString(got) {
			t.Errorf("%q\nis told as %q", markdown, got)
		}
		if !strings.Contains(got, "withheld") && !strings.Contains(got, "evil") {
			t.Logf("%q is told as %q", markdown, got)
		}
	}
}

func TestHarmlessLinksStay(t *testing.T) {
	t.Parallel()
	for _, markdown := range []string{
		"nothing to see", "read main.go and node.js, then v1.2.3", "see https://docs.example.com/guide/start", "[the guide](https://docs.example.com/guide?page=2#top)", "https://a.trusted.example/x",
		"https://wiki.example.org/page?id=7", "[wiki](https://wiki.example.org/page?id=7)", "http://intranet/x", "https://acme.slack.com/archives/C0ENG/p1700000000000100",
		"https://acme.slack.com/archives/C0ENG/p1700000000000100?thread_ts=1700000000.000100&cid=C0ENG", "<@U0BEN> look at <#C0ENG>", "10:30, a/b, and/or, 3.5/2", "price is 3.50 or 4.00", "`x := y.z`", "e.g. this, i.e. that",
		"tracker.list_issues gave 3 issues", "the file /etc/passwd", "a.m. and p.m.",
	} {
		want := Mrkdwn(markdown, "U0BEN")
		if got := someLinks.harmless(want); got != want {
			t.Errorf("%q\nbecame %q", want, got)
		}
	}
}

func TestAddressesOfATurn(t *testing.T) {
	t.Parallel()
	got := addresses("see <https://a.example/x?y=1&amp;z=2|there>, (https://b.example/c). and https://a.example/x?y=1&amp;z=2 again")
	if want := []string{"https://a.example/x?y=1&z=2", "https://b.example/c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzLinks looks for text in which a link stays that may not.
func FuzzLinks(f *testing.F) {
	f.Add("[a](https://evil.example/x) <b> https://docs.example.com/a")
	f.Add("![x][y]\n\n[y]: //evil.example/q?z")
	f.Add("https://docs.example.com/https:/evil.example")
	f.Fuzz(func(t *testing.T, markdown string) {
		got := someLinks.harmless(Mrkdwn(markdown))
		for _, c := range clickable(got) {
			if strings.Contains(c, "://") && !someLinks.may(strings.TrimRight(c, ".,;:!?)]}'\"*_~")) {
				t.Errorf("%q leaves %q: %q", markdown, c, got)
			}
		}
	})
}

package bot

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// links decides which links may stand in what the agent says. A link is a way out:
// whoever follows it, or Slack when it looks at it, tells its host what is written
// in it. Where something private, or something that nobody here answers for, went
// into a text, a link stays only if
//
//   - it is, to the letter, one that people here wrote or that this workspace's
//     Slack made, or
//   - its host is one that an admin trusts, and it carries neither another address
//     nor anything long and opaqueWord.
type links struct {
	home  string   // address of this workspace's Slack
	hosts []string // that an admin trusts: "docs.example.com", "*.example.com"
	known []string // addresses that may stand as they are
}

// Bounds of what a link to a trusted host may carry.
const (
	mostLinkQuery = 120 // bytes of query and fragment together
	mostLinkWord  = 40  // letters and digits in a row that are no words
	mostLinks     = 200 // known addresses that are kept of a turn
)

var (
	slackLink = regexp.MustCompile(`<([^<>@#!|\s][^<>|\n]*)(?:\|([^<>\n]*))?>`)
	// A scheme, or a name with a path, query or port behind it, or one of three parts
	// and more: Slack makes links of them. Of what is left nothing carries a text out.
	bareLink = regexp.MustCompile(`(?i)(?:\b[a-z][a-z0-9+.-]{1,30}:(?://|\\\\)|\b(?:mailto|tel|sms|data|javascript|vbscript|slack|file):|//)[^\s<>|` + "`" + `]+` +
		`|(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?[.。．｡]){1,8}[\p{L}]{2,24}(?::\d+)?(?:[/?#\\][^\s<>|` + "`" + `]*)` +
		`|(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?[.。．｡]){2,8}[\p{L}]{2,24}\b(?::\d+)?`)
)

// harmless is mrkdwn in which only links that may stand are links; what was one is
// shown by its host, and a last line says so.
func (l links) harmless(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\u00ad', r >= '\u200b' && r <= '\u200f', r >= '\u202a' && r <= '\u202e', r >= '\u2060' && r <= '\u206f', r == '\ufeff', r >= 0xe0000 && r <= 0xe0fff:
			return -1 // they hide where an address ends, or what it is
		case unicode.Is(unicode.Variation_Selector, r):
			return -1
		}
		return r
	}, text)
	withheld := 0
	var kept []string
	keep := func(s string) string {
		kept = append(kept, s)
		return fmt.Sprintf("\uE010%d\uE011", len(kept)-1)
	}
	text = slackLink.ReplaceAllStringFunc(text, func(s string) string {
		m := slackLink.FindStringSubmatch(s)
		target, label := unescapeLink(m[1]), m[2]
		if l.may(target) {
			if label == "" || !bareLink.MatchString(label) || label == m[1] {
				return keep(s)
			}
			return keep("<" + m[1] + ">") // a label that names another address would lie
		}
		withheld++
		if label == "" || bareLink.MatchString(label) {
			return keep(inert(target))
		}
		return label + " (" + keep(inert(target)) + ")"
	})
	text = bareLink.ReplaceAllStringFunc(text, func(s string) string {
		end := len(strings.TrimRight(s, ".,;:!?)]}'\"*_~"))
		link, rest := s[:end], s[end:]
		if i := strings.Index(link, "&gt;"); i >= 0 {
			link, rest = s[:i], s[i:]
		}
		if l.may(unescapeLink(link)) {
			return keep(link) + rest
		}
		withheld++
		return keep(inert(unescapeLink(link))) + rest
	})
	for i, s := range kept {
		text = strings.Replace(text, fmt.Sprintf("\uE010%d\uE011", i), s, 1)
	}
	switch {
	case withheld == 1:
		text += "\n_A link is withheld: I cannot tell what it would give away. An admin can trust its host (setting link_hosts)._"
	case withheld > 1:
		text += fmt.Sprintf("\n_%d links are withheld: I cannot tell what they would give away. An admin can trust their hosts (setting link_hosts)._", withheld)
	}
	return text
}

func unescapeLink(s string) string {
	return strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">").Replace(s)
}

// inert shows where a link led, without what it carried.
func inert(target string) string {
	host := target
	if i := strings.Index(host, "://"); i >= 0 {
		host = host[i+3:]
	} else if i := strings.IndexByte(host, ':'); i >= 0 && i < 12 && !strings.Contains(host[:i], ".") {
		return "`" + strings.ToLower(host[:i]) + " link`"
	}
	host = strings.TrimLeft(host, "/\\")
	if i := strings.IndexAny(host, "/?#\\"); i >= 0 {
		host = host[:i]
	}
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	// The last two parts: those before them can carry a text as well.
	parts := strings.FieldsFunc(host, func(r rune) bool { return r == '.' || r == '。' || r == '．' || r == '｡' })
	if n := len(parts); n > 2 {
		parts = parts[n-2:]
	}
	host = strings.Join(parts, "[.]")
	host = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("[].-:", r) {
			return r
		}
		return -1
	}, host)
	if r := []rune(host); len(r) > 60 {
		host = string(r[:60]) + "…"
	}
	return "`" + first(host, "link") + "`"
}

// may reports whether an address may stand.
func (l links) may(address string) bool {
	if slices.Contains(l.known, address) {
		return true
	}
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.Opaque != "" || strings.ContainsAny(address, "\\\t\r\n ") {
		return false
	}
	if home, err := url.Parse(l.home); err == nil && home.Host != "" && u.Scheme == home.Scheme && strings.EqualFold(u.Host, home.Host) && strings.HasPrefix(u.Path, "/archives/") && permalink.MatchString(u.EscapedPath()) && len(u.RawQuery) <= 60 && u.Fragment == "" {
		return true
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return false
	}
	return l.trusts(u.Hostname()) && !carries(u)
}

// permalink is the path of an address that Slack gives a message.
var permalink = regexp.MustCompile(`^/archives/[CDG][A-Z0-9]{2,24}(/p\d{10,20})?$`)

func (l links) trusts(host string) bool {
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(host, "."))
	if err != nil {
		return false
	}
	name = strings.ToLower(name)
	return slices.ContainsFunc(l.hosts, func(h string) bool {
		suffix, wild := strings.CutPrefix(strings.ToLower(h), "*.")
		return !wild && name == suffix || wild && strings.HasSuffix(name, "."+suffix)
	})
}

var (
	opaqueWord = regexp.MustCompile(fmt.Sprintf(`[A-Za-z0-9+/=_-]{%d,}`, mostLinkWord))
	nested     = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*:(//|\\\\|%2f)|^/*//|www\.|[a-z0-9-]+\.[a-z]{2,24}(/|:\d|\?|$)`)
)

// carries reports whether an address on a trusted host holds another address or
// something long and opaqueWord, plain, percent-encoded or in base64.
func carries(u *url.URL) bool {
	if len(u.RawQuery)+len(u.Fragment) > mostLinkQuery || strings.Contains(u.EscapedPath(), "//") {
		return true
	}
	pieces := strings.FieldsFunc(u.RawQuery+"&"+u.EscapedFragment(), func(r rune) bool { return r == '&' || r == '=' || r == ';' })
	for _, p := range strings.Split(u.EscapedPath(), "/") {
		pieces = append(pieces, p)
		if i := strings.IndexByte(p, ':'); i > 0 { // /http:/evil.example
			return true
		}
	}
	for i, p := range pieces {
		inPath := i >= len(pieces)-strings.Count(u.EscapedPath(), "/")-1
		for range 3 {
			if opaqueWord.MatchString(p) || !inPath && nested.MatchString(p) || inPath && strings.Contains(p, "//") {
				return true
			}
			for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
				if b, err := enc.DecodeString(p); err == nil && len(b) > 6 && nested.Match(b) {
					return true
				}
			}
			plain, err := url.PathUnescape(p)
			if err != nil {
				return true
			}
			if plain == p {
				break
			}
			if p = plain; strings.Contains(p, "://") || strings.Contains(p, "//") {
				return true
			}
		}
	}
	return false
}

var anyLink = regexp.MustCompile(`https?://[^\s<>|"'` + "`" + `]+`)

// addresses are those that stand in a text.
func addresses(text string) []string {
	var out []string
	for _, s := range anyLink.FindAllString(text, -1) {
		s = strings.TrimRight(unescapeLink(s), ".,;:!?)]}*_~")
		if len(s) <= 2000 && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// links are the addresses that people here, and the agent's own tools, have given
// the turn.
func (t *Turn) links() []string {
	var out []string
	add := func(all []string) {
		for _, s := range all {
			if len(out) < mostLinks && !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	for _, s := range t.Steps {
		switch {
		case s.Event != nil && s.Event.Label.Trusted():
			add(addresses(s.Event.Text))
		case s.Model != nil:
			add(s.Model.Links)
		case s.Outcome != nil && s.Outcome.Error == "" && s.Outcome.Result.Label.Trusted() && !strings.Contains(s.Outcome.Call.Name, "."):
			add(addresses(s.Outcome.Result.Text))
		}
	}
	return out
}

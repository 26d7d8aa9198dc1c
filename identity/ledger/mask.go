package ledger

import (
	"regexp"
	"strings"
)

// secretShapes are the forms of well-known credentials: Slack, OpenAI and alike,
// GitHub, GitLab, AWS, Google, JSON web tokens, bearer headers, private keys.
// Group 1 is what has to stand before one, an escape of JSON among it. No form
// reaches across a quote, so that masked JSON stays JSON.
var secretShapes = regexp.MustCompile(`(^|[^A-Za-z0-9_]|\\[bfnrt]|\\u00[0-9A-Fa-f]{2})(?:` + strings.Join([]string{
	`(?:xox[a-z]-|xapp-|xoxe\.)[A-Za-z0-9.-]{6,}`,
	`sk-[A-Za-z0-9_-]{16,}`,
	`gh[pousr]_[A-Za-z0-9]{20,}`, `github_pat_[A-Za-z0-9_]{20,}`, `glpat-[A-Za-z0-9_-]{16,}`,
	`(?:AKIA|ASIA)[0-9A-Z]{16}`, `AIza[0-9A-Za-z_-]{30,}`,
	`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`,
	`hooks\.slack\.com/services/[A-Za-z0-9/]+`,
	`(?:[Bb]earer|BEARER)\s+[A-Za-z0-9._~+/-]{16,}=*`,
	`-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[A-Za-z0-9+/=\s:,]|\\[nr])*(?:-----END [A-Z ]*PRIVATE KEY-----)?`,
}, "|") + `)`)

// secretSigns are substrings of which every secretShapes match has one: looking
// for them first is far quicker, and most texts have none.
var secretSigns = []string{"xox", "xapp-", "sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "AKIA", "ASIA", "AIza", "eyJ", "hooks.slack.com/", "earer", "EARER", "-----BEGIN "}

// Mask replaces what has the form of a credential in text with "[secret]", and
// bytes that a database would refuse. It knows well-known forms only: a secret in
// a disguise passes.
func Mask(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	for _, sign := range secretSigns {
		if strings.Contains(text, sign) {
			return secretShapes.ReplaceAllString(text, "${1}[secret]")
		}
	}
	return text
}

package slacksim

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	codeLife = 10 * time.Minute
	maxCodes = 1_000
)

// grantCode is what the authorize page hands to an app's redirect URL.
type grantCode struct {
	app      *app
	user     string
	redirect string
	scopes   []string
	expires  time.Time // real time
	used     bool
}

// oauthCodes are the codes that were given out.
type oauthCodes struct {
	mu    sync.Mutex
	codes map[string]*grantCode
}

func newOAuthCodes() *oauthCodes { return &oauthCodes{codes: map[string]*grantCode{}} }

func (o *oauthCodes) add(g *grantCode) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.codes) >= maxCodes {
		clear(o.codes)
	}
	code := rand.Text()
	o.codes[code] = g
	return code
}

func (o *oauthCodes) use(code string, now time.Time) (*grantCode, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	g, ok := o.codes[code]
	switch {
	case !ok:
		return nil, refuse("invalid_code")
	case g.used:
		return nil, refuse("code_already_used")
	case now.After(g.expires):
		return nil, refuse("code_expired")
	}
	g.used = true
	return g, nil
}

// serveAuthorize stands for Slack's consent page. It consents at once, as the
// person named by the query's user, or the first admin.
func (s *Server) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.apps, func(a *app) bool { return a.ClientID == q.Get("client_id") })
	if i < 0 {
		http.Error(w, "invalid_client_id", http.StatusBadRequest)
		return
	}
	a := s.apps[i]
	redirect := q.Get("redirect_uri")
	if redirect == "" && len(a.RedirectURLs) > 0 {
		redirect = a.RedirectURLs[0]
	}
	if !slices.ContainsFunc(a.RedirectURLs, func(allowed string) bool { return strings.HasPrefix(redirect, allowed) }) {
		http.Error(w, "bad_redirect_uri", http.StatusBadRequest)
		return
	}
	target, err := url.Parse(redirect)
	if err != nil {
		http.Error(w, "bad_redirect_uri", http.StatusBadRequest)
		return
	}
	who := q.Get("user")
	if who == "" {
		who = s.firstAdmin()
	}
	code := s.oauth.add(&grantCode{app: a, user: who, redirect: q.Get("redirect_uri"),
		scopes: strings.FieldsFunc(q.Get("scope"), func(r rune) bool { return r == ',' || r == ' ' }), expires: s.now().Add(codeLife)})
	back := target.Query()
	back.Set("code", code)
	back.Set("state", q.Get("state"))
	target.RawQuery = back.Encode()
	http.Redirect(w, r, target.String(), http.StatusFound)
}

func (s *Server) firstAdmin() string {
	for _, id := range s.userOrder {
		if s.users[id].admin {
			return id
		}
	}
	return ""
}

func oauthAccess(c *call) (obj, error) {
	id, secret, basic := c.remote.BasicAuth()
	if !basic {
		id, secret = c.args["client_id"], c.args["client_secret"]
	}
	i := slices.IndexFunc(c.apps, func(a *app) bool { return a.ClientID == id })
	switch {
	case i < 0:
		return nil, refuse("invalid_client_id")
	case subtle.ConstantTimeCompare([]byte(secret), []byte(c.apps[i].ClientSecret)) == 0:
		return nil, refuse("bad_client_secret")
	case c.args["grant_type"] != "" && c.args["grant_type"] != "authorization_code":
		return nil, refuse("invalid_grant_type")
	}
	g, err := c.oauth.use(c.args["code"], c.now())
	if err != nil {
		return nil, err
	}
	if g.app != c.apps[i] || g.redirect != c.args["redirect_uri"] {
		return nil, refuse("bad_redirect_uri")
	}
	a := g.app
	for _, sc := range g.scopes { // scopes are additive
		if !a.scopes[sc] {
			a.scopes[sc] = true
			a.Scopes = append(a.Scopes, sc)
		}
	}
	a.revoked = false
	return obj{"access_token": a.BotToken, "token_type": "bot", "scope": strings.Join(a.Scopes, ","), "bot_user_id": a.BotUser, "app_id": a.ID,
		"team": obj{"id": c.team.ID, "name": c.team.Name}, "enterprise": nil, "is_enterprise_install": false,
		"authed_user": obj{"id": g.user}}, nil
}

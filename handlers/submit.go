package handlers

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/rs/zerolog"

	"deskmate/identity/vault"
)

// Submit is the page on which somebody hands in a secret, over a link that works
// once. It takes and never shows.
type Submit struct {
	Vault  *vault.Vault
	Logger zerolog.Logger
}

// mostForm bounds what is handed in.
const mostForm = 96 << 10

var submitPage = template.Must(template.New("submit").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Hand in a secret</title>
<link rel="icon" href="data:,"></head><body><main>
<h1>Hand in a secret</h1>
{{if .Done}}<p role="status">Thank you. It is sealed, and nobody can read it here. An admin has to approve it before it is used. You can close this page.</p>
{{else if .Gone}}<p role="alert">This link does not hold any more: it was used, has expired, or never was. Ask whoever sent it for a new one.</p>
{{else}}<p>The agent asks for its own secret for <strong>{{.Connection}}</strong> ({{.Name}}): {{.Why}}.</p>
{{with .Wrong}}<p role="alert">{{.}}</p>{{end}}
<form method="post" autocomplete="off">
<p><label for="who">Your name</label><br><input id="who" name="who" required maxlength="80"></p>
<p><label for="secret">The secret</label><br><input id="secret" name="secret" type="password" required autocomplete="new-password" spellcheck="false"></p>
<p><button>Hand in</button></p>
</form>
<p>It can be handed in once. Nobody can read it afterwards, not even an admin.</p>{{end}}
</main></body></html>
`))

type submitView struct {
	Done, Gone            bool
	Connection, Name, Why string
	Wrong                 string
}

// ServeHTTP shows the form of a link, and takes it.
func (h *Submit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	token := r.PathValue("token")
	c, err := h.Vault.Asked(r.Context(), token)
	if errors.Is(err, vault.ErrLink) {
		h.show(w, http.StatusNotFound, submitView{Gone: true})
		return
	}
	if err != nil {
		h.fail(w, err)
		return
	}
	view := submitView{Connection: c.Connection, Name: c.Name, Why: c.Justification}
	if r.Method != http.MethodPost {
		h.show(w, http.StatusOK, view)
		return
	}
	if !sameOrigin(r) {
		http.Error(w, "this form was sent from another site", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	if err := r.ParseForm(); err != nil {
		view.Wrong = "That was too long, or could not be read. Try again."
		h.show(w, http.StatusBadRequest, view)
		return
	}
	who := strings.TrimSpace(r.PostForm.Get("who"))
	if who == "" || len(who) > 200 || r.PostForm.Get("secret") == "" {
		view.Wrong = "Please give your name and the secret."
		h.show(w, http.StatusBadRequest, view)
		return
	}
	_, err = h.Vault.Submit(r.Context(), token, who, []byte(r.PostForm.Get("secret")))
	switch {
	case errors.Is(err, vault.ErrLink):
		h.show(w, http.StatusNotFound, submitView{Gone: true})
	case err != nil:
		h.fail(w, err)
	default:
		h.show(w, http.StatusOK, submitView{Done: true})
	}
}

func (h *Submit) show(w http.ResponseWriter, status int, v submitView) {
	w.WriteHeader(status)
	if err := submitPage.Execute(w, v); err != nil {
		h.Logger.Debug().Err(err).Msg("page not shown")
	}
}

func (h *Submit) fail(w http.ResponseWriter, err error) {
	h.Logger.Error().Err(err).Msg("secret not taken")
	http.Error(w, "That could not be kept. Nothing was stored; try again later.", http.StatusInternalServerError)
}

// sameOrigin refuses forms that another site has sent.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin" || site == "none"
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true // no browser
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host == r.Host
}

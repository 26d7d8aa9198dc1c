package slacksim

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"
)

//go:embed page
var pageFiles embed.FS

// pageHandler serves the page on which people talk. The page has no build step:
// the files are what the browser gets.
func pageHandler() http.Handler {
	root, err := fs.Sub(pageFiles, "page")
	if err != nil {
		panic("slacksim: the embedded page has no root: " + err.Error()) // a build fault, not a state
	}
	files := http.FileServerFS(root)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data: https:; style-src 'self' 'unsafe-inline'; frame-ancestors 'self'")
		files.ServeHTTP(w, r)
	})
}

// servePermalink sends a permalink's visitor to the message on the page.
func (s *Server) servePermalink(w http.ResponseWriter, r *http.Request) {
	digits := strings.TrimPrefix(r.PathValue("message"), "p")
	if len(digits) < 7 {
		http.NotFound(w, r)
		return
	}
	ts := digits[:len(digits)-6] + "." + digits[len(digits)-6:]
	target := "/#channel=" + r.PathValue("channel") + "&ts=" + ts
	if thread := r.URL.Query().Get("thread_ts"); thread != "" {
		target += "&thread=" + thread
	}
	http.Redirect(w, r, target, http.StatusFound)
}

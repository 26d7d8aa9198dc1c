package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"
)

// read takes an answer; after is how long the API asks to wait.
func read(resp *http.Response, pick string) (a Answer, after time.Duration, err error) {
	defer resp.Body.Close()
	a.Status, a.Failed = resp.StatusCode, resp.StatusCode >= 400
	for _, h := range []string{"X-Request-Id", "X-Amzn-Requestid", "X-Github-Request-Id"} {
		if a.ID == "" {
			a.ID = resp.Header.Get(h)
		}
	}
	after = time.Second
	if s, perr := strconv.Atoi(resp.Header.Get("Retry-After")); perr == nil && s >= 0 {
		after = time.Duration(s) * time.Second
	}
	if a.Full, err = io.ReadAll(io.LimitReader(resp.Body, mostAnswer+1)); err != nil {
		return a, after, fmt.Errorf("the answer broke off: %w", err)
	}
	if len(a.Full) > mostAnswer {
		return a, after, fmt.Errorf("the answer is longer than %d MB", mostAnswer>>20)
	}
	a.Text = words(resp, a.Full, pick)
	if a.Failed {
		a.Text = fmt.Sprintf("HTTP %d: %s", a.Status, a.Text)
	}
	return a, after, nil
}

// words is a body as text.
func words(resp *http.Response, body []byte, pick string) string {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		kind = http.DetectContentType(body)
	}
	switch {
	case len(body) == 0:
		return "(an empty answer)"
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		return picked(body, pick)
	case kind == "text/html":
		return page(body, resp.Header.Get("Content-Type"))
	case strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "xml"):
		if r, cerr := charset.NewReader(bytes.NewReader(body), resp.Header.Get("Content-Type")); cerr == nil {
			if b, rerr := io.ReadAll(io.LimitReader(r, mostAnswer)); rerr == nil {
				body = b
			}
		}
		return strings.ToValidUTF8(string(body), "�")
	}
	return fmt.Sprintf("(%d bytes of %s)", len(body), kind)
}

// picked is a JSON answer, or the parts of it that the template names.
func picked(body []byte, pick string) string {
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return strings.ToValidUTF8(string(body), "�")
	}
	if pick != "" {
		out := map[string]any{}
		for _, p := range strings.Split(pick, ",") {
			p = strings.TrimSpace(p)
			if got := part(v, strings.Split(p, ".")); got != nil {
				out[p] = got
			}
		}
		v = out
	}
	b, err := json.Marshal(v)
	if err != nil {
		return strings.ToValidUTF8(string(body), "�")
	}
	return string(b)
}

func part(v any, names []string) any {
	if len(names) == 0 {
		return v
	}
	switch x := v.(type) {
	case map[string]any:
		return part(x[names[0]], names[1:])
	case []any:
		if names[0] == "*" {
			var out []any
			for _, e := range x {
				if got := part(e, names[1:]); got != nil {
					out = append(out, got)
				}
			}
			return out
		}
		if i, err := strconv.Atoi(names[0]); err == nil && i >= 0 && i < len(x) {
			return part(x[i], names[1:])
		}
	}
	return nil
}

// page is the text of an HTML page.
func page(body []byte, contentType string) string {
	r, err := charset.NewReader(bytes.NewReader(body), contentType)
	if err != nil {
		r = bytes.NewReader(body)
	}
	z := html.NewTokenizer(r)
	var b strings.Builder
	skip := 0
	for {
		switch z.Next() {
		case html.ErrorToken:
			return strings.TrimSpace(regexp.MustCompile(`\n\s*\n\s*`).ReplaceAllString(b.String(), "\n"))
		case html.StartTagToken:
			name, _ := z.TagName()
			if n := string(name); n == "script" || n == "style" || n == "noscript" || n == "template" {
				skip++
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			switch n := string(name); {
			case n == "script" || n == "style" || n == "noscript" || n == "template":
				skip = max(0, skip-1)
			case slices.Contains([]string{"p", "div", "li", "tr", "h1", "h2", "h3", "title", "br"}, n):
				b.WriteByte('\n')
			}
		case html.TextToken:
			if text := strings.Join(strings.Fields(string(z.Text())), " "); skip == 0 && text != "" {
				b.WriteString(text + " ")
			}
		}
	}
}

func short(s string) string {
	if r := []rune(strings.ToValidUTF8(s, "�")); len(r) > 300 {
		return string(r[:300]) + "…"
	}
	return s
}

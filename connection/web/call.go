package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ArgumentError is a call that cannot be made as it was asked for.
type ArgumentError struct{ Text string }

func (e *ArgumentError) Error() string { return e.Text }

func wrong(format string, a ...any) error { return &ArgumentError{fmt.Sprintf(format, a...)} }

// UnsureError is a request that may have been carried out.
type UnsureError struct{ Err error }

func (e *UnsureError) Error() string { return e.Err.Error() }
func (e *UnsureError) Unwrap() error { return e.Err }

// Call makes the request of a tool. key names the call for ever. Errors:
// *ArgumentError and any other mean that nothing was sent or done, *UnsureError that
// nobody can tell.
func (a *API) Call(ctx context.Context, tool string, args json.RawMessage, key string) (Answer, error) {
	method, address, body, once, pick, err := a.build(tool, args)
	if err != nil {
		return Answer{}, err
	}
	for try := 0; ; try++ {
		resp, err := a.send(ctx, method, address, body, once, key)
		if err != nil {
			return Answer{}, err
		}
		answer, after, err := read(resp, pick)
		reads := method == http.MethodGet || method == http.MethodHead
		switch {
		case err != nil && reads:
			return Answer{}, err
		case err != nil:
			return Answer{}, &UnsureError{err}
		case (answer.Status == http.StatusTooManyRequests || answer.Status == http.StatusServiceUnavailable && (reads || once != "")) && try < mostRetries && after <= mostWait && a.wait(ctx, after):
			continue
		case answer.Status >= 500 && !reads:
			return Answer{}, &UnsureError{fmt.Errorf("the API answered with HTTP %d: %s", answer.Status, short(answer.Text))}
		}
		return answer, nil
	}
}

// build makes the request's parts from the arguments.
func (a *API) build(tool string, raw json.RawMessage) (method, address string, body []byte, once, pick string, err error) {
	var c Call
	values := map[string]any{}
	if tool == "request" && a.spec.Generic {
		if c, err = generic(raw); err != nil {
			return
		}
	} else if i := slices.IndexFunc(a.spec.Calls, func(c Call) bool { return c.Name == tool }); i >= 0 {
		c = a.spec.Calls[i]
		if values, err = c.values(raw); err != nil {
			return
		}
	} else {
		err = wrong("there is no tool %q", tool)
		return
	}
	method = first(c.Method, http.MethodGet)
	u := *a.base
	segments := strings.Split(c.Path, "/")
	for i, s := range segments {
		if tool == "request" {
			continue // it was checked whole
		}
		plain := fill(s, values, url.PathEscape)
		if un, uerr := url.PathUnescape(plain); uerr != nil || slices.ContainsFunc(strings.Split(un, "/"), func(p string) bool { return p == "." || p == ".." }) || un == "" && strings.Contains(s, "{") || strings.ContainsAny(un, "\x00\\") {
			err = wrong("a value cannot be part of the path: it is empty, a dot or two, or has a backslash")
			return
		}
		segments[i] = plain
	}
	escaped := u.Path + strings.Join(segments, "/")
	if u.Path, err = url.PathUnescape(escaped); err != nil {
		err = wrong("the path is not one")
		return
	}
	u.RawPath = escaped
	if len(a.spec.Allow) > 0 && !a.allowed(method, strings.TrimPrefix(escaped, a.base.Path)) {
		err = wrong("%s %s is not among what this connection allows", method, strings.TrimPrefix(escaped, a.base.Path))
		return
	}
	q := url.Values{}
	for k, v := range c.Query {
		if m := hole.FindStringSubmatch(v); m != nil {
			if _, ok := values[m[1]]; !ok && tool != "request" {
				continue
			}
		}
		if tool != "request" {
			v = fill(v, values, func(s string) string { return s })
		}
		q.Set(k, v)
	}
	u.RawQuery = q.Encode()
	if c.Body != nil {
		filled := c.Body
		if tool != "request" {
			filled = fillJSON(c.Body, values)
		}
		if body, err = json.Marshal(filled); err != nil {
			err = wrong("the body cannot be written as JSON")
			return
		}
	}
	return method, u.String(), body, c.Once, c.Pick, nil
}

// generic is a request of the model's own, within the allow-list.
func generic(raw json.RawMessage) (Call, error) {
	var r struct {
		Method string            `json:"method"`
		Path   string            `json:"path"`
		Query  map[string]string `json:"query"`
		Body   any               `json:"body"`
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Call{}, wrong("the arguments do not fit: method, path, query, body")
	}
	un, err := url.PathUnescape(r.Path)
	switch {
	case !slices.Contains(methods, r.Method):
		return Call{}, wrong("the method must be one of %s", strings.Join(methods, ", "))
	case err != nil || !strings.HasPrefix(r.Path, "/") || strings.ContainsAny(r.Path, "?#\\") || strings.ContainsAny(un, "\x00\\\r\n") || path.Clean(un) != strings.TrimRight(un, "/") && un != "/" || strings.Contains(un, "//") || len(r.Path) > mostValue || strings.Contains(strings.ToLower(r.Path), "%2f"):
		return Call{}, wrong("the path must begin with / and hold no query, no dots alone, no double slashes and no backslashes")
	}
	return Call{Method: r.Method, Path: r.Path, Query: r.Query, Body: r.Body}, nil
}

// values are the arguments of a template, checked.
func (c Call) values(raw json.RawMessage) (map[string]any, error) {
	var given map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&given); err != nil {
		return nil, wrong("the arguments are not a JSON object")
	}
	out := map[string]any{}
	for name := range given {
		if _, ok := c.Params[name]; !ok {
			return nil, wrong("there is no argument %q", short(name))
		}
	}
	for name, p := range c.Params {
		v, ok := given[name]
		if !ok || v == nil {
			switch {
			case p.Default != "":
				v = p.Default
				if p.Type != "" && p.Type != "string" {
					v = json.Number(p.Default)
				}
			case p.Optional:
				continue
			default:
				return nil, wrong("the argument %s is missing", name)
			}
		}
		text, err := p.check(v)
		if err != nil {
			return nil, wrong("the argument %s %v", name, err)
		}
		_ = text
		out[name] = v
	}
	return out, nil
}

func (p Param) check(v any) (string, error) {
	text := textOf(v)
	_, isText := v.(string)
	switch first(p.Type, "string") {
	case "string":
		if !isText {
			return "", errors.New("must be a text")
		}
	case "integer":
		if _, err := strconv.ParseInt(text, 10, 64); err != nil || isText {
			return "", errors.New("must be a whole number")
		}
	case "number":
		if _, err := strconv.ParseFloat(text, 64); err != nil || isText {
			return "", errors.New("must be a number")
		}
	case "boolean":
		if _, ok := v.(bool); !ok && text != "true" && text != "false" {
			return "", errors.New("must be true or false")
		}
	}
	switch {
	case len(text) > mostValue || !utf8.ValidString(text):
		return "", fmt.Errorf("is longer than %d bytes, or no text", mostValue)
	case len(p.Enum) > 0 && !slices.Contains(p.Enum, text):
		return "", fmt.Errorf("must be one of %s", strings.Join(p.Enum, ", "))
	case p.Pattern != "" && !regexp.MustCompile(`\A(?:`+p.Pattern+`)\z`).MatchString(text):
		return "", fmt.Errorf("must fit %s", p.Pattern)
	}
	return text, nil
}

func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// fill puts values into a text, each in one go: what a value holds is not filled.
func fill(text string, values map[string]any, escape func(string) string) string {
	return hole.ReplaceAllStringFunc(text, func(m string) string {
		v, ok := values[m[1:len(m)-1]]
		if !ok {
			return ""
		}
		return escape(textOf(v))
	})
}

func fillJSON(body any, values map[string]any) any {
	switch b := body.(type) {
	case string:
		if m := hole.FindString(b); m == b && m != "" {
			v, ok := values[m[1:len(m)-1]]
			if !ok {
				return nil
			}
			return v
		}
		return fill(b, values, func(s string) string { return s })
	case []any:
		out := make([]any, 0, len(b))
		for _, x := range b {
			out = append(out, fillJSON(x, values))
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, x := range b {
			if v := fillJSON(x, values); v != nil {
				out[k] = v
			}
		}
		return out
	}
	return body
}

// allowed reports whether a method and an escaped path are on the list.
func (a *API) allowed(method, escaped string) bool {
	return slices.ContainsFunc(a.spec.Allow, func(rule string) bool {
		m, pattern, _ := strings.Cut(rule, " ")
		return m == method && fits(pattern, escaped)
	})
}

func fits(pattern, escaped string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(escaped, "/")
	for i, w := range want {
		if w == "**" && i == len(want)-1 {
			return len(have) >= i
		}
		if i >= len(have) {
			return false
		}
		if ok, err := path.Match(w, have[i]); err != nil || !ok {
			return false
		}
	}
	return len(have) == len(want)
}

// send makes one request. A failure before anything left is told from others.
func (a *API) send(ctx context.Context, method, address string, body []byte, once, key string) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, r)
	if err != nil {
		return nil, wrong("the request cannot be made of these arguments")
	}
	for k, v := range a.spec.Headers {
		req.Header.Set(k, v)
	}
	req.Header.Set("Accept", "application/json, text/*;q=0.8, */*;q=0.1")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if once != "" {
		req.Header.Set(once, key)
	}
	resp, err := a.client.Do(req)
	if err == nil {
		return resp, nil
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the address, which may hold a credential
	}
	var unsent interface{ NotSent() bool }
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(err, &unsent) && unsent.NotSent(), errors.As(err, &op) && op.Op == "dial", errors.As(err, &dns),
		method == http.MethodGet, method == http.MethodHead:
		return nil, fmt.Errorf("the API cannot be reached: %w", err)
	}
	return nil, &UnsureError{fmt.Errorf("the API gave no answer: %w", err)}
}

// Package egress is the one way by which connections reach the network.
//
// It promises that a request goes only to hosts that an admin named, that the
// address which is dialled is one that was checked (so that a name which changes
// its mind gains nothing), that the addresses of cloud metadata are never dialled,
// and that a redirect is followed only where a first request could have gone. It
// must never use a proxy of the environment, which would make all of this void.
package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// Bounds of a request.
const (
	dialTime      = 10 * time.Second
	tlsTime       = 10 * time.Second
	mostRedirects = 5
	mostHeader    = 64 << 10
)

// Rules say where requests may go.
type Rules struct {
	// Hosts are names or addresses: "api.example.com", "*.example.com" (not the name
	// itself), each with ":port" behind it where only that port is meant.
	Hosts []string
	// Private lets them be on this machine or on a private network.
	Private bool
	// Lookup finds addresses; nil: the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// RefusedError is a request that was not made.
type RefusedError struct{ Host, Why string }

func (e *RefusedError) Error() string { return fmt.Sprintf("%s is not reached: %s", e.Host, e.Why) }

// NotSent tells that nothing of the request has left.
func (e *RefusedError) NotSent() bool { return true }

// Check refuses addresses that a request may not name.
func (r Rules) Check(u *url.URL) error {
	host, err := clean(u.Hostname())
	if err != nil {
		return &RefusedError{cut(u.Hostname()), err.Error()}
	}
	switch {
	case u.User != nil:
		return &RefusedError{host, "the address names a user"}
	case u.Scheme != "https" && !(u.Scheme == "http" && r.Private):
		return &RefusedError{host, "it is not https; plain http is only for hosts with private: true"}
	case !r.named(host, port(u)):
		return &RefusedError{host, "it is not one of the hosts of this connection"}
	}
	return nil
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

// named reports whether a cleaned host is on the list.
func (r Rules) named(host, port string) bool {
	for _, rule := range r.Hosts {
		name, only, has := strings.Cut(rule, ":")
		if strings.HasPrefix(rule, "[") { // an IPv6 address
			name, only, _ = strings.Cut(strings.TrimPrefix(rule, "["), "]")
			only = strings.TrimPrefix(only, ":")
			has = only != ""
		}
		if has && only != port {
			continue
		}
		if suffix, ok := strings.CutPrefix(name, "*."); ok {
			if _, err := netip.ParseAddr(host); err != nil && strings.HasSuffix(host, "."+strings.ToLower(suffix)) {
				return true
			}
			continue
		}
		if want, err := clean(name); err == nil && want == host {
			return true
		}
	}
	return false
}

// clean is a host in the one form in which it is compared.
func clean(host string) (string, error) {
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 {
		return "", errors.New("it names no host")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return "", errors.New("an address must not name an interface")
		}
		return addr.Unmap().String(), nil
	}
	name, err := idna.Lookup.ToASCII(host)
	if err != nil || strings.ContainsAny(name, "/\\@:?#%[] \t\r\n") {
		return "", errors.New("it is no name of a host")
	}
	name = strings.ToLower(name)
	// 0x7f.1 and 2130706433 are addresses to some resolvers.
	last := name[strings.LastIndexByte(name, '.')+1:]
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return "", errors.New("it is an address in an unusual form")
	}
	return name, nil
}

func cut(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

// never are the addresses of cloud metadata and what is meant for one link only;
// sources: the providers' documentation, RFC 3927, RFC 4291 §2.5.6.
var never = prefixes("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32", "fd20:ce::/32")

// private are this machine, private networks, and what the IANA registries of
// special-purpose addresses keep from the public.
var private = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7", "ff00::/8")

func prefixes(all ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range all {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func in(addr netip.Addr, all []netip.Prefix) bool {
	for _, p := range all {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// inner is the IPv4 address that an IPv6 address stands for: mapped, NAT64
// (RFC 6052) and 6to4 (RFC 3056) forms.
func inner(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if !addr.Is6() {
		return addr
	}
	b := addr.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(addr), netip.MustParsePrefix("::/96").Contains(addr) && b[12] != 0:
		return netip.AddrFrom4([4]byte(b[12:16]))
	case netip.MustParsePrefix("2002::/16").Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return addr
}

// allowed says why an address is not dialled, "" if it may be.
func (r Rules) allowed(addr netip.Addr) string {
	for _, a := range []netip.Addr{addr.Unmap(), inner(addr)} {
		switch {
		case !a.IsValid() || a.Zone() != "":
			return "it has no usable address"
		case in(a, never):
			return "its address (" + a.String() + ") belongs to the machine's own surroundings and is never reached"
		case in(a, private) && !r.Private:
			return "its address (" + a.String() + ") is not public; an admin may allow that with private: true"
		}
	}
	return ""
}

// dial connects to an address that was checked; a host with any address that may
// not be dialled is not reached at all.
func (r Rules) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host, err = clean(host); err != nil {
		return nil, &RefusedError{cut(address), err.Error()}
	}
	if !r.named(host, port) {
		return nil, &RefusedError{host, "it is not one of the hosts of this connection"}
	}
	var all []netip.Addr
	if a, perr := netip.ParseAddr(host); perr == nil {
		all = []netip.Addr{a}
	} else if r.Lookup != nil {
		all, err = r.Lookup(ctx, host)
	} else {
		all, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if why := r.allowed(a); why != "" {
			return nil, &RefusedError{host, why}
		}
	}
	err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	d := net.Dialer{Timeout: dialTime}
	for _, a := range all {
		conn, derr := d.DialContext(ctx, "tcp", net.JoinHostPort(a.Unmap().String(), port))
		if derr == nil {
			return conn, nil
		}
		err = derr
	}
	return nil, err
}

// Transport is the way out under r. Bodies are for callers to bound.
func (r Rules) Transport() http.RoundTripper {
	t := &http.Transport{
		Proxy: nil, DialContext: r.dial, ForceAttemptHTTP2: true, TLSHandshakeTimeout: tlsTime, MaxResponseHeaderBytes: mostHeader,
		MaxIdleConns: 32, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, ExpectContinueTimeout: time.Second,
	}
	return &checked{r, t}
}

type checked struct {
	rules Rules
	base  *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (c *checked) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := c.rules.Check(req.URL); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	return c.base.RoundTrip(req)
}

// CloseIdleConnections frees what is kept open; http.Client calls it.
func (c *checked) CloseIdleConnections() { c.base.CloseIdleConnections() }

// Redirects is for http.Client.CheckRedirect: a redirect goes only where the list
// allows, never from https to http, and not to another host with a credential that
// the first one was meant to get.
func (r Rules) Redirects(req *http.Request, via []*http.Request) error {
	if len(via) >= mostRedirects {
		return &RefusedError{cut(req.URL.Hostname()), fmt.Sprintf("there were more than %d redirects", mostRedirects)}
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return &RefusedError{cut(req.URL.Hostname()), "the redirect leaves https"}
	}
	if req.URL.Host != via[0].URL.Host {
		for _, h := range []string{"Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key"} {
			req.Header.Del(h)
		}
	}
	return r.Check(req.URL)
}

// Client is an HTTP client under r, with what adds a credential on top, if any.
func (r Rules) Client(over func(base http.RoundTripper) http.RoundTripper) *http.Client {
	t := r.Transport()
	if over != nil {
		t = over(t)
	}
	return &http.Client{Transport: t, CheckRedirect: r.Redirects}
}

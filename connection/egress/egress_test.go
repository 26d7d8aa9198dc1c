package egress

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{ // public, private, never
		"93.184.216.34": "public", "2606:2800:220:1::1": "public", "8.8.8.8": "public",
		"127.0.0.1": "private", "127.9.9.9": "private", "10.1.2.3": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private",
		"100.64.0.1": "private", "0.0.0.0": "private", "0.1.2.3": "private", "::1": "private", "::": "private", "fc00::1": "private", "fd12::1": "private",
		"::ffff:127.0.0.1": "private", "::ffff:10.0.0.1": "private", "64:ff9b::7f00:1": "private", "64:ff9b::a00:1": "private", "2002:7f00:1::": "private",
		"2002:c0a8:101::1": "private", "::7f00:1": "private", "224.0.0.1": "private", "ff02::1": "private", "255.255.255.255": "private", "198.18.0.1": "private",
		"2001:db8::1": "private", "192.0.2.1": "private", "203.0.113.9": "private",
		"169.254.169.254": "never", "169.254.0.1": "never", "fe80::1": "never", "::ffff:169.254.169.254": "never", "64:ff9b::a9fe:a9fe": "never",
		"2002:a9fe:a9fe::": "never", "fd00:ec2::254": "never", "100.100.100.200": "never", "168.63.129.16": "never", "192.0.0.192": "never",
	} {
		a := netip.MustParseAddr(address)
		got := "public"
		if (Rules{Private: true}).allowed(a) != "" {
			got = "never"
		} else if (Rules{}).allowed(a) != "" {
			got = "private"
		}
		if got != want {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	r := Rules{Hosts: []string{"api.example.com", "*.tools.example.com", "only.example.com:8443", "bücher.example", "[2606:2800:220:1::1]:443", "93.184.216.34"}}
	for address, ok := range map[string]bool{
		"https://api.example.com/x": true, "https://API.Example.COM./x": true, "https://api.example.com:8443/": true, "https://a.tools.example.com": true,
		"https://a.b.tools.example.com": true, "https://only.example.com:8443": true, "https://xn--bcher-kva.example": true, "https://bücher.example": true,
		"https://[2606:2800:220:1::1]/": true, "https://93.184.216.34/": true, "https://[::ffff:93.184.216.34]/": true,

		"http://api.example.com": false, "https://tools.example.com": false, "https://only.example.com": false, "https://evil.com": false,
		"https://api.example.com.evil.com": false, "https://evilapi.example.com": false, "https://api.example.com@evil.com": false, "https://user@api.example.com": false,
		"https://evil.com/api.example.com": false, "https://evil.com?api.example.com": false, "https://evil.com#api.example.com": false,
		"https://xtools.example.com": false, "https://0x5db8d822/": false, "https://1572395042/": false, "https://0135.0270.0330.042/": false, "https://93.184.55330/": false,
		"https://[2606:2800:220:1::1]:8443/": false, "https://[fe80::1%25eth0]/": false, "ftp://api.example.com": false, "file:///etc/passwd": false, "https:///x": false,
		"https://api.example.com%2eevil.com": false, "https://api。example.com": true, "https://аpi.example.com": false,
	} {
		u, err := url.Parse(address)
		if err == nil {
			err = r.Check(u)
		}
		if (err == nil) != ok {
			t.Errorf("%s: %v, want allowed %v", address, err, ok)
		}
	}
}

func TestNameThatChangesItsMind(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer s.Close()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	looks := 0
	var answers [][]netip.Addr
	r := Rules{Hosts: []string{"app.example.com:" + u.Port()}, Lookup: func(context.Context, string) ([]netip.Addr, error) {
		looks++
		return answers[min(looks, len(answers))-1], nil
	}}
	local, public := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("93.184.216.34")
	get := func() error {
		resp, err := (&http.Client{Transport: &checked{Rules{Hosts: r.Hosts, Private: true}, r.Transport().(*checked).base}}).Get("http://app.example.com:" + u.Port())
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	var refused *RefusedError
	answers = [][]netip.Addr{{local}}
	if err := get(); !errors.As(err, &refused) || !strings.Contains(err.Error(), "not public") {
		t.Errorf("a name of this machine: %v", err)
	}
	// One bad address among good ones: which one is dialled is not left to chance.
	looks, answers = 0, [][]netip.Addr{{public, local}}
	if err := get(); !errors.As(err, &refused) {
		t.Errorf("a name of both: %v", err)
	}
	if hits.Load() != 0 {
		t.Errorf("the server got %d requests", hits.Load())
	}
	r.Private, looks, answers = true, 0, [][]netip.Addr{{local}}
	if err := get(); err != nil || hits.Load() != 1 || looks != 1 {
		t.Errorf("allowed: %v, %d requests, %d look-ups", err, hits.Load(), looks)
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	var evil atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		evil.Add(1)
		if r.Header.Get("Authorization") != "" {
			t.Error("the credential went to another host")
		}
	}))
	defer other.Close()
	to := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to != "" && r.URL.Path != "/end" {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		}
	}))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	get := func(hosts ...string) error {
		c := Rules{Hosts: hosts, Private: true}.Client(nil)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer secret")
		resp, err := c.Do(req)
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	for _, target := range []string{"http://169.254.169.254/latest/meta-data", other.URL, "//evil.example/x", "https://user:pw@" + host + "/", "file:///etc/passwd", s.URL + "/again"} {
		to = target
		if err := get(host); err == nil {
			t.Errorf("the redirect to %s was followed", target)
		}
	}
	if evil.Load() != 0 {
		t.Errorf("%d requests went to a host that is not on the list", evil.Load())
	}
	to = "/end"
	if err := get(host); err != nil {
		t.Errorf("a redirect on the same host: %v", err)
	}
	to = other.URL
	if err := get(host, strings.TrimPrefix(other.URL, "http://")); err != nil || evil.Load() != 1 {
		t.Errorf("a redirect to another host on the list: %v", err)
	}
}

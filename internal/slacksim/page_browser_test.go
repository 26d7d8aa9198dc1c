package slacksim_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// browser is a headless Chromium, driven over its DevTools protocol
// (chromedevtools.github.io/devtools-protocol): only the few calls that the
// page's tests need.
type browser struct {
	ws      *websocket.Conn
	writing sync.Mutex

	mu      sync.Mutex
	last    int
	waiting map[int]chan devtools
	faults  map[string][]string // session → exceptions and refusals that the page's console showed
	end     error
}

// devtools is one message of the protocol, either way.
type devtools struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// browse starts Chromium for one test. Where it is missing the test is skipped.
func browse(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		skipUnlessCI(t, "no Chromium in PATH: the page is not tested in a browser")
	}
	profile, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		t.Fatalf("make profile of Chromium: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows", "--disable-background-timer-throttling",
		"--remote-debugging-port=0", "--user-data-dir="+profile, "about:blank")
	// With its children, which would still write to the profile.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatalf("pipe of Chromium: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		_ = os.RemoveAll(profile)
	})
	address := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			if _, url, ok := strings.Cut(lines.Text(), "DevTools listening on "); ok {
				address <- url
			}
		}
		_, _ = io.Copy(io.Discard, stderr)
	}()
	ws, _, err := websocket.DefaultDialer.Dial(await(t, address, "Chromium's address"), nil)
	if err != nil {
		t.Fatalf("dial Chromium: %v", err)
	}
	b := &browser{ws: ws, waiting: map[int]chan devtools{}, faults: map[string][]string{}}
	t.Cleanup(func() { _ = b.ask("", "Browser.close", nil, nil); ws.Close() })
	go b.read()
	return b
}

func (b *browser) read() {
	for {
		_, raw, err := b.ws.ReadMessage()
		var d devtools
		if err == nil {
			err = json.Unmarshal(raw, &d)
		}
		b.mu.Lock()
		if err != nil {
			b.end = err
			for id, ch := range b.waiting {
				delete(b.waiting, id)
				close(ch)
			}
			b.mu.Unlock()
			return
		}
		if ch, ok := b.waiting[d.ID]; ok && d.ID != 0 {
			delete(b.waiting, d.ID)
			ch <- d
		}
		if d.Method == "Runtime.exceptionThrown" || d.Method == "Log.entryAdded" && consoleError.Match(raw) {
			b.faults[d.Session] = append(b.faults[d.Session], string(raw))
		}
		b.mu.Unlock()
	}
}

// consoleError tells faults of the page from other entries of its console. What
// the network refused is the business of the tests that make it refuse.
var consoleError = regexp.MustCompile(`"source":"(?:security|javascript|rendering)","level":"error"`)

// ask calls one method and decodes its result into out.
func (b *browser) ask(session, method string, params, out any) error {
	answer := make(chan devtools, 1)
	b.mu.Lock()
	if b.end != nil {
		b.mu.Unlock()
		return fmt.Errorf("%s: %w", method, b.end)
	}
	b.last++
	id := b.last
	b.waiting[id] = answer
	b.mu.Unlock()
	b.writing.Lock()
	err := b.ws.WriteJSON(devtools{ID: id, Session: session, Method: method, Params: params})
	b.writing.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case d, ok := <-answer:
		switch {
		case !ok:
			return fmt.Errorf("%s: %w", method, errors.New("Chromium went away"))
		case d.Error != nil:
			return fmt.Errorf("%s: %s", method, d.Error.Message)
		case out == nil:
			return nil
		}
		return json.Unmarshal(d.Result, out)
	case <-time.After(patience):
		return fmt.Errorf("%s: no answer in %v", method, patience)
	}
}

// tab is one page that is open, in a profile of its own.
type tab struct {
	t       *testing.T
	b       *browser
	session string
}

// open loads the page in a new tab of the given size in CSS pixels.
func (b *browser) open(t *testing.T, url string, width, height int) *tab {
	t.Helper()
	var profile struct {
		ID string `json:"browserContextId"`
	}
	var target struct {
		ID string `json:"targetId"`
	}
	var attached struct {
		Session string `json:"sessionId"`
	}
	p := &tab{t: t, b: b}
	p.must(b.ask("", "Target.createBrowserContext", nil, &profile))
	p.must(b.ask("", "Target.createTarget", m{"url": "about:blank", "browserContextId": profile.ID, "newWindow": true}, &target))
	p.must(b.ask("", "Target.attachToTarget", m{"targetId": target.ID, "flatten": true}, &attached))
	p.session = attached.Session
	p.do("Page.enable", nil)
	p.do("Runtime.enable", nil)
	p.do("Log.enable", nil)
	p.do("Emulation.setDeviceMetricsOverride", m{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
	p.do("Page.navigate", m{"url": url})
	t.Cleanup(func() {
		b.mu.Lock()
		faults := slices.Clone(b.faults[p.session])
		b.mu.Unlock()
		for _, f := range faults {
			t.Errorf("the page's console has a fault: %s", f)
		}
		_ = b.ask("", "Target.disposeBrowserContext", m{"browserContextId": profile.ID}, nil)
	})
	p.until(`document.querySelector('.nav-row')`, "the channel list")
	return p
}

func (p *tab) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *tab) do(method string, params any) {
	p.t.Helper()
	p.must(p.b.ask(p.session, method, params, nil))
}

// eval is the value of a JavaScript expression, which may be a promise.
func (p *tab) eval(expression string) any {
	p.t.Helper()
	var out struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	p.must(p.b.ask(p.session, "Runtime.evaluate", m{"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &out))
	if out.Exception != nil {
		p.t.Fatalf("evaluate %s: %s %s", expression, out.Exception.Text, out.Exception.Exception.Description)
	}
	return out.Result.Value
}

// until waits until an expression is true on the page, looking at each change.
func (p *tab) until(condition, what string) {
	p.t.Helper()
	script := fmt.Sprintf(`new Promise((done) => {
		const holds = () => { try { return Boolean(%s); } catch { return false; } };
		if (holds()) return done(true);
		const end = (v) => { watch.disconnect(); clearInterval(often); clearTimeout(late); done(v); };
		const look = () => { if (holds()) end(true); };
		const watch = new MutationObserver(look);
		watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
		const often = setInterval(look, 50), late = setTimeout(() => end(false), %d);
	})`, condition, patience.Milliseconds())
	deadline := time.Now().Add(patience)
	for {
		var out struct {
			Result struct {
				Value any `json:"value"`
			} `json:"result"`
		}
		// A navigation takes the context away under the question: ask again.
		err := p.b.ask(p.session, "Runtime.evaluate", m{"expression": script, "awaitPromise": true, "returnByValue": true}, &out)
		if err == nil && out.Result.Value == true {
			return
		}
		if time.Now().After(deadline) || err == nil && out.Result.Value == false {
			p.t.Fatalf("waited %v for %s; the page shows %q (%v)", patience, what, p.eval(`document.body.innerText.slice(0, 1500)`), err)
		}
	}
}

// click clicks the first element that fits, once there is one.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector(%q)`, selector), "an element "+selector)
	p.eval(fmt.Sprintf(`document.querySelector(%q).click()`, selector))
}

// write types text into an element and presses Enter.
func (p *tab) write(selector, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector(%q)`, selector), "an element "+selector)
	p.eval(fmt.Sprintf(`document.querySelector(%q).focus()`, selector))
	p.do("Input.insertText", m{"text": text})
	for _, kind := range []string{"keyDown", "keyUp"} {
		p.do("Input.dispatchKeyEvent", m{"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"})
	}
}

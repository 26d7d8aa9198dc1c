package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// hookof FILE [WORD]: $HOOK becomes the id of the webhook in a list of duties, of the
// one whose prompt holds the word.
func hookof(ts *testscript.TestScript, _ bool, args []string) {
	var duties []struct{ ID, Kind, Prompt string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &duties))
	for _, d := range duties {
		if d.Kind == "webhook" && (len(args) < 2 || strings.Contains(d.Prompt, args[1])) {
			ts.Setenv("HOOK", d.ID)
			return
		}
	}
	ts.Fatalf("there is no webhook in %s", ts.ReadFile(args[0]))
}

var hookSecret = regexp.MustCompile(`secret +([0-9a-f]{64})`)

// hook STATUS SECRET BODY [DUTY]: calls the URL of the duty $HOOK, signed with the
// secret in a file, or with that word; the answer must have the status. "hook replay"
// sends the last call again, which must be known.
func hook(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	want := "202"
	if args[0] != "replay" {
		want = args[0]
		secret := args[1]
		if strings.HasSuffix(secret, ".txt") {
			secret = hookSecret.FindStringSubmatch(ts.ReadFile(secret))[1]
		}
		duty := ts.Getenv("HOOK")
		if len(args) > 3 {
			duty = args[3]
		}
		stamp := fmt.Sprint(time.Now().Unix())
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "%s.%s", stamp, args[2])
		req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, "http://"+ts.Getenv("DESKMATE_ADDR")+"/hooks/"+duty, nil)
		ts.Check(err)
		req.Header.Set("Deskmate-Timestamp", stamp)
		req.Header.Set("Deskmate-Signature", "v1="+hex.EncodeToString(mac.Sum(nil)))
		s.call, s.called = req, []byte(args[2])
	}
	req := s.call.Clone(s.ctx)
	req.Body = io.NopCloser(bytes.NewReader(s.called))
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(resp.Body.Close())
	ts.Logf("%d %s", resp.StatusCode, body)
	if fmt.Sprint(resp.StatusCode) != want {
		ts.Fatalf("the answer is %d %s, want %s", resp.StatusCode, body, want)
	}
	if args[0] == "replay" && !strings.Contains(string(body), `"known":true`) {
		ts.Fatalf("a replay is answered with %s", body)
	}
}

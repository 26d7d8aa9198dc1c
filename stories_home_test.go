package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"deskmate/internal/slacksim"
)

// home PERSON REGEXP: opens the agent's Home, and waits until what it says fits.
// Groups of the pattern become $H1, $H2 …
func home(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	ts.Check(s.people[args[0]].OpenHome(s.ctx))
	s.homeOf(ts, args[0], args[1])
}

// seehome PERSON REGEXP: waits until the Home that the person has open fits.
func seeHome(ts *testscript.TestScript, _ bool, args []string) {
	on(ts).homeOf(ts, args[0], args[1])
}

// formsays PERSON FORM REGEXP: the form that has opened says something that fits.
func formSays(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	form, err := s.views[args[0]].Form(ctx, args[1])
	ts.Check(err)
	if !regexp.MustCompile("(?is)" + args[2]).MatchString(form.Text()) {
		ts.Fatalf("the form says:\n%s", form.Text())
	}
}

// lookup NAME SQL: sets a variable to the one value that a query of the store gives.
func lookup(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite3", "file:"+ts.Getenv("DB")+"?mode=ro")
	ts.Check(err)
	var value string
	ts.Check(db.QueryRow(strings.Join(args[1:], " ")).Scan(&value))
	ts.Check(db.Close())
	ts.Setenv(args[0], value)
}

// homeOf waits for a Home that fits.
func (s *stage) homeOf(ts *testscript.TestScript, who, pattern string) slacksim.Form {
	re, err := regexp.Compile("(?is)" + pattern)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	form, err := s.views[who].Home(ctx, re.MatchString)
	if err != nil {
		ts.Fatalf("the Home of %s does not fit %q: %v; it says:\n%s", who, pattern, err, form.Text())
	}
	for i, v := range re.FindStringSubmatch(form.Text())[1:] {
		ts.Setenv("H"+strconv.Itoa(i+1), v)
	}
	return form
}

// nohome PERSON REGEXP: nothing in the Home that the person has now fits.
func noHome(ts *testscript.TestScript, _ bool, args []string) {
	re, err := regexp.Compile("(?is)" + args[1])
	ts.Check(err)
	form := on(ts).homeOf(ts, args[0], ".")
	if m := re.FindString(form.Text()); m != "" {
		ts.Fatalf("the Home of %s says %q", args[0], m)
	}
}

// use PERSON ACTION ENTRY [REGEXP [CHANNEL]]: presses the button of the fitting
// entry of their Home, or picks a channel; and waits until the Home fits.
func use(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	entry, err := regexp.Compile("(?is)" + args[2])
	ts.Check(err)
	chosen := ""
	if len(args) > 4 {
		chosen = args[4]
	}
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	for {
		form, err := s.views[args[0]].Home(ctx, func(string) bool { return true })
		ts.Check(err)
		if _, _, missing := form.Button(args[1], entry); missing != nil {
			ts.Fatalf("%v; the Home says:\n%s", missing, form.Text())
		}
		// A Home that is published just now takes the place of the one that was read.
		err = s.people[args[0]].Use(ctx, form, args[1], entry, chosen)
		if err == nil || !strings.Contains(err.Error(), "action_not_found") {
			ts.Check(err)
			break
		}
	}
	if len(args) > 3 {
		s.homeOf(ts, args[0], args[3])
	}
}

// shortcut PERSON ID: chooses an entry in the menu of the message that was said last.
func shortcut(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	s.whispers = s.countWhispers(args[0])
	ts.Check(s.people[args[0]].Shortcut(s.ctx, s.channel, s.said, args[1]))
}

// forge PERSON ACTION VALUE: a press of a button that the person was never shown,
// as a signed request: in a Home, or for what is not a Home's in #eng.
func forge(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	user := s.people[args[0]].ID()
	team := "T0DESKMATE"
	if args[0] == "XENA" {
		team = "T0PARTNER"
	}
	container := map[string]string{"type": "view", "view_id": "V0FORGED"}
	if !strings.HasPrefix(args[1], "home_") {
		container = map[string]string{"type": "message", "channel_id": "C0ENG", "message_ts": "1700000000.000100"}
	}
	payload, err := json.Marshal(map[string]any{
		"type": "block_actions", "team": map[string]string{"id": "T0DESKMATE"}, "user": map[string]string{"id": user, "team_id": team},
		"container": container, "trigger_id": "1.2.x",
		"actions": []map[string]string{{"action_id": args[1], "value": strings.Join(args[2:], " "), "action_ts": strconv.FormatInt(time.Now().Unix(), 10) + ".000100", "type": "button"}},
	})
	ts.Check(err)
	body := url.Values{"payload": {string(payload)}}.Encode()
	now := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(s.sim.SigningSecret()))
	mac.Write([]byte("v0:" + now + ":" + body))
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, "http://"+ts.Getenv("DESKMATE_ADDR")+"/slack/interactions", strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Slack-Request-Timestamp", now)
	req.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	ts.Check(resp.Body.Close())
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("the forged press was answered with %d", resp.StatusCode)
	}
}

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"deskmate/bot"
)

type serveCommand struct {
	settingsFlags
	Check bool `help:"Validate everything (settings, tokens, scopes, store, key, model), say what is wrong, and exit."`
	JSON  bool `help:"With --check: print JSON."`
}

// Help implements kong.HelpProvider.
func (serveCommand) Help() string {
	return "Example: SLACK_BOT_TOKEN=xoxb-… SLACK_APP_TOKEN=xapp-… deskmate serve --check\n\n" + settingsHelp()
}

func (c *serveCommand) Run(r *run) error {
	config, err := c.load(r)
	if err != nil {
		return err
	}
	if err := config.serveable(); err != nil {
		return err
	}
	if c.Check {
		return check(r, config, c.JSON)
	}
	log := newLogger(r.Errors, config.LogLevel)
	began := time.Now()
	crash, err := crashPoints(r.Getenv)
	if err != nil {
		return err
	}
	a, err := New(r, config, Options{Logger: log, Crash: crash})
	if err != nil {
		return err
	}
	log.Info().Str("version", Version).Str("workspace", a.Self.Workspace).Str("user", a.Self.User).Str("addr", a.Addr).
		Dur("took", time.Since(began)).Msg("ready")
	err = a.Run(r)
	return errors.Join(err, a.Close())
}

// serveable reports what serve cannot do without.
func (c Config) serveable() error {
	var problems []string
	if c.BotToken == "" {
		problems = append(problems, "slack_bot_token (from nowhere): missing; expected a bot token that starts with xoxb-, in SLACK_BOT_TOKEN (docs/install.md)")
	}
	if c.AppToken == "" && c.SigningSecret == "" {
		problems = append(problems, "slack_app_token (from nowhere): missing; expected an app-level token that starts with xapp-, in SLACK_APP_TOKEN, or SLACK_SIGNING_SECRET for delivery by HTTP")
	}
	if len(problems) > 0 {
		return &ConfigError{problems}
	}
	return nil
}

func newLogger(w io.Writer, level string) zerolog.Logger {
	l, err := zerolog.ParseLevel(level)
	if err != nil {
		l = zerolog.InfoLevel
	}
	return zerolog.New(w).Level(l).With().Timestamp().Logger()
}

// finding is one line of a check.
type finding struct {
	What    string `json:"what"`
	OK      bool   `json:"ok"`
	Detail  string `json:"detail"`
	Warning bool   `json:"warning,omitempty"` // it works, with something missing
}

// check looks at everything that serve will need.
func check(r *run, c Config, asJSON bool) error {
	ctx, cancel := context.WithTimeout(r, 60*time.Second)
	defer cancel()
	var all []finding
	add := func(what string, err error, detail string) {
		f := finding{What: what, OK: err == nil, Detail: detail}
		if err != nil {
			f.Detail = err.Error()
		}
		all = append(all, f)
	}
	for _, s := range settings {
		if from := c.Source(s.name); from != "" && from != "default" {
			add("setting "+s.name, nil, "from "+from)
		}
	}
	store, err := openStore(ctx, c, time.Now, zerolog.Nop(), nil)
	add("store and key file", err, c.Database+", "+c.KeyFile)
	if err == nil {
		if err := store.Close(); err != nil {
			add("store", err, "")
		}
	}
	api := bot.NewAPI(bot.APIOptions{BaseURL: c.SlackAPI, BotToken: c.BotToken, AppToken: c.AppToken})
	me, scopes, err := api.Scopes(ctx)
	add("bot token", err, fmt.Sprintf("%s in %s (%s)", me.Name, me.Team, me.Workspace))
	if err == nil {
		all = append(all, checkScopes(scopes)...)
	}
	if c.AppToken != "" {
		add("app token, Socket Mode", api.CanConnect(ctx), "a connection can be opened")
	}
	if c.SigningSecret != "" {
		add("signing secret", nil, "set; only a request of Slack's can show whether it is the right one")
	}
	model, err := chooseModel(c, zerolog.Nop())
	switch {
	case err != nil:
		add("model", err, "")
	case c.OpenAIKey == "" && c.OpenAIURL == "":
		all = append(all, finding{What: "model", OK: true, Warning: true, Detail: "none is configured: the built-in rules answer; set OPENAI_BASE_URL or OPENAI_API_KEY, and DESKMATE_MODEL"})
	default:
		_, err = model.Complete(ctx, bot.Request{Messages: []bot.Message{{Role: bot.RoleUser, Content: "Answer with the word ok."}}, MaxTokens: 16}, nil)
		add("model", err, model.Name()+" answers")
	}
	all = append(all, checkSponsors(ctx, c, api, me.Workspace)...)
	return report(r, all, asJSON)
}

func checkScopes(have []string) []finding {
	if have == nil {
		return []finding{{What: "scopes", OK: true, Warning: true, Detail: "the server does not tell which scopes the token has"}}
	}
	granted := map[string]bool{}
	for _, s := range have {
		granted[s] = true
	}
	var all []finding
	for _, s := range bot.Scopes {
		if !granted[s.Name] {
			all = append(all, finding{What: "scope " + s.Name, Detail: "missing: without it " + s.Without})
		}
	}
	if len(all) == 0 {
		all = append(all, finding{What: "scopes", OK: true, Detail: fmt.Sprintf("all %d are there", len(bot.Scopes))})
	}
	return all
}

// report prints findings and fails if one of them is bad.
func report(r *run, all []finding, asJSON bool) error {
	bad := 0
	for _, f := range all {
		if !f.OK {
			bad++
		}
	}
	if asJSON {
		if err := printJSON(r.Out, map[string]any{"ok": bad == 0, "findings": all}); err != nil {
			return err
		}
	} else {
		for _, f := range all {
			mark := "ok  "
			switch {
			case !f.OK:
				mark = "BAD "
			case f.Warning:
				mark = "note"
			}
			fmt.Fprintf(r.Out, "%s  %s: %s\n", mark, f.What, f.Detail)
		}
		if bad > 0 {
			fmt.Fprintf(r.Out, "\n%s to mend\n", plural(bad, "thing"))
		}
	}
	if bad > 0 {
		return exitError(1)
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// human is the name under which the operator's commands are recorded.
func human(getenv func(string) string) string {
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if u := strings.TrimSpace(getenv(name)); u != "" {
			return "cli:" + u
		}
	}
	return fmt.Sprintf("cli:uid-%d", os.Getuid())
}

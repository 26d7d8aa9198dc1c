package app

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"deskmate/handlers"
	"deskmate/identity"
	"deskmate/identity/budget"
	"deskmate/identity/monitor"
	"deskmate/identity/vault"
	"deskmate/scheduler"
)

// Config is everything that a running Deskmate is told from outside.
type Config struct {
	BotToken      string
	AppToken      string
	SigningSecret string
	SlackAPI      string // base URL of the Web API, with a trailing slash

	OpenAIKey      string
	OpenAIURL      string // "" is the provider's own
	Model          string
	EmbeddingModel string // "" for no vectors
	ModelFallbacks []string

	VaultKeyFile string   // "" is beside the database
	VaultKeys    []string // in place of the file

	Database string // "sqlite:PATH"
	KeyFile  string
	Addr     string // HOST:PORT of the HTTP side; "" serves none

	AgentName string
	Charter   string
	Sponsor   string // Slack user ids, separated by commas

	SponsorGrace time.Duration // how long the agent works on when nobody answers for it
	Review       identity.ReviewRules

	PublicURL     string // address under which others reach this server, without a slash at its end; "" if nobody said
	AnchorURL     string // "" for none
	AnchorToken   string
	AnchorChannel string
	LedgerKeep    time.Duration // 0: for ever

	AdminChannel string   // id of the channel that notices go to; "" is the sponsor
	Digest       string   // cron expression of the weekly summaries; "off" for none
	Monitor      []string // settings of detectors, detector.member=value
	Canaries     []string // planted secrets that must never be sent

	LinkHosts []string // that links in answers may lead to

	Prices     budget.Prices
	BudgetZone *time.Location

	TurnSteps  int
	TurnTokens int
	TurnTime   time.Duration
	PostEvery  time.Duration
	LogLevel   string

	sources map[string]string // setting name → where its value came from
}

// A setting is one value that can come from a flag, the environment or the
// config file, in this order; else it has its default.
type setting struct {
	name     string // flag and config file key, with - in flags and _ in the file
	env      string
	fallback string
	secret   bool
	expects  string // what a right value looks like, for error messages
	help     string
	set      func(c *Config, v string) error
}

// settings is the one list that flags, environment, file, checks and the
// reference page are made from.
var settings = []setting{
	{name: "slack_bot_token", env: "SLACK_BOT_TOKEN", secret: true, expects: "a bot token that starts with xoxb-", help: "bot token of the Slack app",
		set: func(c *Config, v string) error { c.BotToken = v; return prefixed(v, "xoxb-", "xoxe.xoxb-") }},
	{name: "slack_app_token", env: "SLACK_APP_TOKEN", secret: true, expects: "an app-level token that starts with xapp-", help: "app-level token with connections:write, for Socket Mode",
		set: func(c *Config, v string) error { c.AppToken = v; return prefixed(v, "xapp-") }},
	{name: "slack_signing_secret", env: "SLACK_SIGNING_SECRET", secret: true, expects: "the signing secret of the app's Basic Information page", help: "checks requests that Slack sends by HTTP",
		set: func(c *Config, v string) error { c.SigningSecret = v; return nil }},
	{name: "slack_api_url", env: "SLACK_API_URL", fallback: "https://slack.com/api/", expects: "an https URL, or http on this machine (127.0.0.1, localhost, [::1])", help: "base URL of the Slack Web API",
		set: func(c *Config, v string) error {
			c.SlackAPI = strings.TrimRight(v, "/") + "/"
			return checkURL(v)
		}},
	{name: "openai_api_key", env: "OPENAI_API_KEY", secret: true, expects: "the key of the model server", help: "key for the model server",
		set: func(c *Config, v string) error { c.OpenAIKey = v; return nil }},
	{name: "openai_base_url", env: "OPENAI_BASE_URL", expects: "an http or https URL such as http://localhost:11434/v1", help: "model server that speaks chat completions",
		set: func(c *Config, v string) error {
			c.OpenAIURL = strings.TrimRight(v, "/")
			return checkHTTP(v)
		}},
	{name: "model", env: "DESKMATE_MODEL", expects: "a model name that the server knows", help: "model to use; without key and URL the built-in rules answer",
		set: func(c *Config, v string) error { c.Model = v; return nil }},
	{name: "embedding_model", env: "DESKMATE_EMBEDDING_MODEL", expects: "an embedding model that the server knows", help: "model for vectors beside the index of memory; without one words alone find",
		set: func(c *Config, v string) error { c.EmbeddingModel = v; return nil }},
	{name: "model_fallbacks", env: "DESKMATE_MODEL_FALLBACKS", expects: "model names, separated by commas", help: "models to try when the first one fails",
		set: func(c *Config, v string) error {
			for _, m := range strings.Split(v, ",") {
				if m = strings.TrimSpace(m); m != "" {
					c.ModelFallbacks = append(c.ModelFallbacks, m)
				}
			}
			return nil
		}},
	{name: "database_url", env: "DESKMATE_DATABASE_URL", fallback: "sqlite:deskmate.db", expects: "sqlite:PATH", help: "where everything is kept",
		set: func(c *Config, v string) error {
			c.Database = v
			if !strings.HasPrefix(v, "sqlite:") || v == "sqlite:" {
				return errors.New("this build stores in SQLite only")
			}
			return nil
		}},
	{name: "key_file", env: "DESKMATE_KEY_FILE", expects: "a path", help: "master key, made with mode 0600 on first use (default: beside the database)",
		set: func(c *Config, v string) error { c.KeyFile = v; return nil }},
	{name: "vault_key_file", env: "DESKMATE_VAULT_KEY_FILE", expects: "a path", help: "key of the agent's credentials, made with mode 0600 on first use (default: beside the database)",
		set: func(c *Config, v string) error { c.VaultKeyFile = v; return nil }},
	{name: "vault_key", env: "DESKMATE_VAULT_KEY", secret: true, expects: "64 hexadecimal digits; after a comma those before, while credentials are sealed anew", help: "the same from the environment, in place of the file",
		set: func(c *Config, v string) error {
			c.VaultKeys = strings.Split(v, ",")
			_, err := vault.FromHex(c.VaultKeys...)
			return err
		}},
	{name: "addr", env: "DESKMATE_ADDR", fallback: "127.0.0.1:8790", expects: "HOST:PORT, port 0 picks one", help: "address of the HTTP side: health, metrics, Slack's requests",
		set: func(c *Config, v string) error { c.Addr = v; return checkAddr(v) }},
	{name: "agent_name", env: "DESKMATE_AGENT_NAME", fallback: "Deskmate", expects: "a name", help: "what the agent calls itself",
		set: func(c *Config, v string) error { c.AgentName = v; return nil }},
	{name: "charter", env: "DESKMATE_CHARTER", expects: "text", help: "standing instructions for the agent",
		set: func(c *Config, v string) error { c.Charter = v; return nil }},
	{name: "sponsor", env: "DESKMATE_SPONSOR", expects: "Slack user ids such as U012AB3CD, separated by commas", help: "the humans who answer for the agent",
		set: func(c *Config, v string) error {
			all := identity.Agent{Sponsor: v}.Sponsors()
			c.Sponsor = strings.Join(all, ",")
			for _, id := range all {
				if err := prefixed(id, "U", "W"); err != nil {
					return err
				}
			}
			return nil
		}},
	{name: "sponsor_grace", env: "DESKMATE_SPONSOR_GRACE", fallback: "168h", expects: "a duration from 1h to 720h", help: "how long the agent works on when none of its sponsors is an active full member; then it is suspended",
		set: func(c *Config, v string) error { return between(&c.SponsorGrace, v, time.Hour, 720*time.Hour) }},
	{name: "review_every", env: "DESKMATE_REVIEW_EVERY", fallback: "2160h", expects: "a duration from 24h to 17520h, or 0 for never", help: "from one review of what the agent may do to the next",
		set: func(c *Config, v string) error {
			if v == "0" {
				c.Review.Every = 0
				return nil
			}
			return between(&c.Review.Every, v, 24*time.Hour, 17520*time.Hour)
		}},
	{name: "review_idle", env: "DESKMATE_REVIEW_IDLE", fallback: "720h", expects: "a duration from 0s to 8760h", help: "a review proposes to remove what was not used for so long",
		set: func(c *Config, v string) error { return between(&c.Review.Idle, v, 0, 8760*time.Hour) }},
	{name: "review_answer", env: "DESKMATE_REVIEW_ANSWER", fallback: "336h", expects: "a duration from 1h to 2160h", help: "a review removes what was proposed and has no answer after so long",
		set: func(c *Config, v string) error { return between(&c.Review.Answer, v, time.Hour, 2160*time.Hour) }},
	{name: "admin_channel", env: "DESKMATE_ADMIN_CHANNEL", expects: "a channel id such as C012AB3CD", help: "where admins are told of what they should know (default: the sponsor, by direct message)",
		set: func(c *Config, v string) error { c.AdminChannel = v; return prefixed(v, "C", "G") }},
	{name: "digest", env: "DESKMATE_DIGEST", fallback: handlers.DefaultDigest, expects: "a cron expression of five fields such as 0 9 * * 1, or off", help: "when owners and sponsors get their weekly summary, in the sponsor's time zone",
		set: func(c *Config, v string) error {
			c.Digest = v
			if v == "off" {
				return nil
			}
			return scheduler.Schedule{Cron: v, TZ: "UTC"}.Validate()
		}},
	{name: "public_url", env: "DESKMATE_PUBLIC_URL", expects: "an https URL such as https://deskmate.example.com, or http on this machine", help: "where others reach this server, as the URLs of webhooks are shown",
		set: func(c *Config, v string) error { c.PublicURL = strings.TrimRight(v, "/"); return checkURL(v) }},
	{name: "anchor_url", env: "DESKMATE_ANCHOR_URL", expects: "an https URL, or http on this machine", help: "where each signed checkpoint of the ledger is posted, so that nobody here can rewrite it unseen",
		set: func(c *Config, v string) error { c.AnchorURL = v; return checkURL(v) }},
	{name: "anchor_token", env: "DESKMATE_ANCHOR_TOKEN", secret: true, expects: "a bearer token", help: "is sent with them",
		set: func(c *Config, v string) error { c.AnchorToken = v; return nil }},
	{name: "anchor_channel", env: "DESKMATE_ANCHOR_CHANNEL", expects: "a channel id such as C012AB3CD", help: "where a signed checkpoint is posted once an hour, if the ledger grew",
		set: func(c *Config, v string) error { c.AnchorChannel = v; return prefixed(v, "C", "G") }},
	{name: "ledger_keep", env: "DESKMATE_LEDGER_KEEP", expects: "an age such as 365d", help: "texts in the ledger older than this are erased daily; entries and proofs stay (default: kept)",
		set: func(c *Config, v string) error {
			var err error
			if c.LedgerKeep, err = age(v); err == nil && c.LedgerKeep < 24*time.Hour {
				err = errors.New("less than a day")
			}
			return err
		}},
	{name: "monitor", env: "DESKMATE_MONITOR", expects: "settings such as loop.threshold=4, separated by commas", help: "how the detectors of straying differ from their defaults; 'deskmate monitor config' lists them",
		set: func(c *Config, v string) error {
			for _, s := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ';' }) {
				if s = strings.TrimSpace(s); s != "" {
					c.Monitor = append(c.Monitor, s)
				}
			}
			_, err := monitor.Config{}.Set(c.Monitor...)
			return err
		}},
	{name: "canaries", env: "DESKMATE_CANARIES", secret: true, expects: "texts of at least 12 letters and digits, separated by commas", help: "planted secrets: whatever tries to send one suspends the agent",
		set: func(c *Config, v string) error {
			for _, s := range strings.Split(v, ",") {
				if s = strings.TrimSpace(s); s != "" {
					c.Canaries = append(c.Canaries, s)
				}
			}
			return monitor.Config{Canaries: c.Canaries}.Validate()
		}},
	{name: "link_hosts", env: "DESKMATE_LINK_HOSTS", expects: "names of hosts such as docs.example.com or *.example.com, separated by commas", help: "hosts that links in answers may lead to, also where something private or foreign went into the answer",
		set: func(c *Config, v string) error {
			for _, s := range strings.Split(v, ",") {
				if s = strings.ToLower(strings.TrimSpace(s)); s == "" {
					continue
				}
				if name := strings.TrimPrefix(s, "*."); !strings.Contains(name, ".") || strings.ContainsAny(name, "*/:@ ") {
					return fmt.Errorf("%q is not the name of a host", s)
				}
				c.LinkHosts = append(c.LinkHosts, s)
			}
			return nil
		}},
	{name: "prices", env: "DESKMATE_PRICES", expects: "prices of models such as gpt-5*=1.25/10, in units of your currency for a million tokens in and out, separated by commas", help: "what models cost, for budgets of money and the report",
		set: func(c *Config, v string) error {
			var err error
			if c.Prices, err = budget.ParsePrices(v); err == nil {
				c.Prices = append(c.Prices, budget.Price{Model: "built-in rules*"}) // they are free
			}
			return err
		}},
	{name: "budget_zone", env: "DESKMATE_BUDGET_ZONE", fallback: "UTC", expects: "a time zone such as Europe/Berlin", help: "where the days and months of budgets begin",
		set: func(c *Config, v string) error {
			var err error
			c.BudgetZone, err = time.LoadLocation(v)
			return err
		}},
	{name: "turn_steps", env: "DESKMATE_TURN_STEPS", fallback: "24", expects: "a whole number from 1 to 200", help: "model calls that one request may take",
		set: func(c *Config, v string) error { return whole(&c.TurnSteps, v, 1, 200) }},
	{name: "turn_tokens", env: "DESKMATE_TURN_TOKENS", fallback: "400000", expects: "a whole number from 1000 to 10000000", help: "tokens that one request may take",
		set: func(c *Config, v string) error { return whole(&c.TurnTokens, v, 1000, 10_000_000) }},
	{name: "turn_time", env: "DESKMATE_TURN_TIME", fallback: "10m", expects: "a duration from 10s to 2h, such as 10m", help: "time that one request may take",
		set: func(c *Config, v string) error {
			d, err := time.ParseDuration(v)
			c.TurnTime = d
			if err == nil && (d < 10*time.Second || d > 2*time.Hour) {
				err = errors.New("out of range")
			}
			return err
		}},
	{name: "post_every", env: "DESKMATE_POST_EVERY", fallback: "1s", expects: "a duration from 0s to 1m; Slack wants 1s", help: "distance between two posts in a channel; edits keep three times that",
		set: func(c *Config, v string) error {
			d, err := time.ParseDuration(v)
			c.PostEvery = d
			if err == nil && (d < 0 || d > time.Minute) {
				err = errors.New("out of range")
			}
			return err
		}},
	{name: "log_level", env: "DESKMATE_LOG_LEVEL", fallback: "info", expects: "debug, info, warn or error", help: "how much is logged",
		set: func(c *Config, v string) error {
			c.LogLevel = v
			switch v {
			case "debug", "info", "warn", "error":
				return nil
			}
			return errors.New("not a level")
		}},
}

// ConfigError lists every wrong value with its name, where it came from and
// what was expected.
type ConfigError struct{ Problems []string }

func (e *ConfigError) Error() string {
	return "the configuration has " + plural(len(e.Problems), "problem") + ":\n  - " + strings.Join(e.Problems, "\n  - ")
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// LoadConfig resolves all settings: flags (by setting name) first, then the
// environment, then the YAML file at path ("" for none), then defaults. Errors
// are *ConfigError, or the file's.
func LoadConfig(flags map[string]string, getenv func(string) string, path string) (Config, error) {
	file, err := readConfigFile(path)
	if err != nil {
		return Config{}, err
	}
	c := Config{sources: map[string]string{}}
	var problems []string
	for _, s := range settings {
		v, from := s.fallback, "default"
		if f, ok := file[s.name]; ok {
			v, from = f.value, fmt.Sprintf("%s line %d", path, f.line)
		}
		if e := getenv(s.env); e != "" {
			v, from = e, "environment "+s.env
		}
		if f, ok := flags[s.name]; ok && f != "" {
			v, from = f, "flag --"+strings.ReplaceAll(s.name, "_", "-")
		}
		delete(file, s.name)
		if v == "" {
			continue
		}
		c.sources[s.name] = from
		if err := s.set(&c, v); err != nil {
			shown := strconv.Quote(v)
			if s.secret {
				shown = "the value"
			}
			problems = append(problems, fmt.Sprintf("%s (from %s): %s is wrong (%v); expected %s", s.name, from, shown, err, s.expects))
		}
	}
	for name, f := range file {
		problems = append(problems, fmt.Sprintf("%s (from %s line %d): there is no such setting%s", name, path, f.line, nearest(name)))
	}
	sort.Strings(problems)
	if len(problems) > 0 {
		return Config{}, &ConfigError{problems}
	}
	if c.KeyFile == "" {
		c.KeyFile = strings.TrimSuffix(strings.TrimPrefix(c.Database, "sqlite:"), ".db") + ".key"
	}
	return c, nil
}

// Source says where a setting's value came from, "" where it has none.
func (c Config) Source(name string) string { return c.sources[name] }

type fileValue struct {
	value string
	line  int
}

// readConfigFile reads a flat YAML mapping of setting names to scalars.
func readConfigFile(path string) (map[string]fileValue, error) {
	values := map[string]fileValue{}
	if path == "" {
		return values, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read config file: %w", err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(b, &root); err != nil {
		return nil, &ConfigError{[]string{fmt.Sprintf("%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))}}
	}
	if len(root.Content) == 0 {
		return values, nil
	}
	top := root.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, &ConfigError{[]string{fmt.Sprintf("%s line %d: expected lines of the form name: value", path, top.Line)}}
	}
	var problems []string
	for i := 0; i+1 < len(top.Content); i += 2 {
		k, v := top.Content[i], top.Content[i+1]
		switch _, twice := values[k.Value]; {
		case twice:
			problems = append(problems, fmt.Sprintf("%s (from %s line %d): is given twice", k.Value, path, k.Line))
		case v.Kind == yaml.SequenceNode:
			var items []string
			for _, item := range v.Content {
				items = append(items, item.Value)
			}
			values[k.Value] = fileValue{strings.Join(items, ","), k.Line}
		case v.Kind != yaml.ScalarNode:
			problems = append(problems, fmt.Sprintf("%s (from %s line %d): expected a single value", k.Value, path, k.Line))
		default:
			values[k.Value] = fileValue{v.Value, k.Line}
		}
	}
	if len(problems) > 0 {
		return nil, &ConfigError{problems}
	}
	return values, nil
}

// nearest suggests the setting that a wrong name most likely meant.
func nearest(name string) string {
	best, score := "", 0
	for _, s := range settings {
		n := 0
		for n < len(name) && n < len(s.name) && name[n] == s.name[n] {
			n++
		}
		if strings.Contains(s.name, name) || strings.Contains(name, s.name) {
			n += len(name)
		}
		if n > score {
			best, score = s.name, n
		}
	}
	if score < 3 {
		return "; deskmate serve --help lists them"
	}
	return "; did you mean " + best + "?"
}

func prefixed(v string, prefixes ...string) error {
	for _, p := range prefixes {
		if strings.HasPrefix(v, p) && len(v) > len(p) && !strings.ContainsAny(v, " \t\r\n") {
			return nil
		}
	}
	return errors.New("it has another form")
}

// checkURL accepts https anywhere and http only where nobody else listens in.
func checkURL(v string) error {
	u, err := url.Parse(v)
	if err != nil || u.Host == "" {
		return errors.New("not a URL")
	}
	switch u.Scheme {
	case "https":
		return nil
	case "http":
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
			return nil
		}
		return errors.New("tokens would travel unencrypted")
	}
	return errors.New("not an http URL")
}

func checkHTTP(v string) error {
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("not an http URL")
	}
	return nil
}

func checkAddr(v string) error {
	if v == "off" {
		return nil
	}
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		return errors.New("not HOST:PORT")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return errors.New("not a port")
	}
	return nil
}

// between reads a duration within bounds.
func between(to *time.Duration, v string, least, most time.Duration) error {
	d, err := time.ParseDuration(v)
	if err != nil {
		return errors.New("not a duration")
	}
	*to = d
	if d < least || d > most {
		return errors.New("out of range")
	}
	return nil
}

func whole(to *int, v string, least, most int) error {
	n, err := strconv.Atoi(v)
	if err != nil {
		return errors.New("not a whole number")
	}
	*to = n
	if n < least || n > most {
		return errors.New("out of range")
	}
	return nil
}

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"deskmate/bot"
)

type manifest struct {
	OAuth struct {
		Scopes struct{ Bot []string }
	} `yaml:"oauth_config"`
	Settings struct {
		Events struct {
			Bot []string `yaml:"bot_events"`
		} `yaml:"event_subscriptions"`
	}
}

func readManifest(t *testing.T) (manifest, any) {
	t.Helper()
	b, err := os.ReadFile("manifest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	var all any
	if err := yaml.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	// Through JSON, so that numbers and maps have the types that the schema expects.
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	all, err = jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return m, all
}

func TestManifestFitsSlacksSchema(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "shared", "slack", "manifest.schema.2.0.0.json")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("Slack's manifest schema is missing: %v", err)
		}
		t.Skipf("Slack's manifest schema is not here (%s): it is published as slackapi/manifest-schema", path)
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseRegexpEngine(lookahead)
	schema, err := compiler.Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, m := readManifest(t)
	if err := schema.Validate(m); err != nil {
		t.Error(err)
	}
}

// domain is a pattern that may not begin with a dot or dash.
type domain struct{ *regexp.Regexp }

func (d domain) MatchString(s string) bool {
	return !strings.HasPrefix(s, ".") && !strings.HasPrefix(s, "-") && d.Regexp.MatchString(s)
}

// lookahead compiles the schema's patterns. Go's engine has no lookahead, which
// the schema uses in one place.
func lookahead(pattern string) (jsonschema.Regexp, error) {
	const guard = `^(?![\.\-])`
	if rest, ok := strings.CutPrefix(pattern, guard); ok {
		re, err := regexp.Compile("^" + rest)
		return domain{re}, err
	}
	return regexp.Compile(pattern)
}

// clientMethods are slack-go's names of the Web API methods in use.
var clientMethods = map[string]string{
	"AuthTestContext": "auth.test", "StartSocketModeContext": "apps.connections.open",
	"PostMessageContext": "chat.postMessage", "UpdateMessageContext": "chat.update", "GetPermalinkContext": "chat.getPermalink",
	"AddReactionContext": "reactions.add", "SetAssistantThreadsStatusContext": "assistant.threads.setStatus",
	"GetUserInfoContext": "users.info", "GetUsersPaginated": "users.list",
	"GetConversationInfoContext": "conversations.info", "GetConversationsContext": "conversations.list", "OpenConversationContext": "conversations.open",
	"GetUsersInConversationContext": "conversations.members", "OpenViewContext": "views.open", "ListPinsContext": "pins.list", "PublishViewContext": "views.publish", "GetConversationsForUserContext": "users.conversations", "PostEphemeralContext": "chat.postEphemeral", "GetUserGroupMembersContext": "usergroups.users.list", "GetUserGroupsContext": "usergroups.list",
	"GetConversationRepliesContext": "conversations.replies", "GetConversationHistoryContext": "conversations.history",
}

// unscoped need no scope of a bot token.
var unscoped = []string{"auth.test", "apps.connections.open", "chat.getPermalink", "views.open", "views.publish"}

// The manifest asks for the scopes that the code uses and no others.
func TestManifestAsksForTheScopesInUse(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	calls := regexp.MustCompile(`\bclient\.([A-Z][A-Za-z]+)\(`)
	files, err := filepath.Glob("bot/slack*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range calls.FindAllStringSubmatch(string(b), -1) {
			if file == "bot/slack_socket.go" && clientMethods[m[1]] == "" {
				continue // slack-go's Socket Mode client, which calls no Web API method
			}
			method, known := clientMethods[m[1]]
			if !known {
				t.Errorf("%s calls client.%s, whose Web API method this test does not know", file, m[1])
			}
			used[method] = true
		}
	}
	if len(used) < 10 {
		t.Fatalf("only %d Web API methods were found in the code: the test looks at the wrong thing", len(used))
	}
	covered := map[string]bool{}
	var names []string
	for _, s := range bot.Scopes {
		names = append(names, s.Name)
		inUse := len(s.Methods) == 0 // scopes of events
		for _, m := range s.Methods {
			covered[m] = true
			inUse = inUse || used[m]
		}
		if !inUse {
			t.Errorf("scope %s is for %v, none of which the code calls", s.Name, s.Methods)
		}
		if s.Without == "" {
			t.Errorf("scope %s does not say what breaks without it", s.Name)
		}
	}
	for method := range used {
		if !covered[method] && !slices.Contains(unscoped, method) {
			t.Errorf("the code calls %s, which no scope of bot.Scopes covers", method)
		}
	}
	m, _ := readManifest(t)
	slices.Sort(names)
	asked := slices.Sorted(slices.Values(m.OAuth.Scopes.Bot))
	if !slices.Equal(names, asked) {
		t.Errorf("manifest.yaml asks for %v, the code needs %v", asked, names)
	}
}

// The manifest subscribes to events that the code handles, and no others.
func TestManifestSubscribesToHandledEvents(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("bot/slack_change.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(b), "var changes = map[string]bool{")
	list, _, _ = strings.Cut(list, "\n}")
	handled := []string{"app_home_opened", "app_mention", "message.channels", "message.groups", "message.im", "message.mpim", "reaction_added"}
	for _, m := range regexp.MustCompile(`"([a-z_]+)": true`).FindAllStringSubmatch(list, -1) {
		handled = append(handled, m[1])
	}
	m, _ := readManifest(t)
	for _, e := range m.Settings.Events.Bot {
		if !slices.Contains(handled, e) {
			t.Errorf("manifest.yaml subscribes to %s, which the code does not handle", e)
		}
	}
	for _, e := range handled {
		if !slices.Contains(m.Settings.Events.Bot, e) {
			t.Errorf("the code handles %s, to which manifest.yaml does not subscribe", e)
		}
	}
}

package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Rules is the model that answers where no language model is configured. It
// understands the plain requests of docs/models.md, turns them into the tool
// calls that a language model would make, and words the answer from what the
// tools say. It keeps no state: the same messages always get the same response.
// It says what it is, and never guesses.
type Rules struct{}

// NewRules is the rule-based model.
func NewRules() *Rules { return &Rules{} }

// Name says what it is wherever a model's name is shown.
func (*Rules) Name() string { return "built-in rules (no language model)" }

// Complete answers at once and never fails but by the end of ctx.
func (m *Rules) Complete(ctx context.Context, r Request, onText func(string)) (Response, error) {
	if err := ctx.Err(); err != nil {
		return Response{}, fmt.Errorf("call model: %w", err)
	}
	resp := respond(r)
	resp.Model = m.Name()
	resp.Usage = estimate(r, resp)
	if onText != nil && resp.Text != "" {
		onText(resp.Text)
	}
	return resp, nil
}

// intent is what one message asks for: tool calls, and how to word the answer
// from their results, which come in the order of the calls. An empty answer is
// silence.
type intent struct {
	calls  []ToolCall
	answer func(results []string) string
}

// ask is one message of a person, as the rules see it.
type ask struct {
	text   string // without mentions and politeness at its start
	whole  string // as it came, but for the message that it quotes
	quoted string // that it is about, "" for none
	at     int    // its place among the request's messages
	author string
	silent bool   // not addressed to the agent
	duty   bool   // the prompt of a duty that is due
	cause  string // what set the duty off, "" for the clock
	brief  briefing
	tools  map[string]bool
}

// called is a tool call that was made earlier in the turn.
type called struct {
	name, args string // args in canonical form
	at         int
	result     string
	used       bool
}

// respond reads the turn from the messages: what is asked, what was called for
// it, what is still to be done. Calls are found again by name and arguments, as
// their ids are the loop's.
func respond(r Request) Response {
	asks, made := readTurn(r)
	var todo []ToolCall
	var answers []string
	for _, a := range asks {
		in := understand(a)
		if missing := a.missing(in.calls); missing != "" {
			answers = append(answers, fmt.Sprintf("I cannot do that here: I have no tool `%s`.", missing))
			continue
		}
		var results []string
		for _, c := range in.calls {
			if i := madeFor(made, c, a.at); i >= 0 {
				made[i].used = true
				results = append(results, made[i].result)
				continue
			}
			c.ID = fmt.Sprintf("rule_%d", len(todo)+1)
			todo = append(todo, c)
		}
		if len(results) == len(in.calls) && in.answer != nil {
			if text := strings.TrimSpace(in.answer(results)); text != "" {
				answers = append(answers, text)
			}
		}
	}
	if len(todo) > 0 {
		return Response{Calls: todo}
	}
	return Response{Text: strings.Join(answers, "\n\n")}
}

// missing names the first tool of calls that is not there, "" for none.
func (a ask) missing(calls []ToolCall) string {
	for _, c := range calls {
		if !a.tools[c.Name] {
			return c.Name
		}
	}
	return ""
}

// readsOnly are tools whose one result serves everybody who asks for it in a turn.
func readsOnly(tool string) bool {
	switch tool {
	case "recall", "duty_list", "duty_history", "read_thread", "brief", "read_channel", "who_am_i", "what_can_you_do", "handoff_list":
		return true
	}
	return false
}

// madeFor is the index of the earlier call that is c and followed from the message
// at, -1 if there is none.
func madeFor(made []called, c ToolCall, at int) int {
	args := canonical(c.Args)
	for i, m := range made {
		if m.name == c.Name && m.args == args && m.at > at && (!m.used || readsOnly(c.Name)) {
			return i
		}
	}
	return -1
}

// canonical is JSON in one form for one meaning.
func canonical(args json.RawMessage) string {
	var v any
	if json.Unmarshal(args, &v) != nil {
		return string(args)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return string(args)
	}
	return string(b)
}

// readTurn gives the messages that still count and the calls that were made.
func readTurn(r Request) ([]ask, []called) {
	tools := map[string]bool{}
	for _, t := range r.Tools {
		tools[t.Name] = true
	}
	for _, m := range r.Messages { // a tool that was called may be gone since
		for _, c := range m.Calls {
			tools[c.Name] = true
		}
	}
	var asks []ask
	var made []called
	var brief briefing
	byID := map[string]int{}
	for i, m := range r.Messages {
		switch {
		case m.Role == RoleSystem:
			brief = readBriefing(m.Content)
		case m.Role == RoleAssistant && len(m.Calls) == 0: // answered: what came before is done
			asks, made, byID = nil, nil, map[string]int{}
		case m.Role == RoleAssistant:
			for _, c := range m.Calls {
				byID[c.ID] = len(made)
				made = append(made, called{name: c.Name, args: canonical(c.Args), at: i, result: "Error: it gave no result"})
			}
		case m.Role == RoleTool:
			if n, ok := byID[m.CallID]; ok {
				made[n].result = m.Content
			}
		case m.Role == RoleUser:
			request, quoted := withoutQuote(m.Content)
			a := ask{whole: request, quoted: quoted, at: i, author: m.Name, silent: m.Silent, duty: brief.duty && len(asks) == 0, brief: brief, tools: tools}
			if a.duty {
				a.whole, a.cause, _ = strings.Cut(a.whole, causeMark)
			}
			asks = a.add(asks, made)
		}
	}
	return asks, made
}

// What the loop puts before the text of an edit and in place of a deleted message.
const (
	editedMark  = "(edited an earlier message; it now reads:) "
	deletedMark = "(deleted one of their earlier messages; do not act on it any more)"
)

// add appends a to asks. An edit or a deletion takes back the author's message
// before it, unless that has been acted on.
func (a ask) add(asks []ask, made []called) []ask {
	edit, edited := strings.CutPrefix(a.whole, editedMark)
	deleted := strings.HasPrefix(a.whole, deletedMark)
	if edited || deleted {
		for i := len(asks) - 1; i >= 0; i-- {
			if asks[i].author != a.author {
				continue
			}
			if !asks[i].actedOn(made) {
				asks = append(asks[:i:i], asks[i+1:]...)
			}
			break
		}
	}
	if deleted {
		return asks
	}
	if edited {
		a.whole = edit
	}
	a.text = a.plain()
	return append(asks, a)
}

// actedOn reports whether a call that a asks for has been made.
func (a ask) actedOn(made []called) bool {
	for _, c := range understand(a).calls {
		if madeFor(made, c, a.at) >= 0 {
			return true
		}
	}
	return false
}

// briefing is what the rules take from the system message.
type briefing struct {
	agent    string // its name
	asker    string // Slack id of who asked
	duty     bool
	question question  // that the thread waits for an answer to
	now      time.Time // by the clock of who asked
	judge    bool      // it may keep notes that nobody asked for
}

var (
	agentName = regexp.MustCompile(`^You are ([^,\n]{1,80}), a member`)
	toldNow   = regexp.MustCompile(`(?m)^Now: (\S+ \d+ \S+ \d{4} \d\d:\d\d) `)
	askedBy   = regexp.MustCompile(`(?m)Asked by .* \(<@([UW][A-Z0-9]+)>`)
)

// clock is now, as far as it was told: it only has to be near.
func (b briefing) clock() time.Time {
	if b.now.IsZero() {
		return time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	}
	return b.now
}

func readBriefing(system string) briefing {
	b := briefing{duty: strings.Contains(system, "This is a run of one of your duties"), judge: strings.Contains(system, mayJudge)}
	b.question = lastQuestion(system)
	if m := toldNow.FindStringSubmatch(system); m != nil {
		if t, err := time.Parse("Monday 2 January 2006 15:04", m[1]); err == nil {
			b.now = t
		}
	}
	if m := agentName.FindStringSubmatch(system); m != nil {
		b.agent = m[1]
	}
	if m := askedBy.FindStringSubmatch(system); m != nil {
		b.asker = m[1]
	}
	return b
}

// use is a call of a tool with string arguments, given as name, value pairs;
// empty values are left out.
func use(tool string, pairs ...string) ToolCall {
	args := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			args[pairs[i]] = pairs[i+1]
		}
	}
	b, err := json.Marshal(args)
	if err != nil {
		panic(err) // maps of strings always marshal
	}
	return ToolCall{Name: tool, Args: b}
}

// does is the intent of one call. word words its result; an error is worded here.
func does(c ToolCall, word func(result string) string) (intent, bool) {
	return intent{calls: []ToolCall{c}, answer: func(results []string) string {
		if why, failed := failureWords(results[0]); failed {
			return why
		}
		return word(results[0])
	}}, true
}

// failureWords words a result that is an error.
func failureWords(result string) (string, bool) {
	why, failed := strings.CutPrefix(result, "Error: ")
	if asked, ok := strings.CutPrefix(why, notYet); ok && failed {
		return strings.TrimSuffix(asked, askThem) + " " + answerHere, true
	}
	if strings.HasPrefix(why, "it is not known") {
		return "I am not sure that this worked: " + why, failed
	}
	return "That did not work: " + why, failed
}

// says is the intent of a plain answer.
func says(text string) (intent, bool) {
	return intent{answer: func([]string) string { return text }}, true
}

// asTold shows a result as it is.
func asTold(result string) string { return result }

package bot

import (
	"regexp"
	"strings"

	"deskmate/scheduler"
)

var (
	dutyList = regexp.MustCompile(`(?i)^(?:(?:list|show)(?:\s+me)?(?:\s+all)?\s+(?:(?:of\s+)?(?:the|my|our|your|these)\s+)?(?:duties|reminders|schedules?|scheduled\s+\S+|recurring\s+\S+)|(?:what|which)\s+(?:are\s+)?(?:(?:the|my|our|your)\s+)?(?:duties|reminders|schedules)\b.*|what(?:['’]s|\s+is|\s+do\s+you\s+have|\s+have\s+you\s+got)?\s+(?:is\s+)?scheduled\b.*|(?:(?:my|our|your)\s+)?(?:duties|reminders)|who\s+(?:owns|answers\s+for|is\s+responsible\s+for)\s+(?:the\s+|this\s+)?(?:.{1,60}\s)?(?:duty|reminder|duties|reminders))(?:\s+(?:here|in\s+this\s+channel|for\s+(?:me|us)))?[.?! ]*$`)
	dutyForm = regexp.MustCompile(`(?is)^(pause|suspend|snooze|stop|resume|unpause|restart|continue|reactivate|delete|remove|cancel|drop|run|execute|trigger)\s+((?:the|my|our|your|that|this)\s+)?(.+?)[.!?]*$`)
	dutyWord = regexp.MustCompile(`(?i)\b(?:dut(?:y|ies)|reminders?|schedules?)\b\s*:?\s*`)
	dutyID   = regexp.MustCompile(`(?i)\bd_?[a-z2-7]{10}\b|\bd_[a-z0-9]+\b`)
	dutyNow  = regexp.MustCompile(`(?i)\s+(?:right\s+)?now$`)
	dutyLink = regexp.MustCompile(`(?i)^(?:called|named|about|to|for|that|with|of)\s+`)
	dutyTry  = regexp.MustCompile(`(?is)^(?:(?:try|dry[ -]?run)\s+(.+?)|what\s+would\s+(.+?)\s+do(?:\s+now)?)[.!?]*$`)
	dutySkip = regexp.MustCompile(`(?is)^skip\s+(?:the\s+)?next\s+(?:(?:run|time)\s+of\s+)?(?:the\s+)?(.+?)[.!]*$`)
	stopsIt  = regexp.MustCompile(`(?is)^stop\s+(?:reminding|posting|telling|asking)\s+(?:(?:me|us)\s+)?(?:about\s+|of\s+|to\s+|that\s+)?(.+?)[.!]*$`)
)

// duties is list, pause, resume, delete and run. Without an id or a word for
// duties only pausing and resuming are understood: both can be undone.
func (a ask) duties() (intent, bool) {
	if dutyList.MatchString(a.text) {
		return does(use("duty_list"), asTold)
	}
	if m := dutyPast.FindStringSubmatch(a.text); m != nil {
		return does(use("duty_history", "duty", whichDuty(m[1])), asTold)
	}
	if m := dutyTry.FindStringSubmatch(a.text); m != nil && namesDuty(first(m[1], m[2])) {
		return does(use(toolDutyTry, "duty", whichDuty(articles.ReplaceAllString(first(m[1], m[2]), ""))), asTold)
	}
	if m := dutySkip.FindStringSubmatch(a.text); m != nil && namesDuty(m[1]) {
		return does(use(toolDutySkip, "duty", whichDuty(m[1])), asTold)
	}
	if m := stopsIt.FindStringSubmatch(a.text); m != nil {
		return does(use("duty_pause", "duty", m[1]), asTold)
	}
	if in, ok := a.altering(); ok {
		return in, true
	}
	m := dutyForm.FindStringSubmatch(a.text)
	if m == nil {
		return intent{}, false
	}
	named := dutyWord.MatchString(m[3]) || dutyID.MatchString(m[3])
	rest, until := strings.TrimSpace(m[3]), ""
	if u := pausedTo.FindStringSubmatch(rest); u != nil {
		rest, until = u[1], u[2]
	}
	which := whichDuty(rest)
	if which == "" {
		return intent{}, false
	}
	verb := strings.ToLower(m[1])
	tool := "duty_delete"
	switch verb {
	case "pause", "suspend", "snooze", "stop":
		tool = "duty_pause"
	case "resume", "unpause", "restart", "continue", "reactivate":
		tool = "duty_resume"
	case "run", "execute", "trigger":
		tool = "duty_run"
	}
	undoable := verb == "pause" || verb == "resume" || verb == "unpause"
	if !named && (!undoable || a.silent || a.duty) {
		return intent{}, false
	}
	if tool == "duty_pause" {
		return does(use(tool, "duty", which, "until", until), asTold)
	}
	if until != "" {
		return intent{}, false
	}
	return does(use(tool, "duty", which), asTold)
}

// namesDuty reports whether the words speak of a duty for sure.
func namesDuty(text string) bool { return dutyWord.MatchString(text) || strings.Contains(text, "d_") }

var articles = regexp.MustCompile(`(?i)^(?:the|my|our)\s+`)

// whichDuty is the id or the words that name a duty.
func whichDuty(text string) string {
	which := dutyNow.ReplaceAllString(strings.TrimSpace(text), "")
	if id := dutyID.FindString(which); id != "" {
		return id
	}
	which = strings.TrimSpace(dutyWord.ReplaceAllString(which+" ", " "))
	which = dutyLink.ReplaceAllString(which, "")
	return strings.Trim(which, "`\"'“” ")
}

var (
	dutyPast  = regexp.MustCompile(`(?is)^(?:(?:show(?:\s+me)?\s+)?(?:the\s+)?history\s+of|(?:show(?:\s+me)?\s+)?(?:the\s+)?(?:last|latest|newest)\s+runs\s+of|how\s+did)\s+(.*\b(?:dut(?:y|ies)|reminders?|d_[a-z0-9]+)\b.*?)(?:\s+go)?[.!?]*$`)
	pausedTo  = regexp.MustCompile(`(?is)^(.+?)\s+((?:until|till|for)\s+.+)$`)
	dutyAlter = regexp.MustCompile(`(?is)^(?:change|move|edit|reschedule|set|rename|make)\s+(?:the\s+|my\s+|our\s+)?(.+?)\s+(to|into|so\s+that\s+it\s+(?:says|does)|as|called)\s+(.+?)[.!]*$`)
	dutyThere = regexp.MustCompile(`(?i)^(?:report\s+(?:in|to)\s+)?(?:(here|this\s+channel|this\s+thread|the\s+thread|a?\s*(?:dm|direct\s+message))|(` + rChannel + `))$`)
)

// altering is "change duty d_… to every day at 10", "move the stand-up duty to
// #eng", "change what d_… does to …". It must say that it means a duty.
func (a ask) altering() (intent, bool) {
	m := dutyAlter.FindStringSubmatch(a.text)
	if m == nil || !dutyWord.MatchString(m[1]) && !dutyID.MatchString(m[1]) || len(a.text) > maxTimed {
		return intent{}, false
	}
	which, to, how := whichDuty(m[1]), strings.Trim(strings.TrimSpace(m[3]), "`"), strings.ToLower(strings.Fields(m[2])[0])
	head := strings.ToLower(strings.Fields(a.text)[0])
	var in ToolCall
	switch there := dutyThere.FindStringSubmatch(to); {
	case head == "rename", how == "called":
		in = use(toolDutyChange, "duty", which, "title", strings.Trim(to, `"'“”`))
	case there != nil && strings.Contains(strings.ToLower(there[1]), "thread"):
		in = use(toolDutyChange, "duty", which, "where", "thread")
	case there != nil && there[2] == "" && !strings.Contains(strings.ToLower(there[1]), "here") && !strings.Contains(strings.ToLower(there[1]), "channel"):
		in = use(toolDutyChange, "duty", which, "where", "dm")
	case there != nil:
		in = use(toolDutyChange, "duty", which, "where", strings.ToLower(there[1])+there[2])
	case timeWhole.MatchString(to):
		in = use(toolDutyChange, "duty", which, "when", withAt(to))
	default:
		in = use(toolDutyChange, "duty", which, "what", to)
	}
	return does(in, carded)
}

// reminding is "remind me tomorrow at 9 to X". Where no time is found the whole
// sentence is handed on: the scheduler knows more words than the rules do.
func (a ask) reminding() (intent, bool) {
	if len(a.text) > maxTimed || asksAgain.MatchString(a.text) {
		return intent{}, false
	}
	when, what, ok := splitReminder(a.text)
	if !ok {
		return intent{}, false
	}
	if when == "" {
		when = a.text
	}
	return dutyFor(when, what)
}

// later is "every weekday at 9:30 post X" and "post X every weekday at 9:30".
func (a ask) later() (intent, bool) {
	if len(a.text) > maxTimed || strings.HasSuffix(strings.TrimSpace(a.text), "?") {
		return intent{}, false
	}
	when, what, ok := splitTime(a.text)
	if wider, rest, found := a.wider(what, ok); found {
		when, what, ok = wider, rest, true
	}
	if !ok {
		return intent{}, false
	}
	s, rest, err := scheduler.ParsePhrase(a.text, a.brief.clock(), "UTC")
	if err != nil {
		when = a.text // more was said of the time than the rules see: the scheduler asks
	} else if seen, _, err := scheduler.ParsePhrase(when, a.brief.clock(), "UTC"); err == nil && seen != s && rest != "" {
		when, what = a.text, rest // the rules saw another time than all of it says
	}
	return dutyFor(when, what)
}

// wider has the scheduler look for a time that the rules' own words do not reach to
// the end of, or do not know: it knows more. narrow is what they take for what is to
// be done, if any. It takes only what is as clearly a request as splitTime does.
func (a ask) wider(narrow string, any bool) (when, what string, ok bool) {
	s, rest, err := scheduler.ParsePhrase(a.text, a.brief.clock(), "UTC")
	if err != nil {
		// What begins with such words is a request, and what is unclear in it is asked back.
		if !any && timeLeads.MatchString(a.text) && !strings.Contains(a.text, "\n") && hasAction.MatchString(a.text) {
			return a.text, a.text, true
		}
		return "", "", false
	}
	if rest == "" || any && (len(rest) >= len(narrow) || !strings.HasSuffix(narrow, rest) && !strings.HasPrefix(narrow, rest)) {
		return "", "", false
	}
	repeats := s.Cron != ""
	switch {
	case strings.HasSuffix(a.text, rest): // the time stands first
		if startsDoes.MatchString(rest) || repeats && !startsWho.MatchString(rest) && timeLeads.MatchString(a.text) {
			return a.text, rest, true
		}
	case strings.HasPrefix(a.text, rest): // it stands last
		if startsDoes.MatchString(a.text) && !directed.MatchString(a.text) && !strings.Contains(rest, ": ") && strings.Count(rest, `"`)%2 == 0 && repeats {
			return a.text, rest, true
		}
	case any || timeLeads.MatchString(a.text) && startsDoes.MatchString(rest): // it stands on both sides
		return a.text, rest, true
	}
	return "", "", false
}

var (
	timeLeads = regexp.MustCompile(`(?i)^(?:every|each|\d{1,2}[:.h]\d\d\s|\d{1,2}\s*[ap]m\s|just\s+once|only\s+on|on\s+(?:business|work(?:ing)?)\s+days|daily|weekly|biweekly|fortnightly|(?:bi-?)?monthly|quarterly|yearly|annually|hourly|twice|once|(?:semi|half-)\w+ly|all\s+w|on\s+(?:the|every|each|\S+days|(?:\S+\s+)?\S+day\b.*\bat\s+\d)|at\s|the\s+(?:first|last|second|third|fourth|\d)|from\s|between\s|starting\s|beginning\s|until\s|during\s|next\s|(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:days?)?(?:\s*[,&–-]|\s+(?:to|and|or|in|at)\b)|(?:\d+|an?|two|three|four|half|quarter)\s+(?:an\s+)?(?:(?:minutes?|hours?|days?|weeks?|months?)\s+)?(?:before|after|past|from)\s|in\s+the\s+(?:morning|evening))`)
	hasAction = regexp.MustCompile(`(?i)\b` + actionWords + `\b`)
)

// dutyFor is the intent of a duty.
func dutyFor(when, what string) (intent, bool) {
	what, options := dutyExtras(what)
	return does(use(toolDutyCreate, append([]string{"when", when, "what", what}, options...)...), carded)
}

// carded is nothing where a card says it all.
func carded(result string) string {
	if strings.HasSuffix(result, cardFollows) {
		return ""
	}
	return result
}

// extras are what may stand behind what a duty is to do, each after a comma or in
// brackets: the option that it sets, and its value ("$1" for what was said).
var extras = []struct {
	re          *regexp.Regexp
	name, value string
}{
	{regexp.MustCompile(`(?i)^(?:and\s+)?(?:report|answer|put\s+(?:it|the\s+results?))\s+in\s+(?:this|the)\s+thread$`), "where", "thread"},
	{regexp.MustCompile(`(?i)^(?:and\s+)?(?:report|answer|put\s+(?:it|the\s+results?))\s+(?:in|to)\s+(` + rChannel + `)$`), "where", "$1"},
	{regexp.MustCompile(`(?i)^(?:and\s+)?(?:report|answer)\s+(?:by|in\s+a)\s+(?:dm|direct\s+message)$`), "where", "dm"},
	{regexp.MustCompile(`(?i)^(?:and\s+)?(?:with\s+)?(?:all\s+)?(?:results?\s+)?of\s+a\s+day\s+together$`), "report", "day"},
	{regexp.MustCompile(`(?i)^(?:and\s+|but\s+)?(?:silently|quietly|(?:say|post)\s+nothing\s+if\s+there\s+is\s+nothing(?:\s+to\s+(?:report|say))?|only\s+if\s+there\s+is\s+(?:something|anything)(?:\s+to\s+(?:report|say))?)$`), "silent", "yes"},
	{regexp.MustCompile(`(?i)^(?:and\s+|but\s+)?not\s+(?:between\s+|from\s+)?((?:(?:[a-z]{3}(?:-[a-z]{3})?|daily)\s+)?\d{1,2}:\d{2}\s*-\s*\d{1,2}:\d{2})$`), "quiet", "$1"},
	{regexp.MustCompile(`(?i)^(?:and\s+)?(?:leave\s+out|skip)\s+(?:what\s+(?:was|is)\s+missed|missed\s+(?:times|runs))$`), "catch_up", "skip"},
	{regexp.MustCompile(`(?i)^(?:and\s+)?(?:at\s+most\s+)?(\d+)\s+times(?:\s+in\s+all)?$`), "most", "$1"},
	{regexp.MustCompile("(?i)^(?:and\\s+)?(?:use\\s+only|with\\s+only|only\\s+with)\\s+(?:the\\s+tools?\\s+)?((?:`?[a-z][a-z0-9_.-]*`?(?:\\s+and\\s+|\\s*\\+\\s*)?)+)$"), "tools", "$1"},
}

// dutyExtras takes options off the end of what a duty is to do.
func dutyExtras(what string) (string, []string) {
	var options []string
	for {
		i := strings.LastIndexAny(what, ",;")
		if i < 0 || strings.Count(what[:i], `"`)%2 != 0 {
			return what, options
		}
		said, found := strings.Trim(what[i+1:], " .!"), false
		for _, x := range extras {
			m := x.re.FindStringSubmatch(said)
			if m == nil {
				continue
			}
			value := x.value
			if value == "$1" {
				value = strings.ReplaceAll(m[1], " + ", ",")
			}
			options, found = append(options, x.name, value), true
			break
		}
		if !found {
			return what, options
		}
		what = strings.TrimSpace(what[:i])
	}
}

// answerHere ends a question about the time of a duty: whoever answers it in the
// thread has the duty made.
const answerHere = "Answer here, and I go on with it."

var (
	timeWhole  = regexp.MustCompile(`(?is)^(?:` + tPhrase + `)$`)
	timeDay    = regexp.MustCompile(`(?is)^(?:` + tOn + `)$`)
	timeClock  = regexp.MustCompile(`(?is)^(?:at\s+|@\s*|around\s+)?` + tClock + tZone + tPart + `?$`)
	meant      = regexp.MustCompile(`Do you mean (\d\d:\d\d)\?`)
	agrees     = regexp.MustCompile(`(?i)^(?:yes|yep|yeah|right|exactly|correct|sure)\b[.!, ]*$`)
	earlierRow = regexp.MustCompile(`(?m)^(\S[^:\n]{0,80}): (.*(?:\n  .*)*)`)
)

// answering completes a duty whose time was asked for in the turn before: the
// thread, as it is quoted, holds what was asked for and the question.
func (a ask) answering() (intent, bool) {
	q := a.brief.question
	if q.asked == "" || q.author != a.author || len(a.text) > 200 {
		return intent{}, false
	}
	said := strings.Trim(a.text, " .!")
	if m := meant.FindStringSubmatch(q.text); m != nil && agrees.MatchString(said) {
		said = "at " + m[1]
	}
	if !timeClock.MatchString(said) && !timeWhole.MatchString(said) && !timeDay.MatchString(said) {
		return intent{}, false
	}
	before := ask{whole: q.asked, brief: a.brief}
	before.text = before.plain()
	when, what, ok := splitReminder(before.text)
	if !ok {
		when, what, ok = splitTime(before.text)
	}
	if !ok || what == "" {
		return intent{}, false
	}
	switch {
	case when == "":
		when = said
	case timeClock.MatchString(said):
		if m := clockAtEnd.FindStringIndex(when); m != nil {
			when = when[:m[0]] // the one that was in doubt
		}
		when = strings.TrimSpace(when + " " + withAt(said))
		if bareHour.MatchString(said) {
			when = strings.TrimSpace(strings.TrimSuffix(when, said)) + " at " + said
		}
	case timeDay.MatchString(said) && !timeExact.MatchString(said):
		when = said + " " + when
	default:
		when = said
	}
	return dutyFor(when, what)
}

var (
	clockAtEnd = regexp.MustCompile(`(?is)(?:^|\s+)(?:at|@)\s+` + tClock + tZone + `$`)
	bareHour   = regexp.MustCompile(`^\d{1,2}$`)
)

// question is what the agent asked last in the thread, about a duty.
type question struct {
	author, asked string // who asked for the duty, and how
	text          string
}

// lastQuestion finds it in the thread as the system message quotes it: the last
// line is the agent's own, and the one before that it answers.
func lastQuestion(system string) question {
	_, quoted, ok := strings.Cut(system, "\nEarlier in this thread, oldest first (quoted, for information):\n")
	if !ok {
		return question{}
	}
	quoted, _, _ = strings.Cut(quoted, "\nWhat you remember that may help")
	rows := earlierRow.FindAllStringSubmatch(quoted, -1)
	if len(rows) < 2 {
		return question{}
	}
	last, before := rows[len(rows)-1], rows[len(rows)-2]
	if !strings.HasSuffix(strings.TrimSpace(last[2]), answerHere) || last[1] == before[1] {
		return question{}
	}
	return question{author: before[1], asked: strings.ReplaceAll(before[2], "\n  ", "\n"), text: last[2]}
}

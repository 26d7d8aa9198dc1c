package bot

import (
	"regexp"
	"strings"
)

var (
	thanksForm = regexp.MustCompile(`(?i)^(?:(?:many\s+|much\s+)?thanks(?:\s+a\s+lot|\s+so\s+much|\s+again)?|thank\s+you(?:\s+(?:very\s+much|so\s+much))?|thx|ty|cheers|(?:that['’]s\s+)?(?:great|perfect|awesome|nice|good|cool|well\s+done)(?:\s+(?:job|work))?(?:,?\s+thanks|,?\s+thank\s+you)?)(?:[\s,]+(?:deskmate|@deskmate|<@[^>]+>|all))?[.!\s:)]*$`)
	okayForm   = regexp.MustCompile(`(?i)^(?:ok(?:ay)?|all\s*right|alright|got\s+it|understood|never\s*mind|yes|no|nope|yep|sure)[.!\s]*$`)
	helloForm  = regexp.MustCompile(`(?i)^(?:hi|hello|hey|hiya|howdy|yo|greetings|good\s+(?:morning|afternoon|evening|day)|morning|ping|test)(?:[\s,]+(?:there|deskmate|@deskmate|team|all|<@[^>]+>))*[.!?\s:)]*$`)
	howAreYou  = regexp.MustCompile(`(?i)^how\s+(?:are\s+you|is\s+it\s+going|do\s+you\s+do)\b[^?]{0,20}[?.! ]*$`)
	whoForm    = regexp.MustCompile(`(?i)^(?:(?:who|what)\s+are\s+you\b.*|who['’]?s\s+this|introduce\s+yourself.*|whoami|who\s+am\s+i\s+talking\s+to|are\s+you\s+(?:an?\s+)?(?:bot|ai|human|robot|person|real|machine|language\s+model|llm|chatgpt|there)\b.*|what\s+is\s+deskmate|(?:which|what)\s+(?:language\s+)?(?:model|llm)\s+(?:are|do|is)\b.*|what(?:['’]s|\s+is)\s+your\s+name|who\s+(?:is\s+your\s+sponsor|answers\s+for\s+you|made\s+you|runs\s+you))[?.! ]*$`)
	notesForm  = regexp.MustCompile(`(?i)^(?:(?:list|show(?:\s+(?:me|us))?|export)\s+(?:all\s+)?(?:(?:of\s+)?(?:your|the|my|our)\s+)?(?:notes|memory|memories|what\s+you\s+(?:know|remember)(?:\s+(?:here|about\s+(?:me|us)))?)|what\s+(?:notes\s+do\s+you\s+have|do\s+you\s+(?:know|remember))(?:\s+(?:about\s+(?:me|us)|here|in\s+this\s+channel))?)[.?! ]*$`)
	helpForm   = regexp.MustCompile(`(?i)^(?:help(?:\s+me)?|\?+|commands|usage|(?:what|which)\s+(?:can|could)\s+(?:you|i|we)\s+(?:do|ask|help|say)\b.*|what\s+do\s+you\s+do|what\s+are\s+you\s+able\s+to\s+do.*|how\s+(?:can|do)\s+(?:you\s+help|i\s+use\s+you|you\s+work|this\s+work).*|what\s+(?:tools|skills)\s+do\s+you\s+have.*|what\s+are\s+your\s+(?:tools|skills|abilities).*)[?.! ]*$`)
)

// manners are hello and thanks.
func (a ask) manners() (intent, bool) {
	whole := strings.TrimSpace(leadingMention.ReplaceAllString(strings.TrimSpace(a.whole), ""))
	switch {
	case thanksForm.MatchString(whole):
		return says("You are welcome.")
	case okayForm.MatchString(whole):
		return says("All right.")
	case helloForm.MatchString(whole):
		return says("Hello! I work by built-in rules, without a language model. Ask me `help` to see what I understand.")
	case howAreYou.MatchString(a.text):
		return says("All is well here, thank you. What can I do for you?")
	}
	return intent{}, false
}

const whatIAm = "I work by built-in rules: no language model is connected, so I understand plain requests and nothing else."

// itself is "who are you" and "what can you do here".
func (a ask) itself() (intent, bool) {
	switch {
	case whoForm.MatchString(a.text):
		return does(use("who_am_i"), func(r string) string { return r + "\n\n" + whatIAm })
	case helpForm.MatchString(a.text):
		return does(use("what_can_you_do"), a.help)
	case notesForm.MatchString(a.text):
		return says(notesAre)
	}
	return intent{}, false
}

const notesAre = "`/deskmate memory` lists what I know here, to you alone, and says how to correct and forget it; my Home tab has it too. To ask for something: `what do you know about the release?`. An operator writes all of it to files: `deskmate memory export DIR`."

// examples are requests that the rules understand, with the tool that each needs.
var examples = []struct{ tool, text string }{
	{"remember", "`remember that the release freeze starts on Thursday`"},
	{"recall", "`when does the release freeze start?` or `what do you know about the release?`"},
	{"forget", "`forget the release freeze`"},
	{"duty_create", "`every weekday at 9:30 post stand-up time`, `remind me tomorrow at 9 to call the bank`, `in 20 minutes say tea is ready`"},
	{"duty_list", "`list duties`; `pause`, `resume`, `run` or `delete duty d_…`"},
	{ToolWatch, "`when someone posts a stack trace in #alerts, summarise it here`, `when anyone reacts with :eyes: in #support, tell me`"},
	{ToolFollow, "`follow this thread until it is resolved`"},
	{ToolWebhook, "`make a webhook that posts what it is sent`"},
	{"handoff_offer", "`hand my duties to @Chloe`, `hand this thread to @Ben`, `take over @Ben's duties`"},
	{"handoff_list", "`who owns this thread?`, `what do I own?`"},
	{"offboarding_plan", "`Ben leaves on Friday: who takes what?`"},
	{"read_thread", "`summarise this thread`"},
	{"brief", "`brief me on this thread`, `what is @Ben working on?`"},
	{"read_channel", "`read #general`, `summarise #general`"},
	{"post", "`post in #general: the build is green`"},
	{"dm", "`tell @Ben that lunch is here`"},
	{"react", "`react with :tada:`"},
	{"who_am_i", "`who are you?`"},
}

// help lists what the rules understand with the tools that the result offers.
func (a ask) help(result string) string {
	lines := []string{whatIAm + " Here you can ask me:"}
	for _, e := range examples {
		if strings.Contains(result, "- "+e.tool+" ") || e.tool == "who_am_i" || !strings.Contains(result, "- ") && a.tools[e.tool] {
			lines = append(lines, "- "+e.text)
		}
	}
	lines = append(lines, "- `stop` in a thread, to end what I am doing there", "", connectModel)
	return strings.Join(lines, "\n")
}

const connectModel = "For free conversation an admin connects a language model: `OPENAI_API_KEY` and `DESKMATE_MODEL`, and `OPENAI_BASE_URL` for a server other than OpenAI's."

// puzzled is the answer to an addressed message that no rule fits.
func (a ask) puzzled() string {
	return "I did not understand that. " + whatIAm + " For example:\n" +
		"- `remember that the release freeze starts on Thursday`\n" +
		"- `when does the release freeze start?`\n" +
		"- `every weekday at 9:30 post stand-up time`\n\n" +
		"`help` lists everything. " + connectModel
}

var rememberedAs = regexp.MustCompile(`(?s)^Remembered as (\S+), for ([^:]+): (.+)$`)

// remembered words the result of remember for the person who told the fact.
func remembered(result, fact string) string {
	if why, failed := failureWords(result); failed {
		return why
	}
	if strings.HasPrefix(result, "Not kept yet: ") {
		return "I have a note that says otherwise, so I have not kept that yet. Say which of them holds, with the buttons above or in words: `replace the old one`, `keep both`, `drop the new one`."
	}
	if m := rememberedAs.FindStringSubmatch(result); m != nil {
		return "I will remember for " + m[2] + ": " + strings.TrimSpace(m[3])
	}
	return "I will remember: " + fact
}

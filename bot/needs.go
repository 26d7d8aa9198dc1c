package bot

// Scope is one OAuth scope that the agent's bot token needs, the Web API methods
// that it uses it for, and what a workspace loses without it.
type Scope struct {
	Name    string
	Methods []string
	Without string
}

// Scopes are all bot scopes in use; manifest.yaml asks for exactly these, and a
// test holds both against the methods that the code calls.
// Source: docs.slack.dev/reference/scopes.
var Scopes = []Scope{
	{"app_mentions:read", nil, "it does not hear when it is mentioned"},
	{"channels:history", []string{"conversations.history", "conversations.replies"}, "in public channels it does not hear replies, cannot read threads, and cannot look for a post before repeating it"},
	{"channels:read", []string{"conversations.info", "conversations.list", "conversations.members", "users.conversations"}, "it does not know the names and members of public channels"},
	{"chat:write", []string{"chat.postMessage", "chat.postEphemeral", "chat.update", "assistant.threads.setStatus"}, "it cannot answer"},
	{"commands", nil, "it does not hear /deskmate"},
	{"files:read", nil, "it keeps the names of files that come with messages, and cannot read their text"},
	{"groups:history", []string{"conversations.history", "conversations.replies"}, "in private channels it does not hear replies and cannot read threads"},
	{"groups:read", []string{"conversations.info", "conversations.list", "conversations.members", "users.conversations"}, "it does not know the names and members of private channels"},
	{"im:history", []string{"conversations.history", "conversations.replies"}, "it does not hear direct messages"},
	{"im:read", []string{"conversations.info", "conversations.list"}, "it does not know its direct messages"},
	{"im:write", []string{"conversations.open"}, "it cannot open a direct message"},
	{"metadata.message:read", []string{"conversations.history", "conversations.replies"}, "it cannot tell, after a failure, whether a post went out, and asks a person instead"},
	{"mpim:history", []string{"conversations.history", "conversations.replies"}, "it does not hear group direct messages"},
	{"mpim:read", []string{"conversations.info", "conversations.list"}, "it does not know its group direct messages"},
	{"pins:read", []string{"pins.list"}, "it does not see what is pinned where it is asked"},
	{"reactions:read", nil, "a watch for a reaction is never set off"},
	{"reactions:write", []string{"reactions.add"}, "it cannot react with an emoji"},
	{"usergroups:read", []string{"usergroups.list", "usergroups.users.list"}, "grants and approvals that name a user group hold for nobody"},
	{"users:read", []string{"users.info", "users.list"}, "it does not know people's names, time zones and kinds, so that it treats everyone as an outsider and takes no decision or command from anybody"},
}

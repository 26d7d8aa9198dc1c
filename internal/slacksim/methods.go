package slacksim

// methodTable is every method of the Web API that the server answers: who may
// call it, with which scopes, how often. Tiers are Slack's
// (docs.slack.dev/apis/web-api/rate-limits); scopes that depend on the kind of
// conversation are checked by the method itself.
func methodTable() map[string]method {
	const person = botToken | userToken
	read := []string{"channels:read", "groups:read", "im:read", "mpim:read"}
	history := []string{"channels:history", "groups:history", "im:history", "mpim:history"}
	write := []string{"chat:write"}
	return map[string]method{
		"apps.connections.open": {tokens: appToken, limit: sockets, run: openConnection},
		"auth.test":             {tokens: person, limit: hundreds, run: authTest},
		"auth.revoke":           {tokens: person, limit: tier3, run: authRevoke},
		"bots.info":             {tokens: person, scopes: []string{"users:read"}, limit: tier3, run: botInfo},
		"team.info":             {tokens: person, scopes: []string{"team:read"}, limit: tier3, run: teamInfo},
		"oauth.v2.access":       {tokens: noToken, limit: tier4, run: oauthAccess},

		"chat.postMessage":   {tokens: person, scopes: write, limit: posting, run: postMessage},
		"chat.update":        {tokens: person, scopes: write, limit: tier3, run: updateMessage},
		"chat.delete":        {tokens: person, scopes: write, limit: tier3, run: deleteMessage},
		"chat.postEphemeral": {tokens: person, scopes: write, limit: tier4, run: postEphemeral},
		"chat.getPermalink":  {tokens: person, limit: hundreds, run: getPermalink},
		"chat.startStream":   {tokens: botToken, scopes: write, limit: tier2, run: startStream},
		"chat.appendStream":  {tokens: botToken, scopes: write, limit: tier4, run: appendStream},
		"chat.stopStream":    {tokens: botToken, scopes: write, limit: tier2, run: stopStream},

		"assistant.threads.setStatus":           {tokens: botToken, scopes: []string{"assistant:write", "chat:write"}, limit: posting, run: setThreadStatus},
		"assistant.threads.setTitle":            {tokens: botToken, scopes: []string{"assistant:write"}, limit: tier3, run: setThreadTitle},
		"assistant.threads.setSuggestedPrompts": {tokens: botToken, scopes: []string{"assistant:write"}, limit: tier3, run: setSuggestedPrompts},
		"agents.sessions.setStatus":             {tokens: botToken, scopes: write, limit: tier3, run: setSessionStatus},
		"agents.sessions.rename":                {tokens: botToken, scopes: write, limit: tier3, run: renameSession},

		"conversations.info":    {tokens: person, scopes: read, limit: tier3, run: conversationInfo},
		"conversations.list":    {tokens: person, scopes: read, limit: tier2, run: conversationList},
		"conversations.members": {tokens: person, scopes: read, limit: tier4, run: conversationMembers},
		"conversations.open":    {tokens: person, scopes: []string{"im:write", "mpim:write"}, limit: tier3, run: conversationOpen},
		"conversations.join":    {tokens: person, scopes: []string{"channels:join"}, limit: tier3, run: conversationJoin},
		"conversations.history": {tokens: person, scopes: history, limit: tier3, run: conversationHistory},
		"conversations.replies": {tokens: person, scopes: history, limit: tier3, run: conversationReplies},

		"pins.add":    {tokens: person, scopes: []string{"pins:write"}, limit: tier2, run: addPin},
		"pins.list":   {tokens: person, scopes: []string{"pins:read"}, limit: tier2, run: listPins},
		"pins.remove": {tokens: person, scopes: []string{"pins:write"}, limit: tier2, run: removePin},

		"reactions.add":         {tokens: person, scopes: []string{"reactions:write"}, limit: tier3, run: addReaction},
		"reactions.remove":      {tokens: person, scopes: []string{"reactions:write"}, limit: tier2, run: removeReaction},
		"usergroups.list":       {tokens: person, scopes: []string{"usergroups:read"}, limit: tier2, run: groupList},
		"usergroups.users.list": {tokens: person, scopes: []string{"usergroups:read"}, limit: tier2, run: groupMembers},

		"users.info":          {tokens: person, scopes: []string{"users:read"}, limit: tier4, run: userInfo},
		"users.conversations": {tokens: person, scopes: read, limit: tier2, run: userConversations},
		"users.list":          {tokens: person, scopes: []string{"users:read"}, limit: tier2, run: userList},
		"users.lookupByEmail": {tokens: person, scopes: []string{"users:read.email"}, limit: tier3, run: userByEmail},

		"views.open":    {tokens: botToken, limit: tier4, run: openView},
		"views.push":    {tokens: botToken, limit: tier4, run: pushView},
		"views.update":  {tokens: botToken, limit: tier4, run: updateView},
		"views.publish": {tokens: botToken, limit: tier4, run: publishView},

		"files.getUploadURLExternal":   {tokens: person, scopes: []string{"files:write"}, limit: tier4, run: getUploadURL},
		"files.completeUploadExternal": {tokens: person, scopes: []string{"files:write"}, limit: tier4, run: completeUpload},
		"files.info":                   {tokens: person, scopes: []string{"files:read"}, limit: tier4, run: fileInfo},
	}
}

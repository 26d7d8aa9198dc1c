package slacksim

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// message is a message as Slack sends it. Values are immutable once they are in
// a channel.
type message struct {
	ClientMsgID     string          `json:"client_msg_id,omitempty"`
	Type            string          `json:"type"`
	Subtype         string          `json:"subtype,omitempty"`
	User            string          `json:"user,omitempty"`
	Username        string          `json:"username,omitempty"`
	Inviter         string          `json:"inviter,omitempty"`
	Text            string          `json:"text"`
	TS              string          `json:"ts"`
	BotID           string          `json:"bot_id,omitempty"`
	AppID           string          `json:"app_id,omitempty"`
	BotProfile      *botProfile     `json:"bot_profile,omitempty"`
	Team            string          `json:"team,omitempty"`
	UserTeam        string          `json:"user_team,omitempty"`
	SourceTeam      string          `json:"source_team,omitempty"`
	ThreadTS        string          `json:"thread_ts,omitempty"`
	ParentUserID    string          `json:"parent_user_id,omitempty"`
	ReplyCount      int             `json:"reply_count,omitempty"`
	ReplyUsersCount int             `json:"reply_users_count,omitempty"`
	LatestReply     string          `json:"latest_reply,omitempty"`
	ReplyUsers      []string        `json:"reply_users,omitempty"`
	Blocks          json.RawMessage `json:"blocks,omitempty"`
	Attachments     json.RawMessage `json:"attachments,omitempty"`
	Files           []*file         `json:"files,omitempty"`
	Upload          bool            `json:"upload,omitempty"`
	Reactions       []reaction      `json:"reactions,omitempty"`
	Metadata        *metadata       `json:"metadata,omitempty"`
	Edited          *edited         `json:"edited,omitempty"`
	Root            *message        `json:"root,omitempty"`
	Hidden          bool            `json:"hidden,omitempty"`
	Streaming       string          `json:"streaming_state,omitempty"`
}

type botProfile struct {
	ID      string            `json:"id"`
	AppID   string            `json:"app_id"`
	Name    string            `json:"name"`
	Icons   map[string]string `json:"icons"`
	Deleted bool              `json:"deleted"`
	Updated int64             `json:"updated"`
	TeamID  string            `json:"team_id"`
}

type edited struct {
	User string `json:"user"`
	TS   string `json:"ts"`
}

type reaction struct {
	Name  string   `json:"name"`
	Users []string `json:"users"`
	Count int      `json:"count"`
}

type metadata struct {
	EventType    string          `json:"event_type"`
	EventPayload json.RawMessage `json:"event_payload,omitempty"`
}

// author fills who a message is from.
func (s *Server) author(m *message, who principal) {
	m.User = who.user.id
	m.Team = who.user.team
	if who.user.team != s.team.ID {
		m.UserTeam, m.SourceTeam = who.user.team, who.user.team
	}
	if who.kind == botToken {
		m.BotID, m.AppID = who.app.BotID, who.app.ID
		m.BotProfile = &botProfile{ID: who.app.BotID, AppID: who.app.ID, Name: who.app.Name, Icons: s.icons(), TeamID: s.team.ID, Updated: who.user.updated}
	}
}

// wire is the message of a slot with what Slack adds when it shows it: reply
// counts on roots, and metadata cut to its type unless all of it was asked for.
func (sl *slot) wire(fullMetadata func(*message) bool) *message {
	m := *sl.msg
	if n := len(sl.replies); n > 0 {
		m.ThreadTS = m.TS
		m.ReplyCount = n
		m.LatestReply = sl.replies[n-1].msg.TS
		m.ReplyUsersCount = len(sl.writers)
		m.ReplyUsers = slices.Clone(sl.writers[:min(5, len(sl.writers))])
	}
	if m.Metadata != nil && !fullMetadata(sl.msg) {
		m.Metadata = &metadata{EventType: m.Metadata.EventType}
	}
	return &m
}

func typeOnly(*message) bool { return false }

var (
	// control matches what Slack keeps between angle brackets.
	control = regexp.MustCompile(`^<(?:@[UW][A-Z0-9]+(?:\|[^<>]*)?|#[CG][A-Z0-9]+(?:\|[^<>]*)?|![a-z][^<>]*|(?:https?|mailto|tel|slack):[^<>\s|]+(?:\|[^<>]*)?)>`)
	entity  = regexp.MustCompile(`^&(?:amp|lt|gt);`)
	bareURL = regexp.MustCompile("^https?://[^\\s<>|`\"]+[^\\s<>|`\".,;:!?)']")
)

// normalize stores text as Slack does: mentions and links stay, stray & < > are
// escaped, and bare URLs outside code become links.
func normalize(text string) string {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	if !strings.ContainsAny(text, "&<>") && !strings.Contains(text, "://") {
		return text
	}
	var b strings.Builder
	code := false
	for i := 0; i < len(text); {
		rest := text[i:]
		switch text[i] {
		case '`':
			code = !code
		case '<':
			if tok := control.FindString(rest); tok != "" {
				b.WriteString(tok)
				i += len(tok)
				continue
			}
			b.WriteString("&lt;")
			i++
			continue
		case '>':
			b.WriteString("&gt;")
			i++
			continue
		case '&':
			if tok := entity.FindString(rest); tok != "" {
				b.WriteString(tok)
				i += len(tok)
				continue
			}
			b.WriteString("&amp;")
			i++
			continue
		case 'h':
			if code || !strings.HasPrefix(rest, "http") {
				break
			}
			if link := bareURL.FindString(rest); link != "" {
				b.WriteString("<" + strings.ReplaceAll(strings.ReplaceAll(link, "&amp;", "&"), "&", "&amp;") + ">")
				i += len(link)
				continue
			}
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

// richText is the block that Slack's own composer makes of a person's text: one
// section of text, mentions and links.
func richText(text, blockID string) json.RawMessage {
	type element map[string]any
	var elements []element
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			elements = append(elements, element{"type": "text", "text": unescape(plain.String())})
			plain.Reset()
		}
	}
	for i := 0; i < len(text); {
		tok := ""
		if text[i] == '<' {
			tok = control.FindString(text[i:])
		}
		if tok == "" {
			plain.WriteByte(text[i])
			i++
			continue
		}
		flush()
		name, label, _ := strings.Cut(tok[1:len(tok)-1], "|")
		switch name[0] {
		case '@':
			elements = append(elements, element{"type": "user", "user_id": name[1:]})
		case '#':
			elements = append(elements, element{"type": "channel", "channel_id": name[1:]})
		case '!':
			elements = append(elements, element{"type": "broadcast", "range": name[1:]})
		default:
			link := element{"type": "link", "url": unescape(name)}
			if label != "" {
				link["text"] = unescape(label)
			}
			elements = append(elements, link)
		}
		i += len(tok)
	}
	flush()
	return encode([]any{map[string]any{"type": "rich_text", "block_id": blockID,
		"elements": []any{map[string]any{"type": "rich_text_section", "elements": elements}}}})
}

// unescape turns Slack's three entities back into characters.
func unescape(text string) string {
	if !strings.Contains(text, "&") {
		return text
	}
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(text)
}

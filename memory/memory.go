// Package memory remembers: who and what is in a workspace, what was said in the
// threads that the agent takes part in, and the notes that people asked it to
// keep.
//
// It promises that every note says who said it, where and when; that a search
// gives only what the place of the answer and the person who asks may both see,
// decided by the query itself at the moment of asking; that edits and deletions
// are followed; and that a forgotten note is gone, with its history, its words in
// the index and its text in the ledger. It must never show a private channel or a
// direct message anywhere else, never let a person's words become query syntax,
// and never write a note without its ledger entry.
//
// Docs: docs/memory.md.
package memory

import (
	"errors"
	"fmt"
	"strings"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// Kinds of channel, after Slack's channel types. Shared is any conversation that
// has people of another organisation in it (Slack Connect).
const (
	ChannelPublic  = "public"
	ChannelPrivate = "private"
	ChannelShared  = "shared"
	ChannelDirect  = "im"
	ChannelGroup   = "mpim"
)

// Kinds of people and of requesters. A duty asks with the rights of its owner.
const (
	KindMember   = "member"
	KindGuest    = "guest"
	KindOutsider = "outsider"
	KindBot      = "bot"
	KindDuty     = "duty"
)

// ScopeWorkspace is the scope of a note for every member of the workspace. The
// others are "channel:C…" and "dm:D…".
const ScopeWorkspace = "workspace"

// Errors that a caller decides on; errors.Is and errors.As tell them apart.
var (
	// ErrNotFound: nothing of that id or name is there, or none that this place
	// and requester may see. The two are not told apart on purpose.
	ErrNotFound = errors.New("nothing like that is remembered here")
	// ErrScope: the note may not have the scope that was asked for.
	ErrScope = errors.New("a note for the whole workspace can only be made by a member, from a public channel that is not shared with another organisation")
	// ErrPlace: a note that people elsewhere see may not be changed from here.
	ErrPlace = errors.New("a note that others can see is only changed where they can see it: ask in its own channel, or in a public one")
	// ErrEmpty: there is no text to keep or no word to look for.
	ErrEmpty = errors.New("there are no words in it")
	// ErrTooLong: the text of a note is over MaxNote.
	ErrTooLong = fmt.Errorf("a note holds at most %d characters", MaxNote)
)

// MaxNote is the most characters that a note may have: the length at which Slack
// truncates a message is 40,000, and a note is one fact.
const MaxNote = 4000

// Place is where an answer will appear and who asks for it. Both decide what may
// be seen; anything that is unknown or empty gives less.
type Place struct {
	Workspace     string // Slack team id
	Channel       string // channel or direct message the answer appears in
	ChannelKind   string // public, private, shared, im, mpim
	Requester     string // Slack user id
	RequesterKind string // member, guest, outsider, bot, duty
}

// scope is the narrowest scope of the place: what is said here stays here.
func (p Place) scope() string { return scopeOf(p.Channel) }

// isDirect tells a direct message by its id: Slack's begin with D.
func isDirect(channel string) bool { return strings.HasPrefix(channel, "D") }

// scopeOf is the scope of what is said in a channel.
func scopeOf(channel string) string {
	if isDirect(channel) {
		return "dm:" + channel
	}
	return "channel:" + channel
}

// scopePlace is the channel of a scope, "" for the workspace.
func scopePlace(scope string) string {
	_, channel, _ := strings.Cut(scope, ":")
	return channel
}

// Forgotten says what was erased, so that others can erase what they hold of it.
type Forgotten struct {
	ID        string // of the note
	Workspace string
	Notes     []string // ids of all notes that went: the note and those it had superseded
	Messages  []Source // messages that quoted it, erased from memory as well
	Texts     []string `json:"-"` // what it said, for erasing what quotes it; never to be kept
	Links     []string `json:"-"` // addresses of the messages that it was made from and that quoted it
	Only      []string `json:"-"` // words of it, lower-cased, that nothing has which memory still keeps
}

// Source points at one Slack message.
type Source struct{ Channel, TS string }

// Memory is the memory of all workspaces in one store. All methods are safe for
// concurrent use.
type Memory struct {
	db      *migrations.DB
	ledger  *ledger.Ledger
	erasers []func(tx *migrations.Tx, f Forgotten) error

	embedder Embedder // nil: words alone
}

// New returns the memory kept in db, which records its changes in l. Each eraser
// is called in the transaction of every Forget, to erase what its owner keeps of
// the note; its error undoes the whole.
func New(db *migrations.DB, l *ledger.Ledger, erasers ...func(tx *migrations.Tx, f Forgotten) error) *Memory {
	return &Memory{db: db, ledger: l, erasers: erasers}
}

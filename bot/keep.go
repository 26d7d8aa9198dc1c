package bot

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"deskmate/identity"
	"deskmate/identity/label"
	"deskmate/memory"
	"deskmate/migrations"
)

// keptTurn begins what stands for the turn of an action that a shortcut caused:
// it belongs to none.
const keptTurn = "shortcut:"

// Keep is a message that somebody wants kept as a note.
type Keep struct {
	Key       string       // names the wish for ever
	Place     memory.Place // where the message is, and who wants it kept
	UserTeam  string       // their home workspace
	Message   Said         // what is kept, as Slack has it
	Text      string       // of the note: plain text
	Workspace bool         // for everyone, rather than only where it was said
}

// ErrInThread means that a human has to approve it first, and that it was asked
// for in the message's thread.
var ErrInThread = errors.New("it was asked for in the thread")

// Keep has the tool remember keep a message, decided as if the person had asked
// for it in the message's thread. It returns the note's id. What needs an approval
// is asked for there: ErrInThread. A refusal is a *RefusedKeepError.
func (l *Loop) Keep(ctx context.Context, k Keep) (string, error) {
	i := slices.IndexFunc(l.Tools, func(t Tool) bool { return t.Name == ToolRemember })
	if i < 0 {
		return "", errors.New("keep message: there is no tool to keep it with")
	}
	tool := l.Tools[i]
	scope := ""
	if k.Workspace {
		scope = memory.ScopeWorkspace
	}
	args, err := json.Marshal(map[string]string{"text": k.Text, "scope": scope})
	if err != nil {
		return "", fmt.Errorf("keep message: %w", err)
	}
	sum := sha256.Sum256(args) // what is sent again with other words is another action
	key := fmt.Sprintf("%s:%x", k.Key, sum[:6])
	a := identity.Action{
		Key: key, Workspace: k.Place.Workspace, Turn: keptTurn + key, Cause: k.Key, Requester: k.Place.Requester, RequesterKind: k.Place.RequesterKind,
		Channel: k.Place.Channel, ChannelKind: k.Place.ChannelKind, Thread: k.thread(), Tool: tool.Name, Connection: tool.Connection, Class: tool.Class, Args: args,
		Everyone: k.Workspace,
	}
	if k.Message.User != k.Place.Requester {
		a.Others = []string{k.Message.User}
	}
	if a.Label, err = l.keptLabel(ctx, k); err != nil {
		return "", err
	}
	d, err := l.Gate.Weigh(ctx, a)
	if err != nil {
		return "", fmt.Errorf("keep message: %w", err)
	}
	if d.Verdict == identity.Ask {
		return "", l.askInThread(ctx, k)
	}
	author, err := l.noteAuthor(ctx, k)
	if err != nil {
		return "", err
	}
	c := Call{Key: a.Key, Turn: &Turn{Workspace: a.Workspace, Channel: a.Channel, Thread: a.Thread}, Place: k.Place, Args: args,
		Event: Event{Workspace: a.Workspace, Channel: a.Channel, ChannelKind: a.ChannelKind, Thread: k.thread(), TS: k.Message.TS, User: author}}
	r, err := l.Gate.Do(ctx, a, identity.Effect{Find: again, Do: func(ctx context.Context) (identity.Result, error) {
		r, err := tool.Run(ctx, c)
		r.Text = "" // the note has it
		return r, err
	}})
	var pending *identity.PendingError
	if errors.As(err, &pending) { // the monitor is more careful than the rules
		if err := l.withdraw(ctx, a); err != nil {
			return "", err
		}
		return "", l.askInThread(ctx, k)
	}
	if err != nil {
		return "", refusedKeep(err)
	}
	return r.Ref, nil
}

// RefusedKeepError is a message that was not kept; Text says why, to the person.
type RefusedKeepError struct{ Text string }

func (e *RefusedKeepError) Error() string { return e.Text }

func refusedKeep(err error) error {
	var denied *identity.DeniedError
	var failed *identity.FailedError
	switch {
	case errors.As(err, &denied):
		return &RefusedKeepError{"I may not: " + strings.Join(denied.Reasons, "; ") + "."}
	case errors.As(err, &failed):
		return &RefusedKeepError{failed.Error() + "."}
	}
	return fmt.Errorf("keep message: %w", err)
}

func (k Keep) thread() string { return first(k.Message.Thread, k.Message.TS) }

// noteAuthor is who the note says has said it: who wrote the message, unless the
// person has put it into other words. What nobody here answers for stays its
// writer's, however it is worded.
func (l *Loop) noteAuthor(ctx context.Context, k Keep) (string, error) {
	self := l.Context.Bot(k.Place.Workspace)
	if k.Message.User == self || strings.Join(strings.Fields(k.Text), " ") == strings.Join(strings.Fields(Plain(k.Message.Text, self)), " ") {
		return k.Message.User, nil
	}
	writer, err := l.People.author(ctx, k.Place.Workspace, k.Message.User, k.Message.Team)
	if err != nil || !writer.Trusted() {
		return k.Message.User, err
	}
	return k.Place.Requester, nil
}

// keptLabel is what went into the note: the place, who wrote the message, and who
// chose it.
func (l *Loop) keptLabel(ctx context.Context, k Keep) (label.Label, error) {
	turns := func(ctx context.Context, ids []string) (label.Label, error) { return TurnLabels(ctx, l.DB, ids) }
	said := k.Message
	self := l.Context.Bot(k.Place.Workspace)
	if said.User == self {
		said.turn = first(turnOf(said.Key), "(none)")
	}
	from, err := l.People.said(ctx, k.Place.Workspace, k.Place.Channel, self, []Said{said}, turns)
	if err != nil {
		return label.Label{}, err
	}
	user, err := l.People.author(ctx, k.Place.Workspace, k.Place.Requester, k.UserTeam)
	return label.Join(from, user), err
}

// withdraw takes back the approval that nobody would see.
func (l *Loop) withdraw(ctx context.Context, a identity.Action) error {
	err := l.DB.Write(ctx, func(tx *migrations.Tx) error {
		return l.Gate.Approvals.Withdraw(tx, a.Workspace, a.Turn, "system", "it is asked for in the thread instead")
	})
	if err != nil {
		return fmt.Errorf("keep message: %w", err)
	}
	return nil
}

// askInThread makes the wish a request in the message's thread, where the approval
// that it needs is asked for and waited for.
func (l *Loop) askInThread(ctx context.Context, k Keep) error {
	text := "remember that " + k.Text
	if k.Workspace {
		text += " (for everyone)"
	}
	h := Handed{Key: k.Key, Place: k.Place, UserTeam: k.UserTeam, Message: k.Message, Instruction: text, bare: true}
	if err := l.Hand(ctx, h); err != nil {
		return err
	}
	return ErrInThread
}

package bot

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"deskmate/identity"
	"deskmate/identity/label"
	"deskmate/identity/policy"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// ErrWaits means that a turn waits for a human's decision: its state is in the
// store, and nothing is held.
var ErrWaits = errors.New("the turn waits for an approval")

// mostAsked bounds how many approvers are written to, one by one.
const mostAsked = 10

// park leaves a turn to wait for the approvals that its calls need, and shows
// their cards: in the thread, and to approvers who cannot see it.
func (l *Loop) park(ctx context.Context, lease *task.Lease, t *Turn, f *faces, asked []identity.Approval) error {
	f.close()
	var posts []Post
	for _, a := range asked {
		more, err := l.cards(ctx, a)
		if err != nil {
			return fmt.Errorf("ask for approval %s: %w", a.ID, err)
		}
		posts = append(posts, more...)
	}
	err := l.DB.Write(context.WithoutCancel(ctx), func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		for _, p := range posts {
			if err := l.Outbox.Queue(tx, p); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`UPDATE turns SET waiting_for = $1, input_tokens = $2, output_tokens = $3 WHERE id = $4`, asked[0].ID, t.Usage.Input, t.Usage.Output, t.ID)
		if err != nil {
			return fmt.Errorf("park turn: %w", err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("park turn %s: %w", t.ID, err)
	}
	l.crash("turn:parked")
	return ErrWaits
}

// cards are the posts that ask for one approval.
func (l *Loop) cards(ctx context.Context, a identity.Approval) ([]Post, error) {
	agent, err := l.Context.Agents.Get(ctx, a.Workspace)
	if err != nil {
		return nil, err
	}
	people, err := l.People.approvers(ctx, a, agent.Sponsor)
	if err != nil {
		return nil, err
	}
	var does string
	err = l.DB.Read(ctx, func(tx *migrations.Tx) error {
		does, err = l.does(tx, a)
		return err
	})
	if err != nil {
		return nil, err
	}
	posts := []Post{l.cardPost(a, does, agent.Sponsor, cardKey(a.ID), a.Channel, a.Thread)}
	for _, p := range people {
		if len(posts) > mostAsked {
			break
		}
		if p == a.Requester || p == agent.User {
			continue
		}
		posts = append(posts, l.cardPost(a, does, agent.Sponsor, cardKey(a.ID)+":"+p, p, ""))
	}
	return posts, nil
}

func cardKey(approval string) string { return "approval:" + approval + ":card" }

// cardPost is an approval's card as a post to a channel or person.
func (l *Loop) cardPost(a identity.Approval, does, sponsor, key, channel, thread string) Post {
	if a.Class == identity.ClassExternal {
		does = "Leaves the organisation. " + does
	}
	card := approvalCard(a, strings.TrimSuffix(does, "."), sponsor)
	kind := a.ChannelKind
	if channel != a.Channel {
		kind = ChannelDirect
	}
	return Post{
		Workspace: a.Workspace, Channel: channel, Thread: thread, Key: key, Text: approvalText(a), Ours: true, Card: &card, Turn: a.Turn, Cause: a.Cause,
		Requester: a.Requester, RequesterKind: a.RequesterKind, ChannelKind: kind, Tool: ToolCard,
	}
}

// does says in a sentence what the tool of an approval does.
func (l *Loop) does(tx *migrations.Tx, a identity.Approval) (string, error) {
	does := ""
	if i := slices.IndexFunc(l.Tools, func(t Tool) bool { return t.Name == a.Tool }); i >= 0 {
		does = l.Tools[i].Description
	} else if l.Connections.Manager != nil {
		t, err := l.Connections.Manager.Described(tx, a.Workspace, a.Tool)
		if err != nil {
			return "", err
		}
		if does = t.Description; does != "" {
			does = "In the words of `" + a.Connection + "`: " + does
		}
	}
	if does, _, _ = strings.Cut(does, ". "); does == "" {
		does = "something that only `" + a.Tool + "` could tell"
	}
	return does, nil
}

// approvers are the people who can decide on an approval and do not see its
// thread.
func (d *Directory) approvers(ctx context.Context, a identity.Approval, sponsor string) ([]string, error) {
	var all []string
	add := func(ids ...string) {
		for _, id := range ids {
			if id != "" && !slices.Contains(all, id) {
				all = append(all, id)
			}
		}
	}
	for _, w := range a.Approvers {
		kind, id, _ := strings.Cut(w, ":")
		switch {
		case kind == "user":
			add(id)
		case kind == "group":
			members, err := d.roster.groupMembers(ctx, id)
			if err != nil && !isRefusal(err) {
				return nil, err
			}
			add(members...)
		case w == policy.Sponsor:
			add(identity.Agent{Sponsor: sponsor}.Sponsors()...)
		case w == policy.Admins && sponsor == "": // the sponsor is asked first; admins see the card where it is
			people, err := d.everybody(ctx, a.Workspace)
			if err != nil && !isRefusal(err) {
				return nil, err
			}
			for _, p := range people {
				if p.IsAdmin && !p.IsDeleted && p.Kind == KindMember {
					add(p.ID)
				}
			}
		}
	}
	// The card shows the text: only who can read where it is from is sent one.
	for _, c := range a.Sources {
		if len(all) == 0 {
			break
		}
		var readers []string
		if c != label.Everything {
			var err error
			if readers, _, err = d.Readers(ctx, a.Workspace, c); err != nil {
				return nil, err
			}
		}
		all = slices.DeleteFunc(all, func(id string) bool { return !slices.Contains(readers, id) })
	}
	if len(all) == 0 {
		return nil, nil
	}
	here, err := d.roster.members(ctx, a.Channel)
	if err != nil && !isRefusal(err) {
		return nil, err
	}
	return slices.DeleteFunc(all, func(id string) bool { return slices.Contains(here, id) }), nil
}

// Standing implements identity.Roll: it asks Slack, not what was heard before.
func (d *Directory) Standing(ctx context.Context, workspace, person string, groups []string) (identity.Standing, error) {
	p, err := d.roster.person(ctx, workspace, person)
	// Any other refusal is about the agent or what lies between, not about them.
	if isRefusal(err, "user_not_found", "user_not_visible") {
		return identity.Standing{Kind: KindOutsider}, nil
	}
	if err != nil {
		return identity.Standing{}, err
	}
	s := identity.Standing{Kind: p.Kind, Active: !p.IsDeleted, Admin: p.IsAdmin}
	for _, g := range groups {
		members, err := d.roster.groupMembers(ctx, g)
		if isRefusal(err) {
			continue // a group that is not there has nobody in it
		}
		if err != nil {
			return identity.Standing{}, err
		}
		if slices.Contains(members, person) {
			s.Groups = append(s.Groups, g)
		}
	}
	return s, nil
}

// Approved is told of approvals that stopped waiting: cards are redrawn, and the
// thread goes on.
func (l *Loop) Approved(tx *migrations.Tx, a identity.Approval) error {
	if err := l.redraw(tx, a, string(a.State)); err != nil {
		return err
	}
	var thread string
	err := tx.QueryRow(`SELECT thread_key FROM turns WHERE id = $1 AND state = 'running'`, a.Turn).Scan(&thread)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find turn %s: %w", a.Turn, err)
	}
	return wake(tx, a.Workspace, thread)
}

// Voted is told of a yes after which more are needed.
func (l *Loop) Voted(tx *migrations.Tx, a identity.Approval) error {
	return l.redraw(tx, a, fmt.Sprintf("vote%d", len(a.Votes)))
}

// Remind is told of an approval that has waited for half of its time.
func (l *Loop) Remind(tx *migrations.Tx, a identity.Approval) error {
	sponsor, err := sponsorOf(tx, a.Workspace)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("Still waiting for a decision on `%s`: %s. Without one it ends %s.", a.Tool,
		identity.ApproverWords(a.Approvers, sponsor), a.ExpiresAt.UTC().Format("2006-01-02 15:04 UTC"))
	return l.Outbox.Queue(tx, Post{
		Workspace: a.Workspace, Channel: a.Channel, Thread: a.Thread, Key: "approval:" + a.ID + ":reminder", Text: text, Ours: true, Turn: a.Turn, Cause: a.Cause,
		Requester: a.Requester, RequesterKind: a.RequesterKind, ChannelKind: a.ChannelKind, Tool: ToolCard,
	})
}

func sponsorOf(tx *migrations.Tx, workspace string) (string, error) {
	var sponsor string
	if err := tx.QueryRow(`SELECT sponsor FROM agents WHERE workspace = $1`, workspace).Scan(&sponsor); err != nil {
		return "", fmt.Errorf("load sponsor: %w", err)
	}
	return sponsor, nil
}

// redraw owes the edits of an approval's cards. step keeps their keys apart.
func (l *Loop) redraw(tx *migrations.Tx, a identity.Approval, step string) error {
	sponsor, err := sponsorOf(tx, a.Workspace)
	if err != nil {
		return err
	}
	// A card that a stop has cancelled may be on its way already: then it is edited as
	// well, and else the edit finds nothing to change.
	rows, err := tx.Query(`SELECT post_key, channel FROM outbox WHERE turn = $1 AND (post_key = $2 OR post_key LIKE $3) AND state IN ('queued', 'sent', 'cancelled')`,
		a.Turn, cardKey(a.ID), cardKey(a.ID)+":U%")
	if err != nil {
		return fmt.Errorf("find cards of %s: %w", a.ID, err)
	}
	defer rows.Close()
	does, err := l.does(tx, a)
	if err != nil {
		return err
	}
	var edits []Post
	for rows.Next() {
		var key, channel string
		if err := rows.Scan(&key, &channel); err != nil {
			return fmt.Errorf("find cards of %s: %w", a.ID, err)
		}
		p := l.cardPost(a, does, sponsor, key+":"+step, channel, "")
		p.UpdateKey = key
		edits = append(edits, p)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("find cards of %s: %w", a.ID, err)
	}
	for _, p := range edits {
		if err := l.Outbox.Queue(tx, p); err != nil {
			return err
		}
	}
	return nil
}

// Decided takes up the oldest turn of a thread whose approval does not wait any
// more; nil if there is none.
func (l *Loop) Decided(ctx context.Context, lease *task.Lease) (*Turn, error) {
	var id string
	err := l.DB.QueryRow(ctx, `SELECT t.id FROM turns t JOIN approvals a ON a.id = t.waiting_for
		WHERE t.thread_key = $1 AND t.state = 'running' AND t.waiting_for <> '' AND a.state <> 'pending' ORDER BY t.started_at, t.id LIMIT 1`, lease.Key).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for decided turns of %s: %w", lease.Key, err)
	}
	err = l.DB.Write(ctx, func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE turns SET waiting_for = '' WHERE id = $1`, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take up turn %s: %w", id, err)
	}
	return l.Running(ctx, lease.Key)
}

// Waiting are the turns of a thread that wait for approvals.
func (l *Loop) Waiting(ctx context.Context, threadKey string) ([]*Turn, error) {
	var all []*Turn
	err := l.DB.Read(ctx, func(tx *migrations.Tx) error {
		all = nil
		rows, err := tx.Query(`SELECT `+turnColumns+` FROM turns WHERE thread_key = $1 AND state = 'running' AND waiting_for <> '' ORDER BY started_at, id`, threadKey)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			t, err := scanTurn(rows)
			if err != nil {
				return err
			}
			all = append(all, t)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, t := range all {
			if t.Steps, err = loadSteps(tx, t.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load waiting turns of %s: %w", threadKey, err)
	}
	return all, nil
}

// Began reports whether the event is what the turn began with.
func (t *Turn) Began(e Event) bool { return t.causeTS() == e.TS }

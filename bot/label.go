package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"deskmate/identity"
	"deskmate/identity/label"
	"deskmate/memory"
	"deskmate/migrations"
)

// label is what went into a turn so far: its messages, what the model was given
// with them, and the results of its tools.
func (t *Turn) label() label.Label {
	var all []label.Label
	for _, s := range t.Steps {
		switch {
		case s.Event != nil:
			all = append(all, s.Event.Label)
		case s.Model != nil:
			all = append(all, s.Model.Label)
		case s.Outcome != nil:
			all = append(all, s.Outcome.Result.Label)
		}
	}
	return label.Join(all...)
}

// labelled is a result, or what is told of an error, with what went into it: the
// words of another system are nobody's here, those of its errors too.
func (t Tool) labelled(r identity.Result) identity.Result {
	if t.Outside {
		r.Label = label.Join(r.Label, label.From("tool", t.Name))
	}
	return r
}

// author is the label of what somebody said: only full members are answered for.
// user is a bot's id for programs without a user.
func (d *Directory) author(ctx context.Context, workspace, user, team string) (label.Label, error) {
	if strings.HasPrefix(user, "B") {
		return label.From(KindBot, user), nil
	}
	if strings.HasPrefix(user, "cli:") {
		return label.Label{}, nil // who runs the agent
	}
	kind, err := d.RequesterKind(ctx, workspace, user, team)
	if isRefusal(err) {
		return label.From(KindOutsider, user), nil // Slack knows nobody of that id
	}
	if err != nil {
		return label.Label{}, fmt.Errorf("look up author %s: %w", user, err)
	}
	if kind == KindMember {
		return label.Label{}, nil
	}
	return label.From(first(kind, KindOutsider), user), nil
}

// heard labels messages before a turn takes them.
func (l *Loop) heard(ctx context.Context, rows []Row) error {
	for i := range rows {
		e := &rows[i].Event
		from := label.Of(e.Channel, e.ChannelKind)
		if e.Kind != KindDuty { // its words are the owner's, who was asked when it was made
			author, err := l.People.author(ctx, e.Workspace, e.User, e.UserTeam)
			if err != nil {
				return err
			}
			from = label.Join(from, author)
		} else {
			from = label.Join(from, e.Label) // of what set it off
		}
		e.Label = from
	}
	return nil
}

// said is the label of messages that were read in a channel. What the agent said
// there itself carries on what went into it.
func (d *Directory) said(ctx context.Context, workspace, channel, self string, all []Said, turns func(ctx context.Context, ids []string) (label.Label, error)) (label.Label, error) {
	kind, err := d.ChannelKind(ctx, workspace, channel)
	if err != nil {
		return label.Label{}, fmt.Errorf("look up channel %s: %w", channel, err)
	}
	out := label.Of(channel, kind)
	var own []string
	seen := map[string]bool{}
	for _, m := range all {
		if self != "" && m.User == self {
			if turn := first(m.turn, turnOf(m.Key)); turn != "" {
				own = append(own, turn)
			}
			continue
		}
		if seen[m.User+m.Team] {
			continue
		}
		seen[m.User+m.Team] = true
		author, err := d.author(ctx, workspace, m.User, m.Team)
		if err != nil {
			return label.Label{}, err
		}
		out = label.Join(out, author)
	}
	if len(own) > 0 {
		from, err := turns(ctx, own)
		if err != nil {
			return label.Label{}, err
		}
		out = label.Join(out, from)
	}
	return out, nil
}

// turnOf is the turn whose post a key names, "" for what no turn said.
func turnOf(key string) string {
	rest, ok := strings.CutPrefix(key, "turn:")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, ":")
	return id
}

// hits is the label of what memory gave.
func (d *Directory) hits(ctx context.Context, workspace string, hits []memory.Hit) (label.Label, error) {
	var out label.Label
	for _, h := range hits {
		kind := ChannelDirect
		if h.Scope != memory.ScopeWorkspace && !strings.HasPrefix(h.Channel, "D") {
			var err error
			if kind, err = d.ChannelKind(ctx, workspace, h.Channel); isRefusal(err) {
				kind = ChannelPrivate // that it is not shown now says nothing of what it was
			} else if err != nil {
				return label.Label{}, fmt.Errorf("look up channel %s: %w", h.Channel, err)
			}
		}
		from := label.Label{}
		if h.Scope != memory.ScopeWorkspace {
			from = label.Of(h.Channel, kind)
		}
		author, err := d.author(ctx, workspace, h.Author, "")
		if err != nil {
			return label.Label{}, err
		}
		out = label.Join(out, from, author)
	}
	return out, nil
}

// TurnLabels are the labels of turns, joined. A turn that is not known counts as
// one that read what nobody answers for.
func TurnLabels(ctx context.Context, db *migrations.DB, ids []string) (label.Label, error) {
	var out label.Label
	for _, id := range ids {
		rows, err := db.Query(ctx, `SELECT label, state FROM turns WHERE id = $1`, id)
		if err != nil {
			return out, fmt.Errorf("load label of turn %s: %w", id, err)
		}
		text, state, found := "", "", false
		for rows.Next() {
			found = true
			if err := rows.Scan(&text, &state); err != nil {
				return out, fmt.Errorf("load label of turn %s: %w", id, err)
			}
		}
		if err := rows.Err(); err != nil {
			return out, fmt.Errorf("load label of turn %s: %w", id, err)
		}
		rows.Close()
		var l label.Label
		if text != "" {
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				return out, fmt.Errorf("load label of turn %s: %w", id, err)
			}
		} else if !found {
			l = label.From(KindBot, "self")
		}
		out = label.Join(out, l)
	}
	return out, nil
}

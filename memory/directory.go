package memory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskmate/migrations"
)

// Channel is a conversation as Slack described it at FetchedAt.
type Channel struct {
	Workspace  string
	ID         string
	Name       string // without #; "" for direct messages
	Kind       string // public, private, shared, im, mpim
	IsMember   bool   // the agent is in it
	IsArchived bool
	FetchedAt  time.Time // zero on saving: now
}

// Person is somebody in a workspace as Slack described them at FetchedAt.
type Person struct {
	Workspace string
	ID        string
	Name      string // display name
	RealName  string
	TZ        string // IANA zone
	Kind      string // member, guest, outsider, bot
	IsAdmin   bool
	IsDeleted bool // deactivated; what they said stays
	FetchedAt time.Time
}

// SaveChannel keeps what Slack says of a channel. What is older than what is
// kept changes nothing.
func (m *Memory) SaveChannel(tx *migrations.Tx, c Channel) error {
	_, err := tx.Exec(`INSERT INTO channels (workspace, id, name, kind, is_member, is_archived, fetched_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (workspace, id) DO UPDATE SET name = excluded.name, kind = excluded.kind, is_member = excluded.is_member,
			is_archived = excluded.is_archived, fetched_at = excluded.fetched_at
		WHERE excluded.fetched_at >= channels.fetched_at`,
		c.Workspace, c.ID, c.Name, c.Kind, c.IsMember, c.IsArchived, fetched(tx, c.FetchedAt))
	if err != nil {
		return fmt.Errorf("save channel %s: %w", c.ID, err)
	}
	return nil
}

// SavePerson keeps what Slack says of a person. What is older than what is kept
// changes nothing.
func (m *Memory) SavePerson(tx *migrations.Tx, p Person) error {
	res, err := tx.Exec(`INSERT INTO people (workspace, id, name, real_name, tz, kind, is_admin, is_deleted, fetched_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (workspace, id) DO UPDATE SET name = excluded.name, real_name = excluded.real_name, tz = excluded.tz,
			kind = excluded.kind, is_admin = excluded.is_admin, is_deleted = excluded.is_deleted, fetched_at = excluded.fetched_at
		WHERE excluded.fetched_at >= people.fetched_at`,
		p.Workspace, p.ID, p.Name, p.RealName, p.TZ, p.Kind, p.IsAdmin, p.IsDeleted, fetched(tx, p.FetchedAt))
	if err != nil {
		return fmt.Errorf("save person %s: %w", p.ID, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM people_names WHERE workspace = $1 AND person = $2`, p.Workspace, p.ID); err != nil {
		return fmt.Errorf("save names of %s: %w", p.ID, err)
	}
	for name, whole := range namesOf(p) {
		if _, err := tx.Exec(`INSERT INTO people_names (workspace, name, person, is_whole) VALUES ($1, $2, $3, $4)`,
			p.Workspace, name, p.ID, whole); err != nil {
			return fmt.Errorf("save names of %s: %w", p.ID, err)
		}
	}
	return nil
}

func fetched(tx *migrations.Tx, at time.Time) int64 {
	if at.IsZero() {
		at = tx.Now()
	}
	return migrations.Micros(at)
}

// namesOf are the names that p answers to: true for a whole name, false for one
// word of it.
func namesOf(p Person) map[string]bool {
	names := map[string]bool{}
	for _, full := range []string{p.Name, p.RealName} {
		full = foldName(full)
		for _, word := range words(full) {
			if _, known := names[word.text]; !known {
				names[word.text] = false
			}
		}
		if full != "" {
			names[full] = true
		}
	}
	return names
}

func foldName(s string) string {
	return strings.Join(strings.Fields(strings.ToLower(strings.TrimPrefix(strings.TrimSpace(s), "@"))), " ")
}

// Channel gives a channel as it was last saved, or ErrNotFound.
func (m *Memory) Channel(ctx context.Context, workspace, id string) (Channel, error) {
	c := Channel{Workspace: workspace, ID: id}
	var at int64
	err := m.db.QueryRow(ctx, `SELECT name, kind, is_member, is_archived, fetched_at FROM channels WHERE workspace = $1 AND id = $2`,
		workspace, id).Scan(&c.Name, &c.Kind, &c.IsMember, &c.IsArchived, &at)
	if err != nil {
		return Channel{}, missing("look up channel "+id, err)
	}
	c.FetchedAt = migrations.Time(at)
	return c, nil
}

// OpenChannels gives the channels that are public as they were last saved and of
// which something is kept: what is kept of them may be told in other places.
func (m *Memory) OpenChannels(ctx context.Context, workspace string) ([]Channel, error) {
	rows, err := m.db.Query(ctx, `SELECT c.id, c.name, c.fetched_at FROM channels c WHERE c.workspace = $1 AND c.kind = 'public' AND (
		EXISTS (SELECT 1 FROM messages m WHERE m.workspace = c.workspace AND m.channel = c.id) OR EXISTS (SELECT 1 FROM notes n WHERE n.workspace = c.workspace AND n.place = c.id)
		OR EXISTS (SELECT 1 FROM notes n WHERE n.workspace = c.workspace AND n.place = '' AND n.channel = c.id))`, workspace)
	if err != nil {
		return nil, fmt.Errorf("look up public channels: %w", err)
	}
	defer rows.Close()
	var all []Channel
	for rows.Next() {
		c := Channel{Workspace: workspace, Kind: ChannelPublic}
		var at int64
		if err := rows.Scan(&c.ID, &c.Name, &at); err != nil {
			return nil, fmt.Errorf("look up public channels: %w", err)
		}
		c.FetchedAt = migrations.Time(at)
		all = append(all, c)
	}
	return all, rows.Err()
}

const personColumns = `p.workspace, p.id, p.name, p.real_name, p.tz, p.kind, p.is_admin, p.is_deleted, p.fetched_at`

func scanPerson(row interface{ Scan(...any) error }) (Person, error) {
	var p Person
	var at int64
	err := row.Scan(&p.Workspace, &p.ID, &p.Name, &p.RealName, &p.TZ, &p.Kind, &p.IsAdmin, &p.IsDeleted, &at)
	p.FetchedAt = migrations.Time(at)
	return p, err
}

// Person gives a person as they were last saved, or ErrNotFound.
func (m *Memory) Person(ctx context.Context, workspace, id string) (Person, error) {
	p, err := scanPerson(m.db.QueryRow(ctx, `SELECT `+personColumns+` FROM people p WHERE p.workspace = $1 AND p.id = $2`, workspace, id))
	if err != nil {
		return Person{}, missing("look up person "+id, err)
	}
	return p, nil
}

// PersonByName gives the people whom a name may mean, in order of id: by id or
// mention ("<@U…>"), else by full name in any case, else by one word of it. It
// leaves out bots and deactivated people. More than one is for the caller to ask
// about; none is an empty list.
func (m *Memory) PersonByName(ctx context.Context, workspace, name string) ([]Person, error) {
	id := strings.TrimSpace(name)
	if inner, ok := strings.CutPrefix(id, "<@"); ok {
		id, _, _ = strings.Cut(strings.TrimSuffix(inner, ">"), "|")
	}
	rows, err := m.db.Query(ctx, `SELECT `+personColumns+`,
			CASE WHEN p.id = $1 THEN 2 ELSE COALESCE(w.is_whole, 0) END AS fit
		FROM people p LEFT JOIN people_names w ON w.workspace = p.workspace AND w.person = p.id AND w.name = $2
		WHERE p.workspace = $3 AND (p.id = $1 OR w.name IS NOT NULL) AND p.kind <> 'bot' AND p.is_deleted = 0
		ORDER BY fit DESC, p.id LIMIT 20`, id, foldName(name), workspace)
	if err != nil {
		return nil, fmt.Errorf("look up person by name: %w", err)
	}
	defer rows.Close()
	var found []Person
	best := -1
	for rows.Next() {
		var fit int
		p, err := scanPerson(scanMore{rows, []any{&fit}})
		if err != nil {
			return nil, fmt.Errorf("look up person by name: %w", err)
		}
		if best = max(best, fit); fit == best {
			found = append(found, p)
		}
	}
	return found, rows.Err()
}

// scanMore scans a row that has further columns behind the usual ones.
type scanMore struct {
	row  interface{ Scan(...any) error }
	more []any
}

func (s scanMore) Scan(dest ...any) error { return s.row.Scan(append(dest, s.more...)...) }

// SaveMembers keeps the full list of who is in a channel that has been saved.
// From then on somebody who is not on it sees nothing of the channel, unless it
// is public.
func (m *Memory) SaveMembers(tx *migrations.Tx, workspace, channel string, people []string) error {
	res, err := tx.Exec(`UPDATE channels SET members_at = $1 WHERE workspace = $2 AND id = $3`, migrations.Micros(tx.Now()), workspace, channel)
	if err != nil {
		return fmt.Errorf("save members of %s: %w", channel, err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return fmt.Errorf("save members of %s: %w", channel, err)
	} else if n == 0 {
		return fmt.Errorf("save members of %s: %w: save the channel first", channel, ErrNotFound)
	}
	if _, err := tx.Exec(`DELETE FROM channel_members WHERE workspace = $1 AND channel = $2`, workspace, channel); err != nil {
		return fmt.Errorf("save members of %s: %w", channel, err)
	}
	for _, id := range people {
		if err := m.Joined(tx, workspace, channel, id); err != nil {
			return err
		}
	}
	return nil
}

// Joined notes that a person is in a channel.
func (m *Memory) Joined(tx *migrations.Tx, workspace, channel, person string) error {
	if _, err := tx.Exec(`INSERT INTO channel_members (workspace, channel, person) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		workspace, channel, person); err != nil {
		return fmt.Errorf("save member %s of %s: %w", person, channel, err)
	}
	return nil
}

// Left notes that a person is not in a channel any more.
func (m *Memory) Left(tx *migrations.Tx, workspace, channel, person string) error {
	if _, err := tx.Exec(`DELETE FROM channel_members WHERE workspace = $1 AND channel = $2 AND person = $3`,
		workspace, channel, person); err != nil {
		return fmt.Errorf("remove member %s of %s: %w", person, channel, err)
	}
	return nil
}

// IsMember reports whether person is in channel; known is false where the
// members of the channel were never saved.
func (m *Memory) IsMember(ctx context.Context, workspace, channel, person string) (is, known bool, err error) {
	err = m.db.QueryRow(ctx, `SELECT
			EXISTS (SELECT 1 FROM channel_members WHERE workspace = $1 AND channel = $2 AND person = $3),
			EXISTS (SELECT 1 FROM channels WHERE workspace = $1 AND id = $2 AND members_at > 0)`,
		workspace, channel, person).Scan(&is, &known)
	if err != nil {
		return false, false, fmt.Errorf("look up member %s of %s: %w", person, channel, err)
	}
	return is && known, known, nil
}

// missing turns the absence of a row into ErrNotFound.
func missing(what string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return fmt.Errorf("%s: %w", what, err)
}

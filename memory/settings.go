package memory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// Settings are what memory does in a scope. The zero ones are the default: notes
// are made, messages of the agent's own threads are kept without end.
type Settings struct {
	Workspace    string
	Scope        string // workspace, channel:C…, dm:D…
	Learn        bool   // keep all that is said in the channel, not only the agent's threads
	Off          bool   // make no notes here
	Judge        bool   // make notes by the agent's own judgement, not only when asked
	Follow       bool   // remind people of what they said they would do
	Hold         bool   // legal hold: nothing of it is erased
	Days         int    // that messages are kept, 0: as long as the workspace's, or without end
	Instructions string // for the agent in this scope
	ChangedBy    string
	ChangedAt    time.Time
}

// MaxInstructions is the most characters that the instructions of a scope have.
const MaxInstructions = 2000

// MaxDays is the longest retention that can be set: ten years.
const MaxDays = 3653

// Errors of settings.
var (
	// ErrOff: notes are turned off in the scope.
	ErrOff = errors.New("making notes is turned off here")
	// ErrJudge: nobody asked for the note, and the agent is not to make any by itself.
	ErrJudge = errors.New("nobody asked for this note, and here I only keep what I am asked to keep")
	// ErrHeld: what was to be erased is under legal hold.
	ErrHeld = errors.New("it is under legal hold, so nothing of it is erased")
	// ErrSettings: the settings are out of bounds.
	ErrSettings = fmt.Errorf("retention is 0 to %d days, instructions have at most %d characters, and only channels are learned from", MaxDays, MaxInstructions)
)

const settingsColumns = `s.workspace, s.scope, s.learn, s.off, s.hold, s.retention, s.instructions, s.changed_by, s.changed_at, s.judge, s.follow`

func scanSettings(row interface{ Scan(...any) error }) (Settings, error) {
	var s Settings
	var at int64
	err := row.Scan(&s.Workspace, &s.Scope, &s.Learn, &s.Off, &s.Hold, &s.Days, &s.Instructions, &s.ChangedBy, &at, &s.Judge, &s.Follow)
	s.ChangedAt = migrations.Time(at)
	return s, err
}

// Settings gives those of one scope.
func (m *Memory) Settings(ctx context.Context, workspace, scope string) (Settings, error) {
	var s Settings
	err := m.db.Read(ctx, func(tx *migrations.Tx) (err error) {
		s, err = settingsIn(tx, workspace, scope)
		return err
	})
	return s, err
}

func settingsIn(tx *migrations.Tx, workspace, scope string) (Settings, error) {
	s, err := scanSettings(tx.QueryRow(`SELECT `+settingsColumns+` FROM memory_scopes s WHERE s.workspace = $1 AND s.scope = $2`, workspace, scope))
	if errors.Is(err, sql.ErrNoRows) {
		return Settings{Workspace: workspace, Scope: scope}, nil
	}
	if err != nil {
		return Settings{}, fmt.Errorf("look up settings of %s: %w", scope, err)
	}
	return s, nil
}

// AllSettings gives the scopes of a workspace that differ from the default.
func (m *Memory) AllSettings(ctx context.Context, workspace string) ([]Settings, error) {
	rows, err := m.db.Query(ctx, `SELECT `+settingsColumns+` FROM memory_scopes s WHERE s.workspace = $1 ORDER BY s.scope`, workspace)
	if err != nil {
		return nil, fmt.Errorf("list settings: %w", err)
	}
	defer rows.Close()
	var all []Settings
	for rows.Next() {
		s, err := scanSettings(rows)
		if err != nil {
			return nil, fmt.Errorf("list settings: %w", err)
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// Set gives a scope other settings; by and why go into the ledger. Whether by may
// do that is the caller's to decide. Ending a hold erases what was deleted under it.
func (m *Memory) Set(tx *migrations.Tx, s Settings, by, why string) error {
	if s.Days < 0 || s.Days > MaxDays || utf8.RuneCountInString(s.Instructions) > MaxInstructions ||
		s.Learn && !strings.HasPrefix(s.Scope, "channel:") || s.Scope != ScopeWorkspace && scopePlace(s.Scope) == "" {
		return ErrSettings
	}
	_, err := m.ledger.Append(tx, ledger.Record{Workspace: s.Workspace, Kind: "memory.set", Actor: by, Requester: by, Channel: scopePlace(s.Scope), Fields: map[string]string{
		"scope": s.Scope, "learn": strconv.FormatBool(s.Learn), "off": strconv.FormatBool(s.Off), "hold": strconv.FormatBool(s.Hold), "days": strconv.Itoa(s.Days),
		"judge": strconv.FormatBool(s.Judge), "follow": strconv.FormatBool(s.Follow),
	}, Payload: map[string]string{"instructions": s.Instructions, "why": why}})
	if err != nil {
		return fmt.Errorf("record settings of %s: %w", s.Scope, err)
	}
	if _, err := tx.Exec(`INSERT INTO memory_scopes (workspace, scope, learn, off, hold, retention, instructions, changed_by, changed_at, judge, follow)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (workspace, scope) DO UPDATE SET learn = excluded.learn, off = excluded.off, hold = excluded.hold,
			retention = excluded.retention, instructions = excluded.instructions, changed_by = excluded.changed_by, changed_at = excluded.changed_at, judge = excluded.judge, follow = excluded.follow`,
		s.Workspace, s.Scope, s.Learn, s.Off, s.Hold, s.Days, s.Instructions, by, migrations.Micros(tx.Now()), s.Judge, s.Follow); err != nil {
		return fmt.Errorf("set %s: %w", s.Scope, err)
	}
	if s.Hold {
		return nil
	}
	return m.released(tx, s.Workspace)
}

// held is true in SQL where channel m.channel, or its whole workspace, is held.
const held = `EXISTS (SELECT 1 FROM memory_scopes s WHERE s.workspace = m.workspace AND s.hold = 1
	AND s.scope IN ('workspace', 'channel:' || m.channel, 'dm:' || m.channel))`

// released erases the texts that were deleted while something held them.
func (m *Memory) released(tx *migrations.Tx, workspace string) error {
	if err := eraseForReal(tx); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE messages AS m SET text = '', permalink = '', edited_ts = '' WHERE m.workspace = $1 AND m.gone_at > 0 AND m.text <> '' AND NOT `+held, workspace); err != nil {
		return fmt.Errorf("erase what was deleted under hold: %w", err)
	}
	return nil
}

// isHeld reports whether a scope, or its whole workspace, is under legal hold.
func isHeld(tx *migrations.Tx, workspace, scope string) (bool, error) {
	for _, one := range []string{ScopeWorkspace, scope} {
		s, err := settingsIn(tx, workspace, one)
		if err != nil || s.Hold {
			return s.Hold, err
		}
	}
	return false, nil
}

// mayNote is ErrOff where notes of a scope are not to be made, and ErrJudge where
// none are that nobody asked for.
func mayNote(tx *migrations.Tx, workspace, scope string, own bool) error {
	judge := false
	for _, one := range []string{ScopeWorkspace, scope} {
		s, err := settingsIn(tx, workspace, one)
		if err != nil {
			return err
		}
		if s.Off {
			return ErrOff
		}
		judge = judge || s.Judge
	}
	if own && !judge {
		return ErrJudge
	}
	return nil
}

// Judges reports whether the agent may make notes by its own judgement in a scope.
func (m *Memory) Judges(ctx context.Context, workspace, scope string) (bool, error) {
	may := false
	err := m.db.Read(ctx, func(tx *migrations.Tx) error {
		err := mayNote(tx, workspace, scope, true)
		may = err == nil
		if errors.Is(err, ErrOff) || errors.Is(err, ErrJudge) {
			return nil
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look up whether notes are made in %s unasked: %w", scope, err)
	}
	return may, nil
}

// Keeps reports whether a message that is not for the agent is kept all the same:
// one of a channel that it learns from, or a change of one that memory has.
func (m *Memory) Keeps(ctx context.Context, workspace, channel, ts string, isChange bool) (bool, error) {
	q, key := `SELECT EXISTS (SELECT 1 FROM memory_scopes WHERE workspace = $1 AND scope = $2 AND learn = 1 AND $3 <> '')`, "channel:"+channel
	if isChange {
		q, key = `SELECT EXISTS (SELECT 1 FROM messages WHERE workspace = $1 AND channel = $2 AND ts = $3)`, channel
	}
	var is bool
	if err := m.db.QueryRow(ctx, q, workspace, key, ts).Scan(&is); err != nil {
		return false, fmt.Errorf("look up whether message %s in %s is kept: %w", ts, channel, err)
	}
	return is, nil
}

// Follows reports whether people of a channel are reminded of what they say they will
// do: in threads of the agent, and in all of a channel that it learns from.
func (m *Memory) Follows(ctx context.Context, workspace, channel string, own bool) (bool, error) {
	var is bool
	err := m.db.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM memory_scopes WHERE workspace = $1 AND scope IN ('workspace', 'channel:' || $2, 'dm:' || $2) AND follow = 1)
		AND ($3 OR EXISTS (SELECT 1 FROM memory_scopes WHERE workspace = $1 AND scope = 'channel:' || $2 AND learn = 1))`, workspace, channel, own).Scan(&is)
	if err != nil {
		return false, fmt.Errorf("look up whether commitments in %s are followed: %w", channel, err)
	}
	return is, nil
}

// Bounds of one sweep.
const (
	sweepMessages = 2000
	sweepNotes    = 100
	expiredFor    = 30 * 24 * time.Hour // that an expired note can still be looked at
)

// Sweep erases messages past their retention and notes that expired long ago, at
// most some thousand at once; more says that there is more to do.
func (m *Memory) Sweep(tx *migrations.Tx, workspace string) (messages, notes int, more bool, err error) {
	if err := eraseForReal(tx); err != nil {
		return 0, 0, false, err
	}
	if err := m.endQuestions(tx, workspace, `q.asked_at < $2`, migrations.Micros(tx.Now().Add(-questionsFor))); err != nil {
		return 0, 0, false, err
	}
	var some bool
	if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM memory_scopes WHERE workspace = $1 AND retention > 0)`, workspace).Scan(&some); err != nil {
		return 0, 0, false, fmt.Errorf("look for retention: %w", err)
	}
	n := int64(0)
	if some {
		if n, err = sweepMessagesOf(tx, workspace); err != nil {
			return 0, 0, false, err
		}
	}
	if n > 0 {
		if _, err := tx.Exec(`DELETE FROM message_files WHERE workspace = $1 AND NOT EXISTS (SELECT 1 FROM messages m
			WHERE m.workspace = $1 AND m.channel = message_files.channel AND m.ts = message_files.ts)`, workspace); err != nil {
			return 0, 0, false, fmt.Errorf("sweep files: %w", err)
		}
	}
	notes, err = m.sweepNotesOf(tx, workspace)
	return int(n), notes, n == sweepMessages || notes >= sweepNotes, err
}

func sweepMessagesOf(tx *migrations.Tx, workspace string) (int64, error) {
	res, err := tx.Exec(`DELETE FROM messages WHERE id IN (
		SELECT m.id FROM messages m
		LEFT JOIN memory_scopes c ON c.workspace = m.workspace AND c.scope IN ('channel:' || m.channel, 'dm:' || m.channel)
		LEFT JOIN memory_scopes w ON w.workspace = m.workspace AND w.scope = 'workspace'
		WHERE m.workspace = $1 AND COALESCE(NULLIF(c.retention, 0), w.retention, 0) > 0
			AND m.said_at < $2 - COALESCE(NULLIF(c.retention, 0), w.retention) * $3 AND NOT `+held+` ORDER BY m.said_at LIMIT $4)`,
		workspace, migrations.Micros(tx.Now()), (24 * time.Hour).Microseconds(), sweepMessages)
	var n int64
	if err == nil {
		n, err = res.RowsAffected()
	}
	if err != nil {
		return 0, fmt.Errorf("sweep messages: %w", err)
	}
	return n, nil
}

func (m *Memory) sweepNotesOf(tx *migrations.Tx, workspace string) (int, error) {
	old, err := scanNotes(tx.Query(`SELECT `+noteColumns+` FROM notes n WHERE n.workspace = $1 AND n.expires_at > 0 AND n.expires_at < $2 ORDER BY n.seq LIMIT $3`,
		workspace, migrations.Micros(tx.Now().Add(-expiredFor)), sweepNotes))
	if err != nil {
		return 0, fmt.Errorf("sweep notes: %w", err)
	}
	erased := map[string]bool{}
	for _, note := range old {
		if erased[note.ID] {
			continue
		}
		gone, err := m.erase(tx, Place{Workspace: workspace, Channel: note.Channel, Requester: "retention"}, note)
		if errors.Is(err, ErrHeld) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("sweep note %s: %w", note.ID, err)
		}
		for _, id := range gone.Notes {
			erased[id] = true
		}
	}
	return len(erased), nil
}

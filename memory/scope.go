package memory

import (
	"fmt"
	"time"

	"deskmate/migrations"
)

// reachSQL is the scope predicate. It opens every query that reads for a Place;
// the directory that it consults is read in the same snapshot as the texts, so a
// channel that turns private or shared, or a person who leaves, changes the very
// next answer.
//
// It needs the parameters of Place.args as $1 to $6 and gives one row:
//
//	own:  the place's own channel may be read: the requester is not deactivated,
//	      and is in the channel where that is known and matters.
//	wide: so may the notes for the workspace and the public channels that are not
//	      shared: own holds, the place is not shared with another organisation by
//	      the caller's word nor the directory's, and the requester is a member by
//	      both (a duty asks as its owner, whom the directory must know).
//	place_kind: the kind of the place by the directory, '' where it does not know.
const reachSQL = `WITH ask AS (
	SELECT CAST($1 AS TEXT) AS workspace, CAST($2 AS TEXT) AS channel, CAST($3 AS TEXT) AS channel_kind,
		CAST($4 AS TEXT) AS requester, CAST($5 AS TEXT) AS requester_kind, CAST($6 AS BIGINT) AS now
), known AS (
	SELECT ask.*, p.kind AS person_kind, p.is_deleted, c.kind AS place_kind, c.members_at,
		EXISTS (SELECT 1 FROM channel_members i WHERE i.workspace = ask.workspace AND i.channel = ask.channel AND i.person = ask.requester) AS is_in
	FROM ask
	LEFT JOIN people p ON p.workspace = ask.workspace AND p.id = ask.requester
	LEFT JOIN channels c ON c.workspace = ask.workspace AND c.id = ask.channel
), may AS MATERIALIZED (
	SELECT known.*,
		CASE WHEN channel = '' OR requester = '' OR COALESCE(is_deleted, 0) = 1 THEN 0
		     WHEN COALESCE(members_at, 0) > 0 AND NOT is_in AND NOT (channel_kind = 'public' AND place_kind = 'public') THEN 0
		     ELSE 1 END AS own
	FROM known
), reach AS MATERIALIZED (
	SELECT own, now, COALESCE(place_kind, '') AS place_kind,
		CASE WHEN own = 0 THEN 0
		     WHEN channel_kind NOT IN ('public', 'private', 'im', 'mpim') OR COALESCE(place_kind, '') = 'shared' THEN 0
		     WHEN requester_kind = 'member' AND COALESCE(person_kind, 'member') = 'member' THEN 1
		     WHEN requester_kind = 'duty' AND COALESCE(person_kind, '') = 'member' THEN 1
		     ELSE 0 END AS wide
	FROM may
) `

// args are the parameters of reachSQL, and more behind them from $7 on.
func (p Place) args(now time.Time, more ...any) []any {
	return append([]any{p.Workspace, p.Channel, p.ChannelKind, p.Requester, p.RequesterKind, migrations.Micros(now)}, more...)
}

// The predicate for one row, to stand in the WHERE of a query over reach and
// messages m or notes n.
const (
	messageInReach = `(m.workspace = $1 AND m.gone_at = 0 AND (
		(m.channel = $2 AND reach.own = 1)
		OR (reach.wide = 1 AND EXISTS (SELECT 1 FROM channels c WHERE c.workspace = m.workspace AND c.id = m.channel AND c.kind = 'public'))))`

	// manyInReach is messageInReach for thousands of rows: it lists the public
	// channels once, where the other looks each one up.
	manyInReach = `(m.workspace = $1 AND m.gone_at = 0 AND (
		(m.channel = $2 AND reach.own = 1)
		OR (reach.wide = 1 AND m.channel IN (SELECT c.id FROM channels c WHERE c.workspace = $1 AND c.kind = 'public'))))`

	noteInReach = `(n.superseded_by = '' AND ` + noteWasInReach + `)`

	// noteWasInReach is noteInReach for notes that are no longer true as well.
	noteWasInReach = `(n.workspace = $1 AND (n.expires_at = 0 OR n.expires_at > reach.now) AND (
		(n.place = $2 AND reach.own = 1)
		OR (n.place = '' AND reach.wide = 1)
		OR (reach.wide = 1 AND EXISTS (SELECT 1 FROM channels c WHERE c.workspace = n.workspace AND c.id = n.place AND c.kind = 'public'))))`

	// sourceInReach: where note n was said may be told.
	sourceInReach = `(n.channel = '' OR (n.channel = $2 AND reach.own = 1)
		OR (reach.wide = 1 AND EXISTS (SELECT 1 FROM channels c WHERE c.workspace = $1 AND c.id = n.channel AND c.kind = 'public')))`
)

// reach is what a place may do, for the decisions that are not about rows.
type reach struct {
	own, wide bool
	isMember  bool   // the requester, by the directory
	kind      string // of the place, by the directory
}

func readReach(tx *migrations.Tx, p Place) (reach, error) {
	var r reach
	if err := tx.QueryRow(reachSQL+`SELECT own = 1, wide = 1, place_kind,
		EXISTS (SELECT 1 FROM people p WHERE p.workspace = $1 AND p.id = $4 AND p.kind = 'member' AND p.is_deleted = 0) FROM reach`, p.args(tx.Now())...).Scan(&r.own, &r.wide, &r.kind, &r.isMember); err != nil {
		return reach{}, fmt.Errorf("read what may be seen: %w", err)
	}
	return r, nil
}

// mayWrite reports whether text that was said in p may go into a note of scope.
// From a private place it may not: the note would carry the text out.
func (r reach) mayWrite(p Place, scope string) bool {
	if scope == p.scope() {
		return r.own
	}
	return r.wide && r.kind == ChannelPublic && p.ChannelKind == ChannelPublic
}

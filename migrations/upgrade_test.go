package migrations

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
)

// What a store of version 19 holds of duties, runs, messages and threads is there after
// the tables were laid anew, and still hangs together.
func TestDutiesAndMessagesOfAnOlderStoreStay(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "test.db")
	pool, err := sql.Open("sqlite3", writerDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProvider(pool)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(ctx, 19); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		`INSERT INTO duties (id, workspace, request, kind, title, prompt, cron, tz, next_at, channel, channel_kind, owner, created_by, state, catch_up, created_at, updated_at)
			VALUES ('d_a', 'T1', 'q1', 'schedule', 'Stand-up', 'post it', '30 9 * * 1-5', 'Europe/Berlin', 5, 'C1', 'public', 'U1', 'U1', 'active', 'once', 1, 1),
				('d_b', 'T1', NULL, 'once', 'Call', 'call', '', 'UTC', 7, 'C1', 'public', 'U2', 'U2', 'done', 'once', 1, 1)`,
		`INSERT INTO runs (id, duty, due_at, missed, state, turn, error, created_at, ended_at) VALUES ('r_1', 'd_a', 3, 2, 'failed', 't1', 'no model', 3, 4), ('r_2', 'd_b', 7, 0, 'done', 't2', '', 7, 8)`,
		`INSERT INTO threads (workspace, channel, thread_ts, thread_key, owner, joined_at, last_at) VALUES ('T1', 'C1', '1.1', 'thread:T1:C1:1.1', 'U1', 1, 1)`,
		`INSERT INTO messages (workspace, channel, thread, ts, author, text, permalink, said_at) VALUES ('T1', 'C1', '1.1', '1.1', 'U1', 'the deploy key is in the safe', '', 1)`,
	} {
		if _, err := pool.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
	db := openAt(t, path, Options{})
	for q, want := range map[string]string{
		`SELECT title || ' ' || cron || ' ' || overlap || ' ' || report || ' ' || most_fails || ' ' || label FROM duties WHERE id = 'd_a' AND request = 'q1'`:                 "Stand-up 30 9 * * 1-5 wait run 5 {}",
		`SELECT state || ' ' || next_at FROM duties WHERE id = 'd_b'`:                                                                                                         "done 7",
		`SELECT group_concat(id || ' ' || duty || ' ' || due_at || ' ' || missed || ' ' || state || ' ' || error || ' ' || said, ', ') FROM (SELECT * FROM runs ORDER BY id)`: "r_1 d_a 3 2 failed no model 1, r_2 d_b 7 0 done  1",
		`SELECT state || ' ' || owner FROM threads`:                                                "open U1",
		`SELECT CAST(COUNT(*) AS TEXT) FROM memory_index WHERE memory_index MATCH 'deploy AND c1'`: "1",
		`SELECT CAST(COUNT(*) AS TEXT) FROM pragma_foreign_key_check`:                              "0",
	} {
		var got string
		if err := db.QueryRow(ctx, q).Scan(&got); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", q, got, err, want)
		}
	}
}

package scheduler

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// errCrash ends a transaction as the death of its process does.
var errCrash = errors.New("the process died")

// Three years of due times in every zone, through the scheduler itself, against the
// independent walk: two processes take turns, are restarted and die in the middle of
// their transactions, and the clock jumps by an hour or three days either way. Each
// due time has exactly one run, or is counted in the one that stands for it.
func TestThreeYearsOfDueTimes(t *testing.T) {
	t.Parallel()
	forms := []Schedule{{Cron: "30 2 * * *"}, {Cron: "0 0 * * *"}, {Cron: "45 1 * * 0,6"}, {Cron: "15 0-3 * * 1"},
		{Cron: "30 2 L * *;0 3 * * 0#2"}, {Cron: "30 2 * * 0,3", Every: 2, Unit: UnitWeek}}
	for n, c := range daylight {
		t.Run(c.zone, func(t *testing.T) {
			t.Parallel()
			loc, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			from := time.Date(c.from, 1, 1, 0, 0, 0, 0, time.UTC)
			until := from.AddDate(3, 0, 0)
			var schedules []Schedule
			for _, f := range forms {
				schedules = append(schedules, anchored(f, c.zone, c.from))
			}
			want := wallWalk(schedules, loc, from, until)

			random := rand.New(rand.NewPCG(uint64(n), 7))
			w := newWorld(t)
			w.set(from.Add(-time.Second))
			crash := false
			fire := func(tx *migrations.Tx, _ Duty, r Run) error {
				if crash {
					return errCrash
				}
				_, err := tx.Exec(`UPDATE runs SET state = 'done' WHERE id = $1`, r.ID)
				return err
			}
			type process struct {
				db *migrations.DB
				s  *Scheduler
			}
			start := func() process {
				db, s := w.open()
				s.fire = fire
				return process{db, s}
			}
			processes := []process{start(), start()}
			duties := map[string]int{}
			for i, schedule := range schedules {
				d, err := processes[0].s.Create(context.Background(), NewDuty{Workspace: "T1", Channel: "C1", ChannelKind: "public", Prompt: "x",
					Schedule: schedule, Owner: "U0BEN", CatchUp: []string{CatchUpAll, CatchUpOnce}[i%2]})
				if err != nil {
					t.Fatal(err)
				}
				duties[d.ID] = i
			}
			work := func() {
				p := random.IntN(len(processes))
				if random.IntN(60) == 0 {
					processes[p] = start()
				}
				crash = random.IntN(4) == 0
				for range 2 {
					err := handleAll(processes[p].db, processes[p].s)
					if err != nil && !errors.Is(err, errCrash) {
						t.Fatal(err)
					}
					p, crash = random.IntN(len(processes)), false
				}
			}
			for at := from; at.Before(until); at = at.Add(time.Duration(random.IntN(4*24*60)) * time.Minute) {
				w.set(at)
				work()
				jump := []time.Duration{time.Hour, -time.Hour, 3 * day, -3 * day}[random.IntN(4)]
				if to := at.Add(jump); to.Before(until) {
					w.set(to)
					work()
				}
			}
			w.set(until.Add(-time.Second))
			work()

			got := make([][]time.Time, len(schedules))
			told := make([]int, len(schedules))
			rows, err := w.db.Query(context.Background(), `SELECT duty, due_at, missed FROM runs ORDER BY due_at`)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var id string
				var due, missed int64
				if err := rows.Scan(&id, &due, &missed); err != nil {
					t.Fatal(err)
				}
				i := duties[id]
				got[i], told[i] = append(got[i], migrations.Time(due)), told[i]+1+int(missed)
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			for i, schedule := range schedules {
				if told[i] != len(want[i]) {
					t.Errorf("%s: %d due times are in the history, want %d", schedule.Describe(), told[i], len(want[i]))
				}
				for _, due := range got[i] {
					if !slices.ContainsFunc(want[i], due.Equal) {
						t.Errorf("%s: a run for %v, which is no due time", schedule.Describe(), due.In(loc))
					}
				}
			}
		})
	}
}

// handleAll has a scheduler work all its duties, as its task does.
func handleAll(db *migrations.DB, s *Scheduler) error {
	rows, err := db.Query(context.Background(), `SELECT key, fence FROM tasks WHERE kind = 'duty'`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var leases []*task.Lease
	for rows.Next() {
		l := &task.Lease{Workspace: "T1", Kind: TaskDuty}
		if err := rows.Scan(&l.Key, &l.Fence); err != nil {
			return err
		}
		leases = append(leases, l)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return db.Write(context.Background(), func(tx *migrations.Tx) error {
		if err := task.GuardAll(tx, leases); err != nil {
			return err
		}
		_, err := s.HandleMany(tx, leases)
		return err
	})
}

// A duty that cannot be worked does not keep those of its group.
func TestOneDutyThatFailsDoesNotKeepTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 20 {
		w.make(nil)
	}
	bad := w.make(nil)
	if err := w.db.Write(context.Background(), func(tx *migrations.Tx) error {
		_, err := tx.Exec(`UPDATE duties SET cron = 'nonsense' WHERE id = $1`, bad.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	w.set(at(0, 10, 0))
	r := task.NewRunner(w.db, task.Options{Owner: "one", Poll: 10 * time.Millisecond, Backoff: func(int64) time.Duration { return time.Hour }})
	r.HandleMany(TaskDuty, 64, w.s.HandleMany)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	for range 20 {
		select {
		case <-w.fired:
		case <-time.After(time.Minute):
			t.Fatal("a run of another duty did not come")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var why string
	if err := w.db.QueryRow(context.Background(), `SELECT last_error FROM tasks WHERE key = $1`, dutyKey(bad.ID)).Scan(&why); err != nil || why == "" {
		t.Errorf("the task of the duty that fails says %q, %v", why, err)
	}
}

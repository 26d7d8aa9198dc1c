package bot

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// Faces say when a turn shows signs of life in Slack.
type Faces struct {
	ProgressAfter time.Duration // a turn that takes longer posts a progress message
	ProgressEvery time.Duration // and edits it at most this often
	StatusEvery   time.Duration // Slack forgets a status after two minutes
}

// DefaultFaces keep Slack's pace: status at once, edits at most every 3 s.
func DefaultFaces() Faces {
	return Faces{ProgressAfter: 5 * time.Second, ProgressEvery: 3 * time.Second, StatusEvery: 90 * time.Second}
}

// faces shows one turn at work: a status at once, and for longer work one
// message that is edited in place. It runs beside the turn and never delays or
// fails it.
type faces struct {
	loop  *Loop
	turn  *Turn
	try   int64 // tells the effects of a resumed turn from those before the crash
	end   context.CancelFunc
	done  chan struct{}
	once  sync.Once
	mu    sync.Mutex
	lines []string
	fars  map[int]string // how far each line says that it is
	at    int            // index of the line at work, -1 for none
}

func (l *Loop) startFaces(ctx context.Context, lease *task.Lease, t *Turn) *faces {
	ctx, cancel := context.WithCancel(ctx)
	f := &faces{loop: l, turn: t, try: lease.Fence, end: cancel, done: make(chan struct{}), at: -1, fars: map[int]string{}}
	// The turn grows meanwhile: what is asked of it is asked here.
	base, quiet := f.post(), t.run() != ""
	go f.show(ctx, base, quiet)
	return f
}

// post is what all effects of the face share.
func (f *faces) post() Post {
	t, e := f.turn, f.turn.last()
	return Post{Workspace: t.Workspace, Channel: t.Channel, Thread: t.Thread, Turn: t.ID, Cause: e.Key, Requester: e.User, ChannelKind: e.ChannelKind}
}

// close ends the face and waits for what it has under way, so that nothing of
// it comes after the reply.
func (f *faces) close() {
	f.once.Do(func() {
		f.end()
		<-f.done
	})
}

func (f *faces) working(tool string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, tool)
	f.at = len(f.lines) - 1
}

// far notes how far the call at work says that it is.
func (f *faces) far(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at >= 0 {
		f.fars[f.at] = text
	}
}

func (f *faces) worked(string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = -1
}

// snapshot is the progress message as it should read now.
func (f *faces) snapshot(ended bool) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	if ended {
		b.WriteString("Worked on it:\n")
	} else {
		b.WriteString("Working on it. Say `stop` in this thread to end it.\n")
	}
	for i, name := range f.lines {
		mark := "✓"
		if i == f.at && !ended {
			mark = "…"
		}
		fmt.Fprintf(&b, "- %s %s", mark, name)
		if far := f.fars[i]; far != "" && mark == "…" {
			fmt.Fprintf(&b, " (%s)", escape(far))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// show shows the turn until ctx ends; quiet is for a run of a duty, which posts one
// message of its own: progress would be noise.
func (f *faces) show(ctx context.Context, base Post, quiet bool) {
	defer close(f.done)
	// A face that cannot be shown is no reason to fail the work: the outbox
	// logs it, the reply comes all the same.
	status := func(n int) {
		p := base
		p.Key, p.Tool, p.Text = fmt.Sprintf("turn:%s:status:%d.%d", f.turn.ID, f.try, n), ToolStatus, "is working on it…"
		if err := f.loop.Outbox.Status(ctx, p); err != nil && ctx.Err() == nil {
			f.loop.Logger.Debug().Err(err).Str("turn", f.turn.ID).Msg("status not shown")
		}
	}
	status(0)
	if quiet || base.Thread == "" && base.ChannelKind != ChannelDirect {
		return
	}
	wait := time.NewTimer(f.loop.Faces.ProgressAfter)
	defer wait.Stop()
	again := time.NewTicker(f.loop.Faces.StatusEvery)
	defer again.Stop()
	ts, shown, n := f.turn.ProgressTS, "", 0
	for {
		select {
		case <-ctx.Done():
			if ts != "" {
				// The last word on a message that people have seen: not cut off by
				// the end of the turn, but bounded.
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
				f.progress(ctx, base, &ts, n+1, f.snapshot(true))
				cancel()
			}
			return
		case <-again.C:
			n++
			status(n)
		case <-wait.C:
			if now := f.snapshot(false); now != shown {
				n++
				if f.progress(ctx, base, &ts, n, now) {
					shown = now
				}
			}
			wait.Reset(f.loop.Faces.ProgressEvery)
		}
	}
}

// progress posts or edits the progress message.
func (f *faces) progress(ctx context.Context, p Post, ts *string, n int, text string) bool {
	p.Key, p.Tool, p.Text = fmt.Sprintf("turn:%s:progress:%d.%d", f.turn.ID, f.try, n), ToolProgress, text
	p.Update = *ts
	got, err := f.loop.Outbox.Send(ctx, p)
	if err != nil {
		if ctx.Err() == nil {
			f.loop.Logger.Debug().Err(err).Str("turn", f.turn.ID).Msg("progress not shown")
		}
		return false
	}
	if *ts == "" {
		*ts = got
		err := f.loop.DB.Write(context.WithoutCancel(ctx), func(tx *migrations.Tx) error {
			_, err := tx.Exec(`UPDATE turns SET progress_ts = $1 WHERE id = $2`, got, f.turn.ID)
			return err
		})
		if err != nil {
			f.loop.Logger.Warn().Err(err).Str("turn", f.turn.ID).Msg("progress message not recorded")
		}
	}
	return true
}

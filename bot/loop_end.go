package bot

import (
	"context"
	"fmt"
	"strings"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// exceeded says which limit the turn has met, "" for none.
func (l *Loop) exceeded(t *Turn) string {
	if n := t.modelCalls(); n >= l.Limits.Steps {
		return fmt.Sprintf("I stopped after %d steps without getting to the end. %s", n, t.didSoFar())
	}
	if used := int64(t.Usage.Input + t.Usage.Output); t.duty.RunTokens > 0 && used >= t.duty.RunTokens {
		return fmt.Sprintf("I stopped because this run used %d tokens, and its duty allows %d for one. %s", used, t.duty.RunTokens, t.didSoFar())
	}
	if used := t.Usage.Input + t.Usage.Output; used >= l.Limits.Tokens {
		return fmt.Sprintf("I stopped because this request used %d tokens, and %d is the limit for one. %s", used, l.Limits.Tokens, t.didSoFar())
	}
	return ""
}

// didSoFar names what a turn has done, for a reply that ends it early.
func (t *Turn) didSoFar() string {
	var done []string
	for _, s := range t.Steps {
		if s.Outcome != nil && s.Outcome.Error == "" {
			done = append(done, "`"+s.Outcome.Call.Name+"`")
		}
	}
	if len(done) == 0 {
		return "Nothing was changed."
	}
	return "Done so far: " + strings.Join(done, ", ") + "."
}

// finish closes the turn: the model's last response or the reason, the reply and
// the end of its inbox rows are one transaction.
func (l *Loop) finish(ctx context.Context, lease *task.Lease, t *Turn, f *faces, resp *Response, state, why string) error {
	f.close()
	answer := why
	if resp != nil {
		answer = strings.TrimSpace(resp.Text)
		t.closing = resp
		if answer == "" && t.addressed() && t.run() == "" && len(t.duties()) == 0 {
			answer = "I have nothing to say to that: my model gave an empty answer. Ask me in other words, or ask what I can do here."
			state, why = TurnFailed, "empty answer"
		} else if state == TurnDone && answer != "" {
			answer += t.sources(resp)
		}
	}
	if names := t.unconfirmed(); len(names) > 0 {
		answer += fmt.Sprintf("\n\nI could not confirm whether `%s` took effect. I will not repeat it by myself: please check before you ask for it again.",
			strings.Join(names, "`, `"))
	}
	err := l.DB.Write(context.WithoutCancel(ctx), func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		n := len(t.Steps)
		if resp != nil {
			if err := l.answered(tx, t, n, resp); err != nil {
				return err
			}
			n++
		}
		return l.close(tx, t, n, state, why, answer)
	})
	if err != nil {
		return fmt.Errorf("finish turn %s: %w", t.ID, err)
	}
	if t.run() != "" {
		l.crash("run:ended")
	}
	l.crash("turn:replied")
	return nil
}

// close writes the end of a turn into tx: reply step, owed post, state, inbox.
func (l *Loop) close(tx *migrations.Tx, t *Turn, n int, state, why, answer string) error {
	var err error
	posts := func(p Post) []Post { return []Post{p} }
	if t.run() != "" {
		if answer, err = l.endRun(tx, t, state, why, answer); err != nil {
			return err
		}
		posts = func(p Post) []Post { return l.runReply(t, state, p) }
	}
	if err := t.addAt(tx, n, Step{Kind: stepReply, Reply: answer}); err != nil {
		return err
	}
	if answer != "" {
		for _, p := range posts(l.reply(t, answer)) {
			if err := l.Outbox.Queue(tx, p); err != nil {
				return err
			}
		}
	}
	if answer != "" || state != TurnStopped { // else the request is gone, and with it the place to answer
		if err := l.showDuties(tx, t); err != nil {
			return err
		}
	}
	if err := t.end(tx, state, why); err != nil {
		return err
	}
	if err := l.Gate.Approvals.Withdraw(tx, t.Workspace, t.ID, "system", "the work that it was for has ended"); err != nil {
		return err
	}
	return l.Inbox.Done(tx, t.ID)
}

// reply is the post that answers the turn.
func (l *Loop) reply(t *Turn, answer string) Post {
	e := t.last()
	return Post{
		Workspace: t.Workspace, Channel: t.Channel, Thread: t.Thread, Key: "turn:" + t.ID + ":reply", Text: answer,
		Turn: t.ID, Cause: e.Key, Requester: e.User, ChannelKind: e.ChannelKind, Tool: ToolReply, Label: t.label(), Links: t.links(),
	}
}

// Stop closes a running turn at a human's word: nothing more follows from it,
// what was owed is cancelled, and the thread learns what had been done. rows are
// the inbox rows that asked for it.
func (l *Loop) Stop(ctx context.Context, lease *task.Lease, t *Turn, rows []Row, by string) error {
	err := l.DB.Write(context.WithoutCancel(ctx), func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		if err := l.Outbox.CancelTurn(tx, t.ID); err != nil {
			return err
		}
		if err := l.Gate.Approvals.Withdraw(tx, t.Workspace, t.ID, by, "the work that it was for was stopped by <@"+by+">"); err != nil {
			return err
		}
		// What was under way on the far side: nobody will look at it any more.
		open, err := l.Gate.Abandon(tx, t.Workspace, t.ID, callKey(t, "c"))
		if err != nil {
			return err
		}
		if err := l.take(tx, t, rows); err != nil {
			return err
		}
		if _, err := l.Ledger.Append(tx, ledger.Record{
			Workspace: t.Workspace, Kind: "turn.stopped", Actor: by, Requester: t.Requester, Turn: t.ID, Channel: t.Channel, Thread: t.Thread,
		}); err != nil {
			return fmt.Errorf("record stop of turn %s: %w", t.ID, err)
		}
		answer := "Stopped. " + t.didSoFar()
		if len(open) > 0 {
			answer += fmt.Sprintf(" It was in the middle of `%s`: I cannot tell whether that took effect, please check.", strings.Join(open, "`, `"))
		}
		if n := len(rows); n > 0 && rows[n-1].Event.Kind == KindDelete {
			answer = "" // the request is gone, and with it the place to answer
		}
		if by == system {
			answer = "" // told by the run after it
		} else if n := len(rows); n > 0 {
			t.answerIn = rows[n-1].Event.Thread
		}
		return l.close(tx, t, len(t.Steps)+len(rows), TurnStopped, "stopped by "+by, answer)
	})
	if err != nil {
		return fmt.Errorf("stop turn %s: %w", t.ID, err)
	}
	return nil
}

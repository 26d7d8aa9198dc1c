package ledger

import (
	"database/sql"
	"slices"
	"strconv"
)

// Names of Record.Fields by which an entry of an action can be compared with the
// row that the gate keeps of it.
const (
	FieldCall    = "call"    // MAC of workspace, tool, target and arguments: one exact call
	FieldAttempt = "attempt" // of an intent that repeats one whose outcome was lost: 2, 3 …
)

// Names of Record.Payload that the rows of actions hold as well.
const (
	PayloadArgs   = "args"
	PayloadResult = "result"
	PayloadError  = "error"
)

// actionRow is a row of the actions table: what the gate goes by. Every column is
// compared with the entries of the action, so that it cannot be made to repeat or
// to skip an effect unnoticed.
type actionRow struct {
	key, turn, tool, class, requester, channel, call string
	state, result, failure                           string
	intent, outcome, attempts, created, ended        int64
}

const actionRowColumns = `key, turn, tool, class, requester, channel, fingerprint, state, result, error, intent_seq, outcome_seq, attempts, created_at, ended_at`

func scanActionRow(rows *sql.Rows) (a actionRow, err error) {
	err = rows.Scan(&a.key, &a.turn, &a.tool, &a.class, &a.requester, &a.channel, &a.call, &a.state, &a.result, &a.failure,
		&a.intent, &a.outcome, &a.attempts, &a.created, &a.ended)
	return a, err
}

// actionChecker compares actions with their entries while these stream by. It
// holds only what is under way at that point of the ledger.
type actionChecker struct {
	r         *Report
	seal      *sealer
	workspace string
	open      map[int64]actionRow // intents without an outcome so far, by number
	waiting   map[int64]string    // intents and denials without a row, to be followed up by another try: number → key
}

// entry takes the next entry, its texts, and the row that refers to it, if any.
func (c *actionChecker) entry(f *leaf, texts []storedText, row *actionRow) {
	switch f.Kind {
	case KindIntent, KindDenied:
		c.begin(f, texts, row)
		return
	case KindOutcome:
		c.end(f, texts)
	}
	if row != nil {
		c.r.problem("action %s refers to entry %d, which is not an intent", row.key, f.Seq)
	}
}

// begin takes an intent or a denial.
func (c *actionChecker) begin(f *leaf, texts []storedText, row *actionRow) {
	if f.Ref != nil {
		if key, ok := c.waiting[*f.Ref]; !ok || key != f.Action {
			c.r.problem("entry %d follows up entry %d, which is no earlier try of action %s", f.Seq, *f.Ref, f.Action)
		}
		delete(c.waiting, *f.Ref)
	}
	if row == nil {
		c.waiting[f.Seq] = f.Action
		return
	}
	c.r.Actions++
	if row.key != f.Action || row.turn != f.Turn || row.tool != f.Tool || row.class != f.Class || row.requester != f.Requester ||
		row.channel != f.Channel || row.call != f.Fields[FieldCall] || strconv.FormatInt(row.attempts, 10) != attempt(f) ||
		row.created > f.At || row.attempts == 1 && row.created != f.At || (row.state == "denied") != (f.Kind == KindDenied) {
		c.r.problem("action %s is not what entry %d recorded", row.key, f.Seq)
	}
	if f.Kind == KindIntent {
		c.open[f.Seq] = *row
		return
	}
	// What was denied has no result; "{}" is what erasing leaves.
	if row.outcome != -1 || row.ended != f.At || row.result != "" && row.result != "{}" || !c.same(f, texts, PayloadError, row.failure) {
		c.r.problem("action %s is not what entry %d recorded", row.key, f.Seq)
	}
}

func attempt(f *leaf) string {
	if a := f.Fields[FieldAttempt]; a != "" {
		return a
	}
	return "1"
}

// end takes an outcome.
func (c *actionChecker) end(f *leaf, texts []storedText) {
	if f.Ref == nil {
		c.r.problem("entry %d is an outcome of nothing", f.Seq)
		return
	}
	row, ok := c.open[*f.Ref]
	if !ok {
		// What was cancelled may be tried again, and then the row has moved on.
		if key, ok := c.waiting[*f.Ref]; !ok || key != f.Action || f.Outcome != "cancelled" {
			c.r.problem("entry %d is an outcome of entry %d, which is no open intent", f.Seq, *f.Ref)
		}
		return
	}
	delete(c.open, *f.Ref)
	if row.key != f.Action || row.outcome != f.Seq || row.state != f.Outcome || row.ended != f.At ||
		!c.same(f, texts, PayloadResult, row.result) || !c.same(f, texts, PayloadError, row.failure) {
		c.r.problem("action %s is not what its outcome, entry %d, recorded", row.key, f.Seq)
	}
}

// same compares a column with the text that was recorded under a name; an
// erased column, empty or an empty result, fits any.
func (c *actionChecker) same(f *leaf, texts []storedText, name, column string) bool {
	if column == "" || column == "{}" {
		return true
	}
	if slices.ContainsFunc(texts, func(t storedText) bool { return t.name == name && t.body == column }) {
		return true // its MAC was compared
	}
	return f.MACs[name] == c.seal.seal(c.workspace, name, column)
}

// finish reports what stayed open.
func (c *actionChecker) finish() {
	for seq, row := range c.open {
		if row.state == "intended" && row.outcome == -1 && row.ended == 0 && row.result == "" && row.failure == "" {
			c.r.Open++
			continue
		}
		c.r.problem("action %s is said to be %s, and its intent, entry %d, has no such outcome", row.key, row.state, seq)
	}
	for seq, key := range c.waiting {
		c.r.problem("the action of entry %d, %s, is missing", seq, key)
	}
}

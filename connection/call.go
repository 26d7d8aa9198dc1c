package connection

import (
	"context"
	"deskmate/connection/mcp"
	"deskmate/identity/ledger"
	"deskmate/identity/vault"
	"deskmate/migrations"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Call is one call of a tool.
type Call struct {
	Workspace string
	Tool      string // connection.tool
	Pin       string // of the tool as it was decided on
	Args      json.RawMessage
	Thread    string            // key of the thread that may read the whole result
	Key       string            // names the call for ever
	Progress  func(text string) // gets the system's words on how far it is; nil: nobody wants them
	Class     string            // as it was decided on
}

// Answer is what a call gave. Its text is the system's: information, never
// instructions.
type Answer struct {
	Text       string
	Whole      string // id of the whole result, where Text is not all of it
	Failed     bool   // the tool says that it failed
	Credential string // id of the credential that was used
	Version    int64  // and its version
	Upstream   string // id that the far side gave the request
}

// unsureError is a call that may have taken effect.
type unsureError struct{ err error }

func (e *unsureError) Error() string { return e.err.Error() }
func (e *unsureError) Unwrap() error { return e.err }

// Unsure reports that a call may or may not have taken effect. Any other error of
// Call means that nothing happened.
func Unsure(err error) bool {
	var u *unsureError
	return errors.As(err, &u)
}

// Unreachable reports that a system could not be reached or listed.
func Unreachable(err error) bool {
	var unsent *mcp.NotSentError
	return errors.As(err, &unsent)
}

// Call calls a tool of an active connection, as it was accepted. It asks nobody
// whether it may: that has been decided.
func (m *Manager) Call(ctx context.Context, call Call) (Answer, error) {
	name, tool, _ := strings.Cut(call.Tool, ".")
	c, err := m.Get(ctx, call.Workspace, name)
	if err != nil {
		return Answer{}, err
	}
	if err := c.usable(); err != nil {
		return Answer{}, err
	}
	l, err := m.using(ctx, c)
	if err != nil {
		return Answer{}, err
	}
	got, upstream, err := l.call(ctx, c, tool, call)
	var unsent *mcp.NotSentError
	var refused *mcp.AnswerError
	switch {
	case errors.As(err, &unsent), errors.As(err, &refused):
		return Answer{}, m.masked(ctx, c, err)
	case err != nil:
		return Answer{}, &unsureError{m.masked(ctx, c, err)}
	}
	a := Answer{Failed: got.Failed, Upstream: upstream}
	hide, err := m.secrets(ctx, c, &a)
	if err != nil {
		return Answer{}, &unsureError{err}
	}
	full := ledger.Mask(without(string(got.Full), hide))
	// A system's own secrets, and whatever else has their form: the model gets none.
	text := ledger.Mask(without(got.Text, hide))
	if len(text) <= mostText && !strings.Contains(text, "(an image, ") {
		a.Text = text
		return a, nil
	}
	if a.Whole, err = m.keep(ctx, call, []byte(full)); err != nil {
		return Answer{}, &unsureError{err}
	}
	a.Text = bounded(text, a.Whole)
	return a, nil
}

// masked is an error without the connection's secrets.
func (m *Manager) masked(ctx context.Context, c Connection, err error) error {
	hide, serr := m.secrets(ctx, c, &Answer{})
	text := ledger.Mask(without(err.Error(), hide))
	if serr != nil {
		text = "the call failed" // what cannot be checked is not shown
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// secrets are those that a connection uses, to be taken out of what it says.
func (m *Manager) secrets(ctx context.Context, c Connection, a *Answer) ([]string, error) {
	var out []string
	for _, name := range c.Spec.credentials() {
		used, err := m.Vault.Use(context.WithoutCancel(ctx), c.Workspace, c.Name+"/"+name, func(secret []byte) error {
			out = append(out, string(secret))
			return nil
		})
		var denied *vault.DeniedError
		if err != nil && !errors.As(err, &denied) {
			return nil, err
		}
		a.Credential, a.Version = used.Credential, used.Version
	}
	return out, nil
}

// Bounds of results.
const (
	mostText = 24 << 10 // bytes that a model gets of one result
	mostKept = 2 << 20  // bytes of a whole result that are kept beside
	keepFor  = 7 * 24 * time.Hour
)

// bounded is the beginning of a text, and where the rest is.
func bounded(text, whole string) string {
	if len(text) <= mostText {
		return text + fmt.Sprintf("\n(The whole result is kept as %s.)", whole)
	}
	head := strings.ToValidUTF8(text[:mostText], "")
	return head + fmt.Sprintf("\n(Cut: these are %d of %d bytes. The rest can be read with read_result, id %s, from %d.)", len(head), len(text), whole, len(head))
}

// keep keeps a whole result for the thread that asked for it.
func (m *Manager) keep(ctx context.Context, call Call, full []byte) (string, error) {
	if len(full) > mostKept {
		full = full[:mostKept]
	}
	id := migrations.NewID("r_")
	err := m.DB.Write(context.WithoutCancel(ctx), func(tx *migrations.Tx) error {
		_, err := tx.Exec(`INSERT INTO connection_results (workspace, id, thread, tool, body, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			call.Workspace, id, call.Thread, call.Tool, full, migrations.Micros(tx.Now()))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("keep the result of %s: %w", call.Tool, err)
	}
	return id, nil
}

// Whole reads on in a kept result, from a byte on, in the thread that asked for it.
// ErrNone: there is none for that thread.
func (m *Manager) Whole(ctx context.Context, workspace, thread, id string, from int) (text, tool string, total int, err error) {
	var body []byte
	err = m.DB.Read(ctx, func(tx *migrations.Tx) error {
		return tx.QueryRow(`SELECT tool, body FROM connection_results WHERE workspace = $1 AND id = $2 AND thread = $3`, workspace, id, thread).Scan(&tool, &body)
	})
	if err != nil {
		return "", "", 0, fmt.Errorf("read result %s: %w", id, none(err))
	}
	from = max(0, min(from, len(body)))
	return strings.ToValidUTF8(string(body[from:min(len(body), from+mostText)]), "�"), tool, len(body), nil
}

// sweep forgets results that are old.
func (m *Manager) sweep(ctx context.Context) error {
	return m.DB.Write(ctx, func(tx *migrations.Tx) error {
		_, err := tx.Exec(`DELETE FROM connection_results WHERE created_at < $1`, migrations.Micros(tx.Now().Add(-keepFor)))
		return err
	})
}

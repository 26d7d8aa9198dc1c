// Package identity decides and records: who the agent is, what it may do, and
// what it did.
//
// It promises that no effect happens without a committed intent, that no intent
// is written without a decision, that a decision which cannot be made is a no,
// and that an action with the same key takes effect at most once, across crashes
// and restarts. It must never let a second way out exist, never act when the
// ledger cannot be written, and never keep a secret in what it records.
package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"deskmate/migrations"
)

// Class says what a tool can do to the world. It is set by us or an admin, never
// taken from a server.
type Class string

// The classes, from harmless to grave.
const (
	ClassRead     Class = "read"
	ClassWrite    Class = "write"
	ClassExternal Class = "external" // leaves the organisation
)

// Action is one effect, or one read through a tool, before it happens.
type Action struct {
	Key           string // names the action for ever: the same key is the same action
	Workspace     string
	Turn          string
	Cause         string // Event key of the message or run behind it
	Requester     string // user id of the human who asked
	RequesterKind string // member, guest, outsider
	Channel       string // where the work happens
	ChannelKind   string // public, private, shared, im, mpim
	Thread        string
	Target        string // channel or person that it reaches; "" is Channel
	Tool          string
	Class         Class
	Args          json.RawMessage
}

// target is where the effect lands.
func (a Action) target() string {
	if a.Target != "" {
		return a.Target
	}
	return a.Channel
}

// Result is what an action gave. Text is for the model, Ref names what came to
// be on the far side, such as the ts of a post.
type Result struct {
	Text string          `json:"text,omitempty"`
	Ref  string          `json:"ref,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`
}

// Effect is how an action happens.
type Effect struct {
	// Do acts. An error means that nothing happened, unless it is Ambiguous or
	// the context's.
	Do func(ctx context.Context) (Result, error)
	// Find looks whether an earlier try, begun at since, took effect after all;
	// false means that it surely did not. Nil: nobody can tell.
	Find func(ctx context.Context, since time.Time) (Result, bool, error)
	// Commit changes state in the transaction of the outcome: exactly once, with
	// the result or the certain error. Nil: nothing to change.
	Commit func(tx *migrations.Tx, r Result, err error) error
}

var (
	// ErrSuspended means that the agent does nothing at present.
	ErrSuspended = errors.New("the agent is suspended")
	// ErrUnknownOutcome means that an action was begun and nobody can tell whether
	// it took effect. It is not repeated; a human has to look.
	ErrUnknownOutcome = errors.New("it is not known whether this took effect")
)

// DeniedError is a decision against an action.
type DeniedError struct {
	Tool    string
	Reasons []string // why, for people
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("%s is not allowed: %s", e.Tool, strings.Join(e.Reasons, "; "))
}

// FailedError is an action that certainly did not take effect.
type FailedError struct{ Err error }

func (e *FailedError) Error() string { return e.Err.Error() }
func (e *FailedError) Unwrap() error { return e.Err }

type ambiguousError struct{ err error }

func (e *ambiguousError) Error() string { return e.err.Error() }
func (e *ambiguousError) Unwrap() error { return e.err }

// Ambiguous marks an error of Effect.Do after which the effect may or may not
// have happened: a timeout, a broken connection, an answer that says nothing.
func Ambiguous(err error) error {
	if err == nil {
		return nil
	}
	return &ambiguousError{err}
}

func isAmbiguous(err error) bool {
	var a *ambiguousError
	return errors.As(err, &a) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// secretShapes are the forms of well-known credentials. What has such a form does
// not get into records, wherever it came from.
var secretShapes = regexp.MustCompile(`\b(?:xox[a-z]-|xapp-|xoxe\.)[A-Za-z0-9-]{6,}|\bsk-[A-Za-z0-9_-]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}|\bAKIA[0-9A-Z]{16}\b|(?i:\bbearer\s+)[A-Za-z0-9._~+/-]{16,}=*|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?`)

// Mask replaces what has the form of a credential in text.
func Mask(text string) string { return secretShapes.ReplaceAllString(text, "[secret]") }

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
	"strings"
	"time"

	"deskmate/identity/label"
	"deskmate/identity/ledger"
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
	Everyone      bool   // what it keeps is for the whole workspace, wherever it was said
	Tool          string
	Class         Class
	Args          json.RawMessage
	Others        []string    // user ids of everybody else whose words it follows from: they cannot approve it either
	Manners       bool        // the agent's own answers, status and progress: fixed words or the answer itself, where it works
	Connection    string      // system that the tool belongs to
	Host          string      // that a request goes to, "" for none
	Notice        bool        // fixed words of ours to the admins, which a suspension does not hold back
	Credential    string      // id of the credential that it will be done with, if any
	Pin           string      // hash of the tool's definition, where a server gives it
	Label         label.Label // of the text that it follows from
	Duty          string      // id of the duty that causes it
	Owner         bool        // the requester owns the duty that causes it
	Refuse        string      // why whoever makes the action knows that it must not be done; it is denied and recorded
	// Call and CallArgs are key and arguments of the whole call, where it is done by
	// several actions: an approval is for the call. Empty: Key and Args.
	Call     string
	CallArgs json.RawMessage
}

func (a Action) call() string {
	if a.Call != "" {
		return a.Call
	}
	return a.Key
}

func (a Action) args() json.RawMessage {
	if a.CallArgs != nil {
		return a.CallArgs
	}
	return a.Args
}

// check refuses an action that cannot be judged or recorded.
func (a Action) check() error {
	if a.Key == "" || a.Workspace == "" || a.Tool == "" {
		return fmt.Errorf("key, workspace and tool of action %q must not be empty", a.Key)
	}
	switch a.Class {
	case ClassRead, ClassWrite, ClassExternal:
		return nil
	default:
		return fmt.Errorf("class %q of tool %s is none", a.Class, a.Tool)
	}
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

	Label             label.Label `json:"label,omitzero"`               // of the text
	Credential        string      `json:"credential,omitempty"`         // id of the credential that it was done with
	CredentialVersion int64       `json:"credential_version,omitempty"` // and its version
	Upstream          string      `json:"upstream,omitempty"`           // id that the far side gave the request
}

// Effect is how an action happens.
type Effect struct {
	// Do acts. An error means that nothing happened, unless it is Ambiguous or
	// the context's.
	Do func(ctx context.Context) (Result, error)
	// Find looks whether an earlier try, begun at since, took effect after all;
	// false means that it surely did not. Its error means that this is not known
	// now, or, if it is ErrUnknownOutcome, never will be. Nil: nobody can tell.
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
	Final   bool     // the turn that asked for it is to end
	cause   error    // ErrSuspended, or nil
}

func (e *DeniedError) Unwrap() error { return e.cause }

func (e *DeniedError) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%v: %s", e.cause, strings.Join(e.Reasons, "; "))
	}
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

// unknownError is what Effect.Commit gets for an outcome that nobody can tell.
type unknownError struct{ why error }

func (e *unknownError) Error() string        { return ErrUnknownOutcome.Error() + ": " + e.why.Error() }
func (e *unknownError) Is(target error) bool { return target == ErrUnknownOutcome }

// Mask replaces what has the form of a credential in text, wherever it came from.
func Mask(text string) string { return ledger.Mask(text) }

package handlers

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"deskmate/bot"
	"deskmate/identity/ledger"
	"deskmate/identity/vault"
	"deskmate/migrations"
	"deskmate/scheduler"
)

// HookConnection is the connection under which the vault keeps the secrets of
// webhooks; each is named after its duty.
const HookConnection = "webhook"

// Headers of a call. Signature is "v1=" and the HMAC-SHA256 in hexadecimal of
// "TIMESTAMP.BODY"; several, of several secrets, are separated by commas.
const (
	HookTimestamp = "Deskmate-Timestamp" // seconds since 1970
	HookSignature = "Deskmate-Signature"
	// hookGitHub is GitHub's header: "sha256=" and the HMAC-SHA256 of the body.
	// Source: docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries.
	hookGitHub = "X-Hub-Signature-256"
)

// Bounds of a call.
const (
	mostHookBody = 256 << 10
	hookWindow   = 5 * time.Minute
	mostHookSums = 4
	mostRefusing = 1000 // duties whose refusals are counted at once
)

// HookCounts are the calls since the start.
type HookCounts struct{ Accepted, Known, Limited, Refused, Unknown atomic.Int64 }

// Webhooks takes calls of the URLs of duties: POST /hooks/{duty}.
type Webhooks struct {
	DB     *migrations.DB
	Duties *scheduler.Scheduler
	Vault  *vault.Vault
	Ledger *ledger.Ledger
	Logger zerolog.Logger
	Counts HookCounts

	mu      sync.Mutex
	refused map[string]*refusals // by duty
}

// refusals are what was refused of one duty in an hour.
type refusals struct {
	hour time.Time
	n    int64
}

// claim is what a call says proves that it is from whom it should be.
type claim struct {
	signed string // before the body
	sums   [][]byte
	github bool
}

// errClaim is a call without a proof that could hold; the text is for its sender.
type errClaim string

func (e errClaim) Error() string { return string(e) }

// dotted is how the text begins that the agent's own form signs. A body of GitHub's
// form that begins so would let a call of one form pass for the other.
var dotted = regexp.MustCompile(`^\d+\.`)

// claimOf reads the headers of a call. The error is an errClaim.
func claimOf(h http.Header, body []byte, now time.Time) (claim, error) {
	if text := h.Get(HookSignature); text != "" {
		stamp := h.Get(HookTimestamp)
		at, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil || stamp != strconv.FormatInt(at, 10) || at < 0 {
			return claim{}, errClaim(HookTimestamp + " must be seconds since 1970")
		}
		if off := now.Unix() - at; off > int64(hookWindow/time.Second) || off < -int64(hookWindow/time.Second) {
			return claim{}, errClaim("the timestamp is more than five minutes away from my clock")
		}
		c := claim{signed: stamp + "."}
		for _, part := range strings.Split(text, ",") {
			if sum := sumOf(strings.TrimSpace(part), "v1="); sum != nil && len(c.sums) < mostHookSums {
				c.sums = append(c.sums, sum)
			}
		}
		if c.sums == nil {
			return claim{}, errClaim(HookSignature + " must be v1= and 64 hexadecimal digits")
		}
		return c, nil
	}
	if text := h.Get(hookGitHub); text != "" {
		sum := sumOf(text, "sha256=")
		if sum == nil || dotted.Match(body) {
			return claim{}, errClaim(hookGitHub + " must be sha256= and 64 hexadecimal digits, over a body of JSON or a form")
		}
		return claim{sums: [][]byte{sum}, github: true}, nil
	}
	return claim{}, errClaim("sign the call: " + HookTimestamp + " and " + HookSignature + ", or " + hookGitHub)
}

func sumOf(text, prefix string) []byte {
	digits, ok := strings.CutPrefix(text, prefix)
	if !ok || len(digits) != 2*sha256.Size {
		return nil
	}
	sum, err := hex.DecodeString(digits)
	if err != nil {
		return nil
	}
	return sum
}

// fits reports whether a secret made one of the signatures. Each comparison takes
// as long whatever differs.
func (c claim) fits(secret, body []byte) bool {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(c.signed))
	mac.Write(body)
	want := mac.Sum(nil)
	ok := false
	for _, sum := range c.sums {
		ok = hmac.Equal(sum, want) || ok
	}
	return ok && len(secret) > 0
}

// request names a call by what was signed: sent again, also under another of
// several signatures, it is the same call.
func (c claim) request(body []byte) string {
	h := sha256.New()
	h.Write([]byte(c.signed))
	h.Write(body)
	kind := "hook:"
	if c.github {
		kind = "hook-github:"
	}
	return kind + hex.EncodeToString(h.Sum(nil))
}

// hookAnswer is what a caller reads.
type hookAnswer struct {
	Run   string `json:"run,omitempty"`
	Known bool   `json:"known,omitempty"` // the same call came before
	Error string `json:"error,omitempty"`
}

// ServeHTTP takes one call.
func (h *Webhooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d, err := h.Duties.Get(r.Context(), r.PathValue("duty"))
	if errors.Is(err, scheduler.ErrNoDuty) || err == nil && d.Kind != scheduler.KindWebhook {
		h.Counts.Unknown.Add(1)
		hookSays(w, http.StatusNotFound, hookAnswer{Error: "there is no such hook"})
		return
	}
	if err != nil {
		h.fail(w, err)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostHookBody))
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		hookSays(w, http.StatusRequestEntityTooLarge, hookAnswer{Error: fmt.Sprintf("a call may have %d bytes", mostHookBody)})
		return
	}
	if err != nil {
		hookSays(w, http.StatusBadRequest, hookAnswer{Error: "the call could not be read"})
		return
	}
	c, err := claimOf(r.Header, body, h.DB.Now())
	if err != nil {
		h.refuse(w, r, d, err.Error())
		return
	}
	_, ok, err := h.Vault.Match(r.Context(), d.Workspace, HookConnection+"/"+d.ID, func(secret []byte) bool { return c.fits(secret, body) })
	if err != nil {
		h.fail(w, err)
		return
	}
	if !ok {
		h.refuse(w, r, d, "the signature does not fit")
		return
	}
	h.take(w, r, d, c.request(body), body)
}

// take sets the duty off by a call that is from whom it should be.
func (h *Webhooks) take(w http.ResponseWriter, r *http.Request, d scheduler.Duty, request string, body []byte) {
	var run string
	var known, paused bool
	var again time.Time
	err := h.DB.Write(r.Context(), func(tx *migrations.Tx) error {
		known, paused, again = false, false, time.Time{}
		var err error
		if run, known, err = h.Duties.RunOf(tx, d.ID, request); err != nil || known {
			return err
		}
		if d, err = h.Duties.GetTx(tx, d.ID); err != nil {
			return err
		}
		if paused = d.State != scheduler.StateActive; paused {
			return nil
		}
		if again, err = h.Duties.Room(tx, d); err != nil || !again.IsZero() {
			return err
		}
		text, err := bot.HookCause(d.ID, body, tx.Now()).JSON()
		if err != nil {
			return err
		}
		if err := h.Duties.SetOff(tx, d, request, text); err != nil {
			return err
		}
		run, _, err = h.Duties.RunOf(tx, d.ID, request)
		return err
	})
	switch {
	case errors.Is(err, scheduler.ErrNoDuty):
		hookSays(w, http.StatusNotFound, hookAnswer{Error: "there is no such hook"})
	case err != nil:
		h.fail(w, err)
	case known:
		h.Counts.Known.Add(1)
		hookSays(w, http.StatusAccepted, hookAnswer{Run: run, Known: true})
	case paused:
		hookSays(w, http.StatusConflict, hookAnswer{Error: "the duty is " + d.State + ": its owner can resume it"})
	case !again.IsZero():
		h.Counts.Limited.Add(1)
		wait := max(int64(again.Sub(h.DB.Now())/time.Second)+1, 1)
		w.Header().Set("Retry-After", strconv.FormatInt(wait, 10))
		hookSays(w, http.StatusTooManyRequests, hookAnswer{Error: fmt.Sprintf("this hook may be called %d times an hour", d.Rate())})
	default:
		h.Counts.Accepted.Add(1)
		hookSays(w, http.StatusAccepted, hookAnswer{Run: run})
	}
}

// refuse answers a call that proves nothing. The ledger has the first of each hour,
// and then the tenth, the hundredth and so on: nobody can fill it by calling.
func (h *Webhooks) refuse(w http.ResponseWriter, r *http.Request, d scheduler.Duty, why string) {
	h.Counts.Refused.Add(1)
	n, before := h.count(d.ID, h.DB.Now())
	if isPowerOfTen(n) {
		fields := map[string]string{"duty": d.ID, "refused": strconv.FormatInt(n, 10)}
		if before > 0 {
			fields["hour_before"] = strconv.FormatInt(before, 10)
		}
		err := h.DB.Write(context.WithoutCancel(r.Context()), func(tx *migrations.Tx) error {
			_, err := h.Ledger.Append(tx, ledger.Record{Workspace: d.Workspace, Kind: "webhook.refused", Actor: "system", Requester: d.Owner, Channel: d.Channel, Fields: fields, Payload: map[string]string{"reason": why}})
			return err
		})
		if err != nil {
			h.Logger.Error().Err(err).Str("duty", d.ID).Msg("refused call not recorded")
		}
	}
	hookSays(w, http.StatusUnauthorized, hookAnswer{Error: why})
}

// count adds a refusal of this hour, and gives those of the hour that ended with it.
func (h *Webhooks) count(duty string, now time.Time) (n, before int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.refused) >= mostRefusing || h.refused == nil {
		h.refused = map[string]*refusals{}
	}
	x := h.refused[duty]
	hour := now.Truncate(time.Hour)
	if x == nil || !x.hour.Equal(hour) {
		if x != nil {
			before = x.n
		}
		x = &refusals{hour: hour}
		h.refused[duty] = x
	}
	x.n++
	return x.n, before
}

func isPowerOfTen(n int64) bool {
	for n >= 10 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}

func (h *Webhooks) fail(w http.ResponseWriter, err error) {
	h.Logger.Error().Err(err).Msg("call of a hook not taken")
	hookSays(w, http.StatusInternalServerError, hookAnswer{Error: "that could not be kept: call again later"})
}

func hookSays(w http.ResponseWriter, status int, a hookAnswer) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(a) // a caller that has gone needs no answer
}

package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/slack-go/slack"

	"deskmate/identity"
	"deskmate/identity/label"
	"deskmate/memory"
	"deskmate/migrations"
)

// Files reads the text of files that came with messages, through the gate and with
// the agent's own token.
type Files struct {
	DB     *migrations.DB
	Memory *memory.Memory
	API    *API
	Gate   *identity.Gate
	People *Directory
}

// Read reads files of one message, or with ts "" of any, and keeps their text; it
// gives how many it looked at. What Slack or the gate refuses stays a name.
func (f *Files) Read(ctx context.Context, workspace, channel, ts string, limit int) (int, error) {
	wanted, err := f.Memory.WantedFiles(ctx, workspace, channel, ts, limit)
	if err != nil {
		return 0, err
	}
	for _, w := range wanted {
		if err := f.read(ctx, w); err != nil {
			return 0, fmt.Errorf("read file %s: %w", w.ID, err)
		}
	}
	return len(wanted), nil
}

func (f *Files) read(ctx context.Context, w memory.WantedFile) error {
	kind, err := f.People.ChannelKind(ctx, w.Workspace, w.Channel)
	if isRefusal(err) {
		kind = ChannelPrivate
	} else if err != nil {
		return err
	}
	who, err := f.People.RequesterKind(ctx, w.Workspace, w.Author, "")
	if err != nil {
		return err
	}
	args, err := json.Marshal(map[string]string{"file": w.ID, "name": w.Name})
	if err != nil {
		return fmt.Errorf("encode file: %w", err)
	}
	said := ""
	// The text is kept by memory alone, where forgetting finds it.
	_, err = f.Gate.Do(ctx, identity.Action{
		Key: "file:" + w.Channel + ":" + w.TS + ":" + w.ID, Workspace: w.Workspace, Cause: MessageKey(w.Channel, w.TS), Requester: w.Author, RequesterKind: who,
		Channel: w.Channel, ChannelKind: kind, Tool: ToolReadFile, Connection: ConnectionSlack, Class: identity.ClassRead, Args: args, Manners: true,
		Label: label.Of(w.Channel, kind),
	}, identity.Effect{Do: func(ctx context.Context) (identity.Result, error) {
		var err error
		said, err = f.API.file(ctx, w.URL)
		return identity.Result{Ref: w.ID, Text: fmt.Sprintf("%d bytes", len(said))}, err
	}})
	var denied *identity.DeniedError
	var failed *identity.FailedError
	if errors.Is(err, identity.ErrSuspended) || err != nil && !errors.As(err, &denied) && !errors.As(err, &failed) {
		return err
	}
	err = f.DB.Write(ctx, func(tx *migrations.Tx) error { return f.Memory.FileRead(tx, w, said) })
	if errors.Is(err, memory.ErrNotFound) {
		return nil // the message is gone
	}
	return err
}

// file reads the content of a file. The token goes to Slack and nowhere else.
func (a *API) file(ctx context.Context, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || !a.holdsFiles(u) {
		return "", errors.New("the file is not at an address of Slack's")
	}
	text := ""
	err = a.patient(ctx, "files.download", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return fmt.Errorf("make request: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+a.token)
		plain := *a.http
		plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		resp, err := plain.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		switch {
		case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
			return slack.StatusCodeError{Code: resp.StatusCode, Status: resp.Status}
		case resp.StatusCode != http.StatusOK: // Slack redirects to its sign-in page where the token may not
			return slack.SlackErrorResponse{Err: "file_not_found"}
		}
		b, err := io.ReadAll(io.LimitReader(resp.Body, memory.MaxFile+1))
		if len(b) > memory.MaxFile {
			return slack.SlackErrorResponse{Err: "file_too_large"}
		}
		text = string(b)
		return err
	})
	return text, err
}

// holdsFiles reports whether an address is of Slack's files, or of the server that
// stands for Slack.
func (a *API) holdsFiles(u *url.URL) bool {
	if base, err := url.Parse(a.base); err == nil && u.Scheme == base.Scheme && u.Host == base.Host {
		return true
	}
	return u.Scheme == "https" && u.User == nil && (u.Port() == "" || u.Port() == "443") && (u.Hostname() == "slack.com" || strings.HasSuffix(u.Hostname(), ".slack.com"))
}

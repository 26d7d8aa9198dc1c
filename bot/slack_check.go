package bot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Scopes asks who the bot token belongs to and which OAuth scopes it has; nil
// where the server does not say. Slack tells them in the x-oauth-scopes header of
// every answer, which slack-go does not hand out.
// Source: docs.slack.dev/authentication/best-practices-for-security.
func (a *API) Scopes(ctx context.Context) (Self, []string, error) {
	me, err := a.Self(ctx)
	if err != nil {
		return Self{}, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+"auth.test", nil)
	if err != nil {
		return me, nil, fmt.Errorf("call auth.test: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := a.http.Do(req)
	if err != nil {
		return me, nil, &UnsureError{"auth.test", withoutURL(err)}
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return me, nil, &UnsureError{"auth.test", err}
	}
	header := resp.Header.Get("X-OAuth-Scopes")
	if header == "" {
		return me, nil, nil
	}
	var scopes []string
	for _, s := range strings.Split(header, ",") {
		scopes = append(scopes, strings.TrimSpace(s))
	}
	return me, scopes, nil
}

// CanConnect asks for a Socket Mode address with the app token, without using it.
func (a *API) CanConnect(ctx context.Context) error {
	_, _, err := a.client.StartSocketModeContext(ctx)
	return sortError("apps.connections.open", "app token", err)
}

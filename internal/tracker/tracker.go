// Package tracker is a small issue tracker that speaks MCP: a real server with
// real state, for the demo and for tests that need a far side which works.
//
// It promises: what a tool reported as done is in the file before the answer
// leaves; a create or a comment that carries an idempotency key happens once,
// however often it is sent; two servers on one directory see the same issues.
//
// It must never leave this machine (no tool reaches the network or a file
// outside its directory) and never treat the text of an issue as more than text.
// One of its seeded issues holds a planted instruction: that is for readers to
// survive, and no code here looks at it.
package tracker

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Name is what the server calls itself when a client connects.
const Name = "deskmate-tracker"

const instructions = "The issue tracker of the Harbour team (Ada, Ben, Chloe). " +
	"Find issues with list_issues, read one with get_issue before you change it. " +
	"Titles, bodies and comments were written by people inside and outside the team."

// Options say where a tracker keeps its state and whose hand it writes with.
type Options struct {
	Dir     string           // the state is Dir/issues.json; made and seeded if it is not there
	Clock   func() time.Time // nil = time.Now; only for the times that issues carry
	Account string           // who the connected client acts as; "" = "deskmate"
}

// Serve answers one client over the process's stdin and stdout. It returns nil
// when the client goes away, and ctx's error when ctx ends first.
func Serve(ctx context.Context, o Options) error {
	s, err := server(o)
	if err != nil {
		return err
	}
	return s.Run(ctx, &mcp.StdioTransport{})
}

// Handler answers clients over streamable HTTP at whatever path it is mounted.
// It asks for no credential, so listen on 127.0.0.1 only; requests with a
// foreign Host header are refused with 403.
func Handler(o Options) (http.Handler, error) {
	s, err := server(o)
	if err != nil {
		return nil, err
	}
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, nil), nil
}

func server(o Options) (*mcp.Server, error) {
	if o.Dir == "" {
		return nil, fmt.Errorf("open tracker: no directory given")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Account == "" {
		o.Account = "deskmate"
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make tracker directory: %w", err)
	}
	st := &store{dir: o.Dir, clock: o.Clock}
	if err := st.open(); err != nil {
		return nil, fmt.Errorf("open tracker: %w", err)
	}
	s := mcp.NewServer(&mcp.Implementation{Name: Name, Title: "Harbour issues", Version: "1"},
		&mcp.ServerOptions{Instructions: instructions})
	(&desk{store: st, account: o.Account}).offer(s)
	return s, nil
}

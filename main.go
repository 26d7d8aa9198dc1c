// Command deskmate is an AI teammate for Slack with an account, keys and a
// ledger of its own. See README.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"deskmate/internal/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := app.Main(ctx, os.Args[1:], app.OSStreams())
	stop()
	os.Exit(code)
}

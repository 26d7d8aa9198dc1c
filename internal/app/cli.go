// Package app wires the product from its configuration: the serve and demo
// processes and every command that works on a store.
//
// It promises that a wrong setting is refused by name before anything starts,
// and that every command ends with an exit code that tells the truth: 0 for
// done, 1 for a failure, 2 for a wrong call. It must never print a secret.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// Version is set by the linker.
var Version = "unversioned"

// Streams are a command's standard streams and environment.
type Streams struct {
	In     io.Reader
	Out    io.Writer
	Errors io.Writer
	Getenv func(string) string
}

// OSStreams are those of the process.
func OSStreams() Streams {
	return Streams{In: os.Stdin, Out: os.Stdout, Errors: os.Stderr, Getenv: os.Getenv}
}

// cli is the command line: one field a command.
type cli struct {
	Demo       demoCommand       `cmd:"" help:"A Slack workspace on this machine with the agent in it: plays a story, then stays for you to use."`
	Serve      serveCommand      `cmd:"" help:"Run the agent in a real workspace."`
	Workspace  workspaceCommand  `cmd:"" help:"The Slack emulator alone, for any Slack client."`
	Doctor     doctorCommand     `cmd:"" help:"Look at a store and say what is well and what is not."`
	Access     accessCommand     `cmd:"" help:"See, grant, revoke and explain what the agent may do; as a file too."`
	Audit      auditCommand      `cmd:"" help:"Read and verify the ledger."`
	Duty       dutyCommand       `cmd:"" help:"List and steer duties."`
	Handoff    handoffCommand    `cmd:"" help:"See who hands what to whom, offer work to somebody else, and list what nobody owns."`
	Memory     memoryCommand     `cmd:"" help:"List, search, export and forget what the agent knows."`
	Monitor    monitorCommand    `cmd:"" help:"What the monitor noticed, its thresholds, and what other thresholds would have noticed."`
	Agent      agentCommand      `cmd:"" help:"Show, suspend and resume the agent."`
	Approval   approvalCommand   `cmd:"" help:"List, show and deny what waits for a human's decision."`
	Credential credentialCommand `cmd:"" help:"Give the agent secrets of its own, rotate and revoke them; they are never shown."`
	Connection connectionCommand `cmd:"" help:"Connect systems that the agent can reach, and accept their tools."`
	Budget     budgetCommand     `cmd:"" help:"What may be used in a day or month: calls, tokens, money."`
	Tracker    trackerCommand    `cmd:"" hidden:"" help:"The demo's issue tracker: an MCP server over standard input and output."`
	Eval       evalCommand       `cmd:"" help:"Measure how well memory finds."`
	Backup     backupCommand     `cmd:"" help:"Copy the store to a file, while it is in use."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
}

// run is what commands get: context, streams and the flags they share.
type run struct {
	context.Context
	Streams
}

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	var c cli
	code := -1
	parser, err := kong.New(&c,
		kong.Name("deskmate"),
		kong.Description("An AI teammate for Slack with an account, keys and a ledger of its own."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(s.Out, s.Errors),
		kong.Exit(func(n int) { code = n }),
		kong.Vars{"settings": settingsHelp()},
	)
	if err != nil {
		fmt.Fprintln(s.Errors, "deskmate: build command line:", err)
		return 2
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if code >= 0 { // --help has been printed
		return code
	}
	if err != nil {
		fmt.Fprintf(s.Errors, "deskmate: %v\nTry: deskmate --help\n", err)
		return 2
	}
	if err := k.Run(&run{ctx, s}); err != nil {
		var exit exitError
		if errors.As(err, &exit) {
			return int(exit)
		}
		fmt.Fprintln(s.Errors, "deskmate:", err)
		var config *ConfigError
		if errors.As(err, &config) {
			return 2
		}
		return 1
	}
	return 0
}

// exitError ends a command that has already said why.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// settingsFlags are the settings as flags, shared by the commands that take them.
// The values stay text here; LoadConfig knows their meaning and their source.
type settingsFlags struct {
	Config string            `help:"Config file (YAML). Environment: DESKMATE_CONFIG." placeholder:"FILE"`
	Set    map[string]string `help:"A setting by name, as in --set model=NAME; see 'deskmate serve --help' for all of them." placeholder:"NAME=VALUE" mapsep:"none"`
	DB     string            `name:"database-url" help:"Where everything is kept. Environment: DESKMATE_DATABASE_URL. Default: sqlite:deskmate.db" placeholder:"sqlite:PATH"`
	Key    string            `name:"key-file" help:"Master key. Environment: DESKMATE_KEY_FILE. Default: beside the database" placeholder:"FILE"`
}

func (f settingsFlags) load(r *run) (Config, error) {
	flags := map[string]string{}
	for k, v := range f.Set {
		flags[strings.ReplaceAll(k, "-", "_")] = v
	}
	for name := range flags {
		if !isSetting(name) {
			return Config{}, &ConfigError{[]string{fmt.Sprintf("%s (from flag --set): there is no such setting%s", name, nearest(name))}}
		}
	}
	if f.DB != "" {
		flags["database_url"] = f.DB
	}
	if f.Key != "" {
		flags["key_file"] = f.Key
	}
	path := f.Config
	if path == "" {
		path = r.Getenv("DESKMATE_CONFIG")
	}
	return LoadConfig(flags, r.Getenv, path)
}

func isSetting(name string) bool {
	for _, s := range settings {
		if s.name == name {
			return true
		}
	}
	return false
}

// settingsHelp is the list of settings for help texts.
func settingsHelp() string {
	var b strings.Builder
	b.WriteString("Settings, by --set NAME=VALUE, environment or config file:\n")
	for _, s := range settings {
		fmt.Fprintf(&b, "\n  %-16s %-24s %s", s.name, s.env, s.help)
		if s.fallback != "" {
			fmt.Fprintf(&b, " (default %s)", s.fallback)
		}
	}
	return b.String()
}

type versionCommand struct{}

func (versionCommand) Run(r *run) error {
	fmt.Fprintln(r.Out, "deskmate", Version)
	return nil
}

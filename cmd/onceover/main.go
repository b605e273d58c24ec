// Command onceover finds out what is inside the container images that lie on
// a host, and what is wrong with it.
//
// Every subcommand keeps to the same rules. Results go to standard output;
// everything else goes to standard error, prefixed with "onceover: ", in lower
// case and without a full stop. Exit codes are listed in --help and in
// docs/configuration.md. A flag overrides its environment variable, which
// overrides the configuration file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/export"
	"github.com/onceover/onceover/internal/pace"
	"github.com/onceover/onceover/internal/sandbox"
	"github.com/onceover/onceover/internal/scan"
	"github.com/onceover/onceover/internal/vex"
)

// Exit codes. --exit-code chooses one more.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// cli is the whole command line.
type cli struct {
	Config string `help:"Read settings from FILE. Without this, ${config_file} is read if it is there." placeholder:"FILE" type:"path" env:"ONCEOVER_CONFIG"`

	Server     serverCmd     `cmd:"" help:"Serve the API and the agents of a fleet, with an agent for this host."`
	Agent      agentCmd      `cmd:"" help:"Run the agent of this host for a server."`
	Enroll     enrollKeyCmd  `cmd:"" name:"enroll-key" help:"Make a key with which agents of further hosts enrol."`
	Project    projectCmd    `cmd:"" help:"Make and list projects."`
	Enterprise enterpriseCmd `cmd:"" name:"enterprise-project" help:"Make, list and rename enterprise projects."`
	User       userCmd       `cmd:"" help:"Make users and say what they may do."`
	Key        keyCmd        `cmd:"" help:"Make, rotate and close access keys of users."`
	Audit      auditCmd      `cmd:"" help:"Show who did what, and what was refused."`
	Scan       scanCmd       `cmd:"" help:"Scan images of this host or image files, without a server."`
	Explain    explainCmd    `cmd:"" help:"Tell why an image has a finding, or why it has none."`
	DB         dbCmd         `cmd:"" name:"db" help:"Build, update and inspect the advisory database."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

const description = `Onceover finds out what is inside the container images on your hosts, and what is wrong with it.

Exit codes: 0 if all went well, 1 if something failed, 2 if the command line or the configuration is wrong, N as chosen by --exit-code if findings remain.

Examples:

  onceover scan nginx:1.25
  onceover scan --all --format json --output report.json
  onceover db update
  onceover server`

// streams are where commands read and write.
type streams struct {
	Out io.Writer
	Err io.Writer
}

// notice tells the user something that is not a result.
func (s streams) notice(format string, args ...any) {
	fmt.Fprintf(s.Err, "onceover: "+format+"\n", args...)
}

// usageError is a mistake in how the program was called.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode is an exit code that is no error: nothing is printed.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func main() {
	if sandbox.IsChild(os.Args) {
		os.Exit(scan.Child(makeSet)) // before anything else: it costs every layer
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without its process.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	std := streams{stdout, stderr}
	slog.SetDefault(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))

	var c cli
	exited, code := false, 0
	parser, err := newParser(&c, std,
		kong.Exit(func(n int) { exited, code = true, n }),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		std.notice("%v", err)
		return exitError
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if exited { // --help
		return code
	}
	if err != nil {
		std.notice("%v", err)
		std.notice("'onceover %s--help' tells more", commandPrefix(err))
		return exitUsage
	}
	return std.finish(kctx.Run(ctx, std))
}

func newParser(c *cli, std streams, more ...kong.Option) (*kong.Kong, error) {
	return kong.New(c, append(more,
		kong.Name("onceover"),
		kong.Description(description),
		kong.Writers(std.Out, std.Err),
		kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.Vars{
			"config_file":   defaultConfigFile,
			"database_file": databaseFile(),
			"ignore_file":   vex.RulesFile,
			"advisory_url":  advisory.DefaultURL,
			"feeds":         feedNames(),
			"cpu_percent":   strconv.Itoa(pace.DefaultCPUPercent),
			"served_path":   advisory.ServedPath,
			"db_keep":       strconv.Itoa(advisory.DefaultKeep),
			"memory":        fmt.Sprintf("%dMB", pace.DefaultMemory>>20),
		},
		kong.Bind(std),
	)...)
}

// finish prints err and turns it into an exit code.
func (s streams) finish(err error) int {
	var code exitCode
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		s.notice("%s", export.Printable(err.Error()))
		return exitUsage
	case errors.Is(err, context.Canceled):
		s.notice("interrupted")
		return exitError
	default:
		s.notice("%s", export.Printable(err.Error()))
		return exitError
	}
}

// commandPrefix is the command that a usage error is about, with a space; ""
// if it is about none.
func commandPrefix(err error) string {
	var parse *kong.ParseError
	if !errors.As(err, &parse) || parse.Context == nil {
		return ""
	}
	prefix := ""
	for n := parse.Context.Selected(); n != nil && n.Type == kong.CommandNode; n = n.Parent {
		prefix = n.Name + " " + prefix
	}
	return prefix
}

// BeforeResolve reads the configuration file.
func (c *cli) BeforeResolve(ctx *kong.Context) error {
	for _, f := range ctx.Model.Flags {
		if f.Name == "config" {
			path, _ := ctx.FlagValue(f).(string)
			settings, err := loadSettings(path)
			if err != nil {
				return err
			}
			ctx.AddResolver(settings)
		}
	}
	return nil
}

// versionCmd prints what was built.
type versionCmd struct {
	Verbose bool `help:"Say also what the sandbox for layers can do on this system."`
}

// Run prints the version.
func (c versionCmd) Run(ctx context.Context, std streams) error {
	_, err := fmt.Fprintf(std.Out, "onceover %s (%s, %s/%s)\n", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if err != nil || !c.Verbose {
		return err
	}
	return printSandbox(ctx, std.Out)
}

// version is set by the linker: see the Makefile.
var version string

// programVersion is what the linker was told, or else what the Go command
// stamped into the program: the version of the module, or one made from the
// commit it was built from.
func programVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// Command candor is a mail server whose transport security is never ambiguous.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is the command line. Every command takes --config anywhere after its name.
type cli struct {
	Config string `help:"Configuration file." default:"/etc/candor/candor.toml" placeholder:"FILE"`
	JSON   bool   `help:"Print JSON: lists one object a line, reports one object."`

	Version kong.VersionFlag `help:"Print the version."`

	Quickstart quickstartCmd `cmd:"" help:"Make a configuration, keys, a self-signed certificate and the store."`
	Serve      serveCmd      `cmd:"" help:"Run the server in the foreground."`
	Demo       demoCmd       `cmd:"" help:"Show everything on loopback: two accounts, a message sent and read back."`
	Reload     reloadCmd     `cmd:"" help:"Make the running server read its configuration and certificates again."`
	Status     statusCmd     `cmd:"" help:"Show the listeners with their security states, the queue and the accounts."`
	Listener   listenerCmd   `cmd:"" help:"List listeners with their last logins; close those that nobody uses."`
	Account    accountCmd    `cmd:"" help:"Add, list and remove accounts; set passwords."`
	Domain     domainCmd     `cmd:"" help:"Add, list and remove domains."`
	Alias      aliasCmd      `cmd:"" help:"Add, list and remove aliases."`
	Auth       authCmd       `cmd:"" help:"Logins: by what, by whom."`
	Queue      queueCmd      `cmd:"" help:"Look at the queue; retry or remove what waits in it."`
	Message    messageCmd    `cmd:"" help:"Say how a message travelled."`
	Verify     verifyCmd     `cmd:"" help:"Check every row and message of the store. Exit code 1: there is something to mend; 2: it could not be checked."`
	Repair     repairCmd     `cmd:"" help:"Mend what verify finds, in the store of a server that does not run. Exit code 1: something is left; 2: it could not be done."`
	Backup     backupCmd     `cmd:"" help:"Add a point in time to a backup repository, while the server runs or not; list, check and remove points."`
	Restore    restoreCmd    `cmd:"" help:"Restore a point of a backup repository into an empty folder."`
	Import     importCmd     `cmd:"" help:"Take over mail from a Maildir or from mboxes."`
	Export     exportCmd     `cmd:"" help:"Write an account's mail as a Maildir or as mboxes."`
	Clients    clientsCmd    `cmd:"" help:"List programs with a wrong setting, whose they may be, and what to tell their users."`
	TLS        tlsCmd        `cmd:"" name:"tls" help:"Explain transport states."`
}

// The exit codes: 0 done, 1 failed, 2 the command line was not understood; of verify and repair: 0 clean, 1 something to mend, 2
// could not be done.
const (
	exitFailed = 1
	exitUsage  = 2
	exitNotRun = 2
)

// exitError is an error with an exit code of its own.
type exitError struct {
	error
	code int
}

// notRun is the failure of a command whose exit code 1 means something else.
func notRun(err error) error { return exitError{err, exitNotRun} }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// stdio is what a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	var c cli
	exited := -1
	k, err := newParser(&c, kong.Writers(out, errOut), kong.Exit(func(code int) { exited = code })).Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		fmt.Fprintf(errOut, "candor: %v; try 'candor --help'\n", err)
		return exitUsage
	}
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(&c, &stdio{in, out, errOut}); err != nil {
		fmt.Fprintf(errOut, "candor: %v\n", err)
		if e := (exitError{}); errors.As(err, &e) {
			return e.code
		}
		return exitFailed
	}
	return 0
}

func newParser(c *cli, o ...kong.Option) *kong.Kong {
	parser, err := kong.New(c, append(o, kong.Name("candor"), kong.Vars{"version": versionText()}, kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Description("A mail server whose transport security is never ambiguous."))...)
	if err != nil {
		panic(err) // a wrong struct tag above
	}
	return parser
}

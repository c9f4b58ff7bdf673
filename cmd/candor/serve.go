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
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"candor/internal/server/listen"
	"candor/internal/server/web"
	"candor/internal/store/kv"
)

type serveCmd struct{}

// Run serves until it is told to end; "ready" on a line of its own says that every listener accepts.
func (*serveCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	conf, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	return serve(ctx, conf, serveOptions{log: std.err, ready: func() { fmt.Fprintln(std.err, "ready") }, confine: confine})
}

// ballast counts for the garbage collector, but takes no memory, since nobody touches it. Most of what
// the store holds is out of the collector's sight; with the few megabytes that it sees, it would run
// thirty times a second under load.
const ballast = 16 << 20

// serveOptions are what a server does besides serving.
type serveOptions struct {
	log     io.Writer
	ready   func()                         // called once every listener accepts
	confine func(*config) (sandbox, error) // confines the process; nil: it is not the server's own
}

// serve builds every part, joins them, and runs until ctx ends. What it has opened it closes, in
// the reverse order.
func serve(ctx context.Context, c *config, o serveOptions) (err error) {
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may end before the server
	hangups := catchHangups()
	second, release := catchSecond()
	defer release()
	lines := newLogWriter(o.log)
	defer lines.Close()
	log := newLog(lines)
	defer runtime.KeepAlive(make([]byte, ballast))
	c.limits.limitMemory()
	p, err := openServing(ctx, c, log)
	if err != nil {
		return unlessTold(ctx, err)
	}
	defer whenStuck(p.db, c.limits.drain+stuckPatience, func() {
		log.Error("the server is ended by force: the failed store answers nobody")
		lines.Close()
		os.Exit(exitFailed)
	})()
	defer func() { err = errors.Join(err, p.Close()) }()
	ctx, stop := whileSound(ctx, p.db)
	defer stop()
	files := activation.Files(true)
	r, err := openRunning(c, p, files, log)
	if err != nil {
		return err
	}
	defer r.close()
	for _, w := range r.warnings {
		log.Warn(w)
	}
	p.logExceptions(c, log)
	if err := p.queue.Recover(ctx); err != nil {
		return fmt.Errorf("delivering what was waiting: %w", err)
	}
	if o.confine != nil {
		if r.sandbox, err = o.confine(c); err != nil {
			return err
		}
	}
	p.queue.Start()
	defer r.reloadOn(hangups)()
	defer r.staple()()
	defer r.watchdog()()
	defer r.watchAlarms()()
	log.Info("serving", "hostname", c.hostname, "listeners", len(c.Listeners), "data", c.Data)
	err = r.serve(ctx, second, func() {
		r.notifyServing()
		o.ready()
	})
	log.Info("ended")
	return errors.Join(err, p.db.Err())
}

// unlessTold returns err, or nil when it says only that ctx has ended: who is told to end while it starts has not failed.
func unlessTold(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// failing is a store that may fail.
type failing interface{ Failed() <-chan struct{} }

// whileSound returns a context that ends when the store fails as well: the server then drains and ends with an error,
// so that a service manager starts it again.
func whileSound(ctx context.Context, store failing) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-store.Failed():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// stuckPatience is what closing the parts may take beyond the drain time.
const stuckPatience = 20 * time.Second

// whenStuck calls exit when the store has failed so long ago, unless the function that it returns has been called:
// whoever was in the middle of a commit may never come back then, and what waits for it would neither.
func whenStuck(store failing, after time.Duration, exit func()) (ended func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-store.Failed():
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(after):
			exit()
		case <-ctx.Done():
		}
	}()
	return cancel
}

// openServing opens the parts for a server. While a command has the store it waits; another server is an error
// at once.
func openServing(ctx context.Context, c *config, log *slog.Logger) (*parts, error) {
	for end := time.Now().Add(lockPatience); ; {
		p, err := openParts(ctx, c, log)
		if !errors.Is(err, kv.ErrLocked) || time.Now().After(end) {
			return p, err
		}
		if other, dialErr := web.Dial(ctx, c.socket()); dialErr == nil {
			return nil, errors.Join(err, other.Close())
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// warnings are settings that are accepted without the effect that one could expect.
func (c *config) warnings() []string {
	var w []string
	if c.DNS.TrustAnchors != "" || c.DNS.RootHints != "" {
		w = append(w, "[dns] trust_anchors and root_hints have no effect yet: no answer is validated, every one counts as unsigned")
	}
	return w
}

// sources are the numbers of every part.
func (p *parts) sources(doors *listen.Server, certificates *listen.Certificates) []web.Source {
	return []web.Source{
		{Part: "store", Stats: func() any { return p.db.Stats() }},
		{Part: "mailbox", Stats: func() any { return p.mailboxes.Stats() }},
		{Part: "directory", Stats: func() any { return p.directory.Stats() }},
		{Part: "queue", Stats: func() any { return p.queue.Stats() }},
		{Part: "deliver", Stats: func() any { return p.local.Stats() }},
		{Part: "relay", Stats: func() any { return p.remote.Stats() }},
		{Part: "dns", Stats: func() any { return p.dns.Stats() }},
		{Part: "listener", Stats: func() any { return doors.Stats() }},
		{Part: "certificate", Stats: func() any { return certificates.Stats() }},
		{Part: "memory", Stats: func() any { return p.memory.Stats() }},
		{Part: "smtp", Stats: func() any { return p.smtp.Stats() }},
		{Part: "imap", Stats: func() any { return p.imap.Stats() }},
		{Part: "pop3", Stats: func() any { return p.pop3.Stats() }},
		{Part: "alarm", Stats: func() any { return p.alarmLog.stats() }},
	}
}

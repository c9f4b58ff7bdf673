package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/smtp"
	"candor/internal/server/imapd"
	"candor/internal/server/listen"
	"candor/internal/server/pop3d"
	"candor/internal/server/smtpd"
	"candor/internal/server/web"
	"candor/internal/store/directory"
	"candor/internal/store/kv"
	"candor/internal/store/mailbox"
	"candor/internal/transit/deliver"
	"candor/internal/transit/queue"
	"candor/internal/transit/relay"
	"candor/internal/trust/dns"
)

type serveCmd struct{}

// Run serves until it is told to end; "ready" on a line of its own says that every listener accepts.
func (*serveCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	conf, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	return serve(ctx, conf, std.err, func() { fmt.Fprintln(std.err, "ready") })
}

// drainTime is how long sessions may take to end after the server was told to.
const drainTime = 10 * time.Second

// ballast counts for the garbage collector, but takes no memory, since nobody touches it. Most of what
// the store holds is out of the collector's sight; with the few megabytes that it sees, it would run
// thirty times a second under load.
const ballast = 16 << 20

// serve builds every part, joins them, and runs until ctx ends. What it has opened it closes, in
// the reverse order.
func serve(ctx context.Context, c *config, logTo io.Writer, ready func()) (err error) {
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may end before the server
	hangups := catchHangups()
	lines := newLogWriter(logTo)
	defer lines.Close()
	log := newLog(lines)
	defer runtime.KeepAlive(make([]byte, ballast))
	c.limits.limitMemory()
	p, err := openServing(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	certificates, warnings, err := listen.LoadCertificates(c.hostname, c.pairs())
	if err != nil {
		return c.refuse("tls", "", "%v", err)
	}
	warnings = append(warnings, c.warnings()...)
	for _, w := range warnings {
		log.Warn(w)
	}
	if err := p.queue.Recover(ctx); err != nil {
		return fmt.Errorf("delivering what was waiting: %w", err)
	}
	doors, err := p.doors(c, certificates, log)
	if err != nil {
		return err
	}
	started := time.Now()
	operations := p.operations(func(ctx context.Context) (web.Status, error) { return p.status(ctx, c, started, warnings) })
	https, err := p.openHTTP(c, operations, certificates, log, doors)
	if err != nil {
		return err
	}
	defer https.close()
	p.queue.Start()
	defer reloadOn(hangups, c.file, certificates, log)()
	log.Info("serving", "hostname", c.hostname, "listeners", len(c.Listeners), "data", c.Data)
	err = doors.Serve(ctx, drainTime, ready)
	log.Info("ended")
	return err
}

// parts are what holds mail and moves it, open on the data directory. An operator's command opens
// them too when no server runs.
type parts struct {
	db        *kv.Engine
	directory *directory.Directory
	mailboxes *mailbox.Store
	dns       *dns.Client
	local     *deliver.Deliverer
	remote    *relay.Relay
	queue     *queue.Queue

	// Only in a running server.
	memory *listen.Budget // that the doors share
	smtp   *smtpd.Server
	imap   *imapd.Server
	pop3   *pop3d.Server
}

// operations are what an operator can do with the parts.
func (p *parts) operations(status func(context.Context) (web.Status, error)) *web.Operations {
	return &web.Operations{Directory: p.directory, Mailboxes: p.mailboxes, Queue: p.queue, Status: status}
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

// openParts opens the store and what stands on it. On an error nothing stays open.
func openParts(ctx context.Context, c *config, log *slog.Logger) (_ *parts, err error) {
	p := &parts{}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if err := os.MkdirAll(c.Data, 0o750); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	memory := c.limits.shares()
	p.db, err = kv.Open(ctx, kv.Options{Dir: filepath.Join(c.Data, "store"), Cache: memory.cache, Buffers: memory.blobs})
	if errors.Is(err, kv.ErrLocked) {
		return nil, fmt.Errorf("%s is in use by another candor: %w", c.Data, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the store in %s: %w", c.Data, err)
	}
	if p.directory, err = directory.Open(ctx, p.db, directory.Options{Hostname: c.hostname, Log: log, Hashes: memory.hashes}); err != nil {
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	if p.mailboxes, err = mailbox.Open(ctx, p.db, mailbox.Options{}); err != nil {
		return nil, fmt.Errorf("opening the mailboxes: %w", err)
	}
	if err := p.openTransit(ctx, c, log); err != nil {
		return nil, err
	}
	if err := p.operations(nil).Repair(ctx); err != nil {
		return nil, fmt.Errorf("completing accounts: %w", err)
	}
	return p, nil
}

func (p *parts) openTransit(ctx context.Context, c *config, log *slog.Logger) (err error) {
	p.local = deliver.New(deliver.Options{Hostname: c.hostname, Directory: p.directory, Mailboxes: p.mailboxes})
	if p.dns, err = dns.New(dns.Options{Upstreams: c.DNS.Upstreams}); err != nil {
		return fmt.Errorf("setting up DNS: %w", err)
	}
	roots, err := outboundRoots(c.TLS.Roots)
	if err != nil {
		return c.refuse("tls.roots", "", "roots: %v: name a PEM file, or leave it out for the authorities of the system", err)
	}
	private, err := parsePrefixes(c.Outbound.PrivateTargets)
	if err != nil {
		return err
	}
	l := &c.limits
	p.remote, err = relay.New(relay.Options{
		Hostname: c.hostname, Resolver: p.dns, Blobs: p.db, Roots: roots,
		Smarthost: c.Outbound.Smarthost, PrivateTargets: private,
		Connect: l.outConnect, CertificateOctets: int(l.peerCertificates), Chain: int(l.peerChain),
		Timeouts: smtp.Timeouts{
			Greeting: l.outGreeting, Mail: l.outMail, Rcpt: l.outRcpt, DataInit: l.outData, DataBlock: l.outBlock, DataDone: l.outEnd,
			Handshake: l.outHandshake,
		},
	})
	if err != nil {
		return fmt.Errorf("setting up the relay: %w", err)
	}
	p.queue, err = queue.Open(ctx, p.db, queue.Options{Hostname: c.hostname, Local: p.local, Remote: p.remote, Log: log})
	if err != nil {
		return fmt.Errorf("opening the queue: %w", err)
	}
	return nil
}

// outboundRoots are the system's certificate authorities and those in file, which may be empty.
func outboundRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return roots, nil
}

// Close closes what is open.
func (p *parts) Close() error {
	var errs []error
	if p.queue != nil {
		errs = append(errs, p.queue.Close())
	}
	if p.mailboxes != nil {
		errs = append(errs, p.mailboxes.Close())
	}
	if p.directory != nil {
		errs = append(errs, p.directory.Close())
	}
	if p.db != nil {
		errs = append(errs, p.db.Close())
	}
	return errors.Join(errs...)
}

// pairs are the certificates that the configuration names, the default one first.
func (c *config) pairs() []listen.Pair {
	var all []listen.Pair
	if c.TLS.Cert != "" {
		all = append(all, listen.Pair{Cert: c.TLS.Cert, Key: c.TLS.Key})
	}
	for _, p := range c.TLS.Certificates {
		all = append(all, listen.Pair{Cert: p.Cert, Key: p.Key})
	}
	return all
}

// listenerOf makes the policy of a listener.
func (c *config) listenerOf(l listenerConfig) listen.Listener {
	modes := map[string]listen.Mode{modeImplicit: listen.Implicit, modeRequired: listen.Required, modeOpportunistic: listen.Opportunistic, modeNone: listen.None}
	hostname := c.hostname
	if l.Hostname != "" {
		hostname, _ = mail.ParseDomain(l.Hostname) // checked
	}
	return listen.Listener{Name: l.Name, Service: listen.Service(l.Service), Address: l.Address, Mode: modes[l.TLS], Hostname: hostname}
}

// doors opens the sockets of mail.
func (p *parts) doors(c *config, certificates *listen.Certificates, log *slog.Logger) (*listen.Server, error) {
	clients, err := parsePrefixes(c.Submission.Clients)
	if err != nil {
		return nil, err
	}
	relays, err := parsePrefixes(c.Submission.RelayNetworks)
	if err != nil {
		return nil, err
	}
	l := &c.limits
	p.memory = listen.NewBudget(l.shares().doors)
	p.smtp = smtpd.New(smtpd.Options{
		Hostname: c.hostname, Directory: p.directory, Queue: p.queue, Log: log, Clients: clients, RelayNetworks: relays, Memory: p.memory,
		Limits: smtpd.Limits{
			MessageSize: l.messageSize, Header: int(l.headerSize), Recipients: int(l.recipients), Logins: int(l.tries),
			BadCommands: int(l.badCommands), BadCommandsBeforeLogin: int(l.badCommandsBeforeLogin),
			CommandTimeout: l.smtpCommand, DataTimeout: l.smtpData, StoreTimeout: l.smtpStore,
			CommandLine: int(l.commandLine), AuthLine: int(l.loginLine), Depth: int(l.mimeDepth), Parts: int(l.mimeParts),
		},
	})
	p.imap = imapd.New(imapd.Options{
		Directory: p.directory, Mailboxes: p.mailboxes, Memory: p.memory, Log: log,
		Limits: imapd.Limits{
			Message: l.messageSize, Header: int(l.headerSize), Depth: int(l.mimeDepth), Parts: int(l.mimeParts), Idle: l.imapIdle,
			AuthTries: int(l.tries), BadCommands: int(l.badCommands), StrangerBad: int(l.badCommandsBeforeLogin),
			Line: int(l.imapLine), StrangerLine: int(l.imapLineBeforeLogin), Literals: l.imapLiterals, StrangerLiterals: l.imapLiteralsBeforeLogin,
		},
	})
	p.pop3 = pop3d.New(pop3d.Options{
		Directory: p.directory, Mailboxes: p.mailboxes, Log: log,
		Limits: pop3d.Limits{
			Idle: l.pop3Idle, AuthTries: int(l.tries), BadCommands: int(l.badCommands), StrangerBad: int(l.badCommandsBeforeLogin),
			Line: int(l.commandLine), AuthLine: int(l.loginLine),
		},
	})
	options := listen.Options{
		Certificates: certificates, Log: log,
		Handlers: map[listen.Service]listen.Handler{listen.SMTP: p.smtp.Handler(), listen.Submission: p.smtp.Handler(), listen.IMAP: p.imap.Handle, listen.POP3: p.pop3.Handler()},
		Limits: listen.Limits{
			FirstByte: l.firstByte, Handshake: l.handshake, Authenticate: l.authenticate, FirstCommand: l.greeting,
			Unauthenticated: int(l.unauthenticated), UnauthenticatedSMTP: int(l.unauthenticatedSMTP),
			LoginPorts: int(l.loginConnections), Port25: int(l.smtpConnections), Handshakes: int(l.handshakes),
			HandshakesPerMinute: int(l.handshakesPerMinute), ContentRate: int(l.contentRate), Exempt: l.exempt,
		},
	}
	for _, l := range c.Listeners {
		if l.Service != "http" {
			options.Listeners = append(options.Listeners, c.listenerOf(l))
		}
	}
	return listen.New(options)
}

// warnings are settings that are accepted without the effect that one could expect.
func (c *config) warnings() []string {
	var w []string
	if c.DNS.TrustAnchors != "" || c.DNS.RootHints != "" {
		w = append(w, "[dns] trust_anchors and root_hints have no effect yet: no answer is validated, every one counts as unsigned")
	}
	if len(c.Network.Private) > 0 {
		w = append(w, "[network] private has no effect yet: clear hops within it are not marked scope=private")
	}
	return w
}

// sources are the numbers of every part.
func (p *parts) sources(doors *listen.Server) []web.Source {
	return []web.Source{
		{Part: "store", Stats: func() any { return p.db.Stats() }},
		{Part: "mailbox", Stats: func() any { return p.mailboxes.Stats() }},
		{Part: "directory", Stats: func() any { return p.directory.Stats() }},
		{Part: "queue", Stats: func() any { return p.queue.Stats() }},
		{Part: "deliver", Stats: func() any { return p.local.Stats() }},
		{Part: "relay", Stats: func() any { return p.remote.Stats() }},
		{Part: "dns", Stats: func() any { return p.dns.Stats() }},
		{Part: "listener", Stats: func() any { return doors.Stats() }},
		{Part: "memory", Stats: func() any { return p.memory.Stats() }},
		{Part: "smtp", Stats: func() any { return p.smtp.Stats() }},
		{Part: "imap", Stats: func() any { return p.imap.Stats() }},
		{Part: "pop3", Stats: func() any { return p.pop3.Stats() }},
	}
}

package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"syscall"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
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
	"candor/internal/trust/oauth"
)

// parts are what holds mail and moves it, open on the data directory. An operator's command opens
// them too when no server runs.
type parts struct {
	db        *kv.Engine
	limits    message.Limits
	directory *directory.Directory
	mailboxes *mailbox.Store
	dns       *dns.Client
	names     *dns.Names
	local     *deliver.Deliverer
	remote    *relay.Relay
	queue     *queue.Queue
	tokens    *oauth.Verifier // nil: there is no issuer of tokens
	alarmLog  alarmLog
	findings  []func(now time.Time) []mail.Alarm // of parts that only a running server has

	exceptionUses listen.Uses
	wrongSettings listen.WrongSettings
	settingsSaved time.Time // when saveSettings last did

	// Only in a running server.
	memory *listen.Budget // that the doors share
	smtp   *smtpd.Server
	imap   *imapd.Server
	pop3   *pop3d.Server
}

// operations are what an operator can do with the parts.
func (p *parts) operations(status func(context.Context) (web.Status, error)) *web.Operations {
	return &web.Operations{
		Directory: p.directory, Mailboxes: p.mailboxes, Queue: p.queue, Status: status, Store: p.db, Limits: p.limits,
		Hints: p.clientHints,
	}
}

// openParts opens the store and what stands on it. On an error nothing stays open.
func openParts(ctx context.Context, c *config, log *slog.Logger) (_ *parts, err error) {
	p := &parts{limits: c.limits.reading()}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if err := os.MkdirAll(c.Data, 0o750); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	if err := refuseRoot(c.Data); err != nil {
		return nil, err
	}
	memory := c.limits.shares()
	p.db, err = kv.Open(ctx, kv.Options{
		Dir: filepath.Join(c.Data, "store"), Cache: memory.cache, Buffers: memory.blobs,
		CollectRate: c.limits.collectorRate, CollectInterval: c.limits.collectorInterval,
	})
	if errors.Is(err, kv.ErrLocked) {
		return nil, fmt.Errorf("%s is in use by another candor: %w", c.Data, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the store in %s: %w", c.Data, err)
	}
	if p.directory, err = directory.Open(ctx, p.db, directory.Options{Hostname: c.hostname, Log: log, Hashes: memory.hashes}); err != nil {
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	p.directory.Withhold(c.Auth.Remove)
	p.setAuthPolicy(c)
	if err := errors.Join(p.loadUses(ctx, log), p.loadSettings(ctx, log)); err != nil {
		return nil, err
	}
	p.setLegacy(c)
	if p.mailboxes, err = mailbox.Open(ctx, p.db, mailbox.Options{Quota: p.accountQuota}); err != nil {
		return nil, fmt.Errorf("opening the mailboxes: %w", err)
	}
	useTokens, err := p.prepareTokens(c)
	if err != nil {
		return nil, err
	}
	useTokens()
	if err := p.openTransit(ctx, c, log); err != nil {
		return nil, err
	}
	if err := p.operations(nil).Repair(ctx); err != nil {
		return nil, fmt.Errorf("completing accounts: %w", err)
	}
	return p, nil
}

// refuseRoot keeps root from leaving files in another user's folder that the server could not write then.
func refuseRoot(dir string) error {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if owner == 0 {
		return nil
	}
	name := fmt.Sprint(owner)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return fmt.Errorf("%s belongs to %s, who could not read what root writes there: run this as 'runuser -u %s -- candor …'", dir, name, name)
}

func (p *parts) openTransit(ctx context.Context, c *config, log *slog.Logger) (err error) {
	p.local = deliver.New(deliver.Options{Hostname: c.hostname, Directory: p.directory, Mailboxes: p.mailboxes})
	p.setQuota(c)
	if p.dns, err = dns.New(dns.Options{Upstreams: c.DNS.Upstreams}); err != nil {
		return fmt.Errorf("setting up DNS: %w", err)
	}
	p.names = dns.NewNames(p.dns)
	o, err := p.relayOptions(c)
	if err != nil {
		return err
	}
	p.remote, err = relay.New(o)
	if err != nil {
		return fmt.Errorf("setting up the relay: %w", err)
	}
	p.queue, err = queue.Open(ctx, p.db, queue.Options{Hostname: c.hostname, Local: p.local, Remote: p.remote, Log: log})
	if err != nil {
		return fmt.Errorf("opening the queue: %w", err)
	}
	p.setRecords(c)
	return nil
}

// relayOptions are those of outbound mail.
func (p *parts) relayOptions(c *config) (o relay.Options, err error) {
	roots, err := outboundRoots(c.TLS.Roots)
	if err != nil {
		return o, c.refuse("tls.roots", "", "roots: %v: name a PEM file, or leave it out for the authorities of the system", err)
	}
	targets, err := parsePrefixes(c.Outbound.PrivateTargets)
	if err != nil {
		return o, err
	}
	private, err := parsePrefixes(c.Network.Private)
	if err != nil {
		return o, err
	}
	l := &c.limits
	return relay.Options{
		Hostname: c.hostname, Resolver: p.dns, Blobs: p.db, Roots: roots,
		Smarthost: c.Outbound.Smarthost, PrivateTargets: targets, Private: private,
		Connect: l.outConnect, CertificateOctets: int(l.peerCertificates), Chain: int(l.peerChain),
		Timeouts: smtp.Timeouts{
			Greeting: l.outGreeting, Mail: l.outMail, Rcpt: l.outRcpt, DataInit: l.outData, DataBlock: l.outBlock, DataDone: l.outEnd,
			Handshake: l.outHandshake,
		},
	}, nil
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
	if p.names != nil {
		errs = append(errs, p.names.Close())
	}
	if p.mailboxes != nil {
		errs = append(errs, p.mailboxes.Close())
	}
	if p.tokens != nil {
		p.tokens.Close()
	}
	if p.directory != nil {
		errs = append(errs, p.directory.Close())
	}
	if p.db != nil {
		errs = append(errs, p.db.Close())
	}
	return errors.Join(errs...)
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"candor/internal/mail"
	"candor/internal/server/listen"
	"candor/internal/server/web"
	"candor/internal/transit/queue"
)

// running is a server with the configuration that is in force.
type running struct {
	*parts
	log          *slog.Logger
	started      time.Time
	sandbox      sandbox
	certificates *listen.Certificates
	doors        *listen.Server
	https        *httpServers

	changing sync.Mutex // one change at a time
	sockets  *listen.Sockets
	ending   bool // there is no change any more

	mu       sync.Mutex
	conf     *config
	loaded   time.Time
	warnings []string
	failed   *web.ReloadFailure // of the last reload; nil: it succeeded
}

// openRunning opens certificates, sockets and doors on the parts. files are sockets from a service manager. On an
// error nothing stays open.
func openRunning(c *config, p *parts, files []*os.File, log *slog.Logger) (_ *running, err error) {
	now := time.Now()
	r := &running{parts: p, log: log, started: now, conf: c, loaded: now}
	if r.certificates, r.warnings, err = listen.LoadCertificates(c.hostname, c.pairs(), c.listenerHostnames()...); err != nil {
		return nil, c.refuse("tls", "", "%v", err)
	}
	r.certificates.KeepStaples(c.staples())
	r.warnings = append(r.warnings, c.warnings()...)
	if r.sockets, err = listen.OpenSockets(c.places(), files); err != nil {
		return nil, err
	}
	p.directory.OnExposed(p.tellExposed(log, func() mail.Domain { return r.config().hostname }))
	p.findings = append(p.findings, r.certificates.Alarms)
	defer func() {
		if err != nil {
			r.sockets.Close()
		}
	}()
	if r.doors, err = p.openDoors(c, r.sockets, r.certificates, log); err != nil {
		return nil, err
	}
	operations := p.operations(r.status)
	operations.Reconfigure = r.reload
	r.https, err = openHTTP(c, operations, r.sockets, r.certificates, web.Metrics(p.sources(r.doors, r.certificates)...), log)
	return r, err
}

// close ends the operator's socket and the listeners. The parts are the opener's.
func (r *running) close() {
	r.https.close()
	r.sockets.Close()
}

func (r *running) config() *config {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conf
}

// status is that of the parts under the configuration in force.
func (r *running) status(ctx context.Context) (web.Status, error) {
	s, err := r.parts.status(ctx, r.config())
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Running, s.Started, s.Loaded, s.ReloadFailed, s.Warnings, s.Sandbox = true, r.started, r.loaded, r.failed, r.warnings, r.sandbox.words
	return s, err
}

// reload reads the configuration again and puts it into force, as a whole or not at all.
func (r *running) reload() (time.Time, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	if r.ending {
		return time.Time{}, mail.Errorf(mail.Unavailable, "candor is ending")
	}
	r.notifyReloading()
	defer r.notifyServing()
	c, err := loadConfig(r.config().file)
	var warnings []string
	if err == nil {
		warnings, err = r.change(c)
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.log.Error("reload refused; the configuration in force stays", "err", err)
		r.failed = &web.ReloadFailure{At: now, Text: err.Error()}
		return r.loaded, mail.Wrap(mail.Refused, err, "the configuration in force stays")
	}
	r.conf, r.loaded, r.failed, r.warnings = c, now, nil, warnings
	r.logExceptions(c, r.log)
	r.log.Info("configuration reloaded", "hostname", c.hostname, "listeners", len(c.Listeners))
	return now, nil
}

// change puts c into force, and returns its warnings. Whatever can fail comes first.
func (r *running) change(c *config) (warnings []string, err error) {
	if err := r.config().checkChange(c); err != nil {
		return nil, err
	}
	if err := r.sandbox.check(c); err != nil {
		return nil, err
	}
	useCertificates, warnings, err := r.certificates.Prepare(c.hostname, c.pairs(), c.listenerHostnames()...)
	if err != nil {
		return nil, c.refuse("tls", "", "%v", err)
	}
	useDNS, err := r.dns.Prepare(c.DNS.Upstreams)
	if err != nil {
		return nil, c.refuse("dns.upstreams", "", "%v", err)
	}
	o, err := r.relayOptions(c)
	if err != nil {
		return nil, err
	}
	useTokens, err := r.prepareTokens(c)
	if err != nil {
		return nil, err
	}
	remote, err := r.remote.Renew(o)
	if err != nil {
		return nil, c.refuse("outbound", "", "%v", err)
	}
	sockets, err := r.sockets.Change(c.places())
	if err != nil {
		return nil, c.refuse("listener", "", "%v", err)
	}
	doors, err := r.changeDoors(c, sockets, r.certificates, r.log)
	if err != nil {
		sockets.CloseLeft(r.sockets)
		return nil, err
	}
	useCertificates()
	useDNS()
	useTokens()
	r.directory.SetHostname(c.hostname)
	r.local.SetHostname(c.hostname)
	r.directory.Withhold(c.Auth.Remove)
	r.setAuthPolicy(c)
	r.setQuota(c)
	r.setRecords(c)
	r.setLegacy(c)
	r.queue.Change(queue.Ends{Hostname: c.hostname, Local: r.local, Remote: remote})
	r.https.end(c)
	if err := r.doors.Change(doors); err != nil {
		return nil, fmt.Errorf("this is a bug in candor; restart it: %w", err)
	}
	r.https.begin(c, sockets)
	r.sockets.CloseLeft(sockets)
	r.sockets = sockets
	return append(warnings, c.warnings()...), nil
}

// checkChange refuses what a running server cannot change.
func (c *config) checkChange(next *config) error {
	if next.Data != c.Data {
		return next.refuse("data", "", "data cannot change while the server runs: write %q again, or restart candor", c.Data)
	}
	for _, name := range []string{"memory", "collector_rate", "collector_interval"} {
		if c.Limits[name] != next.Limits[name] {
			return next.refuse("limits."+name, "", "%s cannot change while the server runs: restart candor for it", name)
		}
	}
	return nil
}

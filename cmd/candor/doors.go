package main

import (
	"log/slog"
	"slices"

	"candor/internal/mail"
	"candor/internal/server/imapd"
	"candor/internal/server/listen"
	"candor/internal/server/pop3d"
	"candor/internal/server/smtpd"
)

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

// listenerHostnames are the names that listeners have of their own, each once.
func (c *config) listenerHostnames() (names []mail.Domain) {
	for _, l := range c.Listeners {
		if l.Hostname == "" || l.TLS == modeNone {
			continue
		}
		if name := c.listenerOf(l).Hostname; name != c.hostname && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// listenerOf makes the policy of a listener, without what needs other files.
func (c *config) listenerOf(l listenerConfig) listen.Listener {
	modes := map[modeWord]listen.Mode{modeImplicit: listen.Implicit, modeRequired: listen.Required, modeOpportunistic: listen.Opportunistic, modeNone: listen.None}
	hostname := c.hostname
	if l.Hostname != "" {
		hostname, _ = mail.ParseDomain(l.Hostname) // checked
	}
	return listen.Listener{
		Name: l.Name, Service: listen.Service(l.Service), Address: l.Address, Mode: modes[l.TLS], Hostname: hostname, Proxies: c.proxies(l),
		Exceptions: l.exceptions, ExceptionsOnly: l.TLS == modeNone && !loopback(l.Address),
	}
}

// openDoors makes the servers of mail.
func (p *parts) openDoors(c *config, sockets *listen.Sockets, certificates *listen.Certificates, log *slog.Logger) (*listen.Server, error) {
	p.memory = listen.NewBudget(c.limits.shares().doors)
	s, err := p.smtpOptions(c, log)
	if err != nil {
		return nil, err
	}
	p.smtp, p.imap, p.pop3 = smtpd.New(s), imapd.New(p.imapOptions(c, log)), pop3d.New(p.pop3Options(c, log))
	options, err := c.doors(sockets, certificates, log, handlers(p.smtp, p.imap, p.pop3))
	if err != nil {
		return nil, err
	}
	options.Memory, options.Uses, options.WrongSettings = p.memory, &p.exceptionUses, &p.wrongSettings
	if options.RefuseLogins, err = p.throttle(c); err != nil {
		return nil, err
	}
	return listen.New(options)
}

// changeDoors returns the doors of another configuration; sessions that have begun keep the settings that they
// began with.
func (p *parts) changeDoors(c *config, sockets *listen.Sockets, certificates *listen.Certificates, log *slog.Logger) (listen.Options, error) {
	s, err := p.smtpOptions(c, log)
	if err != nil {
		return listen.Options{}, err
	}
	next := handlers(p.smtp.Renew(s), p.imap.Renew(p.imapOptions(c, log)), p.pop3.Renew(p.pop3Options(c, log)))
	options, err := c.doors(sockets, certificates, log, next)
	if err == nil {
		options.RefuseLogins, err = p.throttle(c)
	}
	return options, err
}

func handlers(s *smtpd.Server, i *imapd.Server, p *pop3d.Server) map[listen.Service]listen.Handler {
	return map[listen.Service]listen.Handler{listen.SMTP: s.Handler(), listen.Submission: s.Handler(), listen.IMAP: i.Handle, listen.POP3: p.Handler()}
}

func (p *parts) smtpOptions(c *config, log *slog.Logger) (o smtpd.Options, err error) {
	clients, err := parsePrefixes(c.Submission.Clients)
	if err != nil {
		return o, err
	}
	relays, err := parsePrefixes(c.Submission.RelayNetworks)
	if err != nil {
		return o, err
	}
	l := &c.limits
	return smtpd.Options{
		Name: p.names.Begin, RevealClientIP: c.Submission.RevealClientIP,
		Hostname: c.hostname, Directory: p.directory, Queue: p.queue, Log: log, Clients: clients, RelayNetworks: relays, NormaliseBare: c.SMTP.BareNewline == bareNormalise, Room: p.local.Room, Memory: p.memory,
		Limits: smtpd.Limits{
			MessageSize: l.messageSize, Header: int(l.headerSize), Recipients: int(l.recipients), Logins: int(l.tries),
			BadCommands: int(l.badCommands), BadCommandsBeforeLogin: int(l.badCommandsBeforeLogin),
			CommandTimeout: l.smtpCommand, DataTimeout: l.smtpData, StoreTimeout: l.smtpStore,
			CommandLine: int(l.commandLine), AuthLine: int(l.loginLine), Depth: int(l.mimeDepth), Parts: int(l.mimeParts),
		},
	}, nil
}

func (p *parts) imapOptions(c *config, log *slog.Logger) imapd.Options {
	l := &c.limits
	return imapd.Options{
		Directory: p.directory, Mailboxes: p.mailboxes, Memory: p.memory, Log: log,
		Limits: imapd.Limits{
			Message: l.messageSize, Header: int(l.headerSize), Depth: int(l.mimeDepth), Parts: int(l.mimeParts), Idle: l.imapIdle,
			AuthTries: int(l.tries), Connections: int(l.accountConnections), BadCommands: int(l.badCommands), StrangerBad: int(l.badCommandsBeforeLogin),
			Line: int(l.imapLine), StrangerLine: int(l.imapLineBeforeLogin), Literals: l.imapLiterals, StrangerLiterals: l.imapLiteralsBeforeLogin,
		},
	}
}

func (p *parts) pop3Options(c *config, log *slog.Logger) pop3d.Options {
	l := &c.limits
	return pop3d.Options{
		Directory: p.directory, Mailboxes: p.mailboxes, Log: log,
		Limits: pop3d.Limits{
			Idle: l.pop3Idle, AuthTries: int(l.tries), BadCommands: int(l.badCommands), StrangerBad: int(l.badCommandsBeforeLogin),
			Line: int(l.commandLine), AuthLine: int(l.loginLine),
		},
	}
}

// doors are the listeners of mail, with what serves them.
//
// Errors: a file of certificate authorities that cannot be used.
func (c *config) doors(sockets *listen.Sockets, certificates *listen.Certificates, log *slog.Logger, h map[listen.Service]listen.Handler) (listen.Options, error) {
	l := &c.limits
	private, err := parsePrefixes(c.Network.Private)
	if err != nil {
		return listen.Options{}, err
	}
	options := listen.Options{
		Private: private,
		Sockets: sockets, Certificates: certificates, Log: log, Handlers: h,
		Limits: listen.Limits{
			FirstByte: l.firstByte, Handshake: l.handshake, PeekBeforeGreeting: l.peek, Authenticate: l.authenticate, FirstCommand: l.greeting,
			Unauthenticated: int(l.unauthenticated), UnauthenticatedSMTP: int(l.unauthenticatedSMTP),
			LoginPorts: int(l.loginConnections), Port25: int(l.smtpConnections), Handshakes: int(l.handshakes),
			HandshakesPerMinute: int(l.handshakesPerMinute), ContentRate: int(l.contentRate), Exempt: l.exempt,
		},
	}
	for _, l := range c.Listeners {
		if l.Service == "http" {
			continue
		}
		policy := c.listenerOf(l)
		var err error
		if policy.Clients, err = c.clientCertificates(l); err != nil {
			return options, err
		}
		options.Listeners = append(options.Listeners, policy)
	}
	return options, nil
}

// places are where the listeners are, those of HTTP too.
func (c *config) places() []listen.Place {
	all := make([]listen.Place, len(c.Listeners))
	for i, l := range c.Listeners {
		all[i] = listen.Place{Name: l.Name, Address: l.Address}
	}
	return all
}

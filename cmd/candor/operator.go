package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"candor/internal/mail"
	"candor/internal/server/web"
	"candor/internal/store/directory"
	"candor/internal/store/kv"
	"candor/internal/transit/queue"
)

// operator is what the commands ask for: the operations of a running server through its socket, or
// the same on the data directory when none runs.
type operator interface {
	Domains(context.Context) ([]mail.Domain, error)
	AddDomain(context.Context, mail.Domain) error
	RemoveDomain(context.Context, mail.Domain) error
	Accounts(context.Context) ([]directory.Account, error)
	AddAccount(ctx context.Context, a mail.Address, password string) error
	RemoveAccount(context.Context, mail.Address) error
	SetPassword(ctx context.Context, a mail.Address, password string) error
	DisableAccount(context.Context, mail.Address) error
	EnableAccount(context.Context, mail.Address) error
	AddCertificate(context.Context, mail.Address, directory.NewCertificate) error
	RemoveCertificate(ctx context.Context, a mail.Address, name string) error
	Offers(context.Context) ([]directory.Offer, error)
	AccountQuota(context.Context, mail.Address) (web.AccountQuota, error)
	SetQuota(context.Context, mail.Address, directory.Quota) error
	Aliases(context.Context) ([]directory.Alias, error)
	AddAlias(context.Context, directory.Alias) error
	RemoveAlias(context.Context, mail.Address) error
	QueueList(context.Context) ([]web.QueueItem, error)
	QueueShow(context.Context, queue.ID) (web.QueueItem, error)
	QueueRetry(context.Context, queue.ID) (int, error)
	QueueRemove(context.Context, queue.ID) (int, error)
	MessagePath(context.Context, queue.ID) (web.MessagePath, error)
	MessageRecords(context.Context, mail.Address) ([]queue.Record, error)
	MessageCounts(context.Context) ([]queue.DayCount, error)
	ServerStatus(context.Context) (web.Status, error)
	authority
	ClientHints(context.Context) ([]web.ClientHint, error)
	throttler
	censor
	importer
	exporter
	io.Closer
}

// offline are the operations on the data directory itself.
type offline struct {
	*web.Operations
	parts *parts
}

// Close closes the data directory.
func (o *offline) Close() error { return o.parts.Close() }

// openOffline opens the data directory; no server may be running.
func openOffline(ctx context.Context, c *config) (*offline, error) {
	p, err := openParts(ctx, c, newLog(io.Discard))
	if err != nil {
		return nil, err
	}
	status := func(ctx context.Context) (web.Status, error) { return p.status(ctx, c) }
	return &offline{p.operations(status), p}, nil
}

// openOperator finds the running server, or opens the data directory when there is none.
func openOperator(ctx context.Context, file string) (operator, error) {
	c, err := loadConfig(file)
	if err != nil {
		if client, dialErr := web.Dial(ctx, likelySocket(file)); dialErr == nil { // it runs with what the file was before
			return client, nil
		}
		return nil, err
	}
	return reach(ctx, c,
		func(client *web.Client) operator { return client },
		func() (operator, error) { return openOffline(ctx, c) })
}

// reach returns the client of the running server, or what is opened when there is none. A server that is just
// starting or ending holds the store without answering: that is waited for.
func reach[T any](ctx context.Context, c *config, online func(*web.Client) T, offline func() (T, error)) (T, error) {
	for end := time.Now().Add(lockPatience); ; {
		client, err := web.Dial(ctx, c.socket())
		if err == nil {
			return online(client), nil
		}
		o, err := offline()
		if err == nil {
			return o, nil
		}
		if !errors.Is(err, kv.ErrLocked) || time.Now().After(end) {
			var none T
			return none, err
		}
		if err := pause(ctx); err != nil {
			var none T
			return none, err
		}
	}
}

// likelySocket is the path of the operator socket as far as a file tells that cannot be used.
func likelySocket(file string) string {
	text, _ := os.ReadFile(file)
	c := config{Data: "."}
	if m := dataLine.FindSubmatch(text); m != nil {
		c.Data = string(m[1])
	}
	if !filepath.IsAbs(c.Data) {
		c.Data = filepath.Join(filepath.Dir(followed(file)), c.Data)
	}
	return c.socket()
}

var dataLine = regexp.MustCompile(`(?m)^\s*data\s*=\s*["']([^"']*)["']`)

// lockPatience is how long to wait for one who holds the store without answering: a server that starts or
// ends, or a command.
const lockPatience = 15 * time.Second

// pause waits before the next look at the store's lock.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(100 * time.Millisecond):
		return nil
	}
}

// operate runs f with the operator and closes it.
func operate(ctx context.Context, c *cli, f func(operator) error) error {
	o, err := openOperator(ctx, c.Config)
	if err != nil {
		return err
	}
	return errors.Join(f(o), o.Close())
}

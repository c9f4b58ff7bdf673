package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/store/directory"
	"candor/internal/transit/queue"
)

// What [auth] auto_retire may be, in days.
const (
	leastRetireDays = 30
	mostRetireDays  = 400
)

// checkAuthPolicy refuses effects and times that there are not.
func (c *config) checkAuthPolicy() error {
	if e := c.Auth.OnExposure; e != "" {
		if _, err := directory.ParseExposure(e); err != nil {
			return c.refuse("auth.on_exposure", "", "on_exposure: %v", err)
		}
	}
	if s := c.Auth.AutoRetire; s != "" {
		days, err := strconv.Atoi(strings.TrimSuffix(s, "d"))
		if err != nil || !strings.HasSuffix(s, "d") || days < leastRetireDays || days > mostRetireDays {
			return c.refuse("auth.auto_retire", "", `auto_retire %q is not %d to %d days: write it like "60d"`, s, leastRetireDays, mostRetireDays)
		}
		c.autoRetire = time.Duration(days) * 24 * time.Hour
	}
	return nil
}

// setAuthPolicy puts what [auth] and [records] say of logins into force.
func (p *parts) setAuthPolicy(c *config) {
	p.directory.SetPolicy(directory.Policy{OnExposure: directory.Exposure(c.Auth.OnExposure), AutoRetire: c.autoRetire, CensusKept: c.keepDays()})
}

// loginAlarms are those of exposed credentials, of logins that may have been weakened, of accounts that require what they
// cannot have and of mechanisms that nobody uses.
func (p *parts) loginAlarms(*config, time.Time) []mail.Alarm {
	return slices.Concat(p.directory.ExposureAlarms(), p.directory.DowngradeAlarms(), p.directory.RequirementAlarms(), p.directory.Retirements())
}

// tellExposed puts a message into the mailbox whose password crossed the network in clear.
func (p *parts) tellExposed(log *slog.Logger, hostname func() mail.Domain) func(context.Context, directory.Exposed, string) {
	return func(ctx context.Context, e directory.Exposed, rip string) {
		if err := p.putExposed(ctx, e, rip, hostname()); err != nil {
			log.Error("could not tell of an exposed password", "user", e.Account.String(), "err", err)
		}
	}
}

func (p *parts) putExposed(ctx context.Context, e directory.Exposed, rip string, hostname mail.Domain) error {
	change := fmt.Sprintf("Change it here: https://%s/.", hostname)
	if e.Name != "" {
		change = fmt.Sprintf("Have it revoked and a new one made: https://%s/.", hostname)
	}
	now := time.Now()
	n := message.Notice{
		FromName: "Mail server " + string(hostname), From: mail.Address{Local: "postmaster", Domain: hostname}, To: e.Account,
		Subject: "Your password was sent without encryption", Text: e.Words(rip, change) + "\n", Date: now,
	}
	w, err := p.queue.NewBody(ctx)
	if err != nil {
		return err
	}
	defer w.Discard()
	size, err := w.Write(n.Append(nil))
	if err != nil {
		return err
	}
	blob, err := w.Finish()
	if err != nil {
		return err
	}
	return p.queue.Put(ctx, &queue.Message{
		ID:       p.queue.NewID(),
		Envelope: mail.Envelope{Recipients: []mail.Recipient{{Address: e.Account, Route: mail.Local}}, Received: now, SMTPUTF8: !e.Account.ASCII()},
		Blob:     blob, BlobSize: int64(size),
		Inbound: mail.Transport{State: mail.LocalState, Floor: mail.LocalState, Mode: mail.NoTLS},
	})
}

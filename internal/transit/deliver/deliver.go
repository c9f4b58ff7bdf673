// Package deliver is the MDA: it puts messages into local mailboxes. A recipient is resolved again at
// delivery; one that stands for several accounts, or for addresses elsewhere, is handed back to the
// queue as those, so that each copy is stored and settled in a transaction of its own.
//
// Mail for a "+" subaddress (RFC 5233) goes to INBOX like any other.
package deliver

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/store/directory"
	"candor/internal/store/kv"
	"candor/internal/store/mailbox"
	"candor/internal/transit/queue"
)

// Options configures a Deliverer.
type Options struct {
	Hostname  mail.Domain // by= of the Candor-Transport field
	Directory *directory.Directory
	Mailboxes *mailbox.Store
	Now       func() time.Time // nil: time.Now
}

// Deliverer is a queue.Transport, queue.Batcher and queue.AtOnce into local mailboxes. Its methods may be called
// concurrently.
type Deliverer struct {
	o        Options
	hostname atomic.Value // mail.Domain
	refuse   atomic.Bool  // mail for full accounts
	keywords atomic.Bool  // that tell how a message came
	counts   counters

	mu      sync.Mutex
	inboxes map[mail.AccountID]inbox
}

// New makes a Deliverer.
func New(o Options) *Deliverer {
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Deliverer{o: o, inboxes: map[mail.AccountID]inbox{}}
	d.hostname.Store(o.Hostname)
	return d
}

// SetHostname changes the name that later deliveries bear.
func (d *Deliverer) SetHostname(h mail.Domain) { d.hostname.Store(h) }

// RefuseOverQuota makes mail for a full account fail at once, or be tried again, as it is at first.
func (d *Deliverer) RefuseOverQuota(refuse bool) { d.refuse.Store(refuse) }

// SetKeywords says whether messages get a keyword that tells how they came, as they do not at first. A mailbox without
// room for another keyword does without.
func (d *Deliverer) SetKeywords(on bool) { d.keywords.Store(on) }

// The keywords, which a program can show as tags.
const (
	clearKeyword         = "$TransportClear"
	encryptedKeyword     = "$TransportEncrypted"
	authenticatedKeyword = "$TransportAuthenticated"
)

// transportKeyword is the keyword of a state. What was not seen, and what never left this machine, has none.
func transportKeyword(s mail.TransportState) []string {
	switch {
	case s == mail.Unknown, s == mail.LocalState:
		return nil
	case s == mail.Clear:
		return []string{clearKeyword}
	case s < mail.AuthenticatedSTS:
		return []string{encryptedKeyword}
	}
	return []string{authenticatedKeyword}
}

// Room returns why mail of so many octets would not be delivered to an account now, if it is full.
// Errors: OverQuota.
func (d *Deliverer) Room(ctx context.Context, id mail.AccountID, octets int64) error {
	in, err := d.inbox(ctx, id)
	if err == nil {
		err = in.account.Room(ctx, octets)
	}
	return d.overQuota(err)
}

// overQuota makes OverQuota what the operator wants it to be.
func (d *Deliverer) overQuota(err error) error {
	if mail.IsKind(err, mail.OverQuota) && d.refuse.Load() {
		return mail.AsError(err).With(5, 2, 2)
	}
	return err
}

// Deliver implements queue.Transport.
func (d *Deliverer) Deliver(ctx context.Context, m *queue.Message, to []mail.Recipient) []queue.Result {
	results := make([]queue.Result, len(to))
	for i, r := range to {
		results[i] = d.deliver(ctx, m, r)
	}
	return results
}

// DeliverAll implements queue.Batcher: attempts that lead to one account are stored in one
// transaction. If that fails, each is tried alone, so that one message cannot hold back others.
func (d *Deliverer) DeliverAll(ctx context.Context, attempts []queue.Attempt) [][]queue.Result {
	results := make([][]queue.Result, len(attempts))
	if d.together(ctx, attempts) {
		for i, a := range attempts {
			results[i] = []queue.Result{d.stored(a.To[0])}
		}
		return results
	}
	for i, a := range attempts {
		results[i] = d.Deliver(ctx, a.Message, a.To)
	}
	return results
}

// together stores all attempts in one transaction if all have the same one account as recipient.
func (d *Deliverer) together(ctx context.Context, attempts []queue.Attempt) bool {
	var account mail.AccountID
	for _, a := range attempts {
		if len(a.To) != 1 {
			return false
		}
		res, err := d.o.Directory.Resolve(ctx, a.To[0].Address)
		if err != nil || !simple(res) || (account != 0 && res.Accounts[0].Account != account) {
			return false
		}
		account = res.Accounts[0].Account
	}
	return d.settle(ctx, account, attempts...) == nil
}

// simple reports whether a resolution is a single mailbox.
func simple(r directory.Resolution) bool {
	return r.Route == mail.Local && len(r.Accounts) == 1 && len(r.Forward) == 0
}

// deliver makes one attempt for one recipient.
func (d *Deliverer) deliver(ctx context.Context, m *queue.Message, to mail.Recipient) queue.Result {
	res, err := d.o.Directory.Resolve(ctx, to.Address)
	if err != nil {
		return d.failed(to, err)
	}
	if !simple(res) {
		return d.expand(to, res)
	}
	attempt := queue.Attempt{Message: m, To: []mail.Recipient{to}}
	if err := d.settle(ctx, res.Accounts[0].Account, attempt); err != nil {
		return d.failed(to, err)
	}
	return d.stored(to)
}

// DeliverAtOnce implements queue.AtOnce.
func (d *Deliverer) DeliverAtOnce(ctx context.Context, m *queue.Message, to mail.Recipient, also func(kv.Tx) error) (queue.Result, bool) {
	res, err := d.o.Directory.Resolve(ctx, to.Address)
	if err != nil || !simple(res) || d.store(ctx, res.Accounts[0].Account, []mailbox.Message{d.message(m)}, also) != nil {
		return queue.Result{}, false
	}
	return d.stored(to), true
}

// expand hands a recipient back as those that it stands for. One whose domain is not ours (any more,
// or that of a report's receiver) goes out.
func (d *Deliverer) expand(to mail.Recipient, res directory.Resolution) queue.Result {
	r := d.result(to)
	if res.Route != mail.Local {
		r.Expanded = []mail.Recipient{{Address: to.Address, Route: mail.Remote}}
		return r
	}
	for _, a := range res.Accounts {
		r.Expanded = append(r.Expanded, mail.Recipient{Address: a.Address, Route: mail.Local})
	}
	for _, a := range res.Forward {
		r.Expanded = append(r.Expanded, mail.Recipient{Address: a, Route: mail.Remote})
	}
	if len(r.Expanded) == 0 {
		return d.failed(to, mail.Errorf(mail.NoAddress, "%s leads to no mailbox", to.Address))
	}
	return r
}

// settle stores the messages of attempts that lead to one account.
func (d *Deliverer) settle(ctx context.Context, id mail.AccountID, attempts ...queue.Attempt) error {
	messages := make([]mailbox.Message, len(attempts))
	for i, a := range attempts {
		messages[i] = d.message(a.Message)
	}
	return d.store(ctx, id, messages, queue.Settle(attempts...))
}

// store appends messages to an account's INBOX, in a transaction of which also is a step.
func (d *Deliverer) store(ctx context.Context, id mail.AccountID, messages []mailbox.Message, also func(kv.Tx) error) error {
	err := d.append(ctx, id, messages, also)
	if mail.IsKind(err, mail.NotFound) {
		// The mail was removed and perhaps made anew; what is remembered of it is out of date.
		d.forget(id)
		err = d.append(ctx, id, messages, also)
	}
	return err
}

func (d *Deliverer) append(ctx context.Context, id mail.AccountID, messages []mailbox.Message, also func(kv.Tx) error) error {
	in, err := d.inbox(ctx, id)
	if err != nil {
		return err
	}
	_, err = in.account.Append(ctx, in.id, messages, also)
	return err
}

// inbox is where mail for an account goes. INBOX is the same mailbox for the life of an account.
type inbox struct {
	account *mailbox.Account
	id      mailbox.ID
}

// maxInboxes bounds how many accounts' places are remembered.
const maxInboxes = 4096

func (d *Deliverer) inbox(ctx context.Context, id mail.AccountID) (inbox, error) {
	d.mu.Lock()
	in, ok := d.inboxes[id]
	d.mu.Unlock()
	if ok {
		return in, nil
	}
	account, err := d.account(ctx, id)
	if err != nil {
		return inbox{}, err
	}
	info, err := account.Lookup(ctx, "INBOX")
	if err != nil {
		return inbox{}, err
	}
	in = inbox{account, info.ID}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.inboxes) >= maxInboxes {
		clear(d.inboxes)
	}
	d.inboxes[id] = in
	return in, nil
}

func (d *Deliverer) forget(id mail.AccountID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.inboxes, id)
}

// account returns an account's mail, made if the directory was quicker than the mailboxes.
func (d *Deliverer) account(ctx context.Context, id mail.AccountID) (*mailbox.Account, error) {
	a, err := d.o.Mailboxes.Account(ctx, id)
	if !mail.IsKind(err, mail.NotFound) {
		return a, err
	}
	if err := d.o.Mailboxes.CreateAccount(ctx, id); err != nil {
		return nil, err
	}
	return d.o.Mailboxes.Account(ctx, id)
}

// message makes a queued message fit for a mailbox: Return-Path on top (RFC 5321, section 4.4), then
// our Received field, then what was seen of the hop that brought it.
func (d *Deliverer) message(m *queue.Message) mailbox.Message {
	prefix := make([]byte, 0, 512+len(m.Trace))
	prefix = message.AppendReturnPath(prefix, m.Envelope.ReversePath)
	prefix = append(prefix, m.Trace...)
	field := message.CandorTransport{By: d.hostname.Load().(mail.Domain), ID: string(m.ID), Hop: m.Hop(), Transport: m.Inbound}
	stored := mailbox.Message{
		Prefix: field.Append(prefix), Blob: m.Blob, BlobSize: m.BlobSize, Attributes: m.Attributes, Received: d.o.Now(),
	}
	if d.keywords.Load() {
		stored.Keywords = transportKeyword(m.Inbound.State)
	}
	return stored
}

// result is an empty result: the last hop of a local delivery never leaves the machine.
func (d *Deliverer) result(to mail.Recipient) queue.Result {
	return queue.Result{
		Recipient: to, At: d.o.Now(),
		Transport: mail.Transport{State: mail.LocalState, Floor: mail.LocalState, Mode: mail.NoTLS},
	}
}

func (d *Deliverer) stored(to mail.Recipient) queue.Result {
	d.counts.delivered.Add(1)
	r := d.result(to)
	r.Settled = true
	return r
}

func (d *Deliverer) failed(to mail.Recipient, err error) queue.Result {
	if !errors.Is(err, queue.ErrSettled) {
		d.counts.failed.Add(1)
	}
	r := d.result(to)
	r.Err = d.overQuota(err)
	return r
}

type counters struct{ delivered, failed atomic.Int64 }

// Stats are a Deliverer's numbers since its start.
type Stats struct {
	Delivered int64 // copies stored
	Failed    int64 // attempts that did not store one
}

// Stats returns the numbers.
func (d *Deliverer) Stats() Stats {
	return Stats{Delivered: d.counts.delivered.Load(), Failed: d.counts.failed.Load()}
}

var (
	_ queue.Transport = (*Deliverer)(nil)
	_ queue.Batcher   = (*Deliverer)(nil)
	_ queue.AtOnce    = (*Deliverer)(nil)
)

// Package web is the operator's API, over HTTP on a Unix socket, and the metrics page. Each operation exists
// once, as a method of Operations: the handler of the running server calls it, and so does the command line when
// no server runs. A Client has the same methods for a command line beside a running server.
package web

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/store/directory"
	"candor/internal/store/kv"
	"candor/internal/store/mailbox"
	"candor/internal/transit/queue"
)

// Operations are what an operator can do. Its methods may be called concurrently.
type Operations struct {
	Directory *directory.Directory
	Mailboxes *mailbox.Store
	Queue     *queue.Queue
	Store     *kv.Engine
	Status    func(context.Context) (Status, error)
	Hints     func(context.Context) ([]ClientHint, error)
	// Reconfigure reads the configuration again and returns since when it is in force; nil where no server runs.
	Reconfigure func() (time.Time, error)
	Limits      message.Limits // of reading messages

	verifying sync.Mutex
}

// Status is what `candor status` shows.
type Status struct {
	Running  bool        `json:"running"`
	Hostname mail.Domain `json:"hostname"`
	Started  time.Time   `json:"started,omitzero"`
	Loaded   time.Time   `json:"loaded,omitzero"` // when the configuration in force was read
	// ReloadFailed tells of the last reload, if it was refused.
	ReloadFailed *ReloadFailure `json:"reload_failed,omitempty"`
	// Sandbox says in words what the process may still reach.
	Sandbox   string           `json:"sandbox,omitempty"`
	Listeners []ListenerStatus `json:"listeners"`
	Domains   int              `json:"domains"`
	Accounts  int              `json:"accounts"`
	Queued    int              `json:"queued"` // recipients
	Warnings  []string         `json:"warnings,omitempty"`
	// Exceptions are the insecure flags.
	Exceptions []ExceptionStatus `json:"exceptions,omitempty"`
	Alarms     []mail.Alarm      `json:"alarms,omitempty"`
}

// ReloadFailure is a refused reload.
type ReloadFailure struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// ListenerStatus is a listener with its policy and what that means in words.
type ListenerStatus struct {
	Name    string              `json:"name"`
	Service string              `json:"service"`
	Address string              `json:"address"`
	Mode    string              `json:"tls"`
	Floor   mail.TransportState `json:"tls.floor"`
	// FloorSource is who demands the floor.
	FloorSource string `json:"tls.floor_source"`
	Login       string `json:"login"`
	// Closed: the configuration says that it is not opened. Floor means nothing then.
	Closed bool   `json:"closed,omitempty"`
	Words  string `json:"words"`
}

// ExceptionStatus is an insecure flag with its use in the last 30 days.
type ExceptionStatus struct {
	ID       string         `json:"id"`
	Listener string         `json:"listener"`
	Networks []netip.Prefix `json:"networks"`
	Allow    string         `json:"allow"`
	Reason   string         `json:"reason"`
	Owner    string         `json:"owner"`
	Until    time.Time      `json:"until"` // the first moment at which it does not hold
	Days     int            `json:"days"`  // left; 0: it has ended
	Used     int64          `json:"used"`
	Last     netip.Addr     `json:"last"` // who used it last; "" when nobody did
	Words    string         `json:"words"`
}

// Domains returns the domains that are ours.
func (o *Operations) Domains(ctx context.Context) ([]mail.Domain, error) {
	return o.Directory.Domains(ctx)
}

// AddDomain makes a domain ours, with the mailboxes of the postmaster account that the first one brings.
func (o *Operations) AddDomain(ctx context.Context, d mail.Domain) error {
	if err := o.Directory.AddDomain(ctx, d); err != nil {
		return err
	}
	accounts, err := o.Directory.Accounts(ctx)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		if a.Address.Domain != d {
			continue
		}
		if err := o.Mailboxes.CreateAccount(ctx, a.ID); err != nil {
			return err
		}
	}
	return nil
}

// RemoveDomain removes a domain without accounts and aliases.
func (o *Operations) RemoveDomain(ctx context.Context, d mail.Domain) error {
	return o.Directory.RemoveDomain(ctx, d)
}

// Accounts returns all accounts.
func (o *Operations) Accounts(ctx context.Context) ([]directory.Account, error) {
	return o.Directory.Accounts(ctx)
}

// AddAccount makes an account with its mailboxes.
func (o *Operations) AddAccount(ctx context.Context, a mail.Address, password string) error {
	account, err := o.Directory.AddAccount(ctx, a, password)
	if err != nil {
		return err
	}
	return o.Mailboxes.CreateAccount(ctx, account.ID)
}

// DisableAccount refuses an account's logins from now on. Sessions that are open go on, and mail comes in.
func (o *Operations) DisableAccount(ctx context.Context, a mail.Address) error {
	return o.Directory.SetDisabled(ctx, a, true)
}

// EnableAccount lets a disabled account log in again.
func (o *Operations) EnableAccount(ctx context.Context, a mail.Address) error {
	return o.Directory.SetDisabled(ctx, a, false)
}

// AccountQuota is what an account may hold, and holds.
type AccountQuota struct {
	Address mail.Address    `json:"address"`
	Own     directory.Quota `json:"own"`   // 0: the default holds; -1: unlimited
	Limit   directory.Quota `json:"limit"` // what holds; 0: no bound
	Used    directory.Quota `json:"used"`
}

// AccountQuota returns the quota of an account with what is used of it.
func (o *Operations) AccountQuota(ctx context.Context, a mail.Address) (AccountQuota, error) {
	account, err := o.Directory.Account(ctx, a)
	if err != nil {
		return AccountQuota{}, err
	}
	m, err := o.Mailboxes.Account(ctx, account.ID)
	if err != nil {
		return AccountQuota{}, err
	}
	limit, used, err := m.Quota(ctx)
	return AccountQuota{account.Address, account.Quota, directory.Quota(limit), directory.Quota(used)}, err
}

// SetQuota replaces an account's own quota.
func (o *Operations) SetQuota(ctx context.Context, a mail.Address, q directory.Quota) error {
	return o.Directory.SetQuota(ctx, a, q)
}

// Repair makes the mailboxes of accounts that have none, because the program ended between the two steps of
// AddAccount.
func (o *Operations) Repair(ctx context.Context) error {
	accounts, err := o.Directory.Accounts(ctx)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		_, err := o.Mailboxes.Account(ctx, a.ID)
		if mail.IsKind(err, mail.NotFound) {
			err = o.Mailboxes.CreateAccount(ctx, a.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// RemoveAccount removes an account with its mail and the records of what it sent, whose end is part of the same
// transaction.
func (o *Operations) RemoveAccount(ctx context.Context, a mail.Address) error {
	account, err := o.Directory.RemoveAccount(ctx, a, func(tx kv.Tx, id mail.AccountID) error {
		return errors.Join(mailbox.Doom(tx, id), queue.DoomRecords(tx, id))
	})
	if err != nil {
		return err
	}
	o.Queue.Tidy()
	return o.Mailboxes.Removed(ctx, account.ID)
}

// SetPassword replaces an account's main password.
func (o *Operations) SetPassword(ctx context.Context, a mail.Address, password string) error {
	return o.Directory.SetPassword(ctx, a, password)
}

// Aliases returns all aliases.
func (o *Operations) Aliases(ctx context.Context) ([]directory.Alias, error) {
	return o.Directory.Aliases(ctx)
}

// AddAlias makes an alias.
func (o *Operations) AddAlias(ctx context.Context, a directory.Alias) error {
	return o.Directory.AddAlias(ctx, a)
}

// RemoveAlias removes an alias.
func (o *Operations) RemoveAlias(ctx context.Context, a mail.Address) error {
	return o.Directory.RemoveAlias(ctx, a)
}

// QueueItem is a queued message as the operator sees it. It holds no content.
type QueueItem struct {
	ID          queue.ID         `json:"id"`
	ReversePath string           `json:"reverse_path"` // "<>" is null
	Size        int64            `json:"size"`         // octets
	Created     time.Time        `json:"created"`
	Inbound     mail.Transport   `json:"inbound"`
	Recipients  []QueueRecipient `json:"recipients"`
}

// QueueRecipient is a recipient that is not done yet, with its last attempt.
type QueueRecipient struct {
	Address   mail.Address    `json:"address"`
	Attempts  int             `json:"attempts"`
	Next      time.Time       `json:"next"`
	RemoteMTA string          `json:"remote_mta,omitempty"`
	Reply     string          `json:"reply,omitempty"`
	Transport *mail.Transport `json:"transport,omitempty"`
}

func queueItem(i queue.Item) QueueItem {
	v := QueueItem{ID: i.ID, ReversePath: "<" + i.Envelope.ReversePath.String() + ">", Size: i.BlobSize, Created: i.Created, Inbound: i.Inbound}
	for _, r := range i.Recipients {
		q := QueueRecipient{Address: r.Recipient.Address, Attempts: r.Attempts, Next: r.Next}
		if l := r.Last; l != nil {
			q.RemoteMTA, q.Reply, q.Transport = l.RemoteMTA, l.Reply, &l.Transport
			if q.Reply == "" && l.Err != nil {
				q.Reply = l.Err.Error()
			}
		}
		v.Recipients = append(v.Recipients, q)
	}
	return v
}

// QueueList returns what is queued.
func (o *Operations) QueueList(ctx context.Context) ([]QueueItem, error) {
	items, err := o.Queue.List(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]QueueItem, len(items))
	for i := range items {
		all[i] = queueItem(items[i])
	}
	return all, nil
}

// QueueShow returns one queued message.
func (o *Operations) QueueShow(ctx context.Context, id queue.ID) (QueueItem, error) {
	i, err := o.Queue.Show(ctx, id)
	if err != nil {
		return QueueItem{}, err
	}
	return queueItem(i), nil
}

// QueueRetry makes a message, or with no id all, due now; it returns how many recipients that concerns.
func (o *Operations) QueueRetry(ctx context.Context, id queue.ID) (int, error) {
	return o.Queue.Retry(ctx, id)
}

// QueueRemove takes a message, or with no id all, out of the queue without a report.
func (o *Operations) QueueRemove(ctx context.Context, id queue.ID) (int, error) {
	return o.Queue.Remove(ctx, id)
}

// Reload makes the server read its configuration again, and returns when that in force was read.
//
// Errors: Refused, with what is wrong with it; the one before stays then. Unavailable where no server runs.
func (o *Operations) Reload(context.Context) (time.Time, error) {
	if o.Reconfigure == nil {
		return time.Time{}, mail.Errorf(mail.Unavailable, "the server is not running; it reads its configuration when it starts")
	}
	return o.Reconfigure()
}

// ServerStatus returns the server's status.
func (o *Operations) ServerStatus(ctx context.Context) (Status, error) { return o.Status(ctx) }

package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// Account is one account's mail.
type Account struct {
	store *Store
	id    mail.AccountID
	gone  atomic.Bool // removed

	// What goes with accountRow.layout.
	rows  memo[ID, mailboxRow]
	names memo[string, Info]
	usage atomic.Pointer[usageAt]

	mu        sync.Mutex
	waiting   []*operation
	led       bool // some operation leads
	exclusive bool
	sessions  int
}

// SpecialUse is a SPECIAL-USE attribute with its backslash, such as `\Sent`; empty is none.
type SpecialUse string

// The special uses that a mailbox can have (RFC 6154). \All and \Flagged would be virtual mailboxes.
const (
	UseArchive SpecialUse = `\Archive`
	UseDrafts  SpecialUse = `\Drafts`
	UseJunk    SpecialUse = `\Junk`
	UseSent    SpecialUse = `\Sent`
	UseTrash   SpecialUse = `\Trash`
)

// defaults are the mailboxes of a new account.
var defaults = []struct {
	name string
	use  SpecialUse
}{
	{inbox, ""}, {"Drafts", UseDrafts}, {"Sent", UseSent}, {"Trash", UseTrash}, {"Junk", UseJunk}, {"Archive", UseArchive},
}

// CreateAccount makes INBOX, Drafts, Sent, Trash, Junk and Archive with their SPECIAL-USE (RFC 6154),
// all subscribed. For an account that exists it does nothing.
func (s *Store) CreateAccount(ctx context.Context, id mail.AccountID) error {
	if id == noAccount {
		return mail.Errorf(mail.NotFound, "0 is no account")
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.work.Done()
	a := &Account{store: s, id: id}
	return s.db.Update(ctx, func(tx kv.Tx) error { return createAccount(tx, a) })
}

func createAccount(tx kv.Tx, a *Account) error {
	_, err := readAccount(tx, a.id)
	if err == nil || !mail.IsKind(err, mail.NotFound) {
		return err
	}
	if doomed, err := exists(tx, doomedKey(a.id, 0)); err != nil || doomed {
		return errors.Join(err, mail.Errorf(mail.InUse, "account %d is being removed", a.id))
	}
	if k, err := first(tx, accountPrefix(a.id), kv.PrefixEnd(accountPrefix(a.id))); err != nil || k != nil {
		return errors.Join(err, fmt.Errorf("account %d has mail, but no account row: stop candor and run 'candor repair': %w", a.id, kv.ErrCorrupt))
	}
	c := &change{account: a, tx: tx, boxes: make(map[ID]*box), written: true}
	for _, d := range defaults {
		c.make(d.name, d.use)
		tx.Set(nameKey(a.id, kindSubscription, d.name), nil)
		c.row.subscriptions++
	}
	return c.finish()
}

// RemoveAccount removes every mailbox and message of the account: Doom and Removed. Errors: NotFound.
func (s *Store) RemoveAccount(ctx context.Context, id mail.AccountID) error {
	err := s.db.Update(ctx, func(tx kv.Tx) error {
		if _, err := readAccount(tx, id); err != nil {
			return err
		}
		return Doom(tx, id)
	})
	if err != nil {
		return err
	}
	return s.Removed(ctx, id)
}

// Doom makes a transaction the end of an account's mail, if it has any: once it is durable, nobody reads or writes that
// any more. Removed does the rest; after a crash the next Open does.
func Doom(tx kv.Tx, id mail.AccountID) error {
	tx.Set(doomedKey(id, 0), nil)
	tx.Delete(key(id, kindAccount, 0))
	return nil
}

// Removed removes what there is of an account that was doomed. Sessions that have one of its mailboxes open get
// NotFound from then on. After an error in the midst the sweeper goes on.
func (s *Store) Removed(ctx context.Context, id mail.AccountID) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.work.Done()
	s.hold(id).gone.Store(true)
	s.tables.removeAccount(id)
	if err := s.sweep(ctx, tableKey{account: id}); err != nil {
		s.wakeSweeper()
		return fmt.Errorf("removing the mail of account %d: %w", id, err)
	}
	return nil
}

// Info describes a mailbox.
type Info struct {
	ID          ID
	Name        string // UTF-8, hierarchy separator "/", "INBOX" in capitals
	UIDValidity UIDValidity
	SpecialUse  SpecialUse
	NoSelect    bool // a parent that only exists for its children
	Subscribed  bool
}

// Status is what STATUS tells (RFC 9051, section 6.3.11). Size is in octets.
type Status struct {
	Messages, Unseen, Deleted int
	Size                      int64
	UIDNext                   UID
	UIDValidity               UIDValidity
	HighestModSeq             ModSeq
}

// MailboxID returns a mailbox's ObjectID (RFC 8474), which it keeps when it is renamed.
func (a *Account) MailboxID(id ID) string { return fmt.Sprintf("F%x-%x", uint64(a.id), uint64(id)) }

// Mailboxes returns all mailboxes in the order of their names, INBOX first.
func (a *Account) Mailboxes(ctx context.Context) ([]Info, error) {
	var all []Info
	err := a.store.db.View(ctx, func(r kv.Reader) error {
		if _, err := readAccount(r, a.id); err != nil {
			return err
		}
		subscribed, err := subscriptions(r, a.id)
		if err != nil {
			return err
		}
		all, err = mailboxes(r, a.id)
		for i := range all {
			_, all[i].Subscribed = slices.BinarySearch(subscribed, all[i].Name)
		}
		return err
	})
	slices.SortFunc(all, func(x, y Info) int {
		if (x.Name == inbox) != (y.Name == inbox) {
			if x.Name == inbox {
				return -1
			}
			return 1
		}
		return strings.Compare(x.Name, y.Name)
	})
	return all, err
}

// mailboxes reads the rows of all mailboxes, in the order of their IDs.
func mailboxes(r kv.Reader, account mail.AccountID) ([]Info, error) {
	var all []Info
	prefix := key(account, kindMailbox, 0)
	for p, err := range r.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return nil, err
		}
		row, err := decodeMailboxRow(p.Value)
		if err != nil {
			return nil, err
		}
		all = append(all, row.info(idOf(p.Key[len(prefix):])))
	}
	return all, nil
}

// Subscriptions returns the subscribed names, also those of mailboxes that do not exist.
func (a *Account) Subscriptions(ctx context.Context) ([]string, error) {
	var names []string
	err := a.store.db.View(ctx, func(r kv.Reader) (err error) {
		if _, err := readAccount(r, a.id); err != nil {
			return err
		}
		names, err = subscriptions(r, a.id)
		return err
	})
	return names, err
}

func subscriptions(r kv.Reader, account mail.AccountID) ([]string, error) {
	var names []string
	prefix := key(account, kindSubscription, 0)
	for p, err := range r.Scan(prefix, kv.PrefixEnd(prefix)) {
		if err != nil {
			return nil, err
		}
		names = append(names, string(p.Key[len(prefix):]))
	}
	return names, nil
}

// Lookup finds a mailbox by name; "inbox" in any case is INBOX. Errors: NotFound.
func (a *Account) Lookup(ctx context.Context, name string) (Info, error) {
	name, err := parseName(name)
	if err != nil {
		return Info{}, noSuchMailbox()
	}
	var info Info
	err = a.store.db.View(ctx, func(r kv.Reader) error {
		row, err := readAccount(r, a.id)
		if err != nil {
			return err
		}
		info, err = a.names.get(row.layout, name, func() (Info, error) { return lookup(r, a.id, name) })
		return err
	})
	return info, err
}

// lookup finds a mailbox by its canonical name. Errors: NotFound.
func lookup(r kv.Reader, account mail.AccountID, name string) (Info, error) {
	v, err := r.Get(nameKey(account, kindName, name))
	if errors.Is(err, kv.ErrNotFound) {
		return Info{}, noSuchMailbox()
	}
	if err != nil {
		return Info{}, err
	}
	row, err := readMailboxRow(r, account, idOf(v))
	if err != nil {
		return Info{}, err
	}
	info := row.info(idOf(v))
	info.Subscribed, err = exists(r, nameKey(account, kindSubscription, name))
	return info, err
}

// Status counts a mailbox without opening it. Errors: NotFound.
func (a *Account) Status(ctx context.Context, id ID) (Status, error) {
	var st Status
	err := a.store.db.View(ctx, func(r kv.Reader) error {
		if _, err := readAccount(r, a.id); err != nil {
			return err
		}
		row, c, err := readMailbox(r, a.id, id)
		st = Status{
			Messages: c.messages, Unseen: c.unseen, Deleted: c.deleted, Size: c.size,
			UIDNext: c.uidNext, UIDValidity: row.uidValidity, HighestModSeq: c.highest,
		}
		return err
	})
	return st, err
}

// Session counts a session, of which there may be as many as most at once, and returns its end. Errors: TooMany.
func (a *Account) Session(most int) (end func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sessions >= most {
		return nil, mail.Errorf(mail.TooMany, "The account has %d connections already", a.sessions)
	}
	a.sessions++
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.sessions--
	}), nil
}

// Exclusive takes the account's maildrop lock for POP3 and returns its release. Errors: InUse.
func (a *Account) Exclusive() (release func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.exclusive {
		return nil, mail.Errorf(mail.InUse, "another session has the maildrop locked")
	}
	a.exclusive = true
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.exclusive = false
	}), nil
}

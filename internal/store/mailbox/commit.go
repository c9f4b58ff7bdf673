package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

const (
	// maxGroup is how many operations share one transaction, and maxGroupOctets how much they may write
	// together, so that none makes the transaction too big for the others.
	maxGroup       = 128
	maxGroupOctets = 16 << 20
	// commitTimeout bounds a transaction, which is disk work alone.
	commitTimeout = time.Minute
)

// errAbandoned is what an operation gets when the group it was in ended in a panic.
var errAbandoned = errors.New("transaction abandoned")

// operation is one call's part in a transaction of its account.
type operation struct {
	run    func(*change) error // may be run several times
	octets int                 // about as many as it will write; 0: few
	exempt bool                // from the quota
	leads  bool                // guarded by Account.mu
	turn   chan bool           // true: lead the next group; false: done
	err    error
}

// update runs one operation in a transaction of the account and returns when it is durable.
//
// While one group of operations is being made durable, those that come wait, and then form the next group
// together: they share its transaction and its sync. The first of them leads, in its own
// goroutine. run sees what the operations before it in the group did. When it fails, the others are
// run again without it.
func (a *Account) update(ctx context.Context, run func(*change) error) error {
	return a.submit(ctx, &operation{run: run})
}

// submit is update for an operation that may write much.
func (a *Account) submit(ctx context.Context, o *operation) error {
	if err := a.store.enter(); err != nil {
		return err
	}
	defer a.store.work.Done()
	if err := ctx.Err(); err != nil {
		return err
	}
	o.turn, o.err = make(chan bool, 1), errAbandoned
	a.enqueue(o)
	select {
	case lead := <-o.turn:
		a.leadIf(ctx, lead)
	case <-ctx.Done():
		if a.withdraw(o) {
			return ctx.Err()
		}
		a.leadIf(ctx, <-o.turn)
	}
	return o.err
}

func (a *Account) enqueue(o *operation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, o)
	if !a.led {
		a.led = true
		o.lead()
	}
}

// lead makes o the leader of the next group. Account.mu is held.
func (o *operation) lead() {
	o.leads = true
	o.turn <- true
}

// withdraw takes an operation back that no group has taken. A leader stays, since others count on it.
func (a *Account) withdraw(o *operation) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.Index(a.waiting, o)
	if i < 0 || o.leads {
		return false
	}
	a.waiting = slices.Delete(a.waiting, i, i+1)
	return true
}

func (a *Account) leadIf(ctx context.Context, lead bool) {
	if !lead {
		return
	}
	group := a.takeGroup()
	defer a.handOver(group)
	// The leader's client may go away; the others in the group must not suffer from it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	a.commit(ctx, slices.Clone(group))
}

func (a *Account) takeGroup() []*operation {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, octets := 1, a.waiting[0].octets
	for n < min(len(a.waiting), maxGroup) && octets+a.waiting[n].octets <= maxGroupOctets {
		octets += a.waiting[n].octets
		n++
	}
	group := a.waiting[:n:n]
	a.waiting = a.waiting[n:]
	return group
}

// handOver passes the lead on and lets the group go.
func (a *Account) handOver(group []*operation) {
	a.mu.Lock()
	a.led = len(a.waiting) > 0
	if a.led {
		a.waiting[0].lead()
	}
	a.mu.Unlock()
	for _, o := range group[1:] {
		o.turn <- false
	}
}

// commit runs a group until a transaction goes through, leaving out operations that fail.
func (a *Account) commit(ctx context.Context, group []*operation) {
	for len(group) > 0 {
		var c *change
		failed := -1
		err := a.store.db.Update(ctx, func(tx kv.Tx) (err error) {
			c, failed = &change{account: a, tx: tx}, -1
			if err := c.begin(); err != nil {
				return err
			}
			for i, o := range group {
				if err := c.run(o); err != nil {
					failed = i
					return err
				}
			}
			return c.finish()
		})
		if err == nil {
			a.publish(ctx, c)
			a.store.stats.commits.Add(1)
			settle(group, nil)
			return
		}
		if failed < 0 || errors.Is(err, kv.ErrConflict) || errors.Is(err, kv.ErrFailed) {
			settle(group, err)
			return
		}
		group[failed].err = err
		group = slices.Delete(group, failed, failed+1)
	}
}

func settle(group []*operation, err error) {
	for _, o := range group {
		o.err = err
	}
}

func (a *Account) publish(ctx context.Context, c *change) {
	for _, e := range c.events {
		a.store.tables.publish(ctx, a.store.db, a.id, e)
	}
	if c.quota != (Quota{}) {
		a.usage.Store(&usageAt{c.row.modSeq, c.row.layout, c.used})
	}
}

// change is one transaction on an account. The rows that all operations need are read once and
// written once, at the end.
type change struct {
	account *Account
	tx      kv.Tx
	row     accountRow
	layout  uint64 // of the account when the transaction began
	boxes   map[ID]*box
	touched []*box // by the operation that is running
	stepped bool   // the operation that is running has its ModSeq
	written bool   // there is something to write
	quota   Quota
	used    Usage // if there is a quota
	events  []event
}

// begin reads the account. Errors: NotFound.
func (c *change) begin() error {
	row, err := readAccount(c.tx, c.account.id)
	if err != nil {
		return err
	}
	c.row, c.layout, c.boxes = row, row.layout, make(map[ID]*box, 2)
	if c.quota = c.account.quota(); c.quota != (Quota{}) {
		c.used, err = c.account.readUsage(c.tx, row)
	}
	return err
}

func (c *change) run(o *operation) error {
	c.touched, c.stepped = c.touched[:0], false
	before := c.used
	if err := o.run(c); err != nil {
		return err
	}
	if err := c.quota.exceeded(before, c.used); err != nil && !o.exempt {
		return err
	}
	for _, b := range c.touched {
		if err := b.log(); err != nil {
			return err
		}
	}
	return nil
}

// modSeq returns the running operation's ModSeq.
func (c *change) modSeq() ModSeq {
	if !c.stepped {
		c.stepped, c.written = true, true
		c.row.modSeq++
	}
	return c.row.modSeq
}

func (c *change) finish() error {
	if !c.written {
		return nil
	}
	c.tx.Set(key(c.account.id, kindAccount, 0), c.row.encode())
	for id, b := range c.boxes {
		if b.counted {
			c.tx.Set(mailboxKey(c.account.id, kindCounters, id), b.counters.encode())
		}
	}
	return nil
}

// box returns a mailbox that can hold messages. Errors: NotFound.
func (c *change) box(id ID) (*box, error) {
	if b := c.boxes[id]; b != nil {
		return b, nil
	}
	row, err := c.mailboxRow(id)
	if err != nil {
		return nil, err
	}
	counters, err := readCounters(c.tx, c.account.id, id, row)
	if err != nil {
		return nil, err
	}
	b := &box{change: c, id: id, row: row, counters: counters, table: c.account.store.tables.find(tableKey{c.account.id, id})}
	c.boxes[id] = b
	return b, nil
}

// mailboxRow returns a mailbox's row as the transaction has it.
func (c *change) mailboxRow(id ID) (mailboxRow, error) {
	read := func() (mailboxRow, error) { return readMailboxRow(c.tx, c.account.id, id) }
	if c.row.layout != c.layout {
		return read()
	}
	return c.account.rows.get(c.layout, id, read)
}

// relayout notes that the transaction changes the row, the name or the subscription of a mailbox.
func (c *change) relayout() {
	c.row.layout++
	c.written = true
}

func readAccount(r kv.Reader, id mail.AccountID) (accountRow, error) {
	v, err := r.Get(key(id, kindAccount, 0))
	if errors.Is(err, kv.ErrNotFound) || id == noAccount {
		return accountRow{}, noSuchAccount(id)
	}
	if err != nil {
		return accountRow{}, err
	}
	return decodeAccountRow(v)
}

// readMailbox reads a mailbox that can hold messages. Errors: NotFound.
func readMailbox(r kv.Reader, account mail.AccountID, id ID) (mailboxRow, counters, error) {
	row, err := readMailboxRow(r, account, id)
	if err != nil {
		return mailboxRow{}, counters{}, err
	}
	c, err := readCounters(r, account, id, row)
	return row, c, err
}

// readCounters reads the counters of the mailbox that has the row. Errors: NotFound.
func readCounters(r kv.Reader, account mail.AccountID, id ID, row mailboxRow) (counters, error) {
	if row.noSelect {
		return counters{}, noSuchMailbox()
	}
	v, err := r.Get(mailboxKey(account, kindCounters, id))
	if err != nil {
		return counters{}, fmt.Errorf("reading counters of mailbox %d: %w", id, err)
	}
	return decodeCounters(v)
}

func readMailboxRow(r kv.Reader, account mail.AccountID, id ID) (mailboxRow, error) {
	v, err := r.Get(mailboxKey(account, kindMailbox, id))
	if errors.Is(err, kv.ErrNotFound) {
		return mailboxRow{}, noSuchMailbox()
	}
	if err != nil {
		return mailboxRow{}, err
	}
	return decodeMailboxRow(v)
}

func exists(r kv.Reader, k []byte) (bool, error) {
	_, err := r.Get(k)
	if errors.Is(err, kv.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func noSuchAccount(id mail.AccountID) error { return mail.Errorf(mail.NotFound, "no account %d", id) }
func noSuchMailbox() error                  { return mail.Errorf(mail.NotFound, "no such mailbox") }

package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"
	"weak"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// format is the version of the keys that this program writes.
const format = 1

// defaultIdleMessages is 24 MB of tables.
const defaultIdleMessages = 2_000_000

// Options configures a Store.
type Options struct {
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: nothing is logged
	// IdleMessages bounds the messages whose flags are kept in memory, 12 octets each, for mailboxes
	// that no session has open; 0: 2,000,000.
	IdleMessages int
	// Quota returns what an account may hold; nil: none has a quota. It must be quick, and is called for
	// every change.
	Quota func(mail.AccountID) Quota
}

// Store holds the mail of all accounts.
type Store struct {
	db     kv.DB
	now    func() time.Time
	log    *slog.Logger
	quota  func(mail.AccountID) Quota // may be nil
	tables *tables
	great  chan struct{} // one for each great message that is being searched
	stats  stats

	work sync.WaitGroup // operations under way and the sweeper
	stop context.CancelFunc
	wake chan struct{} // for the sweeper

	mu     sync.Mutex
	closed bool
	// accounts are those that somebody holds: an account's lock must be one, but its memory need
	// not outlive its last session.
	accounts map[mail.AccountID]weak.Pointer[Account]
}

// Open reads the store's format, migrates an older one and refuses a newer one.
func Open(ctx context.Context, db kv.DB, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.IdleMessages == 0 {
		o.IdleMessages = defaultIdleMessages
	}
	if err := db.Update(ctx, migrate); err != nil {
		return nil, fmt.Errorf("opening the message store: %w", err)
	}
	sweeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &Store{
		db: db, now: o.Now, log: o.Log, quota: o.Quota, tables: newTables(o.IdleMessages), stop: stop, wake: make(chan struct{}, 1),
		accounts: make(map[mail.AccountID]weak.Pointer[Account]), great: make(chan struct{}, greatAtOnce),
	}
	s.work.Add(1)
	go s.sweeper(sweeping)
	return s, nil
}

// migrate brings the keys to this program's format. There is no older one yet.
func migrate(tx kv.Tx) error {
	k := key(noAccount, kindFormat, 0)
	v, err := tx.Get(k)
	if errors.Is(err, kv.ErrNotFound) {
		tx.Set(k, binary.AppendUvarint(nil, format))
		return nil
	}
	if err != nil {
		return err
	}
	d := decoder{rest: v}
	found := d.uvarint()
	if err := d.err("format"); err != nil {
		return err
	}
	if found != format {
		return errFormat(found)
	}
	return nil
}

func errFormat(found uint64) error {
	return fmt.Errorf("the mail was written in format %d, this program knows format %d; start a program that knows both", found, format)
}

// Close waits for what the store has under way. It does not close the DB.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.work.Wait()
	return nil
}

// enter counts an operation, which then must call s.work.Done. Errors: Unavailable, after Close.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return mail.Errorf(mail.Unavailable, "the message store is closed")
	}
	s.work.Add(1)
	return nil
}

// BodyWriter writes the content of a message to be appended.
type BodyWriter = kv.BlobWriter

// NewBody begins the blob of a message to be appended.
func (s *Store) NewBody(ctx context.Context) (BodyWriter, error) { return s.db.CreateBlob(ctx) }

// OpenBlob opens what a NewBody has finished, before it is appended.
func (s *Store) OpenBlob(ctx context.Context, id kv.BlobID) (Body, error) {
	return s.db.OpenBlob(ctx, id)
}

// Account returns the account, shared by all callers. Errors: NotFound.
func (s *Store) Account(ctx context.Context, id mail.AccountID) (*Account, error) {
	if a := s.held(id); a != nil && !a.gone.Load() {
		return a, nil
	}
	err := s.db.View(ctx, func(r kv.Reader) error {
		_, err := readAccount(r, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.hold(id), nil
}

func (s *Store) held(id mail.AccountID) *Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[id].Value()
}

// hold returns the one Account in memory for id.
func (s *Store) hold(id mail.AccountID) *Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.accounts[id].Value(); a != nil && !a.gone.Load() {
		return a
	}
	a := &Account{store: s, id: id}
	s.accounts[id] = weak.Make(a)
	runtime.AddCleanup(a, s.forget, id)
	return a
}

// forget drops an account that nobody holds, unless it has been made anew.
func (s *Store) forget(id mail.AccountID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.accounts[id]; ok && p.Value() == nil {
		delete(s.accounts, id)
	}
}

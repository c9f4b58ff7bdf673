// Package mailbox is the message store (MS): mailboxes, UIDs, flags, MODSEQ, changes and search
// (RFC 9051, RFC 7162), on the contract of store/kv.
//
// A Store hands out Accounts; an Account opens Mailboxes. All sessions that have one mailbox open
// share its table of UIDs and flags. Every change has a row under the account's one MODSEQ sequence
// and is seen by all sessions once it is durable. All methods may be called concurrently.
package mailbox

import (
	"context"
	"io"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/store/kv"
)

// ID names a mailbox within its account for ever, also after a rename.
type ID uint64

// UID, UIDValidity and ModSeq are those of RFC 9051, section 2.3.1 and RFC 7162. They never go backwards.
type (
	UID         uint32
	UIDValidity uint32
	ModSeq      uint64
)

// Flags is a set of system flags and of the mailbox's keywords, which have the bits from KeywordBit
// up in the order of State.Keywords.
type Flags uint64

// The system flags.
const (
	Seen Flags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft

	KeywordBit  = 8
	MaxKeywords = 64 - KeywordBit
)

// Options configures a Store.
type Options struct {
	Now func() time.Time // nil: time.Now
}

// Store holds the mail of all accounts.
type Store struct{}

// Open reads the store's format, migrates an older one and refuses a newer one.
func Open(ctx context.Context, db kv.DB, o Options) (*Store, error) { panic("not built yet") }

// Close waits for what the store has under way. It does not close the DB.
func (s *Store) Close() error { panic("not built yet") }

// CreateAccount makes INBOX, Drafts, Sent, Trash, Junk and Archive with their SPECIAL-USE (RFC 6154),
// all subscribed. For an account that exists it does nothing.
func (s *Store) CreateAccount(ctx context.Context, id mail.AccountID) error { panic("not built yet") }

// RemoveAccount removes every mailbox and message of the account. Sessions that have one of them
// open get NotFound from then on.
func (s *Store) RemoveAccount(ctx context.Context, id mail.AccountID) error { panic("not built yet") }

// Account returns the account, shared by all callers. Errors: NotFound.
func (s *Store) Account(ctx context.Context, id mail.AccountID) (*Account, error) {
	panic("not built yet")
}

// Account is one account's mail.
type Account struct{}

// SpecialUse is a SPECIAL-USE attribute with its backslash, such as `\Sent`; empty is none.
type SpecialUse string

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

// Mailboxes returns all mailboxes in the order of their names, INBOX first.
func (a *Account) Mailboxes(ctx context.Context) ([]Info, error) { panic("not built yet") }

// Subscriptions returns the subscribed names, also those of mailboxes that do not exist.
func (a *Account) Subscriptions(ctx context.Context) ([]string, error) { panic("not built yet") }

// Lookup finds a mailbox by name; "inbox" in any case is INBOX. Errors: NotFound.
func (a *Account) Lookup(ctx context.Context, name string) (Info, error) { panic("not built yet") }

// Create makes a mailbox and, as RFC 9051, section 6.3.4 says, the parents that are missing.
// Errors: Exists, Syntax, Unsupported (a special use that cannot be had).
func (a *Account) Create(ctx context.Context, name string, use SpecialUse) (Info, error) {
	panic("not built yet")
}

// Delete removes a mailbox and its messages. One with children becomes NoSelect; INBOX cannot be
// deleted. Errors: NotFound, Forbidden.
func (a *Account) Delete(ctx context.Context, name string) error { panic("not built yet") }

// Rename renames a mailbox with its children; renaming INBOX moves its messages to a new mailbox
// (RFC 9051, section 6.3.6). Errors: NotFound, Exists, Syntax, Forbidden.
func (a *Account) Rename(ctx context.Context, from, to string) error { panic("not built yet") }

// Subscribe and Unsubscribe change the subscription to a name, which need not exist.
func (a *Account) Subscribe(ctx context.Context, name string) error   { panic("not built yet") }
func (a *Account) Unsubscribe(ctx context.Context, name string) error { panic("not built yet") }

// Status counts a mailbox without opening it.
func (a *Account) Status(ctx context.Context, id ID) (Status, error) { panic("not built yet") }

// Message is a message to be stored. Its content is Prefix followed by the blob.
type Message struct {
	Prefix     []byte              // trace fields put on top at delivery; whole lines with CRLF, or nil
	Blob       kv.BlobID           // finished; linked by Append
	BlobSize   int64               // octets
	Attributes *message.Attributes // of the blob alone; nil: Append reads the blob and computes them
	Flags      []string            // IMAP names: `\Seen`, `$Forwarded`; `\Recent` is ignored
	Received   time.Time           // INTERNALDATE
}

// Append stores messages at the end of mailbox id, all or none, and returns their UIDs once they
// are durable. also, if not nil, adds to the same transaction (the queue removes its item with it).
//
// Errors: NotFound, OverQuota, TooMany (keywords).
func (a *Account) Append(ctx context.Context, id ID, messages []Message, also func(kv.Tx) error) ([]UID, error) {
	panic("not built yet")
}

// NewBody begins the blob of a message to be appended.
func (s *Store) NewBody(ctx context.Context) (kv.BlobWriter, error) { panic("not built yet") }

// Open opens a mailbox for a session, which must Close it. Errors: NotFound.
func (a *Account) Open(ctx context.Context, id ID) (*Mailbox, error) { panic("not built yet") }

// Mailbox is a session's handle on an open mailbox.
type Mailbox struct{}

// Close gives the handle back.
func (m *Mailbox) Close() { panic("not built yet") }

// State is the state of a mailbox at one ModSeq.
type State struct {
	Info          Info
	UIDNext       UID
	HighestModSeq ModSeq
	Keywords      []string // in the order of their bits; not to be changed
	UIDs          []UID    // rising; the caller's own
	Unseen        int
}

// State returns the durable state, from which a session's sequence view begins.
func (m *Mailbox) State() State { panic("not built yet") }

// Delta is what happened to a mailbox after some ModSeq: each UID appears once, in its last role.
type Delta struct {
	ModSeq   ModSeq   // up to which the delta tells
	Added    []UID    // rising
	Changed  []UID    // rising; flags differ, and the message is neither added nor expunged
	Expunged []UID    // rising
	Keywords []string // the mailbox's keywords now
	Gone     bool     // the mailbox was deleted
}

// Changes returns what happened after since. When the log does not reach back that far it compares
// with all that is there (Expunged then is every UID below UIDNext that does not exist).
func (m *Mailbox) Changes(ctx context.Context, since ModSeq) (Delta, error) { panic("not built yet") }

// Wait returns a channel that is closed at the first change after since; at once if there is one.
func (m *Mailbox) Wait(since ModSeq) <-chan struct{} { panic("not built yet") }

// Entry is the changing part of a message.
type Entry struct {
	UID    UID
	ModSeq ModSeq
	Flags  Flags
}

// Entries appends to dst the entries of the given UIDs, leaving out those that do not exist.
func (m *Mailbox) Entries(dst []Entry, uids []UID) []Entry { panic("not built yet") }

// FlagNames returns the IMAP names of f. ParseFlags finds the bits of names, without making new
// keywords: unknown ones are left out and reported in missing.
func (m *Mailbox) FlagNames(f Flags) []string                            { panic("not built yet") }
func (m *Mailbox) ParseFlags(names []string) (f Flags, missing []string) { panic("not built yet") }

// Record is the unchanging part of a message.
type Record struct {
	UID      UID
	Size     int64 // RFC822.SIZE, octets
	Received time.Time
	// Attributes are those of the whole message, prefix included. They are decoded when first
	// asked for and are valid until the function that got the Record returns.
	Attributes func() (*message.Attributes, error)
}

// Records calls f for each existing message of uids (rising), reading one contiguous key range.
// It never opens a body.
func (m *Mailbox) Records(ctx context.Context, uids []UID, f func(*Record) error) error {
	panic("not built yet")
}

// Body is an open message: prefix and blob as one. ReadAt may be called concurrently.
type Body interface {
	io.ReaderAt
	io.WriterTo
	Size() int64
	Close() error
}

// OpenBody opens a message's content. Errors: Expunged.
func (m *Mailbox) OpenBody(ctx context.Context, uid UID) (Body, error) { panic("not built yet") }

// StoreMode is how Store changes flags.
type StoreMode uint8

// The modes of STORE.
const (
	ReplaceFlags StoreMode = iota
	AddFlags
	RemoveFlags
)

// Change is a STORE: all existing messages of UIDs get one new ModSeq, except those already as
// asked, which keep theirs, and those changed after UnchangedSince (nil: no condition).
type Change struct {
	UIDs           []UID // rising
	Mode           StoreMode
	Flags          []string // IMAP names; new keywords are made
	UnchangedSince *ModSeq
}

// Stored is the outcome of Store. Errors of Store: TooMany (keywords).
type Stored struct {
	ModSeq   ModSeq
	Changed  []UID // rising; got ModSeq
	Modified []UID // rising; failed UnchangedSince
}

// Store changes flags; it is durable on return.
func (m *Mailbox) Store(ctx context.Context, c Change) (Stored, error) { panic("not built yet") }

// Expunge removes the messages of uids that bear \Deleted; nil means all that do. It returns the
// UIDs removed and the change's ModSeq (RFC 7162, section 3.2.10).
func (m *Mailbox) Expunge(ctx context.Context, uids []UID) ([]UID, ModSeq, error) {
	panic("not built yet")
}

// Copied pairs the UIDs of a COPY or MOVE: Source[i] became Target[i] in the mailbox with UIDValidity.
type Copied struct {
	UIDValidity    UIDValidity
	Source, Target []UID
	ModSeq         ModSeq // of the removal, for MOVE
}

// Copy puts copies at the end of mailbox to, all or none; flags, keywords and INTERNALDATE are kept
// and no body is copied. Move also removes the sources, in the same transaction. Errors: NotFound.
func (m *Mailbox) Copy(ctx context.Context, uids []UID, to ID) (Copied, error) {
	panic("not built yet")
}
func (m *Mailbox) Move(ctx context.Context, uids []UID, to ID) (Copied, error) {
	panic("not built yet")
}

// Remove removes messages whatever their flags (POP3's QUIT).
func (m *Mailbox) Remove(ctx context.Context, uids []UID) error { panic("not built yet") }

// Exclusive takes the account's maildrop lock for POP3 and returns its release. Errors: InUse.
func (a *Account) Exclusive() (release func(), err error) { panic("not built yet") }

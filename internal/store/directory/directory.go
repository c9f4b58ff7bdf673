// Package directory holds domains, accounts, addresses, aliases and credentials, and verifies
// passwords. Every function that verifies one asks for a mail.Encrypted: there is no other way in.
package directory

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// Options configures a Directory.
type Options struct {
	Hostname mail.Domain // postmaster@Hostname always resolves
	Log      *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// Directory answers from memory what the store holds durably. All methods may be called concurrently.
type Directory struct{}

// Open reads the directory.
func Open(ctx context.Context, db kv.DB, o Options) (*Directory, error) { panic("not built yet") }

// Close ends the background work.
func (d *Directory) Close() error { panic("not built yet") }

// Account is who logs in.
type Account struct {
	ID       mail.AccountID `json:"id"`
	Address  mail.Address   `json:"address"`
	Disabled bool           `json:"disabled,omitempty"`
	Created  time.Time      `json:"created"`
	// HasPassword is false for role accounts such as postmaster after quickstart.
	HasPassword bool `json:"has_password"`
}

// Alias sends mail for an address on. A Local of "*" catches what no account or alias of the
// domain takes.
type Alias struct {
	Address mail.Address   `json:"address"`
	Targets []mail.Address `json:"targets"`
}

// Domains, AddDomain and RemoveDomain manage the domains that are ours. The first domain of an
// empty directory also gets its postmaster account. A domain with accounts or aliases cannot be
// removed. Errors: Exists, NotFound, InUse.
func (d *Directory) Domains(ctx context.Context) ([]mail.Domain, error)       { panic("not built yet") }
func (d *Directory) AddDomain(ctx context.Context, name mail.Domain) error    { panic("not built yet") }
func (d *Directory) RemoveDomain(ctx context.Context, name mail.Domain) error { panic("not built yet") }

// Accounts returns all accounts in the order of their addresses.
func (d *Directory) Accounts(ctx context.Context) ([]Account, error) { panic("not built yet") }

// AddAccount makes an account; an empty password makes one that cannot log in. The password is
// prepared with OpaqueString (RFC 8265) and kept as argon2id and SCRAM-SHA-256 keys.
// Errors: Exists, NotFound (domain), Syntax (password).
func (d *Directory) AddAccount(ctx context.Context, a mail.Address, password string) (Account, error) {
	panic("not built yet")
}

// RemoveAccount removes the account and returns it, so that the caller can remove its mail.
func (d *Directory) RemoveAccount(ctx context.Context, a mail.Address) (Account, error) {
	panic("not built yet")
}

// SetPassword replaces the main password. Errors: NotFound, Syntax.
func (d *Directory) SetPassword(ctx context.Context, a mail.Address, password string) error {
	panic("not built yet")
}

// SetDisabled disables or enables logins of an account; it still receives mail.
func (d *Directory) SetDisabled(ctx context.Context, a mail.Address, disabled bool) error {
	panic("not built yet")
}

// Aliases, AddAlias and RemoveAlias manage aliases. Targets may be remote. Errors: Exists, NotFound.
func (d *Directory) Aliases(ctx context.Context) ([]Alias, error)          { panic("not built yet") }
func (d *Directory) AddAlias(ctx context.Context, a Alias) error           { panic("not built yet") }
func (d *Directory) RemoveAlias(ctx context.Context, a mail.Address) error { panic("not built yet") }

// Resolution is where mail for an address goes.
type Resolution struct {
	Route    mail.Route       // Local: one of our domains; Remote: anything else
	Accounts []LocalRecipient // each account once
	Forward  []mail.Address   // remote targets of an alias
}

// LocalRecipient is an account that gets a copy.
type LocalRecipient struct {
	Account mail.AccountID
	Address mail.Address // the account's own
	Detail  string       // of a "+" subaddress
}

// Resolve follows exact addresses, "+" subaddresses, aliases (loops end), catch-alls and
// postmaster@ any of our domains, and "postmaster" alone (RFC 5321, section 4.5.1).
// Errors: NoAddress for an unknown address of ours.
func (d *Directory) Resolve(ctx context.Context, a mail.Address) (Resolution, error) {
	panic("not built yet")
}

// MaySend reports whether an account may use a as reverse-path or author: its own address with any
// "+" detail, and aliases that lead to it alone. Errors: Forbidden.
func (d *Directory) MaySend(ctx context.Context, id mail.AccountID, a mail.Address) error {
	panic("not built yet")
}

// Service names the door of an attempt.
type Service string

// The services.
const (
	Submission Service = "submission"
	IMAP       Service = "imap"
	POP3       Service = "pop3"
)

// Attempt describes a login for the verifier, its cache and the log.
type Attempt struct {
	Service   Service
	Mechanism string // SASL name, or "IMAP-LOGIN", "POP3-USER"
	Remote    netip.Addr
}

// Mechanisms returns the SASL mechanisms to advertise on a service, strongest first (rule A-1).
func (d *Directory) Mechanisms(s Service) []string { panic("not built yet") }

// Login verifies a plain password. A refusal takes at least 300 ms plus 0 to 100 ms, whatever its
// cause; a success is quick. Errors: AuthFailed (whatever the cause), Unavailable (too busy).
func (d *Directory) Login(ctx context.Context, e mail.Encrypted, a Attempt, login string, password []byte) (Account, error) {
	panic("not built yet")
}

// StartSASL begins an exchange by mechanism a.Mechanism. Errors: Unsupported (not offered).
func (d *Directory) StartSASL(ctx context.Context, e mail.Encrypted, a Attempt) (*Exchange, error) {
	panic("not built yet")
}

// Exchange is a SASL exchange under way.
type Exchange struct{}

// Next takes the client's response (nil: none yet, so that a mechanism whose server or client must
// speak first can ask; an empty one is not nil) and returns a challenge, or done. A challenge that
// comes with done is the additional data of success (RFC 4422, section 3.6): IMAP and POP3 send it
// as a last challenge that expects an empty response, SMTP likewise.
// Errors: AuthFailed, Syntax (malformed), Unavailable.
func (x *Exchange) Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	panic("not built yet")
}

// Account is who logged in, once done. Login is the name as the client sent it, for the log.
func (x *Exchange) Account() Account { panic("not built yet") }
func (x *Exchange) Login() string    { panic("not built yet") }

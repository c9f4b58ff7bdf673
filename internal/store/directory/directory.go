package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// Options configures a Directory.
type Options struct {
	Hostname mail.Domain // postmaster@Hostname always resolves
	Log      *slog.Logger
	Now      func() time.Time // nil: time.Now
	// Cost is that of hashing a password; zero values mean 19 MiB and 2 passes. Raising it hashes
	// each password again at its next login.
	Cost Cost
	// Hashes is how many passwords are hashed at once; 0, or more than there are processors: one for each
	// processor.
	Hashes int
}

// Cost is the cost of an argon2id hash (RFC 9106, section 3.1), with one lane.
type Cost struct {
	Memory uint32 // in KiB
	Passes uint32
}

// Directory answers from memory what the store holds durably. All methods may be called concurrently.
type Directory struct {
	db       kv.DB
	log      *slog.Logger
	now      func() time.Time
	hostname atomic.Value // mail.Domain
	quota    atomic.Value // Quota: the default
	legacy   atomic.Pointer[legacyRules]
	withheld atomic.Pointer[[]string]
	tokens   atomic.Pointer[Tokens]
	cost     Cost
	hasher   *hasher
	cache    *cache
	uses     *uses
	throttle *throttle
	census   *census
	counters counters

	rules      atomic.Pointer[Policy]
	sightings  *sightings
	downgrades downgrades
	onExposed  atomic.Pointer[func(context.Context, Exposed, string)]

	// changing is held by the one who changes the directory; it guards nothing that readers see.
	changing chan struct{}
	// tightening has one when credentials may have been exposed under a milder policy than there is.
	tightening chan struct{}

	mu    sync.RWMutex
	state *state

	stop context.CancelFunc
	work sync.WaitGroup // in the background
}

// Open reads the directory, making an empty one in a store that has none.
//
// Errors: an explanation when the directory was written by a newer version of Candor.
func Open(ctx context.Context, db kv.DB, o Options) (*Directory, error) {
	d := &Directory{
		db: db, log: o.Log, now: o.Now, cost: o.Cost.orDefault(),
		hasher: newHasher(o.Hashes), cache: newCache(), uses: newUses(),
		changing: make(chan struct{}, 1), census: newCensus(), sightings: newSightings(),
		tightening: make(chan struct{}, 1),
	}
	d.rules.Store(&Policy{})
	d.hostname.Store(o.Hostname)
	d.SetLegacyRules(nil, nil)
	if d.now == nil {
		d.now = time.Now
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.throttle = newThrottle(d.log, newHomes(d.uses, d.now()))
	if err := db.Update(ctx, prepare); err != nil {
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	if err := d.load(ctx); err != nil {
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	if err := d.loadMechanisms(ctx); err != nil {
		return nil, fmt.Errorf("opening the census of logins: %w", err)
	}
	background, stop := context.WithCancel(context.Background())
	d.stop = stop
	for _, work := range []func(context.Context){d.flushUses, d.keepCensus, d.watchSightings} {
		d.work.Go(func() { work(background) })
	}
	return d, nil
}

// SetHostname changes the name whose postmaster always resolves.
func (d *Directory) SetHostname(h mail.Domain) { d.hostname.Store(h) }

// host is that name.
func (d *Directory) host() string { return string(d.hostname.Load().(mail.Domain)) }

// SetDefaultQuota changes what accounts may hold that have no quota of their own; 0 is no bound.
func (d *Directory) SetDefaultQuota(q Quota) { d.quota.Store(q) }

// Close ends the background work.
func (d *Directory) Close() error {
	d.stop()
	d.work.Wait()
	return nil
}

// prepare brings the stored directory to this version's format.
func prepare(tx kv.Tx) error {
	version, err := getNumber(tx, keyVersion)
	if err != nil {
		return err
	}
	if version > formatVersion {
		return errNewer(version)
	}
	if version == formatVersion {
		return nil
	}
	for _, migrate := range migrations[version:] {
		if err := migrate(tx); err != nil {
			return fmt.Errorf("migrating it from format %d: %w", version, err)
		}
	}
	tx.Set(keyVersion, number(formatVersion))
	return nil
}

func errNewer(version uint64) error {
	return fmt.Errorf("it was written by a newer version of Candor (format %d; this one knows %d): use that version", version, formatVersion)
}

// migrations holds, for each format, what makes the next one of it. Format 0 is an empty store.
var migrations = [formatVersion]func(kv.Tx) error{
	func(tx kv.Tx) error {
		secret := make([]byte, secretSize)
		_, _ = rand.Read(secret) // never fails
		tx.Set(keySecret, secret)
		return nil
	},
	// Format 2 has credentials that may not be used for everything, which a program of format 1 would not see.
	func(kv.Tx) error { return nil },
	// Format 3 has a census of logins, and trials.
	func(kv.Tx) error { return nil },
}

// load reads everything into memory.
func (d *Directory) load(ctx context.Context) error {
	s, used := newState(), map[credentialKey]LastUse{}
	err := d.db.View(ctx, func(r kv.Reader) error {
		s, used = newState(), map[credentialKey]LastUse{}
		for p, err := range r.Scan(keyAll, keyCensus) {
			if err != nil {
				return err
			}
			if err := s.read(p, used); err != nil {
				return fmt.Errorf("record %q: %w", p.Key, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(s.secret) == 0 {
		return fmt.Errorf("record %q: %w", keySecret, errDamaged)
	}
	s.index()
	d.mu.Lock()
	d.state = s
	d.mu.Unlock()
	d.uses.restore(used)
	return nil
}

// view gives f the directory as it is now. f must not keep the state, but may keep what it finds
// there: records are replaced, never changed.
func (d *Directory) view(f func(*state)) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	f(d.state)
}

// Refresh reads the directory again if another node has changed it.
func (d *Directory) Refresh(ctx context.Context) error {
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	return d.refresh(ctx)
}

func (d *Directory) refresh(ctx context.Context) error {
	var stored uint64
	err := d.db.View(ctx, func(r kv.Reader) (err error) {
		stored, err = getNumber(r, keyChanges)
		return err
	})
	if err == nil && stored != d.state.changes {
		err = d.load(ctx)
	}
	if err != nil {
		return fmt.Errorf("reading the directory again: %w", err)
	}
	return nil
}

func (d *Directory) lock(ctx context.Context) error {
	select {
	case d.changing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return mail.Wrap(mail.Unavailable, ctx.Err(), "the directory is busy")
	}
}

func (d *Directory) unlock() { <-d.changing }

// errStale abandons a transaction that was prepared with memory that another node has outdated.
var errStale = errors.New("the directory has been changed by another node")

// A change writes its records in tx, having looked at s, and returns what to do with memory once
// they are durable. It may be called more than once and must not change s itself.
type change func(tx kv.Tx, s *state) (apply func(*state), err error)

// change makes one change, first durable, then visible.
func (d *Directory) change(ctx context.Context, f change) error {
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	for {
		err := d.tryChange(ctx, f)
		if !errors.Is(err, errStale) {
			return err
		}
		if err := d.refresh(ctx); err != nil {
			return err
		}
	}
}

// afterFailure bounds the look at what a failed transaction has left behind.
const afterFailure = 10 * time.Second

func (d *Directory) tryChange(ctx context.Context, f change) error {
	var apply func(*state)
	var refused error
	changes := d.state.changes
	err := d.db.Update(ctx, func(tx kv.Tx) error {
		stored, err := getNumber(tx, keyChanges)
		if err == nil && stored != changes {
			err = errStale
		}
		if err == nil {
			apply, err = f(tx, d.state)
		}
		if refused = err; err != nil {
			return err
		}
		tx.Set(keyChanges, number(changes+1))
		return nil
	})
	switch {
	case err == nil:
		d.mu.Lock()
		defer d.mu.Unlock()
		apply(d.state)
		d.state.changes = changes + 1
		return nil
	case refused != nil:
		return refused
	}
	// The transaction itself failed, and may be durable all the same: memory must not fall behind.
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterFailure)
	defer cancel()
	return errors.Join(fmt.Errorf("changing the directory: %w", err), d.refresh(late))
}

// ForgetLogins makes every node verify all passwords anew, as after an import that has replaced
// accounts behind the directory's back (specification, section 3.5: C-6).
func (d *Directory) ForgetLogins(ctx context.Context) error {
	return d.change(ctx, func(tx kv.Tx, s *state) (func(*state), error) {
		epoch := s.epoch + 1
		tx.Set(keyEpoch, number(epoch))
		return func(s *state) { s.epoch = epoch }, nil
	})
}

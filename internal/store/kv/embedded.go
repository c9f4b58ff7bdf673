package kv

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options configures the embedded engine.
type Options struct {
	Dir string       // made if it is absent
	Log *slog.Logger // nil: slog.Default
	// Cache is how many octets of keys are held in memory, Buffers those of all blobs together that
	// are being written. Zero means 64 MiB each.
	Cache, Buffers int64
	// MaxTx is how many octets of keys and values one transaction may write; zero means 256 MiB.
	MaxTx int64
	// CollectRate is how many octets a second the collector reads and writes when it makes room; zero means 16 MiB.
	CollectRate int64
	// CollectInterval is the least time from one run of the collector to the next, and from the start to the first; zero
	// means 10 minutes.
	CollectInterval time.Duration
	// AcceptLoss opens a store whose newest segments are missing, which is an ErrMissing else.
	AcceptLoss bool
}

// Engine is the embedded engine: Pebble holds the keys, segment files the blobs.
type Engine struct {
	fs      vfs.FS
	blobDir string
	log     *slog.Logger
	stats   counters
	gate    *gate
	space   *space

	lock *pebble.Lock
	disk *disk
	db   *pebble.DB

	maxTx     int64
	turn      turn
	active    active
	applied   atomic.Uint64          // number of the last commit that snapshots show
	last      atomic.Pointer[commit] // the last commit that a snapshot may show
	commitMu  sync.Mutex
	pressure  pressure
	leaveTime time.Duration              // that Close gives to those who are in the store when it has failed
	stall     atomic.Pointer[time.Timer] // set when Pebble stops a commit
	history   history
	wedged    atomic.Bool // Pebble stopped in the middle of a commit and may hold its locks

	salt      uint64
	appender  *appender
	catalog   *catalog
	segments  *handles
	flights   *flights
	collector *collector
	buffers   budget
	holds     holds

	checkpoints atomic.Uint64 // made; names their folders
}

// formatOfKeys is the version of kv's own rows and of the segments.
const formatOfKeys = 1

// Open opens the embedded engine in o.Dir. Errors: an explanation when another process has it open
// (errors.Is ErrLocked), when its segments are not there (ErrMissing), or when its format is newer than this program.
func Open(ctx context.Context, o Options) (*Engine, error) {
	return open(ctx, o, settings{fs: vfs.Default, segmentSize: segmentSize})
}

// settings are what tests choose.
type settings struct {
	fs          vfs.FS
	segmentSize int64
	hang        time.Duration // disk.hang, unless it is zero
}

func open(ctx context.Context, o Options, s settings) (*Engine, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	e := &Engine{fs: s.fs, log: o.Log, gate: newGate(), turn: newTurn(), disk: newDisk(s.fs, o.Log), leaveTime: 10 * time.Second}
	e.disk.hang = cmp.Or(s.hang, e.disk.hang)
	e.maxTx = cmp.Or(o.MaxTx, maxTx)
	e.catalog = newCatalog()
	e.flights = newFlights(e.catalog)
	e.collector = newCollector(e, o)
	e.buffers.set(cmp.Or(o.Buffers, bufferTotal))
	if err := e.openKeys(o.Dir, cmp.Or(o.Cache, defaultCache)); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store in %s: %w", o.Dir, err), e.closeKeys())
	}
	e.pressure.measure, e.pressure.patience = e.backlog, busyPatience
	if err := e.openBlobs(o, s.segmentSize); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store in %s: %w", o.Dir, err), e.closeKeys())
	}
	return e, nil
}

func (e *Engine) openKeys(dir string, cache int64) error {
	keyDir := e.fs.PathJoin(dir, "keys")
	if err := makeDir(e.fs, keyDir); err != nil {
		return err
	}
	if err := e.takeLock(keyDir); err != nil {
		return err
	}
	if err := e.openAside(dir); err != nil {
		return err
	}
	e.space = &space{fs: e.fs, dir: dir}
	e.space.look()
	e.disk.full = e.space.refuse
	db, err := pebble.Open(keyDir, e.pebbleOptions(cache))
	if err != nil && strings.Contains(err.Error(), "unknown format major version") { // Pebble has no error value for it
		return fmt.Errorf("it was written by a newer version of candor: use that version (%w)", err)
	}
	if err != nil {
		return readError(err)
	}
	e.db = db
	return e.openFormat()
}

// takeLock makes sure that we are alone.
func (e *Engine) takeLock(dir string) (err error) {
	e.lock, err = lockDir(dir, e.fs)
	return err
}

// openFormat refuses a newer format, migrates an older one, and marks a new store.
func (e *Engine) openFormat() error {
	s := snapshot{e.db.NewSnapshot()}
	row, err := s.Get(formatKey)
	if err := errors.Join(err, s.pebble.Close()); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err == nil {
		return e.readFormat(row)
	}
	row = binary.LittleEndian.AppendUint32(nil, formatOfKeys)
	row = append(row, make([]byte, 8)...)
	if _, err := rand.Read(row[4:]); err != nil {
		return err
	}
	if err := e.db.Set(formatKey, row, pebble.Sync); err != nil {
		return err
	}
	if err := e.disk.failed(); err != nil {
		return err
	}
	return e.readFormat(row)
}

func (e *Engine) readFormat(row []byte) error {
	if len(row) != 12 {
		return fmt.Errorf("%w: format row of %d octets", ErrCorrupt, len(row))
	}
	if v := binary.LittleEndian.Uint32(row); v > formatOfKeys {
		return fmt.Errorf("the store has format %d, this candor knows up to %d: run the newer one", v, formatOfKeys)
	}
	e.salt = binary.LittleEndian.Uint64(row[4:])
	return nil
}

func (e *Engine) openBlobs(o Options, limit int64) error {
	e.blobDir = e.fs.PathJoin(o.Dir, "blobs")
	next, err := e.recoverSegments(o.AcceptLoss)
	if err != nil {
		return err
	}
	if err := makeDir(e.fs, e.blobDir); err != nil {
		return err
	}
	e.segments = newHandles(e.fs, e.blobDir, e.catalog)
	e.appender = &appender{
		fs: e.fs, dir: e.blobDir, salt: e.salt, space: e.space, log: e.log, stats: &e.stats, limit: limit, next: next,
		catalog: e.catalog, abandoned: e.collector.giveUp, watch: e.disk.watch,
	}
	e.appender.tip.Store(position{next - 1, math.MaxUint32}.pack()) // those that are there are written to no more
	e.appender.start()
	e.collector.start()
	return nil
}

// enter begins an operation, which ends with leave.
func (e *Engine) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.gate.enter()
}

func (e *Engine) leave() { e.gate.leave() }

// failed returns ErrFailed after a failure of the keys.
func (e *Engine) failed() error { return e.disk.failed() }

// Failed is closed when the keys have failed: every write then returns ErrFailed, and Err says why. What is on disk can be
// sorted out only by opening the store again.
func (e *Engine) Failed() <-chan struct{} { return e.disk.broken }

// Err returns ErrFailed with its cause, or nil while the store is sound.
func (e *Engine) Err() error { return e.failed() }

// Close waits for the transactions that run and closes the store. A blob that is being written
// gets ErrClosed.
func (e *Engine) Close() error {
	e.collector.cancel()
	empty, first := e.gate.close()
	if !e.leftBy(e.collector.ended) || !e.leftBy(empty) {
		e.wedged.Store(true)
	}
	if !first {
		return ErrClosed
	}
	e.leftBy(e.appender.close())
	e.segments.close()
	return errors.Join(e.flush(), e.closeKeys())
}

// leftBy waits until done is closed. When the store has failed somebody may never come back from Pebble or from the disk:
// then it returns false after a while.
func (e *Engine) leftBy(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-e.disk.broken:
	}
	select {
	case <-done:
		return true
	case <-time.After(e.leaveTime):
		return false
	}
}

// flush saves the next Open the reading of the log. On a full disk it would never end.
func (e *Engine) flush() error {
	if e.failed() != nil {
		return nil // the log is read again at the next Open
	}
	flushed, err := e.db.AsyncFlush()
	if err != nil {
		return err
	}
	select {
	case <-flushed:
	case <-e.disk.broken:
	case <-time.After(e.disk.patience):
		e.log.Warn("closing the store without writing its tables, which takes too long: the next start reads the log")
	}
	return nil
}

// closeKeys closes what openKeys opened. After a failure Pebble's own complaints mean nothing.
func (e *Engine) closeKeys() error {
	close(e.disk.closing)
	var err error
	if e.db != nil && !e.wedged.Load() {
		err = e.db.Close()
	}
	if e.disk.failed() != nil {
		err = nil
	}
	if e.lock != nil {
		err = errors.Join(err, e.lock.Close())
	}
	return err
}

// isLocked tells a lock that is held from one that cannot be made.
func isLocked(err error) bool {
	return strings.Contains(err.Error(), "lock held by current process") || isLockErrno(err)
}

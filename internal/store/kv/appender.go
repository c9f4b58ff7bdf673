package kv

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	segmentSize = 256 << 20
	maxGroup    = 4 << 20 // octets that are written before others wait for the next sync
	stageSize   = 1 << 20 // octets written by one call
	zeroAhead   = 1 << 20 // octets made zero beyond what is written
)

// record is a body on its way into a segment. The appender fills in where it went.
type record struct {
	kind  recordKind
	body  []byte
	sum   uint32
	sync  bool   // done means durable, not only written
	parts []part // for an index: what must be durable as well
	done  chan error

	at   position
	home *segment
}

// part is where a chunk went.
type part struct {
	at     position
	length uint32
	sum    uint32
	home   *segment
}

// segment is a file that is being written. Its fields belong to the appender.
type segment struct {
	number  uint32
	file    vfs.File
	end     int64 // of what is written or staged
	zeroed  int64 // the file reaches so far
	durable int64
	used    bool // something was written into it
}

// appender is the one writer of segments. It takes all records that wait, writes them with few
// calls, syncs once, and tells all who waited. After a failure it goes on in a new segment.
type appender struct {
	fs    vfs.FS
	dir   string
	salt  uint64
	space *space
	log   *slog.Logger
	stats *counters
	limit int64 // size of a segment
	// catalog learns what is begun, sealed and given up. A record whose owner is told of success stays noted there
	// as under way, until the owner takes that back.
	catalog   *catalog
	abandoned func(number uint32, durable int64)
	watch     func(name string) (stop func() bool) // of disk

	wakeUp chan struct{}
	ended  chan struct{}

	// tip is the segment begun last with how far it is durable, as a position.
	tip atomic.Uint64

	// The fields below belong to the goroutine.
	next    uint32 // number of the next segment
	current *segment
	stage   []byte // what is to be written at the end of current
	staged  []*record

	mu      sync.Mutex
	queue   []*record
	worn    uint32        // the segment that renew is to end
	renewed chan struct{} // closed when that is done; nil: there is none
	closed  bool
}

func (a *appender) start() {
	a.wakeUp = make(chan struct{}, 1)
	a.ended = make(chan struct{})
	go a.run()
}

// append hands records over; the done of each tells the outcome. Those that are handed over together are made durable
// together as far as they fit into a group.
func (a *appender) append(records ...*record) {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		a.refuse(records, ErrClosed)
		return
	}
	a.queue = append(a.queue, records...)
	a.mu.Unlock()
	a.wake()
}

func (a *appender) wake() {
	select {
	case a.wakeUp <- struct{}{}:
	default:
	}
}

// renew ends the segment with a number, if it is the newest, and begins another. One caller at a time returns when that is
// done.
func (a *appender) renew(number uint32) {
	done := make(chan struct{})
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return
	}
	a.worn, a.renewed = number, done
	a.mu.Unlock()
	a.wake()
	<-done
}

// renewWorn does what renew asks for.
func (a *appender) renewWorn() {
	a.mu.Lock()
	number, done := a.worn, a.renewed
	a.worn, a.renewed = 0, nil
	a.mu.Unlock()
	if done == nil {
		return
	}
	defer close(done)
	if number != a.next-1 {
		return
	}
	a.retire()
	if a.current == nil {
		_ = a.open() // the next record tries again, and tells
	}
}

// close writes what waits, seals the segment and ends the goroutine, of which the channel tells.
func (a *appender) close() <-chan struct{} {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.wake()
	return a.ended
}

func (a *appender) run() {
	defer close(a.ended)
	for {
		group, closed := a.take()
		a.renewWorn() // after take, so that nobody waits for it who asked before close
		if len(group) > 0 {
			a.commit(group)
			continue
		}
		if closed {
			a.retire()
			return
		}
		<-a.wakeUp
	}
}

// take returns the records that wait, up to the size of a group.
func (a *appender) take() (group []*record, closed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, size := 0, 0
	for n < len(a.queue) && size < maxGroup {
		size += len(a.queue[n].body)
		n++
	}
	group = a.queue[:n:n]
	a.queue = a.queue[n:]
	return group, a.closed
}

// commit writes a group and tells each record's owner.
func (a *appender) commit(group []*record) {
	defer a.watch(a.dir)()
	if err := a.space.check(blobsReserve); err != nil {
		a.refuse(group, err)
		return
	}
	sync := false
	for _, r := range group {
		a.put(r)
		sync = sync || r.sync
	}
	a.settle(sync)
	a.stats.groups.Add(1)
	a.stats.records.Add(uint64(len(group)))
}

// refuse tells the owners of records of a failure.
func (a *appender) refuse(group []*record, err error) {
	for _, r := range group {
		a.tell(r, err)
	}
}

// tell tells a record's owner of the outcome.
func (a *appender) tell(r *record, err error) {
	if err != nil && r.home != nil {
		a.catalog.land(r.home.number, 1)
	}
	r.done <- err
}

// put stages r.
func (a *appender) put(r *record) {
	h := header{bodySum: r.sum, length: uint32(len(r.body)), kind: r.kind}
	if a.current != nil && a.current.end+h.size() > a.limit {
		a.retire()
	}
	if a.current == nil {
		if err := a.open(); err != nil {
			a.tell(r, err)
			return
		}
	}
	s := a.current
	r.home, r.at = s, position{s.number, uint32(s.end)}
	a.catalog.depart(s.number)
	h.durable = uint32(s.durable)
	start := len(a.stage)
	a.stage = append(a.stage, make([]byte, headerSize)...)
	h.put(a.stage[start:], a.salt, r.at)
	a.stage = append(a.stage, r.body...)
	a.stage = append(a.stage, make([]byte, h.size()-headerSize-int64(len(r.body)))...)
	s.end += h.size()
	a.staged = append(a.staged, r)
	if len(a.stage) >= stageSize {
		a.flush()
	}
}

// flush writes what is staged.
func (a *appender) flush() {
	if len(a.stage) == 0 {
		return
	}
	s := a.current
	_, err := s.file.WriteAt(a.stage, s.end-int64(len(a.stage)))
	a.stats.bytes.Add(uint64(len(a.stage)))
	a.emptyStage()
	s.used = true
	if err != nil {
		a.abandon(fmt.Errorf("writing %s: %w", segmentName(s.number), err))
	}
}

func (a *appender) emptyStage() {
	if cap(a.stage) > 2*stageSize {
		a.stage = nil
	}
	a.stage = a.stage[:0]
}

// settle writes what is staged, syncs if somebody waits for that, and tells the staged records.
func (a *appender) settle(sync bool) {
	a.flush()
	if a.current != nil && sync {
		a.sync()
	}
	staged := a.staged
	a.staged = nil
	for _, r := range staged {
		a.tell(r, a.outcome(r))
	}
}

// sync makes the current segment durable.
func (a *appender) sync() {
	s := a.current
	if s.end > s.zeroed {
		a.extend()
	}
	if a.current == nil {
		return
	}
	a.stats.syncs.Add(1)
	if err := s.file.SyncData(); err != nil {
		a.abandon(fmt.Errorf("syncing %s: %w", segmentName(s.number), err))
		return
	}
	s.durable = s.end
	a.tip.Store(position{s.number, uint32(s.durable)}.pack())
}

var zeros [zeroAhead]byte

// extend makes the file longer than it needs to be: a sync that changes no metadata takes half the time.
func (a *appender) extend() {
	s := a.current
	to := min(s.end+zeroAhead, max(a.limit, s.end))
	if _, err := s.file.WriteAt(zeros[:to-s.end], s.end); err != nil {
		a.abandon(fmt.Errorf("extending %s: %w", segmentName(s.number), err))
		return
	}
	s.zeroed = to
}

// outcome is nil when r, and all that it needs, is what it is meant to be.
func (a *appender) outcome(r *record) error {
	if !r.sync {
		return nil
	}
	if r.home.durable < int64(r.at.offset)+headerSize+int64(len(r.body)) {
		return errLost
	}
	for _, p := range r.parts {
		if p.home.durable < int64(p.at.offset)+headerSize+int64(p.length) {
			return errLost
		}
	}
	return nil
}

var errLost = errors.New("kv: a part of the blob was lost in a failed write")

// abandon gives the current segment up: what was not durable is lost, and who waits for it is told.
func (a *appender) abandon(cause error) {
	a.log.Error("a segment of the store was given up; mail goes on in a new one", "err", cause)
	s := a.current
	a.current = nil
	a.stats.abandoned.Add(1)
	if errors.Is(cause, syscall.ENOSPC) {
		cause = errFull()
		a.space.look()
	}
	a.emptyStage()
	a.refuse(a.staged, cause)
	a.staged = nil
	a.closeFile(s)
	a.catalog.seal(s.number, s.durable)
	a.abandoned(s.number, s.durable)
}

// retire ends the current segment in order. Its last records become durable before others that may
// need them are written elsewhere.
func (a *appender) retire() {
	if a.current == nil {
		return
	}
	defer a.watch(a.dir)()
	a.settle(a.current.durable < a.current.end || len(a.stage) > 0)
	s := a.current
	if s == nil {
		return
	}
	a.current = nil
	// A seal that does not reach the disk only means that the segment is read through at the next start.
	if _, err := s.file.WriteAt(head{s.number, a.salt, &seal{end: uint32(s.end)}}.marshal(), 0); err != nil {
		a.log.Warn("sealing a segment failed", "segment", segmentName(s.number), "err", err)
	}
	a.closeFile(s)
	a.catalog.seal(s.number, s.end)
}

func (a *appender) closeFile(s *segment) {
	if err := s.file.Close(); err != nil {
		a.log.Warn("closing a segment failed", "segment", segmentName(s.number), "err", err)
	}
}

// open begins a new segment.
func (a *appender) open() error {
	defer a.watch(a.dir)()
	number := a.next
	path := a.fs.PathJoin(a.dir, segmentName(number))
	file, err := a.create(path, number)
	if err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			a.space.look()
			err = errFull()
		}
		return fmt.Errorf("beginning segment %d: %w", number, err)
	}
	a.next++
	a.catalog.add(number, 0)
	a.current = &segment{number: number, file: file, end: headSize, zeroed: headSize, durable: headSize}
	a.tip.Store(position{number, headSize}.pack())
	a.stats.segments.Add(1)
	return nil
}

// create makes the file with its head and makes its name durable.
func (a *appender) create(path string, number uint32) (vfs.File, error) {
	file, err := a.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	if err := a.begin(file, number); err != nil {
		return nil, errors.Join(err, file.Close(), a.fs.Remove(path))
	}
	return file, nil
}

func (a *appender) begin(file vfs.File, number uint32) error {
	if _, err := file.WriteAt(head{number: number, salt: a.salt}.marshal(), 0); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return syncDir(a.fs, a.dir)
}

// makeDir makes a directory and those above it that are missing, durably.
func makeDir(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	parent := fs.PathDir(dir)
	if err := makeDir(fs, parent); err != nil {
		return err
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, parent)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

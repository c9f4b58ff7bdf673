// Package queue is the durable queue: every accepted message passes through it. It keeps the
// schedule, retries, expiry and delivery reports; Transports make the attempts.
//
// A message that comes in is made durable in one commit and handed on in memory; the store is read
// again only for retries, after a restart, or when more waits than Options.Memory allows. One for a
// single local recipient goes straight to its mailbox where that can be done (AtOnce). A recipient leaves the store in the same transaction that stores its copy (Settle), so that
// a crash neither loses nor repeats a local delivery.
package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/store/kv"
)

// Message is what is put into the queue.
type Message struct {
	ID         ID // from NewID; the Received field bears it
	Envelope   mail.Envelope
	Trace      []byte              // our Received field, with CRLF
	Blob       kv.BlobID           // the message below it, finished
	BlobSize   int64               // octets
	Attributes *message.Attributes // of the blob alone; nil when the item was read again
	Inbound    mail.Transport      // the hop that brought it
	Arrival    Arrival             // for the record

	entry *entry // while it is in a queue
}

// Result is the outcome of one attempt for one recipient.
type Result struct {
	Recipient mail.Recipient `json:"recipient"`
	Err       error          `json:"-"` // nil: delivered. A mail.Error's status says retry or give up
	RemoteMTA string         `json:"remote_mta,omitempty"`
	Reply     string         `json:"reply,omitempty"`
	Transport mail.Transport `json:"transport"`
	At        time.Time      `json:"at"`

	// Settled: the transport has removed the recipient with Settle, in the transaction that stored
	// the copy.
	Settled bool `json:"-"`
	// Expanded are the recipients that take this one's place: what an alias stands for.
	Expanded []mail.Recipient `json:"-"`
	// Unreachable: no host of the destination could be talked to, so that other messages would fare
	// no better just now.
	Unreachable bool `json:"-"`
}

// Transport makes one attempt to deliver a message to some of its recipients, which for remote ones
// are all of one domain. It returns one result for each, in any order. A transport that stores into
// the same DB may remove the recipients from the queue in its own transaction with Settle
// and then says so by Result.Settled. The Message is shared and not to be changed.
type Transport interface {
	Deliver(ctx context.Context, m *Message, to []mail.Recipient) []Result
}

// Attempt is one message with the recipients that it is to be delivered to now.
type Attempt struct {
	Message *Message
	To      []mail.Recipient
}

// Batcher is a Transport that can make several attempts for one address at the price of one. The
// results are in the order of the attempts.
type Batcher interface {
	DeliverAll(ctx context.Context, attempts []Attempt) [][]Result
}

// Options configures a Queue.
type Options struct {
	Hostname mail.Domain
	Local    Transport // for mail.Local recipients
	Remote   Transport // for mail.Remote recipients
	Log      *slog.Logger
	Now      func() time.Time
	Workers  int             // local deliveries at a time; 0: 32
	Retry    []time.Duration // empty: 5, 10, 20, 40 min, 1 h, 2 h, then every 4 h
	Expire   time.Duration   // 0: 5 days
	// Redelivery is how long a local recipient waits after a temporary failure; 0: as in Retry.
	Redelivery time.Duration

	RemoteWorkers  int           // remote deliveries at a time; 0: 64
	PerDestination int           // of them to one domain; 0: 4
	Memory         int           // recipients under way that are held in memory, for each route; 0: 4096
	DelayWarning   time.Duration // age at which a local sender hears of a delay; 0: 4 h
	KeepRecords    time.Duration // how long the record of a message is kept; 0: 90 days
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if len(o.Retry) == 0 {
		o.Retry = defaultRetry
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&o.Expire, 5 * 24 * time.Hour}, {&o.DelayWarning, 4 * time.Hour}, {&o.KeepRecords, 90 * 24 * time.Hour}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *int
		value int
	}{{&o.Workers, 32}, {&o.RemoteWorkers, 64}, {&o.PerDestination, 4}, {&o.Memory, 4096}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return o
}

// localBatch is how many messages that wait for one address are delivered together.
const localBatch = 64

// Queue is the queue. All methods may be called concurrently.
type Queue struct {
	db       kv.DB
	o        Options
	ends     atomic.Pointer[Ends]
	ids      ids
	ctx      context.Context // ends attempts
	stop     context.CancelFunc
	wake     chan struct{} // holds one token: the scheduler has something to look at
	done     chan struct{} // closed when the queue begins to close
	draining sync.Once
	work     sync.WaitGroup

	local, remote lanes
	counts        counters
	keep          atomic.Int64  // time.Duration that records are kept
	tidy          chan struct{} // holds one token: records are to go

	// operating keeps the operator's changes and the scheduler's reading of items apart.
	operating sync.Mutex

	mu         sync.Mutex
	items      map[ID]*entry // items with a recipient under way
	locals     route
	remotes    route
	started    bool
	closed     bool
	recovering bool
}

// route is the state of one route.
type route struct {
	held    int       // recipients under way
	cursor  time.Time // no index key below it waits to be taken
	starved bool      // the scheduler found no room
}

// Open reads the queue. Recover and Start begin the work.
//
// Errors: an explanation when a newer program wrote the queue.
func Open(ctx context.Context, db kv.DB, o Options) (*Queue, error) {
	q := &Queue{
		db: db, o: o.withDefaults(), items: map[ID]*entry{},
		wake: make(chan struct{}, 1), done: make(chan struct{}), tidy: make(chan struct{}, 1),
	}
	q.KeepRecords(q.o.KeepRecords)
	q.Change(Ends{o.Hostname, o.Local, o.Remote})
	// The context of Open bounds the opening alone.
	q.ctx, q.stop = context.WithCancel(context.WithoutCancel(ctx))
	q.local = lanes{run: q.runLocal, workers: q.o.Workers, width: 1, batch: localBatch}
	q.remote = lanes{run: q.runRemote, workers: q.o.RemoteWorkers, width: q.o.PerDestination, batch: 1}
	if err := q.checkFormat(ctx); err != nil {
		return nil, err
	}
	if err := q.indexAll(ctx); err != nil {
		return nil, fmt.Errorf("reading the queue: %w", err)
	}
	if err := q.removeOrphans(ctx); err != nil {
		return nil, fmt.Errorf("removing finished items: %w", err)
	}
	return q, nil
}

func (q *Queue) checkFormat(ctx context.Context) error {
	return q.db.Update(ctx, func(tx kv.Tx) error {
		v, err := tx.Get(formatKey())
		if errors.Is(err, kv.ErrNotFound) {
			tx.Set(formatKey(), binary.AppendUvarint(nil, format))
			return nil
		}
		if err != nil {
			return err
		}
		if n, _ := binary.Uvarint(v); n != format {
			return fmt.Errorf("%w (format %d)", errNewer, n)
		}
		return nil
	})
}

// Ends are where the queue's messages go, and whose name its reports bear.
type Ends struct {
	Hostname      mail.Domain
	Local, Remote Transport
}

// Change makes attempts from now on with other transports.
func (q *Queue) Change(e Ends) { q.ends.Store(&e) }

// Start begins all deliveries.
func (q *Queue) Start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.started || q.closed {
		return
	}
	q.started = true
	q.local.start()
	q.remote.start()
	q.work.Go(q.schedule)
	q.work.Go(q.keepRecords)
}

// grace is how long Close lets attempts go on before it breaks them off.
const grace = 5 * time.Second

// Close drains the queue within a few seconds.
func (q *Queue) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	q.Drain(ctx)
	return nil
}

// Drain ends deliveries: no attempt begins any more; those under way may go on until ctx ends and are then
// broken off. What is not done stays in the store, and so does what is put into the queue from now on. Of several
// calls the first one's ctx counts; all wait for the end.
func (q *Queue) Drain(ctx context.Context) {
	q.draining.Do(func() {
		q.mu.Lock()
		q.closed = true
		q.mu.Unlock()
		close(q.done)
		q.local.stop()
		q.remote.stop()
		cut := context.AfterFunc(ctx, q.stop)
		q.local.wait()
		q.remote.wait()
		cut()
		q.stop()
		q.work.Wait()
	})
}

// NewID returns a fresh ID.
func (q *Queue) NewID() ID { return q.ids.next(q.o.Now()) }

// NewBody begins a message's blob.
func (q *Queue) NewBody(ctx context.Context) (kv.BlobWriter, error) { return q.db.CreateBlob(ctx) }

// Put makes the message durable: on return it may be acknowledged. Delivery begins at once, or is
// done already. The message is adopted. A recipient that is given twice gets one copy.
//
// Errors: Syntax (no recipient), those of the store.
func (q *Queue) Put(ctx context.Context, m *Message) error {
	if m.ID == "" {
		m.ID = q.NewID()
	}
	e, err := q.newEntry(m, q.o.Now())
	if err != nil {
		return err
	}
	record := m.recording()
	if q.deliverAtOnce(ctx, e, record) {
		return nil
	}
	hold := q.hold(e)
	if err := q.db.Update(ctx, func(tx kv.Tx) error { return errors.Join(e.write(tx), record(tx)) }); err != nil {
		q.drop(e, hold)
		return fmt.Errorf("putting %s into the queue: %w", m.ID, err)
	}
	q.counts.accepted.Add(1)
	q.counts.recipients.Add(int64(len(e.recipients)))
	q.launch(e, hold)
	return nil
}

// hold makes room in memory for a new entry's recipients. Without room they get index keys, and the
// scheduler reads them later.
func (q *Queue) hold(e *entry) (held bool) {
	local, remote := e.count()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.locals.held+local > q.o.Memory || q.remotes.held+remote > q.o.Memory {
		for _, r := range e.recipients {
			r.due, r.phase = e.created, waiting
		}
		return false
	}
	q.locals.held += local
	q.remotes.held += remote
	q.items[e.m.ID] = e
	return true
}

// drop takes hold back after a failed write.
func (q *Queue) drop(e *entry, held bool) {
	if !held {
		return
	}
	local, remote := e.count()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.locals.held -= local
	q.remotes.held -= remote
	delete(q.items, e.m.ID)
}

// launch begins the first attempts for a durable item.
func (q *Queue) launch(e *entry, held bool) {
	if held {
		q.dispatch(e, e.recipients)
		return
	}
	q.noteIndexed(mail.Local, e.created)
	q.noteIndexed(mail.Remote, e.created)
}

// dispatch hands recipients under way to the lanes: local ones each to its address's, so that an
// account's mail keeps its order; remote ones by domain, in groups that any server takes (RFC 5321,
// section 4.5.3.1.8).
func (q *Queue) dispatch(e *entry, rs []*recipient) {
	if len(rs) == 1 && rs[0].to.Route == mail.Local {
		q.local.add(localLane(rs[0]), task{e, rs})
		return
	}
	domains := map[mail.Domain][]*recipient{}
	for i, r := range rs {
		if r.to.Route == mail.Local {
			q.local.add(localLane(r), task{e, rs[i : i+1 : i+1]})
		} else {
			domains[r.to.Address.Domain] = append(domains[r.to.Address.Domain], r)
		}
	}
	for d, rs := range domains {
		for len(rs) > 0 {
			n := min(len(rs), remoteGroup)
			q.remote.add(string(d), task{e, rs[:n:n]})
			rs = rs[n:]
		}
	}
}

const remoteGroup = 100

func localLane(r *recipient) string { return r.to.Address.Canonical().String() }

func (q *Queue) runLocal(_ string, tasks []task) {
	local := q.ends.Load().Local
	if b, ok := local.(Batcher); ok && len(tasks) > 1 {
		attempts := make([]Attempt, len(tasks))
		for i, t := range tasks {
			attempts[i] = Attempt{t.entry.m, t.to()}
		}
		for i, results := range b.DeliverAll(q.ctx, attempts) {
			q.finish(tasks[i], results)
		}
		return
	}
	for _, t := range tasks {
		q.finish(t, local.Deliver(q.ctx, t.entry.m, t.to()))
	}
}

func (q *Queue) runRemote(domain string, tasks []task) {
	for _, t := range tasks {
		if q.isRemoved(t.entry) {
			q.finish(t, withdrawn(t))
			continue
		}
		results := q.ends.Load().Remote.Deliver(q.ctx, t.entry.m, t.to())
		q.finish(t, results)
		if unreachable(results) && q.ctx.Err() == nil {
			q.putOff(domain, results[0])
		}
	}
}

// isRemoved reports whether an operator has removed an item since its attempt was planned.
func (q *Queue) isRemoved(e *entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return e.removed
}

// withdrawn are the results of an attempt that is not made any more.
func withdrawn(t task) []Result {
	results := make([]Result, len(t.recipients))
	for i, r := range t.recipients {
		results[i] = Result{Recipient: r.to, Err: ErrSettled}
	}
	return results
}

func unreachable(results []Result) bool {
	return len(results) > 0 && results[0].Unreachable && mail.AsError(results[0].Err) != nil
}

// putOff gives everything else that waits for a destination the result of the attempt that has just
// failed: a dead destination must not hold memory and workers for the length of a thousand timeouts.
func (q *Queue) putOff(domain string, last Result) {
	for _, t := range q.remote.take(domain) {
		results := make([]Result, len(t.recipients))
		for i, r := range t.recipients {
			results[i] = last
			results[i].Recipient = r.to
		}
		q.finish(t, results)
	}
}

func (t task) to() []mail.Recipient {
	to := make([]mail.Recipient, len(t.recipients))
	for i, r := range t.recipients {
		to[i] = r.to
	}
	return to
}

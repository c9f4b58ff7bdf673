package kv

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// A segment with less than this share live is copied out and removed.
	liveShare = 0.5
	// maxResidents bounds how many blobs one run copies, and so its memory.
	maxResidents = 1 << 18
	// collectDaily is when a run is due though little was removed.
	collectDaily = 24 * time.Hour
	// leastWorn is how many octets of garbage are worth the ending of the newest segment once a day.
	leastWorn = 64 << 10

	defaultCollectRate     = 16 << 20
	defaultCollectInterval = 10 * time.Minute
	// collectGrace is how long what nothing links stays for those who have just read its name.
	collectGrace = time.Minute
)

// collector gives back the room of blobs that nothing links. See docs/design/0004-collector.md.
type collector struct {
	engine   *Engine
	pace     pace
	interval time.Duration
	grace    time.Duration

	garbage   atomic.Int64 // octets, about, that became garbage since the last run
	live      atomic.Int64 // octets, as of the last run
	dead      atomic.Int64 // octets, as of the last run
	unread    atomic.Int64 // blobs whose parts the last run could not find out
	moved     atomic.Uint64
	reclaimed atomic.Uint64
	removed   atomic.Uint64
	runs      atomic.Uint64

	late    late      // guarded by Engine.commitMu
	renewed time.Time // when the newest segment was ended last; of the goroutine

	mu        sync.Mutex
	abandoned map[uint32]int64 // segments that were given up, and how far each was durable
	wake      chan struct{}

	cancel context.CancelFunc
	ended  chan struct{}
}

// late are the blobs that were linked again after the collector's snapshot, by transactions that began before it.
type late struct {
	watching bool
	since    uint64 // the last commit in the snapshot
	blobs    []BlobID
}

func (l *late) add(t *tx) {
	if l.watching && t.begin < l.since {
		l.blobs = append(l.blobs, t.linking.known...)
	}
}

func newCollector(e *Engine, o Options) *collector {
	c := &collector{
		engine: e, pace: pace{rate: cmp.Or(o.CollectRate, defaultCollectRate)},
		interval:  cmp.Or(o.CollectInterval, defaultCollectInterval),
		abandoned: map[uint32]int64{}, wake: make(chan struct{}, 1), ended: make(chan struct{}), cancel: func() {},
	}
	c.grace = min(collectGrace, c.interval)
	return c
}

func (c *collector) start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	go c.run(ctx)
}

// note counts what became garbage.
func (c *collector) note(octets int64) {
	if octets != 0 {
		c.garbage.Add(octets)
	}
}

// giveUp notes a segment of which only the first octets may be trusted.
func (c *collector) giveUp(number uint32, durable int64) {
	c.mu.Lock()
	c.abandoned[number] = durable
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *collector) run(ctx context.Context) {
	defer close(c.ended)
	tick := time.NewTicker(c.interval)
	defer tick.Stop()
	due := true // for what became garbage before the start
	var last time.Time
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
			c.recordAbandoned(ctx)
		case <-tick.C:
			c.recordAbandoned(ctx)
			due = due || c.garbage.Load() >= c.engine.appender.limit/2 || time.Since(last) > collectDaily
			if due && c.engine.failed() == nil {
				due, last = c.runOnce(ctx), time.Now()
			}
		}
	}
}

// runOnce tells whether another run is due at once.
func (c *collector) runOnce(ctx context.Context) (again bool) {
	began := time.Now()
	done, err := c.collect(ctx)
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrFailed) {
		c.engine.log.Warn("collecting what nothing links was broken off; it is tried again", "err", err)
		return true
	}
	if done.segments > 0 || done.blobs > 0 {
		c.engine.log.Info("space of removed messages given back", "segments", done.segments, "octets", done.octets,
			"moved", done.blobs, "took", time.Since(began).Round(time.Millisecond))
	}
	return done.more
}

// recordAbandoned makes durable what must be known of segments that were given up.
func (c *collector) recordAbandoned(ctx context.Context) {
	c.mu.Lock()
	abandoned := maps.Clone(c.abandoned)
	c.mu.Unlock()
	if len(abandoned) == 0 {
		return
	}
	err := c.engine.Update(ctx, func(tx Tx) error {
		for number, durable := range abandoned {
			tx.Set(abandonedKey(number), offsetValue(durable))
		}
		return nil
	})
	if err != nil {
		return // it is tried again
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for number := range abandoned {
		delete(c.abandoned, number)
	}
}

package kv

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// collected is what a run of the collector did.
type collected struct {
	segments int   // removed
	octets   int64 // of their files
	blobs    int   // moved
	renewed  bool  // the newest segment was ended for the next run
	more     bool  // there is more to do
}

// verdict is what a run knows of the segments that it may touch.
type verdict struct {
	dead    []uint32        // those with nothing live in them
	victims map[uint32]bool // those from which what is live is to be copied
	more    bool            // there are other victims
	worn    uint32          // the newest segment, if it is better ended
	stale   []BlobID        // have a moved row and no link
}

// collect removes the segments with nothing live in them, copies what is live out of those with little, and removes them
// too. It may be broken off anywhere.
//
// What nothing links at the moment of the snapshot, and is not on its way to its first link, can be linked again only by a
// transaction that began before: its links are noted, and heeded once every such transaction has ended.
// From then on what is dead stays so.
func (c *collector) collect(ctx context.Context) (done collected, err error) {
	if c.engine.holds.any() { // copies would take room, and nothing could be removed for them
		return collected{more: true}, nil
	}
	c.garbage.Store(0)
	c.engine.flights.expire(time.Now().Add(-maxFlight))
	v, residents, err := c.consider(ctx)
	if err != nil {
		return done, err
	}
	done.more = v.more
	if v.worn != 0 {
		c.engine.appender.renew(v.worn)
		c.renewed = time.Now()
		done.renewed, done.more = true, true
	}
	if err := c.clear(ctx, v, &done); err != nil {
		return done, err
	}
	moving := &evacuation{engine: c.engine, pace: &c.pace, victims: v.victims}
	err = moving.run(ctx, residents)
	c.moved.Add(uint64(moving.copied))
	done.blobs = moving.blobs
	if err != nil {
		return done, err
	}
	c.remove(slices.Sorted(maps.Keys(v.victims)), &done)
	c.runs.Add(1)
	return done, c.forgetAbandoned(ctx)
}

// consider comes to a verdict that stays true, and finds the blobs that are to be moved.
func (c *collector) consider(ctx context.Context) (v *verdict, residents []residence, err error) {
	settled := c.engine.catalog.settled() // before the snapshot, which shows what of it has been linked
	newest, end := c.newest()
	s, shown := c.watch()
	defer func() { err = errors.Join(err, s.pebble.Close()) }()
	defer c.unwatch()
	found, err := c.survey(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	v = c.judge(found, settled)
	if c.isWorn(end, found.live[newest].octets) {
		v.worn = newest
	}
	if err := shown.wait(ctx); err != nil {
		return nil, nil, err
	}
	if err := c.hearLate(ctx, v); err != nil {
		return nil, nil, err
	}
	if len(v.victims) > 0 {
		residents, err = c.residentsOf(ctx, s, v.victims)
	}
	return v, residents, err
}

// watch takes the snapshot and begins to note late links.
func (c *collector) watch() (snapshot, *commit) {
	e := c.engine
	e.commitMu.Lock()
	defer e.commitMu.Unlock()
	c.late = late{watching: true, since: e.applied.Load()}
	return snapshot{e.db.NewSnapshot()}, e.last.Load()
}

func (c *collector) unwatch() late {
	c.engine.commitMu.Lock()
	defer c.engine.commitMu.Unlock()
	l := c.late
	c.late = late{}
	return l
}

// newest returns the newest segment and how far it is written, and durable, now.
func (c *collector) newest() (number uint32, end int64) {
	number, end = c.engine.catalog.newest()
	if number == 0 || end > 0 {
		return number, end
	}
	if tip := unpack(c.engine.appender.tip.Load()); tip.segment == number {
		end = int64(tip.offset)
	}
	return number, end
}

// isWorn tells whether the newest segment is better ended, given its end and what of it is live: a small server would else
// never fill it, and what was removed would stay for ever.
func (c *collector) isWorn(end, live int64) bool {
	dead := end - headSize - live
	if float64(live) >= liveShare*float64(end-headSize) {
		return false
	}
	return dead >= c.engine.appender.limit/2 || dead >= leastWorn && time.Since(c.renewed) >= collectDaily
}

// judge finds out which of the settled segments, given with their ends, to remove and which to copy from.
func (c *collector) judge(found survey, settled map[uint32]int64) *verdict {
	if found.missing > 0 {
		c.engine.log.Error("messages are missing from the store: run candor verify", "missing", found.missing)
	}
	if last := c.unread.Swap(int64(found.unread)); found.unread > 0 && int64(found.unread) != last {
		c.engine.log.Error("messages cannot be read; segments that may hold parts of them are not collected: look after the disk",
			"messages", found.unread, "blob", found.unreadName)
	}
	v := &verdict{victims: map[uint32]bool{}, stale: found.stale}
	c.weigh(found, settled)
	var sparse []uint32
	for n, end := range settled {
		switch live := found.live[n].octets; {
		case n <= found.unreadEnd:
		case live == 0:
			v.dead = append(v.dead, n)
		case float64(live) < liveShare*float64(end-headSize):
			sparse = append(sparse, n)
		}
	}
	slices.SortFunc(sparse, func(a, b uint32) int { return cmp.Compare(found.live[a].octets, found.live[b].octets) })
	c.choose(v, sparse, found)
	return v
}

// choose makes victims of as many sparse segments as a run may copy from. Those with the least to copy come first.
func (c *collector) choose(v *verdict, sparse []uint32, found survey) {
	room := c.room()
	var sum tally
	for _, n := range sparse {
		t := found.live[n]
		sum = tally{sum.octets + t.octets, sum.blobs + t.blobs}
		tooMuch := sum.octets > room/2 || sum.blobs > maxResidents
		if t.octets > room || tooMuch && len(v.victims) > 0 {
			v.more = true
			return
		}
		v.victims[n] = true
	}
}

// room is how many octets of copies the disk can take before blobs are refused. The victims go only after their copies
// are made.
func (c *collector) room() int64 {
	c.engine.space.look()
	return int64(c.engine.space.free.Load()) - blobsReserve
}

// weigh keeps the sums of a survey for Stats.
func (c *collector) weigh(found survey, settled map[uint32]int64) {
	var live, dead int64
	for _, t := range found.live {
		live += t.octets
	}
	for n, end := range settled {
		dead += end - headSize - found.live[n].octets
	}
	c.live.Store(live)
	c.dead.Store(dead)
}

// hearLate waits until no transaction runs that began before the snapshot, and spares what they linked.
func (c *collector) hearLate(ctx context.Context, v *verdict) error {
	e := c.engine
	for e.active.oldest(&e.applied) < c.late.since {
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	for _, id := range c.unwatch().blobs {
		if err := c.spare(id, v); err != nil {
			return err
		}
	}
	return nil
}

// spare takes a blob's segments, and its moved row, out of a verdict.
func (c *collector) spare(id BlobID, v *verdict) error {
	p, err := c.engine.movedTo(id)
	if errors.Is(err, ErrNotFound) {
		p = place{at: id.position()}
	} else if err != nil {
		return err
	}
	var parts []part
	if id.isIndex() {
		if parts, err = c.engine.readIndex(id, p); err != nil {
			return err
		}
	}
	for _, n := range homes(p.at, parts) {
		v.dead = slices.DeleteFunc(v.dead, func(d uint32) bool { return d == n })
		delete(v.victims, n)
	}
	v.stale = slices.DeleteFunc(v.stale, func(s BlobID) bool { return s == id })
	return nil
}

// clear removes what is dead: segments, and moved rows. Those who have just read a name get time to open it.
func (c *collector) clear(ctx context.Context, v *verdict, done *collected) error {
	if len(v.dead)+len(v.stale)+len(v.victims) == 0 {
		return nil
	}
	if err := sleep(ctx, c.grace); err != nil {
		return err
	}
	slices.Sort(v.dead)
	c.remove(v.dead, done)
	for batch := range slices.Chunk(v.stale, 10_000) {
		err := c.engine.Update(ctx, func(tx Tx) error {
			for _, id := range batch {
				tx.Delete(movedKey(id))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// remove removes segments, but for those that somebody reads or holds.
func (c *collector) remove(numbers []uint32, done *collected) {
	e := c.engine
	before := done.segments
	for _, n := range numbers {
		removed := false
		e.holds.unlessHeld(func() { removed = c.removeFile(n, done) })
		if !removed {
			done.more = true
		}
	}
	if done.segments == before {
		return
	}
	if err := syncDir(e.fs, e.blobDir); err != nil {
		e.log.Warn("removing segments may have to be done again after a crash", "err", err)
	}
}

func (c *collector) removeFile(number uint32, done *collected) bool {
	e := c.engine
	end, ok := e.catalog.remove(number)
	if !ok {
		return false
	}
	e.segments.forget(number)
	path := e.fs.PathJoin(e.blobDir, segmentName(number))
	size := end
	if info, err := e.fs.Stat(path); err == nil {
		size = info.Size()
	}
	if err := e.fs.Remove(path); err != nil {
		e.log.Warn("removing a segment failed; it is tried again", "segment", segmentName(number), "err", err)
		e.catalog.add(number, end)
		return false
	}
	done.segments++
	done.octets += size
	c.removed.Add(1)
	c.reclaimed.Add(uint64(size))
	return true
}

// forgetAbandoned removes what was noted of segments that are gone.
func (c *collector) forgetAbandoned(ctx context.Context) error {
	return c.engine.Update(ctx, func(tx Tx) error {
		for p, err := range tx.Scan(abandonedPrefix, PrefixEnd(abandonedPrefix)) {
			if err != nil {
				return err
			}
			if number, ok := abandonedNumber(p.Key); ok && !c.engine.catalog.has(number) {
				tx.Delete(slices.Clone(p.Key))
			}
		}
		return nil
	})
}

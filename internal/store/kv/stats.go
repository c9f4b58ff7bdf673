package kv

import "sync/atomic"

// Stats is what an operator would look at. Counts are since Open.
type Stats struct {
	Segments    uint64 `json:"segments"`    // begun
	Abandoned   uint64 `json:"abandoned"`   // segments given up after a failed write or sync
	BlobBytes   uint64 `json:"blob_bytes"`  // written to segments, headers included
	Records     uint64 `json:"records"`     // written to segments; a large blob is several
	Groups      uint64 `json:"groups"`      // of records that were written together
	Syncs       uint64 `json:"syncs"`       // of segments
	BlobReads   uint64 `json:"blob_reads"`  // calls that read a segment
	Buffered    int64  `json:"buffered"`    // octets that blobs being written hold in memory now
	Damaged     uint64 `json:"damaged"`     // octets of segments found damaged at Open
	Files       int    `json:"files"`       // segments there are now
	Live        int64  `json:"live"`        // octets of segments that something linked at the last run of the collector
	Dead        int64  `json:"dead"`        // octets of finished segments that nothing did; 0 before the first run
	Unlinked    int    `json:"unlinked"`    // blobs finished that nothing links yet
	Unreadable  int64  `json:"unreadable"`  // large blobs that the last run could not read; it spares what may be part of them
	Collections uint64 `json:"collections"` // runs of the collector
	Moved       uint64 `json:"moved"`       // octets that the collector has copied
	Removed     uint64 `json:"removed"`     // segments that it has removed
	Reclaimed   uint64 `json:"reclaimed"`   // octets of these
	Commits     uint64 `json:"commits"`     // transactions that wrote
	Conflicts   uint64 `json:"conflicts"`   // transactions that were run again
	DiskFree    uint64 `json:"disk_free"`   // octets
	Failed      bool   `json:"failed"`      // the store refuses writes
	MemTable    uint64 `json:"mem_table"`   // octets of keys in memory
	KeysOnDisk  uint64 `json:"keys"`        // octets of tables
	LogBytes    uint64 `json:"log"`         // octets of Pebble's log
	CacheHits   int64  `json:"cache_hits"`  // of Pebble's block cache
	CacheMisses int64  `json:"cache_miss"`  // of Pebble's block cache
	Compactions int64  `json:"compactions"` // of tables
	Stalls      uint64 `json:"stalls"`      // times that writes waited for Pebble
}

// counters are the parts of Stats that are counted here.
type counters struct {
	segments, abandoned, bytes, records, groups, syncs, reads, damaged, commits, conflicts, stalls atomic.Uint64
}

// Stats returns the numbers of now.
func (e *Engine) Stats() Stats {
	s := Stats{
		Segments:  e.stats.segments.Load(),
		Abandoned: e.stats.abandoned.Load(),
		BlobBytes: e.stats.bytes.Load(),
		Records:   e.stats.records.Load(),
		Groups:    e.stats.groups.Load(),
		Syncs:     e.stats.syncs.Load(),
		BlobReads: e.stats.reads.Load(),
		Buffered:  e.buffers.used(),
		Damaged:   e.stats.damaged.Load(),
		Unlinked:  e.flights.count(),
		Commits:   e.stats.commits.Load(),
		Conflicts: e.stats.conflicts.Load(),
		DiskFree:  e.space.free.Load(),
		Failed:    e.disk.failed() != nil,
		Stalls:    e.stats.stalls.Load(),
	}
	s.Files = e.catalog.count()
	e.collector.stats(&s)
	if e.gate.enter() != nil {
		return s
	}
	defer e.gate.leave()
	m := e.db.Metrics()
	s.MemTable = m.MemTable.Size
	s.KeysOnDisk = uint64(m.Total().TablesSize)
	s.LogBytes = m.WAL.Size
	s.CacheHits, s.CacheMisses = m.BlockCache.Hits, m.BlockCache.Misses
	s.Compactions = m.Compact.Count
	return s
}

func (c *collector) stats(s *Stats) {
	s.Live, s.Dead = c.live.Load(), c.dead.Load()
	s.Unreadable = c.unread.Load()
	s.Collections, s.Moved = c.runs.Load(), c.moved.Load()
	s.Removed, s.Reclaimed = c.removed.Load(), c.reclaimed.Load()
}

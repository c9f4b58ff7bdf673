package queue

import "sync/atomic"

// counters are the queue's numbers since its start.
type counters struct {
	accepted, delivered, deferred, failed, reports atomic.Int64
	recipients                                     atomic.Int64 // in the store
}

// Stats are the queue's numbers: those in the queue now, the others since its start.
type Stats struct {
	Recipients  int64 // in the queue, not done
	LocalHeld   int   // of them under way, in memory
	RemoteHeld  int
	Accepted    int64 // messages
	Delivered   int64 // recipients
	Deferred    int64 // attempts for a recipient that are to be made again
	Failed      int64 // recipients given up
	Reports     int64 // delivery reports made
	Lanes       int   // addresses and domains with something to do
	LanesRemote int
}

// Stats returns the numbers.
func (q *Queue) Stats() Stats {
	c := &q.counts
	s := Stats{
		Recipients: c.recipients.Load(),
		Accepted:   c.accepted.Load(), Delivered: c.delivered.Load(), Deferred: c.deferred.Load(),
		Failed: c.failed.Load(), Reports: c.reports.Load(),
		Lanes: q.local.size(), LanesRemote: q.remote.size(),
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	s.LocalHeld, s.RemoteHeld = q.locals.held, q.remotes.held
	return s
}

func (l *lanes) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.m)
}

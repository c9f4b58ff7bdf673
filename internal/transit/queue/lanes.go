package queue

import "sync"

// task is an item with those of its recipients that one attempt takes.
type task struct {
	entry      *entry
	recipients []*recipient
}

// lanes runs tasks. Those of one lane (an account's address, or a destination) run in the order in
// which they came, at most width at a time, so that a slow one holds up nobody but itself until all
// workers are with slow ones.
type lanes struct {
	run     func(key string, tasks []task)
	workers int // at a time, in all
	width   int // of one lane
	batch   int // tasks handed to run together

	mu      sync.Mutex
	open    bool // workers may begin
	m       map[string]*lane
	ready   []*lane // with waiting tasks and room for a worker, each once
	running int
	ended   sync.WaitGroup
}

type lane struct {
	key     string
	waiting []task
	running int
	queued  bool // is in ready
}

// add puts a task at the end of lane key.
func (l *lanes) add(key string, t task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = map[string]*lane{}
	}
	n := l.m[key]
	if n == nil {
		n = &lane{key: key}
		l.m[key] = n
	}
	n.waiting = append(n.waiting, t)
	l.offer(n)
}

// has reports whether a task of lane key waits or runs.
func (l *lanes) has(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m[key] != nil
}

// offer makes n known to the workers if it has work and room. mu is held.
func (l *lanes) offer(n *lane) {
	if n.queued || len(n.waiting) == 0 || n.running >= l.width {
		return
	}
	n.queued = true
	l.ready = append(l.ready, n)
	l.staff()
}

// staff starts workers for the lanes that are ready. mu is held.
func (l *lanes) staff() {
	for want := len(l.ready); l.open && want > 0 && l.running < l.workers; want-- {
		l.running++
		l.ended.Go(l.work)
	}
}

// work runs tasks until there are none.
func (l *lanes) work() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.open && len(l.ready) > 0 {
		n := l.ready[0]
		l.ready = l.ready[1:]
		n.queued = false
		k := min(len(n.waiting), l.batch)
		tasks := n.waiting[:k:k]
		n.waiting = n.waiting[k:]
		n.running++
		l.offer(n)
		l.mu.Unlock()
		l.run(n.key, tasks)
		l.mu.Lock()
		n.running--
		if n.running == 0 && len(n.waiting) == 0 {
			delete(l.m, n.key)
		}
		l.offer(n)
	}
	l.running--
}

// start lets the workers begin.
func (l *lanes) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = true
	l.staff()
}

// stop lets no further task begin; wait returns when those that run have ended.
func (l *lanes) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = false
}

func (l *lanes) wait() { l.ended.Wait() }

// take removes and returns the tasks that wait in lane key.
func (l *lanes) take(key string) []task {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.m[key]
	if n == nil {
		return nil
	}
	tasks := n.waiting
	n.waiting = nil
	if n.queued {
		n.queued = false
		for i, r := range l.ready {
			if r == n {
				l.ready = append(l.ready[:i], l.ready[i+1:]...)
				break
			}
		}
	}
	return tasks
}

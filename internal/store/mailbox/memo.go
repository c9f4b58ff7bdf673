package mailbox

import "sync"

// maxMemo is how many rows of a kind are remembered for one account.
const maxMemo = 64

// memo remembers rows that were read from the store and change only together with a version, which
// whoever asks has read in the same snapshot.
type memo[K comparable, V any] struct {
	mu      sync.Mutex
	version uint64
	rows    map[K]V
}

// get returns the row of k, by read if it is not remembered.
func (m *memo[K, V]) get(version uint64, k K, read func() (V, error)) (V, error) {
	if v, ok := m.recall(version, k); ok {
		return v, nil
	}
	v, err := read()
	if err == nil {
		m.keep(version, k, v)
	}
	return v, err
}

func (m *memo[K, V]) recall(version uint64, k K) (v V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.version == version {
		v, ok = m.rows[k]
	}
	return v, ok
}

// keep remembers a row, unless its snapshot was an old one.
func (m *memo[K, V]) keep(version uint64, k K, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if version < m.version {
		return
	}
	if m.rows == nil || version > m.version || len(m.rows) >= maxMemo {
		m.version, m.rows = version, map[K]V{}
	}
	m.rows[k] = v
}

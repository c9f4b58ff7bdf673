package directory

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"slices"
	"sync"

	"candor/internal/store/kv"
)

// memDB is a store in memory, for tests of what lies above the store. It has no blobs.
type memDB struct {
	kv.DB

	mu   sync.Mutex
	rows map[string][]byte
	// lost, when set, is returned by Update after the transaction has become durable all the same.
	lost error
}

func newMemDB() *memDB { return &memDB{rows: map[string][]byte{}} }

func (m *memDB) View(_ context.Context, f func(kv.Reader) error) error {
	m.mu.Lock()
	rows := maps.Clone(m.rows)
	m.mu.Unlock()
	return f(&memTx{rows: rows})
}

func (m *memDB) Update(ctx context.Context, f func(kv.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	tx := &memTx{rows: maps.Clone(m.rows)}
	if err := f(tx); err != nil {
		return err
	}
	m.rows = tx.rows
	return m.lost
}

type memTx struct {
	kv.Tx

	rows map[string][]byte
}

func (t *memTx) Get(key []byte) ([]byte, error) {
	v, ok := t.rows[string(key)]
	if !ok {
		return nil, kv.ErrNotFound
	}
	return bytes.Clone(v), nil
}

func (t *memTx) Scan(from, to []byte) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		for _, k := range slices.Sorted(maps.Keys(t.rows)) {
			if k < string(from) || k >= string(to) {
				continue
			}
			if !yield(kv.Pair{Key: []byte(k), Value: t.rows[k]}, nil) {
				return
			}
		}
	}
}

func (t *memTx) Set(key, value []byte) { t.rows[string(key)] = value }

func (t *memTx) Delete(key []byte) { delete(t.rows, string(key)) }

func (t *memTx) DeleteRange(from, to []byte) {
	maps.DeleteFunc(t.rows, func(k string, _ []byte) bool { return k >= string(from) && k < string(to) })
}

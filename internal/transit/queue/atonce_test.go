package queue

import (
	"context"
	"testing"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// prompt is an AtOnce that takes what comes in while it is willing.
type prompt struct {
	*transport
	willing bool
	taken   []ID
}

func (p *prompt) DeliverAtOnce(ctx context.Context, m *Message, to mail.Recipient, also func(kv.Tx) error) (Result, bool) {
	if p.willing {
		p.taken = append(p.taken, m.ID)
		if err := m.entry.q.db.Update(ctx, also); err != nil {
			panic(err)
		}
	}
	return Result{Recipient: to, Settled: true}, p.willing
}

// TestAtOnce: what a transport takes at once never enters the queue; all else goes through it.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	bob, cid, dan := local("bob@example.org"), local("cid@example.org"), remote("dan@example.net")
	for _, c := range []struct {
		name    string
		to      []mail.Recipient
		started bool
		willing bool
		taken   int
	}{
		{"one local recipient", []mail.Recipient{bob}, true, true, 1},
		{"one named twice", []mail.Recipient{bob, bob}, true, true, 1},
		{"refused", []mail.Recipient{bob}, true, false, 0},
		{"several", []mail.Recipient{bob, cid}, true, true, 0},
		{"remote", []mail.Recipient{dan}, true, true, 0},
		{"not started", []mail.Recipient{bob}, false, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := &prompt{transport: newTransport(ok), willing: c.willing}
			q := open(t, store(t, t.TempDir()), Options{Local: p, Remote: newTransport(ok)})
			if c.started {
				q.Start()
			}
			m := newMessage(t, q, c.to...)
			put(t, q, m)
			if len(p.taken) != c.taken {
				t.Errorf("taken at once: %d, want %d", len(p.taken), c.taken)
			}
			if c.taken > 0 && len(keys(t, q.db)) > 0 {
				t.Errorf("left in the store: %q", keys(t, q.db))
			}
			if _, err := q.Record(t.Context(), m.ID); err != nil {
				t.Error(err)
			}
			q.Start()
			empty(t, q)
			if s := q.Stats(); s.Accepted != 1 || s.Delivered != int64(max(1, len(c.to)-c.taken)) || s.Recipients != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// TestAtOnceKeepsOrder: a message does not pass those for the same address that are waiting.
func TestAtOnceKeepsOrder(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	p := &prompt{transport: newTransport(func(*Message, mail.Recipient) Result { <-gate; return Result{} })}
	q := open(t, store(t, t.TempDir()), Options{Local: p})
	q.Start()
	put(t, q, newMessage(t, q, local("bob@example.org")))
	p.willing = true
	put(t, q, newMessage(t, q, local("Bob@example.org")))
	put(t, q, newMessage(t, q, local("cid@example.org")))
	if len(p.taken) != 1 {
		t.Errorf("taken at once: %d, want that for cid alone", len(p.taken))
	}
	close(gate)
	empty(t, q)
}

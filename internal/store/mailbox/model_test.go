package mailbox

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// modelBox is a mailbox as one would write it down on paper.
type modelBox struct {
	uidNext  UID
	messages map[UID]*modelMessage
}

type modelMessage struct {
	text  string
	flags map[string]bool
}

func (b *modelBox) uids() []UID { return slices.Sorted(maps.Keys(b.messages)) }

func (b *modelBox) add(text string, flags map[string]bool) UID {
	uid := b.uidNext
	b.uidNext++
	b.messages[uid] = &modelMessage{text, maps.Clone(flags)}
	return uid
}

// view is what a session knows of a mailbox, kept up by deltas alone.
type view struct {
	box   *Mailbox
	at    ModSeq
	flags map[UID][]string
}

func newView(m *Mailbox) *view {
	state := m.State()
	v := &view{box: m, at: state.HighestModSeq, flags: make(map[UID][]string)}
	v.look(state.UIDs)
	return v
}

func (v *view) look(uids []UID) {
	for _, e := range v.box.Entries(nil, uids) {
		v.flags[e.UID] = slices.Sorted(slices.Values(v.box.FlagNames(e.Flags)))
	}
}

// sync takes in a delta as a session would.
func (v *view) sync(ctx context.Context) error {
	d, err := v.box.Changes(ctx, v.at)
	if err != nil {
		return err
	}
	for _, u := range d.Added {
		if _, known := v.flags[u]; known {
			return fmt.Errorf("UID %d is added twice", u)
		}
	}
	for _, u := range d.Changed {
		if _, known := v.flags[u]; !known {
			return fmt.Errorf("UID %d has changed and was never added", u)
		}
	}
	for _, u := range spans(d.Expunged).appendTo(nil) {
		delete(v.flags, u)
	}
	v.look(d.Added)
	v.look(d.Changed)
	v.at = d.ModSeq
	return nil
}

// model runs random operations on the store and on paper.
type model struct {
	*fixture
	rng   *rand.Rand
	boxes map[string]*modelBox
	views map[string][]*view
	steps []string
}

var modelNames = []string{"INBOX", "Sent", "Archive"}

var modelFlags = []string{`\Seen`, `\Deleted`, `\Flagged`, "$Work", "later"}

func TestAgainstModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			m := &model{fixture: newFixture(t), rng: rand.New(rand.NewPCG(seed, 1)), boxes: make(map[string]*modelBox)}
			for _, name := range modelNames {
				m.boxes[name] = &modelBox{uidNext: 1, messages: make(map[UID]*modelMessage)}
			}
			m.openViews()
			defer func() {
				if t.Failed() {
					t.Logf("steps: %q", m.steps)
				}
			}()
			for range 250 {
				m.step()
			}
			m.checkAll()
			m.reopen()
			m.openViews()
			m.checkAll()
		})
	}
}

func (m *model) openViews() {
	m.views = make(map[string][]*view)
	for _, name := range modelNames {
		for range 2 {
			m.views[name] = append(m.views[name], newView(m.session(name)))
		}
	}
}

func (m *model) name() string { return modelNames[m.rng.IntN(len(modelNames))] }

// someUIDs picks UIDs, some of which do not exist.
func (m *model) someUIDs(b *modelBox) []UID {
	var uids []UID
	for u := UID(1); u < b.uidNext+2; u++ {
		if m.rng.IntN(3) == 0 {
			uids = append(uids, u)
		}
	}
	return uids
}

func (m *model) someFlags() []string {
	var flags []string
	for _, f := range modelFlags {
		if m.rng.IntN(3) == 0 {
			flags = append(flags, f)
		}
	}
	return flags
}

func (m *model) note(format string, args ...any) {
	m.steps = append(m.steps, fmt.Sprintf(format, args...))
}

func (m *model) step() {
	m.t.Helper()
	name := m.name()
	b, box := m.boxes[name], m.views[name][m.rng.IntN(2)].box
	switch m.rng.IntN(12) {
	case 0, 1, 2:
		m.append(name, b)
	case 3, 4, 5:
		m.change(name, b, box)
	case 6:
		m.expunge(name, b, box)
	case 7:
		m.copy(name, b, box)
	case 8:
		m.move(name, b, box)
	case 9, 10:
		m.check(name)
	case 11:
		if m.rng.IntN(8) == 0 {
			m.note("reopen")
			m.reopen()
			m.openViews()
		}
	}
}

func (m *model) append(name string, b *modelBox) {
	m.t.Helper()
	flags := m.someFlags()
	text := fmt.Sprintf("Subject: %d\n\nof %s\n", b.uidNext, name)
	m.note("append %s %v", name, flags)
	blob, size := m.body(text)
	uids, err := m.a.Append(m.t.Context(), m.id(name), []Message{{Blob: blob, BlobSize: size, Flags: flags}}, nil)
	m.must(err)
	set := make(map[string]bool)
	for _, f := range flags {
		set[f] = true
	}
	m.wantUIDs("append", uids, b.add(strings.ReplaceAll(text, "\n", "\r\n"), set))
}

func (m *model) change(name string, b *modelBox, box *Mailbox) {
	m.t.Helper()
	c := Change{UIDs: m.someUIDs(b), Mode: StoreMode(m.rng.IntN(3)), Flags: m.someFlags()}
	m.note("store %s %v", name, c)
	done, err := box.Store(m.t.Context(), c)
	m.must(err)
	var changed []UID
	for _, u := range c.UIDs {
		if msg := b.messages[u]; msg != nil && msg.store(c.Mode, c.Flags) {
			changed = append(changed, u)
		}
	}
	m.wantUIDs("changed", done.Changed, changed...)
}

// store reports whether the flags have become others.
func (m *modelMessage) store(mode StoreMode, flags []string) bool {
	before := maps.Clone(m.flags)
	if mode == ReplaceFlags {
		clear(m.flags)
	}
	for _, f := range flags {
		if mode == RemoveFlags {
			delete(m.flags, f)
			continue
		}
		m.flags[f] = true
	}
	return !maps.Equal(before, m.flags)
}

func (m *model) expunge(name string, b *modelBox, box *Mailbox) {
	m.t.Helper()
	var uids []UID
	if m.rng.IntN(2) == 0 {
		uids = append(make([]UID, 0), m.someUIDs(b)...)
	}
	m.note("expunge %s %v", name, uids)
	removed, _, err := box.Expunge(m.t.Context(), uids)
	m.must(err)
	var want []UID
	for _, u := range b.uids() {
		if b.messages[u].flags[`\Deleted`] && (uids == nil || slices.Contains(uids, u)) {
			want = append(want, u)
			delete(b.messages, u)
		}
	}
	m.wantUIDs("expunged", removed, want...)
}

func (m *model) copy(name string, b *modelBox, box *Mailbox) {
	m.t.Helper()
	uids, to := m.someUIDs(b), m.name()
	m.note("copy %s %v to %s", name, uids, to)
	done, err := box.Copy(m.t.Context(), uids, m.id(to))
	m.must(err)
	m.copied(done, b, uids, m.boxes[to])
}

func (m *model) move(name string, b *modelBox, box *Mailbox) {
	m.t.Helper()
	uids, to := m.someUIDs(b), m.name()
	m.note("move %s %v to %s", name, uids, to)
	done, err := box.Move(m.t.Context(), uids, m.id(to))
	m.must(err)
	for _, u := range m.copied(done, b, uids, m.boxes[to]) {
		delete(b.messages, u)
	}
}

// copied does on paper what was done, and returns the sources.
func (m *model) copied(done Copied, b *modelBox, uids []UID, to *modelBox) (source []UID) {
	m.t.Helper()
	var target []UID
	existing := b.uids()
	for _, u := range uids {
		if slices.Contains(existing, u) {
			source = append(source, u)
			target = append(target, to.add(b.messages[u].text, b.messages[u].flags))
		}
	}
	m.wantUIDs("source", done.Source, source...)
	m.wantUIDs("target", done.Target, target...)
	return source
}

// check compares a mailbox and every session's view of it with the paper.
func (m *model) check(name string) {
	m.t.Helper()
	b := m.boxes[name]
	want := make(map[UID][]string)
	for u, msg := range b.messages {
		want[u] = slices.Sorted(maps.Keys(msg.flags))
	}
	for i, v := range m.views[name] {
		m.must(v.sync(m.t.Context()))
		if !maps.EqualFunc(v.flags, want, slices.Equal) {
			m.t.Fatalf("%s, session %d: view is %v, want %v", name, i, v.flags, want)
		}
	}
	if state := m.views[name][0].box.State(); !slices.Equal(state.UIDs, b.uids()) || state.UIDNext != b.uidNext {
		m.t.Fatalf("%s: state is %+v, want %v and UIDNEXT %d", name, state, b.uids(), b.uidNext)
	}
	m.checkMailbox(name)
}

func (m *model) checkAll() {
	m.t.Helper()
	for _, name := range modelNames {
		m.check(name)
		for u, msg := range m.boxes[name].messages {
			if got := m.text(m.views[name][0].box, u); got != msg.text {
				m.t.Fatalf("%s: message %d is %q, want %q", name, u, got, msg.text)
			}
		}
	}
}

// Sessions that follow the deltas see in the end what is there, whatever others did meanwhile.
func TestConcurrentSessionsAgree(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	message := f.message("\na\n")
	var writers, followers sync.WaitGroup
	var views []*view
	done := make(chan struct{})
	for n := range 4 {
		name := modelNames[n%2]
		v := newView(f.session(name))
		views = append(views, v)
		followers.Go(func() { follow(ctx, t, v, done) })
		rng := rand.New(rand.NewPCG(uint64(n), 2))
		box, here, there := f.session(name), f.id(name), f.id(modelNames[(n+1)%2])
		writers.Go(func() {
			for range 60 {
				if err := disturb(ctx, rng, f.a, box, message, here, there); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	close(done)
	followers.Wait()
	for i, v := range views {
		f.must(v.sync(ctx))
		fresh := newView(v.box)
		if !maps.EqualFunc(v.flags, fresh.flags, slices.Equal) {
			t.Errorf("session %d sees %v, there is %v", i, v.flags, fresh.flags)
		}
	}
	f.checkMailbox("INBOX")
	f.checkMailbox("Sent")
}

// follow keeps a view up until done.
func follow(ctx context.Context, t *testing.T, v *view, done chan struct{}) {
	for {
		select {
		case <-v.box.Wait(v.at):
		case <-done:
			return
		}
		before := v.at
		if err := v.sync(ctx); err != nil {
			t.Error(err)
			return
		}
		if v.at <= before {
			t.Errorf("Wait woke at %d, and the delta ends at %d", before, v.at)
			return
		}
	}
}

// disturb makes one random change.
func disturb(ctx context.Context, rng *rand.Rand, a *Account, box *Mailbox, m Message, here, there ID) error {
	uids := box.State().UIDs
	if len(uids) > 3 {
		uids = uids[rng.IntN(3):]
		uids = uids[:1+rng.IntN(len(uids))]
	}
	var err error
	switch rng.IntN(6) {
	case 0, 1:
		_, err = a.Append(ctx, here, []Message{m, m}, nil)
	case 2:
		_, err = box.Store(ctx, Change{UIDs: uids, Mode: StoreMode(rng.IntN(3)), Flags: modelFlags[:1+rng.IntN(len(modelFlags))]})
	case 3:
		_, _, err = box.Expunge(ctx, nil)
	case 4:
		_, err = box.Copy(ctx, uids[:min(2, len(uids))], there)
	case 5:
		_, err = box.Move(ctx, uids[:min(2, len(uids))], there)
	}
	return err
}

// What was acknowledged is there after a crash: the copy of the files is what a crash leaves.
func TestCrashKeepsWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendMany("INBOX", 3, "kept")
	m := f.session("INBOX")
	f.store1(m, AddFlags, []UID{2}, `\Seen`)
	f.must(m.Remove(t.Context(), []UID{1}))
	_, err := m.Copy(t.Context(), []UID{2}, f.id("Sent"))
	f.must(err)
	f.must(f.a.Rename(t.Context(), "Junk", "Spam"))
	state := m.State()

	after := openFixture(t, copyDir(t, f.dir))
	after.a = after.account(account1)
	after.id("Spam")
	found := after.session("INBOX")
	if got := found.State(); !slices.Equal(got.UIDs, state.UIDs) || got.HighestModSeq != state.HighestModSeq || got.UIDNext != state.UIDNext {
		t.Errorf("state is %+v, was %+v", got, state)
	}
	after.wantFlags(found, 2, `\Seen`, "kept")
	if got := after.text(after.session("Sent"), 1); got != "Subject: many\r\n\r\nbody\r\n" {
		t.Errorf("the copy is %q", got)
	}
	after.checkMailbox("INBOX")
	after.checkMailbox("Sent")
	after.wantUIDs("next", after.appendMany("INBOX", 1), 4)
}

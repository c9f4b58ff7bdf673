package imapd

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"candor/internal/store/mailbox"
)

// paperBox is a mailbox as one would write it down on paper.
type paperBox struct {
	uidNext  int
	messages []*paperMessage // by UID
	top      int             // HIGHESTMODSEQ
}

type paperMessage struct {
	uid    int
	text   string
	flags  map[string]bool
	modSeq int
}

func newPaperBox() *paperBox { return &paperBox{uidNext: 1} }

func (b *paperBox) add(text string, flags map[string]bool) int {
	m := &paperMessage{uid: b.uidNext, text: text, flags: maps.Clone(flags)}
	b.uidNext++
	b.messages = append(b.messages, m)
	return m.uid
}

func (b *paperBox) find(uid int) *paperMessage {
	i := slices.IndexFunc(b.messages, func(m *paperMessage) bool { return m.uid == uid })
	if i < 0 {
		return nil
	}
	return b.messages[i]
}

// existing returns the messages of uids that are there.
func (b *paperBox) existing(uids []int) (found []*paperMessage) {
	for _, uid := range uids {
		if m := b.find(uid); m != nil {
			found = append(found, m)
		}
	}
	return found
}

func (b *paperBox) remove(gone func(*paperMessage) bool) {
	b.messages = slices.DeleteFunc(b.messages, gone)
}

func (b *paperBox) uids() []int {
	uids := []int{}
	for _, m := range b.messages {
		uids = append(uids, m.uid)
	}
	return uids
}

func (m *paperMessage) flagString() string {
	return strings.Join(slices.Sorted(maps.Keys(m.flags)), " ")
}

func uidsOf(messages []*paperMessage) []int {
	uids := []int{}
	for _, m := range messages {
		uids = append(uids, m.uid)
	}
	return uids
}

func setOf(flags []string) map[string]bool {
	set := map[string]bool{}
	for _, f := range flags {
		set[f] = true
	}
	return set
}

// storeFlags does a STORE with sign to a set of flags.
func storeFlags(set map[string]bool, sign string, flags []string) {
	if sign == "" {
		clear(set)
	}
	for _, f := range flags {
		if sign == "-" {
			delete(set, f)
		} else {
			set[f] = true
		}
	}
}

// settle compares paper with store, and takes down the MODSEQs: messages that changed got one that is greater
// than all before, all others kept theirs, and the mailbox's never falls.
func (r *trial) settle(name string, b *paperBox) {
	r.t.Helper()
	ctx := r.t.Context()
	account, err := r.w.Mailboxes.Account(ctx, r.w.AccountID(r.t, "ann@example.org"))
	if err != nil {
		r.t.Fatal(err)
	}
	info, err := account.Lookup(ctx, name)
	if err != nil {
		r.fatalf("%s: %v", name, err)
	}
	box, err := account.Open(ctx, info.ID)
	if err != nil {
		r.fatalf("%s: %v", name, err)
	}
	defer box.Close()
	st := box.State()
	if int(st.UIDNext) != b.uidNext || int(st.HighestModSeq) < b.top || len(st.UIDs) != len(b.messages) {
		r.fatalf("%s: the store has UIDNEXT %d, HIGHESTMODSEQ %d and UIDs %v, paper %d, %d and %v", name, st.UIDNext, st.HighestModSeq, st.UIDs, b.uidNext, b.top, b.uids())
	}
	for i, e := range box.Entries(nil, st.UIDs) {
		if err := b.messages[i].take(e, box, b.top); err != nil {
			r.fatalf("%s: %v", name, err)
		}
	}
	b.top = int(st.HighestModSeq)
}

// take compares a message with its entry in the store. Its modSeq is 0 when it has changed since.
func (m *paperMessage) take(e mailbox.Entry, box *mailbox.Mailbox, top int) error {
	names := box.FlagNames(e.Flags)
	slices.Sort(names)
	if int(e.UID) != m.uid || strings.Join(names, " ") != m.flagString() {
		return fmt.Errorf("the store has UID %d with %v, paper UID %d with %s", e.UID, names, m.uid, m.flagString())
	}
	if m.modSeq == 0 && int(e.ModSeq) <= top || m.modSeq != 0 && int(e.ModSeq) != m.modSeq {
		return fmt.Errorf("UID %d has MODSEQ %d; it had %d (0: it has changed), the mailbox %d", e.UID, e.ModSeq, m.modSeq, top)
	}
	m.modSeq = int(e.ModSeq)
	return nil
}

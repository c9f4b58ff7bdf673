package imapd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func (r *trial) fetch(m *mirror) {
	places, uids := r.some(m)
	if len(uids) == 0 {
		return
	}
	b := r.chosen[m]
	command, byUID, since := "FETCH "+join(places)+" (UID FLAGS)", r.r.IntN(2) == 0, -1
	if byUID {
		command = "UID FETCH " + join(uids) + " (FLAGS)"
	}
	if m.condStore && r.r.IntN(2) == 0 {
		since = r.someModSeq(b, uids)
		command += fmt.Sprintf(" (CHANGEDSINCE %d)", max(since, 0))
	}
	existing := b.existing(uids)
	o := r.run(m, command)
	for _, p := range existing {
		if p.modSeq > since && !slices.Contains(o.fetched, p.uid) {
			r.fatalf("%s: %s tells nothing of UID %d, whose MODSEQ is %d", m.name, command, p.uid, p.modSeq)
		}
	}
	if complete := len(existing) == len(uids) || byUID; complete != (o.condition == "OK") {
		r.fatalf("%s: %s: got %+v; %d of %d exist", m.name, command, o, len(existing), len(uids))
	}
	if o.condition == "OK" {
		r.compareFlags(m, command)
	}
}

func (r *trial) fetchBody(m *mirror) {
	_, uids := r.some(m)
	if len(uids) == 0 {
		return
	}
	b := r.chosen[m]
	existing := b.existing(uids)
	for _, p := range existing {
		if !m.readOnly && !p.flags[`\Seen`] {
			p.flags[`\Seen`], p.modSeq = true, 0
		}
	}
	command := "UID FETCH " + join(uids) + " (BODY[TEXT])"
	o := r.run(m, command)
	r.settle(r.nameOf(b), b)
	for _, p := range existing {
		if o.bodies[p.uid] != p.text {
			r.fatalf("%s: %s: UID %d is %q, on paper %q", m.name, command, p.uid, o.bodies[p.uid], p.text)
		}
	}
	r.compareFlags(m, command)
}

func (r *trial) search(m *mirror) {
	if len(m.uids) == 0 {
		return
	}
	places, uids := r.some(m)
	b := r.chosen[m]
	keys := []struct {
		text string
		is   func(*paperMessage) bool
	}{
		{"FLAGGED", func(p *paperMessage) bool { return p.flags[`\Flagged`] }},
		{"NOT SEEN", func(p *paperMessage) bool { return !p.flags[`\Seen`] }},
		{"KEYWORD later", func(p *paperMessage) bool { return p.flags["later"] }},
		{"UID " + join(uids) + " UNDELETED", func(p *paperMessage) bool { return slices.Contains(uids, p.uid) && !p.flags[`\Deleted`] }},
		{join(places) + " UNANSWERED", func(p *paperMessage) bool { return slices.Contains(uids, p.uid) && !p.flags[`\Answered`] }},
		{"BODY " + strconv.Quote(strings.TrimSpace("of INBOX")), func(p *paperMessage) bool { return strings.Contains(p.text, "of INBOX") }},
	}
	key := keys[r.r.IntN(len(keys))]
	command, byUID := "SEARCH "+key.text, r.r.IntN(2) == 0
	if byUID {
		command = "UID " + command
	}
	var want []int
	for i, uid := range m.uids {
		if p := b.find(uid); p != nil && key.is(p) {
			if byUID {
				want = append(want, uid)
			} else {
				want = append(want, i+1)
			}
		}
	}
	if o := r.run(m, command); !slices.Equal(o.numbers, want) {
		r.fatalf("%s: %s: got %v, want %v", m.name, command, o.numbers, want)
	}
	r.compareFlags(m, command)
}

func (r *trial) noop(m *mirror) {
	r.run(m, "NOOP")
	r.compareFlags(m, "NOOP")
}

// idle lets others act while m idles; it hears of all before IDLE ends.
func (r *trial) idle(m *mirror) {
	if r.idling {
		r.noop(m)
		return
	}
	r.idling = true
	b := r.chosen[m]
	r.run(m, "IDLE", func() {
		for range 3 {
			if other := r.mirrors[r.r.IntN(len(r.mirrors))]; other != m && r.reachable(other) {
				[]func(*mirror){r.append, r.store, r.expunge, r.copy, r.move}[r.r.IntN(5)](other)
			}
		}
	})
	r.idling = false
	if r.chosen[m] == b {
		r.compareFlags(m, "IDLE")
	}
}

func (r *trial) selectBox(m *mirror) {
	name := r.anyBox()
	r.keep(m)
	knew := r.memory[m][name]
	if r.r.IntN(4) == 0 {
		knew = nil
	}
	b := r.boxes[name]
	r.chosen[m] = b
	if o := m.open([]string{"SELECT", "SELECT", "EXAMINE"}[r.r.IntN(3)], name, knew); o.condition != "OK" {
		r.fatalf("%s: opening %s: %+v", m.name, name, o)
	}
	r.compare(m, "SELECT", b)
	for _, uid := range m.uids {
		if !m.messages[uid].known {
			m.do("UID FETCH 1:* (FLAGS)")
			break
		}
	}
	r.compareFlags(m, "SELECT "+name)
}

// keep remembers what m knows of the mailbox that it leaves.
func (r *trial) keep(m *mirror) {
	if b := r.chosen[m]; b != nil && r.nameOf(b) != "" {
		r.memory[m][r.nameOf(b)] = m.remember()
	}
}

func (r *trial) leave(m *mirror) {
	b := r.chosen[m]
	r.keep(m)
	r.chosen[m] = nil
	if r.r.IntN(2) == 0 {
		r.run(m, "UNSELECT")
	} else {
		if !m.readOnly {
			b.remove(func(p *paperMessage) bool { return p.flags[`\Deleted`] })
		}
		r.run(m, "CLOSE")
		r.settle(r.nameOf(b), b)
	}
	m.box = ""
}

func (r *trial) status(m *mirror) {
	name := r.anyBox()
	b, unseen, deleted := r.boxes[name], 0, 0
	for _, p := range b.messages {
		if !p.flags[`\Seen`] {
			unseen++
		}
		if p.flags[`\Deleted`] {
			deleted++
		}
	}
	want := fmt.Sprintf("(MESSAGES %d UIDNEXT %d UNSEEN %d DELETED %d)", len(b.messages), b.uidNext, unseen, deleted)
	if o := r.run(m, "STATUS "+name+" (MESSAGES UIDNEXT UNSEEN DELETED)"); !strings.HasSuffix(o.status, want) {
		r.fatalf("%s: STATUS %s: got %s, want %s", m.name, name, o.status, want)
	}
}

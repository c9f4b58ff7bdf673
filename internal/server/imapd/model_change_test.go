package imapd

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

func (r *trial) append(m *mirror) {
	name, flags := r.anyBox(), r.someFlags()
	b := r.boxes[name]
	body := fmt.Sprintf("body %d of %s\r\n", b.uidNext, name)
	text := "Subject: x\r\n\r\n" + body
	uid := b.add(body, setOf(flags))
	r.settleAfter(name, b, func() {
		o := r.run(m, fmt.Sprintf("APPEND %s (%s) {%d+}\r\n%s", name, strings.Join(flags, " "), len(text), text))
		if _, got, _ := strings.Cut(o.code, " "); o.condition != "OK" || !strings.HasSuffix(got, " "+strconv.Itoa(uid)) {
			r.fatalf("%s: APPEND to %s: got %+v, want UID %d", m.name, name, o, uid)
		}
	})
	r.compareFlags(m, "APPEND")
}

// settleAfter runs a command that changes a mailbox as was done on paper, and takes its MODSEQs down.
func (r *trial) settleAfter(name string, b *paperBox, command func()) {
	r.t.Helper()
	command()
	r.settle(name, b)
}

func (r *trial) store(m *mirror) {
	places, uids := r.some(m)
	if len(uids) == 0 {
		return
	}
	b := r.chosen[m]
	name, byUID, silent := r.nameOf(b), r.r.IntN(2) == 0, r.r.IntN(2) == 0
	sign, flags := []string{"+", "-", ""}[r.r.IntN(3)], r.someFlags()
	set, command, modifier, item := join(places), "STORE ", "", "FLAGS"
	if byUID {
		set, command = join(uids), "UID STORE "
	}
	if silent {
		item = "FLAGS.SILENT"
	}
	since := -1
	if m.condStore && r.r.IntN(2) == 0 {
		since = r.someModSeq(b, uids)
		modifier = fmt.Sprintf("(UNCHANGEDSINCE %d) ", since)
	}
	existing := b.existing(uids)
	var modified []int
	if !m.readOnly {
		for _, p := range existing {
			if since >= 0 && p.modSeq > since {
				modified = append(modified, p.uid)
				continue
			}
			before := p.flagString()
			storeFlags(p.flags, sign, flags)
			if p.flagString() != before {
				p.modSeq = 0
			}
		}
	}
	command = fmt.Sprintf("%s%s %s%s%s (%s)", command, set, modifier, sign, item, strings.Join(flags, " "))
	o := r.run(m, command)
	r.settle(name, b)
	r.wantStored(m, o, command, uids, places, existing, modified, byUID, silent)
	if m.readOnly {
		return
	}
	if silent {
		for _, p := range existing {
			if is, ok := m.messages[p.uid]; ok && !slices.Contains(modified, p.uid) {
				known := setOf(strings.Fields(is.flags))
				storeFlags(known, sign, flags)
				is.flags = strings.Join(slices.Sorted(maps.Keys(known)), " ")
				m.messages[p.uid] = is
			}
		}
	}
	if o.condition == "OK" {
		r.compareFlags(m, command)
	}
}

// someModSeq is a MODSEQ that some of the messages have passed, perhaps.
func (r *trial) someModSeq(b *paperBox, uids []int) int {
	if p := b.find(uids[r.r.IntN(len(uids))]); p != nil {
		return p.modSeq - r.r.IntN(2)
	}
	return b.top
}

func (r *trial) wantStored(m *mirror, o outcome, command string, uids, places []int, existing []*paperMessage, modified []int, byUID, silent bool) {
	r.t.Helper()
	want := ""
	switch {
	case m.readOnly:
		want = "NO READ-ONLY"
	case len(modified) > 0:
		named := modified
		if !byUID {
			named = nil
			for i, uid := range uids {
				if slices.Contains(modified, uid) {
					named = append(named, places[i])
				}
			}
		}
		set, ok := strings.CutPrefix(o.code, "MODIFIED ")
		if o.condition != "OK" || !ok || !slices.Equal(numbersOf(set), named) {
			r.fatalf("%s: %s: got %+v, want MODIFIED %v", m.name, command, o, named)
		}
		return
	case !byUID && !silent && len(existing) < len(uids):
		want = "NO EXPUNGEISSUED"
	default:
		want = "OK"
	}
	if got := o.condition + " " + o.code; !strings.HasPrefix(got, want) {
		r.fatalf("%s: %s: got %+v, want %s", m.name, command, o, want)
	}
}

func (r *trial) expunge(m *mirror) { r.remove(m, "EXPUNGE", nil) }

func (r *trial) uidExpunge(m *mirror) {
	if _, uids := r.some(m); len(uids) > 0 {
		r.remove(m, "UID EXPUNGE "+join(uids), uids)
	}
}

func (r *trial) remove(m *mirror, command string, uids []int) {
	b := r.chosen[m]
	before := len(b.messages)
	if !m.readOnly {
		b.remove(func(p *paperMessage) bool {
			return p.flags[`\Deleted`] && (uids == nil || slices.Contains(uids, p.uid))
		})
	}
	o := r.run(m, command)
	r.settle(r.nameOf(b), b)
	switch {
	case m.readOnly != (o.condition == "NO"):
		r.fatalf("%s: %s: got %+v", m.name, command, o)
	case m.condStore && !m.readOnly && (len(b.messages) < before) != (o.highest == b.top):
		r.fatalf("%s: %s: got HIGHESTMODSEQ %d, on paper is %d", m.name, command, o.highest, b.top)
	}
	if o.condition == "OK" {
		r.compareFlags(m, command)
	}
}

func (r *trial) copy(m *mirror) { r.transfer(m, "COPY") }
func (r *trial) move(m *mirror) { r.transfer(m, "MOVE") }

func (r *trial) transfer(m *mirror, verb string) {
	places, uids := r.some(m)
	if len(uids) == 0 {
		return
	}
	to := r.anyBox()
	b, target := r.chosen[m], r.boxes[to]
	command, byUID := verb+" "+join(places)+" "+to, r.r.IntN(2) == 0
	if byUID {
		command = "UID " + verb + " " + join(uids) + " " + to
	}
	existing := b.existing(uids)
	want := "OK"
	switch {
	case !byUID && len(existing) < len(uids):
		want = "NO EXPUNGEISSUED"
	case m.readOnly && verb == "MOVE":
		want = "NO READ-ONLY"
	}
	var copies []int
	if want == "OK" {
		for _, p := range existing {
			copies = append(copies, target.add(p.text, p.flags))
		}
		if verb == "MOVE" {
			moved := uidsOf(existing)
			b.remove(func(p *paperMessage) bool { return slices.Contains(moved, p.uid) })
		}
	}
	o := r.run(m, command)
	if got := o.condition + " " + o.code; !strings.HasPrefix(got, want) {
		r.fatalf("%s: %s: got %+v, want %s", m.name, command, o, want)
	}
	if words := strings.Fields(o.copied); len(copies) > 0 && (len(words) != 3 || !slices.Equal(numbersOf(words[1]), uidsOf(existing)) || !slices.Equal(numbersOf(words[2]), copies)) {
		r.fatalf("%s: %s: got COPYUID %s, want %v to %v", m.name, command, o.copied, uidsOf(existing), copies)
	}
	r.settle(r.nameOf(b), b)
	r.settle(to, target)
	if o.condition == "OK" {
		r.compareFlags(m, command)
	}
}

// manage makes, renames and deletes mailboxes.
func (r *trial) manage(m *mirror) {
	name, other := fmt.Sprint("x", r.r.IntN(3)), fmt.Sprint("x", r.r.IntN(3))
	b := r.boxes[name]
	switch {
	case b == nil && r.r.IntN(3) == 0 && r.boxes["INBOX"] != nil:
		made := newPaperBox()
		for _, p := range r.boxes["INBOX"].messages {
			made.add(p.text, p.flags)
		}
		r.boxes["INBOX"].remove(func(*paperMessage) bool { return true })
		r.boxes[name] = made
		r.run(m, "RENAME INBOX "+name)
		r.settle("INBOX", r.boxes["INBOX"])
		r.settle(name, made)
	case b == nil:
		r.boxes[name] = newPaperBox()
		r.run(m, "CREATE "+name)
		r.settle(name, r.boxes[name])
	case r.boxes[other] == nil:
		r.boxes[other] = b
		delete(r.boxes, name)
		r.run(m, "RENAME "+name+" "+other)
		r.settle(other, b)
	case b != r.chosen[m] && r.r.IntN(2) == 0:
		delete(r.boxes, name)
		r.run(m, "DELETE "+name)
	}
}

package imapd

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// learn asks for what was told by number alone.
func (m *mirror) learn() {
	if i := slices.Index(m.uids, 0); i >= 0 {
		delete(m.messages, 0)
		m.do(fmt.Sprintf("FETCH %d:* (UID FLAGS)", i+1))
	}
}

// open selects a mailbox. A client that has enabled QRESYNC and knew the mailbox before resynchronises.
func (m *mirror) open(command, box string, knew *memory) outcome {
	m.box, m.readOnly, m.uids, m.messages = box, command == "EXAMINE", nil, map[int]told{}
	if knew == nil || !m.qresync {
		o := m.do(command + " " + box)
		if o.condition != "OK" {
			m.box = ""
			return o
		}
		m.highest = o.highest
		m.learn()
		return o
	}
	o := m.do(fmt.Sprintf("%s %s (QRESYNC (%d %d))", command, box, knew.validity, knew.highest))
	switch {
	case o.condition != "OK":
		m.box = ""
		return o
	case m.validity != knew.validity:
		m.highest = o.highest
		m.learn()
		return o
	}
	m.resynced(o, knew)
	m.highest = o.highest
	return o
}

// resynced puts what was known and what was told together: it must be the mailbox.
func (m *mirror) resynced(o outcome, knew *memory) {
	for uid, is := range knew.messages {
		if _, news := m.messages[uid]; !news && !slices.Contains(o.earlier, uid) {
			m.messages[uid] = is
		}
	}
	for _, uid := range o.earlier {
		if slices.Contains(m.uids, uid) {
			m.errorf("UID %d is there and has vanished", uid)
		}
		delete(m.messages, uid)
	}
	uids := slices.Sorted(maps.Keys(m.messages))
	untold := len(m.uids) - len(uids)
	if untold > 0 {
		// One that has come and is gone again is counted, but nothing is left to be told of it; it vanishes next.
		for _, uid := range m.do("NOOP").vanished {
			if !slices.Contains(uids, uid) {
				untold--
			}
		}
		uids = slices.Sorted(maps.Keys(m.messages))
	}
	if untold != 0 {
		m.errorf("there are %d messages; known and told are %v", len(m.uids), uids)
	}
	for i, uid := range m.uids {
		if i < len(uids) && uid != 0 && uid != uids[i] {
			m.errorf("message %d is UID %d; known and told are %v", i+1, uid, uids)
		}
	}
	m.uids = append(uids, make([]int, max(0, len(m.uids)-len(uids)))...)
}

// memory is what a client keeps of a mailbox when it leaves it.
type memory struct {
	validity, highest int
	messages          map[int]told
}

// remember returns what the client knows of its mailbox, if it may count on it.
func (m *mirror) remember() *memory {
	if m.box == "" || m.highest == 0 || slices.Contains(m.uids, 0) {
		return nil
	}
	for _, uid := range m.uids {
		if !m.messages[uid].known {
			return nil
		}
	}
	return &memory{m.validity, m.highest, maps.Clone(m.messages)}
}

// numbersOf reads a sequence-set without "*".
func numbersOf(set string) (numbers []int) {
	for r := range strings.SplitSeq(set, ",") {
		first, last, isRange := strings.Cut(r, ":")
		a, _ := strconv.Atoi(first)
		b := a
		if isRange {
			b, _ = strconv.Atoi(last)
		}
		for ; a <= b; a++ {
			numbers = append(numbers, a)
		}
	}
	return numbers
}

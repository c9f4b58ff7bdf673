package imapd

import (
	"strings"
	"sync"
	"testing"
)

// version is a message as it was after some change.
type version struct{ validity, uid, modSeq int }

// record is what all clients together have done and heard.
type record struct {
	mu       sync.Mutex
	flags    map[version]string
	appended map[place]string // the texts
	copied   map[place]place  // from where
}

// place is where a message is, for ever.
type place struct{ validity, uid int }

// keep is the keyword of messages that nobody removes.
const keep = "keep"

// text returns what is acknowledged to be at a place.
func (rec *record) text(at place) (text string, ok bool) {
	for {
		if text, ok = rec.appended[at]; ok {
			return text, true
		}
		if at, ok = rec.copied[at]; !ok {
			return "", false
		}
	}
}

// observe returns what takes down the flags that a client hears of.
func (rec *record) observe(t *testing.T, name string) func(string, int, int, told) {
	return func(box string, validity, uid int, m told) {
		if m.modSeq == 0 {
			return
		}
		rec.mu.Lock()
		defer rec.mu.Unlock()
		v := version{validity, uid, m.modSeq}
		if before, ok := rec.flags[v]; ok && before != m.flags {
			t.Errorf("%s: in %s UID %d has at MODSEQ %d the flags (%s); somebody saw (%s)", name, box, uid, m.modSeq, m.flags, before)
		}
		rec.flags[v] = m.flags
	}
}

// check compares the mailbox as it is in the end with what was acknowledged.
func (rec *record) check(t *testing.T, fresh *mirror, o outcome) {
	for at, text := range rec.appended {
		if _, there := o.bodies[at.uid]; at.validity == fresh.validity && !there && strings.Contains(text, keep) {
			t.Errorf("%s: UID %d was appended, and nobody has removed it: %q", fresh.box, at.uid, text)
		}
	}
	for _, uid := range fresh.uids {
		at := place{fresh.validity, uid}
		if text, ok := rec.text(at); !ok || o.bodies[uid] != text {
			t.Errorf("%s: UID %d is %q, acknowledged was %q (%v)", fresh.box, uid, o.bodies[uid], text, ok)
		}
		if is := fresh.messages[uid]; rec.flags[version{at.validity, uid, is.modSeq}] != is.flags {
			t.Errorf("%s: UID %d ends with %+v", fresh.box, uid, is)
		}
	}
}

package imapd

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowdMember is a client that acts while others do. Only it ever sets or clears its own keyword, so that what it has
// last done with that must hold.
type crowdMember struct {
	*mirror
	r    *rand.Rand
	own  string
	set  map[place]bool // messages with the keyword own, as acknowledged
	rec  *record
	knew map[string]*memory
}

// TestConcurrentClients: whatever twenty clients do at once, a version of a message looks the same to all of them,
// nothing acknowledged is lost, and in the end they all know the mailbox as it is. CANDOR_SOAK makes it
// last an hour.
func TestConcurrentClients(t *testing.T) {
	t.Parallel()
	steps, rounds, until := 60, 1, time.Time{}
	if os.Getenv("CANDOR_SOAK") != "" {
		steps, rounds, until = 400, 1<<30, time.Now().Add(time.Hour)
	}
	for seed := range rounds {
		if !until.IsZero() && time.Now().After(until) {
			break
		}
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { crowd(t, uint64(seed), steps) }) {
			break
		}
	}
}

func crowd(t *testing.T, seed uint64, steps int) {
	w, s, addr, _ := serve(t)
	rec := &record{flags: map[version]string{}, appended: map[place]string{}, copied: map[place]place{}}
	var all []*crowdMember
	var wg sync.WaitGroup
	for i := range 20 {
		c := &crowdMember{
			mirror: newMirror(t, w, addr, fmt.Sprint("client ", i)), r: rand.New(rand.NewPCG(seed, uint64(i))),
			own: fmt.Sprint("own", i), set: map[place]bool{}, rec: rec, knew: map[string]*memory{},
		}
		defer func() { c.close() }()
		c.observe = rec.observe(t, c.name)
		c.enable(i)
		all = append(all, c)
	}
	for _, c := range all {
		wg.Go(func() {
			for range steps {
				if c.act(); t.Failed() {
					return
				}
			}
			c.choose("SELECT", anyOf(c.r, "INBOX", "Archive"))
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, name := range []string{"INBOX", "Archive"} {
		fresh := newMirror(t, w, addr, "a new client")
		fresh.do("ENABLE CONDSTORE")
		fresh.condStore, fresh.observe = true, rec.observe(t, "a new client")
		fresh.open("EXAMINE", name, nil)
		o := fresh.do("UID FETCH 1:* (FLAGS BODY.PEEK[TEXT])")
		rec.check(t, fresh, o)
		for _, c := range all {
			if c.box == name {
				c.do("NOOP")
				c.learn()
				c.agree(fresh)
			}
			c.checkOwn(fresh)
		}
		fresh.close()
	}
	if st := s.Stats(); st.Panics != 0 {
		t.Errorf("stats are %+v\n%s", st, w.Logged)
	}
}

func (c *crowdMember) enable(i int) {
	switch i % 3 {
	case 1:
		c.do("ENABLE CONDSTORE")
		c.condStore = true
	case 2:
		c.do("ENABLE QRESYNC")
		c.condStore, c.qresync = true, true
	}
}

// agree compares what c knows with what a new client sees.
func (c *crowdMember) agree(fresh *mirror) {
	if !slices.Equal(c.uids, fresh.uids) {
		c.errorf("it sees %v, a new client %v", c.uids, fresh.uids)
		return
	}
	for _, uid := range c.uids {
		if is, want := c.messages[uid], fresh.messages[uid]; is.known && is.flags != want.flags || c.condStore && is.modSeq != want.modSeq {
			c.errorf("it sees UID %d as %+v, a new client as %+v", uid, is, want)
		}
	}
}

// checkOwn compares the keyword that only c has touched with what was acknowledged.
func (c *crowdMember) checkOwn(fresh *mirror) {
	for _, uid := range fresh.uids {
		at := place{fresh.validity, uid}
		_, original := c.rec.appended[at]
		if has := slices.Contains(strings.Fields(fresh.messages[uid].flags), c.own); original && has != c.set[at] {
			c.errorf("UID %d of %s has its keyword: %v, acknowledged was %v", uid, fresh.box, has, c.set[at])
		}
	}
}

// choose selects a mailbox, which may be gone by now.
func (c *crowdMember) choose(command, name string) {
	if c.box != "" {
		c.knew[c.box] = c.remember()
	}
	if o := c.open(command, name, c.knew[name]); o.bye {
		c.again()
	} else if o.condition == "OK" {
		c.do("UID FETCH 1:* (FLAGS)")
	}
}

// again comes back after the mailbox was deleted.
func (c *crowdMember) again() {
	c.close()
	c.connect()
	c.enable(number(c.own[3:]))
}

// pick picks four messages, more or less.
func (c *crowdMember) pick() (places, uids []int) {
	for i, uid := range c.uids {
		if uid != 0 && c.r.IntN(len(c.uids)) < 4 {
			places, uids = append(places, i+1), append(uids, uid)
		}
	}
	return places, uids
}

// loose leaves out the messages that are to be kept.
func (c *crowdMember) loose(uids []int) []int {
	return slices.DeleteFunc(uids, func(uid int) bool {
		is := c.messages[uid]
		return !is.known || strings.Contains(is.flags, keep)
	})
}

func (c *crowdMember) act() {
	if c.box == "" {
		c.choose("SELECT", anyOf(c.r, "INBOX", "Archive", "INBOX", "Archive", "x0", "x1"))
		return
	}
	places, uids := c.pick()
	n := c.r.IntN(14)
	if len(uids) == 0 && n > 2 {
		n = c.r.IntN(3)
	}
	var o outcome
	switch n {
	case 0, 1, 2:
		o = c.put()
	case 3, 4:
		o = c.mark(uids)
	case 5, 6:
		if uids = c.loose(uids); len(uids) > 0 {
			o = c.do("UID STORE " + join(uids) + ` +FLAGS (\Deleted)`)
		}
	case 7:
		o = c.do("EXPUNGE")
	case 8:
		o = c.do("UID EXPUNGE " + join(uids))
	case 9:
		o = c.transfer(anyOf(c.r, "COPY "+join(places), "UID COPY "+join(uids)))
	case 10:
		if uids = c.loose(uids); len(uids) > 0 {
			o = c.transfer("UID MOVE " + join(uids))
		}
	case 11:
		o = c.do("IDLE")
	case 12:
		o = c.do("FETCH " + join(places) + " (UID FLAGS)")
	case 13:
		o = c.manage()
	}
	if o.bye {
		c.again()
		return
	}
	if c.box != "" {
		c.learn()
	}
}

// put appends a message; one of two is to be kept.
func (c *crowdMember) put() outcome {
	body, flags := fmt.Sprintf("%s says %d\r\n", c.name, c.r.Uint64()), ""
	if c.r.IntN(2) == 0 {
		body, flags = keep+" "+body, keep
	}
	text := "Subject: x\r\n\r\n" + body
	o := c.do(fmt.Sprintf("APPEND %s (%s) {%d+}\r\n%s", anyOf(c.r, "INBOX", "Archive"), flags, len(text), text))
	f := strings.Fields(o.code)
	if len(f) != 3 {
		if !o.bye {
			c.errorf("APPEND ends with %+v", o)
		}
		return o // said before the server saw the command, or else the message is one that nobody appended
	}
	c.rec.mu.Lock()
	defer c.rec.mu.Unlock()
	c.rec.appended[place{number(f[1]), number(f[2])}] = body
	return o
}

func anyOf(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// mark sets or clears the client's own keyword.
func (c *crowdMember) mark(uids []int) outcome {
	sign, silent := anyOf(c.r, "+", "-"), anyOf(c.r, "", ".SILENT")
	o := c.do("UID STORE " + join(uids) + " " + sign + "FLAGS" + silent + " (" + c.own + ")")
	if o.condition != "OK" {
		return o
	}
	for _, uid := range uids {
		c.set[place{c.validity, uid}] = sign == "+"
	}
	if silent != "" {
		return c.do("UID FETCH " + join(uids) + " (FLAGS)")
	}
	return o
}

// transfer copies or moves messages.
func (c *crowdMember) transfer(command string) outcome {
	o := c.do(command + " " + anyOf(c.r, "INBOX", "Archive"))
	f := strings.Fields(o.copied)
	if len(f) != 3 {
		return o
	}
	targets := numbersOf(f[2])
	c.rec.mu.Lock()
	defer c.rec.mu.Unlock()
	for i, uid := range numbersOf(f[1]) {
		c.rec.copied[place{number(f[0]), targets[i]}] = place{c.validity, uid}
	}
	return o
}

// manage makes, renames and deletes mailboxes that others may have selected.
func (c *crowdMember) manage() outcome {
	name := anyOf(c.r, "x0", "x1")
	if name == c.box {
		return outcome{}
	}
	return c.do(anyOf(c.r, "CREATE "+name, "RENAME x0 x1", "DELETE "+name))
}

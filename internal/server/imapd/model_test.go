package imapd

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"candor/internal/mailtest"
)

// trial lets clients do random things, one at a time, and does the same on paper. Since the others go on
// meanwhile, what a client knows is mostly old when it does something.
type trial struct {
	t       *testing.T
	w       *mailtest.World
	r       *rand.Rand
	mirrors []*mirror
	boxes   map[string]*paperBox
	chosen  map[*mirror]*paperBox
	memory  map[*mirror]map[string]*memory
	step    int
	idling  bool
}

// TestAgainstModel: whatever the clients do, each sees what is on paper. CANDOR_SOAK makes it last an hour.
func TestAgainstModel(t *testing.T) {
	t.Parallel()
	seeds, until := uint64(1), time.Time{}
	if os.Getenv("CANDOR_SOAK") != "" {
		seeds, until = 1<<40, time.Now().Add(time.Hour)
	}
	for seed := range seeds {
		if !until.IsZero() && time.Now().After(until) {
			break
		}
		ok := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w, _, addr, _ := serve(t)
			r := &trial{
				t: t, w: w, r: rand.New(rand.NewPCG(seed, 5)), boxes: map[string]*paperBox{},
				chosen: map[*mirror]*paperBox{}, memory: map[*mirror]map[string]*memory{},
			}
			for _, name := range []string{"INBOX", "Drafts", "Sent", "Trash", "Junk", "Archive"} {
				r.boxes[name] = newPaperBox()
				r.settle(name, r.boxes[name])
			}
			for i := range 20 {
				m := newMirror(t, w, addr, fmt.Sprint("client ", i))
				defer m.close()
				r.mirrors = append(r.mirrors, m)
				r.memory[m] = map[string]*memory{}
				r.enable(m)
			}
			for r.step = range 600 {
				r.act(r.mirrors[r.r.IntN(len(r.mirrors))])
				if t.Failed() {
					return
				}
			}
			for _, m := range r.mirrors {
				if r.reachable(m) {
					r.run(m, "NOOP")
				}
			}
		})
		if !ok {
			break
		}
	}
}

func (r *trial) fatalf(format string, args ...any) {
	r.t.Helper()
	for _, m := range r.mirrors {
		if len(m.log) > 0 {
			r.t.Logf("%s, of %s: …\n%s", m.name, m.box, strings.Join(m.log[max(0, len(m.log)-6):], "\n"))
		}
	}
	r.t.Fatalf("step %d: "+format, append([]any{r.step}, args...)...)
}

// enable makes every third client one of CONDSTORE, every third one of QRESYNC.
func (r *trial) enable(m *mirror) {
	switch slices.Index(r.mirrors, m) % 3 {
	case 1:
		m.do("ENABLE CONDSTORE")
		m.condStore = true
	case 2:
		m.do("ENABLE QRESYNC")
		m.condStore, m.qresync = true, true
	}
}

// reachable reports whether the mailbox that m has selected is still there. If not, the server must say
// goodbye, and the client comes back.
func (r *trial) reachable(m *mirror) bool {
	b := r.chosen[m]
	if b == nil {
		return false
	}
	for _, other := range r.boxes {
		if other == b {
			return true
		}
	}
	m.do("NOOP") // is answered before the goodbye
	if o := m.do("NOOP"); !o.bye {
		r.fatalf("%s: its mailbox is gone, and it gets %+v", m.name, o)
	}
	m.close()
	m.connect()
	r.chosen[m] = nil
	r.enable(m)
	return false
}

// nameOf returns the name of the mailbox that m has selected.
func (r *trial) nameOf(b *paperBox) string {
	for name, other := range r.boxes {
		if other == b {
			return name
		}
	}
	return ""
}

// run sends a command and compares what the client then knows with paper.
func (r *trial) run(m *mirror, command string, after ...func()) outcome {
	r.t.Helper()
	o := m.do(command, after...)
	if o.condition == "BAD" || o.bye {
		r.fatalf("%s: %s: %+v", m.name, command, o)
	}
	if b := r.chosen[m]; b != nil {
		m.learn()
		if o.condition == "OK" {
			r.compare(m, command, b)
		}
	}
	return o
}

func (r *trial) compare(m *mirror, command string, b *paperBox) {
	r.t.Helper()
	seen := slices.Clone(m.uids)
	if numbersHold(command) {
		seen = slices.DeleteFunc(seen, func(uid int) bool { return b.find(uid) == nil })
	}
	if !slices.Equal(seen, b.uids()) {
		r.fatalf("%s: %s: it sees %v, on paper are %v", m.name, command, m.uids, b.uids())
	}
}

// compareFlags compares the flags that m knows with paper.
func (r *trial) compareFlags(m *mirror, command string) {
	r.t.Helper()
	b := r.chosen[m]
	for _, uid := range m.uids {
		is, on := m.messages[uid], b.find(uid)
		if on != nil && (!is.known || is.flags != on.flagString()) {
			r.fatalf("%s: %s: it sees UID %d with (%s), on paper are (%s)", m.name, command, uid, is.flags, on.flagString())
		}
		if on != nil && m.condStore && is.modSeq != on.modSeq {
			r.fatalf("%s: %s: it sees UID %d with MODSEQ %d, on paper is %d", m.name, command, uid, is.modSeq, on.modSeq)
		}
	}
}

// some picks some of the messages that m knows, by place.
func (r *trial) some(m *mirror) (places, uids []int) {
	for i, uid := range m.uids {
		if r.r.IntN(3) == 0 {
			places, uids = append(places, i+1), append(uids, uid)
		}
	}
	if len(places) == 0 && len(m.uids) > 0 {
		i := r.r.IntN(len(m.uids))
		return []int{i + 1}, []int{m.uids[i]}
	}
	return places, uids
}

func join(numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ",")
}

func (r *trial) someFlags() []string {
	var flags []string
	for _, f := range []string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, "$Work", "later"} {
		if r.r.IntN(4) == 0 {
			flags = append(flags, f)
		}
	}
	return flags
}

// anyBox picks a mailbox; most often one of two, so that clients meet.
func (r *trial) anyBox() string {
	if r.r.IntN(4) > 0 {
		return []string{"INBOX", "Archive"}[r.r.IntN(2)]
	}
	names := []string{}
	for name := range r.boxes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names[r.r.IntN(len(names))]
}

// act lets m do something.
func (r *trial) act(m *mirror) {
	r.t.Helper()
	if !r.reachable(m) {
		r.selectBox(m)
		return
	}
	if len(m.uids) == 0 && r.r.IntN(2) == 0 {
		r.append(m)
		return
	}
	acts := []func(*mirror){
		r.append, r.append, r.append, r.store, r.store, r.store, r.store, r.expunge, r.uidExpunge, r.copy, r.move,
		r.fetch, r.fetchBody, r.search, r.noop, r.noop, r.idle, r.selectBox, r.selectBox, r.leave, r.manage, r.status,
	}
	acts[r.r.IntN(len(acts))](m)
}

package interop

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"candor/internal/mailtest"
)

// diary is a clerk that remembers what it was told after each command.
type diary struct {
	*clerk
	mu    sync.Mutex
	pages []cabinet
}

func (d *diary) work(stop <-chan struct{}) {
	client, err := d.server.tryLogin(d.user)
	if err != nil {
		d.wrong = err
		return
	}
	defer client.conn.Close()
	d.client, d.selected = client, -1
	for !ended(stop) && d.wrong == nil {
		if err := d.step(); err != nil {
			d.wrong = err
			return
		}
		d.mu.Lock()
		d.pages = append(d.pages, d.acked)
		d.mu.Unlock()
	}
}

func (d *diary) written() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.pages)
}

// point is a point with what the server had acknowledged before it was begun, and how far the clerks were then and
// when it was done.
type point struct {
	Point, Time         string
	Octets, Copied      int64
	delivered, appended []int
	from, to            []int
}

func (s *server) backup(repository string, more ...string) (p point, err error) {
	out, err := s.try("", append([]string{"backup", "--to", repository, "--json", "--config", s.config}, more...)...)
	if err != nil {
		return p, fmt.Errorf("%w: %s", err, out)
	}
	return p, json.Unmarshal([]byte(out), &p)
}

// mustBackup makes a point of a server that is idle.
func (s *server) mustBackup(repository string) point {
	s.t.Helper()
	p, err := s.backup(repository)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// restore restores into a new folder and returns the server, which does not run yet. It has the same ports.
func (s *server) restore(repository string, more ...string) *server {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), "restored")
	s.candor("", append([]string{"restore", "--from", repository, "--to", dir}, more...)...)
	return s.at(dir)
}

func (s *server) at(dir string) *server {
	return &server{t: s.t, dir: dir, config: filepath.Join(dir, "candor.toml"), cert: filepath.Join(dir, "tls", "cert.pem"), ports: s.ports, log: &mailtest.Buffer{}}
}

// TestBackup makes points while mail is delivered, appended, flagged, copied, moved and expunged, and restores each: all
// that had been acknowledged before is there, byte for byte and once, and what the clerks did is there up to some
// command of theirs and no further.
func TestBackup(t *testing.T) {
	points := 3
	if os.Getenv("CANDOR_SOAK") != "" {
		points = 30
	}
	s := start(t)
	s.imapScript(t, "ann@example.org", "CREATE appended")
	repository := filepath.Join(t.TempDir(), "repository")
	load := &crashLoad{server: s, texts: &crashTexts{}}
	var diaries []*diary
	for i, user := range []string{"ann@example.org", "bob@example.org"} {
		diaries = append(diaries, &diary{clerk: newClerk(t, s, user, i, load.texts)})
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { load.deliver(stop) })
	wg.Go(func() { load.append(stop) })
	for _, d := range diaries {
		wg.Go(func() { d.work(stop) })
	}
	var made []point
	var failure error
	for n := range points {
		for end := time.Now().Add(time.Minute); load.texts.count() < 60*(n+1) && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		var p point
		p, failure = load.point(repository, diaries)
		if failure != nil {
			break
		}
		made = append(made, p)
	}
	close(stop)
	wg.Wait()
	if failure != nil {
		t.Fatalf("%v\n%s", failure, tail(s.log.String()))
	}
	for _, d := range diaries {
		if d.wrong != nil {
			t.Fatal(d.wrong)
		}
	}
	s.candor("", "backup", "--check", repository)
	before := s.mailboxState(t, "ann@example.org", "INBOX")
	s.stop()
	for _, p := range made {
		r := s.restore(repository, "--at", p.Point)
		r.run()
		if err := p.check(t, r, diaries, before); err != nil {
			t.Errorf("%s: %v", p.Point, err)
		}
		r.kill()
	}
	t.Logf("%d messages; points: %v", load.texts.count(), made)
}

func (p point) String() string { return fmt.Sprintf("%d octets, %d copied", p.Octets, p.Copied) }

// point makes a point under load.
func (l *crashLoad) point(repository string, diaries []*diary) (point, error) {
	l.mu.Lock()
	delivered, appended := slices.Clone(l.delivered), slices.Clone(l.appended)
	l.mu.Unlock()
	var from, to []int
	for _, d := range diaries {
		from = append(from, d.written())
	}
	p, err := l.server.backup(repository)
	for _, d := range diaries {
		to = append(to, d.written()+1) // and the command under way
	}
	p.delivered, p.appended, p.from, p.to = delivered, appended, from, to
	return p, err
}

// check compares what a restored server has with what was acknowledged.
func (p point) check(t *testing.T, r *server, diaries []*diary, before mailboxState) error {
	load := &crashLoad{server: r, delivered: p.delivered, appended: p.appended}
	if err := load.check(t, true); err != nil {
		return err
	}
	if now := load.marks[0]; now.validity <= before.validity || now.next > before.next {
		return fmt.Errorf("INBOX went from %+v to %+v: UIDVALIDITY must rise", before, now)
	}
	for i, d := range diaries {
		now, err := d.at(r)
		if err != nil {
			return err
		}
		pages := d.pages[max(p.from[i]-1, 0):min(p.to[i], len(d.pages))]
		if !slices.ContainsFunc(pages, now.equal) {
			return fmt.Errorf("clerk %d: the restored state is none of the %d that it can be:\n%v\n%v", i, len(pages), now, pages)
		}
	}
	return nil
}

// at returns the clerk's mailboxes as another server has them.
func (d *diary) at(s *server) (now cabinet, err error) {
	client, err := s.tryLogin(d.user)
	if err != nil {
		return now, err
	}
	defer client.conn.Close()
	for i, name := range d.names {
		state, err := client.state(name)
		if err != nil {
			return now, err
		}
		now[i].next = state.next
		if now[i].messages, err = client.messages(name, 1); err != nil {
			return now, err
		}
	}
	return now, nil
}

// appendMany appends messages of 100 KB.
func (s *server) appendMany(t *testing.T, first, n int) {
	t.Helper()
	c := s.imapLogin(t, "ann@example.org")
	defer c.conn.Close()
	for i := range n {
		if _, err := c.append("INBOX", `(\Seen)`, crashText(7*(first+i))); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBackupInterrupted: a backup and a restore that are killed harm nothing and are gone on with, a point costs what is
// new, a server that was moved shows its clients nothing, and old points can go.
func TestBackupInterrupted(t *testing.T) {
	s := start(t)
	repository, dir := filepath.Join(t.TempDir(), "repository"), filepath.Join(t.TempDir(), "restored")
	s.appendMany(t, 1, 60)
	total := s.killSlow(func() bool { return exists(repository, "objects") && !exists(repository, "points") },
		"backup", "--to", repository, "--rate", "2MiB", "--config", s.config)
	s.await("checkpoint released")
	if left := list(filepath.Join(s.dir, "store", "checkpoints")); len(left) > 0 {
		t.Errorf("the server still has the checkpoint of a backup that was killed: %v", left)
	}
	first := s.mustBackup(repository)
	if total == 0 || first.Copied > first.Octets-total+4<<20 {
		t.Errorf("%d of %d octets were copied, though %d had been", first.Copied, first.Octets, total)
	}
	s.appendMany(t, 1000, 1)
	second := s.mustBackup(repository)
	if second.Copied > 100_000+(300<<10) {
		t.Errorf("a point after a message of 100 KB copied %d octets", second.Copied)
	}
	before := s.mailboxState(t, "ann@example.org", "INBOX")
	s.stop()
	third := s.mustBackup(repository) // of a server that does not run
	if third.Copied > 4<<20 {
		t.Errorf("a point of the stopped server copied %d octets", third.Copied)
	}

	s.killSlow(func() bool { return exists(dir, "store.unfinished/blobs") },
		"restore", "--from", repository, "--to", dir, "--keep-uidvalidity", "--rate", "2MiB")
	if out, err := s.try("", "serve", "--config", filepath.Join(dir, "candor.toml")); err == nil || !strings.Contains(out, "does not exist") {
		t.Errorf("a server on half a store: %v: %s", err, out)
	}
	s.candor("", "restore", "--from", repository, "--to", dir, "--keep-uidvalidity")
	r := s.at(dir)
	r.run()
	if now := r.mailboxState(t, "ann@example.org", "INBOX"); now != before {
		t.Errorf("the moved server has %+v, the old one had %+v", now, before)
	}
	r.stop()
	if out := r.candor("", "verify", "--config", r.config); !strings.Contains(out, "0") {
		t.Errorf("verify: %s", out)
	}

	s.candor("", "backup", "--prune", repository, "--keep", "1")
	if out := s.candor("", "backup", "--list", repository); strings.Count(out, "\n") != 1 || !strings.Contains(out, third.Point) {
		t.Errorf("left are %s", out)
	}
	s.candor("", "backup", "--check", repository)
	object := largest(t, filepath.Join(repository, "objects"))
	if err := os.Truncate(object, 1000); err != nil {
		t.Fatal(err)
	}
	if out, err := s.try("", "backup", "--check", repository); err == nil || !strings.Contains(out, object) || !strings.Contains(out, third.Point+": store/blobs/") {
		t.Errorf("check of a damaged repository: %v: %s", err, out)
	}
	out, err := s.try("", "restore", "--from", repository, "--to", filepath.Join(t.TempDir(), "damaged"))
	if err == nil || !strings.Contains(out, object) {
		t.Errorf("restore from a damaged repository: %v: %s", err, out)
	}
}

// killSlow starts a command that takes long, kills it after it has begun and copied some, and returns the octets of all
// objects.
func (s *server) killSlow(begun func() bool, args ...string) (octets int64) {
	s.t.Helper()
	cmd := exec.Command(binary, args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	time.Sleep(300 * time.Millisecond) // for some pieces; how many does not matter
	for !begun() {
		select {
		case err := <-ended:
			s.t.Fatalf("candor %s ended by itself: %v", args[0], err)
		case <-time.After(time.Millisecond):
		}
	}
	cmd.Process.Kill()
	<-ended
	_ = filepath.WalkDir(filepath.Join(args[2], "objects"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			info, err := d.Info()
			if err == nil {
				octets += info.Size()
			}
		}
		return nil
	})
	return octets
}

// exists tells whether there is something in a folder.
func exists(names ...string) bool { return len(list(filepath.Join(names...))) > 0 }

func list(dir string) []os.DirEntry {
	entries, _ := os.ReadDir(dir)
	return entries
}

// largest returns the largest file in dir.
func largest(t *testing.T, dir string) (path string) {
	t.Helper()
	most := int64(-1)
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > most {
			path, most = p, info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

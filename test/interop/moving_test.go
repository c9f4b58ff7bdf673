package interop

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"candor/internal/mailtest"
	"candor/internal/mailtest/tool"
)

// dovecotHome is a user's home, whose mail is handled with doveadm. No daemon is started.
type dovecotHome struct {
	t             *testing.T
	doveadm, home string
	conf, user    string
}

// newDovecotHome makes a home with mail in a location such as "maildir:~/Maildir".
func newDovecotHome(t *testing.T, home, location string) *dovecotHome {
	t.Helper()
	d := &dovecotHome{t: t, doveadm: tool.Need(t, "doveadm"), home: home}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if d.user = me.Username; me.Uid == "0" {
		d.user = "mail" // Dovecot does not handle mail as root
	}
	owner, err := user.Lookup(d.user)
	if err != nil {
		t.Fatal(err)
	}
	d.conf = write(t, "dovecot.conf", fmt.Sprintf("base_dir = %s\nlog_path = /dev/stderr\nmail_location = %s\nmail_home = %s\nssl = no\nmail_uid = %s\nmail_gid = %s\nfirst_valid_uid = 1\nfirst_valid_gid = 1\nnamespace inbox {\n  inbox = yes\n  separator = /\n}\n",
		t.TempDir(), location, home, owner.Uid, owner.Gid))
	for dir := home; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	os.Chmod(d.conf, 0o644)
	if me.Uid == "0" {
		run(t, "chown", "-R", owner.Uid+":"+owner.Gid, home)
	}
	return d
}

// run runs doveadm with args and stdin.
func (d *dovecotHome) run(stdin string, args ...string) string {
	d.t.Helper()
	cmd := exec.Command(d.doveadm, append([]string{"-c", d.conf}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Dir = d.home
	cmd.Env = append(os.Environ(), "USER="+d.user, "HOME="+d.home)
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("doveadm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// dovecotText is message n as it is given to Dovecot.
func dovecotText(n int) string {
	return fmt.Sprintf("From: ann@example.org\nSubject: number %d\nMessage-ID: <%d@dovecot.test>\n\nHello\nFrom the start\n>From quoted\n", n, n)
}

// fill gives Dovecot mail with flags, nested mailboxes and subscriptions.
func (d *dovecotHome) fill(parent string) {
	d.t.Helper()
	for n := range 3 {
		d.run(dovecotText(n+1), "save", "-m", "INBOX")
	}
	nested := parent + "/Entwürfe"
	d.run("", "mailbox", "create", nested)
	d.run(dovecotText(4), "save", "-m", nested)
	d.run("", "flags", "add", `\Seen \Answered $Forwarded work`, "mailbox", "INBOX", "1:2")
	d.run("", "flags", "add", `\Flagged \Draft Junk`, "mailbox", "INBOX", "3")
	d.run("", "mailbox", "subscribe", nested)
}

// imapMessages returns "flags subject" of each message, and checks that the text is as Dovecot got it.
func (s *server) imapMessages(t *testing.T, user, mailbox string) []string {
	t.Helper()
	c := s.imapLogin(t, user)
	if _, err := c.do("EXAMINE " + mailbox); err != nil {
		t.Fatal(err)
	}
	lines, err := c.do("UID FETCH 1:* (UID FLAGS BODY.PEEK[])")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, l := range lines {
		flags := fetchedFlags.FindStringSubmatch(l)
		subject := regexp.MustCompile(`Subject: number (\d+)\r\n`).FindStringSubmatch(l)
		if flags == nil || subject == nil {
			continue
		}
		var n int
		fmt.Sscan(subject[1], &n)
		if want := strings.ReplaceAll(dovecotText(n), "\n", "\r\n"); !strings.Contains(l, "\r\n"+want+")") && !strings.Contains(l, "\r\n"+want+" ") {
			t.Errorf("message %d of %s came as %q", n, mailbox, l)
		}
		names := strings.Fields(flags[1])
		slices.Sort(names)
		all = append(all, strings.Join(names, " ")+" "+subject[1])
	}
	return all
}

// TestImportFromDovecot: Dovecot's Maildir and mbox come over whole; what we export, Dovecot and mutt read.
func TestImportFromDovecot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		location, parent string
		sources          [][]string // paths below the home, with what they go into
	}{
		"maildir": {"maildir:~/Maildir", "Sent", [][]string{{"Maildir"}}},
		"mbox":    {"mbox:~/mail:INBOX=~/inbox", "work", [][]string{{"inbox", "--into", "INBOX"}, {"mail"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDovecotHome(t, t.TempDir(), c.location)
			d.fill(c.parent)
			s := start(t)
			conf := []string{"--config", s.config, "--account", "ann@example.org"}
			for range 2 { // a second run finds nothing new
				for _, source := range c.sources {
					s.candor("", append(append([]string{"import", "--from", filepath.Join(d.home, source[0])}, source[1:]...), conf...)...)
				}
			}
			inbox := s.imapMessages(t, "ann@example.org", "INBOX")
			if want := []string{`$Forwarded \Answered \Seen work 1`, `$Forwarded \Answered \Seen work 2`, `Junk \Draft \Flagged 3`}; !slices.Equal(inbox, want) {
				t.Errorf("INBOX holds %q, want %q", inbox, want)
			}
			if nested := s.imapMessages(t, "ann@example.org", `"`+c.parent+`/Entw&APw-rfe"`); !slices.Equal(nested, []string{" 4"}) {
				t.Errorf("the nested mailbox holds %q", nested)
			}
			lines, err := s.imapLogin(t, "ann@example.org").do(`LIST (SUBSCRIBED) "" "*Entw*"`)
			if err != nil || len(lines) != 1 {
				t.Errorf("subscribed: %q, %v", lines, err)
			}
			s.readBack(t, conf, c.parent)
		})
	}
}

// readBack exports ann's mail and has Dovecot and mutt read it.
func (s *server) readBack(t *testing.T, conf []string, parent string) {
	t.Helper()
	maildir, mbox := filepath.Join(t.TempDir(), "Maildir"), filepath.Join(t.TempDir(), "mail")
	s.candor("", append([]string{"export", "--to", maildir}, conf...)...)
	s.candor("", append([]string{"export", "--format", "mbox", "--to", mbox}, conf...)...)
	for name, path := range map[string]string{"Maildir": maildir, "mbox": filepath.Join(mbox, "INBOX.mbox")} {
		if mutt := muttReads(t, path); !strings.Contains(mutt, "Subject: number 2\n") || !strings.Contains(mutt, "\nHello\n") {
			t.Errorf("mutt saved from the %s:\n%s", name, mutt)
		}
	}
	d := newDovecotHome(t, filepath.Dir(maildir), "maildir:"+maildir)
	got := d.run("", "-f", "flow", "fetch", "flags hdr.subject", "mailbox", "INBOX")
	for _, want := range []string{`\Answered \Seen`, "$Forwarded work hdr.subject=number 2", `\Flagged \Draft`, "Junk hdr.subject=number 3"} {
		if !strings.Contains(got, want) {
			t.Errorf("Dovecot reads no %q in\n%s", want, got)
		}
	}
	if got := d.run("", "fetch", "text", "mailbox", parent+"/Entwürfe"); !strings.Contains(strings.ReplaceAll(got, "\r", ""), dovecotText(4)) {
		t.Errorf("Dovecot reads the nested mailbox as\n%s", got)
	}
	if got := d.run("", "mailbox", "list", "-s"); !strings.Contains(got, parent+"/Entwürfe\n") {
		t.Errorf("Dovecot has the subscriptions\n%s", got)
	}
}

// muttReads has mutt copy all messages of a mailbox and returns the copy.
func muttReads(t *testing.T, path string) string {
	t.Helper()
	saved := filepath.Join(t.TempDir(), "saved")
	rc := write(t, "muttrc", "set folder=/nonexistent\nset confirmcreate=no\nset confirmappend=no\nset delete=no\nset move=no\nset sleep_time=0\nset wait_key=no\n")
	push := "push <tag-pattern>all<enter><tag-prefix><copy-message><kill-line>" + saved + "<enter><exit>"
	out, _ := onTerminal(t, tool.Need(t, "mutt"), "-n", "-R", "-F", rc, "-f", path, "-e", push)
	text, err := os.ReadFile(saved)
	if err != nil {
		t.Errorf("mutt: %v\n%s", err, out)
	}
	return string(text)
}

// TestImportKilled: an import that is killed again and again, and goes on beside a server that is too, brings each
// message once; so does an export.
func TestImportKilled(t *testing.T) {
	t.Parallel()
	s := start(t)
	source, numbers := t.TempDir(), []int(nil)
	for n := 1; len(numbers) < 800; n++ {
		if n%7 != 0 && n%97 != 0 || n == 98 || n == 97*2 { // few of the long ones
			numbers = append(numbers, n)
		}
	}
	for _, sub := range []string{"cur", "new", "tmp"} {
		os.Mkdir(filepath.Join(source, sub), 0o700)
	}
	for _, n := range numbers {
		name := filepath.Join(source, "cur", fmt.Sprintf("1700000000.M%dP1.test:2,S", n))
		if err := os.WriteFile(name, []byte(strings.ReplaceAll(crashText(n), "\r\n", "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--account", "ann@example.org", "--config", s.config}
	killed := 0
	for wait := 60 * time.Millisecond; ; wait += 40 * time.Millisecond {
		if cutOff(t, wait, append([]string{"import", "--from", source}, args...)...) {
			break
		}
		if killed++; killed == 3 { // the server too
			s.kill()
			s.run()
		}
	}
	c := s.imapLogin(t, "ann@example.org")
	messages, err := c.messages("INBOX", 1)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, m := range messages {
		got = append(got, m.n)
	}
	if !slices.Equal(got, numbers) || killed == 0 {
		t.Fatalf("%d messages after %d kills, want %d in the order of their arrival", len(got), killed, len(numbers))
	}
	for _, format := range []string{"maildir", "mbox"} {
		to := filepath.Join(t.TempDir(), "out")
		for wait := 60 * time.Millisecond; !cutOff(t, wait, append([]string{"export", "--format", format, "--to", to}, args...)...); wait += 100 * time.Millisecond {
			killed++
		}
		// Into another account, and nothing is left out or twice.
		s.candor("", "import", "--from", to, "--account", "bob@example.org", "--into", format, "--config", s.config)
		if got := s.status(t, "bob@example.org", format); got != fmt.Sprintf("MESSAGES %d UNSEEN 0", len(numbers)) {
			t.Errorf("%s after %d kills: %s", format, killed, got)
		}
	}
}

// cutOff runs a command and kills it after some time. It reports whether the command had ended before, well.
func cutOff(t *testing.T, after time.Duration, args ...string) bool {
	t.Helper()
	cmd := command(t, binary, args...)
	out := &mailtest.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(after, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	if kill.Stop() && err != nil {
		t.Fatalf("candor %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return err == nil
}

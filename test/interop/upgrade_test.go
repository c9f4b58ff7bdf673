package interop

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unpack replaces the server's store by one that an older program wrote.
func (s *server) unpack(t *testing.T, file string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(s.dir, "store")); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(s.dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, fs.FileMode(h.Mode))
		} else {
			err = writeFrom(path, r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func writeFrom(path string, r io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// TestUpgrade: a store of format 1 opens, and shows what was put into it (testdata/format-1/make.py).
func TestUpgrade(t *testing.T) {
	t.Parallel()
	s := prepare(t, "[outbound]\nsmarthost = \"127.0.0.1:1\"\n")
	s.unpack(t, "testdata/format-1/store.tar.gz")
	// The server would begin with a report on the message, which gets older and older.
	if out := s.candor("", "queue", "list", "--config", s.config); !strings.Contains(out, "carl@remote.example") {
		t.Errorf("the queue holds\n%s", out)
	}
	s.run()
	ann := s.imapLogin(t, "ann@example.org")
	for command, want := range map[string][]string{
		`LIST "" "*"`:                            {"INBOX", "Work", `"Work/2025"`, "Archive", "Entw&APw-rfe", `\Sent`},
		`LSUB "" "Work/*"`:                       {"Work/2025"},
		"STATUS Archive (MESSAGES)":              {"MESSAGES 1"},
		"STATUS Work/2025 (MESSAGES UNSEEN)":     {"MESSAGES 2", "UNSEEN 1"},
		"STATUS INBOX (MESSAGES UIDNEXT RECENT)": {"MESSAGES 5", "UIDNEXT 7"},
	} {
		lines, err := ann.do(command)
		for _, w := range want {
			if got := strings.Join(lines, "\n"); err != nil || !strings.Contains(got, w) {
				t.Errorf("%s: %v, no %s in\n%s", command, err, w, got)
			}
		}
	}
	if lines, err := ann.do(`LIST "" "Dropped"`); err != nil || len(lines) != 0 {
		t.Errorf("a deleted mailbox: %q, %v", lines, err)
	}
	ann.expectMessages(t, "INBOX", map[string]string{
		"message 1": `\Seen \Answered`, "message 2": `\Flagged $Forwarded project-x`, "message 4": "", "message 5": "", "message 6": "",
	})
	ann.expectMessages(t, "Work/2025", map[string]string{"message 7": `\Seen \Draft`, "message 8": ""})
	ann.expectMessages(t, "Archive", map[string]string{"message 2": `\Flagged $Forwarded project-x`})
	lines, err := ann.do(`FETCH 1 (INTERNALDATE MODSEQ ENVELOPE BODYSTRUCTURE)`)
	if err != nil || !strings.Contains(strings.Join(lines, ""), `"message 2"`) {
		t.Errorf("stored attributes: %q, %v", lines, err)
	}
	s.imapLogin(t, "bob@example.org").expectMessages(t, "INBOX", map[string]string{"message 6": ""})
	s.expectPOP3(t, "ann@example.org", 5)
	if _, err := s.tryLogin("gone@example.org"); err == nil {
		t.Error("a removed account logs in")
	}
	for command, want := range map[string]string{
		"alias list": "info@example.net", "domain list": "example.net", "account list": "bob@example.org",
	} {
		if out := s.candor("", append(strings.Fields(command), "--config", s.config)...); !strings.Contains(out, want) {
			t.Errorf("%s: no %s in\n%s", command, want, out)
		}
	}
	s.sendPlain(t, "ann@example.org", "after the upgrade")
	s.waitFor(t, "ann@example.org", "after the upgrade")
	s.stop()
	s.candor("", "verify", "--config", s.config)
}

// expectMessages compares subjects, flags and whole bodies of the first messages of a mailbox.
func (c *imapClient) expectMessages(t *testing.T, mailbox string, want map[string]string) {
	t.Helper()
	if _, err := c.do("EXAMINE " + mailbox); err != nil {
		t.Fatal(err)
	}
	lines, err := c.do(fmt.Sprintf("FETCH 1:%d (FLAGS BODY.PEEK[])", len(want)))
	if err != nil || len(lines) != len(want) {
		t.Fatalf("%s: %d messages, want %d; %v", mailbox, len(lines), len(want), err)
	}
	for _, l := range lines {
		_, rest, _ := strings.Cut(l, "Subject: ")
		subject, _, _ := strings.Cut(rest, "\r\n")
		flags, known := want[subject]
		if !known || !strings.Contains(l, "FLAGS ("+flags+")") {
			t.Errorf("%s: %q, want flags (%s)", mailbox, l[:min(len(l), 200)], flags)
		}
		n := map[string]int{"message 6": 20000, "message 8": 5000}[subject]
		if n == 0 {
			n = 3
		}
		var body strings.Builder
		for i := range n {
			fmt.Fprintf(&body, "line %d of %s\r\n", i, subject)
		}
		if !strings.Contains(l, "\r\n\r\n"+body.String()) {
			t.Errorf("%s: the body of %s has changed", mailbox, subject)
		}
	}
}

// expectPOP3 retrieves n messages.
func (s *server) expectPOP3(t *testing.T, user string, n int) {
	t.Helper()
	conn, err := dialTLS(s, s.pop3s)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := textproto.NewConn(conn)
	say := func(command string) {
		t.Helper()
		if command != "" {
			fmt.Fprintf(conn, "%s\r\n", command)
		}
		if line, err := c.ReadLine(); err != nil || !strings.HasPrefix(line, "+OK") {
			t.Fatalf("%s: %s, %v", command, line, err)
		}
	}
	say("")
	say("USER " + user)
	say("PASS secret")
	for i := range n {
		say(fmt.Sprintf("RETR %d", i+1))
		if text, err := c.ReadDotBytes(); err != nil || !strings.Contains(string(text), "Subject: message") {
			t.Errorf("RETR %d: %v", i+1, err)
		}
	}
	say("QUIT")
}

// TestNewerFormat: a store of a later version is refused, untouched, with what to do.
func TestNewerFormat(t *testing.T) {
	t.Parallel()
	s := prepare(t, "")
	markers, err := filepath.Glob(filepath.Join(s.dir, "store", "keys", "marker.format-version.*"))
	if err != nil || len(markers) != 1 {
		t.Fatalf("%q, %v", markers, err)
	}
	later := strings.TrimSuffix(markers[0], filepath.Ext(markers[0])) + ".999"
	if err := os.Rename(markers[0], later); err != nil {
		t.Fatal(err)
	}
	out, err := s.try("", "serve", "--config", s.config)
	if exitCode(err) != 1 || !strings.Contains(out, "was written by a newer version of candor") {
		t.Errorf("exit %d: %s", exitCode(err), out)
	}
}

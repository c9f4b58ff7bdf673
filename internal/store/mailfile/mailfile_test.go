package mailfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// source is what both formats read.
type source interface {
	Folders(bad func(*Fault)) ([]Folder, error)
	Messages(Folder, func(*Fault), func(*Message) error) error
	Subscriptions() ([]string, bool, error)
	Close() error
}

// got is a message that was read.
type got struct {
	text     string
	flags    string
	received time.Time
	key      [16]byte
}

// readAll reads a source; faults are returned as text.
func readAll(t *testing.T, s source) (map[string][]got, []string) {
	t.Helper()
	var faults []string
	bad := func(f *Fault) { faults = append(faults, f.Error()) }
	folders, err := s.Folders(bad)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]got{}
	for _, f := range folders {
		all[f.Name] = nil
		err := s.Messages(f, bad, func(m *Message) error {
			c, err := m.Open()
			if err != nil {
				bad(&Fault{m.Place, err})
				return nil
			}
			defer c.Close()
			text, err := io.ReadAll(iotest.OneByteReader(c))
			if err != nil {
				bad(&Fault{m.Place, err})
				return nil
			}
			slices.Sort(c.Flags)
			all[f.Name] = append(all[f.Name], got{string(text), strings.Join(c.Flags, " "), c.Received, m.Key})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all, faults
}

func openSource(t *testing.T, format, path string) source {
	t.Helper()
	var s source
	var err error
	if format == "mbox" {
		s, err = OpenMbox(path)
	} else {
		s, err = OpenMaildir(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// sent is a message of the round trip.
type sent struct {
	Outgoing
	text string
}

// tricky are texts that line ends, quoting and headers could spoil.
var tricky = []string{
	"Subject: plain\r\n\r\nbody\r\n",
	"Subject: no end\r\n\r\nbody",
	"Subject: ends in CR\r\n\r\nbody\r",
	"Subject: empty lines at the end\r\n\r\nbody\r\n\r\n\r\n",
	"Subject: no body\r\n\r\n",
	"Subject: header alone\r\n",
	"\r\nno header\r\n",
	"Subject: From lines\r\n\r\nFrom the start\r\n>From quoted\r\n>>From twice\r\n\r\nFrom a@b Sat Nov 21 22:42:11 2026\r\n Fromage\r\nFrom",
	"Subject: CRs\r\n\r\na\rb\r\r\n\r\r\r\n\rc\r\n",
	"Status: RO\r\nX-Status: AFD\r\nX-Keywords: not mine\r\nContent-Length: 3\r\nX-Mozilla-Status: 0001\r\nSubject: fields of its own\r\n\r\nbody\r\n",
	"X-Candor-Export: mboxrd; uidvalidity=1; uid=2; size=3; received=2026-01-02T03:04:05Z\r\nStatus: R\r\nX-Status: \r\nX-Keywords: \r\n\r\nforged\r\n",
	"Subject: long\r\n\r\n" + strings.Repeat("x", 200_000) + "\r\nFrom here\r\n" + strings.Repeat(">", 5000) + "From \r\n",
	"Subject: \xff\xfe eight bits\r\n\r\nr\xe4ksm\xf6rg\xe5s\r\n",
}

func outgoing(uids ...int) []sent {
	flags := [][]string{nil, {`\Seen`}, {`\Answered`, `\Flagged`, `\Draft`, `\Deleted`}, {"$Forwarded", "work"}, {"Junk", `\Seen`}}
	var all []sent
	for i, uid := range uids {
		text := tricky[i%len(tricky)]
		all = append(all, sent{Outgoing{
			uint32(uid), int64(len(text)), flags[i%len(flags)],
			time.Date(2020, 1, i%28+1, 3, 4, 5, 0, time.FixedZone("", 3600*(i%5))),
		}, text})
	}
	return all
}

// export writes mailboxes as a command does and returns the faults.
func export(t *testing.T, dir string, e Export, boxes []Listed, messages []sent) []string {
	t.Helper()
	target, err := NewTarget(dir, e)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if err := target.Begin(boxes); err != nil {
		t.Fatal(err)
	}
	var faults []string
	for _, b := range boxes {
		w, err := target.Open(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			has, err := w.Has(m.Outgoing)
			if err == nil && !has {
				err = w.Write(m.Outgoing, strings.NewReader(m.text))
			}
			var fault *Fault
			if errors.As(err, &fault) {
				faults = append(faults, fault.Error())
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return faults
}

var boxes = []Listed{
	{Name: "INBOX", UIDValidity: 1_700_000_000, Subscribed: true},
	{Name: "Sent/2024", UIDValidity: 1_700_000_001, SpecialUse: `\Sent`},
	{Name: "Entwürfe/a.b.sbd/& c.mbox", UIDValidity: 1_700_000_002, Subscribed: true},
}

// TestRoundTrip: what is exported is read back as it was, also when the export was cut off and gone on with.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	uids := []int{1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 100}
	all := outgoing(uids...)
	for _, format := range []string{"maildir", "mbox"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "new", "export")
			e := Export{"ann@example.org", format}
			if faults := export(t, dir, e, boxes, all[:6]); len(faults) > 0 {
				t.Errorf("faults: %q", faults)
			}
			if format == "mbox" { // cut the last message off
				file := filepath.Join(dir, "INBOX.mbox")
				info, err := os.Stat(file)
				if err != nil {
					t.Fatal(err)
				}
				os.Truncate(file, info.Size()-5)
			} else {
				cur, _ := filepath.Glob(filepath.Join(dir, "cur", "*.M6V*"))
				os.Truncate(cur[0], 3)
				cur, _ = filepath.Glob(filepath.Join(dir, "cur", "*.M5V*"))
				os.Remove(cur[0])
			}
			for range 2 {
				if faults := export(t, dir, e, boxes, all); len(faults) > 0 {
					t.Errorf("faults: %q", faults)
				}
			}
			s := openSource(t, format, dir)
			read, faults := readAll(t, s)
			if len(faults) > 0 || len(read) != len(boxes) {
				t.Fatalf("read %d mailboxes, faults %q", len(read), faults)
			}
			for _, b := range boxes {
				compare(t, b.Name, read[b.Name], all, format)
			}
			names, ok, err := s.Subscriptions()
			if err != nil || !ok || !slices.Equal(names, []string{boxes[0].Name, boxes[2].Name}) {
				t.Errorf("subscriptions %q, %v, %v", names, ok, err)
			}
			folders, _ := s.Folders(func(*Fault) {})
			for _, f := range folders {
				if want := map[string]string{"Sent/2024": `\Sent`}[f.Name]; f.SpecialUse != want {
					t.Errorf("%s has the use %q, want %q", f.Name, f.SpecialUse, want)
				}
			}
		})
	}
}

func compare(t *testing.T, name string, read []got, want []sent, format string) {
	t.Helper()
	if len(read) != len(want) {
		t.Fatalf("%s: %d messages, want %d", name, len(read), len(want))
	}
	keys := map[[16]byte]bool{}
	for i, m := range want {
		g := read[i]
		slices.Sort(m.Flags)
		if g.text != m.text {
			t.Errorf("%s, message %d:\ngot  %.200q\nwant %.200q", name, i, g.text, m.text)
		}
		if flags := strings.Join(m.Flags, " "); g.flags != flags {
			t.Errorf("%s, message %d: flags %q, want %q", name, i, g.flags, flags)
		}
		_, zone := g.received.Zone()
		_, wantZone := m.Received.Zone()
		if !g.received.Equal(m.Received) || format == "mbox" && zone != wantZone {
			t.Errorf("%s, message %d: received %v, want %v", name, i, g.received, m.Received)
		}
		keys[g.key] = true
	}
	if len(keys) != len(want) {
		t.Errorf("%s: %d keys for %d messages", name, len(keys), len(want))
	}
}

// TestExportTells what cannot be kept.
func TestExportTells(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprint("k", i))
	}
	text := "Subject: x\r\n\r\nbare\nLF\r\n"
	m := []sent{{Outgoing{1, int64(len(text)), many, time.Unix(1, 0)}, text}}
	faults := export(t, t.TempDir(), Export{"a@b", "maildir"}, boxes[:1], m)
	if len(faults) != 1 || !strings.Contains(faults[0], "LF without CR") || !strings.Contains(faults[0], "left out: k26 k27 k28 k29") {
		t.Errorf("faults %q", faults)
	}
	if faults := export(t, t.TempDir(), Export{"a@b", "mbox"}, boxes[:1], m); len(faults) != 1 {
		t.Errorf("faults %q", faults)
	}
}

func TestExportRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "precious"), nil, 0o600)
	if _, err := NewTarget(dir, Export{"a@b", "mbox"}); !errors.Is(err, errNotEmpty) {
		t.Errorf("a folder with other things: %v", err)
	}
	dir = t.TempDir()
	export(t, dir, Export{"a@b", "mbox"}, boxes, outgoing(1))
	if _, err := NewTarget(dir, Export{"c@d", "mbox"}); err == nil || !strings.Contains(err.Error(), "a@b") {
		t.Errorf("another's export: %v", err)
	}
	target, err := NewTarget(dir, Export{"a@b", "mbox"})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	for _, name := range []string{"../out", "a/../../out", "..", "a//b", ""} {
		if _, err := target.Open(Listed{Name: name}); !errors.Is(err, errName) {
			t.Errorf("mailbox %q: %v", name, err)
		}
	}
	if _, err := target.Open(Listed{Name: "INBOX", UIDValidity: 7}); err == nil || !strings.Contains(err.Error(), "deleted since") {
		t.Errorf("another mailbox of the name: %v", err)
	}
	w, err := target.Open(boxes[0])
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Write(Outgoing{2, 100, nil, time.Unix(1, 0)}, strings.NewReader("short")); err == nil {
		t.Error("a content that is too short was written")
	}
	var text bytes.Buffer
	fmt.Fprint(&text, "Subject: next\r\n\r\n")
	if err := w.Write(Outgoing{3, int64(text.Len()), nil, time.Unix(1, 0)}, &text); err != nil {
		t.Error(err)
	}
	w.Close()
	read, faults := readAll(t, openSource(t, "mbox", dir))
	if len(read["INBOX"]) != 2 || len(faults) > 0 {
		t.Errorf("read %d messages, faults %q", len(read["INBOX"]), faults)
	}
}

package mailfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tree writes files, and folders for names that end in "/".
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		place := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			os.MkdirAll(place, 0o700)
			continue
		}
		os.MkdirAll(filepath.Dir(place), 0o700)
		if err := os.WriteFile(place, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(all map[string][]got) string {
	var n []string
	for name := range all {
		n = append(n, name)
	}
	slices.Sort(n)
	return strings.Join(n, "|")
}

func TestMaildirFolders(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{
		"cur/": "", "new/": "", "tmp/": "",
		".Sent.2024/cur/": "", ".Sent.2024/new/": "",
		".Entw&APw-rfe.&AMQ-/cur/": "", ".Entw&APw-rfe.&AMQ-/new/": "", // modified UTF-7
		".Größe/cur/": "", ".Größe/new/": "", // UTF-8
		".R&D/cur/": "", ".R&D/new/": "", // UTF-8 with a bare &
		".v1&AC4-2/cur/": "", ".v1&AC4-2/new/": "", // Courier's dot
		"Work/2024/cur/": "", "Work/2024/new/": "", // LAYOUT=fs
		".index/": "", "dovecot-uidlist": "", // no mailboxes
		"....etc/cur/": "", "....etc/new/": "", // empty levels
		".&AC4ALg-/cur/": "", ".&AC4ALg-/new/": "", // ".."
		".a&AC8-b/cur/": "", ".a&AC8-b/new/": "", // "/"
		"subscriptions": "V\t2\n\nINBOX\nSent\t2024\nEntw&APw-rfe\t&AMQ-\n",
	})
	s := openSource(t, "maildir", dir)
	all, faults := readAll(t, s)
	if got, want := names(all), "Entwürfe/Ä|Größe|INBOX|R&D|Sent/2024|Work/2024|v1.2"; got != want {
		t.Errorf("mailboxes %s, want %s", got, want)
	}
	if len(faults) != 3 || !strings.Contains(strings.Join(faults, "\n"), errName.Error()) {
		t.Errorf("faults %q", faults)
	}
	subscribed, _, err := s.Subscriptions()
	if err != nil || strings.Join(subscribed, "|") != "INBOX|Sent/2024|Entwürfe/Ä" {
		t.Errorf("subscriptions %q, %v", subscribed, err)
	}
	for text, want := range map[string]string{"INBOX.Sent.2024\nINBOX\n": "Sent/2024|INBOX", "Sent.2024\n": "Sent/2024"} {
		old := tree(t, map[string]string{"cur/": "", "new/": "", "courierimapsubscribed": text})
		subscribed, ok, err := openSource(t, "maildir", old).Subscriptions()
		if err != nil || !ok || strings.Join(subscribed, "|") != want {
			t.Errorf("subscriptions %q are %q, %v", text, subscribed, err)
		}
	}
}

func TestMaildirMessages(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	os.WriteFile(secret, []byte("Subject: secret\n\n"), 0o600)
	dir := tree(t, map[string]string{
		"cur/1700000002.M5P1.host,S=10,W=12:2,FRSTDPab": "Subject: two\n\nx\n",
		"cur/1700000001.M10P1.host:2,":                  "Subject: one\r\n\r\nkept\r\n",
		"new/1700000003.M1P1.host":                      "Subject: three\nmixed\r\n\nlast",
		"new/1700000004.M1P1.host,S=3:2,Sz":             "Subject: four\n\n",
		"cur/1700000005.M1P1.host:2,S":                  "Subject: nul\n\n\x00\n",
		"cur/.hidden":                                   "no message",
		"cur/1700000006.M1P1.host:2,/":                  "",
		"dovecot-keywords":                              "0 work\n1 $Forwarded\nx y\n2 bad(keyword\n",
	})
	when := time.Unix(1_600_000_000, 0)
	os.Chtimes(filepath.Join(dir, "cur/1700000001.M10P1.host:2,"), when, when)
	os.Symlink(secret, filepath.Join(dir, "cur/1700000007.M1P1.host:2,"))
	if err := syscall.Mkfifo(filepath.Join(dir, "cur/1700000008.M1P1.host:2,"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, faults := readAll(t, openSource(t, "maildir", dir))
	var texts, flags []string
	for _, m := range all["INBOX"] {
		texts, flags = append(texts, m.text), append(flags, m.flags)
	}
	want := []string{"Subject: one\r\n\r\nkept\r\n", "Subject: two\r\n\r\nx\r\n", "Subject: three\r\nmixed\r\n\r\nlast", "Subject: four\r\n\r\n"}
	if !slices.Equal(texts, want) {
		t.Errorf("texts %q", texts)
	}
	if want := []string{"", `$Forwarded \Answered \Deleted \Draft \Flagged \Seen work`, "", `\Seen`}; !slices.Equal(flags, want) {
		t.Errorf("flags %q", flags)
	}
	if !all["INBOX"][0].received.Equal(when) {
		t.Errorf("received %v, want %v", all["INBOX"][0].received, when)
	}
	// NUL, a folder, a link that leads out, a pipe.
	if len(faults) != 4 {
		t.Errorf("faults %q", faults)
	}
}

// TestMaildirRenamed: a message whose flags change between being found and read is found again under its key.
func TestMaildirRenamed(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"cur/1.M1.host:2,": "Subject: x\n\n", "cur/2.M1.host:2,": "Subject: y\n\n", "new/": ""})
	s := openSource(t, "maildir", dir)
	var keys [][16]byte
	err := s.Messages(Folder{Path: "."}, nil, func(m *Message) error {
		keys = append(keys, m.Key)
		if len(keys) == 1 {
			os.Rename(filepath.Join(dir, "cur/1.M1.host:2,"), filepath.Join(dir, "cur/1.M1.host:2,S"))
		} else {
			os.Remove(filepath.Join(dir, "cur/2.M1.host:2,"))
		}
		c, err := m.Open()
		if len(keys) == 2 {
			if !errors.Is(err, ErrGone) {
				t.Errorf("a removed message: %v", err)
			}
			return nil
		}
		if err != nil || !slices.Equal(c.Flags, []string{`\Seen`}) {
			t.Fatalf("flags %q, %v", c.Flags, err)
		}
		return c.Close()
	})
	if err != nil || len(keys) != 2 || keys[0] != maildirKey("1.M1.host,S=12:2,FS") {
		t.Errorf("keys %x, %v", keys, err)
	}
}

// TestMboxDialects: what different programs write.
func TestMboxDialects(t *testing.T) {
	t.Parallel()
	const date = "Sat Nov 21 22:42:11 2026"
	for name, c := range map[string]struct{ mbox, texts, flags string }{
		"mboxrd": {
			"From a@b " + date + "\nSubject: 1\n\n>From x\n>>From y\nFrom the middle\n\nFrom nobody knows\n\nFrom c@d " + date + "\nSubject: 2\n\nend\n\n",
			"Subject: 1\n\nFrom x\n>From y\nFrom the middle\n\nFrom nobody knows\n|Subject: 2\n\nend\n", "|",
		},
		"Dovecot": {
			"From mail@vm  " + date + "\nSubject: 1\nX-IMAPbase: 1795300931 0000000003 work\nX-UID: 1\nStatus: RO\nX-Keywords: $Forwarded work     \nContent-Length: 59\nX-Status: AF\n\n" +
				">From quoted\n\nFrom mail@vm  " + date + "\nno end\n\nFrom mail@vm  " + date + "\nSubject: 2\nStatus: \nX-Status: TD\nContent-Length: 0\n\n\n",
			"Subject: 1\n\n>From quoted\n\nFrom mail@vm  " + date + "\nno end|Subject: 2\n\n", `$Forwarded \Answered \Flagged \Seen work|\Deleted \Draft`,
		},
		"Content-Length that counts wrong": {
			"From a " + date + "\nContent-Length: 3\nSubject: 1\n\nlonger\n\nFrom a " + date + "\nContent-Length: 99999\nSubject: 2\n\nx\n\n",
			"Subject: 1\n\nlonger\n|Subject: 2\n\nx\n", "|",
		},
		"Thunderbird": {
			"From - " + date + "\r\nX-Mozilla-Status: 1007\r\nX-Mozilla-Status2: 00000000\r\nX-Mozilla-Keys: $label1 todo       \r\nSubject: 1\r\n\r\nx\r\n\r\nFrom \r\nX-Mozilla-Status: 0000\r\nSubject: 2\r\n\r\ny\r\n\r\n",
			"Subject: 1\n\nx\n|Subject: 2\n\ny\n", `$Forwarded $label1 \Answered \Flagged \Seen todo|`,
		},
		"zones and folded keywords": {
			"From a " + date + " +0100\nX-Keywords: one\n two\nSubject: 1\n\n\nFrom a Sat Nov 21 22:42:11 CET 2026\nSubject: 2\n\n\nFrom \"a b\"@c Mon Nov  2 22:42:11 2026\nSubject: 3\n\nx",
			"Subject: 1\n\n|Subject: 2\n\n|Subject: 3\n\nx", "one two||",
		},
		"empty lines first, no body": {"\n\nFrom a " + date + "\nSubject: 1\n\nFrom a " + date + "\nSubject: 2\n", "Subject: 1\n\n|Subject: 2\n", "|"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, faults := readAll(t, openSource(t, "mbox", tree(t, map[string]string{"INBOX": c.mbox})))
			var texts, flags []string
			keys := map[[16]byte]bool{}
			for _, m := range all["INBOX"] {
				texts, flags, keys[m.key] = append(texts, strings.ReplaceAll(m.text, "\r\n", "\n")), append(flags, m.flags), true
				if strings.Count(m.text, "\n") != strings.Count(m.text, "\r\n") {
					t.Errorf("a bare LF in %q", m.text)
				}
			}
			if got := strings.Join(texts, "|"); got != c.texts {
				t.Errorf("got\n%q, want\n%q", got, c.texts)
			}
			if got := strings.Join(flags, "|"); got != c.flags || len(faults) > 0 || len(keys) != len(texts) {
				t.Errorf("flags %q, want %q; faults %q; %d keys", got, c.flags, faults, len(keys))
			}
		})
	}
}

// TestMboxKeys: a message keeps its key when its flags change and when others are removed; two that are alike have two.
func TestMboxKeys(t *testing.T) {
	t.Parallel()
	const from = "From a Sat Nov 21 22:42:11 2026\n"
	read := func(mbox string) (keys [][16]byte) {
		all, _ := readAll(t, openSource(t, "mbox", tree(t, map[string]string{"x": mbox})))
		for _, m := range all["x"] {
			keys = append(keys, m.key)
		}
		return keys
	}
	a := read(from + "Subject: 1\n\nx\n\n" + from + "Subject: 2\n\nx\n\n" + from + "Subject: 2\n\nx\n\n")
	b := read(from + "Subject: 2\nStatus: RO\n\nx\n\n" + from + "Status: O\nSubject: 2\nX-Keywords: k\n\nx\n\n" + from + "Subject: 3\n\nx\n\n")
	if a[1] == a[2] || a[1] != b[0] || a[2] != b[1] || b[2] == a[0] {
		t.Errorf("keys %x and %x", a, b)
	}
}

func TestMboxTree(t *testing.T) {
	t.Parallel()
	const one = "From a Sat Nov 21 22:42:11 2026\nSubject: 1\n\n\n"
	dir := tree(t, map[string]string{
		"INBOX": one, "Sent": one, "Sent.sbd/2024": one, "Sent.msf": "index", "Archive.mbox": one, "Archive/Entw&APw-rfe.mbox": one,
		".imap/INBOX/dovecot.index": "x", ".subscriptions": "V\t2\n\nSent\nSent\t2024\n", "empty": "", "notes.txt": "no mail\n", "&AC4ALg-/passwd": one,
	})
	s := openSource(t, "mbox", dir)
	all, faults := readAll(t, s)
	if got, want := names(all), "Archive|Archive/Entwürfe|INBOX|Sent|Sent/2024|empty"; got != want {
		t.Errorf("mailboxes %s, want %s", got, want)
	}
	if len(faults) != 2 {
		t.Errorf("faults %q", faults)
	}
	if subscribed, _, err := s.Subscriptions(); err != nil || strings.Join(subscribed, "|") != "Sent|Sent/2024" {
		t.Errorf("subscriptions %q, %v", subscribed, err)
	}
	for _, path := range []string{filepath.Join(dir, "absent"), filepath.Join(dir, ".imap")} {
		if m, err := OpenMbox(path); err == nil {
			if _, err := m.Folders(func(*Fault) {}); err == nil {
				t.Errorf("%s is taken for mboxes", path)
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
}

// TestMboxCutOff: an export that lost its end is noticed.
func TestMboxCutOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	export(t, dir, Export{"a@b", "mbox"}, boxes[:1], outgoing(1, 2))
	file := filepath.Join(dir, "INBOX.mbox")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(file, text[:len(text)-4], 0o600)
	all, faults := readAll(t, openSource(t, "mbox", dir))
	if len(all["INBOX"]) != 1 || len(faults) != 1 || !strings.Contains(faults[0], "cut off") {
		t.Errorf("read %d, faults %q", len(all["INBOX"]), faults)
	}
}

// FuzzMbox: whatever a file holds, reading it ends without a panic, and no message has a bare LF.
func FuzzMbox(f *testing.F) {
	for _, m := range tricky {
		f.Add([]byte(formatFrom(time.Unix(1, 0)) + formatMark(mark{1, 2, int64(len(m)), time.Unix(1, 0)}, nil) + m + "\n\n"))
		f.Add([]byte("From a Sat Nov 21 22:42:11 2026\nContent-Length: 5\nStatus: R\n" + m))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, _ := readAll(t, openSource(t, "mbox", tree(t, map[string]string{"x/y": "", "INBOX": "From \n\n" + string(text)})))
		for _, m := range all["INBOX"] {
			if strings.Count(m.text, "\n") != strings.Count(m.text, "\r\n") {
				t.Errorf("a bare LF in %q", m.text)
			}
		}
	})
}

// FuzzMboxRoundTrip: any content without bare LF and NUL is read back as it was written.
func FuzzMboxRoundTrip(f *testing.F) {
	for _, m := range tricky {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n"), "\x00", "")
		if text == "" {
			return
		}
		dir := t.TempDir()
		m := []sent{{Outgoing{1, int64(len(text)), nil, time.Unix(1, 0).UTC()}, text}, {Outgoing{2, int64(len(text)), nil, time.Unix(2, 0).UTC()}, text}}
		export(t, dir, Export{"a@b", "mbox"}, boxes[:1], m)
		all, faults := readAll(t, openSource(t, "mbox", dir))
		if len(faults) > 0 {
			t.Fatalf("faults %q", faults)
		}
		compare(t, "INBOX", all["INBOX"], m, "mbox")
	})
}

package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"candor/internal/server/web"
	"candor/internal/store/directory"
)

// TestSetClosed: only the line of closed changes, and it is a key of no table.
func TestSetClosed(t *testing.T) {
	for name, tc := range map[string]struct {
		text   string
		closed []string
		want   string
	}{
		"before the first table":  {"a = 1 # x\n\n# of t\n[t]\nb = 2\n", []string{"imap:143"}, "a = 1 # x\nclosed = [\"imap:143\"]\n\n# of t\n[t]\nb = 2\n"},
		"before a list of tables": {"a = 1\n[[l]]\nb = 2\n", []string{"imap:143"}, "a = 1\nclosed = [\"imap:143\"]\n[[l]]\nb = 2\n"},
		"no table":                {"a = 1", []string{"imap:143"}, "a = 1\nclosed = [\"imap:143\"]\n"},
		"replaced":                {"closed = [\"pop3:110\"]\na = 1\n", []string{"pop3:110", "imap:143"}, "closed = [\"pop3:110\", \"imap:143\"]\na = 1\n"},
		"several lines":           {"closed = [\n  \"pop3:110\", # old\n]\na = 1\n[t]\nclosed = 3\n", []string{"imap:143"}, "closed = [\"imap:143\"]\na = 1\n[t]\nclosed = 3\n"},
		"taken back":              {"a = 1\nclosed = [\"imap:143\"]\n[t]\n", nil, "a = 1\n[t]\n"},
		"CRLF and mark":           {"\uFEFFa = 1\r\n[t]\r\n", []string{"imap:143"}, "\uFEFFa = 1\r\nclosed = [\"imap:143\"]\r\n[t]\r\n"},
	} {
		if got := string(setClosed([]byte(tc.text), tc.closed)); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

func TestClosedRefusals(t *testing.T) {
	for list, want := range map[string]string{
		`"imap:144"`: `f:1: closed[0]: no other listener is imap:144: remove it from the list, or use some of smtp:25`,
		`"imap"`:     `f:1: closed[0]: "imap" is not service:port`,
		`"smtp:25", "submission:587", "submission:465", "imap:143", "imap:993", "pop3:110", "pop3:995", "http:443", "http:80"`: "closed leaves no listener",
	} {
		if _, err := parseConfig("f", []byte("closed = ["+list+"]\n"+minimal)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", list, err)
		}
	}
	c, err := parseConfig("f", []byte("closed = [\"imap:143\"]\n"+minimal))
	if err != nil || len(c.Listeners) != len(defaultListeners)-1 || len(c.closed) != 1 {
		t.Errorf("got %d listeners, %d closed, %v", len(c.Listeners), len(c.closed), err)
	}
}

// TestListenerUse: the last login counts, at this port, whatever was refused after it.
func TestListenerUse(t *testing.T) {
	last := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	rows := []directory.CensusRow{
		{Service: directory.IMAP, Port: 143, Last: last.Add(-time.Hour)},
		{Service: directory.IMAP, Port: 143, Last: last},
		{Service: directory.IMAP, Port: 143, Last: last.Add(time.Hour), Reason: "wrong"},
		{Service: directory.IMAP, Port: 993, Last: last.Add(time.Hour)},
	}
	for _, tc := range []struct {
		listener web.ListenerStatus
		want     string
	}{
		{web.ListenerStatus{Service: "imap", Address: ":143"}, "2026-09-01"},
		{web.ListenerStatus{Service: "pop3", Address: ":110"}, "none in 30 days"},
		{web.ListenerStatus{Service: "smtp", Address: ":25"}, "-"},
		{web.ListenerStatus{Service: "imap", Address: ":143", Closed: true}, "closed; open it: candor listener open imap:143"},
	} {
		if u := useOf(&tc.listener, rows); u.words() != tc.want {
			t.Errorf("%s: got %q, want %q", u.Listener, u.words(), tc.want)
		}
	}
}

// TestListenerClose: the command writes one line and the running server obeys; the last port of a service takes --force.
func TestListenerClose(t *testing.T) {
	const listeners = "\n[[listener]]\nservice = \"imap\"\naddress = \"127.0.0.1:0\"\ntls = \"required\"\n" +
		"\n[[listener]]\nservice = \"pop3\"\naddress = \"127.0.0.1:0\"\ntls = \"required\"\n"
	s := serveHere(t, listeners)
	before, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if _, errs, code := candor(t, "", "listener", "close", "pop3:0", "--config", s.file); code != exitFailed || !strings.Contains(errs, "no other port of pop3 would be open (closed: none)") {
		t.Errorf("got %d, %s", code, errs)
	}
	if out := s.command(t, "listener", "close", "pop3:0", "--force"); out != "pop3:0 is closed. Open for pop3: nothing.\n" {
		t.Errorf("got %q", out)
	}
	if open := s.doors.Listeners(); len(open) != 1 || open[0].Name != "imap:0" {
		t.Errorf("open are %+v", open)
	}
	if out := s.command(t, "status"); !strings.Contains(out, "Port 0 (pop3): closed on purpose, by the configuration.") {
		t.Errorf("status says\n%s", out)
	}
	if out := s.command(t, "listener", "list"); !strings.Contains(out, "closed; open it: candor listener open pop3:0") || !strings.Contains(out, "none in 30 days") {
		t.Errorf("the list is\n%s", out)
	}
	if out := s.command(t, "listener", "open", "pop3:0"); out != "pop3:0 is open.\n" || len(s.doors.Listeners()) != 2 {
		t.Errorf("got %q, open are %+v", out, s.doors.Listeners())
	}
	if after, err := os.ReadFile(s.file); err != nil || string(after) != string(before) {
		t.Errorf("the file was\n%s\nand is, %v,\n%s", before, err, after)
	}
	s.write(t, listeners+"[limits]\nmemory = \"3GiB\"\n") // which takes a restart
	if before, err = os.ReadFile(s.file); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := candor(t, "", "listener", "close", "pop3:0", "--force", "--config", s.file); code != exitFailed || !strings.Contains(errs, "nothing was changed: ") {
		t.Errorf("got %d, %s", code, errs)
	}
	if after, err := os.ReadFile(s.file); err != nil || string(after) != string(before) {
		t.Errorf("the file was\n%s\nand is, %v,\n%s", before, err, after)
	}
}

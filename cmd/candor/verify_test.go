package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"candor/internal/mail"
	"candor/internal/store/kv"
	"candor/internal/store/mailbox"
	"candor/internal/transit/queue"
)

// world is a data folder with some of everything: accounts, aliases, mail, a queue.
func world(t *testing.T) (c *config, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "candor.toml")
	if err := os.WriteFile(file, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"domain", "add", "example.org"},
		{"account", "add", "ann@example.org", "--password-stdin"},
		{"alias", "add", "info@example.org", "ann@example.org"},
	} {
		if out, errs, code := candor(t, "secret words\n", append(args, "--config", file)...); code != 0 {
			t.Fatalf("%v: exit %d: %s%s", args, code, out, errs)
		}
	}
	c, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, c)
	return c, file
}

// fill puts messages into INBOX of the second account, Sent, and the queue.
func fill(t *testing.T, c *config) {
	t.Helper()
	o, err := openOffline(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	ctx, m := t.Context(), o.parts.mailboxes
	a, err := m.Account(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"INBOX", "INBOX", "INBOX", "Sent"} {
		box, err := a.Lookup(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		blob, size := body(t, o.parts.db, "Subject: "+name+"\r\n\r\nwords\r\n")
		_, err = a.Append(ctx, box.ID, []mailbox.Message{{Prefix: []byte("Received: here\r\n"), Blob: blob, BlobSize: size, Flags: []string{"$Work"}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	blob, size := body(t, o.parts.db, "Subject: away\r\n\r\nwords\r\n")
	to, _ := mail.ParseAddress("bob@remote.invalid")
	err = o.parts.queue.Put(ctx, &queue.Message{
		Blob: blob, BlobSize: size, Envelope: mail.Envelope{Recipients: []mail.Recipient{{Address: to, Route: mail.Remote}}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func body(t *testing.T, db kv.DB, text string) (kv.BlobID, int64) {
	t.Helper()
	w, err := db.CreateBlob(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Discard()
	fmt.Fprint(w, text)
	id, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return id, int64(len(text))
}

// TestVerifyClean: nothing is wrong with a store that the program has written.
func TestVerifyClean(t *testing.T) {
	_, file := world(t)
	for _, args := range [][]string{{"verify"}, {"verify", "--quick"}} {
		if out, errs, code := candor(t, "", append(args, "--config", file)...); code != 0 {
			t.Errorf("%v: exit %d: %s%s", args, code, out, errs)
		}
	}
	out, errs, code := candor(t, "", "verify", "--json", "--config", file)
	var report struct {
		Findings []kv.Finding
		Clean    bool
		kv.Verified
	}
	if err := json.Unmarshal([]byte(out), &report); code != 0 || err != nil || !report.Clean || report.Blobs != 5 || report.Quick {
		t.Errorf("exit %d, %v: %s%s", code, err, out, errs)
	}
}

// open opens the bare store of a data folder.
func openStore(t *testing.T, c *config) bareStore {
	t.Helper()
	s, err := openBareStore(t.Context(), c, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// harm changes rows behind the program's back.
func harm(t *testing.T, c *config, f func(kv.Tx) error) {
	t.Helper()
	s := openStore(t, c)
	if err := errors.Join(s.Update(t.Context(), f), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestRepair: what verify finds, repair mends, after a dry run that changes nothing; what was taken out is in lost+found.
func TestRepair(t *testing.T) {
	c, file := world(t)
	harm(t, c, func(tx kv.Tx) error {
		for p, err := range tx.Scan([]byte("qi"), []byte("qj")) {
			if err != nil {
				return err
			}
			tx.Delete(bytes.Clone(p.Key)) // the queued message's envelope
		}
		tx.Set([]byte("x"), []byte("nobody's"))
		return nil
	})
	damageLastBody(t, c)
	want := []string{"message-body error: ", "queue-item-lost error: ", "row-unknown warning: "}
	check := func(code, wantCode int, out, errs string) {
		t.Helper()
		if code != wantCode {
			t.Errorf("exit %d, want %d: %s%s", code, wantCode, out, errs)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("no %q in\n%s", w, out)
			}
		}
	}
	for _, args := range [][]string{{"verify"}, {"repair", "--dry-run"}, {"verify"}} {
		out, errs, code := candor(t, "", append(args, "--config", file)...)
		check(code, exitFailed, out, errs)
	}
	out, errs, code := candor(t, "", "repair", "--config", file)
	check(code, 0, out, errs)
	_, dir, ok := strings.Cut(errs, "are in ")
	dir = strings.TrimSpace(dir)
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || !ok || len(left) != 4 {
		t.Errorf("%s holds %q, %v; want two messages, rows.jsonl and report.jsonl", dir, left, err)
	}
	rows, err := os.ReadFile(filepath.Join(dir, "rows.jsonl"))
	if err != nil || !strings.Contains(string(rows), base64.StdEncoding.EncodeToString([]byte("nobody's"))) {
		t.Errorf("rows.jsonl: %s, %v", rows, err)
	}
	if out, errs, code := candor(t, "", "verify", "--config", file); code != 0 {
		t.Errorf("after the repair: exit %d: %s%s", code, out, errs)
	}
	if out, errs, code := candor(t, "", "repair", "--json", "--config", file); code != 0 || strings.Contains(errs, "lost+found") {
		t.Errorf("a second repair: exit %d: %s%s", code, out, errs)
	}
}

// damageLastBody changes an octet of the body of the last message in Sent.
func damageLastBody(t *testing.T, c *config) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(c.Data, "store", "blobs", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range segments {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		i := bytes.Index(text, []byte("Subject: Sent"))
		if i < 0 {
			continue
		}
		text[i] = 's'
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no segment has the message")
}

// TestVerifyRunning: verify asks a server that runs; repair refuses.
func TestVerifyRunning(t *testing.T) {
	c, file := world(t)
	harm(t, c, func(tx kv.Tx) error { tx.Set([]byte("x"), nil); return nil })
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, "[[listener]]\nservice = \"imap\"\naddress = \"127.0.0.1:0\"\ntls = \"implicit\"\n"...)
	if err := errors.Join(os.WriteFile(file, text, 0o600), writeCertificate(filepath.Join(c.Data, "tls"), "mail.example.org", true)); err != nil {
		t.Fatal(err)
	}
	if c, err = loadConfig(file); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- serve(ctx, c, serveOptions{log: io.Discard, ready: func() { close(ready) }}) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify"}, {"verify", "--json"}} {
		out, errs, code := candor(t, "", append(args, "--config", file)...)
		if code != exitFailed || strings.Count(out, "row-unknown") != 1 || strings.Contains(out, "queue") {
			t.Errorf("%v: exit %d: %s%s", args, code, out, errs)
		}
	}
	if out, errs, code := candor(t, "", "repair", "--config", file); code != exitNotRun || !strings.Contains(errs, "stop it, then repair") {
		t.Errorf("repair: exit %d: %s%s", code, out, errs)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestRemovalCutShort: a program that ends when an account has gone from the directory has not forgotten its mail.
func TestRemovalCutShort(t *testing.T) {
	c, file := world(t)
	ann, _ := mail.ParseAddress("ann@example.org")
	for _, remove := range []bool{true, false} {
		o, err := openOffline(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if remove {
			_, err = o.parts.directory.RemoveAccount(t.Context(), ann, mailbox.Doom)
		}
		for err == nil && !remove && o.parts.mailboxes.Stats().Swept == 0 {
			runtime.Gosched()
		}
		if err := errors.Join(err, o.Close()); err != nil {
			t.Fatal(err)
		}
		if out, errs, code := candor(t, "", "verify", "--config", file); code != 0 {
			t.Errorf("exit %d: %s%s", code, out, errs)
		}
	}
	if out, _, _ := candor(t, "", "verify", "--config", file); !strings.Contains(out, "and 1 bodies") { // the queued message
		t.Error(out)
	}
}

// TestVerifyWithoutStore: a folder without a store is no reason to make one.
func TestVerifyWithoutStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "candor.toml")
	if err := os.WriteFile(file, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"verify", "repair"} {
		if out, errs, code := candor(t, "", command, "--config", file); code != exitNotRun || !strings.Contains(errs, "no store") {
			t.Errorf("%s: exit %d: %s%s", command, code, out, errs)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(file), "store")); err == nil {
		t.Error("a store was made")
	}
}

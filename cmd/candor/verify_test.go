package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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

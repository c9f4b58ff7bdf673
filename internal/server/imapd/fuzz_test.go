package imapd

import (
	"testing"

	"candor/internal/mailtest"
	"candor/internal/server/listen"
)

// FuzzSession sends anything, before and after login: no session panics, and each comes to its end.
func FuzzSession(f *testing.F) {
	w := mailtest.NewWorld(f, "account ann@example.org secret\n")
	for _, text := range []string{"Subject: one\n\nHello\n", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n"} {
		w.Append(f, "ann@example.org", "INBOX", text)
	}
	s := New(Options{Directory: w.Directory, Mailboxes: w.Mailboxes, Log: w.Log, Memory: listen.NewBudget(1 << 20)})
	addr := w.Serve(f, listen.IMAP, listen.Implicit, s.Handle)
	for _, in := range []string{
		"b SELECT INBOX\r\nc FETCH 1:* (FLAGS BODY[1.MIME] BINARY[1])\r\nd STORE 1 +FLAGS (\\Seen x)\r\ne CLOSE\r\n",
		"b EXAMINE INBOX\r\nc UID SEARCH RETURN (ALL) OR NOT SEEN (TEXT {3+}\r\nabc 1:*)\r\nd UNSELECT\r\n",
		"b APPEND INBOX (\\Seen) {3+}\r\na\r\n\r\nc IDLE\r\nDONE\r\n",
		"b CREATE a/b\r\nc LIST \"\" (a% *) RETURN (STATUS (MESSAGES))\r\nd RENAME a c\r\ne DELETE c/b\r\n",
		"b ENABLE QRESYNC UTF8=ACCEPT\r\nc SELECT INBOX (QRESYNC (1 1 1:9))\r\nd UID EXPUNGE 1\r\n",
	} {
		f.Add(true, in)
		f.Add(false, in)
	}
	f.Fuzz(func(t *testing.T, login bool, in string) {
		if login {
			in = "a LOGIN ann@example.org secret\r\n" + in
		}
		mailtest.Converse(t, addr, w.ClientTLS(), in)
		if s.Stats().Panics > 0 {
			t.Fatalf("%q makes it panic:\n%s", in, w.Logged)
		}
	})
}

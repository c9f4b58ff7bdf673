package pop3d_test

import (
	"strings"
	"testing"

	"candor/internal/mailtest"
	"candor/internal/server/listen"
	"candor/internal/server/pop3d"
)

// FuzzSession sends anything, before and after login: no session panics, and each comes to its end.
func FuzzSession(f *testing.F) {
	w := mailtest.NewWorld(f, "account ann@example.org secret\n")
	for _, text := range []string{"Subject: one\n\nHello\n", "Subject: two\n\n.\n..\n"} {
		w.Append(f, "ann@example.org", "INBOX", text)
	}
	s := pop3d.New(pop3d.Options{Directory: w.Directory, Mailboxes: w.Mailboxes, Log: w.Log})
	addr := w.Serve(f, listen.POP3, listen.Implicit, s.Handler())
	for _, in := range []string{
		"STAT\r\nLIST\r\nUIDL 1\r\nRETR 2\r\nTOP 1 0\r\nRSET\r\nQUIT\r\n",
		"DELE 1\r\nLIST 1\r\nNOOP\r\nCAPA\r\n",
		"AUTH PLAIN\r\nAGFubgBzZWNyZXQ=\r\n", "UTF8\r\nLANG\r\n",
	} {
		f.Add(true, in)
		f.Add(false, in)
	}
	f.Fuzz(func(t *testing.T, login bool, in string) {
		if login {
			in = "USER ann@example.org\r\nPASS secret\r\n" + in
		}
		mailtest.Converse(t, addr, w.ClientTLS(), in)
		if strings.Contains(w.Logged.String(), "panic") {
			t.Fatalf("%q makes it panic:\n%s", in, w.Logged)
		}
	})
}

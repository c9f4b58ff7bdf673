package smtpd_test

import (
	"testing"

	"candor/internal/mailtest"
	"candor/internal/server/listen"
	"candor/internal/server/smtpd"
)

// FuzzSession sends anything to port 25: no session panics, each comes to its end, and nothing is taken for
// accepted that got no 250.
func FuzzSession(f *testing.F) {
	w := mailtest.NewWorld(f, people)
	s, _ := serve(f, w, smtpd.Options{Memory: listen.NewBudget(1 << 20)})
	addr := w.Serve(f, listen.SMTP, listen.Opportunistic, s.Handler())
	for _, in := range []string{
		"EHLO x\r\nMAIL FROM:<eve@client.example> SIZE=10 BODY=8BITMIME\r\nRCPT TO:<bob@example.org> NOTIFY=NEVER\r\nDATA\r\nSubject: x\r\n\r\n..x\r\n.\r\nQUIT\r\n",
		"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nBDAT 3\r\nabcBDAT 0 LAST\r\nRSET\r\n",
		"HELO x\r\nVRFY bob\r\nHELP\r\nNOOP\r\nAUTH PLAIN\r\n",
		"EHLO x\r\nMAIL FROM:<eve@client.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nx\n.\r\nMAIL FROM:<>\r\n\r\n.\r\n",
		"EHLO x\r\nMAIL FROM:<a@b.example> SMTPUTF8\r\nRCPT TO:<\xc3\xa4@example.org>\r\nRCPT TO:<bob@example.org>\r\nBDAT 5 LAST\r\n\r\n\r\nx",
	} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		mailtest.Converse(t, addr, nil, in)
		if s.Stats().Panics > 0 {
			t.Fatalf("%q makes it panic:\n%s", in, w.Logged)
		}
	})
}

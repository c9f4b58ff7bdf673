package interop

import (
	"fmt"
	"strings"
	"testing"
)

// loneDots are what some server somewhere takes for the end of DATA.
var loneDots = []string{
	"\n.\n", "\n.\r", "\n.\r\n", "\r.\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n.\r",
	"\r\n.\r\r\n", "\n.\r\r\n", "\r.\r\r\n", "\r\r\n\r.\r\n",
}

// TestSmuggling sends a message within a message by every lone dot, with DATA and with BDAT: it stays one, or is refused.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	s := start(t)
	inner := "MAIL FROM:<ceo@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nHello"
	for _, dot := range loneDots {
		text := "Subject: outer\r\n\r\nx" + dot + inner + "\r\n"
		for how, content := range map[string]string{
			"DATA": "DATA\r\n" + text + ".\r\n",
			"BDAT": fmt.Sprintf("BDAT %d LAST\r\n%s", len(text), text),
		} {
			c, err := s.smtpTalk()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.say("EHLO client.example\r\nMAIL FROM:<eve@client.example>\r\nRCPT TO:<bob@example.org>\r\n", 3); err != nil {
				t.Fatal(err)
			}
			replies := 1
			if how == "DATA" {
				replies = 2
			}
			reply, err := c.say(content, replies)
			if err != nil || !strings.HasPrefix(reply, "550 5.5.2") {
				t.Errorf("%s %q: %q, %v", how, dot, reply, err)
			}
			if reply, err := c.say("NOOP\r\nQUIT\r\n", 2); err != nil || !strings.HasPrefix(reply, "221") {
				t.Errorf("%s %q: out of step afterwards: %q, %v", how, dot, reply, err)
			}
			c.Close()
		}
	}
	s.sendPlain(t, "bob@example.org", "the last")
	s.waitFor(t, "bob@example.org", "the last")
	if got := s.status(t, "bob@example.org", "INBOX"); got != "MESSAGES 1 UNSEEN 1" {
		t.Errorf("INBOX has %s", got)
	}
}

// TestSmugglingFromUser: what a program that logs in sends with odd line ends becomes one message.
func TestSmugglingFromUser(t *testing.T) {
	t.Parallel()
	s := start(t)
	conn, err := dialTLS(s, s.submissions)
	if err != nil {
		t.Fatal(err)
	}
	c := newSMTPTalk(conn)
	if _, err := c.say("EHLO x\r\nAUTH PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=\r\n", 3); err != nil {
		t.Fatal(err)
	}
	for i, dot := range loneDots {
		text := fmt.Sprintf("From: ann@example.org\r\nSubject: outer %d\r\n\r\nx%sMAIL FROM:<ceo@example.org>\r\n", i, dot)
		reply, err := c.say("MAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n"+text+".\r\n", 4)
		if err != nil || !strings.HasPrefix(reply, "250") {
			t.Errorf("%q: %q, %v", dot, reply, err)
		}
	}
	s.waitCount(t, "bob@example.org", "outer", len(loneDots))
}

package main

import (
	"encoding/base64"
	"flag"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// allDoors are the ports of people and servers that begin in clear.
const allDoors = `
[[listener]]
service = "smtp"
address = "127.0.0.1:0"
tls = "opportunistic"
name = "smtp"
[[listener]]
service = "submission"
address = "127.0.0.1:0"
tls = "required"
name = "submission"
[[listener]]
service = "imap"
address = "127.0.0.1:0"
tls = "required"
name = "imap"
[[listener]]
service = "pop3"
address = "127.0.0.1:0"
tls = "required"
name = "pop3"
[limits]
exempt = ["127.0.0.0/8"]
`

var (
	rightPlain = base64.StdEncoding.EncodeToString([]byte("\x00ann@example.org\x00secret words"))
	rightName  = base64.StdEncoding.EncodeToString([]byte("ann@example.org"))
	rightPass  = base64.StdEncoding.EncodeToString([]byte("secret words"))
	scramFirst = base64.StdEncoding.EncodeToString([]byte("n,,n=ann@example.org,r=rOprNGfwEbeRWgbNEkqO"))
)

// clearWords are pieces of conversations, with the right credentials and in every order.
var clearWords = map[string][]string{
	"smtp": {
		"EHLO x\r\n", "HELO x\r\n", "AUTH PLAIN " + rightPlain + "\r\n", "AUTH PLAIN\r\n", "AUTH LOGIN\r\n", "AUTH LOGIN " + rightName + "\r\n",
		"AUTH SCRAM-SHA-256 " + scramFirst + "\r\n", "AUTH CRAM-MD5\r\n", rightPlain + "\r\n", rightName + "\r\n", rightPass + "\r\n", "*\r\n", "=\r\n",
		"MAIL FROM:<ann@example.org>\r\n", "MAIL FROM:<ann@example.org> AUTH=<>\r\n", "RCPT TO:<ann@example.org>\r\n", "DATA\r\n", ".\r\n",
		"BDAT 21\r\nAUTH PLAIN " + rightPlain + "\r\n", "BDAT 4 LAST\r\n", "RSET\r\n", "NOOP\r\n", "HELP\r\n",
		"STARTTLS\r\n", "STARTTLS x\r\n", "STARTTLS\n", " STARTTLS\r\n", "starttls\r", "STARTTLS\x00\r\n", "\r\n", "\n", "\x00", "\x80\x80", "auth plain\t" + rightPlain + "\r\n",
	},
	"imap": {
		"a LOGIN ann@example.org \"secret words\"\r\n", "a LOGIN {15}\r\n", "ann@example.org {12}\r\nsecret words\r\n", "a LOGIN {15+}\r\nann@example.org {12+}\r\nsecret words\r\n",
		"a LOGIN ann@example.org {12}\r\n", "secret words\r\n", "a AUTHENTICATE PLAIN\r\n", "a AUTHENTICATE PLAIN " + rightPlain + "\r\n", "a AUTHENTICATE LOGIN\r\n",
		"a AUTHENTICATE SCRAM-SHA-256 " + scramFirst + "\r\n", rightPlain + "\r\n", rightName + "\r\n", rightPass + "\r\n", "*\r\n", "a CAPABILITY\r\n", "a NOOP\r\n",
		"a ID {5}\r\n", "a ID (\"name\" {12+}\r\nsecret words)\r\n", "a ID NIL\r\n", "a SELECT INBOX\r\n", "a ENABLE UTF8=ACCEPT\r\n", "a APPEND INBOX {12+}\r\nsecret words\r\n",
		"a STARTTLS\r\n", "a STARTTLS x\r\n", "a STARTTLS\n", "STARTTLS\r\n", "a starttls \r\n", "\r\n", "\n", "\x00", "{15}\r\n", "{99999+}\r\n", "a login",
	},
	"pop3": {
		"USER ann@example.org\r\n", "PASS secret words\r\n", "APOP ann@example.org c4c9334bac560ecc979e58001b3e22fb\r\n", "AUTH PLAIN " + rightPlain + "\r\n", "AUTH PLAIN\r\n",
		"AUTH LOGIN\r\n", "AUTH\r\n", rightPlain + "\r\n", rightName + "\r\n", rightPass + "\r\n", "*\r\n", "CAPA\r\n", "NOOP\r\n", "STAT\r\n", "RETR 1\r\n", "UTF8\r\n",
		"STLS\r\n", "STLS x\r\n", "STLS\n", " STLS\r\n", "stls\r", "\r\n", "\n", "\x00", "user ann@example.org\r\npass secret words\r\n",
	},
}

// loggedIn is what no door says in clear: that a login succeeded or goes on.
var loggedIn = regexp.MustCompile(`(?m)^(235|334|\+ ?\r?$|\+OK (Logged|Password)|[^ ]+ OK .*Logged in)`)

// TestNoVerifierInClear is X-05 from our side: whatever is sent in clear, in whatever pieces, no door asks for a secret, goes on with a login,
// or has a verifier look at one.
func TestNoVerifierInClear(t *testing.T) {
	checks := "400"
	if os.Getenv("CANDOR_SOAK") != "" {
		checks = "50000"
	}
	if err := flag.Set("rapid.checks", checks); err != nil {
		t.Fatal(err)
	}
	s := serveHere(t, allDoors)
	before := s.directory.Stats()
	rapid.Check(t, func(r *rapid.T) {
		door := rapid.SampledFrom([]string{"smtp", "submission", "imap", "pop3"}).Draw(r, "door")
		words := clearWords[door]
		if door == "submission" {
			words = clearWords["smtp"]
		}
		piece := rapid.OneOf(rapid.SampledFrom(words), rapid.SampledFrom(words), rapid.StringN(0, 20, 60))
		text := strings.Join(rapid.SliceOfN(piece, 1, 24).Draw(r, "pieces"), "")
		if heard := say(t, s.dial(t, door), text, rapid.SliceOfN(rapid.IntRange(0, len(text)), 0, 12).Draw(r, "cuts")); loggedIn.MatchString(heard) {
			r.Fatalf("%s answered %q", door, heard)
		}
		if now := s.directory.Stats(); now.Asked != before.Asked || now.Unencrypted != 0 || now.Logins != before.Logins || len(now.Refused) != len(before.Refused) {
			r.Fatalf("%s: a verifier was called: %+v", door, now)
		}
	})
}

// say sends a text in pieces that are cut at these places, one after another, and returns all that comes back.
func say(t *testing.T, c net.Conn, text string, cuts []int) string {
	t.Helper()
	defer c.Close()
	heard := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(c) // a reset ends it as well
		heard <- string(all)
	}()
	for len(text) > 0 {
		n := len(text)
		if len(cuts) > 0 {
			n, cuts = min(n, 1+cuts[0]), cuts[1:]
		}
		if _, err := io.WriteString(c, text[:n]); err != nil {
			break
		}
		text = text[n:]
	}
	c.(*net.TCPConn).CloseWrite()
	select {
	case all := <-heard:
		return all
	case <-time.After(20 * time.Second):
		t.Fatal("the connection does not end")
		return ""
	}
}

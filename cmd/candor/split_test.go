package main

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// splitConn writes its first octets up to a place, and the rest after a moment; or each octet by itself.
type splitConn struct {
	net.Conn
	at     int // -1: after each octet
	passed int
}

func (c *splitConn) Write(p []byte) (n int, err error) {
	for rest := p; len(rest) > 0 && err == nil; {
		size := len(rest)
		switch {
		case c.at < 0:
			size = 1
		case c.passed < c.at && c.at < c.passed+size:
			size = c.at - c.passed
		}
		var m int
		m, err = c.Conn.Write(rest[:size])
		n, c.passed, rest = n+m, c.passed+m, rest[m:]
		if c.passed == c.at {
			time.Sleep(500 * time.Microsecond) // let the parts arrive apart; together they must work as well
		}
	}
	return n, err
}

// upgrades are the ways into TLS, and what is said under it.
var upgrades = map[string]struct{ clear, goAhead, under, end string }{
	"smtp":       {"EHLO x\r\nSTARTTLS\r\n", "220 2.0.0 Ready to start TLS\r\n", "EHLO x\r\nRCPT TO:<ann@example.org>\r\nQUIT\r\n", "503 5.5.1 Say MAIL first\r\n"},
	"submission": {"EHLO x\r\nSTARTTLS\r\n", "220 2.0.0 Ready to start TLS\r\n", "EHLO x\r\nAUTH PLAIN " + rightPlain + "\r\n", "235 2.7.0 Authentication successful\r\n"},
	"imap":       {"a CAPABILITY\r\nb STARTTLS\r\n", "b OK Begin TLS negotiation now\r\n", "c LOGIN ann@example.org \"secret words\"\r\n", "c OK"},
	"pop3":       {"CAPA\r\nSTLS\r\n", "+OK Begin TLS negotiation\r\n", "CAPA\r\nUSER ann@example.org\r\n", "+OK Password please\r\n"},
}

// TestStartTLSInPieces: TS-2.8. STARTTLS and its handshake work however the network cuts them: after each octet, and
// in two parts at each place; without CANDOR_SOAK at each place of the commands, and some of the handshake.
func TestStartTLSInPieces(t *testing.T) {
	s := serveHere(t, allDoors)
	const handshake = 2600 // octets, at most, that a client sends until it is done
	step := 97
	if os.Getenv("CANDOR_SOAK") != "" {
		step = 1
	}
	for door, u := range upgrades {
		t.Run(door, func(t *testing.T) {
			upgrade := func(at int) {
				c := &splitConn{Conn: s.dial(t, door), at: at}
				defer c.Close()
				io.WriteString(c, u.clear)
				until(t, c, u.goAhead)
				under := tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is about the server
				if err := under.Handshake(); err != nil {
					t.Fatalf("cut at %d: %v", at, err)
				}
				io.WriteString(under, u.under)
				until(t, under, u.end)
			}
			upgrade(-1)
			for at := range len(u.clear) {
				upgrade(at)
			}
			for at := len(u.clear); at < handshake; at += step {
				upgrade(at)
			}
		})
	}
}

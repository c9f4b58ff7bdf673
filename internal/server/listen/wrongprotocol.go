package listen

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// seen names the protocol that a peer turned out to speak, as the log shows it.
type seen string

const (
	seenTLS     seen = "tls"
	seenSSLv2   seen = "sslv2"
	seenHTTP    seen = "http"
	seenSSH     seen = "ssh"
	seenText    seen = "text"
	seenSilence seen = "silence"
	seenOther   seen = "other"
)

// allSeen is in the order of the counters.
var allSeen = []seen{seenTLS, seenSSLv2, seenHTTP, seenSSH, seenText, seenSilence, seenOther}

// verbs are those of HTTP; the last is the preface of HTTP/2.
var verbs = []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "CONNECT ", "PATCH ", "TRACE ", "PRI * HTTP/2"}

// classify tells what the first octets of a connection are.
func classify(b []byte) seen {
	switch {
	case b[0] == 0x16:
		return seenTLS
	case sslv2(b):
		return seenSSLv2
	case otherProtocol(b) != "":
		return otherProtocol(b)
	case b[0] >= ' ' && b[0] <= '~' || b[0] == '\r' || b[0] == '\n' || b[0] == '\t':
		return seenText
	}
	return seenOther
}

// sslv2 reports whether b is an SSLv2 ClientHello: a two-octet length, type 1, a version.
func sslv2(b []byte) bool {
	return len(b) >= 4 && b[0]&0x80 != 0 && b[2] == 1 && (b[3] == 3 || b[3] == 0)
}

// otherProtocol returns seenHTTP or seenSSH if line is theirs.
func otherProtocol(line []byte) seen {
	if bytes.HasPrefix(line, []byte("SSH-")) {
		return seenSSH
	}
	for _, v := range verbs {
		if bytes.HasPrefix(line, []byte(v)) {
			return seenHTTP
		}
	}
	return ""
}

// inspect looks at the first octets of the connection: TLS on a port that begins in clear ends it. Once the
// greeting is written nothing more is said (specification, section 2.7).
func (c *Conn) inspect() error {
	c.first = false
	if c.tls != nil {
		return nil
	}
	b := c.buf[c.start:c.end]
	if b[0] != 0x16 && b[0]&0x80 == 0 {
		return nil
	}
	deadline := time.Now().Add(helloTime)
	for len(b) < 4 {
		if c.fill(deadline) != nil {
			break
		}
		b = c.buf[c.start:c.end]
	}
	switch {
	case len(b) >= 2 && b[0] == 0x16 && b[1] == 3:
		return c.refuseTLS(deadline)
	case sslv2(b):
		c.noteSetting(seenSSLv2, "")
		return c.wrongProtocol(seenSSLv2, "starttls")
	}
	return nil
}

// peekFirst waits a moment for a peer that speaks before the greeting, and ends the connection of one that is in the
// wrong place. Who only is impatient is served.
func (c *Conn) peekFirst(ctx context.Context) error {
	what, err := c.firstOctets(ctx, c.door.limits.PeekBeforeGreeting)
	if err != nil {
		return err
	}
	c.ungreeted = true
	defer func() { c.ungreeted = false }()
	switch what {
	case seenTLS, seenSSLv2:
		return c.fill(time.Now().Add(helloTime)) // which inspects what it reads
	case seenHTTP, seenSSH:
		return c.refuseForeign(what)
	}
	return nil
}

// handshakeFailure is the fatal alert of that name in a record of its own (RFC 8446, section 6.2), for a client that
// began TLS where nothing was said yet.
const handshakeFailure = "\x15\x03\x01\x00\x02\x02\x28"

// The hello of a client in the wrong place is read for the log, within these bounds.
const (
	helloTime   = 2 * time.Second
	helloOctets = 16 << 10
)

// refuseTLS reads the ClientHello for the log and closes.
func (c *Conn) refuseTLS(deadline time.Time) error {
	for {
		hello, complete := parseHello(c.buf[c.start:c.end])
		if complete || c.Buffered() >= helloOctets || c.fill(deadline) != nil {
			c.noteSetting(seenTLS, printable(hello.name))
			if c.ungreeted {
				c.wire.SetWriteDeadline(deadline)
				c.wire.Write([]byte(handshakeFailure)) // whoever does not get it is closed all the same
			}
			return c.wrongProtocol(seenTLS, "starttls",
				slog.String("sni", printable(hello.name)), slog.String("alpn", printable(strings.Join(hello.protocols, ","))))
		}
	}
}

// wrongProtocol logs, counts, and ends the connection for good.
func (c *Conn) wrongProtocol(what seen, expected string, attrs ...slog.Attr) error {
	c.noteWrongProtocol(what, expected, attrs...)
	c.start, c.end = 0, 0
	c.err = ErrWrongProtocol
	c.abort()
	return ErrWrongProtocol
}

func (c *Conn) noteWrongProtocol(what seen, expected string, attrs ...slog.Attr) {
	c.count().wrongProtocol[slices.Index(allSeen, what)].Add(1)
	attrs = append([]slog.Attr{slog.String("seen", string(what)), slog.String("expected", expected)}, attrs...)
	c.logTLS(slog.LevelInfo, "wrong-protocol", attrs...)
}

// inspectLine ends a connection whose first line is that of another protocol. Nothing of the line
// is ever sent back.
func (c *Conn) inspectLine(line []byte) error {
	what := otherProtocol(line)
	if what == "" {
		return nil
	}
	return c.refuseForeign(what)
}

// refuseForeign says goodbye in the service's own words.
func (c *Conn) refuseForeign(what seen) error {
	c.noteWrongProtocol(what, string(c.listener.Service))
	c.err = ErrWrongProtocol
	c.WriteString(c.listener.lastWords("This is a mail server; it does not speak the protocol that your program uses"))
	c.Flush()
	return ErrWrongProtocol
}

// refuseClear answers clear text or silence on a port that needs TLS from the start.
func (c *Conn) refuseClear(what seen) error {
	c.noteWrongProtocol(what, "tls")
	c.noteSetting(what, "")
	if what != seenSSLv2 && what != seenOther {
		c.WriteString(c.listener.needsTLS())
		c.Flush()
	}
	return ErrWrongProtocol
}

// needsTLS is.
func (l *Listener) needsTLS() string {
	const text = "This port needs SSL/TLS from the start. Set connection security to SSL/TLS"
	if l.Service == POP3 {
		return l.lastWords(text)
	}
	return l.lastWords(text + ", not STARTTLS or none")
}

// tooMany is said to a connection that is one too many from its network.
func (l *Listener) tooMany() string {
	const text = "Too many connections from your network; try later"
	if l.Service == POP3 {
		return "-ERR [SYS/TEMP] " + text + "\r\n"
	}
	return l.lastWords(text)
}

// tooManyLogins is R-15, and what say of the same.
func (l *Listener) tooManyLogins() string {
	switch l.Service {
	case IMAP:
		return "* BYE Too many failed logins\r\n"
	case POP3:
		return "-ERR [SYS/TEMP] Too many failed logins\r\n"
	}
	return "421 4.7.0 Too many failed logins; try later\r\n"
}

// lastWords is a line that ends the connection, in the service's own words.
func (l *Listener) lastWords(text string) string {
	switch l.Service {
	case IMAP:
		return "* BYE " + text + "\r\n"
	case POP3:
		return "-ERR [SYS/PERM] " + text + "\r\n"
	}
	return "421 4.7.0 " + string(l.Hostname) + " " + text + "\r\n"
}

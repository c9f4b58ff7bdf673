package listen

import (
	"context"
	"log/slog"
	"net"
	"regexp"
)

// RefuseMail is the listener of HTTPS l, but closes connections of mail programs, whose first octets are no TLS
// (specification, section 2.7).
func RefuseMail(l net.Listener, log *slog.Logger) net.Listener { return &mailRefuser{l, log} }

type mailRefuser struct {
	net.Listener
	log *slog.Logger
}

func (r *mailRefuser) Accept() (net.Conn, error) {
	c, err := r.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &httpsConn{Conn: c, log: r.log}, nil
}

// httpsConn looks at the first octets that TLS reads.
type httpsConn struct {
	net.Conn
	log    *slog.Logger
	looked bool
}

func (c *httpsConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.looked || n == 0 {
		return n, err
	}
	c.looked = true
	switch what := classify(p[:n]); {
	case what == seenText && mailCommand.Match(p[:n]):
		c.refuse("mail")
	case what == seenSSH, what == seenSSLv2:
		c.refuse(string(what))
	default:
		return n, err // TLS, or what the HTTP server can answer
	}
	return 0, ErrWrongProtocol
}

func (c *httpsConn) refuse(what string) {
	remote, local := addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	c.log.LogAttrs(context.Background(), slog.LevelInfo, "wrong-protocol", slog.String("seen", what), slog.String("expected", "tls"),
		slog.String("svc", string(HTTP)), slog.String("rip", remote.Addr().String()), slog.Int("rport", int(remote.Port())),
		slog.String("lip", local.Addr().String()), slog.Int("lport", int(local.Port())))
	c.Close()
}

// mailCommand is how a mail program begins that does not wait for a greeting: SMTP, POP3, and IMAP with its tag.
var mailCommand = regexp.MustCompile(`(?i)^(?:(?:EHLO|HELO|LHLO|MAIL|AUTH|STARTTLS|NOOP|QUIT|USER|CAPA|STLS)|` +
	`[!-~]{1,20} (?:CAPABILITY|NOOP|ID|LOGIN|AUTHENTICATE|STARTTLS|LOGOUT))\b`)

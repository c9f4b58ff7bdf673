package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"candor/internal/mail"
)

// Timeouts are how long a client waits for each step (RFC 5321, section 4.5.3.2). Zero means the
// value that the RFC asks for. Each bounds a whole reply, so that a server cannot keep a session
// alive by sending an octet now and then.
type Timeouts struct {
	Greeting  time.Duration // 5 min; also EHLO, HELO, RSET and STARTTLS
	Mail      time.Duration // 5 min
	Rcpt      time.Duration // 5 min
	DataInit  time.Duration // 2 min
	DataBlock time.Duration // 3 min, for each write
	DataDone  time.Duration // 10 min
	Handshake time.Duration // 60 s
	Quit      time.Duration // 5 s: nothing depends on the answer
}

func (t Timeouts) withDefaults() Timeouts {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Greeting, 5 * time.Minute},
		{&t.Mail, 5 * time.Minute},
		{&t.Rcpt, 5 * time.Minute},
		{&t.DataInit, 2 * time.Minute},
		{&t.DataBlock, 3 * time.Minute},
		{&t.DataDone, 10 * time.Minute},
		{&t.Handshake, time.Minute},
		{&t.Quit, 5 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return t
}

// What a client fails with, besides what the connection fails with. A reply that refuses is no
// error: the caller judges it.
var (
	// ErrInjection is returned by StartTLS when octets follow the go-ahead: someone on the way put
	// words into the server's mouth (RFC 3207, section 5).
	ErrInjection = errors.New("smtp: octets after the reply to STARTTLS")
	// ErrBody wraps the error of the body's reader: the failure is ours, not the server's.
	ErrBody = errors.New("smtp: reading the message failed")
)

// Client is the client's end of a session over a connection that the caller opened and closes. It
// is for one goroutine. After an error the connection is only good for closing.
type Client struct {
	conn       net.Conn
	r          *bufio.Reader
	w          *bufio.Writer
	timeouts   Timeouts
	extensions map[string]string
}

// NewClient makes a client of conn. Greet comes next.
func NewClient(conn net.Conn, t Timeouts) *Client {
	c := &Client{timeouts: t.withDefaults()}
	c.use(conn)
	return c
}

// use makes conn the connection and forgets all that was learned on the one before.
func (c *Client) use(conn net.Conn) {
	c.conn = conn
	c.r = bufio.NewReaderSize(conn, maxReplyLine)
	c.w = bufio.NewWriterSize(deadlineWriter{c}, 32<<10)
	c.extensions = nil
}

// deadlineWriter gives each write to the connection its own time.
type deadlineWriter struct{ c *Client }

func (w deadlineWriter) Write(p []byte) (int, error) {
	if err := w.c.conn.SetWriteDeadline(time.Now().Add(w.c.timeouts.DataBlock)); err != nil {
		return 0, err
	}
	return w.c.conn.Write(p)
}

// Greet reads the server's greeting.
func (c *Client) Greet() (Reply, error) { return c.readReply(c.timeouts.Greeting) }

// Hello says EHLO, and HELO when the server does not know EHLO (RFC 5321, section 3.2).
func (c *Client) Hello(name mail.Domain) (Reply, error) {
	c.extensions = nil
	reply, err := c.command(c.timeouts.Greeting, "EHLO ", string(name))
	if err != nil {
		return Reply{}, err
	}
	if reply.Code == 250 {
		c.extensions = parseExtensions(reply.Lines)
		return reply, nil
	}
	if reply.Code < 500 {
		return reply, nil
	}
	return c.command(c.timeouts.Greeting, "HELO ", string(name))
}

// maxExtensions bounds what a server can make us remember.
const maxExtensions = 64

// parseExtensions reads the lines of an EHLO reply after the first.
func parseExtensions(lines []string) map[string]string {
	m := make(map[string]string, len(lines))
	for i, line := range lines {
		if i == 0 || len(m) == maxExtensions {
			continue
		}
		keyword, params, _ := strings.Cut(line, " ")
		m[strings.ToUpper(keyword)] = params
	}
	return m
}

// Extension reports whether the server offered keyword in its last EHLO reply, and with what
// parameters.
func (c *Client) Extension(keyword string) (params string, ok bool) {
	params, ok = c.extensions[keyword]
	return params, ok
}

// Size returns the server's limit on messages in octets; 0 when it told none (RFC 1870, section 3).
func (c *Client) Size() int64 {
	n, err := strconv.ParseInt(c.extensions["SIZE"], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// StartTLS asks for TLS and shakes hands. A reply other than 220 is a refusal, which comes without
// an error and leaves the session as it was. After success the session begins anew with Hello.
//
// Errors: ErrInjection; what the handshake failed with.
func (c *Client) StartTLS(ctx context.Context, config *tls.Config) (Reply, error) {
	reply, err := c.command(c.timeouts.Greeting, "STARTTLS", "")
	if err != nil || reply.Code != 220 {
		return reply, err
	}
	if c.r.Buffered() > 0 {
		return reply, ErrInjection
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeouts.Handshake)
	defer cancel()
	if err := c.conn.SetDeadline(time.Time{}); err != nil {
		return reply, err
	}
	conn := tls.Client(c.conn, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return reply, &HandshakeError{err}
	}
	c.use(conn)
	return reply, nil
}

// HandshakeError is a TLS handshake that failed.
type HandshakeError struct{ Err error }

func (e *HandshakeError) Error() string { return "TLS handshake: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }

// TLS returns the state of the connection's TLS; ok is false in clear.
func (c *Client) TLS() (state tls.ConnectionState, ok bool) {
	conn, ok := c.conn.(*tls.Conn)
	if !ok {
		return tls.ConnectionState{}, false
	}
	return conn.ConnectionState(), true
}

// MailParams are the parameters of MAIL. The caller sets only what the server offers.
type MailParams struct {
	Size     int64         // octets; 0: not sent (RFC 1870)
	Body     mail.BodyType // empty: not sent (RFC 6152)
	SMTPUTF8 bool          // RFC 6531, section 3.4
}

func (p MailParams) String() string {
	var b strings.Builder
	if p.Size > 0 {
		b.WriteString(" SIZE=" + strconv.FormatInt(p.Size, 10))
	}
	if p.Body != "" {
		b.WriteString(" BODY=" + string(p.Body))
	}
	if p.SMTPUTF8 {
		b.WriteString(" SMTPUTF8")
	}
	return b.String()
}

// group is how many commands of a pipeline are sent before their replies are read: few enough that
// neither side's socket buffers fill up while nobody reads (RFC 2920, section 3.1).
const group = 50

// Begin starts a mail transaction: MAIL, then RCPT for each of to, in groups when the server offers
// PIPELINING. When MAIL is refused, rcpts is nil or holds what pipelined commands were answered. With an
// error after MAIL it holds the replies that came before.
func (c *Client) Begin(from mail.ReversePath, p MailParams, to []mail.Address) (reply Reply, rcpts []Reply, err error) {
	_, pipelining := c.Extension("PIPELINING")
	if !pipelining {
		return c.beginInTurn(from, p, to)
	}
	c.queueCommand("MAIL FROM:<", from.String(), ">", p.String())
	first := min(len(to), group-1)
	if err := c.sendRcpts(to[:first]); err != nil {
		return Reply{}, nil, err
	}
	if reply, err = c.readReply(c.timeouts.Mail); err != nil {
		return Reply{}, nil, err
	}
	rcpts, err = c.readRcpts(nil, first)
	if reply.Class() != 2 {
		// Servers that refuse everybody do not wait for the rest.
		return reply, rcpts, nil
	}
	if err != nil {
		return reply, rcpts, err
	}
	for rest := to[first:]; len(rest) > 0; {
		n := min(len(rest), group)
		if err := c.sendRcpts(rest[:n]); err != nil {
			return reply, rcpts, err
		}
		if rcpts, err = c.readRcpts(rcpts, n); err != nil {
			return reply, rcpts, err
		}
		rest = rest[n:]
	}
	return reply, rcpts, nil
}

func (c *Client) beginInTurn(from mail.ReversePath, p MailParams, to []mail.Address) (reply Reply, rcpts []Reply, err error) {
	reply, err = c.command(c.timeouts.Mail, "MAIL FROM:<", from.String(), ">", p.String())
	if err != nil || reply.Class() != 2 {
		return reply, nil, err
	}
	for _, a := range to {
		r, err := c.command(c.timeouts.Rcpt, "RCPT TO:<", a.String(), ">")
		if err != nil {
			return reply, rcpts, err
		}
		rcpts = append(rcpts, r)
	}
	return reply, rcpts, nil
}

func (c *Client) sendRcpts(to []mail.Address) error {
	for _, a := range to {
		c.queueCommand("RCPT TO:<", a.String(), ">")
	}
	return c.w.Flush()
}

func (c *Client) readRcpts(replies []Reply, n int) ([]Reply, error) {
	for range n {
		r, err := c.readReply(c.timeouts.Rcpt)
		if err != nil {
			return replies, err
		}
		replies = append(replies, r)
	}
	return replies, nil
}

// Data sends DATA and, when the server agrees, the parts of body one after another with every line
// ended by CRLF and dots stuffed (RFC 5321, section 4.5.2). The reply is the one to DATA if that
// was refused, else the one to the message. A reply that breaks off is an error, and so is one to DATA
// that is neither a refusal nor 354: the message then counts as not accepted.
//
// Errors: ErrBody when body fails; the message is then broken off before its end.
func (c *Client) Data(body ...io.WriterTo) (Reply, error) {
	reply, err := c.command(c.timeouts.DataInit, "DATA", "")
	if err != nil || reply.Class() > 3 {
		return reply, err
	}
	if reply.Code != 354 {
		return Reply{}, fmt.Errorf("%w: %d to DATA", ErrBadReply, reply.Code)
	}
	w := dotWriter{w: c.w, bol: true}
	for _, part := range body {
		if _, err := part.WriteTo(&w); err != nil {
			if w.err != nil {
				return Reply{}, w.err
			}
			return Reply{}, fmt.Errorf("%w: %w", ErrBody, err)
		}
	}
	if err := w.close(); err != nil {
		return Reply{}, err
	}
	if err := c.w.Flush(); err != nil {
		return Reply{}, err
	}
	return c.readReply(c.timeouts.DataDone)
}

// Reset gives the transaction up (RSET).
func (c *Client) Reset() (Reply, error) { return c.command(c.timeouts.Greeting, "RSET", "") }

// Quit says good-bye and waits a little for the answer, which is of no consequence.
func (c *Client) Quit() { _, _ = c.command(c.timeouts.Quit, "QUIT", "") }

// command sends one command and reads its reply.
func (c *Client) command(timeout time.Duration, words ...string) (Reply, error) {
	c.queueCommand(words...)
	if err := c.w.Flush(); err != nil {
		return Reply{}, err
	}
	return c.readReply(timeout)
}

// queueCommand writes a command to the buffer. An error stays in the buffer until Flush. No word can
// end the line early: addresses and domains hold no control characters, as their parsers see to.
func (c *Client) queueCommand(words ...string) {
	for _, w := range words {
		_, _ = c.w.WriteString(w)
	}
	_, _ = c.w.WriteString("\r\n")
}

func (c *Client) readReply(timeout time.Duration) (Reply, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return Reply{}, err
	}
	return ReadReply(c.r)
}

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"candor/internal/mail"
	"candor/internal/server/web"
)

type demoCmd struct {
	Data string `help:"Folder to keep; without it a fresh one that is removed at the end." placeholder:"DIR"`
}

// The demo's names.
const (
	demoHost   = "mail.demo.example"
	demoDomain = "demo.example"
)

// Run serves on high loopback ports, sends a message from one account to another, reads it back
// over IMAP and POP3, and stays up until it is interrupted.
func (d *demoCmd) Run(ctx context.Context, std *stdio) error {
	dir, err := d.folder()
	if err != nil {
		return err
	}
	if d.Data == "" {
		defer os.RemoveAll(dir)
	}
	c, people, err := prepareDemo(ctx, dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- serve(ctx, c, serveOptions{log: std.err, ready: func() { close(ready) }}) }()
	select {
	case <-ready:
	case err := <-ended:
		return err
	}
	if err := showDemo(ctx, std.out, c, people); err != nil {
		cancel()
		return errors.Join(err, <-ended)
	}
	return <-ended
}

func (d *demoCmd) folder() (string, error) {
	if d.Data == "" {
		return os.MkdirTemp("", "candor-demo-")
	}
	return d.Data, os.MkdirAll(d.Data, 0o750)
}

// person is a demo account.
type person struct {
	address  mail.Address
	password string
}

// prepareDemo makes the data folder, or takes the one of an earlier demo, and sets the passwords.
func prepareDemo(ctx context.Context, dir string) (*config, []person, error) {
	file := filepath.Join(dir, "candor.toml")
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		q := quickstartCmd{Hostname: demoHost, Domain: demoDomain, Data: dir, Ports: "high"}
		if err := q.Run(ctx, &stdio{out: io.Discard}); err != nil {
			return nil, nil, err
		}
	}
	c, err := loadConfig(file)
	if err != nil {
		return nil, nil, err
	}
	ops, err := openOffline(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	var people []person
	for _, local := range []mail.LocalPart{"alice", "bob"} {
		p := person{mail.Address{Local: local, Domain: demoDomain}, strings.ToLower(rand.Text()[:16])}
		err = ops.AddAccount(ctx, p.address, p.password)
		if mail.IsKind(err, mail.Exists) {
			err = ops.SetPassword(ctx, p.address, p.password)
		}
		if err != nil {
			break
		}
		people = append(people, p)
	}
	return c, people, errors.Join(err, ops.Close())
}

func showDemo(ctx context.Context, w io.Writer, c *config, people []person) error {
	fmt.Fprintf(w, "\nListeners of %s\n\n", c.hostname)
	server, err := web.Dial(ctx, c.socket())
	if err != nil {
		return err
	}
	defer server.Close()
	status, err := server.ServerStatus(ctx)
	if err != nil {
		return err
	}
	writeListeners(w, status.Listeners)
	fmt.Fprintf(w, "\nClient settings (trust the certificate %s)\n\n", c.TLS.Cert)
	printSettings(w, c, people)
	proof, err := c.prove(ctx, people[0], people[1])
	if err != nil {
		return fmt.Errorf("the demonstration failed: %w", err)
	}
	fmt.Fprintf(w, "\nProof\n\n%s\nPoint any mail program at it. Ctrl-C ends it.\n", proof)
	return nil
}

// demoAddress returns where the service listens in the given mode.
func (c *config) demoAddress(service string, mode modeWord) (string, error) {
	for _, l := range c.Listeners {
		if l.Service == service && l.TLS == mode {
			host, port := bind(l.Address)
			if host.IsUnspecified() {
				return fmt.Sprintf("127.0.0.1:%d", port), nil
			}
			return net.JoinHostPort(host.String(), fmt.Sprint(port)), nil
		}
	}
	return "", fmt.Errorf("no %s listener with tls = %q in %s", service, mode, c.file)
}

func printSettings(w io.Writer, c *config, people []person) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	for _, p := range people {
		fmt.Fprintf(t, "  %s\tpassword %s\n", p.address, p.password)
	}
	fmt.Fprintln(t)
	c.writeSettings(t, "127.0.0.1")
}

// prove sends a message from one account to the other and returns what was read back.
func (c *config) prove(ctx context.Context, from, to person) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	subject := "Hello from the demo " + rand.Text()[:8]
	text := fmt.Sprintf("From: Alice <%s>\r\nTo: Bob <%s>\r\nSubject: %s\r\n\r\nThis message went in over submission and came out over IMAP and POP3.\r\n", from.address, to.address, subject)
	sent, err := c.submit(ctx, from, to, text)
	if err != nil {
		return "", fmt.Errorf("submission: %w", err)
	}
	overIMAP, err := c.readIMAP(ctx, to, subject)
	if err != nil {
		return "", fmt.Errorf("IMAP: %w", err)
	}
	overPOP3, err := c.readPOP3(ctx, to, subject)
	if err != nil {
		return "", fmt.Errorf("POP3: %w", err)
	}
	if overIMAP != overPOP3 {
		return "", fmt.Errorf("IMAP and POP3 returned different octets:\n%s\n%s", overIMAP, overPOP3)
	}
	return fmt.Sprintf("  %s\n  read back over IMAP and POP3, the same %d octets:\n\n    %s\n", sent, len(overIMAP),
		strings.ReplaceAll(strings.TrimRight(strings.ReplaceAll(overIMAP, "\r\n", "\n"), "\n"), "\n", "\n    ")), nil
}

// dial opens a connection with TLS from the first byte and verifies the server's certificate.
func (c *config) dial(ctx context.Context, service string) (*tls.Conn, error) {
	addr, err := c.demoAddress(service, modeImplicit)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(c.TLS.Cert)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	d := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: string(c.hostname)}}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	return conn.(*tls.Conn), conn.SetDeadline(deadline)
}

func (c *config) submit(ctx context.Context, from, to person, text string) (string, error) {
	conn, err := c.dial(ctx, "submission")
	if err != nil {
		return "", err
	}
	s, err := smtp.NewClient(conn, string(c.hostname))
	if err != nil {
		conn.Close()
		return "", err
	}
	defer s.Close()
	if err := s.Auth(smtp.PlainAuth("", from.address.String(), from.password, string(c.hostname))); err != nil {
		return "", err
	}
	if err := plainMail(s, from.address); err != nil {
		return "", err
	}
	if err := s.Rcpt(to.address.String()); err != nil {
		return "", err
	}
	body, err := s.Data()
	if err != nil {
		return "", err
	}
	if _, err := io.WriteString(body, text); err != nil {
		return "", err
	}
	if err := body.Close(); err != nil {
		return "", err
	}
	state := conn.ConnectionState()
	return fmt.Sprintf("sent by %s to %s over submission at %s (%s, login after TLS) and accepted;", from.address, to.address, conn.RemoteAddr(), tls.VersionName(state.Version)), s.Quit()
}

// plainMail begins a transaction without the SMTPUTF8 that net/smtp asks for wherever it is offered.
func plainMail(s *smtp.Client, from mail.Address) error {
	id, err := s.Text.Cmd("MAIL FROM:<%s>", from)
	if err != nil {
		return err
	}
	s.Text.StartResponse(id)
	defer s.Text.EndResponse(id)
	_, _, err = s.Text.ReadResponse(250)
	return err
}

// lineConn is a line-based client connection.
type lineConn struct {
	*tls.Conn
	r *bufio.Reader
}

// ask sends a line, when there is one, and returns the reply's first line.
func (l *lineConn) ask(line string) (string, error) {
	if line != "" {
		if _, err := io.WriteString(l, line+"\r\n"); err != nil {
			return "", err
		}
	}
	s, err := l.r.ReadString('\n')
	return strings.TrimRight(s, "\r\n"), err
}

// until reads lines up to the one that begins with prefix.
func (l *lineConn) until(prefix string) ([]string, error) {
	var lines []string
	for {
		s, err := l.ask("")
		if err != nil {
			return lines, err
		}
		if lines = append(lines, s); strings.HasPrefix(s, prefix) {
			return lines, nil
		}
	}
}

// readIMAP waits until INBOX holds a message with the subject and returns it.
func (c *config) readIMAP(ctx context.Context, p person, subject string) (string, error) {
	conn, err := c.dial(ctx, "imap")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	l := &lineConn{conn, bufio.NewReader(conn)}
	if _, err := l.ask(""); err != nil {
		return "", err
	}
	tagged := func(command string) ([]string, error) {
		if _, err := io.WriteString(l, "a "+command+"\r\n"); err != nil {
			return nil, err
		}
		lines, err := l.until("a ")
		if err == nil && !strings.HasPrefix(lines[len(lines)-1], "a OK") {
			err = errors.New(lines[len(lines)-1])
		}
		return lines, err
	}
	if _, err := tagged(fmt.Sprintf("LOGIN %q %q", p.address, p.password)); err != nil {
		return "", err
	}
	if _, err := tagged("SELECT INBOX"); err != nil {
		return "", err
	}
	for ctx.Err() == nil {
		lines, err := tagged(fmt.Sprintf("UID SEARCH SUBJECT %q", subject))
		if err != nil {
			return "", err
		}
		if f := strings.Fields(lines[0]); len(f) == 3 && f[1] == "SEARCH" {
			text, err := l.fetch(f[2])
			if err != nil {
				return "", err
			}
			_, err = tagged("LOGOUT")
			return text, err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return "", ctx.Err()
}

// fetch returns the message with the given UID.
func (l *lineConn) fetch(uid string) (string, error) {
	head, err := l.ask("a UID FETCH " + uid + " (BODY.PEEK[])")
	if err != nil {
		return "", err
	}
	var n int
	if i := strings.LastIndexByte(head, '{'); i < 0 {
		return "", errors.New(head)
	} else if _, err := fmt.Sscanf(head[i:], "{%d}", &n); err != nil {
		return "", fmt.Errorf("%s: %w", head, err)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(l.r, text); err != nil {
		return "", err
	}
	_, err = l.until("a ")
	return string(text), err
}

// readPOP3 returns the message with the subject from the maildrop.
func (c *config) readPOP3(ctx context.Context, p person, subject string) (string, error) {
	conn, err := c.dial(ctx, "pop3")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	l := &lineConn{conn, bufio.NewReader(conn)}
	var count int
	for _, line := range []string{"", "USER " + p.address.String(), "PASS " + p.password, "STAT"} {
		reply, err := l.ask(line)
		if err != nil || !strings.HasPrefix(reply, "+OK") {
			return "", errors.Join(errors.New(reply), err)
		}
		fmt.Sscanf(reply, "+OK %d", &count)
	}
	for i := count; i > 0; i-- {
		if reply, err := l.ask(fmt.Sprintf("RETR %d", i)); err != nil || !strings.HasPrefix(reply, "+OK") {
			return "", errors.Join(errors.New(reply), err)
		}
		var text strings.Builder
		for {
			line, err := l.ask("")
			if err != nil {
				return "", err
			}
			if line == "." {
				break
			}
			text.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
		}
		if strings.Contains(text.String(), "\r\nSubject: "+subject+"\r\n") {
			_, err := l.ask("QUIT")
			return text.String(), err
		}
	}
	return "", errors.New("the message is not in the maildrop")
}

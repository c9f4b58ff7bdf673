package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"candor/internal/mail"
)

// StartTLS upgrades the connection (specification, section 2.8). It returns ErrEarlyData, having
// written nothing, when octets follow the command already; else it writes goAhead, destroys the
// reader and shakes hands. After any error the connection is only good for a last reply
// (ErrEarlyData, ErrNoTLS) or for closing.
func (c *Conn) StartTLS(ctx context.Context, goAhead string) error {
	if !c.CanStartTLS() {
		return ErrNoTLS
	}
	c.triedTLS = true
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.noEarlyData(); err != nil {
		return err
	}
	c.WriteString(goAhead)
	if err := c.Flush(); err != nil {
		return err
	}
	c.renewReader()
	c.server.admission.beginHandshake(c)
	defer c.server.admission.endHandshake(c)
	if err := c.handshake(ctx, mail.StartTLS); err != nil {
		c.abort()
		return err
	}
	return nil
}

// noEarlyData makes sure that nothing was sent behind the command: neither into the buffer nor into the
// socket. A legal client waits for the go-ahead, so even a ClientHello counts.
func (c *Conn) noEarlyData() error {
	err := c.early()
	if c.Buffered() > 0 || errors.Is(err, ErrEarlyData) {
		c.logTLS(slog.LevelWarn, "starttls refused", slog.String("tls.fail", "starttls-injection"))
		return ErrEarlyData
	}
	return err
}

// early looks, without waiting, whether the socket holds unread octets: ErrEarlyData, or io.EOF.
func (c *Conn) early() error {
	var b [1]byte
	n, err := c.peekSocket(b[:])
	switch {
	case n > 0:
		return ErrEarlyData
	case errors.Is(err, unix.EAGAIN):
		return nil
	case err != nil:
		return err
	}
	return io.EOF
}

// peekSocket copies what the socket holds into p without consuming it and without waiting.
func (c *Conn) peekSocket(p []byte) (n int, err error) {
	controlErr := c.wire.raw.Control(func(fd uintptr) { n, err = peek(fd, p) })
	return n, errors.Join(controlErr, err)
}

func peek(fd uintptr, p []byte) (int, error) {
	return ignoringEINTR(func() (int, error) {
		n, _, err := unix.Recvfrom(int(fd), p, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return n, err
	})
}

// renewReader forgets everything that was read in clear.
func (c *Conn) renewReader() {
	c.release()
	old := c.reader
	c.reader = reader{timeout: old.timeout, anyLine: old.anyLine}
	c.reader.init(old.memory)
}

// handshake makes the connection a TLS one, in a slot that the caller has taken. mode says how it
// came to that.
func (c *Conn) handshake(ctx context.Context, mode mail.TLSMode) error {
	s := c.server.tlsFor(c.listener.Service)
	if s == nil {
		return ErrNoTLS
	}
	if d := c.server.admission.handshakeDelay(c, time.Now()); d > 0 {
		c.pause(ctx, d)
	}
	t := tls.Server(c.wire, s.outer(variant{demands: c.demands, obsolete: c.allows(TLS10)}))
	if err := c.shakeHands(ctx, t); err != nil {
		c.count().handshakesFailed.Add(1)
		c.logTLS(slog.LevelInfo, "tls handshake failed", slog.String("tls.mode", string(mode)), slog.String("tls.fail", handshakeFail(err)), slog.String("err", printableText(err.Error())))
		return fmt.Errorf("tls handshake: %w", err)
	}
	c.observe(t, mode)
	c.count().handshakes.Add(1)
	if c.cs.DidResume {
		c.count().resumed.Add(1)
	}
	return nil
}

// handshakeFail is what tls.fail says of a handshake that failed (specification, section 4.9).
func handshakeFail(err error) string {
	var certificate clientCertificateError
	switch {
	case errors.Is(err, ErrTimeout):
		return "handshake-timeout"
	case errors.Is(err, ErrClosed):
		return "handshake-eof"
	case errors.As(err, &certificate):
		return string(certificate)
	}
	return mail.HandshakeFail(err)
}

// shakeHands is bounded by the limit for a whole handshake, and ends with ctx.
func (c *Conn) shakeHands(ctx context.Context, t *tls.Conn) error {
	deadline := time.Now().Add(c.door.limits.Handshake)
	c.wire.SetWriteDeadline(deadline)
	if !c.beginWait(ctx, deadline) {
		return context.Cause(ctx)
	}
	defer c.endWait()
	return c.translate(t.Handshake())
}

// pause delays the peer; it ends early with ctx, or when the connection is aborted.
func (c *Conn) pause(ctx context.Context, d time.Duration) {
	if c.beginWait(ctx, time.Now().Add(d)) {
		defer c.endWait()
		c.wire.raw.Read(func(uintptr) bool { return false })
	}
}

// implicit shakes hands on a port where TLS comes first, and explains itself to a peer that
// waits for our greeting or speaks clear text (specification, section 2.7).
func (c *Conn) implicit(ctx context.Context) error {
	c.server.admission.beginHandshake(c)
	defer c.server.admission.endHandshake(c)
	seen, err := c.firstOctets(ctx, c.door.limits.FirstByte)
	if err != nil {
		return err
	}
	if seen != seenTLS {
		return c.refuseClear(seen)
	}
	return c.handshake(ctx, mail.ImplicitTLS)
}

// firstOctets waits so long for the peer's first octets and tells, without consuming them, what they are.
func (c *Conn) firstOctets(ctx context.Context, patience time.Duration) (seen, error) {
	if !c.beginWait(ctx, time.Now().Add(patience)) {
		return "", context.Cause(ctx)
	}
	defer c.endWait()
	var b [16]byte
	var n int
	var err error
	waitErr := c.wire.raw.Read(func(fd uintptr) bool {
		n, err = peek(fd, b[:])
		return !errors.Is(err, unix.EAGAIN)
	})
	switch waitErr = c.translate(waitErr); {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case waitErr == ErrTimeout:
		return seenSilence, nil
	case waitErr != nil:
		return "", waitErr
	case err != nil:
		return "", err
	case n == 0:
		return "", io.EOF
	}
	return classify(b[:n]), nil
}

func (c *Conn) logTLS(level slog.Level, message string, attrs ...slog.Attr) {
	c.server.log.LogAttrs(context.Background(), level, message, append(attrs, c.Attrs()...)...)
}

package mail

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

// TestHandshakeFail: each end of a handshake has its word, whoever found the fault.
func TestHandshakeFail(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, "handshake-bad-certificate"},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")}, "handshake-failure"},
		{fmt.Errorf("x: %w", os.ErrDeadlineExceeded), "handshake-timeout"},
		{io.EOF, "handshake-eof"},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "handshake-eof"},
		{errors.New("tls: client offered only unsupported versions: [302 301]"), "handshake-protocol-version-not-supported"},
		{errors.New("tls: no cipher suite supported by both client and server; client offered: [2f]"), "handshake-failure"},
		{errors.New("tls: client requested unsupported application protocols ([\"h2\"])"), "handshake-no-application-protocol"},
		{errors.New("tls: client didn't provide a certificate"), "handshake-certificate-required"},
		{errors.New("tls: first record does not look like a TLS handshake"), "handshake-no-tls"},
		{errors.New("something"), "handshake-failed"},
	} {
		if got := HandshakeFail(c.err); got != c.want {
			t.Errorf("%v: got %s, want %s", c.err, got, c.want)
		}
	}
}

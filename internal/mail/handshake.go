package mail

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// HandshakeFail is what tls.fail says of a TLS handshake that ended with err (specification, section 4.9): the name of the
// alert, or how the connection ended.
func HandshakeFail(err error) string {
	var alert tls.AlertError
	var netErr net.Error
	var remote *net.OpError
	switch {
	case errors.As(err, &alert):
		return "handshake-" + dashed(alert.Error())
	case errors.As(err, &netErr) && netErr.Timeout():
		return "handshake-timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "handshake-eof"
	case errors.As(err, &remote) && remote.Op == "remote error":
		return "handshake-" + dashed(remote.Err.Error())
	}
	return localFail(err.Error())
}

// localFail is the alert that crypto/tls sends for an error of its own, as far as its text tells.
func localFail(text string) string {
	for _, f := range [...][2]string{
		{"failed to parse certificate", "cert-unparsable"},
		{"unsupported versions", "handshake-protocol-version-not-supported"},
		{"no cipher suite supported", "handshake-failure"},
		{"no mutually supported", "handshake-failure"},
		{"unsupported application protocols", "handshake-no-application-protocol"},
		{"didn't provide a certificate", "handshake-certificate-required"},
		{"does not look like a TLS handshake", "handshake-no-tls"},
	} {
		if strings.Contains(text, f[0]) {
			return f[1]
		}
	}
	return "handshake-failed"
}

// dashed makes one word of the name of an alert, such as "tls: protocol version not supported"; "handshake failure" is not
// to say it twice.
func dashed(s string) string {
	return strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(s, "tls: "), "handshake "), " ", "-")
}

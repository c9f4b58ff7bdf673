package mailtest

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"
)

// Converse connects, under TLS if config is not nil, sends all of in and no more, and returns what the server
// said until it ended the connection, which it has to within ten seconds.
func Converse(t testing.TB, addr net.Addr, config *tls.Config, in string) string {
	t.Helper()
	tcp, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	tcp.SetDeadline(time.Now().Add(10 * time.Second))
	half := tcp.(interface {
		net.Conn
		CloseWrite() error
	})
	if config != nil {
		half = tls.Client(tcp, config)
	}
	go func() {
		io.WriteString(half, in) //nolint:errcheck // the server may have ended before
		half.CloseWrite()
	}()
	out, err := io.ReadAll(half)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Fatalf("%.2000q does not end; the server has said %.2000q", in, out)
	}
	return string(out)
}

package listen

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
)

// fragmented writes the first handshake message, a ClientHello, in records of a few octets each.
type fragmented struct {
	net.Conn
	size int
	sent bool
}

func (f *fragmented) Write(p []byte) (int, error) {
	if f.sent {
		return f.Conn.Write(p)
	}
	f.sent = true
	var out []byte
	for rest := p; len(rest) > 0; {
		n := int(binary.BigEndian.Uint16(rest[3:]))
		head, body := rest[:3], rest[5:5+n]
		rest = rest[5+n:]
		for len(body) > 0 {
			k := min(f.size, len(body))
			out = append(append(append(out, head...), byte(k>>8), byte(k)), body[:k]...)
			body = body[k:]
		}
	}
	for len(out) > 0 { // in segments that are no records
		n, err := f.Conn.Write(out[:min(len(out), 7*f.size/2)])
		if err != nil {
			return 0, err
		}
		out = out[n:]
	}
	return len(p), nil
}

// TestFragmentedHello: a ClientHello may be as great as 64 KiB, and come in many records and segments, for TLS from the
// start as well as for STARTTLS.
func TestFragmentedHello(t *testing.T) {
	t.Parallel()
	ts := serve(t, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Implicit}, {Service: IMAP, Mode: Required}},
		Handlers:  map[Service]Handler{IMAP: echo},
	})
	names := []string{"imap"}
	for i := range 240 {
		names = append(names, fmt.Sprintf("%03d", i)+strings.Repeat("x", 250))
	}
	for _, tc := range []struct {
		names []string
		size  int
	}{{names[:1], 1}, {names[:20], 100}, {names, 1000}, {names, 16 << 10}} {
		for door := range 2 {
			t.Run(fmt.Sprintf("%d names in records of %d, door %d", len(tc.names), tc.size, door), func(t *testing.T) {
				t.Parallel()
				raw := ts.dial(t, door)
				if door == 1 {
					expect(t, raw, "hello\r\n")
					send(t, raw, "STARTTLS\r\n")
					expect(t, raw, "go\r\n")
				}
				c := tls.Client(&fragmented{Conn: raw, size: tc.size}, clientTLS(tc.names...))
				if err := c.Handshake(); err != nil {
					t.Fatal(err)
				}
				if got := c.ConnectionState().NegotiatedProtocol; got != "imap" {
					t.Errorf("got %q", got)
				}
			})
		}
	}
}

// clientHello returns the records of a client's first flight.
func clientHello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	go func() {
		tls.Client(client, config).Handshake()
		client.Close()
	}()
	defer server.Close()
	head := make([]byte, 5)
	if _, err := io.ReadFull(server, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(server, body); err != nil {
		t.Fatal(err)
	}
	return append(head, body...)
}

// extend adds an extension to a ClientHello of one record.
func extend(hello []byte, kind uint16, data []byte) []byte {
	out := bytes.Clone(hello)
	extensions := 5 + 4 + 2 + 32
	extensions += 1 + int(out[extensions])                           // session
	extensions += 2 + int(binary.BigEndian.Uint16(out[extensions:])) // suites
	extensions += 1 + int(out[extensions])                           // compression
	out = binary.BigEndian.AppendUint16(out, kind)
	out = binary.BigEndian.AppendUint16(out, uint16(len(data)))
	out = append(out, data...)
	more := uint16(4 + len(data))
	for _, at := range []int{3, 7, extensions} { // the record's, the message's, the extensions' length
		binary.BigEndian.PutUint16(out[at:], binary.BigEndian.Uint16(out[at:])+more)
	}
	return out
}

// TestEarlyData: data ahead of the handshake is never taken (RFC 8446, section 4.2.10): no ticket permits it, so a client that
// sends it is refused.
func TestEarlyData(t *testing.T) {
	t.Parallel()
	ts := one(t, IMAP, Implicit, echo)
	const earlyData = 42
	hello := clientHello(t, clientTLS())
	for name, sent := range map[string][]byte{
		"as it should be": hello,
		"announced":       extend(hello, earlyData, nil),
		"sent":            append(extend(hello, earlyData, nil), "\x17\x03\x03\x00\x10early data early"...),
	} {
		t.Run(name, func(t *testing.T) {
			c := ts.dial(t, 0)
			send(t, c, string(sent))
			head := make([]byte, 1)
			if _, err := io.ReadFull(c, head); err != nil {
				t.Fatal(err)
			}
			if ok := head[0] == 0x16; ok != (name == "as it should be") {
				t.Errorf("answered with a record of type %#x", head[0])
			}
		})
	}
	ts.expectLog(t, "tls handshake failed", "early data")
}

// downgraded hides the versions that a client supports from the server, as somebody in between could.
type downgraded struct {
	net.Conn
	t *testing.T
}

func (d *downgraded) Write(p []byte) (int, error) {
	const supportedVersions = "\x00\x2b\x00\x05\x04\x03\x04\x03\x03"
	if p[0] == 0x16 && !bytes.Contains(p, []byte(supportedVersions)) {
		d.t.Errorf("no supported_versions in %x", p)
	}
	_, err := d.Conn.Write(bytes.Replace(p, []byte(supportedVersions), []byte("\xff"+supportedVersions[1:]), 1))
	return len(p), err
}

// TestDowngrade: X-12. A client that could speak TLS 1.3 finds in the server's random that this was hidden.
func TestDowngrade(t *testing.T) {
	t.Parallel()
	ts := one(t, IMAP, Implicit, echo)
	c := tls.Client(&downgraded{ts.dial(t, 0), t}, clientTLS())
	if err := c.Handshake(); err == nil || !strings.Contains(err.Error(), "downgrade") {
		t.Errorf("the handshake ended with %v", err)
	}
	ts.expectLog(t, "tls handshake failed")
}

// TestCertificateByKey: of two certificates for one name a client gets the first that it supports.
func TestCertificateByKey(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	certs := certificates(t, writePair(t, template(string(testHost)), ecdsaKey(t)), writePair(t, template(string(testHost)), key))
	ts := serve(t, Options{Listeners: []Listener{{Service: IMAP, Mode: Implicit}}, Handlers: map[Service]Handler{IMAP: echo}, Certificates: certs})
	for name, tc := range map[string]struct {
		config *tls.Config
		ecdsa  bool
	}{
		"TLS 1.3":             {&tls.Config{}, true},
		"both":                {&tls.Config{MaxVersion: tls.VersionTLS12}, true},
		"RSA alone":           {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}, false},
		"RSA, unknown name":   {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}, ServerName: "x.example"}, false},
		"ECDSA alone":         {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, true},
		"RSA, without a name": {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}, ServerName: "-"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.config.InsecureSkipVerify = true
			switch tc.config.ServerName {
			case "":
				tc.config.ServerName = string(testHost)
			case "-":
				tc.config.ServerName = ""
			}
			c := tls.Client(ts.dial(t, 0), tc.config)
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			if _, is := c.ConnectionState().PeerCertificates[0].PublicKey.(*ecdsa.PublicKey); is != tc.ecdsa {
				t.Errorf("got an ECDSA certificate: %t", is)
			}
		})
	}
}

// TestCloseNotify: whoever is served to the end is told that it is the end, and not cut off.
func TestCloseNotify(t *testing.T) {
	t.Parallel()
	ts := one(t, IMAP, Implicit, echo)
	raw := ts.dial(t, 0)
	watched := &watchedConn{Conn: raw}
	c := tls.Client(watched, clientTLS())
	expect(t, c, "hello\r\n")
	send(t, c, "QUIT\r\n")
	expectEnd(t, c, "bye\r\n")
	// Under TLS 1.3 an alert looks like data; it has two octets, a type and a tag.
	if last := watched.last(); last != 5+2+1+16 {
		t.Errorf("the last record has %d octets, want a close_notify", last)
	}
	if _, err := raw.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
		t.Errorf("after it: %v", err)
	}
}

// watchedConn notes what is read.
type watchedConn struct {
	net.Conn
	got []byte
}

func (w *watchedConn) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.got = append(w.got, p[:n]...)
	return n, err
}

// last is the size of the last record.
func (w *watchedConn) last() (size int) {
	for rest := w.got; len(rest) >= 5; rest = rest[min(size, len(rest)):] {
		size = 5 + int(binary.BigEndian.Uint16(rest[3:]))
	}
	return size
}

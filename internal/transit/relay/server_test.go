package relay

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/smtp"
	"candor/internal/store/kv"
	"candor/internal/transit/queue"
	"candor/internal/trust/dns"
)

// server is an SMTP server with faults. Replies by verb replace the usual ones; an empty reply closes
// the connection, as does one that begins with "last:", once it is said.
type server struct {
	t          *testing.T
	extensions []string
	replies    map[string]string // by verb, or by whole command
	tls        *tls.Config       // nil: STARTTLS is not offered
	goAhead    string            // to STARTTLS; default 220
	closeAfter bool              // the connection, after the go-ahead
	hang       string            // verb after which nothing more is said

	listener net.Listener
	work     sync.WaitGroup

	mu       sync.Mutex
	sessions int
	secured  int      // sessions with TLS
	messages []string // accepted content, without dot stuffing
	commands []string
	conns    []net.Conn
}

func (s *server) start(t *testing.T, ip string, port uint16) uint16 {
	t.Helper()
	s.t = t
	l, err := net.Listen("tcp", netip.AddrPortFrom(netip.MustParseAddr(ip), port).String())
	if err != nil {
		t.Fatal(err)
	}
	s.listener = l
	s.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.sessions++
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.work.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		s.work.Wait()
	})
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func (s *server) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	say := func(text string) { io.WriteString(c, text+"\r\n") }
	greeting := "220 mx.example.net ESMTP"
	if g, ok := s.replies["greeting"]; ok {
		greeting = g
	}
	if greeting == "" {
		return
	}
	say(greeting)
	secured := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		s.mu.Lock()
		s.commands = append(s.commands, line)
		s.mu.Unlock()
		if s.hang == verb {
			if verb == "STARTTLS" {
				say(s.goAhead)
			}
			io.Copy(io.Discard, r)
			return
		}
		reply, ok := s.replies[line]
		if !ok {
			reply, ok = s.replies[verb]
		}
		if ok && reply == "" {
			return
		}
		if text, last := strings.CutPrefix(reply, "last:"); last {
			say(text)
			return
		}
		switch {
		case ok && verb != "DATA":
			say(reply)
		case verb == "EHLO":
			ext := s.extensions
			if s.tls != nil && !secured {
				ext = append([]string{"STARTTLS"}, ext...)
			}
			text := "250-mx.example.net"
			for _, e := range ext {
				text += "\r\n250-" + e
			}
			say(text + "\r\n250 HELP")
		case verb == "STARTTLS":
			if s.goAhead != "" {
				say(s.goAhead)
			} else {
				say("220 go ahead")
			}
			if strings.HasPrefix(s.goAhead, "4") || strings.HasPrefix(s.goAhead, "5") {
				continue
			}
			if s.closeAfter {
				return
			}
			tc := tls.Server(c, s.tls)
			if err := tc.Handshake(); err != nil {
				return
			}
			c, r, secured = tc, bufio.NewReader(tc), true
			s.mu.Lock()
			s.secured++
			s.mu.Unlock()
		case verb == "DATA":
			if ok && !strings.HasPrefix(reply, "dot:") {
				say(reply)
				continue
			}
			say("354 go on")
			content, err := readContent(r)
			if err != nil {
				return
			}
			final := "250 2.0.0 queued"
			if ok {
				final = strings.TrimPrefix(reply, "dot:")
			}
			if cut, is := strings.CutPrefix(final, "cut:"); is {
				io.WriteString(c, cut)
				return
			}
			if strings.HasPrefix(final, "2") {
				s.mu.Lock()
				s.messages = append(s.messages, content)
				s.mu.Unlock()
			}
			say(final)
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 2.0.0 ok")
		}
	}
}

func readContent(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == ".\r\n" {
			return b.String(), nil
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}

func (s *server) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.commands, "\n")
}

func (s *server) received() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.messages
}

// certificate makes a self-signed certificate for names, and a pool that trusts it.
func certificate(t *testing.T, until time.Time, names ...string) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour * 24 * 365), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

// bench is a Relay with the store that it takes bodies from.
type bench struct {
	*Relay
	t  *testing.T
	db kv.DB
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// newBench makes a Relay for a zone, whose exchanges listen on port.
func newBench(t *testing.T, zone string, port uint16, change ...func(*Options)) *bench {
	t.Helper()
	z, err := dns.ParseZone(zone, dns.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	db, err := kv.Open(context.Background(), kv.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	short := 3 * time.Second
	o := Options{
		Hostname: "mx.example.org", Resolver: z, Blobs: db, PrivateTargets: loopback, Port: port, Connect: short,
		Roots:    x509.NewCertPool(),
		Timeouts: smtp.Timeouts{Greeting: short, Mail: short, Rcpt: short, DataInit: short, DataBlock: short, DataDone: short, Handshake: short, Quit: short},
	}
	for _, f := range change {
		f(&o)
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{Relay: r, t: t, db: db}
}

const content = "Subject: hello\r\n\r\nworld\r\n.dot\r\n"

func (b *bench) message(text string) *queue.Message {
	b.t.Helper()
	w, err := b.db.CreateBlob(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	io.WriteString(w, text)
	id, err := w.Finish()
	if err != nil {
		b.t.Fatal(err)
	}
	from, _ := mail.ParseAddress("ann@example.org")
	return &queue.Message{
		ID: "x", Envelope: mail.Envelope{ReversePath: mail.ReversePath{Address: from}},
		Trace: []byte("Received: by mx.example.org\r\n"), Blob: id, BlobSize: int64(len(text)),
	}
}

func recipients(t *testing.T, list ...string) []mail.Recipient {
	t.Helper()
	var to []mail.Recipient
	for _, s := range list {
		a, err := mail.ParseAddress(s)
		if err != nil {
			t.Fatal(err)
		}
		to = append(to, mail.Recipient{Address: a, Route: mail.Remote})
	}
	return to
}

// send makes one attempt with a plain message.
func (b *bench) send(list ...string) []queue.Result {
	b.t.Helper()
	return b.Deliver(context.Background(), b.message(content), recipients(b.t, list...))
}

func status(r queue.Result) string {
	if r.Err == nil {
		return "ok"
	}
	return mail.AsError(r.Err).Status.String()
}

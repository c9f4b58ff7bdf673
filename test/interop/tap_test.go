package interop

import (
	"encoding/base64"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"candor/internal/mailtest"
)

// tap sits between programs and a port of the server, and keeps what crosses.
type tap struct {
	port             int // where programs connect
	toServer, toUser mailtest.Buffer

	mu   sync.Mutex
	open []net.Conn
	last string // our port towards the server
}

// newTap listens in front of a port of the server until the test ends.
func newTap(t testing.TB, port int) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{port: l.Addr().(*net.TCPAddr).Port}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			program, err := l.Accept()
			if err != nil {
				return
			}
			server, err := dialPort(port)
			if err != nil {
				program.Close()
				continue
			}
			p.keep(program, server)
			running.Go(func() { pass(server, program, &p.toServer) })
			running.Go(func() { pass(program, server, &p.toUser) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, c := range p.open {
			c.Close()
		}
		p.mu.Unlock()
		running.Wait()
	})
	return p
}

func (p *tap) keep(program, server net.Conn) {
	_, port, _ := net.SplitHostPort(server.LocalAddr().String())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open, p.last = append(p.open, program, server), port
}

// lastPort is the port that the server sees the last connection come from.
func (p *tap) lastPort() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// pass copies until one end is gone, and lets the other know.
func pass(to, from net.Conn, kept io.Writer) {
	io.Copy(io.MultiWriter(kept, to), from)
	to.(*net.TCPConn).CloseWrite()
}

// shows reports whether a password can be read in what a program sent, as it is or within a response of SASL.
func (p *tap) shows(password string) bool {
	sent := p.toServer.String()
	for word := range strings.FieldsSeq(sent) {
		if response, err := base64.StdEncoding.DecodeString(word); err == nil && strings.Contains(string(response), password) {
			return true
		}
	}
	return strings.Contains(sent, password)
}

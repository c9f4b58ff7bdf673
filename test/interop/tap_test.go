package interop

import (
	"bufio"
	"crypto/tls"
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
	liar             *liar // nil: it only listens

	mu   sync.Mutex
	open []net.Conn
	last string // our port towards the server
}

// liar is what a tap needs to change what is said.
type liar struct {
	toProgram, toServer *tls.Config // nil: in clear
	lies                *strings.Replacer
}

// between wraps both ends in TLS, if there is any.
func (l *liar) between(program, server net.Conn) (net.Conn, net.Conn) {
	if l == nil || l.toProgram == nil {
		return program, server
	}
	return tls.Server(program, l.toProgram), tls.Client(server, l.toServer)
}

// newTap listens in front of a port of the server until the test ends.
func newTap(t testing.TB, port int) *tap {
	t.Helper()
	return newLiar(t, port, nil)
}

// newLiar is newTap with somebody who changes what the server says.
func newLiar(t testing.TB, port int, by *liar) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{port: l.Addr().(*net.TCPAddr).Port, liar: by}
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
			program, server = by.between(program, server)
			running.Go(func() { p.pass(server, program) })
			running.Go(func() { p.passBack(program, server) })
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
func (p *tap) pass(server, program net.Conn) {
	io.Copy(io.MultiWriter(&p.toServer, server), program)
	server.(interface{ CloseWrite() error }).CloseWrite()
}

// passBack is pass for what the server says, as it says it or with lies.
func (p *tap) passBack(program, server net.Conn) {
	defer func() { program.(interface{ CloseWrite() error }).CloseWrite() }()
	if p.liar == nil {
		io.Copy(io.MultiWriter(&p.toUser, program), server)
		return
	}
	for lines := bufio.NewReader(server); ; {
		line, err := lines.ReadString('\n')
		io.WriteString(&p.toUser, line)
		if _, lost := p.liar.lies.WriteString(program, line); err != nil || lost != nil {
			return
		}
	}
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

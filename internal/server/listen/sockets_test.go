package listen

import (
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
)

func openSockets(t *testing.T, files []*os.File, places ...Place) *Sockets {
	t.Helper()
	s, err := OpenSockets(places, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestSocketsChange: sockets stay where their place stays; new ones may overlap those that go; after an error all
// is as before.
func TestSocketsChange(t *testing.T) {
	t.Parallel()
	first := openSockets(t, nil, Place{"a", "127.0.0.1:0"}, Place{"b", "127.0.0.1:0"})
	a := Place{"a", first.at(Place{"a", "127.0.0.1:0"}).Addr().String()}
	first.Close()
	s := openSockets(t, nil, a, Place{"b", "127.0.0.1:0"})
	_, port, _ := net.SplitHostPort(a.Address)
	all := Place{"all", ":" + port}

	taken := openSockets(t, nil, Place{"taken", "127.0.0.1:0"})
	used := taken.at(Place{"taken", "127.0.0.1:0"}).Addr().String()
	if _, err := s.Change([]Place{all, {"c", used}}); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("a port in use: %v", err)
	}
	if conn, err := net.Dial("tcp", a.Address); err != nil {
		t.Errorf("after an error: %v", err)
	} else {
		conn.Close()
	}
	next, err := s.Change([]Place{all, {"b", "127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if next.at(Place{"b", "127.0.0.1:0"}) != s.at(Place{"b", "127.0.0.1:0"}) {
		t.Error("a socket whose place stays was opened again")
	}
	s.CloseLeft(next)
	if got := next.at(all).Addr().String(); got != "[::]:"+port {
		t.Errorf("listening at %s", got)
	}
	if _, err := OpenSockets([]Place{a}, nil); err == nil {
		t.Error("the port is shared still")
	}
}

// TestInherited: sockets of a service manager find their places by address, are an error without one, and cannot be
// left.
func TestInherited(t *testing.T) {
	t.Parallel()
	file := func() (*os.File, Place) {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv6unspecified})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		return f, Place{"inherited", ":" + port}
	}
	f, p := file()
	s := openSockets(t, []*os.File{f}, p, Place{"own", "127.0.0.1:0"})
	if !s.at(p).inherited {
		t.Error("the socket was not taken")
	}
	if _, err := s.Change([]Place{{"own", "127.0.0.1:0"}}); err == nil || !strings.Contains(err.Error(), ".socket unit") {
		t.Errorf("left: %v", err)
	}
	stranger, place := file()
	if _, err := OpenSockets([]Place{{"own", "127.0.0.1:0"}}, []*os.File{stranger}); err == nil || !strings.Contains(err.Error(), "[::]"+place.Address) {
		t.Errorf("without a place: %v", err)
	}
	odd, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSockets(nil, []*os.File{odd}); err == nil || !strings.Contains(err.Error(), "no listening TCP socket") {
		t.Errorf("no socket: %v", err)
	}
}

// TestChange: while listeners change all the time every connection is served.
func TestChange(t *testing.T) {
	t.Parallel()
	o := Options{Listeners: []Listener{{Service: IMAP, Mode: None}}, Handlers: map[Service]Handler{IMAP: echo}, Limits: Limits{Unauthenticated: 1000}}
	ts := serve(t, o)
	address := ts.Addrs()[0].String()
	l := ts.Listeners()[0]
	l.Address = "127.0.0.1:0" // as it was opened
	o = Options{Listeners: []Listener{l}, Sockets: ts.socketsOf(l), Handlers: o.Handlers, Limits: o.Limits}
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 50 {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				if b := make([]byte, 7); true {
					if _, err := io.ReadFull(conn, b); err != nil {
						t.Error(err)
					}
				}
				conn.Close()
			}
		})
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	for {
		select {
		case <-done:
			if n := ts.Stats()[0].Accepted; n != 200 {
				t.Errorf("%d connections counted, want 200", n)
			}
			return
		default:
			if err := ts.Change(o); err != nil {
				t.Fatal(err)
			}
			if err := ts.Healthy(); err != nil {
				t.Error(err)
			}
		}
	}
}

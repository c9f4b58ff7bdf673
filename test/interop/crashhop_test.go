package interop

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
)

// nextHop is another host's mail server, which puts off every second recipient.
type nextHop struct {
	address  string
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	willing bool
	got     map[int]int // number of the message → how often it came
	err     error
	conns   map[net.Conn]bool
}

func startNextHop(t *testing.T) *nextHop {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &nextHop{address: l.Addr().String(), listener: l, got: map[int]int{}, conns: map[net.Conn]bool{}}
	h.wg.Go(h.accept)
	t.Cleanup(h.close)
	return h
}

func (h *nextHop) accept() {
	for {
		conn, err := h.listener.Accept()
		if err != nil {
			return
		}
		h.mu.Lock()
		h.conns[conn] = true
		h.mu.Unlock()
		h.wg.Go(func() {
			h.serve(conn)
			conn.Close()
			h.mu.Lock()
			defer h.mu.Unlock()
			delete(h.conns, conn)
		})
	}
}

func (h *nextHop) close() {
	h.listener.Close()
	h.mu.Lock()
	for c := range h.conns {
		c.Close()
	}
	h.mu.Unlock()
	h.wg.Wait()
}

// serve speaks as much SMTP as a well-behaved client needs.
func (h *nextHop) serve(conn net.Conn) {
	r := bufio.NewReader(conn)
	reply := func(text string) { fmt.Fprintf(conn, "%s\r\n", text) }
	reply("220 next.example ESMTP")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(strings.TrimSpace(line)); {
		case strings.HasPrefix(verb, "EHLO"):
			reply("250-next.example\r\n250-8BITMIME\r\n250 SMTPUTF8")
		case strings.HasPrefix(verb, "RCPT") && h.putsOff():
			reply("450 4.2.0 later")
		case verb == "DATA":
			reply("354 go on")
			body, err := io.ReadAll(textproto.NewReader(r).DotReader())
			if err != nil {
				return
			}
			h.note(string(body))
			reply("250 2.0.0 accepted")
		case verb == "QUIT":
			reply("221 2.0.0 bye")
			return
		default:
			reply("250 2.0.0 ok")
		}
	}
}

func (h *nextHop) putsOff() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.willing && rand.IntN(2) == 0
}

func (h *nextHop) acceptAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.willing = true
}

// note notes a message, whose lines the reader has given LF ends.
func (h *nextHop) note(body string) {
	n, err := crashNumber(strings.ReplaceAll(body, "\n", "\r\n"))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got[n]++
	if err != nil {
		h.err = err
	}
}

// received returns the numbers of the messages that came, rising.
func (h *nextHop) received() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []int
	for n := range h.got {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// repeated is how many came more than once: SMTP cannot tell a client that was killed before it read the 250.
func (h *nextHop) repeated() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	repeated := 0
	for _, times := range h.got {
		if times > 1 {
			repeated++
		}
	}
	return repeated
}

// failure tells of a message that came changed.
func (h *nextHop) failure() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

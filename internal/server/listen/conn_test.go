package listen

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// result hands a handler's outcome to the test.
type result[T any] chan T

func (r result[T]) get(t testing.TB) T {
	t.Helper()
	select {
	case v := <-r:
		return v
	case <-time.After(patience):
		t.Fatal("the handler does not end")
		panic("unreachable")
	}
}

// both runs f over clear text and over TLS.
func both(t *testing.T, h Handler, f func(t *testing.T, c net.Conn)) {
	t.Run("clear", func(t *testing.T) {
		f(t, one(t, IMAP, Required, h).dial(t, 0))
	})
	t.Run("TLS", func(t *testing.T) {
		f(t, tls.Client(one(t, IMAP, Implicit, h).dial(t, 0), clientTLS()))
	})
}

func TestReadLine(t *testing.T) {
	t.Parallel()
	var want []string
	lines := result[[]string](make(chan []string, 2))
	h := func(_ context.Context, c *Conn) {
		var got []string
		for {
			line, err := c.ReadLine(100)
			switch {
			case errors.Is(err, ErrLineTooLong):
				got = append(got, "too long: "+string(line))
			case err != nil:
				lines <- append(got, err.Error())
				return
			default:
				got = append(got, string(line))
			}
		}
	}
	var text strings.Builder
	for i := range 300 {
		line := strings.Repeat("x", i%120) + "\r\n"
		text.WriteString(line)
		if len(line) > 100 {
			line = "too long: " + line
		}
		want = append(want, line)
	}
	text.WriteString(strings.Repeat("y", 100_000) + "\nz\n\nrest")
	want = append(want, "too long: "+strings.Repeat("y", lineHead), "z\n", "\n", "EOF")
	both(t, h, func(t *testing.T, c net.Conn) {
		go func() {
			for i, s := 0, text.String(); s != ""; i++ { // in parts of every size
				n := min(1+i%97*i%1499, len(s))
				c.Write([]byte(s[:n]))
				s = s[n:]
			}
			c.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got := lines.get(t)
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("line %d of %d, want %d: got %q, want %q", i, len(got), len(want), got[min(i, len(got)-1)], want[min(i, len(want)-1)])
			}
		}
	})
}

// TestLongestLine: a line may fill the largest buffer, and no more.
func TestLongestLine(t *testing.T) {
	t.Parallel()
	got := result[string](make(chan string, 2))
	h := func(_ context.Context, c *Conn) {
		line, err := c.ReadLine(1 << 20)
		s := fmt.Sprint(len(line), " ", err)
		line, err = c.ReadLine(1 << 20)
		got <- s + fmt.Sprint(" ", len(line), " ", err)
	}
	both(t, h, func(t *testing.T, c net.Conn) {
		go func() {
			send(t, c, strings.Repeat("x", largeBuffer-1)+"\n"+strings.Repeat("y", largeBuffer)+"\n")
		}()
		if s, want := got.get(t), fmt.Sprint(largeBuffer, " <nil> ", lineHead, " ", ErrLineTooLong); s != want {
			t.Errorf("got %s, want %s", s, want)
		}
	})
}

// TestEndlessLine: a line without an end breaks the connection.
func TestEndlessLine(t *testing.T) {
	t.Parallel()
	got := result[error](make(chan error, 2))
	h := func(_ context.Context, c *Conn) {
		c.ReadLine(100)
		_, err := c.ReadLine(100)
		got <- err
	}
	both(t, h, func(t *testing.T, c net.Conn) {
		go func() {
			for range 2 * maxDropped / 1000 {
				if _, err := c.Write(bytes.Repeat([]byte("x"), 1000)); err != nil {
					return
				}
			}
		}()
		if err := got.get(t); !errors.Is(err, ErrLineTooLong) {
			t.Errorf("got %v, want ErrLineTooLong for good", err)
		}
	})
}

// TestContent passes random octets through Read, Peek and Write in all sizes.
func TestContent(t *testing.T) {
	t.Parallel()
	content := make([]byte, 3<<20)
	rand.Read(content)
	content[0] = 'x' // not TLS
	h := func(_ context.Context, c *Conn) {
		p := make([]byte, 100_000)
		for i := 0; ; i++ {
			var n int
			var err error
			if i%3 == 0 {
				var b []byte
				b, err = c.Peek()
				n = copy(p, b[:len(b)-len(b)/3])
				c.Discard(n)
			} else {
				n, err = c.Read(p[:1+i*7919%len(p)])
			}
			if err != nil {
				return
			}
			if i%2 == 0 {
				c.Write(p[:n])
			} else {
				c.WriteString(string(p[:n]))
			}
			if i%5 == 0 {
				c.Flush()
			}
		}
	}
	both(t, h, func(t *testing.T, c net.Conn) {
		go func() {
			c.Write(content)
			c.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("got %d octets, %v; want the same %d", len(got), err, len(content))
		}
	})
}

// TestPipelineUnderTLS: commands that came in several records are in the buffer together, so that the door
// answers them with one write.
func TestPipelineUnderTLS(t *testing.T) {
	t.Parallel()
	const lines = 5
	sent := make(chan struct{})
	buffered := result[int](make(chan int, 1))
	ts := one(t, IMAP, Implicit, func(_ context.Context, c *Conn) {
		c.WriteString("hello\r\n")
		c.Flush()
		<-sent
		c.ReadLine(100)
		buffered <- c.Buffered()
	})
	c := tls.Client(ts.dial(t, 0), clientTLS())
	expect(t, c, "hello\r\n")
	for range lines {
		send(t, c, "NOOP\r\n")
	}
	time.Sleep(10 * time.Millisecond) // for the loopback
	close(sent)
	if n, want := buffered.get(t), (lines-1)*len("NOOP\r\n"); n != want {
		t.Errorf("%d octets are buffered, want %d", n, want)
	}
}

func TestWaitInput(t *testing.T) {
	t.Parallel()
	step := make(chan struct{})
	errs := result[error](make(chan error, 2))
	h := func(ctx context.Context, c *Conn) {
		errs <- c.WaitInput(ctx, 10*time.Millisecond)
		own, cancel := context.WithCancel(ctx)
		go func() { <-step; cancel() }()
		errs <- c.WaitInput(own, patience)
		errs <- c.WaitInput(ctx, patience)
		if c.Buffered() == 0 {
			t.Error("nothing is buffered after WaitInput")
		}
		errs <- c.WaitInput(own, patience) // there is something: no wait
		line, _ := c.ReadLine(100)
		if string(line) != "one\r\n" {
			t.Errorf("read %q", line)
		}
		errs <- c.WaitInput(ctx, patience)
	}
	both(t, h, func(t *testing.T, c net.Conn) {
		if tc, ok := c.(*tls.Conn); ok {
			tc.Handshake()
		}
		if err := errs.get(t); !errors.Is(err, ErrTimeout) {
			t.Errorf("after its time: %v", err)
		}
		select {
		case step <- struct{}{}:
		case <-time.After(patience):
			t.Fatal("no second wait")
		}
		if err := errs.get(t); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		send(t, c, "one\r\n")
		for range 2 {
			if err := errs.get(t); err != nil {
				t.Errorf("with input: %v", err)
			}
		}
		c.(interface{ CloseWrite() error }).CloseWrite()
		if err := errs.get(t); !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %v", err)
		}
	})
}

// TestWriteWhileWaiting: IDLE writes from one goroutine while another waits for DONE.
func TestWriteWhileWaiting(t *testing.T) {
	t.Parallel()
	h := func(ctx context.Context, c *Conn) {
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 100 {
				c.WriteString("* 1 EXISTS\r\n")
				c.Flush()
			}
		})
		if err := c.WaitInput(ctx, patience); err != nil {
			t.Error(err)
		}
		wg.Wait()
		line, _ := c.ReadLine(100)
		c.Write(line)
	}
	both(t, h, func(t *testing.T, c net.Conn) {
		expect(t, c, strings.Repeat("* 1 EXISTS\r\n", 50))
		send(t, c, "DONE\r\n")
		expectEnd(t, c, strings.Repeat("* 1 EXISTS\r\n", 50)+"DONE\r\n")
	})
}

// TestLastWords: a reply written just before the end arrives although the client goes on sending.
func TestLastWords(t *testing.T) {
	t.Parallel()
	h := func(_ context.Context, c *Conn) {
		c.ReadLine(100)
		c.WriteString("bye\r\n")
	}
	both(t, h, func(t *testing.T, c net.Conn) {
		send(t, c, "QUIT\r\n"+strings.Repeat("more\r\n", 1000))
		got, err := io.ReadAll(c)
		if string(got) != "bye\r\n" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// TestIdleMemory bounds what an idle connection under TLS keeps, all in: goroutine, TLS and Conn of
// the server's side.
func TestIdleMemory(t *testing.T) {
	const conns, most = 200, 40 << 10
	ts := serve(t, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Implicit}},
		Limits:    Limits{Exempt: loopbackNet},
		Handlers: map[Service]Handler{IMAP: func(ctx context.Context, c *Conn) {
			c.Authenticated()
			for {
				line, err := c.ReadLine(1000)
				if err != nil {
					return
				}
				c.Write(line)
				c.Flush()
				if c.WaitInput(ctx, patience) != nil {
					return
				}
			}
		}},
	})
	var clients []*tls.Conn
	for range conns {
		c := tls.Client(ts.dial(t, 0), clientTLS())
		for range 3 {
			send(t, c, "a NOOP\r\n")
			expect(t, c, "a NOOP\r\n")
		}
		clients = append(clients, c)
	}
	inUse := func() uint64 {
		for range 3 { // goroutine stacks shrink by half at each collection, pools are emptied at the second
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	with := inUse()
	for _, c := range clients {
		c.NetConn().(*net.TCPConn).SetLinger(0)
		c.NetConn().Close()
	}
	ts.stop()
	// The clients, which are still here, are not in the difference but for their sockets.
	without := inUse()
	runtime.KeepAlive(clients)
	each := int64(with-without) / conns
	t.Logf("%d octets for each idle connection", each)
	if each > most {
		t.Errorf("%d octets for each idle connection, want %d at most", each, most)
	}
}

func BenchmarkCommand(b *testing.B) {
	for _, mode := range []Mode{Required, Implicit} {
		b.Run(mode.String(), func(b *testing.B) {
			ts := one(b, IMAP, mode, echo)
			c := ts.dial(b, 0)
			if mode == Implicit {
				c = tls.Client(c, clientTLS())
			}
			expect(b, c, "hello\r\n")
			c.SetDeadline(time.Time{})
			p := make([]byte, 10)
			b.ReportAllocs()
			for b.Loop() {
				io.WriteString(c, "a1 NOOP\r\n")
				io.ReadFull(c, p)
			}
		})
	}
}

// BenchmarkLiteral sends a large body as windows of a file come.
func BenchmarkLiteral(b *testing.B) {
	const size, window = 8 << 20, 64 << 10
	for _, mode := range []Mode{Required, Implicit} {
		b.Run(mode.String(), func(b *testing.B) {
			body := make([]byte, window)
			ts := one(b, IMAP, mode, func(_ context.Context, c *Conn) {
				for {
					if _, err := c.ReadLine(100); err != nil {
						return
					}
					c.WriteString("* 1 FETCH (BODY[] {8388608}\r\n")
					for range size / window {
						c.Write(body)
					}
					c.WriteString(")\r\n")
					c.Flush()
				}
			})
			c := ts.dial(b, 0)
			if mode == Implicit {
				c = tls.Client(c, clientTLS())
			}
			c.SetDeadline(time.Time{})
			p := make([]byte, 256<<10)
			b.SetBytes(size)
			for b.Loop() {
				io.WriteString(c, "fetch\r\n")
				for got, want := 0, len("* 1 FETCH (BODY[] {8388608}\r\n")+size+len(")\r\n"); got < want; {
					n, err := c.Read(p)
					if err != nil {
						b.Fatal(err)
					}
					got += n
				}
			}
		})
	}
}

package imapd

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"candor/internal/mailtest"
)

// client is a connection of a benchmark or test.
type client struct {
	t    testing.TB
	conn *tls.Conn
	r    *bufio.Reader
	n    int
}

// dial connects and logs in.
func dial(t testing.TB, w *mailtest.World, addr string) *client {
	t.Helper()
	c := connect(t, w, addr)
	c.do("LOGIN ann@example.org secret")
	return c
}

// connect makes a connection and reads the greeting.
func connect(t testing.TB, w *mailtest.World, addr string) *client {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, w.ClientTLS())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	c := &client{t: t, conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
	c.line()
	return c
}

// expect sends a command with its tag, whose answer must be one line.
func (c *client) expect(command, want string) {
	c.t.Helper()
	io.WriteString(c.conn, command+"\r\n")
	if got := c.line(); got != want {
		c.t.Errorf("%s:\ngot  %q\nwant %q", command, got, want)
	}
}

func (c *client) line() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("reading a line: %v (so far %q)", err, line)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// do sends a command and returns the number of octets of its answer, which must be OK. Literals are read past.
func (c *client) do(command string) int {
	c.t.Helper()
	c.n++
	tag := "t" + strconv.Itoa(c.n)
	if _, err := io.WriteString(c.conn, tag+" "+command+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	total := 0
	for {
		line, err := c.r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) { // a part of a long line
			total += len(line)
			continue
		}
		if err != nil {
			c.t.Fatal(err)
		}
		total += len(line)
		if bytes.HasPrefix(line, []byte(tag+" ")) {
			if !bytes.HasPrefix(line, []byte(tag+" OK")) {
				c.t.Fatalf("%s: %s", command, line)
			}
			return total
		}
		if i := bytes.LastIndexByte(line, '{'); i >= 0 && bytes.HasSuffix(line, []byte("}\r\n")) {
			n, _ := strconv.Atoi(string(line[i+1 : len(line)-3]))
			c.r.Discard(n)
			total += n
		}
	}
}

// sample is a message of usual shape, with size octets of text.
func sample(i, size int) string {
	return fmt.Sprintf("Return-Path: <bob@example.net>\r\nReceived: from a by b; Tue, 01 Sep 2026 10:00:00 +0000\r\nDate: Tue, 01 Sep 2026 10:00:%02d +0000\r\nFrom: Bob Example <bob@example.net>\r\n"+
		"To: Ann <ann@example.org>, Carl <carl@example.org>\r\nSubject: message number %d of many\r\nMessage-ID: <%d@example.net>\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: multipart/alternative; boundary=sep\r\n\r\n--sep\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\r\n--sep\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n--sep--\r\n",
		i%60, i, i, strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", size/64))
}

func benchWorld(b *testing.B, messages, size int) *client {
	w, _, addr, _ := serve(b)
	for i := range messages {
		w.Append(b, "ann@example.org", "INBOX", sample(i, size))
	}
	c := dial(b, w, addr)
	c.conn.SetDeadline(time.Time{})
	c.do("SELECT INBOX")
	return c
}

func BenchmarkFetchAttributes(b *testing.B) {
	const n = 2000
	c := benchWorld(b, n, 512)
	b.ReportAllocs()
	for b.Loop() {
		c.do("UID FETCH 1:* (FLAGS UID RFC822.SIZE ENVELOPE BODYSTRUCTURE INTERNALDATE)")
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkFetchFlags(b *testing.B) {
	const n = 2000
	c := benchWorld(b, n, 512)
	b.ReportAllocs()
	for b.Loop() {
		c.do("UID FETCH 1:* (FLAGS)")
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkSelect(b *testing.B) {
	w, _, addr, _ := serve(b)
	fill(b, w, "ann@example.org", "INBOX", 50_000)
	c := dial(b, w, addr)
	c.conn.SetDeadline(time.Time{})
	c.do("SELECT INBOX")
	b.ReportAllocs()
	for b.Loop() {
		c.do("SELECT INBOX")
	}
}

func BenchmarkFetchBodies(b *testing.B) {
	c := benchWorld(b, 500, 32<<10)
	for b.Loop() {
		b.SetBytes(int64(c.do("UID FETCH 1:* (BODY.PEEK[])")))
	}
}

func BenchmarkFetchLargeBody(b *testing.B) {
	c := benchWorld(b, 4, 16<<20)
	for b.Loop() {
		b.SetBytes(int64(c.do("UID FETCH 1:* (BODY.PEEK[])")))
	}
}

func BenchmarkStoreOne(b *testing.B) {
	c := benchWorld(b, 100, 512)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.do("UID STORE " + strconv.Itoa(i%100+1) + " " + []string{"+", "-"}[i/100%2] + `FLAGS.SILENT (\Seen)`)
	}
}

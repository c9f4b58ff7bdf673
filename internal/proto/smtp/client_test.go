package smtp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
)

// play runs a scripted server: lines that begin with "C: " are expected, others are sent as they are
// ("S: " taken off, CRLF added; "S! " without, "|" being CRLF). At the script's end the connection closes.
func play(t *testing.T, script string) *Client {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan struct{})
	t.Cleanup(func() { client.Close(); <-done })
	go func() {
		defer close(done)
		defer server.Close()
		r := bufio.NewReader(server)
		for line := range strings.Lines(script) {
			line = strings.TrimRight(line, "\n")
			switch want, isC := strings.CutPrefix(line, "C: "); {
			case isC:
				got, err := r.ReadString('\n')
				if err != nil || got != want+"\r\n" {
					t.Errorf("server got %q, %v; want %q", got, err, want)
					return
				}
			case strings.HasPrefix(line, "S: "):
				io.WriteString(server, line[3:]+"\r\n")
			case strings.HasPrefix(line, "S! "):
				io.WriteString(server, strings.ReplaceAll(line[3:], "|", "\r\n"))
			}
		}
	}()
	short := 5 * time.Second
	return NewClient(client, Timeouts{Greeting: short, Mail: short, Rcpt: short, DataInit: short, DataBlock: short, DataDone: short, Quit: short})
}

func addresses(ss ...string) []mail.Address {
	var out []mail.Address
	for _, s := range ss {
		a, err := mail.ParseAddress(s)
		if err != nil {
			panic(err)
		}
		out = append(out, a)
	}
	return out
}

func TestClientTransaction(t *testing.T) {
	for name, ext := range map[string]string{"in turn": "SIZE 1000", "pipelined": "PIPELINING"} {
		t.Run(name, func(t *testing.T) {
			script := "S: 220 mx ESMTP\nC: EHLO me.example\nS: 250-mx hello\nS: 250-8BITMIME\nS: 250 " + ext + "\n"
			if name == "in turn" {
				script += "C: MAIL FROM:<ann@example.org> BODY=8BITMIME\nS: 250 2.1.0 ok\nC: RCPT TO:<bob@example.net>\nS: 250-2.1.5 ok\nS: 250 2.1.5 still\nC: RCPT TO:<cid@example.net>\nS: 550 5.1.1 who?\n"
			} else {
				script += "C: MAIL FROM:<ann@example.org> BODY=8BITMIME\nC: RCPT TO:<bob@example.net>\nC: RCPT TO:<cid@example.net>\nS: 250 2.1.0 ok\nS: 250 2.1.5 ok\nS: 550 5.1.1 who?\n"
			}
			script += "C: DATA\nS: 354 go\nC: Subject: x\nC: \nC: ..dot\nC: end\nC: .\nS: 250 2.0.0 queued\nC: QUIT\nS: 221 bye\n"
			c := play(t, script)
			if r, err := c.Greet(); err != nil || r.Code != 220 {
				t.Fatal(r, err)
			}
			if r, err := c.Hello("me.example"); err != nil || r.Code != 250 {
				t.Fatal(r, err)
			}
			from := mail.ReversePath{Address: addresses("ann@example.org")[0]}
			r, rcpts, err := c.Begin(from, MailParams{Body: "8BITMIME"}, addresses("bob@example.net", "cid@example.net"))
			if err != nil || r.Code != 250 || len(rcpts) != 2 || rcpts[0].Code != 250 || rcpts[1].Code != 550 || rcpts[1].Status.String() != "5.1.1" {
				t.Fatalf("Begin = %v, %v, %v", r, rcpts, err)
			}
			r, err = c.Data(strings.NewReader("Subject: x\r\n\r\n"), strings.NewReader(".dot\nend"))
			if err != nil || r.Code != 250 || r.Status.String() != "2.0.0" {
				t.Fatalf("Data = %v, %v", r, err)
			}
			c.Quit()
		})
	}
}

func TestClientPipelinesManyRecipients(t *testing.T) {
	const n = 333
	var script strings.Builder
	script.WriteString("S: 220 mx\nC: EHLO me.example\nS: 250-mx\nS: 250 PIPELINING\nC: MAIL FROM:<>\n")
	var names []string
	sent, reply := 0, "S: 250 ok\n"
	for sent < n {
		k := min(n-sent, group)
		if sent == 0 {
			k = group - 1
			reply = "S: 250 ok\n"
		}
		for i := range k {
			fmt.Fprintf(&script, "C: RCPT TO:<u%d@example.net>\n", sent+i)
			names = append(names, fmt.Sprintf("u%d@example.net", sent+i))
		}
		if sent == 0 {
			script.WriteString(reply)
		}
		for i := range k {
			fmt.Fprintf(&script, "S: 250 recipient %d\n", sent+i)
		}
		sent += k
	}
	c := play(t, script.String())
	c.Greet()
	c.Hello("me.example")
	_, rcpts, err := c.Begin(mail.ReversePath{}, MailParams{}, addresses(names...))
	if err != nil || len(rcpts) != n {
		t.Fatalf("%d replies, %v", len(rcpts), err)
	}
	for i, r := range rcpts {
		if want := fmt.Sprintf("recipient %d", i); r.Lines[0] != want {
			t.Fatalf("reply %d is %q, want %q", i, r.Lines[0], want)
		}
	}
}

func TestClientFallsBackToHELO(t *testing.T) {
	c := play(t, "S: 220 mx\nC: EHLO me.example\nS: 502 what?\nC: HELO me.example\nS: 250 mx\n")
	c.Greet()
	if r, err := c.Hello("me.example"); err != nil || r.Code != 250 {
		t.Fatal(r, err)
	}
	if _, ok := c.Extension("STARTTLS"); ok {
		t.Error("an extension after HELO")
	}
}

func TestClientRefusesInjectedReply(t *testing.T) {
	c := play(t, "S: 220 mx\nC: EHLO me.example\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS! 220 go|250 injected|\n")
	c.Greet()
	c.Hello("me.example")
	if _, err := c.StartTLS(context.Background(), nil); !errors.Is(err, ErrInjection) {
		t.Fatalf("err = %v, want ErrInjection", err)
	}
}

func TestClientBadServers(t *testing.T) {
	for name, script := range map[string]string{
		"cut reply":        "S! 250 2.0.0 O",
		"cut after code":   "S! 250",
		"nothing":          "",
		"two codes":        "S: 250-a\nS: 550 b",
		"no code":          "S: hello",
		"endless line":     "S! " + strings.Repeat("250 x", 2000),
		"endless reply":    strings.Repeat("S: 250-x\n", 5000),
		"nul":              "S! \x00\x00\x00\x00|",
		"code out of line": "S: 999 x",
	} {
		t.Run(name, func(t *testing.T) {
			c := play(t, script)
			if r, err := c.Greet(); err == nil {
				t.Errorf("Greet = %v, want an error", r)
			}
			c.conn.Close()
		})
	}
}

func TestClientReplyHasADeadline(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	stop := make(chan struct{})
	go func() {
		// One octet now and then must not keep the client waiting.
		defer close(stop)
		for {
			if _, err := server.Write([]byte("2")); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	c := NewClient(client, Timeouts{Greeting: 50 * time.Millisecond})
	if _, err := c.Greet(); !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, ErrBadReply) {
		t.Errorf("err = %v", err)
	}
	server.Close()
	<-stop
}

type failingBody struct{}

func (failingBody) WriteTo(w io.Writer) (int64, error) {
	io.WriteString(w, "half a mess")
	return 0, errors.New("disk gone")
}

func TestClientBreaksOffWhenTheBodyFails(t *testing.T) {
	c := play(t, "C: DATA\nS: 354 go\n")
	_, err := c.Data(failingBody{})
	if !errors.Is(err, ErrBody) {
		t.Errorf("err = %v, want ErrBody", err)
	}
}

// wire is what body looks like on the wire when it is written in pieces of n octets.
func wire(body string, n int) string {
	var buf bytes.Buffer
	w := bufio.NewWriter(&buf)
	d := dotWriter{w: w, bol: true}
	for len(body) > 0 {
		k := min(n, len(body))
		d.Write([]byte(body[:k]))
		body = body[k:]
	}
	d.close()
	w.Flush()
	return buf.String()
}

func TestDotWriter(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"empty", "", ".\r\n"},
		{"plain", "a\r\nb\r\n", "a\r\nb\r\n.\r\n"},
		{"no last line end", "a", "a\r\n.\r\n"},
		{"bare LF", "a\nb\n", "a\r\nb\r\n.\r\n"},
		{"bare CR", "a\rb", "a\r\nb\r\n.\r\n"},
		{"CR at the end", "a\r", "a\r\n.\r\n"},
		{"two CRs", "a\r\r\nb\r\n", "a\r\n\r\nb\r\n.\r\n"},
		{"dots", ".\r\n..\r\n.a\r\n", "..\r\n...\r\n..a\r\n.\r\n"},
		{"LF dot LF", "a\n.\nb\n", "a\r\n..\r\nb\r\n.\r\n"},
		{"CR dot CR", "a\r.\rb\n", "a\r\n..\r\nb\r\n.\r\n"},
		{"LF dot CRLF", "a\n.\r\nMAIL FROM:<x>\r\n", "a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n"},
		{"CRLF dot LF", "a\r\n.\nb", "a\r\n..\r\nb\r\n.\r\n"},
		{"dot within", "a.b\r\n", "a.b\r\n.\r\n"},
	} {
		for n := 1; n <= len(c.body)+1; n++ {
			if got := wire(c.body, n); got != c.want {
				t.Errorf("%s in pieces of %d: %q, want %q", c.name, n, got, c.want)
			}
		}
	}
}

// FuzzDotWriter: whatever the content, the lone dot comes once, at the end, and all line ends are CRLF.
func FuzzDotWriter(f *testing.F) {
	for _, s := range []string{"", ".", "a\n.\nb", "a\r.\r\n", "\r\n.\r\n"} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, body string, n int) {
		got := wire(body, 1+int(uint(n)%17))
		if whole := wire(body, len(body)+1); got != whole {
			t.Fatalf("pieces matter: %q and %q", got, whole)
		}
		if i := strings.Index("\r\n"+got, "\r\n.\r\n"); i != len(got)-3 {
			t.Fatalf("%q ends at %d of %d", got, i, len(got)-3)
		}
		rest := strings.ReplaceAll(got, "\r\n", "")
		if strings.ContainsAny(rest, "\r\n") {
			t.Fatalf("a bare CR or LF in %q", got)
		}
	})
}

func BenchmarkDotWriter(b *testing.B) {
	body := []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 1000))
	w := bufio.NewWriterSize(io.Discard, 32<<10)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		d := dotWriter{w: w, bol: true}
		d.Write(body)
	}
}

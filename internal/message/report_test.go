package message

import (
	"bufio"
	"bytes"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func daneFailure() mail.Transport {
	return mail.Transport{
		State: mail.EncryptedUnauthenticated, Floor: mail.AuthenticatedDANETA, FloorSource: "dane:_25._tcp.mx.example.test",
		Mode: mail.StartTLS, Fail: "tlsa-mismatch",
	}
}

var returned = Header("Message-ID: <1@client.test>\r\nFrom: ann@example.org\r\nSubject: hello\r\n\r\n")

func reports() map[string]Report {
	ann := mail.Address{Local: "ann", Domain: "example.org"}
	bob := mail.Address{Local: "bob", Domain: "example.test"}
	status := func(s string) mail.Status { p, _ := mail.ParseStatus(s); return p }
	base := Report{
		By: "mx.example.org", To: ann, QueueID: "7f3a", MessageID: "<report@mx.example.org>",
		Arrival: noon, Date: noon.Add(time.Hour), Header: returned,
	}
	failed := base
	failed.EnvelopeID = "QQ314159"
	failed.Recipients = []RecipientReport{
		{
			Address: bob, Original: "rfc822;Bob@example.test", Action: Failed, Status: status("5.1.1"), RemoteMTA: "mx.example.test",
			Reply: "550 5.1.1 no such\r\nuser \xff here", LastAttempt: noon.Add(time.Minute),
			Transport: mail.Transport{Fail: "starttls-not-offered"},
		},
		{
			Address: mail.Address{Local: "carl", Domain: "example.test"}, Action: Failed, Status: status("4.7.5"), RemoteMTA: "mx.example.test",
			Transport: daneFailure(), LastAttempt: noon.Add(time.Minute),
		},
	}
	delayed := base
	delayed.Recipients = []RecipientReport{
		{
			Address: bob, Action: Delayed, Status: status("4.7.5"), RemoteMTA: "mx.example.test", Transport: daneFailure(),
			LastAttempt: noon.Add(time.Minute), NextAttempt: noon.Add(2 * time.Hour), RetryUntil: noon.Add(24 * time.Hour),
		},
		{
			Address: mail.Address{Local: "carl", Domain: "xn--bcher-kva.example"}, Action: Delayed, Status: status("4.7.5"), Transport: mail.Transport{Fail: "dns-bogus"},
			NextAttempt: noon.Add(2 * time.Hour), RetryUntil: noon.Add(24 * time.Hour),
		},
		{
			Address: mail.Address{Local: "dan", Domain: "example.net"}, Action: Delayed, Status: status("4.4.1"), Text: "no server of example.net could be reached",
			RetryUntil: noon.Add(24 * time.Hour),
		},
	}
	utf8 := base
	utf8.To = mail.Address{Local: "änn", Domain: "example.org"}
	utf8.Header = Header("Message-ID: <1@client.test>\r\nSubject: h\u00e9llo\r\n\r\n")
	utf8.Recipients = []RecipientReport{{Address: mail.Address{Local: "jörg", Domain: "example.test"}, Action: Failed, Status: status("5.1.1"), Reply: "550 no"}}
	mixed := utf8
	mixed.To = ann
	requireTLS := base
	requireTLS.Recipients = []RecipientReport{{
		Address: bob, Action: Failed, Status: status("5.7.30"), RemoteMTA: "mx.example.test",
		Transport: mail.Transport{Fail: "requiretls-not-offered", Floor: mail.AuthenticatedSTS, State: mail.AuthenticatedDANEEE, FloorSource: "requiretls"},
	}}
	return map[string]Report{"failed": failed, "delayed": delayed, "utf8": utf8, "utf8-recipient": mixed, "requiretls": requireTLS}
}

func TestReport(t *testing.T) {
	for name, r := range reports() {
		t.Run(name, func(t *testing.T) {
			got := r.Append(nil)
			golden := filepath.Join("testdata", "report-"+name+".eml")
			if *update {
				if err := os.WriteFile(golden, got, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			checkReport(t, &r, got)
		})
	}
}

// checkReport reads a report as another program would, with the standard library's parsers.
func checkReport(t *testing.T, r *Report, raw []byte) {
	t.Helper()
	for line := range bytes.Lines(raw) {
		if !bytes.HasSuffix(line, []byte("\r\n")) || len(line) > maxLine+2 || !r.SMTPUTF8() && !isASCII(string(line)) {
			t.Errorf("line %q cannot travel", line)
		}
	}
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("content type %q, %v, %v", kind, params, err)
	}
	var types []string
	var bodies []string
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p) // decodes quoted-printable
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		types = append(types, kind)
		bodies = append(bodies, string(b))
	}
	wantTypes := "text/plain message/delivery-status text/rfc822-headers"
	if r.SMTPUTF8() {
		wantTypes = "text/plain message/global-delivery-status message/global-headers"
	}
	if strings.Join(types, " ") != wantTypes {
		t.Fatalf("parts are %v, want %s", types, wantTypes)
	}
	if want := strings.TrimSuffix(string(r.Header), "\r\n"); bodies[2] != want {
		t.Errorf("returned header %q, want %q", bodies[2], want)
	}
	status := textproto.NewReader(bufio.NewReader(strings.NewReader(bodies[1] + "\r\n")))
	if h, err := status.ReadMIMEHeader(); err != nil || h.Get("Reporting-Mta") != "dns; "+string(r.By) {
		t.Errorf("fields of the message: %v, %v", h, err)
	}
	for i, p := range r.Recipients {
		h, err := status.ReadMIMEHeader()
		if err != nil || h.Get("Action") != string(p.Action) || h.Get("Status") != p.Status.String() || h.Get("Final-Recipient") != typedAddress(p.Address, r.SMTPUTF8()) {
			t.Errorf("fields of recipient %d: %v, %v", i, h, err)
		}
		if !strings.Contains(bodies[0], p.Address.String()) {
			t.Errorf("the words do not name %s:\n%s", p.Address, bodies[0])
		}
	}
	if a := scanWhole(string(raw)); len(a.Root.Children) != 3 {
		t.Errorf("the scanner finds %d parts", len(a.Root.Children))
	}
}

// TestReportHostile: what other servers and senders say stays in its place.
func TestReportHostile(t *testing.T) {
	evil := "x\r\nAction: delivered\r\n\r\n--boundary\n\x00\xff" + strings.Repeat("long", 1000)
	r := reports()["failed"]
	r.EnvelopeID = evil
	r.Header = Header("Message-ID: <a>\r\n b@c>\r\nX: " + strings.Repeat("y", 2000) + "\r\nZ: \xff\r\nBig: " + strings.Repeat("y", maxReturned) + "\r\n\r\n")
	for i := range r.Recipients {
		p := &r.Recipients[i]
		p.Original, p.RemoteMTA, p.Text, p.Transport.Fail = evil, evil, evil, evil
		if p.Reply != "" {
			p.Reply = evil
		}
	}
	raw := r.Append(nil)
	if id, ok := Header(raw).Get("In-Reply-To"); ok {
		t.Errorf("In-Reply-To: %s", id)
	}
	r.Header = r.Header[:bytes.Index(r.Header, []byte("Big:"))]
	r.Header = append(r.Header, "\r\n"...)
	checkReport(t, &r, raw)
}

func TestNotice(t *testing.T) {
	n := Notice{
		FromName: `The "Candor" team`, From: mail.Address{Local: "postmaster", Domain: "example.org"}, To: mail.Address{Local: "ann", Domain: "example.org"},
		Subject: "Bücher " + strings.Repeat("ä", 80) + "\r\nX-Forged: yes", Text: "One line.\nAnother with é.\n" + strings.Repeat("long ", 300), Date: noon,
	}
	m, err := netmail.ReadMessage(bytes.NewReader(n.Append(nil)))
	if err != nil {
		t.Fatal(err)
	}
	from, err := m.Header.AddressList("From")
	if err != nil || from[0].Name != n.FromName || from[0].Address != n.From.String() {
		t.Errorf("From: %v, %v", from, err)
	}
	if s := DecodeText(m.Header.Get("Subject")); s != strings.ReplaceAll(n.Subject, "\r\n", "??") {
		t.Errorf("Subject: %q", s)
	}
	if m.Header.Get("X-Forged") != "" || m.Header.Get("Message-Id") == "" || m.Header.Get("Mime-Version") != "1.0" {
		t.Errorf("header: %v", m.Header)
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := decoded(t, m.Header.Get("Content-Transfer-Encoding"), bytes.NewReader(body)); got != crlf(n.Text)+"\r\n" {
		t.Errorf("text: %q", got)
	}
}

func TestComplete(t *testing.T) {
	for _, in := range []string{"Date: x\r\nMessage-ID: <y>\r\n\r\n", "message-id : \r\ndate:\r\n\r\n"} {
		if got := Complete(Header(in), "example.org", noon); string(got) != in {
			t.Errorf("Complete(%q) = %q", in, got)
		}
	}
	for _, in := range []string{"", "\r\n", "Subject: x\r\nResent-Date: y\r\n\r\n", "Subject: x"} {
		got := Complete(Header(in), "example.org", noon)
		date, _ := got.Get("Date")
		id, _ := got.Get("Message-ID")
		if _, err := netmail.ParseDate(date); err != nil || !strings.HasSuffix(id, "@example.org>") || !strings.HasSuffix(string(got), in) {
			t.Errorf("Complete(%q) = %q", in, got)
		}
	}
	if a, b := NewMessageID("x"), NewMessageID("x"); a == b {
		t.Errorf("two messages have the Message-ID %s", a)
	}
}

package interop

import (
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"candor/internal/mailtest/tool"
)

//go:embed testdata/thunderbird.js
var thunderbirdScript string

// What Thunderbird calls connection security (nsMsgSocketType) and authentication method (nsMsgAuthMethod).
const (
	securityNone     = 0
	securitySTARTTLS = 2
	securityTLS      = 3

	normalPassword    = 3
	encryptedPassword = 4
)

// thunderbirdRow is one account or outgoing server as its settings have it.
type thunderbirdRow struct {
	Type     string `json:"type"` // imap, pop3 or smtp
	Port     int    `json:"port"`
	Security int    `json:"security"`
	Method   int    `json:"method"`
	Subject  string `json:"subject"` // of what smtp sends
}

// thunderbirdState is what became of rows.
type thunderbirdState struct {
	Results []struct {
		Status   string // "ok", or a number of the program
		Messages []struct{ Subject, Keywords, Text string }
	}
	Failed string   // why there will be no results
	Told   []string // to the person
}

// thunderbird is Thunderbird in front of a server.
type thunderbird struct {
	*marionette
	t                  *testing.T
	s                  *server
	starttls, implicit [3]*tap // IMAP, POP3, submission
}

func (s *server) thunderbird(t *testing.T, user, password string) *thunderbird {
	t.Helper()
	b := &thunderbird{startThunderbird(t), t, s, [3]*tap{}, [3]*tap{}}
	for i, port := range []int{s.imap, s.pop3, s.submission} {
		b.starttls[i] = newTap(t, port)
	}
	for i, port := range []int{s.imaps, s.pop3s, s.submissions} {
		b.implicit[i] = newTap(t, port)
	}
	text, err := os.ReadFile(s.cert)
	if err != nil {
		t.Fatal(err)
	}
	certificate, _ := pem.Decode(text)
	facts := map[string]any{"host": hostname, "user": user, "password": password, "certificate": certificate.Bytes}
	if err := b.script(thunderbirdScript, nil, facts); err != nil {
		t.Fatal(err)
	}
	return b
}

// tries sets the program up as the rows say, and returns what came of it once the person was told each of words.
func (b *thunderbird) tries(words []string, rows ...thunderbirdRow) thunderbirdState {
	b.t.Helper()
	if err := b.script("window.candor.start(...arguments)", nil, rows); err != nil {
		b.t.Fatal(err)
	}
	var state thunderbirdState
	var err error
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		state = thunderbirdState{}
		if err = b.script("return window.candor.state()", &state); err != nil {
			continue // a dialog is open, which the script closes
		}
		if state.Failed != "" {
			b.t.Fatal(state.Failed)
		}
		told := strings.Join(state.Told, "\n")
		if len(state.Results) == len(rows) && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(told, w) }) {
			return state
		}
	}
	b.t.Fatalf("%+v: not done, or the person was not told %q: %+v, %v\n%s", rows, words, state, err, b.s.log)
	return state
}

// wrong is a way to set all three services of an account wrongly.
type wrong struct {
	name     string
	implicit bool // the ports with TLS from the start
	security int
	method   int
	told     []string    // by the server, in the program's dialogs
	logged   [3][]string // for IMAP, POP3, submission
}

const fromTheStart = "This port needs SSL/TLS from the start. Set connection security to SSL/TLS"

var (
	each        = func(parts ...string) [3][]string { return [3][]string{parts, parts, parts} }
	notImplicit = []string{"* BYE " + fromTheStart + ", not STARTTLS or none", "[SYS/PERM] " + fromTheStart, hostname + " " + fromTheStart + ", not STARTTLS or none"}
	silence     = each("wrong-protocol seen=silence expected=tls")
	// Only POP3 does not let a server say beforehand that no login is possible, or that a mechanism is not offered.
	onlyPOP3    = func(parts ...string) [3][]string { return [3][]string{nil, parts, nil} }
	wrongsOfAll = []wrong{
		{"TLS on a STARTTLS port", false, securityTLS, normalPassword, nil, each("wrong-protocol seen=tls expected=starttls sni=" + hostname)},
		{"STARTTLS on a TLS port", true, securitySTARTTLS, normalPassword, notImplicit, silence},
		{"none on a TLS port", true, securityNone, normalPassword, notImplicit, silence},
		{"no encryption", false, securityNone, normalPassword, []string{
			"Encryption required first: set connection security to STARTTLS (587) or SSL/TLS (465)",
			"Encryption required: set SSL/TLS on port 995 (or STLS)",
		}, onlyPOP3("login deny user=ann@example.org method=POP3-USER reason=cleartext-credential")},
		{"encrypted password, no encryption", false, securityNone, encryptedPassword, []string{
			"Encryption required first", "Encryption required: set SSL/TLS on port 995",
		}, onlyPOP3("login deny", "reason=cleartext-credential")},
		{"encrypted password with TLS", true, securityTLS, encryptedPassword, []string{"Mechanism not offered: SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"}, onlyPOP3("login deny", "method=CRAM-MD5 reason=not-offered")},
		{"encrypted password with STARTTLS", false, securitySTARTTLS, encryptedPassword, []string{"Mechanism not offered: SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"}, onlyPOP3("login deny", "method=CRAM-MD5 reason=not-offered")},
	}
)

// TestThunderbird sets Thunderbird wrongly in each way of the specification, section 2.7, and then rightly.
func TestThunderbird(t *testing.T) {
	t.Parallel()
	tool.Need(t, "thunderbird")
	const user, password = "ann@example.org", "secret"
	s := prepare(t, "[limits]\nexempt = [\"127.0.0.0/8\"]\nfirst_byte_timeout = \"5s\"\n")
	s.account(user, password)
	s.run()
	b := s.thunderbird(t, user, password)
	for _, w := range wrongsOfAll {
		b.setWrongly(w)
	}
	b.setRightly(user, "with TLS", b.implicit, securityTLS)
	b.setRightly(user, "with STARTTLS", b.starttls, securitySTARTTLS)
	b.expectHints(user)
	for _, p := range slices.Concat(b.starttls[:], b.implicit[:]) {
		if p.shows(password) {
			t.Errorf("the password crossed in clear:\n%s", p.toServer.String())
		}
	}
}

func (b *thunderbird) setWrongly(w wrong) {
	b.t.Helper()
	doors := b.starttls
	if w.implicit {
		doors = b.implicit
	}
	logged := len(b.s.log.String())
	got := b.tries(w.told, thunderbirdRow{"imap", doors[0].port, w.security, w.method, ""},
		thunderbirdRow{"pop3", doors[1].port, w.security, w.method, ""},
		thunderbirdRow{"smtp", doors[2].port, w.security, w.method, w.name})
	for i, r := range got.Results {
		if r.Status == "ok" {
			b.t.Errorf("%s: row %d worked: %+v", w.name, i, r)
		}
		if w.logged[i] != nil {
			b.s.awaitLineAfter(logged, append([]string{"svc=" + []string{"imap", "pop3", "submission"}[i]}, w.logged[i]...)...)
		}
	}
	if len(got.Told) < 2 { // of three failures; some are told without words of the server
		b.t.Errorf("%s: the person was told %q", w.name, got.Told)
	}
	if told := b.s.log.String()[logged:]; strings.Contains(told, "login ok") {
		b.t.Errorf("%s: a login succeeded:\n%s", w.name, told)
	}
}

func (b *thunderbird) setRightly(user, subject string, doors [3]*tap, security int) {
	b.t.Helper()
	if got := b.tries(nil, thunderbirdRow{"smtp", doors[2].port, security, normalPassword, subject}); got.Results[0].Status != "ok" {
		b.t.Fatalf("%s: %+v", subject, got)
	}
	b.s.waitFor(b.t, user, subject)
	got := b.tries(nil, thunderbirdRow{"imap", doors[0].port, security, normalPassword, ""}, thunderbirdRow{"pop3", doors[1].port, security, normalPassword, ""})
	for i, r := range got.Results {
		var text string
		for _, m := range r.Messages {
			if m.Subject == subject {
				text = strings.ReplaceAll(m.Text, "\r\n", "\n")
			}
		}
		if !strings.Contains(text, "\nCandor-Transport: v=1;") || !strings.HasSuffix(text, "\n\nHello\n") {
			b.t.Errorf("%s: row %d has read %+v", subject, i, r)
		}
	}
	if r := got.Results[0]; len(r.Messages) > 0 && r.Messages[0].Keywords != "$transportencrypted" {
		b.t.Errorf("%s: the tags are %q, which name the state of the message", subject, r.Messages[0].Keywords)
	}
}

// expectHints compares what the administrator is shown with what was done.
func (b *thunderbird) expectHints(user string) {
	b.t.Helper()
	type use struct{ Account, Svc, Program, Method string }
	var seen struct {
		WrongSettings []struct {
			Seen, SNI, Words string
			Port             int `json:"lport"`
			Times            int
			Accounts         []string
		} `json:"wrong_settings"`
		Programs []use
	}
	if err := json.Unmarshal([]byte(b.s.candor("", "--config", b.s.config, "--json", "clients")), &seen); err != nil {
		b.t.Fatal(err)
	}
	want := map[string]int{}
	for port, implicit := range map[int]int{b.s.imap: 993, b.s.pop3: 995, b.s.submission: 465} {
		want[fmt.Sprintf("Your program is set to SSL/TLS on port %d; that port expects STARTTLS. Use port %d and keep SSL/TLS.", port, implicit)] = 1
	}
	for _, port := range []int{b.s.imaps, b.s.pop3s, b.s.submissions} {
		want[fmt.Sprintf("Your program is set to STARTTLS or none on port %d; that port expects SSL/TLS from the start. Choose SSL/TLS.", port)] = 2
	}
	want[fmt.Sprintf("Your program tries to log in without encryption on port %d. Set *Connection security* to *SSL/TLS*, port 995.", b.s.pop3)] = 2
	for _, h := range seen.WrongSettings {
		if want[h.Words] != h.Times || !slices.Equal(h.Accounts, []string{user}) {
			b.t.Errorf("candor clients: %+v, want %d times of %s", h, want[h.Words], user)
		}
		delete(want, h.Words)
	}
	if len(want) > 0 {
		b.t.Errorf("candor clients lacks %v", want)
	}
	for _, service := range []string{"imap", "pop3", "submission"} {
		if p := (use{user, service, "Thunderbird", "PLAIN"}); !slices.Contains(seen.Programs, p) {
			b.t.Errorf("candor clients lacks %+v: %+v", p, seen.Programs)
		}
	}
}

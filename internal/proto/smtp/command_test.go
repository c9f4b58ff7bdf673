package smtp

import (
	"reflect"
	"strings"
	"testing"

	"candor/internal/mail"
)

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func parse(line string) (Command, error) {
	l, err := ParseLine([]byte(line))
	if err != nil {
		return nil, err
	}
	return l.Command()
}

func TestCommand(t *testing.T) {
	ann := address(t, "ann@example.org")
	path := mail.ReversePath{Address: ann}
	for name, c := range map[string]struct {
		line string
		want Command
	}{
		"ehlo":                 {"EHLO client.example", Ehlo{"client.example"}},
		"ehlo literal":         {"ehlo [192.0.2.1]", Ehlo{"[192.0.2.1]"}},
		"ehlo odd name":        {"EHLO my_laptop", Ehlo{"my_laptop"}},
		"helo":                 {"HeLo x", Helo{"x"}},
		"trailing spaces":      {"QUIT  ", Quit{}},
		"mail":                 {"MAIL FROM:<ann@example.org>", Mail{Path: path}},
		"mail, space":          {"MAIL FROM: <ann@example.org>", Mail{Path: path}},
		"mail, lower case":     {"mail from:<ann@example.org>", Mail{Path: path}},
		"mail, null":           {"MAIL FROM:<>", Mail{}},
		"mail, null, size":     {"MAIL FROM:<> SIZE=7", Mail{Size: 7}},
		"mail, route":          {"MAIL FROM:<@a.example,@b.example:ann@example.org>", Mail{Path: path}},
		"mail, parameters":     {"MAIL FROM:<ann@example.org> SIZE=100 body=8bitmime SMTPUTF8", Mail{Path: path, Size: 100, Body: EightBit, SMTPUTF8: true}},
		"mail, requiretls":     {"MAIL FROM:<ann@example.org> REQUIRETLS", Mail{Path: path, RequireTLS: true}},
		"mail, huge size":      {"MAIL FROM:<> SIZE=99999999999999999999", Mail{Size: 1<<63 - 1}},
		"mail, auth":           {"MAIL FROM:<> AUTH=ann+40example.org", Mail{Auth: &path}},
		"mail, auth, nobody":   {"MAIL FROM:<> AUTH=<>", Mail{Auth: &mail.ReversePath{}}},
		"mail, other":          {"MAIL FROM:<> RET=HDRS envid=x", Mail{Other: []Parameter{{"RET", "HDRS"}, {"ENVID", "x"}}}},
		"mail, UTF-8":          {"MAIL FROM:<jörg@example.org> SMTPUTF8", Mail{Path: mail.ReversePath{Address: address(t, "jörg@example.org")}, NonASCII: true, SMTPUTF8: true}},
		"mail, U-label":        {"MAIL FROM:<a@bücher.example>", Mail{Path: mail.ReversePath{Address: address(t, "a@xn--bcher-kva.example")}, NonASCII: true}},
		"rcpt":                 {"RCPT TO:<ann@example.org>", Rcpt{Path: ann}},
		"rcpt, postmaster":     {"RCPT TO:<Postmaster>", Rcpt{Path: mail.Address{Local: "Postmaster"}}},
		"rcpt, quoted":         {`RCPT TO:<"a>b"@example.org>`, Rcpt{Path: address(t, `"a>b"@example.org`)}},
		"rcpt, escaped quote":  {`RCPT TO:<"a\">b"@example.org>`, Rcpt{Path: address(t, `"a\">b"@example.org`)}},
		"rcpt, literal":        {"RCPT TO:<ann@[IPv6:2001:db8::1]>", Rcpt{Path: address(t, "ann@[IPv6:2001:db8::1]")}},
		"rcpt, other":          {"RCPT TO:<ann@example.org> NOTIFY=NEVER", Rcpt{Path: ann, Other: []Parameter{{"NOTIFY", "NEVER"}}}},
		"data":                 {"DATA", Data{}},
		"bdat":                 {"BDAT 0", Bdat{}},
		"bdat last":            {"bdat 100 last", Bdat{100, true}},
		"rset":                 {"RSET", Rset{}},
		"noop":                 {"NOOP", Noop{}},
		"noop, text":           {"NOOP hello there", Noop{"hello there"}},
		"vrfy":                 {"VRFY ann", Vrfy{"ann"}},
		"expn":                 {"EXPN staff", Expn{"staff"}},
		"help":                 {"HELP", Help{}},
		"starttls":             {"STARTTLS", StartTLS{}},
		"auth":                 {"AUTH login", Auth{"LOGIN", ""}},
		"auth, initial":        {"AUTH PLAIN AGFubgBwdw==", Auth{"PLAIN", "AGFubgBwdw=="}},
		"auth, empty response": {"AUTH EXTERNAL =", Auth{"EXTERNAL", "="}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse(c.line + "\r\n")
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%q: got %#v, %v; want %#v", c.line, got, err, c.want)
			}
		})
	}
}

func TestBadCommand(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		code int
	}{
		"empty":               {"\r\n", 500},
		"space first":         {" EHLO x\r\n", 500},
		"unknown":             {"XYZZY\r\n", 500},
		"bare LF":             {"NOOP\n", 500},
		"bare CR":             {"NOOP\rQUIT\r\n", 500},
		"NUL":                 {"NOOP \x00\r\n", 500},
		"tab":                 {"MAIL\tFROM:<>\r\n", 500},
		"not UTF-8":           {"MAIL FROM:<\xff@example.org>\r\n", 500},
		"ehlo, no name":       {"EHLO\r\n", 501},
		"ehlo, two names":     {"EHLO a b\r\n", 501},
		"ehlo, long":          {"EHLO " + strings.Repeat("a", 256) + "\r\n", 501},
		"mail, nothing":       {"MAIL\r\n", 501},
		"mail, no path":       {"MAIL FROM:\r\n", 501},
		"mail, no brackets":   {"MAIL FROM:ann@example.org\r\n", 501},
		"mail, open":          {"MAIL FROM:<ann@example.org\r\n", 501},
		"mail, no domain":     {"MAIL FROM:<ann>\r\n", 501},
		"mail, two ats":       {"MAIL FROM:<ann@bob@example.org>\r\n", 501},
		"mail, glued":         {"MAIL FROM:<ann@example.org>SIZE=1\r\n", 501},
		"mail, size":          {"MAIL FROM:<> SIZE=-1\r\n", 501},
		"mail, size empty":    {"MAIL FROM:<> SIZE=\r\n", 501},
		"mail, size none":     {"MAIL FROM:<> SIZE\r\n", 501},
		"mail, body":          {"MAIL FROM:<> BODY=BINARYMIME\r\n", 501},
		"mail, smtputf8=":     {"MAIL FROM:<> SMTPUTF8=x\r\n", 501},
		"mail, twice":         {"MAIL FROM:<> SIZE=1 SIZE=2\r\n", 501},
		"mail, auth":          {"MAIL FROM:<> AUTH=+4\r\n", 501},
		"mail, keyword":       {"MAIL FROM:<> -X=1\r\n", 501},
		"mail, route":         {"MAIL FROM:<@a,b:ann@example.org>\r\n", 501},
		"rcpt, null":          {"RCPT TO:<>\r\n", 501},
		"rcpt, from":          {"RCPT FROM:<ann@example.org>\r\n", 501},
		"rcpt, local long":    {"RCPT TO:<" + strings.Repeat("a", 65) + "@example.org>\r\n", 501},
		"rcpt, dots":          {"RCPT TO:<a..b@example.org>\r\n", 501},
		"rcpt, literal":       {"RCPT TO:<a@[1.2.3]>\r\n", 501},
		"data, argument":      {"DATA now\r\n", 501},
		"bdat, nothing":       {"BDAT\r\n", 501},
		"bdat, negative":      {"BDAT -1\r\n", 501},
		"bdat, sign":          {"BDAT +1\r\n", 501},
		"bdat, hex":           {"BDAT 0x10\r\n", 501},
		"bdat, long":          {"BDAT 123456789012345678901\r\n", 501},
		"bdat, word":          {"BDAT 1 FIRST\r\n", 501},
		"rset, argument":      {"RSET x\r\n", 501},
		"quit, argument":      {"QUIT x\r\n", 501},
		"starttls, argument":  {"STARTTLS now\r\n", 501},
		"vrfy, nothing":       {"VRFY\r\n", 501},
		"expn, nothing":       {"EXPN\r\n", 501},
		"auth, nothing":       {"AUTH\r\n", 501},
		"auth, odd name":      {"AUTH PL!IN\r\n", 501},
		"auth, two responses": {"AUTH PLAIN AA== BB==\r\n", 501},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse(c.line)
			if err == nil {
				t.Fatalf("%q: got %#v, want an error", c.line, got)
			}
			if r := ReplyFor(err); r.Code != c.code || r.Status.Class != 5 {
				t.Errorf("%q: got %s, want %d", c.line, r, c.code)
			}
		})
	}
}

func FuzzCommand(f *testing.F) {
	for _, s := range []string{
		"EHLO [192.0.2.1]", "MAIL FROM:<@a.example:ann@example.org> SIZE=1 BODY=8BITMIME SMTPUTF8 AUTH=<> X=y", "MAIL FROM:<> AUTH=a+2Bb@c.example REQUIRETLS",
		`RCPT TO:<"a\">b"@example.org> NOTIFY=NEVER`, "RCPT TO:<postmaster>", "BDAT 5 LAST", "AUTH PLAIN AGEAYg==", "NOOP x", "STARTTLS",
	} {
		f.Add(s + "\r\n")
	}
	f.Fuzz(func(t *testing.T, line string) {
		cmd, err := parse(line)
		if err != nil {
			if r := ReplyFor(err); r.Class() != 5 {
				t.Fatalf("%q: %v is answered %s", line, err, r)
			}
			return
		}
		again, err := parse(cmd.String() + "\r\n")
		if err != nil {
			t.Fatalf("%q was read as %#v, whose text %q is not: %v", line, cmd, cmd, err)
		}
		// What was written with U-labels is A-labels now, which need no SMTPUTF8.
		if !reflect.DeepEqual(asciiForm(cmd), asciiForm(again)) {
			t.Fatalf("%q was read as %#v, and its text %q as %#v", line, cmd, cmd, again)
		}
	})
}

func asciiForm(c Command) Command {
	switch c := c.(type) {
	case Mail:
		c.NonASCII = false
		return c
	case Rcpt:
		c.NonASCII = false
		return c
	}
	return c
}

package interop

import (
	"fmt"
	"testing"

	"candor/internal/mailtest/tool"
)

// pythonScript sends with smtplib over 587 and 465 and reads back with imaplib and poplib.
const pythonScript = `
import imaplib, poplib, smtplib, ssl, sys, time
host, cert, submission, submissions, imap, imaps, pop3, pop3s = sys.argv[1:3] + [int(p) for p in sys.argv[3:]]
context = ssl.create_default_context(cafile=cert)
context.check_hostname = False

def send(s, subject):
    s.login("ann@example.org", "secret")
    s.sendmail("ann@example.org", ["bob@example.org"], "From: ann@example.org\r\nTo: bob@example.org\r\nSubject: %s\r\n\r\nline\r\n.dot\r\n" % subject)
    s.quit()

s = smtplib.SMTP(host, submission)
assert not s.ehlo() or not s.has_extn("auth"), "AUTH before TLS"
s.starttls(context=context)
send(s, "one")
send(smtplib.SMTP_SSL(host, submissions, context=context), "two")

for m in (imaplib.IMAP4_SSL(host, imaps, ssl_context=context), imaplib.IMAP4(host, imap)):
    if not isinstance(m, imaplib.IMAP4_SSL):
        try:
            m.login("bob@example.org", "wrong: else the owner would be told by mail")
            raise SystemExit("login before TLS")
        except imaplib.IMAP4.error as e:
            assert "PRIVACYREQUIRED" in str(e), e
        m.starttls(context)
    m.login("bob@example.org", "secret")
    for _ in range(100):
        typ, data = m.select("INBOX")
        if int(data[0]) == 2:
            break
        time.sleep(0.1)
    assert data == [b"2"], data
    typ, data = m.search(None, "SUBJECT", "two")
    assert data[0].split(), data
    typ, data = m.fetch(data[0], "(FLAGS BODY.PEEK[])")
    assert b"\r\n\r\nline\r\n.dot\r\n" in data[0][1], data
    typ, data = m.store("1", "+FLAGS", r"(\Flagged)")
    assert b"\\Flagged" in data[0], data
    typ, data = m.append("Archive", r"(\Seen)", None, b"Subject: appended\r\n\r\nx\r\n")
    assert typ == "OK" and b"APPENDUID" in data[0], data
    typ, data = m.list()
    assert any(b"\\Sent" in l for l in data), data
    m.create("A/B"); m.rename("A/B", "A/C"); m.delete("A/C"); m.delete("A")
    typ, data = m.copy("1", "Trash")
    assert typ == "OK", data
    m.logout()

for p in (poplib.POP3_SSL(host, pop3s, context=context), poplib.POP3(host, pop3)):
    if not isinstance(p, poplib.POP3_SSL):
        try:
            p.user("bob@example.org")
            raise SystemExit("USER before TLS")
        except poplib.error_proto as e:
            assert b"SYS/PERM" in e.args[0], e
        p.stls(context)
    p.user("bob@example.org")
    p.pass_("secret")
    assert p.stat()[0] == 2, p.stat()
    assert len(set(p.uidl()[1])) == 2
    assert b".dot" in p.retr(1)[1], p.retr(1)
    assert p.top(1, 0)[1][-1] == b""
    p.quit()
print("done")
`

// TestPython uses smtplib, imaplib and poplib.
func TestPython(t *testing.T) {
	t.Parallel()
	python := tool.Need(t, "python3")
	s := start(t)
	args := []string{write(t, "script.py", pythonScript), "127.0.0.1", s.cert}
	for _, p := range []int{s.submission, s.submissions, s.imap, s.imaps, s.pop3, s.pop3s} {
		args = append(args, fmt.Sprint(p))
	}
	if out := s.must("", python, args...); out != "done\n" {
		t.Errorf("got %q", out)
	}
}

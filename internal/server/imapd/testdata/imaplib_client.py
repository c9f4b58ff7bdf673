"""A session of Python's imaplib with the server on port argv[1], with STARTTLS."""
import imaplib
import ssl
import sys

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


m = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]), timeout=20)
assert "LOGINDISABLED" in m.capabilities, m.capabilities
ok(m.starttls(context))
assert "IDLE" in m.capabilities, m.capabilities
ok(m.login("ann@example.org", "secret"))
ok(m.create("Work/Notes"))
ok(m.subscribe("Work/Notes"))
assert any(b"Work/Notes" in line for line in ok(m.list()))
assert any(b"Work/Notes" in line for line in ok(m.lsub()))
body = b"From: bob@example.org\r\nSubject: hello\r\n\r\n" + b"0123456789abcdef\r\n" * 1000
for i in range(5):
    ok(m.append("Work/Notes", r"(\Flagged)", imaplib.Time2Internaldate(86400.0 * 365 * 30), body))
assert ok(m.select("Work/Notes")) == [b"5"]
data = ok(m.fetch("1", "(UID BODY.PEEK[])"))
assert data[0][1] == body, data[0][0]
data = ok(m.uid("FETCH", "2:3", "(FLAGS ENVELOPE BODYSTRUCTURE)"))
assert len(data) == 2 and b'"hello"' in data[0], data
assert ok(m.search(None, "FROM", '"bob"', "FLAGGED")) == [b"1 2 3 4 5"]
assert ok(m.search("UTF-8", "TEXT", '"9abc"')) == [b"1 2 3 4 5"]
ok(m.store("1:2", "+FLAGS", r"(\Deleted custom)"))
ok(m.copy("3", "Archive"))
gone = ok(m.expunge())
assert len(gone) == 2, gone
ok(m.noop())
assert ok(m.uid("SEARCH", "ALL")) == [b"3 4 5"]
status = ok(m.status("Work/Notes", "(MESSAGES UNSEEN)"))
assert b"MESSAGES 3" in status[0], status

# A client that comes back and enables QRESYNC learns what has happened meanwhile.
assert "QRESYNC" in m.capabilities, m.capabilities
_, (validity,) = m.response("UIDVALIDITY")
modseq = int(ok(m.status("Work/Notes", "(HIGHESTMODSEQ)"))[0].split(b"HIGHESTMODSEQ ")[1].rstrip(b")"))
ok(m.uid("STORE", "4", "+FLAGS", r"(\Deleted)"))
ok(m.uid("STORE", "5", "+FLAGS", r"(\Answered)"))
ok(m.uid("EXPUNGE", "4"))
ok(m.close())
ok(m.enable("QRESYNC"))
m.untagged_responses = {}
ok(m._simple_command("SELECT", "Work/Notes", f"(QRESYNC ({int(validity)} {modseq} 1:5))"))
m.state = "SELECTED"
assert m.response("VANISHED")[1] == [b"(EARLIER) 4"]
assert [line for line in m.response("FETCH")[1] if b"UID 5 " in line and b"Answered" in line]
ok(m.uid("STORE", "3", "+FLAGS.SILENT", r"(\Deleted)"))
ok(m.expunge())
assert m.response("VANISHED")[1] == [b"3"]
ok(m.close())
ok(m.rename("Work/Notes", "Work/Old"))
ok(m.delete("Work/Old"))
assert m.select("Work/Old")[0] == "NO"
assert m.logout()[0] == "BYE"
print("done")

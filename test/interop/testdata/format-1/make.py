"""Fills a store with the candor given as first argument; see README.md."""
import imaplib, os, signal, smtplib, ssl, subprocess, sys, tarfile, time

candor, out = sys.argv[1], sys.argv[2]
data = os.path.join(out, "data")
config = os.path.join(data, "candor.toml")


def run(*args, stdin=""):
    return subprocess.run([candor, *args], input=stdin, text=True, check=True, capture_output=True).stdout


run("quickstart", "--hostname", "mail.example.org", "--domain", "example.org", "--data", data, "--ports", "high")
with open(config, "a") as f:
    f.write('\n[outbound]\nsmarthost = "127.0.0.1:1"\n')  # nobody listens there: outbound mail waits
for who in ("ann", "bob", "gone"):
    run("account", "add", f"{who}@example.org", "--password-stdin", "--config", config, stdin="secret\n")
run("domain", "add", "example.net", "--config", config)
run("alias", "add", "info@example.net", "ann@example.org", "bob@example.org", "--config", config)
run("account", "remove", "gone@example.org", "--config", config)

server = subprocess.Popen([candor, "serve", "--config", config], stderr=subprocess.PIPE, text=True)
while server.stderr.readline().strip() != "ready":
    pass

tls = ssl.create_default_context()
tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE


def text(n, lines=3):
    body = "".join(f"line {i} of message {n}\r\n" for i in range(lines))
    return (f"From: Eve <eve@elsewhere.example>\r\nTo: ann@example.org\r\nSubject: message {n}\r\n"
            f"Message-ID: <{n}@elsewhere.example>\r\n\r\n{body}")


with smtplib.SMTP("127.0.0.1", 2525) as s:
    for n in range(1, 6):
        s.sendmail("eve@elsewhere.example", ["ann@example.org"], text(n))
    s.sendmail("eve@elsewhere.example", ["info@example.net"], text(6, 20000))  # one large body, two copies

i = imaplib.IMAP4_SSL("127.0.0.1", 2993, ssl_context=tls)
i.login("ann@example.org", "secret")
deadline = time.time() + 20
while int(i.select("INBOX")[1][0]) < 6 and time.time() < deadline:
    time.sleep(0.1)
i.store("1", "+FLAGS", r"(\Seen \Answered)")
i.store("2", "+FLAGS", r"(\Flagged $Forwarded project-x)")
i.create("Work")
i.create("Work/2025")
i.create('"Entw&APw-rfe"')
i.subscribe("Work/2025")
i.append("Work/2025", r"(\Seen \Draft)", '"05-Mar-2025 10:00:00 +0100"', text(7).encode())
i.append("Work/2025", "", '"06-Mar-2025 10:00:00 +0100"', text(8, 5000).encode())
i.copy("2", "Archive")
i.create("Dropped")
i.copy("1:3", "Dropped")
i.delete("Dropped")
i.store("3", "+FLAGS", r"(\Deleted)")
i.expunge()
i.logout()

with smtplib.SMTP_SSL("127.0.0.1", 2465, context=tls) as s:
    s.login("bob@example.org", "secret")
    s.sendmail("bob@example.org", ["carl@remote.example", "dora@other.example"],
               text(9).replace("eve@elsewhere.example>\r\nTo", "bob@example.org>\r\nTo"))
deadline = time.time() + 20
while run("queue", "list", "--json", "--config", config).count('"attempts":1') < 2 and time.time() < deadline:
    time.sleep(0.1)

server.send_signal(signal.SIGTERM)
server.wait(30)
with tarfile.open(os.path.join(out, "store.tar.gz"), "w:gz") as t:
    t.add(os.path.join(data, "store"), "store")

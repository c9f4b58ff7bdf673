package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"candor/internal/server/listen"
)

// TestCFG: every row of the specification, section 2.2, is refused with file, line and rule, and what the text proposes
// is accepted. Rows whose subject is not built yet have nothing that would be accepted.
func TestCFG(t *testing.T) {
	listener := func(service, address, tls, more string) string {
		return minimal + "[[listener]]\nservice = \"" + service + "\"\naddress = \"" + address + "\"\ntls = \"" + tls + "\"\n" + more
	}
	day := time.Now().UTC().AddDate(0, 0, 30).Format(time.DateOnly)
	for rule, c := range map[string]struct {
		refused string
		line    int
		want    string
		mended  string
	}{
		"CFG-01": {listener("imap", ":143", "opportunistic", ""), 9, `use tls = "required"`, listener("imap", ":143", "required", "")},
		"CFG-02": {listener("imap", ":143", "none", ""), 9, `use tls = "required"`, listener("imap", ":143", "required", "")},
		"CFG-03": {
			listener("imap", ":2143", "required", "[[listener]]\nservice = \"imap\"\naddress = \":2143\"\ntls = \"implicit\"\n"), 12,
			"cannot share a port: in one the client speaks first in TLS, in the other the server speaks first in clear text. Give one of them another port",
			listener("imap", ":2143", "required", "[[listener]]\nservice = \"imap\"\naddress = \":2144\"\ntls = \"implicit\"\n"),
		},
		"CFG-04": {listener("imap", ":993", "required", ""), 9, `use tls = "implicit", or port 143 for STARTTLS`, listener("imap", ":993", "implicit", "")},
		"CFG-05": {listener("submission", ":25", "required", ""), 7, `use service = "submission" on port 465 with tls = "implicit"`, listener("submission", ":465", "implicit", "")},
		"CFG-06": {minimal + "min_version = \"1.1\"\n", 6, "remove min_version", minimal},
		"CFG-08": {listener("smtp", ":25", "required", ""), 9, `add reason = "…"`, listener("smtp", ":25", "required", "reason = \"a closed group\"\n")},
		"CFG-09": {minimal + "[submission]\nrelay_networks = [\"192.0.2.0/20\"]\n", 7, "networks of at most /24", minimal + "[submission]\nrelay_networks = [\"192.0.2.0/24\"]\n"},
		"CFG-10": {minimal + "[auth]\nremove = [\"DIGEST-MD5\"]\n", 7, "use some of SCRAM-SHA-256-PLUS, SCRAM-SHA-256, OAUTHBEARER, XOAUTH2, PLAIN, LOGIN, IMAP-LOGIN, POP3-USER", minimal + "[auth]\nremove = [\"login\", \"IMAP-LOGIN\"]\n"},
		"CFG-11": {minimal + "[legacy_auth.panel]\nmechanism = \"CRAM-MD5\"\n", 6, "", ""},
		"CFG-12": {listener("imap", ":143", "required", "proxy_from = [\"0.0.0.0/0\"]\n"), 10, "", listener("imap", ":143", "required", "")},
		"CFG-13": {minimal + "[destination.\"example.net\"]\nlevel = \"may\"\n", 6, `add reason = "…", owner = "…" and until, or use level = "auto"`, ""},
		"CFG-14": {minimal + "[dane]\npublish = true\nrecords = 1\n", 6, "set records = 2", ""},
		"CFG-15": {minimal + "[dns]\ntrust_ad = true\n", 7, "remove trust_ad", minimal},
		"CFG-02 with an exception": {
			listener("imap", ":2143", "none", "name = \"old\"\n[insecure.x]\nlistener = \"old\"\nnetworks = [\"10.1.2.7\"]\nallow = \"clear-auth\"\nreason = \"r\"\nowner = \"o\"\n"), 11,
			"until is missing: add the last day on which it holds",
			listener("imap", ":2143", "none", "name = \"old\"\n[insecure.x]\nlistener = \"old\"\nnetworks = [\"10.1.2.7\"]\nallow = \"clear-auth\"\nreason = \"r\"\nowner = \"o\"\nuntil = "+day+"\n"),
		},
		"CFG-06 with an exception": {
			minimal + "suites = [\"TLS_RSA_WITH_AES_128_CBC_SHA\"]\n", 6, "",
			minimal + "[insecure.x]\nlistener = \"imap:993\"\nnetworks = [\"10.1.2.7\"]\nallow = \"tls1.0\"\nreason = \"r\"\nowner = \"o\"\nuntil = " + day + "\n",
		},
		"CFG-10 nothing left": {
			minimal + "[auth]\nremove = [\"PLAIN\", \"LOGIN\", \"SCRAM-SHA-256\", \"SCRAM-SHA-256-PLUS\"]\n", 7, "keep SCRAM-SHA-256 or PLAIN",
			minimal + "[auth]\nremove = [\"LOGIN\", \"SCRAM-SHA-256\", \"SCRAM-SHA-256-PLUS\", \"IMAP-LOGIN\", \"POP3-USER\"]\n",
		},
		"CFG-13 unknown level":   {minimal + "[destination.\"example.net\"]\nlevel = \"tls\"\n", 7, "use one of auto, dane, dane-only, encrypt, fingerprint, may, none, secure, verify", ""},
		"CFG-13 with no effect":  {minimal + "[destination.\"example.net\"]\nlevel = \"encrypt\"\n", 6, "not in this version", ""},
		"CFG-13 answered for":    {minimal + "[destination.\"example.net\"]\nlevel = \"may\"\nreason = \"r\"\nowner = \"o\"\nuntil = " + day + "\n", 6, "not in this version", ""},
		"CFG-13 no domain":       {minimal + "[destination.\"example net\"]\nlevel = \"auto\"\n", 6, "is not a domain", ""},
		"CFG-14 with no effect":  {minimal + "[dane]\npublish = true\nrecords = 2\n", 6, "not in this version", ""},
		"CFG-05 of an exception": {minimal + "[insecure.x]\nlistener = \"smtp:25\"\nnetworks = [\"10.1.2.7\"]\nallow = \"clear-auth\"\nreason = \"r\"\nowner = \"o\"\nuntil = " + day + "\n", 9, "nobody logs in", ""},
		"CFG-09 everyone":        {minimal + "[submission]\nrelay_networks = [\"::/0\"]\n", 7, "networks of at most /48", minimal + "[submission]\nrelay_networks = [\"2001:db8::/48\"]\n"},
		"CFG-04 implicit on 587": {listener("submission", ":587", "implicit", ""), 9, `use tls = "required"`, listener("submission", ":587", "required", "")},
		"CFG-04 implicit on 25":  {listener("smtp", ":25", "implicit", ""), 9, `use tls = "opportunistic"`, listener("smtp", ":25", "opportunistic", "")},
		"CFG-01 on submission":   {listener("submission", ":587", "opportunistic", ""), 9, `use tls = "required"`, listener("submission", ":587", "required", "")},
		"CFG-01 on 465":          {listener("submission", ":465", "opportunistic", ""), 9, `use tls = "implicit"`, listener("submission", ":465", "implicit", "")},
		"CFG-06 a number":        {minimal + "min_version = 1.2\n", 6, "remove min_version", minimal},
		"CFG-04 smtp on 465":     {listener("smtp", ":465", "implicit", ""), 7, "use port 25", listener("smtp", ":25", "opportunistic", "")},
		"CFG-04 http on 143":     {listener("http", ":143", "implicit", ""), 7, "use port 443", listener("http", ":443", "implicit", "")},
		"CFG-09 mapped":          {minimal + "[submission]\nrelay_networks = [\"::ffff:0.0.0.0/96\"]\n", 7, "networks of at most /24", minimal + "[submission]\nrelay_networks = [\"::ffff:192.0.2.0/120\"]\n"},
		"CFG-05 by auth":         {listener("smtp", ":25", "opportunistic", "auth = true\n"), 7, "nobody logs in on port 25", listener("smtp", ":25", "opportunistic", "")},
	} {
		t.Run(rule, func(t *testing.T) {
			_, err := parseConfig("f", []byte(c.refused))
			id, _, _ := strings.Cut(rule, " ")
			if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("f:%d: %s: ", c.line, id)) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant f:%d: %s: … %s", err, c.line, id, c.want)
			}
			if c.mended == "" {
				return
			}
			if _, err := parseConfig("f", []byte(c.mended)); err != nil {
				t.Errorf("what it proposes is refused: %v", err)
			}
		})
	}
}

// TestCFG07: a certificate that does not fit its key is refused; one that fits is not.
func TestCFG07(t *testing.T) {
	dir := t.TempDir()
	if err := writeCertificate(dir, "mail.example.org", true); err != nil {
		t.Fatal(err)
	}
	pair := listen.Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	if _, _, err := listen.LoadCertificates("mail.example.org", []listen.Pair{pair}); err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pair.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := listen.LoadCertificates("mail.example.org", []listen.Pair{pair}); err == nil || !strings.HasPrefix(err.Error(), "CFG-07: certificate "+pair.Cert) {
		t.Errorf("got %v", err)
	}
}

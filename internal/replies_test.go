package internal_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// replies are those of the specification, section 2.5, each with a transcript that shows it, octet by octet. come
// with ManageSieve; R-13 and the failing backend of are tables of the doors' own tests.
var replies = []struct{ id, file, line string }{
	{"R-01", "smtpd/testdata/submission/before-tls-r01.txt", "530 5.7.0 Encryption required first: set connection security to STARTTLS (587) or SSL/TLS (465)"},
	{"R-02", "smtpd/testdata/submission/auth-in-clear-r02.txt", "538 5.7.11 Not accepted without encryption. If a password was just sent, it may have been read by others. See https://mx.example.org/"},
	{"R-03", "smtpd/testdata/mx/auth-r03.txt", "502 5.5.1 No login on this port: use 465 (SSL/TLS) or 587 (STARTTLS)"},
	{"R-04", "smtpd/testdata/mx/starttls-r04-r06.txt", "220 2.0.0 Ready to start TLS"},
	{"R-04", "smtpd/testdata/submission/starttls-forgets.txt", "220 2.0.0 Ready to start TLS"},
	{"R-05", "smtpd/testdata/mx/starttls-r05.txt", "501 5.5.4 STARTTLS takes no parameter"},
	{"R-05", "imapd/testdata/before-tls.txt", "a6 BAD STARTTLS takes no parameter"},
	{"R-05", "pop3d/testdata/stls.txt", "-ERR STLS takes no parameter"},
	{"R-06", "smtpd/testdata/mx/starttls-r04-r06.txt", "503 5.5.1 TLS is already active"},
	{"R-07", "smtpd/testdata/submission/no-certificate-r07.txt", "454 4.7.0 TLS not available now"},
	{"R-07", "imapd/testdata/no-certificate-r07.txt", "a2 NO [UNAVAILABLE] TLS not available now"},
	{"R-07", "pop3d/testdata/no-certificate-r07.txt", "-ERR [SYS/TEMP] TLS not available now"},
	{"R-08", "smtpd/testdata/mx/starttls-r08.txt", "554 5.5.1 Data sent before TLS was ready; closing"},
	{"R-08", "smtpd/testdata/submission/starttls-r08.txt", "554 5.5.1 Data sent before TLS was ready; closing"},
	{"R-09", "smtpd/testdata/mx/required-r09.txt", "530 5.7.0 Must issue a STARTTLS command first"},
	{"R-10", "smtpd/testdata/mx/requiretls-r10.txt", "523 5.7.10 REQUIRETLS needs TLS"},
	{"R-11", "smtpd/testdata/submission/auth-wrong-r11.txt", "535 5.7.8 Authentication failed"},
	{"R-12", "smtpd/testdata/submission/auth-mechanism-r12.txt", "504 5.5.4 Mechanism not offered: SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"},
	{"R-14", "smtpd/testdata/submission/auth-line-r14.txt", "500 5.5.6 Authentication exchange line too long"},
	{"R-15", "smtpd/testdata/submission/auth-wrong-r11.txt", "421 4.7.0 Too many failed logins; try later"},
	{"R-20", "imapd/testdata/before-tls.txt", "a2 NO [PRIVACYREQUIRED] Not accepted without encryption: set SSL/TLS on port 993 (or STARTTLS). A password just sent may have been read by others"},
	{"R-21", "imapd/testdata/before-tls.txt", "a5 NO [PRIVACYREQUIRED] TLS required first"},
	{"R-22", "imapd/testdata/before-tls.txt", "a9 OK Begin TLS negotiation now"},
	{"R-23", "imapd/testdata/before-tls.txt", "b2 BAD TLS already active"},
	{"R-23", "imapd/testdata/before-tls.txt", "b4 BAD Not allowed after login"},
	{"R-24", "imapd/testdata/starttls-injection.txt", "* BYE Data sent before TLS was ready"},
	{"R-25", "imapd/testdata/login-tries-r25.txt", "a1 NO [AUTHENTICATIONFAILED] Authentication failed"},
	{"R-25", "imapd/testdata/login-tries-r25.txt", "* BYE Too many failed logins"},
	{"R-26", "imapd/testdata/authenticate.txt", "a NO [CANNOT] Mechanism not offered"},
	{"R-30", "pop3d/testdata/clear-login.txt", "-ERR [SYS/PERM] Encryption required: set SSL/TLS on port 995 (or STLS). A password just sent may have been read by others"},
	{"R-31", "pop3d/testdata/stls.txt", "+OK Begin TLS negotiation"},
	{"R-31", "pop3d/testdata/stls.txt", "-ERR TLS already active"},
	{"R-31", "pop3d/testdata/stls.txt", "-ERR Not allowed after login"},
	{"R-32", "pop3d/testdata/stls-injection.txt", "-ERR [SYS/PERM] Data sent before TLS was ready"},
	{"R-33", "pop3d/testdata/login-tries.txt", "-ERR [AUTH] Authentication failed"},
	{"R-50", "smtpd/testdata/submission/plaintext-r50.txt", "421 4.7.0 mx.example.org This port needs SSL/TLS from the start. Set connection security to SSL/TLS, not STARTTLS or none"},
	{"R-51", "imapd/testdata/plaintext-r51.txt", "* BYE This port needs SSL/TLS from the start. Set connection security to SSL/TLS, not STARTTLS or none"},
	{"R-52", "pop3d/testdata/implicit-clear-text.txt", "-ERR [SYS/PERM] This port needs SSL/TLS from the start. Set connection security to SSL/TLS"},
}

// TestReplies: every reply has a transcript with exactly its line, which is ASCII and at most 200 octets long.
func TestReplies(t *testing.T) {
	for _, r := range replies {
		text, err := os.ReadFile("server/" + r.file)
		if err != nil {
			t.Errorf("%s: %v", r.id, err)
			continue
		}
		if !strings.Contains(string(text), "\nS: "+r.line+"\n") {
			t.Errorf("%s: %s has no line\nS: %s", r.id, r.file, r.line)
		}
		if len(r.line) > 200 || regexp.MustCompile(`[^ -~]`).MatchString(r.line) {
			t.Errorf("%s is not 200 octets of ASCII", r.id)
		}
	}
}

// proofs are where the transcripts of the specification, section 9.4, and the attacks on the doors are played. T-6 comes with
// ManageSieve, T-24 is that of the relay, T-25 comes with import over IMAP.
var proofs = map[string]string{
	"T-1": "smtpd/testdata/submission/auth-in-clear-r02.txt", "T-2": "smtpd/testdata/submission/auth-in-clear-r02.txt",
	"T-3": "imapd/testdata/before-tls.txt", "T-4": "imapd/testdata/before-tls.txt", "T-5": "pop3d/testdata/clear-login.txt",
	"T-7": "smtpd/testdata/mx/auth-r03.txt", "T-8": "smtpd/testdata/mx/starttls-r08.txt", "T-9": "smtpd/testdata/mx/starttls-split.txt",
	"T-10": "smtpd/testdata/submission/starttls-forgets.txt", "T-11": "imapd/testdata/starttls-injection.txt",
	"T-12": "listen/wrongprotocol_test.go", "T-13": "smtpd/testdata/submission/plaintext-r50.txt", "T-14": "imapd/testdata/plaintext-r51.txt",
	"T-15": "smtpd/testdata/submission/tls-on-587.txt", "T-16": "listen/tls_test.go", "T-17": "listen/tls_test.go", "T-18": "listen/tls_test.go",
	"T-19": "listen/tls_test.go", "T-20": "smtpd/session_test.go", "T-21": "smtpd/session_test.go", "T-22": "smtpd/testdata/mx/requiretls-r10.txt",
	"T-23": "smtpd/testdata/mx/starttls-needs-ehlo.txt",
	"X-05": "../../cmd/candor/clear_test.go", "X-06": "listen/starttls_test.go", "X-49": "listen/wrongprotocol_test.go", "X-50": "listen/wrongprotocol_test.go",
}

// TestProofs: every transcript and attack is played where this table says, under its name.
func TestProofs(t *testing.T) {
	for id, file := range proofs {
		text, err := os.ReadFile("server/" + file)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		named := regexp.MustCompile(`(?m)^(?:#|//).*\b` + id + `\b`)
		if !named.Match(text) {
			t.Errorf("%s: %s does not name it", id, file)
		}
	}
}

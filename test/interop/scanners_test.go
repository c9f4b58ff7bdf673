package interop

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"candor/internal/mailtest/tool"
)

// door is a port as programs have to be told of it.
type door struct {
	name, starttls string // starttls is empty where TLS comes first
	port           int
}

func (s *server) tlsDoors() []door {
	return []door{
		{"25", "smtp", s.smtp},
		{"587", "smtp", s.submission},
		{"465", "", s.submissions},
		{"143", "imap", s.imap},
		{"993", "", s.imaps},
		{"110", "pop3", s.pop3},
		{"995", "", s.pop3s},
	}
}

// someDoors are one of each kind, and in the long form all.
func (s *server) someDoors() []door {
	all := s.tlsDoors()
	if soak() {
		return all
	}
	return []door{all[0], all[4]}
}

// accepted are findings of testssl.sh above LOW that say nothing of the server's TLS.
var accepted = map[string]string{
	"cert_revocation":     "quickstart's own certificate names no responder and no list; nobody could revoke it",
	"engine_problem":      "of testssl.sh itself: the openssl of Debian has no GOST",
	"cert_validityPeriod": "quickstart's own certificate lasts for ten years, since nobody renews it",
	"cert_chain_of_trust": "quickstart's own certificate is of no authority; a client is given it to trust",
}

// TestTestssl: testssl.sh has no finding above LOW. The short form looks at the versions of one port; the long one at
// everything, on every port.
func TestTestssl(t *testing.T) {
	t.Parallel()
	testssl := tool.Need(t, "testssl")
	s := start(t)
	doors, checks := s.tlsDoors(), []string(nil)
	if !soak() {
		doors, checks = doors[4:5], []string{"--protocols"}
	}
	for _, d := range doors {
		t.Run(d.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "findings.json")
			args := []string{"--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--nodns", "none", "--add-ca", s.cert, "--jsonfile", file}
			args = append(args, checks...)
			if d.starttls != "" {
				args = append(args, "-t", d.starttls)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
			defer cancel()
			out, _ := exec.CommandContext(ctx, testssl, append(args, fmt.Sprintf("%s:%d", hostname, d.port))...).CombinedOutput() // its exit code counts findings
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			var findings []struct{ ID, Severity, Finding string }
			if err := json.Unmarshal(text, &findings); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if len(findings) < 7 {
				t.Errorf("only %d findings\n%s", len(findings), out)
			}
			for _, f := range findings {
				switch f.Severity {
				case "OK", "INFO", "LOW", "DEBUG":
				default:
					if accepted[f.ID] == "" {
						t.Errorf("%s %s: %s", f.Severity, f.ID, f.Finding)
					}
				}
			}
		})
	}
}

// scan is what sslscan reports.
type scan struct {
	Protocols []struct {
		Type    string `xml:"type,attr"`
		Version string `xml:"version,attr"`
		Enabled int    `xml:"enabled,attr"`
	} `xml:"ssltest>protocol"`
	Ciphers []struct {
		Version  string `xml:"sslversion,attr"`
		Name     string `xml:"cipher,attr"`
		Bits     int    `xml:"bits,attr"`
		Strength string `xml:"strength,attr"`
	} `xml:"ssltest>cipher"`
	Groups []struct {
		Name string `xml:"name,attr"`
	} `xml:"ssltest>group"`
	Renegotiation struct {
		Supported int `xml:"supported,attr"`
		Secure    int `xml:"secure,attr"`
	} `xml:"ssltest>renegotiation"`
	Compression struct {
		Supported int `xml:"supported,attr"`
	} `xml:"ssltest>compression"`
	Heartbleed []struct {
		Vulnerable int `xml:"vulnerable,attr"`
	} `xml:"ssltest>heartbleed"`
}

// TestSslscan: sslscan finds TLS 1.2 and 1.3 with AEAD suites and forward secrecy on every port, and nothing else.
func TestSslscan(t *testing.T) {
	t.Parallel()
	sslscan := tool.Need(t, "sslscan")
	s := start(t)
	for _, d := range s.tlsDoors() {
		t.Run(d.name, func(t *testing.T) {
			args := []string{"--xml=-", "--sni-name=" + hostname, "--no-colour"}
			if d.starttls != "" {
				args = append(args, "--starttls-"+d.starttls)
			}
			out := s.must("", sslscan, append(args, fmt.Sprintf("127.0.0.1:%d", d.port))...)
			var got scan
			if err := xml.Unmarshal([]byte(out[strings.Index(out, "<?xml"):]), &got); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			enabled := map[string]bool{}
			for _, p := range got.Protocols {
				if p.Enabled == 1 {
					enabled[p.Type+" "+p.Version] = true
				}
			}
			if len(enabled) != 2 || !enabled["tls 1.2"] || !enabled["tls 1.3"] {
				t.Errorf("enabled: %v", enabled)
			}
			for _, c := range got.Ciphers {
				aead := strings.Contains(c.Name, "GCM") || strings.Contains(c.Name, "CHACHA20")
				if !aead || c.Version == "TLSv1.2" && !strings.HasPrefix(c.Name, "ECDHE-") || c.Bits < 128 {
					t.Errorf("suite %s %s", c.Version, c.Name)
				}
			}
			if len(got.Ciphers) < 6 || len(got.Groups) == 0 {
				t.Errorf("%d suites, %d groups\n%s", len(got.Ciphers), len(got.Groups), out)
			}
			for _, h := range got.Heartbleed {
				if h.Vulnerable != 0 {
					t.Error("vulnerable by heartbeat")
				}
			}
			if got.Compression.Supported != 0 || got.Renegotiation.Supported != 0 && got.Renegotiation.Secure == 0 {
				t.Errorf("compression %+v, renegotiation %+v", got.Compression, got.Renegotiation)
			}
		})
	}
}

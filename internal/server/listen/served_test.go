package listen

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"testing"

	"candor/internal/mail"
)

// TestServedCertificate: the peer of a connection carries the certificate that was shown to it, or that was when the
// session began that it resumes (specification, section 3.4); a login bound to the channel raises the state.
func TestServedCertificate(t *testing.T) {
	t.Parallel()
	tell := func(_ context.Context, c *Conn) {
		sum := sha256.Sum256(c.Peer().Certificate.Raw)
		c.WriteString(hex.EncodeToString(sum[:]) + "\n")
		if c.Bound(); c.Transport().State != mail.AuthenticatedBound || c.Peer().Transport.State != mail.AuthenticatedBound {
			t.Errorf("a bound connection is %s", c.Transport().State)
		}
	}
	ts := serve(t, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Implicit}}, Handlers: map[Service]Handler{IMAP: tell},
		Certificates: certificates(t,
			writePair(t, template(string(testHost)), ecdsaKey(t)), writePair(t, template("other.example.org"), ecdsaKey(t))),
	})
	var first *ecdsa.PublicKey
	for _, name := range []string{string(testHost), "other.example.org", "unknown.example.org", ""} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			config := clientTLS()
			config.ServerName, config.MaxVersion = name, version
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			for _, resumed := range []bool{false, true} {
				c := tls.Client(ts.dial(t, 0), config)
				got, err := bufio.NewReader(c).ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				cs := c.ConnectionState()
				sum := sha256.Sum256(cs.PeerCertificates[0].Raw)
				if want := hex.EncodeToString(sum[:]) + "\n"; got != want || cs.DidResume != resumed {
					t.Errorf("%q, version %x, resumed %t: got %q, want %q", name, version, cs.DidResume, got, want)
				}
				key := cs.PeerCertificates[0].PublicKey.(*ecdsa.PublicKey)
				if first == nil {
					first = key
				}
				if key.Equal(first) == (name == "other.example.org") {
					t.Errorf("%q was shown another's certificate", name)
				}
			}
		}
	}
}

// anyName keeps one session, and has it for whatever name.
type anyName struct{ tls.ClientSessionCache }

func (c anyName) Get(string) (*tls.ClientSessionState, bool) { return c.ClientSessionCache.Get("") }
func (c anyName) Put(_ string, s *tls.ClientSessionState)    { c.ClientSessionCache.Put("", s) }

// TestTicketsOfOneCertificate: a session is not resumed under a name that another certificate is shown for (RFC 6066,
// section 3): the channel would be bound to one that the client has not seen.
func TestTicketsOfOneCertificate(t *testing.T) {
	t.Parallel()
	ts := serve(t, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Implicit}}, Handlers: map[Service]Handler{IMAP: echo},
		Certificates: certificates(t,
			writePair(t, template(string(testHost), "imap.example.org"), ecdsaKey(t)), writePair(t, template("other.example.org"), ecdsaKey(t))),
	})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := clientTLS()
		config.MaxVersion = version
		config.ClientSessionCache = anyName{tls.NewLRUClientSessionCache(1)}
		for _, step := range []struct {
			name    string
			resumes bool
		}{{"imap.example.org", false}, {string(testHost), true}, {"unknown.example.org", true}, {"other.example.org", false}, {"other.example.org", true}, {string(testHost), false}} {
			config.ServerName = step.name
			c := tls.Client(ts.dial(t, 0), config)
			expect(t, c, "hello\r\n") // the ticket comes with the first record
			if got := c.ConnectionState().DidResume; got != step.resumes {
				t.Errorf("version %x, %s: resumed: %t, want %t", version, step.name, got, step.resumes)
			}
			c.Close()
		}
	}
}

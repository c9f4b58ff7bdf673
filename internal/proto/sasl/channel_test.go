package sasl

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"candor/internal/mail"
)

// ends are the two ends of a TLS connection as SASL sees them.
type ends struct{ client, server *Channel }

// signedBy makes a self-signed certificate.
func signedBy(t testing.TB, signer crypto.Signer, algorithm x509.SignatureAlgorithm) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.test"}, SignatureAlgorithm: algorithm,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer, Leaf: leaf}
}

func p256(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signedBy(t, key, x509.ECDSAWithSHA256)
}

// connect shakes hands under a version.
func connect(t testing.TB, cert tls.Certificate, version uint16) ends {
	t.Helper()
	c, s := net.Pipe()
	t.Cleanup(func() { c.Close(); s.Close() })
	client := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version})                       //nolint:gosec
	server := tls.Server(s, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, SessionTicketsDisabled: true}) //nolint:gosec
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	theirs, ours := client.ConnectionState(), server.ConnectionState()
	return ends{NewChannel(&theirs, theirs.PeerCertificates[0]), NewChannel(&ours, cert.Leaf)}
}

// boundServer is a server of the user of the RFC.
func boundServer(t testing.TB, mechanism string, channel *Channel) *ScramServer {
	t.Helper()
	hash, _ := scramHash(mechanism)
	salt := []byte("0123456789abcdef")
	known := ScramCredentials{salt, 4096, []Keys{DeriveKeys(hash, []byte("pencil"), salt, 4096)}}
	return NewScramServer(mechanism, channel, func(context.Context, string) (ScramCredentials, error) { return known, nil }, himself)
}

// TestScramBound: both ends, both hashes, both versions, each type; and bound to another connection.
func TestScramBound(t *testing.T) {
	cert := p256(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		here, elsewhere := connect(t, cert, version), connect(t, cert, version)
		for _, mechanism := range []string{ScramSHA256Plus, ScramSHA1Plus} {
			s := boundServer(t, mechanism, here.server)
			if err := converse(t, NewScramClient(mechanism, here.client, "user", []byte("pencil")), s); err != nil || s.Flag() != TLSExporter {
				t.Errorf("%s, version %x: %q, %v", mechanism, version, s.Flag(), err)
			}
			s = boundServer(t, mechanism, here.server)
			if err := converse(t, NewScramClient(mechanism, here.client, "user", []byte("pen")), s); !mail.IsKind(err, mail.AuthFailed) {
				t.Errorf("%s, wrong password: %v", mechanism, err)
			}
			s = boundServer(t, mechanism, here.server)
			err := converse(t, NewScramClient(mechanism, elsewhere.client, "user", []byte("pencil")), s)
			if err == nil || !strings.Contains(err.Error(), string(ErrChannelBindingsMismatch)) {
				t.Errorf("%s, bound to another connection: %v", mechanism, err)
			}
		}
	}
}

// TestScramBoundPeer runs another implementation's client against our server.
func TestScramBoundPeer(t *testing.T) {
	cert := p256(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, kind := range []string{TLSExporter, TLSServerEndPoint} {
			c := connect(t, cert, version)
			peer, err := scram.SHA256.NewClient("user", "pencil", "")
			if err != nil {
				t.Fatal(err)
			}
			binding := scram.ChannelBinding{Type: scram.ChannelBindingType(kind), Data: c.client.data(kind)}
			conversation := peer.NewConversationWithChannelBinding(binding)
			s := boundServer(t, ScramSHA256Plus, c.server)
			if err := converse(t, foreign{conversation}, s); err != nil || s.Flag() != kind {
				t.Errorf("version %x: %q, %v; want %q", version, s.Flag(), err, kind)
			}
		}
	}
}

// foreign is a client of another implementation.
type foreign struct{ *scram.ClientConversation }

func (foreign) Mechanism() string { return ScramSHA256Plus }

func (f foreign) Start() []byte {
	first, err := f.Step("")
	if err != nil {
		panic(err)
	}
	return []byte(first)
}

func (f foreign) Next(challenge []byte) ([]byte, error) {
	response, err := f.Step(string(challenge))
	return []byte(response), err
}

func (f foreign) Finish() error {
	if !f.Valid() {
		return errNotProved
	}
	return nil
}

// TestScramBinding is the specification, section 3.4 (3) to (5), and the rows of section 9.3.
func TestScramBinding(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, ed := connect(t, signedBy(t, key, x509.SHA256WithRSA), tls.VersionTLS13), connect(t, signedBy(t, edwards, x509.PureEd25519), tls.VersionTLS13)
	for _, tc := range []struct {
		name, mechanism string
		channel         *Channel
		flag            string
		told            ServerError // "": accepted
	}{
		{"exporter", ScramSHA256Plus, c.server, "p=tls-exporter", ""},
		{"end point", ScramSHA256Plus, c.server, "p=tls-server-end-point", ""},
		{"tls-unique", ScramSHA256Plus, c.server, "p=tls-unique", ErrChannelBindingType},
		{"unheard of", ScramSHA256Plus, c.server, "p=x", ErrChannelBindingType},
		{"end point of Ed25519", ScramSHA256Plus, ed.server, "p=tls-server-end-point", ErrChannelBindingType},
		{"exporter with Ed25519", ScramSHA256Plus, ed.server, "p=tls-exporter", ""},
		{"plus without binding", ScramSHA256Plus, c.server, "n", ErrChannelBindingsMismatch},
		{"plus that saw no plus", ScramSHA256Plus, c.server, "y", ErrChannelBindingsMismatch},
		{"bare, cannot bind", ScramSHA256, c.server, "n", ""},
		{"bare, hidden plus", ScramSHA256, c.server, "y", ErrChannelBindingSupported},
		{"bare with binding", ScramSHA256, c.server, "p=tls-exporter", ErrChannelBindingsMismatch},
		{"bare with an unknown type", ScramSHA256, c.server, "p=x", ErrChannelBindingsMismatch},
		{"bare behind a proxy", ScramSHA256, nil, "y", ""},
		{"plus behind a proxy", ScramSHA256Plus, nil, "p=tls-exporter", ErrChannelBindingType},
	} {
		s := boundServer(t, tc.mechanism, tc.channel)
		challenge, done, err := s.Next(t.Context(), []byte(tc.flag+",,n=user,r=abc"))
		switch {
		case done || s.Flag() != strings.TrimPrefix(tc.flag, "p="):
			t.Errorf("%s: done %t, flag %q", tc.name, done, s.Flag())
		case tc.told == "" && err != nil:
			t.Errorf("%s: %q, %v", tc.name, challenge, err)
		case tc.told != "" && (string(challenge) != "e="+string(tc.told) || !mail.IsKind(err, mail.AuthFailed)):
			t.Errorf("%s: %q, %v; want %s", tc.name, challenge, err, tc.told)
		}
	}
}

// TestScramBindingData: one bit, a shorter and a longer value are all refused, with a proof that fits them.
func TestScramBindingData(t *testing.T) {
	c := connect(t, p256(t), tls.VersionTLS13)
	for name, change := range map[string]func([]byte) []byte{
		"one bit": func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut":     func(b []byte) []byte { return b[:len(b)-1] },
		"longer":  func(b []byte) []byte { return append(b, 0) },
		"none":    func([]byte) []byte { return nil },
	} {
		x := NewScramClient(ScramSHA256Plus, c.client, "user", []byte("pencil"))
		x.binding = change(bytes.Clone(x.binding))
		s := boundServer(t, ScramSHA256Plus, c.server)
		err := converse(t, x, s)
		if err == nil || !strings.Contains(err.Error(), string(ErrChannelBindingsMismatch)) || s.Matched() != -1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestScramHiddenPlus is X-38: who stands between with a certificate of its own removes the names that bind.
func TestScramHiddenPlus(t *testing.T) {
	c := connect(t, p256(t), tls.VersionTLS13)
	x := NewScramClient(ScramSHA256, c.client, "user", []byte("pencil"))
	err := converse(t, x, boundServer(t, ScramSHA256, c.server))
	if err == nil || !strings.Contains(err.Error(), string(ErrChannelBindingSupported)) {
		t.Errorf("got %v", err)
	}
	if err := x.Finish(); err == nil {
		t.Error("the client believes in success")
	}
}

func TestEndPoint(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sum256 := func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }
	sum384 := func(b []byte) []byte { s := sha512.Sum384(b); return s[:] }
	sum512 := func(b []byte) []byte { s := sha512.Sum512(b); return s[:] }
	for _, tc := range []struct {
		signer    crypto.Signer
		algorithm x509.SignatureAlgorithm
		want      func([]byte) []byte
	}{
		{key, x509.SHA256WithRSA, sum256},
		{key, x509.SHA384WithRSA, sum384},
		{key, x509.SHA512WithRSA, sum512},
		{key, x509.SHA256WithRSAPSS, sum256},
		{key, x509.SHA512WithRSAPSS, sum512},
		{p384, x509.ECDSAWithSHA256, sum256},
		{p384, x509.ECDSAWithSHA384, sum384},
	} {
		x := signedBy(t, tc.signer, tc.algorithm).Leaf
		if got := endPoint(x); !bytes.Equal(got, tc.want(x.Raw)) {
			t.Errorf("%s: %x, want %x", tc.algorithm, got, tc.want(x.Raw))
		}
	}
	for algorithm, want := range map[x509.SignatureAlgorithm]crypto.Hash{
		x509.MD5WithRSA: crypto.SHA256, x509.SHA1WithRSA: crypto.SHA256, x509.ECDSAWithSHA1: crypto.SHA256,
		x509.PureEd25519: 0, x509.UnknownSignatureAlgorithm: 0,
	} {
		if got := endPointHash(&x509.Certificate{SignatureAlgorithm: algorithm}); got != want {
			t.Errorf("%s: hash %v, want %v", algorithm, got, want)
		}
	}
}

// TestNewChannel: where nothing is defined to bind to there is no channel.
func TestNewChannel(t *testing.T) {
	if NewChannel(nil, p256(t).Leaf) != nil {
		t.Error("a channel without TLS")
	}
	cert := p256(t)
	if c := connect(t, cert, tls.VersionTLS11); c.server != nil || c.client != nil {
		t.Error("a channel of TLS 1.1")
	}
	if c := connect(t, cert, tls.VersionTLS12); c.server.exporter() == nil || !bytes.Equal(c.server.exporter(), c.client.exporter()) {
		t.Error("the ends of a connection with extended master secret export different values")
	}
}

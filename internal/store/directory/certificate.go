package directory

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"

	"candor/internal/mail"
)

// NewCertificate describes a client certificate that is to log an account in by EXTERNAL. One of Fingerprint and
// Email says which it is.
type NewCertificate struct {
	Name string `json:"name"` // 1 to 64 characters; no two of an account have the same
	// Fingerprint is "sha256:" and 64 hexadecimal digits in lower case: of the certificate or of its public key.
	Fingerprint string       `json:"fingerprint,omitempty"`
	Email       mail.Address `json:"email,omitzero"` // as subject alternative name rfc822Name
	Scopes      []Scope      `json:"scopes,omitempty"`
}

func (n *NewCertificate) check() error {
	if err := checkAppName(n.Name); err != nil {
		return err
	}
	if (n.Fingerprint == "") == (n.Email == mail.Address{}) {
		return mail.Errorf(mail.Syntax, "a certificate is known either by its fingerprint or by its e-mail address")
	}
	digits, ok := strings.CutPrefix(n.Fingerprint, fingerprintPrefix)
	sum, err := hex.DecodeString(digits)
	if n.Fingerprint != "" && (!ok || err != nil || len(sum) != sha256.Size || digits != strings.ToLower(digits)) {
		return mail.Errorf(mail.Syntax, "%q is no fingerprint: write \"sha256:\" and the 64 hexadecimal digits of the certificate's or its public key's SHA-256", n.Fingerprint)
	}
	return nil
}

const fingerprintPrefix = "sha256:"

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return fingerprintPrefix + hex.EncodeToString(sum[:])
}

// identity is what a certificate is found by: its fingerprint, or "email:" and the address.
func (n *NewCertificate) identity() string {
	if n.Fingerprint != "" {
		return n.Fingerprint
	}
	return emailIdentity(n.Email)
}

func emailIdentity(a mail.Address) string { return "email:" + canonical(a).String() }

// identities are all that a certificate can be found by.
func identities(x *x509.Certificate) []string {
	all := []string{fingerprint(x.Raw), fingerprint(x.RawSubjectPublicKeyInfo)}
	for _, email := range x.EmailAddresses {
		if a, err := mail.ParseAddress(email); err == nil {
			all = append(all, emailIdentity(a))
		}
	}
	return all
}

// AddCertificate lets an account log in with a client certificate. No certificate can be of two accounts.
//
// Errors: NotFound, Exists (the name, or the certificate), Syntax, TooMany.
func (d *Directory) AddCertificate(ctx context.Context, a mail.Address, n NewCertificate) error {
	if err := n.check(); err != nil {
		return err
	}
	return d.edit(ctx, a, func(a *account) (*account, error) {
		var owners []credentialKey
		d.view(func(s *state) { owners = s.certificates[n.identity()] })
		switch {
		case len(owners) > 0:
			return nil, mail.Errorf(mail.Exists, "that certificate is an account's already: remove it there")
		case a.certificate(n.Name) != nil:
			return nil, mail.Errorf(mail.Exists, "%s has a certificate %q already: choose another name, or remove that one", a.Address, n.Name)
		case len(a.credentials) > maxAppPasswords:
			return nil, mail.Errorf(mail.TooMany, "%s has %d credentials already: remove those that are not used", a.Address, maxAppPasswords)
		}
		c := credential{id: a.LastCredential + 1, credentialRecord: credentialRecord{
			Kind: clientCertificate, Name: n.Name, Scopes: n.Scopes, Generation: 1, Created: d.now().UTC(), Certificate: n.identity(),
		}}
		if len(c.Scopes) == 0 {
			c.Scopes = ProgramScopes
		}
		return a.with(c), nil
	})
}

// RemoveCertificate takes a client certificate from an account. Errors: NotFound.
func (d *Directory) RemoveCertificate(ctx context.Context, a mail.Address, name string) error {
	return d.removeCredential(ctx, a, "certificate", name, (*account).certificate)
}

// certificate returns the account's client certificate of a name, or nil.
func (a *account) certificate(name string) *credential {
	for i := range a.credentials {
		if c := &a.credentials[i]; c.Kind == clientCertificate && c.Name == name {
			return c
		}
	}
	return nil
}

// countCertificates adds an account's certificates to those that are known, or takes them from there.
func (s *state) countCertificates(a *account, by int) {
	for _, c := range a.credentials {
		if c.Kind != clientCertificate {
			continue
		}
		k := credentialKey{a.id, c.id}
		others := slices.DeleteFunc(slices.Clone(s.certificates[c.Certificate]), func(o credentialKey) bool { return o == k })
		if by > 0 {
			others = append(others, k)
		}
		if s.certificates[c.Certificate] = others; len(others) == 0 {
			delete(s.certificates, c.Certificate)
		}
	}
}

// certified returns whom the verified certificate of a client belongs to, if it is one account alone.
func (s *state) certified(a Attempt) (*account, *credential) {
	if a.Peer.ClientCertificate == nil {
		return nil, nil
	}
	var found credentialKey
	for _, id := range identities(a.Peer.ClientCertificate) {
		for _, k := range s.certificates[id] {
			if found.account != 0 && found.account != k.account {
				return nil, nil
			}
			if found.account == 0 {
				found = k
			}
		}
	}
	if found.account == 0 {
		return nil, nil
	}
	owner := s.accounts[found.account]
	return owner, owner.credential(found.id)
}

// external verifies for EXTERNAL: the certificate says who it is, who may say so himself.
func (x *Exchange) external(_ context.Context, authzid string) error {
	var owner *account
	var c *credential
	x.directory.view(func(s *state) { owner, c = s.certified(x.attempt) })
	if owner == nil { // it was removed since the exchange began
		return refuse(reasonNoVerifier, nil)
	}
	x.login = owner.Address.String()
	if err := x.directory.actsAs(owner, authzid); err != nil {
		return err
	}
	return x.accept(owner, c)
}

package directory

import (
	"fmt"
	"strings"
	"testing"

	"candor/internal/mail"
)

// oldHashes are hashes of "correct-horse" for alice@example.test, made by doveadm pw (Dovecot 2.4) unless stated.
var oldHashes = []string{
	"{SHA512-CRYPT}$6$2hFJhX1czGvK39hK$dGNLeEBVZ2whsA54hzYf.i9o2h/frUObfTCsRVsOYkHopIrAL3ppF39mhP7XSI.J27WV5anhTBd.JpOddTIKn/",
	"{SHA256-CRYPT}$5$pogOW.0fCt.hp45f$wCxLNAufSRx1mlUyrrpEL87QAXEYc/Bek.O8xUu7GiB",
	"{BLF-CRYPT}$2y$05$sxsY9EA6xt/hBbufzH4bxOdGrlWTkQ25/QRYPkLpid1H17i6zeuXy",
	"{MD5-CRYPT}$1$VUNa2aaM$nhJ8Yx6UjJs5oj7WJGgSJ0",
	"{CRYPT}$2y$05$rmpzxSB9mD9k9oQJEI2v8OGrvQFuyv1VkC5Ojp8dl.45h/aRRHpAq",
	"$1$VUNa2aaM$nhJ8Yx6UjJs5oj7WJGgSJ0",
	"{SSHA}pyCe/6X2ihSvNRnT490IWy53XKBqVI5D",
	"{SSHA256}QySW7xrSvoIaaUs8sPJ2fP/cLbvonohStVILW90y0FCsn0V3",
	"{SSHA512}fBN5VAhyNhNfD7h3/i4numRlNkoQ0eHfCy7t3KQDiAE411F9sNpaitATO6KNjN/EUHJzxTFC8dDmfRgLi4reUUQkPG0=",
	"{SSHA.HEX}626f3a5fb9e4dfa29f1c34e14921e66f322ef161d0f75778",
	"{SHA}NstYn3QVe0WBGmkMWLQ0CV9I6fo=",
	"{SHA256}ncpmbrVHMHFGMNFRkmSnvx7qrQC48u3JDT7L+tko0WM=",
	"{sha512}WQww68hpOlPAldoAC1ohVGPJvFpZ2VTrBFSBLD3v7R+EgMY+Ku05aEtl2Wd74Y89lMDxhPMPEAJuVRfvY1yR6A==",
	"{SMD5}J+mCr4R+cOOuqTzjvxEqJloVtuY=",
	"{PLAIN-MD5}2eb62d171ba8491db496081a8b24738a",
	"{LDAP-MD5}LrYtFxuoSR20lggaiyRzig==",
	"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$RWL3Yrod2MrTkkXsqtIW/A$78+8WDrhztbmXDZA48Y+HJNT+JAU3XQTwvyNs80xRBQ",
	"{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$XjGblYBeB0NYOBdu0Wyg8g$5WvxoXRJw3ABbbThPpluaPCsrfki3ldUX6Q6S89jVTU",
	"{PBKDF2}$1$np6gJxUKG0ZMxB0n$5000$65eb241c1fb854d98636facb2b8e63874b1e74b9",
	"{CRAM-MD5}06b2823449e3b836b8c64139791a7c7e1c79fbd5cb283896fdc35a7580dc487e",
	"{SCRAM-SHA-256}4096,Db5j48PaaLu7ttMhPYI+cQ==,i+9i8AutksNBOa4r3UW++Mj2gNcja1yvaKhtK2jF2+w=,RbGV8EovuQXJLCwy8z6rcRHxqUDldJATbwA6us7QTXQ=",
	"{DIGEST-MD5}1b353d36a46e072e40fb5d3a81126518",
	// The specification, section 9.3: one password under three forms.
	"{DIGEST-MD5}alice:example.test:1b353d36a46e072e40fb5d3a81126518",
	"{DIGEST-MD5}alice@example.test::823ee3cf8777d7f36218c173d06ea2c2",
	"{DIGEST-MD5}alice:mail.example.test:5f4ca0c0dd1a014fbd0b8a11123d21d2",
}

func TestOldHashes(t *testing.T) {
	t.Parallel()
	alice := mail.Address{Local: "alice", Domain: "example.test"}
	for _, text := range oldHashes {
		h, err := parseOldHash(text, alice)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !h.matches([]byte("correct-horse")) || h.matches([]byte("Correct-horse")) || h.matches(nil) {
			t.Errorf("%s does not match its password alone", text)
		}
		stored, _ := h.MarshalText()
		var again oldHash
		if err := again.UnmarshalText(stored); err != nil || again.text != h.text || again.memory != h.memory {
			t.Errorf("%s was stored as %s, which was read as %+v, %v", text, stored, again, err)
		}
	}
}

// TestBcryptLength: only the first 72 octets of a password count.
func TestBcryptLength(t *testing.T) {
	t.Parallel()
	h, err := parseOldHash("{BLF-CRYPT}$2y$05$sxsY9EA6xt/hBbufzH4bxOdGrlWTkQ25/QRYPkLpid1H17i6zeuXy", mail.Address{})
	must(t, err)
	if h.matches([]byte(strings.Repeat("a", 100))) {
		t.Error("a long password matches")
	}
}

func TestOldHashRefusals(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("a", 86)
	for text, want := range map[string]mail.Kind{
		"":                                      mail.Syntax,
		"secret":                                mail.Syntax,
		"{SSHA}":                                mail.Syntax,
		"{SSHA":                                 mail.Syntax,
		"{NTLM}0123":                            mail.Syntax,
		"{SSHA}!":                               mail.Syntax,
		"{SSHA}NstYn3QVe0WBGmkMWLQ0CV9I6fo=":    mail.Syntax, // no salt
		"{SHA}pyCe/6X2ihSvNRnT490IWy53XKBqVI5D": mail.Syntax,
		"{SHA.ROT13}NstYn3QVe0WBGmkMWLQ0CV9I6fo=":                                                                                                  mail.Syntax,
		"{SHA512-CRYPT}$5$a$" + key:                                                                                                                mail.Syntax,
		"{SHA512-CRYPT}$6$rounds=200001$a$" + key:                                                                                                  mail.TooBig,
		"{SHA512-CRYPT}$6$rounds=999999999$a$" + key:                                                                                               mail.TooBig,
		"{SHA512-CRYPT}$6$rounds=9$a$" + key:                                                                                                       mail.Syntax,
		"{SHA512-CRYPT}$6$rounds=-9$a$" + key:                                                                                                      mail.Syntax,
		"{BLF-CRYPT}$2y$13$sxsY9EA6xt/hBbufzH4bxOdGrlWTkQ25/QRYPkLpid1H17i6zeuXy":                                                                  mail.TooBig,
		"{BLF-CRYPT}$2y$03$sxsY9EA6xt/hBbufzH4bxOdGrlWTkQ25/QRYPkLpid1H17i6zeuXy":                                                                  mail.Syntax,
		"{ARGON2ID}$argon2id$v=19$m=65537,t=1,p=1$RWL3Yrod2MrTkkXsqtIW/A$78+8WDrhztbmXDZA48Y+HJNT+JAU3XQTwvyNs80xRBQ":                              mail.TooBig,
		"{ARGON2ID}$argon2id$v=19$m=65536,t=5,p=1$RWL3Yrod2MrTkkXsqtIW/A$78+8WDrhztbmXDZA48Y+HJNT+JAU3XQTwvyNs80xRBQ":                              mail.TooBig,
		"{ARGON2ID}$argon2id$v=19$m=8,t=999999999,p=1$RWL3Yrod2MrTkkXsqtIW/A$78+8WDrhztbmXDZA48Y+HJNT+JAU3XQTwvyNs80xRBQ":                          mail.TooBig,
		"{ARGON2ID}$argon2id$v=19$m=8,t=1,p=2$RWL3Yrod2MrTkkXsqtIW/A$78+8WDrhztbmXDZA48Y+HJNT+JAU3XQTwvyNs80xRBQ":                                  mail.Syntax,
		"{ARGON2ID}$argon2id$v=16$m=8,t=1,p=1$RWL3Yrod2MrTkkXsqtIW/A$78+8WDrhztbmXDZA48Y+HJNT+JAU3XQTwvyNs80xRBQ":                                  mail.Syntax,
		"{PBKDF2}$1$salt$999999$65eb241c1fb854d98636facb2b8e63874b1e74b9":                                                                          mail.TooBig,
		"{PBKDF2}$2$salt$1000$65eb241c1fb854d98636facb2b8e63874b1e74b9":                                                                            mail.Syntax,
		"{SCRAM-SHA-256}999999,Db5j48PaaLu7ttMhPYI+cQ==,i+9i8AutksNBOa4r3UW++Mj2gNcja1yvaKhtK2jF2+w=,RbGV8EovuQXJLCwy8z6rcRHxqUDldJATbwA6us7QTXQ=": mail.TooBig,
		"{SCRAM-SHA-256}4096,Db5j48PaaLu7ttMhPYI+cQ==":                                                                                             mail.Syntax,
		"{DIGEST-MD5}1b353d36":                               mail.Syntax,
		"{DIGEST-MD5}a:b:c:1b353d36a46e072e40fb5d3a81126518": mail.Syntax,
		"{CRAM-MD5}06b2823449e3b836":                         mail.Syntax,
	} {
		_, err := parseOldHash(text, mail.Address{Local: "alice", Domain: "example.test"})
		wantKind(t, fmt.Sprintf("%.60s", text), err, want)
	}
}

func FuzzOldHash(f *testing.F) {
	for _, text := range oldHashes {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseOldHash(text, mail.Address{Local: "alice", Domain: "example.test"})
		if err != nil {
			return
		}
		stored, _ := h.MarshalText()
		var again oldHash
		if err := again.UnmarshalText(stored); err != nil || again.text != h.text {
			t.Errorf("%q was stored as %q, which was read as %q, %v", text, stored, again.text, err)
		}
	})
}

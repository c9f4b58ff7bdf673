package directory

import (
	"testing"
)

func BenchmarkResolve(b *testing.B) {
	d := filled(b)
	alias(b, d, "sales@example.org", "ann@example.org", "bob@example.com")
	for _, name := range []string{"ann@example.org", "ann+x@example.org", "sales@example.org"} {
		a := addr(b, name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Resolve(b.Context(), a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLogin is a login whose password the cache knows.
func BenchmarkLogin(b *testing.B) {
	d := withPasswords(b)
	e, password := overTLS(b), []byte("alice")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Login(b.Context(), e, testAttempt(IMAP, command), "alice@example.org", password); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHash is what a wrong password costs.
func BenchmarkHash(b *testing.B) {
	h := newArgon2id(Cost{}.orDefault(), []byte("secret"))
	b.ReportAllocs()
	for b.Loop() {
		h.matches([]byte("wrong"))
	}
}

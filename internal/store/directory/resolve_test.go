package directory

import (
	"fmt"
	"strings"
	"testing"

	"candor/internal/mail"
)

// summary writes a resolution as "ann@example.org+detail > forward@elsewhere".
func summary(r Resolution) string {
	var b []string
	for _, a := range r.Accounts {
		s := a.Address.String()
		if a.Detail != "" {
			s += "+" + a.Detail
		}
		b = append(b, s)
	}
	for _, f := range r.Forward {
		b = append(b, "> "+f.String())
	}
	if r.Route == mail.Remote {
		b = append(b, "remote")
	}
	return strings.Join(b, " ")
}

func TestResolve(t *testing.T) {
	d := filled(t)
	alias(t, d, "sales@example.org", "ann@example.org", "bob@example.com", "Out@example.net")
	alias(t, d, "chain@example.org", "sales@example.org", "ann@example.org")
	alias(t, d, "loop@example.org", "pool@example.org")
	alias(t, d, "pool@example.org", "loop@example.org", "bob@example.org")
	alias(t, d, "circle@example.org", "circle@example.org")
	alias(t, d, "dangling@example.org", "nobody@example.org")
	alias(t, d, "folder@example.org", "ann+Lists@example.org")
	alias(t, d, "*@example.com", "ann+caught@example.org")
	must(t, d.AddDomain(t.Context(), "xn--bcher-kva.example"))
	_, err := d.AddAccount(t.Context(), addr(t, "Jürgen@bücher.example"), "")
	must(t, err)
	_, err = d.AddAccount(t.Context(), addr(t, "☃@bücher.example"), "")
	must(t, err)
	for _, c := range []struct{ name, address, want string }{
		{"exact", "ann@example.org", "ann@example.org"},
		{"case of the local part", "ANN@example.org", "ann@example.org"},
		{"case of the domain", "ann@EXAMPLE.org", "ann@example.org"},
		{"detail", "ann+Work@example.org", "ann@example.org+Work"},
		{"detail with a plus", "ann+a+b@example.org", "ann@example.org+a+b"},
		{"empty detail", "ann+@example.org", "ann@example.org"},
		{"an account with a plus", "eve+x@example.org", "eve+x@example.org"},
		{"quoted", `"ann"@example.org`, "ann@example.org"},
		{"alias", "sales@example.org", "ann@example.org bob@example.com > Out@example.net"},
		{"alias, each once", "chain@example.org", "ann@example.org bob@example.com > Out@example.net"},
		{"alias with detail", "sales+q3@example.org", "ann@example.org+q3 bob@example.com+q3 > Out@example.net"},
		{"alias to a detail", "folder@example.org", "ann@example.org+Lists"},
		{"alias to a detail, with detail", "folder+other@example.org", "ann@example.org+Lists"},
		{"loop", "loop@example.org", "bob@example.org"},
		{"catch-all", "whoever@example.com", "ann@example.org+caught"},
		{"catch-all with detail", "whoever+x@example.com", "ann@example.org+caught"},
		{"catch-all takes only what is left", "bob@example.com", "bob@example.com"},
		{"postmaster of the first domain", "postmaster@example.org", "postmaster@example.org"},
		{"postmaster of another domain, before its catch-all", "Postmaster@example.com", "postmaster@example.org"},
		{"postmaster of the host", "postmaster@mx.example.net", "postmaster@example.org"},
		{"postmaster alone", "PostMaster@", "postmaster@example.org"},
		{"postmaster with detail", "postmaster+tls@example.com", "postmaster@example.org+tls"},
		{"UTF-8", "jÜRGEN@bücher.example", "jürgen@xn--bcher-kva.example"},
		{"UTF-8, decomposed", "ju\u0308rgen@bücher.example", "jürgen@xn--bcher-kva.example"},
		{"a symbol", "☃@bücher.example", "☃@xn--bcher-kva.example"},
		{"remote", "ann@example.net", "remote"},
		{"other address of the host", "ann@mx.example.net", "remote"},
	} {
		r, err := d.Resolve(t.Context(), addr(t, c.address))
		if got := summary(r); err != nil || got != c.want {
			t.Errorf("%s: Resolve(%s) = %q, %v; want %q", c.name, c.address, got, err, c.want)
		}
	}
	for name, a := range map[string]string{
		"unknown": "nobody@example.org", "circle": "circle@example.org", "dangling alias": "dangling@example.org",
		"part of an account with a plus": "eve@example.org", "a plus in front": "+ann@example.org",
	} {
		_, err := d.Resolve(t.Context(), addr(t, a))
		wantKind(t, name, err, mail.NoAddress)
	}
}

// TestPostmaster: whoever is named nearest is the postmaster.
func TestPostmaster(t *testing.T) {
	d := filled(t)
	to := func(domain string) string {
		r, err := d.Resolve(t.Context(), addr(t, "postmaster@"+domain))
		if err != nil {
			return mail.AsError(err).Kind.String()
		}
		return summary(r)
	}
	step := func(name, org, com string) {
		t.Helper()
		if o, c := to("example.org"), to("example.com"); o != org || c != com {
			t.Errorf("%s: org leads to %q, com to %q; want %q, %q", name, o, c, org, com)
		}
	}
	step("at first", "postmaster@example.org", "postmaster@example.org")
	alias(t, d, "postmaster@example.com", "bob@example.com")
	step("an alias of its own", "postmaster@example.org", "bob@example.com")
	_, err := d.RemoveAccount(t.Context(), addr(t, "postmaster@example.org"), nil)
	must(t, err)
	step("the alias is left", "bob@example.com", "bob@example.com")
	must(t, d.RemoveAlias(t.Context(), addr(t, "postmaster@example.com")))
	step("nobody", "no-address", "no-address")
	_, err = d.AddAccount(t.Context(), addr(t, "Postmaster@example.com"), "")
	must(t, err)
	step("an account again", "postmaster@example.com", "postmaster@example.com")
	alias(t, d, "postmaster@example.org", "postmaster@example.com")
	step("an alias to it", "postmaster@example.com", "postmaster@example.com")
}

func TestExpansionIsBounded(t *testing.T) {
	d := filled(t)
	var first []string
	for i := range 20 {
		var targets []string
		for j := range maxTargets {
			targets = append(targets, fmt.Sprintf("r%d-%d@example.net", i, j))
		}
		from := fmt.Sprintf("part%d@example.org", i)
		alias(t, d, from, targets...)
		first = append(first, from)
	}
	alias(t, d, "all@example.org", first...)
	_, err := d.Resolve(t.Context(), addr(t, "all@example.org"))
	wantKind(t, "20,000 targets", err, mail.TooMany)
}

func TestMaySend(t *testing.T) {
	d := filled(t)
	alias(t, d, "mine@example.org", "ann@example.org")
	alias(t, d, "chain@example.org", "mine@example.org")
	alias(t, d, "shared@example.org", "ann@example.org", "bob@example.org")
	alias(t, d, "outside@example.org", "ann@example.org", "ann@example.net")
	alias(t, d, "*@example.com", "ann@example.org")
	alias(t, d, "bycaught@example.org", "whoever@example.com")
	_, err := d.AddAccount(t.Context(), addr(t, "ann+boss@example.org"), "")
	must(t, err)
	ann, err := d.Account(t.Context(), addr(t, "Ann@example.org"))
	must(t, err)
	for _, c := range []struct {
		name, address string
		may           bool
	}{
		{"own", "ann@example.org", true},
		{"own in another case", "ANN@example.org", true},
		{"own with detail", "ann+x@example.org", true},
		{"another account that looks like a detail", "ann+boss@example.org", false},
		{"alias", "mine@example.org", true},
		{"alias with detail", "mine+x@example.org", true},
		{"alias of an alias", "chain@example.org", true},
		{"shared alias", "shared@example.org", false},
		{"alias that also leaves", "outside@example.org", false},
		{"catch-all", "whoever@example.com", false},
		{"the catch-all itself", "*@example.com", false},
		{"alias into a catch-all", "bycaught@example.org", false},
		{"another's", "bob@example.org", false},
		{"postmaster's", "postmaster@example.org", false},
		{"nobody's", "nobody@example.org", false},
		{"elsewhere", "ann@example.net", false},
	} {
		err := d.MaySend(t.Context(), ann.ID, addr(t, c.address))
		if c.may && err != nil || !c.may && !mail.IsKind(err, mail.Forbidden) {
			t.Errorf("%s: MaySend(%s) = %v, want %v", c.name, c.address, err, c.may)
		}
	}
	if err := d.MaySend(t.Context(), ann.ID, mail.Address{}); err != nil {
		t.Errorf("the null reverse-path: %v", err)
	}
	must(t, d.SetDisabled(t.Context(), ann.Address, true))
	for _, a := range []mail.Address{ann.Address, {}} {
		wantKind(t, "a disabled account", d.MaySend(t.Context(), ann.ID, a), mail.Forbidden)
		wantKind(t, "no account", d.MaySend(t.Context(), 0, a), mail.Forbidden)
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"Ann", "JÜRGEN", "ju\u0308rgen", "☃", "ａｌｉｃｅ", "İ", "ΑΣ", "a b", "ß", "\u1e9e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := canonicalLocal(mail.LocalPart(s))
		if twice := canonicalLocal(once); twice != once {
			t.Errorf("canonicalLocal(%q) = %q, whose own form is %q", s, once, twice)
		}
	})
}

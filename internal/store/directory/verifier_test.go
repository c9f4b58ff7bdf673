package directory

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPHC has a hash made by the reference implementation: its test of version 0x13, with t=2 and m=2^8.
func TestPHC(t *testing.T) {
	const phc = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	var h argon2id
	if err := h.UnmarshalText([]byte(phc)); err != nil {
		t.Fatal(err)
	}
	if !h.matches([]byte("password")) || h.matches([]byte("Password")) {
		t.Error("the reference hash does not match its password alone")
	}
	if again, err := h.MarshalText(); err != nil || string(again) != phc {
		t.Errorf("written as %s, %v", again, err)
	}
	if h.below(Cost{256, 2}) || !h.below(Cost{257, 2}) || !h.below(Cost{256, 3}) {
		t.Error("below compares wrongly")
	}
}

func TestPHCRefuses(t *testing.T) {
	const good = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	for name, change := range map[string][2]string{
		"another function": {"argon2id", "argon2i"},
		"another version":  {"v=19", "v=16"},
		"no memory":        {"m=256", "m=0"},
		"all memory":       {"m=256", "m=4294967295"},
		"no pass":          {"t=2", "t=0"},
		"endless passes":   {"t=2", "t=99999"},
		"no lane":          {"p=1", "p=0"},
		"lanes overflow":   {"p=1", "p=257"},
		"sign":             {"t=2", "t=+2"},
		"more parameters":  {"p=1", "p=1,x=2"},
		"padding":          {"c29tZXNhbHQ", "c29tZXNhbHQ="},
		"short salt":       {"c29tZXNhbHQ", "c29t"},
		"short hash":       {"nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "nf65"},
		"more parts":       {"$argon2id", "$$argon2id"},
	} {
		var h argon2id
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("%s changes nothing", name)
		}
		if err := h.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%s: %s was read", name, bad)
		}
	}
}

func TestVerifiersRoundTrip(t *testing.T) {
	d := filled(t)
	v := d.newVerifiers([]byte("0123456789abcdef"), []byte("secret"))
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var again verifiers
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if !again.Argon2id.matches([]byte("secret")) || !cmp.Equal(again.Scram, v.Scram) {
		t.Errorf("%s was read as %+v", text, again)
	}
	if strings.Contains(string(text), "secret\"") {
		t.Errorf("%s holds the password", text)
	}
}

func FuzzPHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
	f.Add("$argon2id$v=19$m=8,t=1,p=01$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Fuzz(func(t *testing.T, s string) {
		var h argon2id
		if h.UnmarshalText([]byte(s)) != nil {
			return
		}
		if again, _ := h.MarshalText(); string(again) != s {
			t.Errorf("%q was written as %q", s, again)
		}
	})
}

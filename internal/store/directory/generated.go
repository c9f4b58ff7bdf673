package directory

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
)

// generated is the HMAC-SHA-256 of a generated password under a salt. Nobody guesses 128 bits, so that it need not be
// slow.
type generated struct {
	salt [saltSize]byte
	sum  [sha256.Size]byte
}

func newGenerated(prepared []byte) *generated {
	g := &generated{}
	_, _ = rand.Read(g.salt[:]) // never fails
	g.sum = g.of(prepared)
	return g
}

func (g *generated) of(prepared []byte) [sha256.Size]byte {
	h := hmac.New(sha256.New, g.salt[:])
	h.Write(prepared)
	return [sha256.Size]byte(h.Sum(nil))
}

func (g *generated) matches(prepared []byte) bool {
	sum := g.of(prepared)
	return hmac.Equal(sum[:], g.sum[:])
}

// generatedAs returns the app password that a given one is, admitted or not, or nil.
func (a *account) generatedAs(password []byte) (found *credential) {
	p := receive(password)
	defer p.wipe()
	for i := range a.credentials {
		c := &a.credentials[i]
		if g := c.Verifiers.Generated; g != nil && g.matches(p.prepared) && p.ok {
			found = c
		}
	}
	return found
}

// generatedRecord is the form in which generated is stored.
type generatedRecord struct {
	Salt []byte `json:"salt"`
	Sum  []byte `json:"sum"`
}

// MarshalJSON writes salt and sum in base64.
func (g *generated) MarshalJSON() ([]byte, error) {
	return json.Marshal(generatedRecord{g.salt[:], g.sum[:]})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (g *generated) UnmarshalJSON(text []byte) error {
	var r generatedRecord
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	if len(r.Salt) != len(g.salt) || len(r.Sum) != len(g.sum) {
		return errDamaged
	}
	*g = generated{[saltSize]byte(r.Salt), [sha256.Size]byte(r.Sum)}
	return nil
}

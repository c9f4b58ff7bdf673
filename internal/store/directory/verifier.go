package directory

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

const (
	// defaultMemory and defaultPasses are the cost of argon2id (specification, section 3.1).
	defaultMemory = 19 << 10
	defaultPasses = 2
	lanes         = 1
	hashSize      = 32

	// scramIterations is the same for all, known or unknown.
	scramIterations = 65536

	// maxPassword bounds a password, in octets.
	maxPassword = 1024
)

func (c Cost) orDefault() Cost {
	if c.Memory == 0 {
		c.Memory = defaultMemory
	}
	if c.Passes == 0 {
		c.Passes = defaultPasses
	}
	return c
}

// argon2id is a hash of a password with all that is needed to make it again. In the store it is a
// string in the PHC format.
type argon2id struct {
	Cost
	lanes uint8
	salt  []byte
	hash  []byte
}

func newArgon2id(c Cost, prepared []byte) *argon2id {
	h := &argon2id{Cost: c, lanes: lanes, salt: make([]byte, saltSize)}
	_, _ = rand.Read(h.salt) // never fails
	h.hash = h.of(prepared, hashSize)
	return h
}

func (h *argon2id) of(prepared []byte, size int) []byte {
	return argon2.IDKey(prepared, h.salt, h.Passes, h.Memory, h.lanes, uint32(size))
}

// matches reports whether h is the hash of a prepared password.
func (h *argon2id) matches(prepared []byte) bool {
	return hmac.Equal(h.of(prepared, len(h.hash)), h.hash)
}

// below reports whether h was made at less than cost c.
func (h *argon2id) below(c Cost) bool { return h.Memory < c.Memory || h.Passes < c.Passes }

// MarshalText writes the PHC string.
func (h *argon2id) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.Memory, h.Passes, h.lanes,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.hash)), nil
}

// UnmarshalText reads a PHC string. What it accepts can be computed: the bounds keep a damaged
// record from asking for all memory.
func (h *argon2id) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return errDamaged
	}
	var p argon2id
	_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.Memory, &p.Passes, &p.lanes)
	if err != nil || parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", p.Memory, p.Passes, p.lanes) {
		return errDamaged
	}
	if p.Memory < 8 || p.Memory > 4<<20 || p.Passes < 1 || p.Passes > 64 || p.lanes < 1 || p.lanes > 64 {
		return errDamaged
	}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	p.hash, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(p.salt) < 8 || len(p.salt) > 64 || len(p.hash) < 16 || len(p.hash) > 64 {
		return errDamaged
	}
	*h = p
	return nil
}

// scramKeys are the SCRAM keys of a password, made with the account's salt.
type scramKeys struct {
	Iterations int
	sasl.Keys
}

func newScramKeys(hash crypto.Hash, prepared, salt []byte) *scramKeys {
	return &scramKeys{scramIterations, sasl.DeriveKeys(hash, prepared, salt, scramIterations)}
}

// scramRecord is the form in which scramKeys are stored.
type scramRecord struct {
	Iterations int    `json:"iterations"`
	StoredKey  []byte `json:"stored_key"`
	ServerKey  []byte `json:"server_key"`
}

// MarshalJSON writes the keys in base64.
func (k *scramKeys) MarshalJSON() ([]byte, error) {
	return json.Marshal(scramRecord{k.Iterations, k.StoredKey, k.ServerKey})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (k *scramKeys) UnmarshalJSON(text []byte) error {
	var r scramRecord
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	if size := crypto.SHA256.Size(); len(r.StoredKey) != size || len(r.ServerKey) != size || r.Iterations != scramIterations {
		return errDamaged
	}
	*k = scramKeys{r.Iterations, sasl.Keys{StoredKey: r.StoredKey, ServerKey: r.ServerKey}}
	return nil
}

// names lists the verifiers there are.
func (v *verifiers) names() []string {
	var names []string
	if v.Old != nil {
		names = append(names, "{"+v.Old.name()+"}")
	}
	if v.Argon2id != nil && v.Raw {
		names = append(names, "argon2id-raw")
	} else if v.Argon2id != nil {
		names = append(names, "argon2id")
	}
	if v.Generated != nil {
		names = append(names, "hmac-sha-256")
	}
	if v.Scram != nil {
		names = append(names, "scram-sha-256")
	}
	if v.ScramSHA1 != nil {
		names = append(names, "scram-sha-1")
	}
	if v.CramMD5 != nil {
		names = append(names, "cram-md5")
	}
	return names
}

// checkable reports whether there is something to check a main password by.
func (v *verifiers) checkable() bool { return v.Argon2id != nil || v.Old != nil }

// outdated reports whether the verifiers are to be made anew of the next right password.
func (v *verifiers) outdated(c Cost) bool {
	return v.Old != nil || v.Argon2id.below(c) || v.Scram == nil && !v.Raw
}

// match checks a received password, for the work of at least one argon2id.
func (d *Directory) match(v *verifiers, p *received) bool {
	switch {
	case v.Old != nil:
		right := len(p.given) > 0 && d.matchesOld(v.Old, p.given)
		if !right {
			newArgon2id(d.cost, p.prepared)
		}
		return right
	case v.Raw:
		return v.Argon2id.matches(p.given)
	}
	return v.Argon2id.matches(p.prepared) && p.ok
}

// matchesOld checks an old hash. Those that take more memory than our own are checked one at a time, lest an import
// multiply the memory that hashing may take.
func (d *Directory) matchesOld(h *oldHash, password []byte) bool {
	if h.memory > d.cost.Memory {
		d.hasher.heavy.Lock()
		defer d.hasher.heavy.Unlock()
	}
	return h.matches(password)
}

// newVerifiers makes all verifiers of a prepared password. It takes tens of milliseconds.
func (d *Directory) newVerifiers(salt, prepared []byte) verifiers {
	return verifiers{
		Argon2id: newArgon2id(d.cost, prepared),
		Scram:    newScramKeys(crypto.SHA256, prepared, salt),
	}
}

// adopt makes the verifiers of a password that an import has brought, or was right by what it has brought.
func (d *Directory) adopt(salt []byte, p *received) verifiers {
	if p.ok {
		return d.newVerifiers(salt, p.prepared)
	}
	return verifiers{Argon2id: newArgon2id(d.cost, p.given), Raw: true}
}

// hash makes the verifiers of a password that is being set. Errors: Syntax, Unavailable.
func (d *Directory) hash(ctx context.Context, salt []byte, password string) (v verifiers, err error) {
	if len(password) > maxPassword {
		return v, mail.Errorf(mail.Syntax, "a password is at most %d octets long", maxPassword)
	}
	given := []byte(password)
	defer clear(given)
	prepared, err := sasl.Prepare(given)
	if err != nil {
		return v, err
	}
	defer clear(prepared)
	err = d.hasher.do(ctx, func() { v = d.newVerifiers(salt, prepared) })
	return v, err
}

// unknownKeys returns SCRAM keys that no password leads to.
func unknownKeys(hash crypto.Hash) sasl.Keys {
	k := sasl.Keys{StoredKey: make(sasl.Key, hash.Size()), ServerKey: make(sasl.Key, hash.Size())}
	_, _ = rand.Read(k.StoredKey) // never fails
	_, _ = rand.Read(k.ServerKey)
	return k
}

package directory

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
	"candor/internal/store/kv"
)

// The keys of the directory. Numbers are 8 octets, most significant first; records are JSON, of
// which unknown fields are kept out by the format's version alone.
//
//	d v                      format version: number
//	d s                      server secret: 32 random octets; salts of SCRAM are made with it
//	d i                      highest account id ever given: number
//	d g                      number of changes so far
//	d e                      epoch: number
//	d d <domain>             domainRecord
//	d a <account>            accountRecord
//	d c <account><id>        credentialRecord
//	d u <account><id>        LastUse of a credential, written lazily and outside the clock
//	d n <name>               a note of another part (SetNote)
//	d l <address>            aliasRecord; the address is canonical and in the form of RFC 5321
//	d t <account><mechanism> trialRecord
//	d x, d y, d z            the census: see censusrow.go
//
// The number of changes rises with every change but those of "d u" and "d n". The epoch rises when logins must
// be verified anew for all accounts at once.
var (
	keyAll     = []byte("d")
	keyVersion = []byte("dv")
	keySecret  = []byte("ds")
	keyLastID  = []byte("di")
	keyChanges = []byte("dg")
	keyEpoch   = []byte("de")
)

// secretSize is that of the server secret, in octets.
const secretSize = 32

// formatVersion is the format that this program writes.
const formatVersion = 3

type credentialID uint64

// credentialKey names a credential of an account for ever.
type credentialKey struct {
	account mail.AccountID
	id      credentialID
}

type domainRecord struct {
	Created time.Time `json:"created"`
}

type accountRecord struct {
	Address  mail.Address `json:"address"`
	Disabled bool         `json:"disabled,omitempty"`
	Created  time.Time    `json:"created"`
	Quota    Quota        `json:"quota,omitzero"`
	Require  Requirement  `json:"require,omitempty"`
	// Generation rises with every change of what the account may do (specification, section 3.5: C-6).
	Generation uint64 `json:"generation"`
	// Salt is that of all SCRAM keys of the account, now and later.
	Salt []byte `json:"salt"`
	// LastCredential is the highest credential id ever given.
	LastCredential credentialID `json:"last_credential,omitempty"`
}

// credentialKind says what a credential is for.
type credentialKind string

const (
	// mainPassword is the one password that the owner chose.
	mainPassword credentialKind = "main"
	// appPassword is one that was generated for a program.
	appPassword credentialKind = "app"
	// clientCertificate is one that logs in by EXTERNAL.
	clientCertificate credentialKind = "cert"
)

type credentialRecord struct {
	Kind credentialKind `json:"kind"`
	Name string         `json:"name,omitempty"` // of an app password; no two of an account have the same
	// Scopes is what it may be used for; of a main password without any: everything.
	Scopes []Scope `json:"scopes,omitempty"`
	// Until is when it ends. Only app passwords end: the cache of right main passwords knows no time.
	Until time.Time `json:"until,omitzero"`
	// Generation rises with every change of the verifiers and scopes.
	Generation uint64    `json:"generation"`
	Created    time.Time `json:"created"`
	Verifiers  verifiers `json:"verifiers"`
	// Certificate is what a client certificate is found by: "sha256:" and a fingerprint, or "email:" and an address.
	Certificate string `json:"certificate,omitempty"`
	// Exposed tells of one that crossed the network in clear, until it is changed.
	Exposed *exposureRecord `json:"exposed,omitempty"`
}

// verifiers are what is kept of one password.
type verifiers struct {
	Argon2id *argon2id `json:"argon2id,omitempty"`
	// Raw says that Argon2id is of the octets as they were imported, since OpaqueString refuses them. Such a password
	// has no SCRAM keys, for no client could prepare it.
	Raw bool `json:"raw,omitempty"`
	// Old is what an import has brought; it stands alone until the first right password replaces it.
	Old       *oldHash   `json:"old,omitempty"`
	Generated *generated `json:"hmac_sha_256,omitempty"`
	Scram     *scramKeys `json:"scram_sha_256,omitempty"`
	// CramMD5 and ScramSHA1 are those of a legacy rule, of a generated password alone.
	CramMD5   *sasl.CramKey `json:"cram_md5,omitempty"`
	ScramSHA1 *legacyScram  `json:"scram_sha_1,omitempty"`
}

type aliasRecord struct {
	Targets []mail.Address `json:"targets"`
}

// LastUse says when, from where and how a credential was last used, to the hour.
type LastUse struct {
	Time      time.Time    `json:"time"`
	Prefix    netip.Prefix `json:"prefix"` // /24 or /48
	Service   Service      `json:"service"`
	Mechanism string       `json:"mechanism"`
}

var errDamaged = errors.New("the stored record is damaged")

func number[N ~uint64 | ~int](n N) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func parseNumber(v []byte) (uint64, error) {
	if len(v) != 8 {
		return 0, errDamaged
	}
	return binary.BigEndian.Uint64(v), nil
}

// getNumber reads a number that is 0 when it is absent.
func getNumber(r kv.Reader, key []byte) (uint64, error) {
	v, err := r.Get(key)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return parseNumber(v)
}

func domainKey(d mail.Domain) []byte { return append([]byte("dd"), d...) }

func aliasKey(a mail.Address) []byte { return append([]byte("dl"), a.String()...) }

func accountKey(id mail.AccountID) []byte { return append([]byte("da"), number(id)...) }

// credentialPrefix begins the keys of all credentials of an account.
func credentialPrefix(id mail.AccountID) []byte { return append([]byte("dc"), number(id)...) }

func (k credentialKey) record() []byte {
	return append(credentialPrefix(k.account), number(k.id)...)
}

func usePrefix(id mail.AccountID) []byte { return append([]byte("du"), number(id)...) }

func (k credentialKey) use() []byte { return append(usePrefix(k.account), number(k.id)...) }

// setRecord writes a record as JSON.
func setRecord(tx kv.Tx, key []byte, record any) error {
	v, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("writing record %q: %w", key, err)
	}
	tx.Set(key, v)
	return nil
}

// read takes one stored pair into s, or into used.
func (s *state) read(p kv.Pair, used map[credentialKey]LastUse) error {
	if len(p.Key) < 2 {
		return errDamaged
	}
	name := p.Key[2:]
	var err error
	switch p.Key[1] {
	case 'v', 'i':
		_, err = parseNumber(p.Value)
	case 's':
		err = s.readSecret(p.Value)
	case 'g':
		s.changes, err = parseNumber(p.Value)
	case 'e':
		s.epoch, err = parseNumber(p.Value)
	case 'd':
		err = s.readDomain(name, p.Value)
	case 'a':
		err = s.readAccount(name, p.Value)
	case 'c':
		err = s.readCredential(name, p.Value)
	case 'u':
		err = readUse(name, p.Value, used)
	case 'l':
		err = s.readAlias(name, p.Value)
	case 'n': // read by name when it is asked for
	case 't':
		err = s.readTrial(name, p.Value)
	default:
		err = errDamaged
	}
	return err
}

func (s *state) readSecret(value []byte) error {
	if len(value) != secretSize {
		return errDamaged
	}
	s.secret = bytes.Clone(value)
	return nil
}

func (s *state) readDomain(name, value []byte) error {
	var r domainRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return err
	}
	s.domains[mail.Domain(name)] = r
	return nil
}

func (s *state) readAccount(name, value []byte) error {
	id, err := parseNumber(name)
	if err != nil {
		return err
	}
	a := &account{id: mail.AccountID(id)}
	if err := json.Unmarshal(value, &a.accountRecord); err != nil {
		return err
	}
	if a.Address == (mail.Address{}) || len(a.Salt) == 0 {
		return errDamaged
	}
	s.accounts[a.id] = a
	return nil
}

// readCredential relies on the order of the keys, which puts every account before its credentials.
func (s *state) readCredential(name, value []byte) error {
	k, err := parseCredentialKey(name)
	if err != nil {
		return err
	}
	a := s.accounts[k.account]
	if a == nil {
		return fmt.Errorf("it belongs to account %d, which does not exist", k.account)
	}
	c := credential{id: k.id}
	if err := json.Unmarshal(value, &c.credentialRecord); err != nil {
		return err
	}
	a.credentials = append(a.credentials, c)
	return nil
}

func readUse(name, value []byte, used map[credentialKey]LastUse) error {
	k, err := parseCredentialKey(name)
	if err != nil {
		return err
	}
	var u LastUse
	if err := json.Unmarshal(value, &u); err != nil {
		return err
	}
	used[k] = u
	return nil
}

func (s *state) readAlias(name, value []byte) error {
	a, err := mail.ParseAddress(string(name))
	if err != nil {
		return err
	}
	var r aliasRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return err
	}
	s.aliases[a] = r.Targets
	return nil
}

func parseCredentialKey(name []byte) (credentialKey, error) {
	if len(name) != 16 {
		return credentialKey{}, errDamaged
	}
	return credentialKey{mail.AccountID(binary.BigEndian.Uint64(name)), credentialID(binary.BigEndian.Uint64(name[8:]))}, nil
}

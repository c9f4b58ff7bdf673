package sasl

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	_ "crypto/sha1"   // of SCRAM-SHA-1
	_ "crypto/sha256" // of SCRAM-SHA-256
	"crypto/subtle"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Key is a StoredKey or a ServerKey of SCRAM; it has the size of the mechanism's hash.
type Key []byte

// Keys is what a server keeps of a password (RFC 5802, section 3).
type Keys struct {
	StoredKey Key
	ServerKey Key
}

// DeriveKeys computes the keys of a password that Prepare has prepared. The hash is crypto.SHA256 for
// SCRAM-SHA-256, crypto.SHA1 for SCRAM-SHA-1.
func DeriveKeys(hash crypto.Hash, prepared, salt []byte, iterations int) Keys {
	salted := hi(hash, prepared, salt, iterations)
	defer clear(salted)
	client := mac(hash, salted, "Client Key")
	defer clear(client)
	return Keys{digest(hash, client), mac(hash, salted, "Server Key")}
}

// hi is Hi() of RFC 5802, section 2.2: PBKDF2 with one block of output. The standard library's
// PBKDF2 wants the password as a string, which cannot be wiped.
func hi(hash crypto.Hash, password, salt []byte, iterations int) Key {
	h := hmac.New(hash.New, password)
	h.Write(salt)
	h.Write([]byte{0, 0, 0, 1})
	u := h.Sum(nil)
	sum := bytes.Clone(u)
	for range iterations - 1 {
		h.Reset()
		h.Write(u)
		u = h.Sum(u[:0])
		subtle.XORBytes(sum, sum, u)
	}
	return sum
}

func mac(hash crypto.Hash, key []byte, text string) Key {
	h := hmac.New(hash.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func digest(hash crypto.Hash, key []byte) Key {
	h := hash.New()
	h.Write(key)
	return h.Sum(nil)
}

// scramHash takes the name of a SCRAM mechanism apart.
func scramHash(mechanism string) (hash crypto.Hash, plus bool) {
	name, plus := strings.CutSuffix(mechanism, "-PLUS")
	switch name {
	case ScramSHA256:
		return crypto.SHA256, plus
	case ScramSHA1:
		return crypto.SHA1, plus
	}
	panic("sasl: " + mechanism + " is no mechanism of SCRAM")
}

// ServerError is a server-error-value of RFC 5802, section 7: what a SCRAM server tells its client
// of a failure. It is the cause of the AuthFailed that comes with it.
type ServerError string

// The server errors that are told. A wrong user is told as a wrong proof, since the difference
// would say which users exist.
const (
	ErrInvalidProof            ServerError = "invalid-proof"
	ErrChannelBindingsMismatch ServerError = "channel-bindings-dont-match"
	ErrChannelBindingType      ServerError = "unsupported-channel-binding-type"
	// ErrChannelBindingSupported answers a client that could bind but believes that we cannot: somebody between may have
	// removed the -PLUS names from our list.
	ErrChannelBindingSupported ServerError = "server-does-support-channel-binding"
	ErrExtensionsNotSupported  ServerError = "extensions-not-supported"
	ErrInvalidUsernameEncoding ServerError = "invalid-username-encoding"
	ErrOther                   ServerError = "other-error"
)

func (e ServerError) Error() string { return string(e) }

// minNonce is the number of random octets in a nonce of ours.
const minNonce = 18

func newNonce() string {
	b := make([]byte, minNonce)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program rather than return an error
	return Encode(b)
}

// clientFirst is the client-first-message (RFC 5802, section 7).
type clientFirst struct {
	gs2      string // gs2-header, whose base64 comes back in the final message
	flag     byte   // gs2-cbind-flag: 'n', 'y' or 'p'
	binding  string // the type of channel binding, after "p="
	authzid  string
	username string
	nonce    string
	bare     string
}

// parseClientFirst takes a client-first-message apart. A message that is well formed but asks for
// what we do not do gives a ServerError.
func parseClientFirst(message []byte) (clientFirst, error) {
	if len(message) > maxMessage || !utf8.Valid(message) || bytes.IndexByte(message, 0) >= 0 {
		return clientFirst{}, malformed("SCRAM")
	}
	var m clientFirst
	flag, rest, ok1 := strings.Cut(string(message), ",")
	authzid, bare, ok2 := strings.Cut(rest, ",")
	if !ok1 || !ok2 || !m.header(flag, authzid) {
		return clientFirst{}, malformed("SCRAM")
	}
	m.gs2 = flag + "," + authzid + ","
	m.bare = bare
	if strings.HasPrefix(bare, "m=") {
		return clientFirst{}, failed(ErrExtensionsNotSupported)
	}
	name, rest, _ := strings.Cut(bare, ",")
	nonce, extensions, more := strings.Cut(rest, ",")
	username, ok := saslName(name, "n=")
	if !ok && strings.HasPrefix(name, "n=") {
		return clientFirst{}, failed(ErrInvalidUsernameEncoding)
	}
	m.username = username
	m.nonce, ok1 = strings.CutPrefix(nonce, "r=")
	if !ok || !ok1 || !validNonce(m.nonce) || more && !validExtensions(extensions) {
		return clientFirst{}, malformed("SCRAM")
	}
	return m, nil
}

// header parses gs2-cbind-flag and authzid.
func (m *clientFirst) header(flag, authzid string) bool {
	switch {
	case flag == "n", flag == "y":
	case strings.HasPrefix(flag, "p=") && validBindingName(flag[2:]):
	default:
		return false
	}
	m.flag = flag[0]
	if m.flag == 'p' {
		m.binding = flag[2:]
	}
	if authzid == "" {
		return true
	}
	name, ok := saslName(authzid, "a=")
	m.authzid = name
	return ok
}

// clientFinal is the client-final-message.
type clientFinal struct {
	binding      []byte
	nonce        string
	proof        Key
	withoutProof string
}

// parseClientFinal takes a client-final-message apart, whose proof has size octets. The proof is last by the
// grammar, so that all before it can be signed.
func parseClientFinal(message []byte, size int) (clientFinal, error) {
	i := bytes.LastIndex(message, []byte(",p="))
	if len(message) > maxMessage || i < 0 || !utf8.Valid(message) || bytes.IndexByte(message, 0) >= 0 {
		return clientFinal{}, malformed("SCRAM")
	}
	m := clientFinal{withoutProof: string(message[:i])}
	proof, err := decode(message[i+3:])
	if err != nil || len(proof) != size {
		return clientFinal{}, malformed("SCRAM")
	}
	m.proof = proof
	binding, rest, _ := strings.Cut(m.withoutProof, ",")
	nonce, extensions, more := strings.Cut(rest, ",")
	binding, ok1 := strings.CutPrefix(binding, "c=")
	m.binding, err = decode([]byte(binding))
	var ok2 bool
	m.nonce, ok2 = strings.CutPrefix(nonce, "r=")
	if err != nil || !ok1 || !ok2 || !validNonce(m.nonce) || more && !validExtensions(extensions) {
		return clientFinal{}, malformed("SCRAM")
	}
	return m, nil
}

// serverFirst is the server-first-message.
type serverFirst struct {
	nonce      string
	salt       []byte
	iterations int
}

func (m serverFirst) String() string {
	return "r=" + m.nonce + ",s=" + Encode(m.salt) + ",i=" + strconv.Itoa(m.iterations)
}

// parseServerFirst takes a server-first-message apart.
func parseServerFirst(message []byte) (serverFirst, error) {
	parts := strings.SplitN(string(message), ",", 4)
	if len(message) > maxMessage || !utf8.Valid(message) || len(parts) < 3 || len(parts) == 4 && !validExtensions(parts[3]) {
		return serverFirst{}, malformed("SCRAM")
	}
	nonce, ok1 := strings.CutPrefix(parts[0], "r=")
	salt, ok2 := strings.CutPrefix(parts[1], "s=")
	count, ok3 := strings.CutPrefix(parts[2], "i=")
	m := serverFirst{nonce: nonce}
	var err1, err2 error
	m.salt, err1 = decode([]byte(salt))
	m.iterations, err2 = strconv.Atoi(count)
	if !ok1 || !ok2 || !ok3 || err1 != nil || err2 != nil || !validNonce(nonce) || len(m.salt) == 0 || m.iterations < 1 || count[0] == '+' {
		return serverFirst{}, malformed("SCRAM")
	}
	return m, nil
}

// saslName undoes the writing of "," and "=" in a name (RFC 5802, section 5.1).
func saslName(s, prefix string) (string, bool) {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok || s == "" {
		return "", false
	}
	if strings.IndexByte(s, '=') < 0 {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '=':
			b.WriteByte(s[i])
			continue
		case strings.HasPrefix(s[i:], "=2C"):
			b.WriteByte(',')
		case strings.HasPrefix(s[i:], "=3D"):
			b.WriteByte('=')
		default:
			return "", false
		}
		i += 2
	}
	return b.String(), true
}

var nameEscaper = strings.NewReplacer("=", "=3D", ",", "=2C")

// validNonce reports whether s is printable ASCII without a comma.
func validNonce(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' || s[i] == ',' {
			return false
		}
	}
	return s != ""
}

// validExtensions reports whether s is a list of attr-val, which are ignored when they are
// optional. "m" marks a mandatory one and stands elsewhere.
func validExtensions(s string) bool {
	for attr := range strings.SplitSeq(s, ",") {
		if len(attr) < 3 || attr[1] != '=' || !letter(attr[0]) || attr[0] == 'm' {
			return false
		}
	}
	return true
}

func validBindingName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !letter(c) && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return s != ""
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

package directory

import (
	"crypto"
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"regexp"
	"strconv"
	"strings"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
)

// sums are the functions of the schemes that are one sum of the password.
var sums = map[string]func() hash.Hash{"MD5": md5.New, "SHA": sha1.New, "SHA256": sha256.New, "SHA512": sha512.New}

// maxOldSalt bounds the salt of an old hash, in octets.
const maxOldSalt = 64

// plainSum is the scheme of a sum without salt, in base64 or hexadecimal.
func plainSum(name string) scheme {
	size := sums[name]().Size()
	return func(text string) (oldHash, error) {
		b, err := base64.StdEncoding.DecodeString(text)
		if len(text) == hex.EncodedLen(size) {
			b, err = hex.DecodeString(text)
		}
		if err != nil || len(b) != size {
			return oldHash{}, malformed()
		}
		return oldHash{matches: func(password []byte) bool { return hmac.Equal(sumOf(name, password, nil), b) }}, nil
	}
}

// saltedSum is the scheme of a sum of password and salt, which is followed by the salt, in base64 (RFC 2307 and its users).
func saltedSum(name string) scheme {
	size := sums[name]().Size()
	return func(text string) (oldHash, error) {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(b) <= size || len(b) > size+maxOldSalt {
			return oldHash{}, malformed()
		}
		return oldHash{matches: func(password []byte) bool { return hmac.Equal(sumOf(name, password, b[size:]), b[:size]) }}, nil
	}
}

func sumOf(name string, password, salt []byte) []byte {
	h := sums[name]()
	h.Write(password)
	h.Write(salt)
	return h.Sum(nil)
}

// ha1Form is "user:realm:HA1", HA1 being the sum of "user:realm:password" (RFC 2831, section 2.1.2.1).
var ha1Form = regexp.MustCompile(`^([^:]*):([^:]*):([0-9a-fA-F]{32})$`)

// withRealm names user and realm of an HA1 as Dovecot computes it, unless they are named.
func withRealm(hash string, a mail.Address) string {
	if strings.Contains(hash, ":") {
		return hash
	}
	return string(a.Local) + ":" + string(a.Domain) + ":" + hash
}

// ha1 is the scheme of DIGEST-MD5. Each hash says for which user and realm it is: that of one form of name is none of another.
func ha1(text string) (oldHash, error) {
	m := ha1Form.FindStringSubmatch(text)
	if m == nil {
		return oldHash{}, malformed()
	}
	want, _ := hex.DecodeString(m[3])
	prefix := []byte(m[1] + ":" + m[2] + ":")
	return oldHash{matches: func(password []byte) bool { return hmac.Equal(sumOf("MD5", prefix, password), want) }}, nil
}

// cramContexts is the scheme of CRAM-MD5: the states of HMAC-MD5 after its pads, outer one first, of four numbers each, least
// significant octet first, in hexadecimal.
func cramContexts(text string) (oldHash, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 2*md5.Size {
		return oldHash{}, malformed()
	}
	var want sasl.CramKey
	for i, half := range [][]byte{b[md5.Size:], b[:md5.Size]} {
		for n := 0; n < md5.Size; n += 4 {
			binary.BigEndian.PutUint32(want[i*md5.Size+n:], binary.LittleEndian.Uint32(half[n:]))
		}
	}
	return oldHash{matches: func(password []byte) bool {
		k := sasl.NewCramKey(password)
		return hmac.Equal(k[:], want[:])
	}}, nil
}

// maxIterations bounds PBKDF2.
const maxIterations = 200_000

var pbkdf2Form = regexp.MustCompile(`^\$1\$([^$]{1,64})\$(\d{1,9})\$([0-9a-f]{40})$`)

// pbkdf2SHA1 is Dovecot's scheme PBKDF2.
func pbkdf2SHA1(text string) (oldHash, error) {
	m := pbkdf2Form.FindStringSubmatch(text)
	if m == nil {
		return oldHash{}, malformed()
	}
	rounds, _ := strconv.Atoi(m[2])
	if rounds > maxIterations || rounds < 1 {
		return oldHash{}, tooCostly("the number of rounds", maxIterations)
	}
	want, _ := hex.DecodeString(m[3])
	return oldHash{matches: func(password []byte) bool {
		got, err := pbkdf2.Key(sha1.New, string(password), []byte(m[1]), rounds, len(want))
		return err == nil && hmac.Equal(got, want)
	}}, nil
}

// foreignScram is SCRAM-SHA-256 with a salt that is not the account's: good for received passwords alone.
func foreignScram(text string) (oldHash, error) {
	parts := strings.Split(text, ",")
	if len(parts) != 4 {
		return oldHash{}, malformed()
	}
	iterations, err1 := strconv.Atoi(parts[0])
	salt, err2 := base64.StdEncoding.DecodeString(parts[1])
	stored, err3 := base64.StdEncoding.DecodeString(parts[2])
	if err1 != nil || err2 != nil || err3 != nil || iterations < 1 || len(salt) > maxOldSalt || len(stored) != sha256.Size {
		return oldHash{}, malformed()
	}
	if iterations > maxIterations {
		return oldHash{}, tooCostly("the number of iterations", maxIterations)
	}
	return oldHash{matches: func(password []byte) bool {
		return hmac.Equal(sasl.DeriveKeys(crypto.SHA256, password, salt, iterations).StoredKey, stored)
	}}, nil
}

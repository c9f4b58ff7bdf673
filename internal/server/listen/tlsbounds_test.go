package listen

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

// TestGreatClientHello: a ClientHello over 64 KiB is refused at its length, long before it is there.
func TestGreatClientHello(t *testing.T) {
	t.Parallel()
	ts := one(t, IMAP, Implicit, echo)
	c := ts.dial(t, 0)
	send(t, c, "\x16\x03\x01\x40\x00"+"\x01\x01\x00\x01"+strings.Repeat("\x00", 0x4000-4))
	got, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) || len(got) > 7 {
		t.Errorf("answered %x, %v", got, err)
	}
	ts.expectLog(t, "tls handshake failed")
}

// TestUselessRecords: sixteen records in a row that carry nothing, or key updates, are let pass; one more ends
// the connection.
func TestUselessRecords(t *testing.T) {
	t.Parallel()
	ts := one(t, IMAP, Implicit, echo)
	for name, useless := range map[string]func(*sealer) []byte{
		"empty":      func(s *sealer) []byte { return s.seal(0x17, nil) },
		"key update": (*sealer).update,
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{16, 17} {
				raw := ts.dial(t, 0)
				var keys bytes.Buffer
				config := clientTLS()
				config.KeyLogWriter, config.MinVersion = &keys, tls.VersionTLS13
				c := tls.Client(raw, config)
				expect(t, c, "hello\r\n")
				s := newSealer(t, keys.String(), c.ConnectionState().CipherSuite)
				var out []byte
				for range n {
					out = append(out, useless(s)...)
				}
				out = append(out, s.seal(0x17, []byte("still here\r\n"))...)
				send(t, raw, string(out))
				if n == 16 {
					expect(t, c, "= still here\r\n")
				} else if got, err := io.ReadAll(c); len(got) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%d records in a row: got %q, %v", n, got, err)
				}
			}
		})
	}
}

// sealer writes TLS 1.3 records as a client that knows its own traffic secret (RFC 8446, sections 5.2, 7.1 and 7.2).
type sealer struct {
	keySize  int
	aead     func(key []byte) (cipher.AEAD, error)
	secret   []byte
	sequence uint64
}

func newSealer(t *testing.T, keyLog string, suite uint16) *sealer {
	t.Helper()
	s := &sealer{keySize: 16, aead: func(key []byte) (cipher.AEAD, error) {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		return cipher.NewGCM(block)
	}}
	switch suite {
	case tls.TLS_AES_128_GCM_SHA256:
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		s.keySize, s.aead = chacha20poly1305.KeySize, chacha20poly1305.New
	default:
		t.Fatalf("this test does not speak %s", tls.CipherSuiteName(suite))
	}
	for line := range strings.Lines(keyLog) {
		if f := strings.Fields(line); f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			s.secret, _ = hex.DecodeString(f[2])
		}
	}
	return s
}

func (s *sealer) expand(label string, n int) []byte {
	label = "tls13 " + label
	info := string([]byte{byte(n >> 8), byte(n), byte(len(label))}) + label + "\x00"
	out, err := hkdf.Expand(sha256.New, s.secret, info, n)
	if err != nil {
		panic(err)
	}
	return out
}

// seal makes a record of a content type.
func (s *sealer) seal(kind byte, content []byte) []byte {
	aead, err := s.aead(s.expand("key", s.keySize))
	if err != nil {
		panic(err)
	}
	nonce := s.expand("iv", 12)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], s.sequence)
	for i, c := range counter {
		nonce[4+i] ^= c
	}
	s.sequence++
	inner := append(bytes.Clone(content), kind)
	size := len(inner) + aead.Overhead()
	head := []byte{0x17, 3, 3, byte(size >> 8), byte(size)}
	return aead.Seal(head, nonce, inner, head)
}

// update makes a KeyUpdate, and goes on with the new key.
func (s *sealer) update() []byte {
	record := s.seal(0x16, []byte{24, 0, 0, 1, 0})
	s.secret, s.sequence = s.expand("traffic upd", sha256.Size), 0
	return record
}

package listen

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"

	"candor/internal/mail"
)

// believe takes over the TLS that ended at the proxy, if there was any.
func (c *Conn) believe(h *proxyproto.Header) error {
	tlvs, err := h.TLVs()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(tlvs, func(v proxyproto.TLV) bool { return v.Type == proxyproto.PP2_TYPE_SSL })
	if i < 0 {
		return nil
	}
	ssl, err := tlvparse.SSL(tlvs[i])
	if err != nil || !ssl.ClientSSL() {
		return err
	}
	version, _ := ssl.SSLVersion()
	known, ok := map[string]string{"TLSv1.2": "TLS1.2", "TLSv1.3": "TLS1.3"}[version]
	if !ok {
		return fmt.Errorf("TLS ended at the proxy with version %q: let it take nothing older than TLS 1.2", version)
	}
	claimed, _ := ssl.SSLCipher()
	suite, ok := suiteAtProxy(known, claimed)
	if !ok {
		return fmt.Errorf("TLS ended at the proxy with %s and the suite %q: let it take none but those of RFC 9325, section 4.2, and tell which", known, claimed)
	}
	group, _ := ssl.SSLGroup()
	t := &c.transport
	t.State, t.Mode, t.Version, t.Cipher, t.Group = mail.EncryptedUnauthenticated, mail.ImplicitTLS, known, suite, groupAtProxy(group)
	t.FloorSource = "admin:proxy_tls_trusted"
	if c.listener.Mode.startsTLS() {
		t.Mode = mail.StartTLS
	}
	for _, v := range tlvs {
		switch v.Type {
		case proxyproto.PP2_TYPE_AUTHORITY:
			t.SNI = printable(string(v.Value))
		case proxyproto.PP2_TYPE_ALPN:
			t.ALPN = printable(string(v.Value))
		}
	}
	c.tlsAtProxy = true
	return nil
}

// suites13 are those of TLS 1.3 (RFC 8446, section 9.1).
var suites13 = []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}

// suiteAtProxy returns the IANA name of a suite that a proxy names so or as OpenSSL does. It reports false for one that
// would make the state worse than the claim; one of TLS 1.3 may be left out.
func suiteAtProxy(version, claimed string) (name string, ok bool) {
	list := suites
	if version == "TLS1.3" {
		list = suites13
	}
	i := slices.IndexFunc(list, func(id uint16) bool {
		name := tls.CipherSuiteName(id)
		return claimed == name || claimed == openSSLName(name)
	})
	if i < 0 {
		return "", claimed == "" && version == "TLS1.3"
	}
	return tls.CipherSuiteName(list[i]), true
}

// openSSLName is OpenSSL's name for a suite of TLS 1.2, such as ECDHE-RSA-AES128-GCM-SHA256.
func openSSLName(iana string) string {
	name := strings.NewReplacer("WITH_", "", "AES_", "AES", "_", "-").Replace(strings.TrimPrefix(iana, "TLS_"))
	return strings.Replace(name, "POLY1305-SHA256", "POLY1305", 1)
}

// groupAtProxy is the IANA name of a group, where OpenSSL has another.
func groupAtProxy(claimed string) string {
	switch claimed {
	case "X25519":
		return "x25519"
	case "prime256v1", "P-256":
		return "secp256r1"
	case "P-384":
		return "secp384r1"
	}
	return printable(claimed)
}

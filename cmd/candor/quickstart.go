package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"candor/internal/mail"
)

type quickstartCmd struct {
	Hostname string `required:"" help:"Name of this server, as in MX records and certificates." placeholder:"NAME"`
	Domain   string `required:"" help:"First mail domain." placeholder:"NAME"`
	Data     string `required:"" help:"Folder for everything: made if it is absent, else empty." placeholder:"DIR"`
	Ports    string `enum:"standard,high" default:"standard" help:"standard, or high ports on loopback for trying out."`
	Address  string `help:"Listen on this address only." placeholder:"IP"`
}

// Run makes a data directory that 'candor serve' can use at once.
func (q *quickstartCmd) Run(ctx context.Context, std *stdio) error {
	hostname, err := parseName("--hostname", q.Hostname)
	if err != nil {
		return err
	}
	domain, err := parseName("--domain", q.Domain)
	if err != nil {
		return err
	}
	host, err := q.host()
	if err != nil {
		return err
	}
	if err := emptyFolder(q.Data); err != nil {
		return err
	}
	if err := refuseRoot(q.Data); err != nil { // before anything stands in the way of the next try
		return err
	}
	if err := writeCertificate(filepath.Join(q.Data, "tls"), hostname, q.Ports == "high"); err != nil {
		return err
	}
	file := filepath.Join(q.Data, "candor.toml")
	listeners := quickListeners(host, q.Ports == "high")
	if err := os.WriteFile(file, configText(hostname, listeners), 0o640); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	c, err := loadConfig(file)
	if err != nil {
		return err
	}
	ops, err := openOffline(ctx, c)
	if err != nil {
		return err
	}
	err = ops.AddDomain(ctx, domain)
	if err := errors.Join(err, ops.Close()); err != nil {
		return err
	}
	q.explain(std.out, c, domain)
	return nil
}

// parseName reads a domain name; an address literal is none.
func parseName(flag, s string) (mail.Domain, error) {
	d, err := mail.ParseDomain(s)
	if _, literal := d.Literal(); err != nil || literal {
		return "", fmt.Errorf("%s: %q is not a domain name: write it like example.org", flag, s)
	}
	return d, nil
}

// host returns the address to listen on; empty is all.
func (q *quickstartCmd) host() (string, error) {
	if q.Address != "" {
		a, err := netip.ParseAddr(q.Address)
		if err != nil {
			return "", fmt.Errorf("--address: %q is not an IP address", q.Address)
		}
		return a.String(), nil
	}
	if q.Ports == "high" {
		return "127.0.0.1", nil
	}
	return "", nil
}

// emptyFolder makes dir, or accepts it when nothing is in it.
func emptyFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking into the data folder: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty (it holds %s): name another folder", dir, entries[0].Name())
	}
	return nil
}

// quickListeners are the default listeners bound to host. High ports are the standard ones plus 2000,
// with smtp on 2525.
func quickListeners(host string, high bool) []listenerConfig {
	var all []listenerConfig
	for _, l := range defaultListeners {
		_, port := bind(l.Address)
		if high {
			port += 2000
			if port == 2025 {
				port = 2525
			}
		}
		l.Address = net.JoinHostPort(host, strconv.Itoa(int(port)))
		all = append(all, l)
	}
	return all
}

// configText writes only hostname, data, [tls] and [[listener]]: other tables may be appended.
func configText(hostname mail.Domain, listeners []listenerConfig) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "hostname = %q\ndata     = \".\"  # relative to this file\n\n[tls]\ncert = \"tls/cert.pem\"\nkey  = \"tls/key.pem\"\n", hostname)
	for _, l := range listeners {
		fmt.Fprintf(&b, "\n[[listener]]\nservice = %q\naddress = %q\ntls     = %q\n", l.Service, l.Address, l.TLS)
	}
	return []byte(b.String())
}

// writeCertificate makes an ECDSA P-256 key and a self-signed certificate for hostname; for a trial
// on loopback it also names localhost.
func writeCertificate(dir string, hostname mail.Domain, trial bool) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return fmt.Errorf("making a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: string(hostname)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		DNSNames: []string{string(hostname)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	if trial {
		template.DNSNames = append(template.DNSNames, "localhost")
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("making a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding the key: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("making the folder for the certificate: %w", err)
	}
	if err := writePEM(filepath.Join(dir, "cert.pem"), "CERTIFICATE", cert, 0o644); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, "key.pem"), "PRIVATE KEY", keyDER, 0o600)
}

func writePEM(file, kind string, der []byte, mode os.FileMode) error {
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

func (q *quickstartCmd) explain(w io.Writer, c *config, domain mail.Domain) {
	h := c.hostname
	fmt.Fprintf(w, `Candor is ready to run: %s

DNS records to publish:
  %s.  A     <address of this server>
  %s.  MX    10 %s.
  %s.  TXT   "v=spf1 mx -all"
  _submissions._tcp.%s.  SRV  0 1 465 %s.
  _imaps._tcp.%s.  SRV  0 1 993 %s.
  _pop3s._tcp.%s.  SRV  10 1 995 %s.

Next:
  candor account add you@%s --config %s
  candor serve --config %s

The certificate %s is self-signed: mail programs must be told to trust it, until you
set [tls] cert and key to one that they know. postmaster@%s exists and receives mail; it
cannot log in until 'candor account password postmaster@%s --config %s'.
`, c.file, h, domain, h, domain, domain, h, domain, h, domain, h, domain, c.file, c.file, c.TLS.Cert, domain, domain, c.file)
}

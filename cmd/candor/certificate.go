package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"candor/internal/mail"
	"candor/internal/store/directory"
)

type certificateCmd struct {
	Add    certificateAddCmd    `cmd:"" help:"Let an account log in with a client certificate, by SASL EXTERNAL."`
	List   certificateListCmd   `cmd:"" help:"List an account's client certificates with their last use."`
	Remove certificateRemoveCmd `cmd:"" help:"Take a client certificate from an account, at once."`
}

type certificateAddCmd struct {
	Address     string   `arg:"" help:"Address of the account."`
	Name        string   `required:"" help:"What it is, such as laptop; no two of an account have the same." placeholder:"NAME"`
	File        string   `xor:"what" required:"" type:"existingfile" help:"The certificate, a PEM file." placeholder:"FILE"`
	Fingerprint string   `xor:"what" required:"" help:"SHA-256 of the certificate or of its public key, as sha256:HEX." placeholder:"SHA256"`
	Email       string   `xor:"what" required:"" help:"Any certificate that is verified and has this address as subject alternative name." placeholder:"ADDRESS"`
	Scope       []string `help:"What it may be used for: smtp, imap, pop3, sieve, web; all but web if none is given." placeholder:"SCOPE"`
}

// Run adds the certificate.
func (a *certificateAddCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	address, err := mail.ParseAddress(a.Address)
	if err != nil {
		return err
	}
	n := directory.NewCertificate{Name: a.Name}
	if n.Scopes, err = directory.ParseScopes(a.Scope); err != nil {
		return fmt.Errorf("--scope: %w", err)
	}
	switch {
	case a.File != "":
		n.Fingerprint, err = certificateFingerprint(a.File)
	case a.Fingerprint != "":
		n.Fingerprint, err = pinText(a.Fingerprint)
	default:
		n.Email, err = mail.ParseAddress(a.Email)
	}
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		if err := o.AddCertificate(ctx, address, n); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "The client certificate %q of %s is added.\n", a.Name, address)
		return nil
	})
}

// certificateFingerprint is that of the first certificate in a PEM file.
func certificateFingerprint(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			sum := sha256.Sum256(block.Bytes)
			return "sha256:" + hex.EncodeToString(sum[:]), nil
		}
	}
	return "", fmt.Errorf("%s: %w", file, errNoCertificate)
}

var errNoCertificate = errors.New("it holds no certificate in PEM")

// pinText checks a fingerprint and writes it as it is kept.
func pinText(s string) (string, error) {
	pin, err := parsePin(s)
	return "sha256:" + hex.EncodeToString(pin[:]), err
}

type certificateListCmd struct {
	Address string `arg:"" help:"Address of the account."`
}

// Run lists the client certificates of an account.
func (a *certificateListCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	address, err := mail.ParseAddress(a.Address)
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		all, err := o.Credentials(ctx, address)
		if err != nil {
			return err
		}
		certificates := slices.DeleteFunc(all, func(c directory.Credential) bool { return c.Kind != "cert" })
		return list(std.out, c.JSON, certificates, func(c directory.Credential) string {
			return strings.Join([]string{c.Name, c.Certificate, scopeWords(c.Scopes), useWords(c.LastUsed)}, "\t")
		})
	})
}

type certificateRemoveCmd struct {
	Address string `arg:"" help:"Address of the account."`
	Name    string `arg:"" help:"Name of the client certificate."`
}

// Run removes the client certificate.
func (a *certificateRemoveCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	address, err := mail.ParseAddress(a.Address)
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		if err := o.RemoveCertificate(ctx, address, a.Name); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "The client certificate %q of %s is removed.\n", a.Name, address)
		return nil
	})
}

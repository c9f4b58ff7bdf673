package listen

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"
)

// What asking a responder may take.
const (
	responseOctets = 64 << 10
	responderTime  = 15 * time.Second
	maxResponders  = 3
	// clockSkew is how far a responder's clock may be ahead.
	clockSkew = 5 * time.Minute
	// endlessLife is how long a response counts whose responder promises no next one.
	endlessLife = time.Hour
)

// errRevoked says that the authority has revoked the certificate.
var errRevoked = errors.New("the certificate is revoked: have a new one issued")

// response is a verified OCSP response that says "good" (RFC 6960).
type response struct {
	der        []byte
	from, ends time.Time
}

// halfLife is when it is to be replaced.
func (r *response) halfLife() time.Time { return r.from.Add(r.ends.Sub(r.from) / 2) }

// responders are those that the certificate names and that HTTP can ask.
func responders(x *x509.Certificate) (urls []string) {
	for _, url := range x.OCSPServer {
		if (strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://")) && len(urls) < maxResponders {
			urls = append(urls, url)
		}
	}
	return urls
}

// askResponders asks the responders that the certificate names until one answers.
//
// Errors: errRevoked, which is final for now; that of the last responder.
func askResponders(ctx context.Context, client *http.Client, leaf, issuer *x509.Certificate) (*response, error) {
	question, err := ocsp.CreateRequest(leaf, issuer, nil) // with SHA-1, which every responder knows
	if err != nil {
		return nil, err
	}
	for _, url := range responders(leaf) {
		var r *response
		if r, err = ask(ctx, client, url, question, leaf, issuer); err == nil || errors.Is(err, errRevoked) {
			return r, err
		}
		err = fmt.Errorf("%s: %w", url, err)
	}
	return nil, err
}

// ask sends the question by POST (RFC 6960, appendix A).
func ask(ctx context.Context, client *http.Client, url string, question []byte, leaf, issuer *x509.Certificate) (*response, error) {
	ctx, cancel := context.WithTimeout(ctx, responderTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(question))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/ocsp-request")
	r.Header.Set("Accept", "application/ocsp-response")
	answer, err := client.Do(r)
	if err != nil {
		return nil, errors.Unwrap(err) // it is a *url.Error, which repeats the address
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", answer.Status)
	}
	der, err := io.ReadAll(io.LimitReader(answer.Body, responseOctets+1))
	if err != nil {
		return nil, err
	}
	if len(der) > responseOctets {
		return nil, fmt.Errorf("its response is longer than %d octets", responseOctets)
	}
	return verifyResponse(der, leaf, issuer, time.Now())
}

// verifyResponse checks that der says "good" of leaf, by who may say so, and now.
func verifyResponse(der []byte, leaf, issuer *x509.Certificate, now time.Time) (*response, error) {
	r, err := ocsp.ParseResponseForCert(der, leaf, issuer)
	if err != nil {
		return nil, err
	}
	if signer := r.Certificate; signer != nil && !signer.Equal(issuer) {
		if !slices.Contains(signer.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) || now.Before(signer.NotBefore) || now.After(signer.NotAfter) {
			return nil, errors.New("its signer may not sign it (RFC 6960, section 4.2.2.2)")
		}
	}
	switch r.Status {
	case ocsp.Good:
	case ocsp.Revoked:
		return nil, errRevoked
	default:
		return nil, errors.New("the responder does not know the certificate")
	}
	ends := r.NextUpdate
	if ends.IsZero() {
		ends = r.ThisUpdate.Add(endlessLife)
	}
	if now.Add(clockSkew).Before(r.ThisUpdate) || !now.Before(ends) {
		return nil, fmt.Errorf("the response is for another time: from %s to %s", r.ThisUpdate.UTC().Format(time.RFC3339), ends.UTC().Format(time.RFC3339))
	}
	return &response{der, r.ThisUpdate, ends}, nil
}

package sasl

import "strconv"

// BearerClient is the client's end of OAUTHBEARER and XOAUTH2.
type BearerClient struct {
	mechanism, user, host, token string
	port                         uint16
	refused                      []byte
}

// NewBearerClient begins an exchange of a mechanism, OAuthBearer or XOAuth2, for user. host and port are the server's,
// which OAUTHBEARER alone tells it.
func NewBearerClient(mechanism, user, host string, port uint16, token string) *BearerClient {
	return &BearerClient{mechanism: mechanism, user: user, host: host, port: port, token: token}
}

// Mechanism returns the mechanism's name.
func (c *BearerClient) Mechanism() string { return c.mechanism }

// Start returns the initial response.
func (c *BearerClient) Start() []byte {
	if c.mechanism == XOAuth2 {
		return []byte("user=" + c.user + "\x01auth=Bearer " + c.token + "\x01\x01")
	}
	return []byte("n,a=" + nameEscaper.Replace(c.user) + ",\x01host=" + c.host + "\x01port=" + strconv.Itoa(int(c.port)) +
		"\x01auth=Bearer " + c.token + "\x01\x01")
}

// Next takes the server's word of why it refuses, and lets it finish (RFC 7628, section 3.2.3).
func (c *BearerClient) Next(challenge []byte) ([]byte, error) {
	switch {
	case c.refused != nil:
		return nil, malformed(c.mechanism)
	case len(challenge) == 0:
		return c.Start(), nil
	}
	c.refused = challenge
	if c.mechanism == XOAuth2 {
		return []byte{}, nil
	}
	return []byte{1}, nil
}

// Refused is the server's word of why it refuses, in JSON; nil if it has not spoken.
func (c *BearerClient) Refused() []byte { return c.refused }

// Finish accepts the server's success, unless the server has refused before.
func (c *BearerClient) Finish() error {
	if c.refused != nil {
		return failed(nil)
	}
	return nil
}

package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"candor/internal/mail"
	"candor/internal/store/directory"
	"candor/internal/transit/queue"
)

// Client asks a running server over its operator socket. Its methods are those of Operations and
// return the same errors.
type Client struct {
	http http.Client
}

// ErrNotRunning is returned by Dial when no server answers at the socket.
var ErrNotRunning = errors.New("web: no server is running")

// Dial finds out whether a server answers at the socket.
func Dial(ctx context.Context, socket string) (*Client, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return connect(ctx, socket) }
	conn, err := dial(ctx, "", "")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	conn.Close()
	return &Client{http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: 5 * time.Minute}}, nil
}

// Close lets go of the connection.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// call carries out an operation of the server and decodes its answer into out, unless that is nil.
func (c *Client) call(ctx context.Context, operation string, request, out any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	resp, err := c.post(ctx, &c.http, operation, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// failure is the error that the server answered with.
func failure(resp *http.Response) error {
	var p problem
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	return p.err()
}

// stream carries out an operation that takes as long as it has to.
func (c *Client) stream(ctx context.Context, operation string, body io.Reader) (*http.Response, error) {
	return c.post(ctx, &http.Client{Transport: c.http.Transport}, operation, body)
}

// post returns the answer, whose body the caller closes, or the server's error.
func (c *Client) post(ctx context.Context, client *http.Client, operation string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://candor/v1/"+operation, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("asking the server: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, failure(resp)
}

// ask is call for an operation that answers with a T.
func ask[T any](ctx context.Context, c *Client, operation string, request any) (T, error) {
	var answer T
	err := c.call(ctx, operation, request, &answer)
	return answer, err
}

// Domains is Operations.Domains; and so on for the others.
func (c *Client) Domains(ctx context.Context) ([]mail.Domain, error) {
	return ask[[]mail.Domain](ctx, c, "domains", none{})
}

// AddDomain makes a domain ours.
func (c *Client) AddDomain(ctx context.Context, d mail.Domain) error {
	return c.call(ctx, "domain/add", domainRequest{d}, nil)
}

// RemoveDomain removes a domain without accounts and aliases.
func (c *Client) RemoveDomain(ctx context.Context, d mail.Domain) error {
	return c.call(ctx, "domain/remove", domainRequest{d}, nil)
}

// Accounts returns all accounts.
func (c *Client) Accounts(ctx context.Context) ([]directory.Account, error) {
	return ask[[]directory.Account](ctx, c, "accounts", none{})
}

// AddAccount makes an account with its mailboxes.
func (c *Client) AddAccount(ctx context.Context, a mail.Address, password string) error {
	return c.call(ctx, "account/add", accountRequest{a, password}, nil)
}

// RemoveAccount removes an account with its mail.
func (c *Client) RemoveAccount(ctx context.Context, a mail.Address) error {
	return c.call(ctx, "account/remove", accountRequest{Address: a}, nil)
}

// SetPassword replaces an account's main password.
func (c *Client) SetPassword(ctx context.Context, a mail.Address, password string) error {
	return c.call(ctx, "account/password", accountRequest{a, password}, nil)
}

// DisableAccount refuses an account's logins.
func (c *Client) DisableAccount(ctx context.Context, a mail.Address) error {
	return c.call(ctx, "account/disable", accountRequest{Address: a}, nil)
}

// EnableAccount lets a disabled account log in again.
func (c *Client) EnableAccount(ctx context.Context, a mail.Address) error {
	return c.call(ctx, "account/enable", accountRequest{Address: a}, nil)
}

// AccountQuota returns the quota of an account with what is used of it.
func (c *Client) AccountQuota(ctx context.Context, a mail.Address) (AccountQuota, error) {
	return ask[AccountQuota](ctx, c, "account/quota", accountRequest{Address: a})
}

// SetQuota replaces an account's own quota.
func (c *Client) SetQuota(ctx context.Context, a mail.Address, q directory.Quota) error {
	return c.call(ctx, "account/quota/set", quotaRequest{a, q}, nil)
}

// Aliases returns all aliases.
func (c *Client) Aliases(ctx context.Context) ([]directory.Alias, error) {
	return ask[[]directory.Alias](ctx, c, "aliases", none{})
}

// AddAlias makes an alias.
func (c *Client) AddAlias(ctx context.Context, a directory.Alias) error {
	return c.call(ctx, "alias/add", a, nil)
}

// RemoveAlias removes an alias.
func (c *Client) RemoveAlias(ctx context.Context, a mail.Address) error {
	return c.call(ctx, "alias/remove", accountRequest{Address: a}, nil)
}

// QueueList returns what is queued.
func (c *Client) QueueList(ctx context.Context) ([]QueueItem, error) {
	return ask[[]QueueItem](ctx, c, "queue", none{})
}

// QueueShow returns one queued message.
func (c *Client) QueueShow(ctx context.Context, id queue.ID) (QueueItem, error) {
	return ask[QueueItem](ctx, c, "queue/show", queueRequest{id})
}

// QueueRetry makes a message, or with no id all, due now.
func (c *Client) QueueRetry(ctx context.Context, id queue.ID) (int, error) {
	return ask[int](ctx, c, "queue/retry", queueRequest{id})
}

// QueueRemove takes a message, or with no id all, out of the queue.
func (c *Client) QueueRemove(ctx context.Context, id queue.ID) (int, error) {
	return ask[int](ctx, c, "queue/remove", queueRequest{id})
}

// Reload makes the server read its configuration again.
func (c *Client) Reload(ctx context.Context) (time.Time, error) {
	return ask[time.Time](ctx, c, "reload", none{})
}

// ServerStatus returns the server's status.
func (c *Client) ServerStatus(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, "status", none{})
}

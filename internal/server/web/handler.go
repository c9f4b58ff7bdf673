package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"candor/internal/mail"
	"candor/internal/store/directory"
	"candor/internal/transit/queue"
)

// maxRequest bounds an operator's request, in octets.
const maxRequest = 1 << 20

// accountRequest names an account; Password is for those that set one.
type accountRequest struct {
	Address  mail.Address `json:"address"`
	Password string       `json:"password,omitempty"`
}

type quotaRequest struct {
	Address mail.Address    `json:"address"`
	Quota   directory.Quota `json:"quota"`
}

type domainRequest struct {
	Domain mail.Domain `json:"domain"`
}

type queueRequest struct {
	ID queue.ID `json:"id"`
}

// problem is a failed operation as JSON: what mail.Error says to strangers, and here the whole cause
// too, since the operator is none.
type problem struct {
	Kind   mail.Kind   `json:"kind"`
	Status mail.Status `json:"status"`
	Text   string      `json:"text"`
}

func (p *problem) err() error { return &mail.Error{Kind: p.Kind, Status: p.Status, Text: p.Text} }

// operation carries out a request's JSON and returns what to answer.
type operation func(ctx context.Context, o *Operations, body []byte) (any, error)

// with makes an operation of a function of a typed request.
func with[Q any](f func(context.Context, *Operations, Q) (any, error)) operation {
	return func(ctx context.Context, o *Operations, body []byte) (any, error) {
		var q Q
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, mail.Wrap(mail.Syntax, err, "the request is not understood")
		}
		return f(ctx, o, q)
	}
}

type none struct{}

// operations are the paths of the API: POST /v1/NAME with a JSON object.
var operations = map[string]operation{
	"status": with(func(ctx context.Context, o *Operations, _ none) (any, error) { return o.ServerStatus(ctx) }),
	"reload": with(func(ctx context.Context, o *Operations, _ none) (any, error) { return o.Reload(ctx) }),
	"census": with(func(ctx context.Context, o *Operations, q censusRequest) (any, error) {
		return o.CensusReport(ctx, q.Days, q.Remove)
	}),
	"census/rows": with(func(ctx context.Context, o *Operations, q rowsRequest) (any, error) {
		return o.CensusRows(ctx, q.Account, q.Days)
	}),
	"trials": with(func(ctx context.Context, o *Operations, _ none) (any, error) { return o.Trials(ctx) }),
	"trial/start": with(func(ctx context.Context, o *Operations, q trialRequest) (any, error) {
		return o.StartTrial(ctx, q.Account, q.Remove, q.Hours)
	}),
	"trial/end": with(func(ctx context.Context, o *Operations, q trialRequest) (any, error) {
		return nil, o.EndTrial(ctx, q.Account, q.Remove)
	}),
	"exposed": with(func(ctx context.Context, o *Operations, _ none) (any, error) { return o.Exposed(ctx) }),
	"programs": with(func(ctx context.Context, o *Operations, q rowsRequest) (any, error) {
		return o.ProgramHints(ctx, q.Account)
	}),
	"blocked": with(func(ctx context.Context, o *Operations, _ none) (any, error) { return o.Blocked(ctx) }),
	"unblock": with(func(ctx context.Context, o *Operations, q unblockRequest) (any, error) {
		found, err := o.Unblock(ctx, q.Network)
		return unblocked{found}, err
	}),
	"unblock/account": with(func(ctx context.Context, o *Operations, q unblockRequest) (any, error) {
		found, err := o.UnblockAccount(ctx, q.Account)
		return unblocked{found}, err
	}),
	"domains": with(func(ctx context.Context, o *Operations, _ none) (any, error) { return o.Domains(ctx) }),
	"domain/add": with(func(ctx context.Context, o *Operations, q domainRequest) (any, error) {
		return nil, o.AddDomain(ctx, q.Domain)
	}),
	"domain/remove": with(func(ctx context.Context, o *Operations, q domainRequest) (any, error) {
		return nil, o.RemoveDomain(ctx, q.Domain)
	}),
	"accounts": with(func(ctx context.Context, o *Operations, _ none) (any, error) { return o.Accounts(ctx) }),
	"account/add": with(func(ctx context.Context, o *Operations, q accountRequest) (any, error) {
		return nil, o.AddAccount(ctx, q.Address, q.Password)
	}),
	"account/remove": with(func(ctx context.Context, o *Operations, q accountRequest) (any, error) {
		return nil, o.RemoveAccount(ctx, q.Address)
	}),
	"account/password": with(func(ctx context.Context, o *Operations, q accountRequest) (any, error) {
		return nil, o.SetPassword(ctx, q.Address, q.Password)
	}),
	"account/require": with(func(ctx context.Context, o *Operations, q policyRequest) (any, error) {
		return nil, o.SetRequirement(ctx, q.Address, q.Require)
	}),
	"account/password/scopes": with(func(ctx context.Context, o *Operations, q policyRequest) (any, error) {
		return nil, o.SetPasswordScopes(ctx, q.Address, q.Scopes)
	}),
	"auth/cache": with(func(ctx context.Context, o *Operations, q accountRequest) (any, error) {
		return o.CachedLogins(ctx, q.Address)
	}),
	"auth/cache/drop": with(func(ctx context.Context, o *Operations, q accountRequest) (any, error) {
		return o.ForgetCached(ctx, q.Address)
	}),
	"account/import": with(func(ctx context.Context, o *Operations, q []directory.ImportedAccount) (any, error) {
		return o.ImportAccounts(ctx, q)
	}),
	"old-passwords": with(func(ctx context.Context, o *Operations, _ none) (any, error) { return o.OldPasswords(ctx) }),
	"credentials": with(func(ctx context.Context, o *Operations, q accountRequest) (any, error) {
		return o.Credentials(ctx, q.Address)
	}),
	"app-password/add": with(func(ctx context.Context, o *Operations, q appPasswordRequest) (any, error) {
		return o.AddAppPassword(ctx, q.Address, q.NewAppPassword)
	}),
	"app-password/revoke": with(func(ctx context.Context, o *Operations, q appPasswordRequest) (any, error) {
		return nil, o.RevokeAppPassword(ctx, q.Address, q.Name)
	}),
	"account/disable": with(func(ctx context.Context, o *Operations, q accountRequest) (any, error) {
		return nil, o.DisableAccount(ctx, q.Address)
	}),
	"account/enable": with(func(ctx context.Context, o *Operations, q accountRequest) (any, error) {
		return nil, o.EnableAccount(ctx, q.Address)
	}),
	"certificate/add": with(func(ctx context.Context, o *Operations, q certificateRequest) (any, error) {
		return nil, o.AddCertificate(ctx, q.Address, q.NewCertificate)
	}),
	"certificate/remove": with(func(ctx context.Context, o *Operations, q certificateRequest) (any, error) {
		return nil, o.RemoveCertificate(ctx, q.Address, q.Name)
	}),
	"offers": with(func(ctx context.Context, o *Operations, _ none) (any, error) { return o.Offers(ctx) }),
	"account/quota": with(func(ctx context.Context, o *Operations, q accountRequest) (any, error) {
		return o.AccountQuota(ctx, q.Address)
	}),
	"account/quota/set": with(func(ctx context.Context, o *Operations, q quotaRequest) (any, error) {
		return nil, o.SetQuota(ctx, q.Address, q.Quota)
	}),
	"aliases": with(func(ctx context.Context, o *Operations, _ none) (any, error) { return o.Aliases(ctx) }),
	"alias/add": with(func(ctx context.Context, o *Operations, q directory.Alias) (any, error) {
		return nil, o.AddAlias(ctx, q)
	}),
	"alias/remove": with(func(ctx context.Context, o *Operations, q accountRequest) (any, error) {
		return nil, o.RemoveAlias(ctx, q.Address)
	}),
	"clients":      with(func(ctx context.Context, o *Operations, _ none) (any, error) { return o.ClientHints(ctx) }),
	"queue":        with(func(ctx context.Context, o *Operations, _ none) (any, error) { return o.QueueList(ctx) }),
	"queue/show":   with(func(ctx context.Context, o *Operations, q queueRequest) (any, error) { return o.QueueShow(ctx, q.ID) }),
	"queue/retry":  with(func(ctx context.Context, o *Operations, q queueRequest) (any, error) { return o.QueueRetry(ctx, q.ID) }),
	"queue/remove": with(func(ctx context.Context, o *Operations, q queueRequest) (any, error) { return o.QueueRemove(ctx, q.ID) }),
	"message/path": with(func(ctx context.Context, o *Operations, q queueRequest) (any, error) { return o.MessagePath(ctx, q.ID) }),
	"message/records": with(func(ctx context.Context, o *Operations, q accountRequest) (any, error) {
		return o.MessageRecords(ctx, q.Address)
	}),
	"message/counts": with(func(ctx context.Context, o *Operations, _ none) (any, error) { return o.MessageCounts(ctx) }),
	"mailboxes": with(func(ctx context.Context, o *Operations, q accountRequest) (any, error) {
		return o.MailboxList(ctx, q.Address)
	}),
	"mailbox/make": with(func(ctx context.Context, o *Operations, q NewMailbox) (any, error) { return o.MakeMailbox(ctx, q) }),
	"import/known": with(func(ctx context.Context, o *Operations, q keysRequest) (any, error) {
		return o.HasImported(ctx, q.MailboxRequest, q.Keys)
	}),
	"messages": with(func(ctx context.Context, o *Operations, q listRequest) (any, error) {
		return o.MessageList(ctx, q.MailboxRequest, q.After)
	}),
}

// quiet are the operations that a command asks for again and again; their success is not logged.
var quiet = map[string]bool{"import": true, "import/known": true, "messages": true}

// Handler serves the operator's API and /metrics. It knows nobody and asks for no login: give it to
// a socket that only the operator can open.
func Handler(o *Operations, metrics http.Handler, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("POST /v1/verify", o.serveVerify(log))
	for name, op := range operations {
		mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
			var done any
			body, err := readBody(w, r)
			if err == nil {
				done, err = op(r.Context(), o, body)
			}
			answer(w, log, name, done, err)
		})
	}
	mux.HandleFunc("POST /v1/"+checkpointPath, checkpoints(o, log))
	handleStreams(mux, o, log)
	return mux
}

// answer writes what an operation returned.
func answer(w http.ResponseWriter, log *slog.Logger, name string, done any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		e := mail.AsError(err)
		log.Warn("operator request failed", "operation", name, "err", err)
		w.WriteHeader(statusFor(e.Kind))
		done = problem{e.Kind, e.Status, err.Error()}
	} else if !quiet[name] {
		log.Info("operator request", "operation", name)
	}
	if err := json.NewEncoder(w).Encode(done); err != nil {
		log.Warn("answering the operator", "operation", name, "err", err)
	}
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var raw json.RawMessage
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&raw)
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return nil, mail.Wrap(mail.TooBig, err, "the request is too big")
	}
	if err != nil {
		return nil, mail.Wrap(mail.Syntax, err, "the request is not JSON")
	}
	return raw, nil
}

// httpStatus is HTTP's column of docs/errors.md.
var httpStatus = map[mail.Kind]int{
	mail.Internal: http.StatusInternalServerError, mail.Syntax: http.StatusBadRequest, mail.Sequence: http.StatusConflict,
	mail.Unsupported: http.StatusNotImplemented, mail.NoAddress: http.StatusNotFound, mail.NotFound: http.StatusNotFound,
	mail.Exists: http.StatusConflict, mail.InUse: http.StatusConflict, mail.Expunged: http.StatusGone,
	mail.OverQuota: http.StatusInsufficientStorage, mail.TooBig: http.StatusRequestEntityTooLarge, mail.TooMany: http.StatusTooManyRequests,
	mail.AuthFailed: http.StatusUnauthorized, mail.AuthNeeded: http.StatusUnauthorized, mail.Forbidden: http.StatusForbidden,
	mail.NeedTLS: http.StatusForbidden, mail.Refused: http.StatusForbidden, mail.Loop: http.StatusLoopDetected,
	mail.Expired: http.StatusGone, mail.Unavailable: http.StatusServiceUnavailable, mail.RemoteFailure: http.StatusBadGateway,
}

func statusFor(k mail.Kind) int {
	if s, ok := httpStatus[k]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// Public is what an HTTP listener shows: /metrics to loopback clients of a loopback address; in clear, a redirect
// to HTTPS; there, help on "/", the page that refusals of the doors point to.
func Public(hostname mail.Domain, help string, metrics http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/metrics" && local(r):
			metrics.ServeHTTP(w, r)
		case r.TLS == nil && (r.Method == http.MethodGet || r.Method == http.MethodHead):
			http.Redirect(w, r, "https://"+string(hostname)+"/"+strings.TrimLeft(r.URL.EscapedPath(), "/"), http.StatusMovedPermanently)
		case r.URL.Path == "/":
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			io.WriteString(w, help)
		default:
			http.NotFound(w, r)
		}
	})
}

// local reports whether both ends of the request's connection are loopback addresses.
func local(r *http.Request) bool {
	here, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !here.IP.IsLoopback() {
		return false
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && net.ParseIP(host).IsLoopback()
}

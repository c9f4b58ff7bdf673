package web_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"candor/internal/mail"
	"candor/internal/mailtest"
	"candor/internal/server/web"
	"candor/internal/store/directory"
	"candor/internal/transit/queue"
)

// serve answers operators on a socket until the test ends.
func serve(t *testing.T) (*web.Client, *web.Operations) {
	t.Helper()
	w := mailtest.NewWorld(t, "domain example.org\n")
	q, err := queue.Open(t.Context(), w.DB, queue.Options{Hostname: mailtest.Hostname, Log: w.Log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	o := &web.Operations{Directory: w.Directory, Mailboxes: w.Mailboxes, Queue: q, Status: func(context.Context) (web.Status, error) {
		return web.Status{Running: true, Hostname: mailtest.Hostname}, nil
	}}
	folder := filepath.Join(t.TempDir(), strings.Repeat("long", 30)) // longer than a socket address takes
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(folder, "candor.sock")
	l, err := web.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: web.Handler(o, web.Metrics(), w.Log)}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	c, err := web.Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, o
}

// TestSocket: only its owner may use the operator socket, one that a dead server left is replaced, and
// a server that ends takes its own away.
func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "candor.sock")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := web.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is left behind")
	}
	if _, err := web.Dial(t.Context(), path); !errors.Is(err, web.ErrNotRunning) {
		t.Errorf("dialing where nobody listens: %v", err)
	}
}

// TestRepair: an account whose mailboxes were never made gets them.
func TestRepair(t *testing.T) {
	_, o := serve(t)
	a, err := o.Directory.AddAccount(t.Context(), mail.Address{Local: "ann", Domain: "example.org"}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // what is whole stays as it is
		if err := o.Repair(t.Context()); err != nil {
			t.Fatal(err)
		}
		m, err := o.Mailboxes.Account(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Lookup(t.Context(), "Sent"); err != nil {
			t.Error(err)
		}
	}
}

// TestClient: an operation through the socket does what it does directly, and fails with the same error.
func TestClient(t *testing.T) {
	c, o := serve(t)
	ctx := t.Context()
	ann := mail.Address{Local: "ann", Domain: "example.org"}
	if err := c.AddAccount(ctx, ann, "secret"); err != nil {
		t.Fatal(err)
	}
	direct := o.AddAccount(ctx, ann, "secret")
	if err := c.AddAccount(ctx, ann, "secret"); !mail.IsKind(err, mail.Exists) || err.Error() != direct.Error() {
		t.Errorf("adding twice: %v; directly: %v", err, direct)
	}
	if err := c.AddAlias(ctx, directory.Alias{Address: mail.Address{Local: "sales", Domain: "example.org"}, Targets: []mail.Address{ann}}); err != nil {
		t.Error(err)
	}
	disabled := func() bool {
		accounts, err := c.Accounts(ctx)
		if err != nil || len(accounts) != 2 {
			t.Fatal(accounts, err)
		}
		return accounts[0].Disabled || accounts[1].Disabled
	}
	if err := c.DisableAccount(ctx, ann); err != nil || !disabled() {
		t.Errorf("disabling: %v", err)
	}
	if err := c.EnableAccount(ctx, ann); err != nil || disabled() {
		t.Errorf("enabling: %v", err)
	}
	if err := c.SetPassword(ctx, mail.Address{Local: "nobody", Domain: "example.org"}, "x"); !mail.IsKind(err, mail.NotFound) {
		t.Errorf("password of nobody: %v", err)
	}
	accounts, err := c.Accounts(ctx)
	if err != nil || len(accounts) != 2 { // with postmaster
		t.Errorf("accounts %+v, %v", accounts, err)
	}
	aliases, err := c.Aliases(ctx)
	if err != nil || len(aliases) != 1 || aliases[0].Targets[0] != ann {
		t.Errorf("aliases %+v, %v", aliases, err)
	}
	if err := c.AddDomain(ctx, "example.net"); err != nil {
		t.Error(err)
	}
	if domains, err := c.Domains(ctx); err != nil || len(domains) != 2 {
		t.Errorf("domains %v, %v", domains, err)
	}
	if items, err := c.QueueList(ctx); err != nil || len(items) != 0 {
		t.Errorf("queue %v, %v", items, err)
	}
	if _, err := c.QueueShow(ctx, "nothing"); !mail.IsKind(err, mail.NotFound) {
		t.Errorf("showing nothing: %v", err)
	}
	if s, err := c.ServerStatus(ctx); err != nil || !s.Running {
		t.Errorf("status %+v, %v", s, err)
	}
	if err := c.RemoveAlias(ctx, mail.Address{Local: "sales", Domain: "example.org"}); err != nil {
		t.Error(err)
	}
	if err := c.RemoveAccount(ctx, ann); err != nil {
		t.Error(err)
	}
}

func TestDialNobody(t *testing.T) {
	if _, err := web.Dial(t.Context(), filepath.Join(t.TempDir(), "s")); err == nil {
		t.Error("something answered")
	}
}

// TestMetrics: numbers and flags of a struct, and of rows that their text tells apart.
func TestMetrics(t *testing.T) {
	h := web.Metrics(
		web.Source{Part: "a", Stats: func() any {
			return struct {
				N         int  `json:"n"`
				Down      bool `json:"down"`
				LocalHeld int
			}{7, true, 9}
		}},
		web.Source{Part: "b", Stats: func() any {
			return []struct {
				Listener string         `json:"listener"`
				N        int            `json:"n"`
				Wrong    map[string]int `json:"wrong"`
			}{{"x", 1, nil}, {"y", 2, map[string]int{"http": 3}}}
		}},
	)
	r := httptest.NewRecorder()
	h.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{"candor_a_n 7\n", "candor_a_down 1\n", "candor_a_local_held 9\n", `candor_b_n{listener="x"} 1`, `candor_b_n{listener="y"} 2`, `candor_b_wrong{kind="http",listener="y"} 3`, "go_goroutines"} {
		if !strings.Contains(r.Body.String(), want) {
			t.Errorf("no %q in\n%s", want, r.Body)
		}
	}
}

// TestPublic: metrics only on loopback; a redirect in clear; nothing else.
func TestPublic(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "numbers") })
	h := web.Public("mail.example.org", "help", metrics)
	get := func(path, remote, local string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "http://mail.example.org"+path, nil)
		r.RemoteAddr = remote
		here, err := net.ResolveTCPAddr("tcp", local)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, here)))
		return w
	}
	if w := get("/metrics", "127.0.0.1:9", "127.0.0.1:80"); w.Body.String() != "numbers" {
		t.Errorf("on loopback: %d %s", w.Code, w.Body)
	}
	for _, c := range [][2]string{{"192.0.2.1:9", "192.0.2.2:80"}, {"192.0.2.1:9", "127.0.0.1:80"}} {
		if w := get("/metrics", c[0], c[1]); strings.Contains(w.Body.String(), "numbers") {
			t.Errorf("from %s at %s: %d %s", c[0], c[1], w.Code, w.Body)
		}
	}
	secure := httptest.NewRecorder()
	h.ServeHTTP(secure, httptest.NewRequest(http.MethodGet, "https://mail.example.org/", nil))
	if secure.Body.String() != "help" {
		t.Errorf("under TLS: %d %s", secure.Code, secure.Body)
	}
	if w := get("//evil.example/x", "192.0.2.1:9", "192.0.2.2:80"); w.Header().Get("Location") != "https://mail.example.org/evil.example/x" {
		t.Errorf("redirected to %q", w.Header().Get("Location"))
	}
}

// TestStatusForKinds asks for the status of every kind, so that a new kind cannot be forgotten.
func TestStatusForKinds(t *testing.T) {
	for k, row := range mailtest.ErrorTable(t) {
		if got := strconv.Itoa(web.StatusFor(k)); got != row.HTTP {
			t.Errorf("%s: got %s; docs/errors.md says %s", k, got, row.HTTP)
		}
	}
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"candor/internal/mail"
	"candor/internal/server/web"
	"candor/internal/store/directory"
)

type listenerCmd struct {
	List  listenerListCmd  `cmd:"" help:"List the listeners with their last logins, those that are closed too."`
	Close listenerCloseCmd `cmd:"" help:"Close the listeners of a service at a port: written into the configuration, and in force at once."`
	Open  listenerOpenCmd  `cmd:"" help:"Open again what close has closed."`
}

type listenerListCmd struct{}

// listenerDays is for how long a port should have had no login before it is closed.
const listenerDays = 30

// listenerUse is a listener with its last login.
type listenerUse struct {
	Listener  string    `json:"listener"` // service:port
	Address   string    `json:"address"`
	Mode      string    `json:"tls"`
	Closed    bool      `json:"closed,omitempty"`
	LastLogin time.Time `json:"last_login,omitzero"` // within 30 days
	login     bool
}

// Run lists the listeners.
func (*listenerListCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return operate(ctx, c, func(o operator) error {
		s, err := o.ServerStatus(ctx)
		if err != nil {
			return err
		}
		rows, err := o.CensusRows(ctx, mail.Address{}, listenerDays)
		if err != nil {
			return err
		}
		uses := make([]listenerUse, len(s.Listeners))
		for i, l := range s.Listeners {
			uses[i] = useOf(&l, rows)
		}
		if c.JSON {
			return list(std.out, true, uses, nil)
		}
		t := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "LISTENER\tADDRESS\tTLS\tLAST LOGIN")
		for _, u := range uses {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", u.Listener, u.Address, u.Mode, u.words())
		}
		return t.Flush()
	})
}

func useOf(l *web.ListenerStatus, rows []directory.CensusRow) listenerUse {
	_, port := bind(l.Address)
	u := listenerUse{Listener: placeName(l.Service, port), Address: l.Address, Mode: l.Mode, Closed: l.Closed}
	var service directory.Service
	service, u.login = loginServices[l.Service]
	for i := range rows {
		if r := &rows[i]; u.login && r.OK() && r.Service == service && r.Port == port && r.Last.After(u.LastLogin) {
			u.LastLogin = r.Last
		}
	}
	return u
}

func (u *listenerUse) words() string {
	switch {
	case u.Closed:
		return "closed; open it: candor listener open " + u.Listener
	case !u.login:
		return "-"
	case u.LastLogin.IsZero():
		return fmt.Sprintf("none in %d days", listenerDays)
	}
	return u.LastLogin.Format(time.DateOnly)
}

type listenerCloseCmd struct {
	Listener string `arg:"" help:"Service and port, such as imap:143." placeholder:"SERVICE:PORT"`
	Force    bool   `help:"Also if nobody can log in to the service then."`
}

// Run closes listeners.
func (k *listenerCloseCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	conf, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	service, port, ok := parsePlace(k.Listener)
	switch {
	case !ok:
		return fmt.Errorf("%q is not service:port: write it like imap:143", k.Listener)
	case slices.Contains(conf.Closed, k.Listener):
		fmt.Fprintf(std.out, "%s is closed already.\n", k.Listener)
		return nil
	}
	var others []string
	for _, l := range conf.Listeners {
		if _, p := bind(l.Address); l.Service == service && p != port {
			others = append(others, placeName(service, p))
		}
	}
	if _, login := loginServices[service]; login && len(others) == 0 && !k.Force {
		return fmt.Errorf("no other port of %s would be open (closed: %s), and nobody could log in to it: open another, or add --force",
			service, cmp.Or(strings.Join(conf.Closed, ", "), "none"))
	}
	if err := rewriteClosed(ctx, conf, append(slices.Clone(conf.Closed), k.Listener), std); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "%s is closed. Open for %s: %s.\n", k.Listener, service, cmp.Or(strings.Join(others, ", "), "nothing"))
	return nil
}

type listenerOpenCmd struct {
	Listener string `arg:"" help:"Service and port, such as imap:143." placeholder:"SERVICE:PORT"`
}

// Run takes back what close did.
func (k *listenerOpenCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	conf, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	i := slices.Index(conf.Closed, k.Listener)
	if i < 0 {
		return fmt.Errorf("%s is not closed (closed: %s)", k.Listener, cmp.Or(strings.Join(conf.Closed, ", "), "none"))
	}
	if err := rewriteClosed(ctx, conf, slices.Delete(slices.Clone(conf.Closed), i, i+1), std); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "%s is open.\n", k.Listener)
	return nil
}

// rewriteClosed puts another list into the configuration file, and has a running server read it; if that refuses it, the
// file is as it was.
func rewriteClosed(ctx context.Context, conf *config, closed []string, std *stdio) error {
	before, err := os.ReadFile(conf.file)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	text := setClosed(before, closed)
	if _, err := parseConfig(conf.file, text); err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	if err := replaceFile(followed(conf.file), text); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	server, err := web.Dial(ctx, likelySocket(conf.file))
	if err != nil {
		fmt.Fprintln(std.out, "No server answers; it will read this when it starts.")
		return nil
	}
	defer server.Close()
	if _, err := server.Reload(ctx); err != nil {
		if err := replaceFile(followed(conf.file), before); err != nil {
			return fmt.Errorf("%s is changed, but the server goes on as before: %w", conf.file, err)
		}
		return fmt.Errorf("nothing was changed: %w", err)
	}
	return nil
}

func placeName(service string, port uint16) string { return fmt.Sprintf("%s:%d", service, port) }

// parsePlace reads "imap:143".
func parsePlace(s string) (service string, port uint16, ok bool) {
	service, digits, _ := strings.Cut(s, ":")
	n, err := strconv.ParseUint(digits, 10, 16)
	return service, uint16(n), err == nil && placeName(service, uint16(n)) == s
}

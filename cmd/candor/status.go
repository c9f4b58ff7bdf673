package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"candor/internal/mail"
	"candor/internal/server/web"
	"candor/internal/store/directory"
)

type statusCmd struct{}

// Run shows the server's status; of a server that does not run, what it would do.
func (*statusCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return operate(ctx, c, func(o operator) error {
		s, err := o.ServerStatus(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(s)
		}
		writeRunning(std.out, &s)
		fmt.Fprintf(std.out, "%d domains, %d accounts, %d recipients queued.\n\n", s.Domains, s.Accounts, s.Queued)
		for _, w := range s.Warnings {
			fmt.Fprintf(std.out, "Warning: %s\n", w)
		}
		for _, e := range s.Exceptions {
			fmt.Fprintln(std.out, e.Words)
		}
		for _, a := range s.Alarms {
			fmt.Fprintf(std.out, "Alarm %s %s: %s\n", a.ID, a.Subject, a.Text)
		}
		t := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		for _, l := range s.Listeners {
			fmt.Fprintf(t, "  %s\t%s\n", l.Address, l.Words)
		}
		return t.Flush()
	})
}

// writeRunning says since when the server runs, and under which configuration.
func writeRunning(w io.Writer, s *web.Status) {
	if !s.Running {
		fmt.Fprintf(w, "%s is not running.\n", s.Hostname)
		return
	}
	fmt.Fprintf(w, "%s has been running since %s.\n", s.Hostname, s.Started.Format(time.RFC3339))
	fmt.Fprintf(w, "Its configuration was read at %s.\n", s.Loaded.Format(time.RFC3339))
	if f := s.ReloadFailed; f != nil {
		fmt.Fprintf(w, "The reload at %s was refused: %s\n", f.At.Format(time.RFC3339), f.Text)
	}
	if s.Sandbox != "" {
		fmt.Fprintf(w, "Files: %s.\n", s.Sandbox)
	}
}

// status counts what there is, of a server that does not run.
func (p *parts) status(ctx context.Context, c *config) (web.Status, error) {
	s := web.Status{Hostname: c.hostname, Listeners: p.listenerStatus(c), Exceptions: p.exceptionStatus(c, time.Now()), Alarms: p.alarms(c, time.Now())}
	domains, err := p.directory.Domains(ctx)
	if err != nil {
		return s, err
	}
	accounts, err := p.directory.Accounts(ctx)
	if err != nil {
		return s, err
	}
	s.Domains, s.Accounts, s.Queued = len(domains), len(accounts), int(p.queue.Stats().Recipients)
	return s, nil
}

// loginServices are the services that people log in to.
var loginServices = map[string]directory.Service{"submission": directory.Submission, "imap": directory.IMAP, "pop3": directory.POP3}

// listenerStatus describes every listener in the words of the specification, T-30.
func (p *parts) listenerStatus(c *config) []web.ListenerStatus {
	var all []web.ListenerStatus
	now := time.Now()
	for _, l := range c.Listeners {
		s := web.ListenerStatus{Name: l.Name, Service: l.Service, Address: l.Address, Mode: string(l.TLS), Login: "never"}
		listener := c.listenerOf(l)
		s.Floor, s.FloorSource = listener.Floor()
		if service, is := loginServices[l.Service]; is {
			s.Login = fmt.Sprintf("before TLS: %s; after TLS: %s", l.loginInClear(now), strings.Join(offeredToAll(p.directory.Offers(service)), ", "))
		}
		_, port := bind(l.Address)
		s.Words = fmt.Sprintf("Port %d (%s): TLS %s. Least state accepted: %s. Login offered: %s. %s", port, l.Service, l.TLS, s.Floor, s.Login, floorWords(s)) + l.exceptedWords(s.Floor, now)
		all = append(all, s)
	}
	for _, l := range c.closed {
		_, port := bind(l.Address)
		all = append(all, web.ListenerStatus{
			Name: l.Name, Service: l.Service, Address: l.Address, Mode: string(l.TLS), Closed: true, Login: "never",
			Words: fmt.Sprintf("Port %d (%s): closed on purpose, by the configuration.", port, l.Service),
		})
	}
	return all
}

// offeredToAll are the mechanisms that every program sees.
func offeredToAll(all []directory.Offer) (mechanisms []string) {
	for _, o := range all {
		if o.Offered && o.To == "" {
			mechanisms = append(mechanisms, o.Mechanism)
		}
	}
	return mechanisms
}

// writeListeners prints the listeners as a table.
func writeListeners(w io.Writer, listeners []web.ListenerStatus) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintln(t, "  LISTENER\tADDRESS\tTLS\tLEAST STATE\tLOGIN\tIN WORDS")
	for _, l := range listeners {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\n", l.Service, l.Address, l.Mode, l.Floor, l.Login, floorWords(l))
	}
}

// floorWords says in a sentence what a listener guarantees.
func floorWords(l web.ListenerStatus) string {
	switch {
	case l.Floor == mail.Clear && l.Mode == modeOpportunistic:
		return "Encrypted when the sending server asks for it; a server that does not sends in clear text, and the message says so."
	case l.Floor == mail.Clear:
		return "Clear text. Anyone on the way could read or change it."
	case l.Mode == modeRequired:
		return "Encrypted after STARTTLS. Before that nothing is accepted, least of all a password."
	}
	return "Encrypted from the first byte."
}

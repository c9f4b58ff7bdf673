package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/server/listen"
	"candor/internal/server/web"
)

// exceptionStatus describes the insecure flags in words.
func (p *parts) exceptionStatus(c *config, now time.Time) []web.ExceptionStatus {
	var all []web.ExceptionStatus
	for _, l := range c.Listeners {
		for i := range l.exceptions {
			e := &l.exceptions[i]
			use := p.exceptionUses.Of(e.ID, now)
			s := web.ExceptionStatus{
				ID: e.ID, Listener: l.Name, Networks: e.Networks, Allow: string(e.Allow), Reason: e.Reason, Owner: e.Owner,
				Until: e.Until, Days: e.DaysLeft(now), Used: use.Times, Last: use.Last,
			}
			s.Words = exceptionWords(l.Name, e) + " " + e.Words(now, use)
			if !e.Holds(now) {
				s.Words = fmt.Sprintf("Exception %s (%s, %s) has ended: %s is closed to its networks.", e.ID, e.Reason, e.Owner, l.Name)
			}
			all = append(all, s)
		}
	}
	return all
}

// exceptionWords says what an insecure flag allows.
func exceptionWords(listener string, e *listen.Exception) string {
	what := map[listen.Allow]string{
		listen.ClearAuth:    "may send passwords and mail in clear text",
		listen.ClearSession: "may send mail in clear text without a login",
		listen.TLS10:        "may use TLS from 1.0 on",
	}[e.Allow]
	return fmt.Sprintf("At listener %s, %s %s.", listener, networkList(e.Networks), what)
}

func networkList(networks []netip.Prefix) string {
	words := make([]string, len(networks))
	for i, n := range networks {
		words[i] = n.String()
	}
	return strings.Join(words, ", ")
}

// exceptedWords say what a listener does otherwise for some peers, a sentence for each; empty if nothing.
func (l *listenerConfig) exceptedWords(floor mail.TransportState, now time.Time) (words string) {
	for i := range l.exceptions {
		e := &l.exceptions[i]
		networks := networkList(e.Networks)
		if e.Holds(now) {
			words += fmt.Sprintf(" Least state accepted from %s, by exception insecure:%s: %s.", networks, e.ID, min(floor, e.Floor()))
		} else {
			words += fmt.Sprintf(" Shut to %s since the end of exception insecure:%s.", networks, e.ID)
		}
	}
	if l.ProxyTLSTrusted != nil {
		words += fmt.Sprintf(" TLS that ends at the proxy %s is believed (%s): how it goes on from there nobody knows.", strings.Join(l.ProxyFrom, ", "), *l.ProxyTLSTrusted)
		if _, login := loginServices[l.Service]; login {
			words += " SCRAM-SHA-256-PLUS is not offered then."
		}
	}
	return words
}

// loginInClear says who may log in at a listener without TLS.
func (l *listenerConfig) loginInClear(now time.Time) string {
	var ids []string
	for _, e := range l.exceptions {
		if e.Allow == listen.ClearAuth && e.Holds(now) {
			ids = append(ids, "insecure:"+e.ID)
		}
	}
	if len(ids) == 0 {
		return "never"
	}
	return "by exception " + strings.Join(ids, ", ")
}

// exceptionAlarms are those of insecure flags, 14, 7 and 1 days before their end and after it.
func (p *parts) exceptionAlarms(c *config, now time.Time) []mail.Alarm {
	var all []mail.Alarm
	for _, l := range c.Listeners {
		for _, e := range l.exceptions {
			if a, due := e.Alarm("A-132", now, p.exceptionUses.Of(e.ID, now), 14, 7, 1); due {
				all = append(all, a)
			}
		}
	}
	return all
}

// logExceptions tells at the start, and after a reload, what is excepted.
func (p *parts) logExceptions(c *config, log *slog.Logger) {
	for _, e := range p.exceptionStatus(c, time.Now()) {
		log.Warn("exception", "tls.floor_source", "insecure:"+e.ID, "listener", e.Listener, "text", e.Words)
	}
}

// usesNote is where the uses of exceptions are kept.
const usesNote = "exception-uses"

// loadUses takes up the counts of exceptions where the last server left them.
func (p *parts) loadUses(ctx context.Context, log *slog.Logger) error {
	saved, err := p.directory.Note(ctx, usesNote)
	if err != nil || saved == nil {
		return err
	}
	if err := p.exceptionUses.Restore(saved); err != nil {
		log.Warn("the uses of exceptions cannot be read; they are counted anew", "err", err)
	}
	return nil
}

// saveUses keeps the counts of exceptions. A crash loses those of a minute.
func (p *parts) saveUses(ctx context.Context, log *slog.Logger) {
	text := p.exceptionUses.Save(time.Now())
	if text == nil {
		return
	}
	if err := p.directory.SetNote(ctx, usesNote, text); err != nil {
		log.Warn("could not note the uses of exceptions", "err", err)
	}
}

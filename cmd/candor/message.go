package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/server/web"
	"candor/internal/transit/queue"
)

type messageCmd struct {
	Path   messagePathCmd   `cmd:"" help:"Say how one message came, and what is known of its way on."`
	List   messageListCmd   `cmd:"" help:"List the records of what an account sent."`
	Counts messageCountsCmd `cmd:"" help:"List how many messages came by day, sender's domain and transport state, of days whose records are gone."`
}

type messagePathCmd struct {
	ID string `arg:"" help:"Id of the message: it is in the log, and in its Received and Candor-Transport fields."`
}

// Run tells how a message travelled.
func (m *messagePathCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return operate(ctx, c, func(o operator) error {
		p, err := o.MessagePath(ctx, queue.ID(m.ID))
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(p)
		}
		showPath(std.out, &p)
		return nil
	})
}

func showPath(out io.Writer, p *web.MessagePath) {
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(out, "  %-10s %s\n", label, text)
		}
	}
	fmt.Fprintf(out, "%s came in %s\n", p.ID, p.Time.Format(time.RFC3339))
	line("hop", string(p.Hop)+" "+p.Listener)
	line("state", fmt.Sprintf("%s: %s", p.State, p.Words))
	line("TLS", strings.Join(strings.Fields(p.Version+" "+p.Cipher+" "+p.Group), ", "))
	if p.User != nil {
		line("user", p.User.String()+" by "+p.Method)
	}
	line("peer", strings.TrimSpace(p.RIP+" "+quotedName(p.Helo)))
	if p.Hop == message.InboundHop {
		line("from", domainWords(p.Domain))
	}
	for _, note := range []struct {
		is   bool
		text string
	}{
		{p.RequireTLS, "the sender states that it checked our certificate (REQUIRETLS)"},
		{p.Normalised, "line ends that were not CRLF were mended"},
		{p.Forged, "it came with a Candor-Transport field, which was removed: only this server writes that"},
	} {
		if note.is {
			line("note", note.text)
		}
	}
	line("before", earlier(p))
	for _, r := range p.Recipients {
		line("to", fmt.Sprintf("%s: %s", r.Address, underWay(r)))
	}
}

// quotedName is what a peer called itself.
func quotedName(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf("(calls itself %q)", name)
}

func domainWords(d mail.Domain) string {
	if d == "" {
		return "<> (a report)"
	}
	return string(d)
}

// earlier tells of the hops before ours (specification, TS-7.3).
func earlier(p *web.MessagePath) string {
	if p.Hops == 0 {
		return ""
	}
	var said []string
	for _, c := range p.Claimed {
		s := fmt.Sprintf("%s took it", orSomeone(c.By))
		if c.With != "" {
			s += " with " + c.With
		}
		if c.TLS != "" {
			s += " (" + c.TLS + ")"
		}
		said = append(said, s)
	}
	if more := p.Hops - len(p.Claimed); more > 0 {
		said = append(said, fmt.Sprintf("and %d more", more))
	}
	return "Other servers say: " + strings.Join(said, "; ") + ". Candor cannot check this."
}

func orSomeone(host string) string {
	if host == "" {
		return "a server"
	}
	return host
}

// underWay tells what the queue knows of a recipient.
func underWay(r web.QueueRecipient) string {
	s := "under way"
	if !r.Next.IsZero() {
		s = "waits until " + r.Next.Format(time.RFC3339)
	}
	if r.Transport != nil {
		s += "; last attempt: " + r.Transport.Words(r.RemoteMTA, r.Address.Domain)
	}
	if r.Reply != "" {
		s += " " + r.Reply
	}
	return s
}

type messageListCmd struct {
	Account string `required:"" help:"Address of the account." placeholder:"ADDRESS"`
}

// Run lists the records of an account.
func (m *messageListCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	address, err := mail.ParseAddress(m.Account)
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		records, err := o.MessageRecords(ctx, address)
		if err != nil {
			return err
		}
		return list(std.out, c.JSON, records, func(r queue.Record) string {
			return fmt.Sprintf("%s\t%s\t%s\t%s\t%s", r.ID, r.Time.Format(time.RFC3339), r.State, r.Method, r.RIP)
		})
	})
}

type messageCountsCmd struct{}

// Run lists the daily counts.
func (*messageCountsCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return operate(ctx, c, func(o operator) error {
		counts, err := o.MessageCounts(ctx)
		if err != nil {
			return err
		}
		return list(std.out, c.JSON, counts, func(n queue.DayCount) string {
			return fmt.Sprintf("%s\t%s\t%s\t%d", n.Day, domainWords(n.Domain), n.State, n.Messages)
		})
	})
}

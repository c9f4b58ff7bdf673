package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"

	"candor/internal/mail"
	"candor/internal/server/web"
	"candor/internal/store/mailbox"
	"candor/internal/store/mailfile"
)

type importCmd struct {
	Account string `required:"" placeholder:"ADDRESS" help:"Account that gets the mail."`
	From    string `required:"" placeholder:"PATH" help:"Maildir, mbox, or folder of mboxes."`
	Format  string `enum:"auto,maildir,mbox" default:"auto" help:"maildir, mbox, or auto: find out."`
	Into    string `placeholder:"MAILBOX" help:"Put everything into this mailbox and below it."`
	Again   bool   `help:"Import also what was imported before."`
}

// importer is what an import asks of an operator.
type importer interface {
	MakeMailbox(context.Context, web.NewMailbox) (web.MadeMailbox, error)
	HasImported(context.Context, web.MailboxRequest, []mailbox.ImportKey) ([]bool, error)
	Import(context.Context, web.MailboxRequest, iter.Seq2[web.Incoming, io.Reader]) ([]web.ImportResult, error)
}

// mailSource is mail in files.
type mailSource interface {
	Folders(bad func(*mailfile.Fault)) ([]mailfile.Folder, error)
	Subscriptions() (names []string, ok bool, err error)
	Messages(f mailfile.Folder, bad func(*mailfile.Fault), each func(*mailfile.Message) error) error
	Close() error
}

// Run imports. What was imported by an earlier run is left as it is.
func (i *importCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	address, err := mail.ParseAddress(i.Account)
	if err != nil {
		return err
	}
	source, unit, err := i.open()
	if err != nil {
		return err
	}
	defer source.Close()
	return operate(ctx, c, func(o operator) error {
		r := &importRun{importCmd: i, account: address, to: o, source: source, report: report{std: std}}
		err := r.all(ctx, c, unit)
		if err != nil {
			r.brokeOff("import", r.summary(), r.done())
			return err
		}
		return r.end(c, r.summary(), r.importCounts)
	})
}

// open opens the source and tells in what unit its weights are.
func (i *importCmd) open() (mailSource, unit, error) {
	info, err := os.Stat(i.From)
	if err != nil {
		return nil, things, err
	}
	format := i.Format
	if format == "auto" {
		format = "mbox"
		if m, err := mailfile.OpenMaildir(i.From); err == nil {
			if folders, _ := m.Folders(func(*mailfile.Fault) {}); len(folders) > 0 {
				format = "maildir"
			}
			m.Close()
		}
	}
	if format == "maildir" {
		m, err := mailfile.OpenMaildir(i.From)
		return m, things, err
	}
	if !info.IsDir() && i.Into == "" {
		return nil, octets, fmt.Errorf("%s is one file: name its mailbox with --into, such as --into INBOX", i.From)
	}
	m, err := mailfile.OpenMbox(i.From)
	return m, octets, err
}

// importCounts are what an import has done.
type importCounts struct {
	Imported  int `json:"imported"`
	Before    int `json:"imported_before"`
	Mailboxes int `json:"mailboxes"`
}

// importRun is an import under way.
type importRun struct {
	*importCmd
	report
	importCounts
	account  mail.Address
	to       importer
	source   mailSource
	progress *progress
}

func (r *importRun) done() bool { return r.Imported+r.Before > 0 }

func (r *importRun) summary() string {
	s := fmt.Sprintf("%d messages imported into %d mailboxes of %s", r.Imported, r.Mailboxes, r.account)
	if r.Before > 0 {
		s += fmt.Sprintf("; %d had been imported before", r.Before)
	}
	return s
}

func (r *importRun) all(ctx context.Context, c *cli, u unit) error {
	folders, err := r.source.Folders(r.bad)
	if err != nil {
		return err
	}
	subscribed, known, err := r.source.Subscriptions()
	if err != nil {
		r.bad(&mailfile.Fault{Place: "subscriptions", Err: err})
	}
	total := int64(0)
	for _, f := range folders {
		total += f.Weight
	}
	r.progress = newProgress(c, r.std, "importing", u, total)
	defer r.progress.Close()
	for _, f := range folders {
		subscribe := !known || slices.Contains(subscribed, f.Name)
		if err := r.folder(ctx, f, subscribe); err != nil {
			return fmt.Errorf("importing %s: %w", f.Path, err)
		}
	}
	return nil
}

// target is the mailbox that a folder goes into.
func (r *importRun) target(f mailfile.Folder) web.NewMailbox {
	n := web.NewMailbox{MailboxRequest: web.MailboxRequest{Account: r.account, Mailbox: f.Name}, Forget: r.Again}
	switch {
	case r.Into == "":
		n.SpecialUse = mailbox.SpecialUse(f.SpecialUse)
	case f.Name == "INBOX":
		n.Mailbox = r.Into
	default:
		n.Mailbox = r.Into + "/" + f.Name
	}
	return n
}

func (r *importRun) folder(ctx context.Context, f mailfile.Folder, subscribe bool) error {
	target := r.target(f)
	target.Subscribe = subscribe
	made, err := r.to.MakeMailbox(ctx, target)
	if mail.IsKind(err, mail.Syntax) {
		r.bad(&mailfile.Fault{Place: f.Path, Err: err})
		return nil
	}
	if err != nil {
		return err
	}
	if made.UseRefused != "" {
		fmt.Fprintf(r.std.err, "candor: %s does not become the mailbox for %s: %s\n", target.Mailbox, target.SpecialUse, made.UseRefused)
	}
	r.Mailboxes++
	var waiting []*mailfile.Message
	flush := func() error {
		err := r.send(ctx, target.MailboxRequest, waiting)
		waiting = waiting[:0]
		return err
	}
	err = r.source.Messages(f, r.bad, func(m *mailfile.Message) error {
		if waiting = append(waiting, m); len(waiting) == web.MaxBatch {
			return flush()
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return flush()
}

// send imports those of the messages that the mailbox has not had.
func (r *importRun) send(ctx context.Context, q web.MailboxRequest, messages []*mailfile.Message) error {
	keys := make([]mailbox.ImportKey, len(messages))
	for i, m := range messages {
		keys[i] = m.Key
	}
	had, err := r.to.HasImported(ctx, q, keys)
	if err != nil {
		return err
	}
	var fresh []*mailfile.Message
	for i, m := range messages {
		if had[i] {
			r.Before++
			r.progress.Add(m.Weight)
		} else {
			fresh = append(fresh, m)
		}
	}
	for len(fresh) > 0 {
		b := batch{run: r, messages: fresh}
		results, err := r.to.Import(ctx, q, b.each)
		if err != nil {
			return err
		}
		b.settle(results)
		fresh = b.messages
	}
	return nil
}

// batchOctets is about how much content is sent at a time.
const batchOctets = 16 << 20

// batch sends as many messages as are stored at a time.
type batch struct {
	run      *importRun
	messages []*mailfile.Message // not sent yet
	sent     []*mailfile.Message
}

// each yields messages to be imported.
func (b *batch) each(yield func(web.Incoming, io.Reader) bool) {
	for size := int64(0); len(b.messages) > 0 && size < batchOctets; {
		m := b.messages[0]
		b.messages = b.messages[1:]
		b.run.progress.Add(m.Weight)
		content, err := m.Open()
		if errors.Is(err, mailfile.ErrGone) {
			continue
		}
		if err != nil {
			b.run.bad(&mailfile.Fault{Place: m.Place, Err: err})
			continue
		}
		b.sent = append(b.sent, m)
		counted := &counter{r: content}
		more := yield(web.Incoming{Key: m.Key, Flags: content.Flags, Received: content.Received}, counted)
		size += counted.n
		content.Close()
		if !more {
			return
		}
	}
}

// settle counts what became of the messages that were sent.
func (b *batch) settle(results []web.ImportResult) {
	for i, result := range results {
		m := b.sent[i]
		switch {
		case result.Error != "":
			b.run.bad(&mailfile.Fault{Place: m.Place, Err: errors.New(result.Error)})
		case result.UID == 0:
			b.run.Before++
		default:
			b.run.Imported++
		}
		if result.KeywordsLost {
			fmt.Fprintf(b.run.std.err, "candor: %s: imported without some of its keywords: a mailbox has room for %d\n", m.Place, mailbox.MaxKeywords)
		}
	}
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// report tells of what had to be left out.
type report struct {
	std     *stdio
	leftOut int
}

// bad names what is left out.
func (r *report) bad(f *mailfile.Fault) {
	r.leftOut++
	fmt.Fprintf(r.std.err, "candor: left out: %s: %s\n", printable(f.Place), f.Err)
}

// brokeOff tells that something was done before the error that ends it all.
func (r *report) brokeOff(what, summary string, done bool) {
	if done {
		fmt.Fprintf(r.std.err, "candor: the %s broke off after %s; run it again to go on\n", what, summary)
	}
}

// printable keeps a name from driving the terminal.
func printable(name string) string {
	return strings.Trim(fmt.Sprintf("%q", name), `"`)
}

// end prints the outcome; with something left out it is an error.
func (r *report) end(c *cli, summary string, counts any) error {
	if c.JSON {
		err := json.NewEncoder(r.std.out).Encode(struct {
			Counts  any `json:"counts"`
			LeftOut int `json:"left_out"`
		}{counts, r.leftOut})
		if err != nil {
			return err
		}
	} else {
		fmt.Fprintf(r.std.out, "%s.\n", summary)
	}
	if r.leftOut > 0 {
		return fmt.Errorf("%d left out, named above", r.leftOut)
	}
	return nil
}

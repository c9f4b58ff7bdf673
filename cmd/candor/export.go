package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"candor/internal/mail"
	"candor/internal/server/web"
	"candor/internal/store/mailbox"
	"candor/internal/store/mailfile"
)

type exportCmd struct {
	Account string `required:"" placeholder:"ADDRESS" help:"Account whose mail is written."`
	To      string `required:"" placeholder:"PATH" help:"New folder, or one that an export was begun in."`
	Format  string `enum:"maildir,mbox" default:"maildir" help:"maildir (Maildir++) or mbox (mboxrd, a file for each mailbox)."`
}

// exporter is what an export asks of an operator.
type exporter interface {
	MailboxList(context.Context, mail.Address) ([]web.Mailbox, error)
	MessageList(ctx context.Context, q web.MailboxRequest, after mailbox.UID) ([]web.Stored, error)
	Contents(ctx context.Context, q web.MailboxRequest, uids []mailbox.UID, f func(mailbox.UID, io.Reader) error) error
}

// Run exports. What an earlier run has written stays.
func (e *exportCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	address, err := mail.ParseAddress(e.Account)
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		boxes, err := o.MailboxList(ctx, address)
		if err != nil {
			return err
		}
		target, err := mailfile.NewTarget(e.To, mailfile.Export{Account: address.String(), Format: e.Format})
		if err != nil {
			return err
		}
		r := &exportRun{account: address, from: o, target: target, report: report{std: std}}
		if err := errors.Join(r.all(ctx, c, boxes), target.Close()); err != nil {
			r.brokeOff("export", r.summary(), r.done())
			return err
		}
		return r.end(c, r.summary(), r.exportCounts)
	})
}

// exportCounts are what an export has done.
type exportCounts struct {
	Written   int `json:"written"`
	Before    int `json:"written_before"`
	Mailboxes int `json:"mailboxes"`
}

// exportRun is an export under way.
type exportRun struct {
	report
	exportCounts
	account  mail.Address
	from     exporter
	target   *mailfile.Target
	progress *progress
}

func (r *exportRun) done() bool { return r.Written+r.Before > 0 }

func (r *exportRun) summary() string {
	s := fmt.Sprintf("%d messages of %s written in %d mailboxes", r.Written, r.account, r.Mailboxes)
	if r.Before > 0 {
		s += fmt.Sprintf("; %d had been written before", r.Before)
	}
	return s
}

func (r *exportRun) all(ctx context.Context, c *cli, boxes []web.Mailbox) error {
	listed, total := make([]mailfile.Listed, len(boxes)), 0
	for i, b := range boxes {
		listed[i] = mailfile.Listed{
			Name: b.Name, UIDValidity: uint32(b.UIDValidity), SpecialUse: string(b.SpecialUse),
			Subscribed: b.Subscribed, NoSelect: b.NoSelect,
		}
		total += b.Messages
	}
	if err := r.target.Begin(listed); err != nil {
		return err
	}
	r.progress = newProgress(c, r.std, "exporting", things, int64(total))
	defer r.progress.Close()
	for _, b := range listed {
		if b.NoSelect {
			continue
		}
		if err := r.mailbox(ctx, b); err != nil {
			return fmt.Errorf("exporting %s: %w", b.Name, err)
		}
	}
	return nil
}

func (r *exportRun) mailbox(ctx context.Context, b mailfile.Listed) error {
	w, err := r.target.Open(b)
	if err != nil {
		r.bad(&mailfile.Fault{Place: b.Name, Err: err})
		return nil
	}
	r.Mailboxes++
	return errors.Join(r.messages(ctx, web.MailboxRequest{Account: r.account, Mailbox: b.Name}, w), w.Close())
}

func (r *exportRun) messages(ctx context.Context, q web.MailboxRequest, w mailfile.Writer) error {
	for after := mailbox.UID(0); ; {
		list, err := r.from.MessageList(ctx, q, after)
		if mail.IsKind(err, mail.NotFound) || err == nil && len(list) == 0 { // deleted meanwhile, or at its end
			return nil
		}
		if err != nil {
			return err
		}
		after = list[len(list)-1].UID
		if err := r.page(ctx, q, w, list); err != nil {
			return err
		}
	}
}

// page writes those of the messages that are not there yet.
func (r *exportRun) page(ctx context.Context, q web.MailboxRequest, w mailfile.Writer, list []web.Stored) error {
	missing := map[mailbox.UID]mailfile.Outgoing{}
	var uids []mailbox.UID
	for _, m := range list {
		out := mailfile.Outgoing{UID: uint32(m.UID), Size: m.Size, Flags: m.Flags, Received: m.Received}
		has, err := w.Has(out)
		if err := r.fault(err); err != nil {
			return err
		}
		if has {
			r.Before++
			r.progress.Add(1)
			continue
		}
		missing[m.UID] = out
		uids = append(uids, m.UID)
	}
	if len(uids) == 0 {
		return nil
	}
	return r.from.Contents(ctx, q, uids, func(uid mailbox.UID, content io.Reader) error {
		r.progress.Add(1)
		source := &web.NotedReader{Reader: content}
		err := w.Write(missing[uid], source)
		if source.Err != nil {
			r.bad(&mailfile.Fault{Place: fmt.Sprintf("%s, message %d", q.Mailbox, uid), Err: source.Err})
			return ctx.Err()
		}
		if err := r.fault(err); err != nil {
			return err
		}
		r.Written++
		return nil
	})
}

// fault tells of what could not be written as it is, and returns any other error.
func (r *exportRun) fault(err error) error {
	var f *mailfile.Fault
	if !errors.As(err, &f) {
		return err
	}
	r.leftOut++
	fmt.Fprintf(r.std.err, "candor: not as it was: %s: %s\n", printable(f.Place), f.Err)
	return nil
}

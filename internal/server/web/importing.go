package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/store/mailbox"
)

// MaxBatch is how many messages can be imported, or listed, at a time.
const MaxBatch = 500

// MailboxRequest names a mailbox of an account.
type MailboxRequest struct {
	Account mail.Address `json:"account"`
	Mailbox string       `json:"mailbox"` // UTF-8, "/" between levels
}

// NewMailbox is a mailbox that is to be there.
type NewMailbox struct {
	MailboxRequest
	SpecialUse mailbox.SpecialUse `json:"special_use,omitempty"`
	Subscribe  bool               `json:"subscribe,omitempty"`
	Forget     bool               `json:"forget,omitempty"` // what it has imported, so that it can be imported again
}

// MadeMailbox tells what became of a NewMailbox.
type MadeMailbox struct {
	Created bool `json:"created"`
	// UseRefused tells why the mailbox did not get its special use; empty: it did.
	UseRefused string `json:"use_refused,omitempty"`
}

// Incoming is a message to be imported, its content aside.
type Incoming struct {
	Key      mailbox.ImportKey `json:"key"`
	Flags    []string          `json:"flags,omitempty"`
	Received time.Time         `json:"received"`
}

// ImportResult is what became of an Incoming.
type ImportResult struct {
	UID          mailbox.UID `json:"uid,omitempty"` // 0 without an error: the mailbox has had it
	KeywordsLost bool        `json:"keywords_lost,omitempty"`
	Error        string      `json:"error,omitempty"` // why it was left out
}

// account finds an account's mail. Errors: NotFound.
func (o *Operations) account(ctx context.Context, a mail.Address) (*mailbox.Account, error) {
	accounts, err := o.Directory.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	for _, found := range accounts {
		if found.Address.Canonical() == a.Canonical() {
			return o.Mailboxes.Account(ctx, found.ID)
		}
	}
	return nil, mail.Errorf(mail.NotFound, "no account %s", a)
}

// lookup finds a mailbox. Errors: NotFound.
func (o *Operations) lookup(ctx context.Context, q MailboxRequest) (*mailbox.Account, mailbox.Info, error) {
	a, err := o.account(ctx, q.Account)
	if err != nil {
		return nil, mailbox.Info{}, err
	}
	info, err := a.Lookup(ctx, q.Mailbox)
	if err != nil {
		return nil, mailbox.Info{}, fmt.Errorf("mailbox %q of %s: %w", q.Mailbox, q.Account, err)
	}
	return a, info, nil
}

// MakeMailbox makes a mailbox unless it is there. Errors: NotFound (the account), Syntax (the name), TooMany.
func (o *Operations) MakeMailbox(ctx context.Context, q NewMailbox) (MadeMailbox, error) {
	var made MadeMailbox
	a, err := o.account(ctx, q.Account)
	if err != nil {
		return made, err
	}
	info, err := a.Lookup(ctx, q.Mailbox)
	if mail.IsKind(err, mail.NotFound) || err == nil && info.NoSelect {
		made.Created = true
		info, err = a.Create(ctx, q.Mailbox, q.SpecialUse)
		if mail.IsKind(err, mail.Unsupported) {
			made.UseRefused = mail.AsError(err).Text
			info, err = a.Create(ctx, q.Mailbox, "")
		}
	} else if err == nil && q.SpecialUse != "" && info.SpecialUse != q.SpecialUse {
		made.UseRefused = fmt.Sprintf("mailbox %q is there without it", info.Name)
	}
	if err == nil && q.Forget {
		err = a.ForgetImports(ctx, info.ID)
	}
	if err == nil && q.Subscribe {
		err = a.Subscribe(ctx, q.Mailbox)
	}
	return made, err
}

// HasImported reports for each of the keys whether the mailbox has had the message.
func (o *Operations) HasImported(ctx context.Context, q MailboxRequest, keys []mailbox.ImportKey) ([]bool, error) {
	a, info, err := o.lookup(ctx, q)
	if err != nil {
		return nil, err
	}
	return a.HasImported(ctx, info.ID, keys)
}

// Import stores messages, at most MaxBatch, at the end of a mailbox and returns what became of each once that is
// durable. A message whose content cannot be read to its end, or that the store refuses, is left out. The content's
// lines end in CRLF; it must be read before the next message is asked for. Errors: NotFound, TooMany.
func (o *Operations) Import(ctx context.Context, q MailboxRequest, messages iter.Seq2[Incoming, io.Reader]) ([]ImportResult, error) {
	a, info, err := o.lookup(ctx, q)
	if err != nil {
		return nil, err
	}
	arrivals, err := o.receiveAll(ctx, messages)
	if err != nil {
		return nil, err
	}
	var accepted []mailbox.Import
	for _, r := range arrivals {
		if r.refused == nil {
			accepted = append(accepted, r.message)
		}
	}
	done, err := a.Import(ctx, info.ID, accepted)
	if err != nil {
		return nil, err
	}
	results := make([]ImportResult, len(arrivals))
	for i, r := range arrivals {
		if r.refused != nil {
			results[i].Error = r.refused.Error()
			continue
		}
		results[i].UID, results[i].KeywordsLost = done[0].UID, done[0].KeywordsLost
		done = done[1:]
	}
	return results, nil
}

// arrival is a message on its way in.
type arrival struct {
	message mailbox.Import
	refused error // why it is left out
}

// receiveAll makes every message ready to be stored. Their contents become durable together.
func (o *Operations) receiveAll(ctx context.Context, messages iter.Seq2[Incoming, io.Reader]) ([]*arrival, error) {
	var (
		all    []*arrival
		finish errgroup.Group
		failed error
		buf    = make([]byte, maxPiece)
	)
	for in, content := range messages {
		if len(all) == MaxBatch {
			failed = mail.Errorf(mail.TooMany, "more than %d messages at a time", MaxBatch)
			break
		}
		r := &arrival{message: mailbox.Import{Key: in.Key}}
		all = append(all, r)
		if failed = o.receive(ctx, r, in, content, buf, &finish); failed != nil {
			break
		}
	}
	return all, errors.Join(failed, finish.Wait())
}

// receive writes a message's content and has the rest done by finish. The error is the store's.
func (o *Operations) receive(ctx context.Context, r *arrival, in Incoming, content io.Reader, buf []byte, finish *errgroup.Group) error {
	blob, err := o.Mailboxes.NewBody(ctx)
	if err != nil {
		return err
	}
	scanner := message.NewScanner(message.Limits{})
	source := &NotedReader{Reader: content}
	size, err := io.CopyBuffer(io.MultiWriter(blob, scanner), source, buf)
	switch {
	case source.Err != nil:
		r.refused = source.Err
	case err == nil && size == 0:
		r.refused = errors.New("the message is empty")
	}
	if r.refused != nil || err != nil {
		blob.Discard()
		if r.refused != nil {
			return nil
		}
		return err
	}
	m := mailbox.Message{BlobSize: size, Attributes: scanner.Finish(), Flags: in.Flags, Received: in.Received}
	finish.Go(func() (err error) {
		defer blob.Discard()
		if m.Blob, err = blob.Finish(); err != nil {
			return err
		}
		r.message.Message, err = o.Mailboxes.Prepare(ctx, m)
		if mail.IsKind(err, mail.Syntax) { // a flag
			r.refused, err = err, nil
		}
		return err
	})
	return nil
}

package web

import (
	"context"
	"fmt"
	"io"
	"time"

	"candor/internal/mail"
	"candor/internal/store/mailbox"
)

// Mailbox is a mailbox as an export needs it.
type Mailbox struct {
	Name        string              `json:"name"` // UTF-8, "/" between levels
	UIDValidity mailbox.UIDValidity `json:"uidvalidity"`
	SpecialUse  mailbox.SpecialUse  `json:"special_use,omitempty"`
	Subscribed  bool                `json:"subscribed"`
	NoSelect    bool                `json:"noselect,omitempty"` // it has children only
	Messages    int                 `json:"messages"`
}

// Stored is a message, its content aside.
type Stored struct {
	UID      mailbox.UID `json:"uid"`
	Size     int64       `json:"size"` // octets
	Flags    []string    `json:"flags,omitempty"`
	Received time.Time   `json:"received"`
}

// MailboxList returns an account's mailboxes, INBOX first. Errors: NotFound.
func (o *Operations) MailboxList(ctx context.Context, address mail.Address) ([]Mailbox, error) {
	a, err := o.account(ctx, address)
	if err != nil {
		return nil, err
	}
	infos, err := a.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Mailbox, len(infos))
	for i, info := range infos {
		all[i] = Mailbox{Name: info.Name, UIDValidity: info.UIDValidity, SpecialUse: info.SpecialUse, Subscribed: info.Subscribed, NoSelect: info.NoSelect}
		if info.NoSelect {
			continue
		}
		st, err := a.Status(ctx, info.ID)
		if mail.IsKind(err, mail.NotFound) { // deleted meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		all[i].Messages = st.Messages
	}
	return all, nil
}

// MessageList returns up to MaxBatch messages of a mailbox whose UID is greater than after, rising.
// Errors: NotFound.
func (o *Operations) MessageList(ctx context.Context, q MailboxRequest, after mailbox.UID) ([]Stored, error) {
	box, err := o.open(ctx, q)
	if err != nil {
		return nil, err
	}
	defer box.Close()
	uids := box.State().UIDs
	for len(uids) > 0 && uids[0] <= after {
		uids = uids[1:]
	}
	uids = uids[:min(len(uids), MaxBatch)]
	all := make([]Stored, 0, len(uids))
	for _, e := range box.Entries(nil, uids) {
		all = append(all, Stored{UID: e.UID, Flags: box.FlagNames(e.Flags)})
	}
	i := 0
	err = box.Records(ctx, uids, func(r *mailbox.Record) error {
		for i < len(all) && all[i].UID < r.UID {
			i++
		}
		if i < len(all) && all[i].UID == r.UID {
			all[i].Size, all[i].Received = r.Size, r.Received
		}
		return nil
	})
	return all, err
}

// Contents calls f with the content of each of the messages. An expunged one is left out; of one that cannot be
// read, reading the content fails. The content must be read before f returns. Errors: NotFound, those of f.
func (o *Operations) Contents(ctx context.Context, q MailboxRequest, uids []mailbox.UID, f func(mailbox.UID, io.Reader) error) error {
	box, err := o.open(ctx, q)
	if err != nil {
		return err
	}
	defer box.Close()
	for _, uid := range uids {
		if err := ctx.Err(); err != nil {
			return err
		}
		body, err := box.OpenBody(ctx, uid)
		if mail.IsKind(err, mail.Expunged) {
			continue
		}
		if err != nil {
			err = f(uid, unreadable{err})
		} else {
			err = f(uid, io.NewSectionReader(body, 0, body.Size()))
			body.Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unreadable is a content that cannot be read.
type unreadable struct{ err error }

func (u unreadable) Read([]byte) (int, error) { return 0, u.err }

// open opens a mailbox. Errors: NotFound.
func (o *Operations) open(ctx context.Context, q MailboxRequest) (*mailbox.Mailbox, error) {
	a, info, err := o.lookup(ctx, q)
	if err != nil {
		return nil, err
	}
	box, err := a.Open(ctx, info.ID)
	if err != nil {
		return nil, fmt.Errorf("opening mailbox %q: %w", q.Mailbox, err)
	}
	return box, nil
}

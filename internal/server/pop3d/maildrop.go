package pop3d

import (
	"context"
	"strconv"

	"candor/internal/mail"
	"candor/internal/store/mailbox"
)

// maildrop is INBOX as it was at login, held by this session alone. Message n is at index n-1.
type maildrop struct {
	unlock   func()
	box      *mailbox.Mailbox
	validity mailbox.UIDValidity
	uids     []mailbox.UID
	sizes    []int64 // octets
	total    int64
}

// open takes the account's lock and lists INBOX. Errors: InUse.
func (m *maildrop) open(ctx context.Context, store *mailbox.Store, id mail.AccountID) error {
	account, err := store.Account(ctx, id)
	if err != nil {
		return err
	}
	if m.unlock, err = account.Exclusive(); err != nil {
		return err
	}
	if err := m.list(ctx, account); err != nil {
		m.close()
		return err
	}
	return nil
}

func (m *maildrop) list(ctx context.Context, account *mailbox.Account) error {
	inbox, err := account.Lookup(ctx, "INBOX")
	if err != nil {
		return err
	}
	if m.box, err = account.Open(ctx, inbox.ID); err != nil {
		return err
	}
	state := m.box.State()
	m.validity = state.Info.UIDValidity
	m.uids, m.sizes = make([]mailbox.UID, 0, len(state.UIDs)), make([]int64, 0, len(state.UIDs))
	return m.box.Records(ctx, state.UIDs, func(r *mailbox.Record) error {
		m.uids = append(m.uids, r.UID)
		m.sizes = append(m.sizes, r.Size)
		m.total += r.Size
		return nil
	})
}

// close gives everything back; it may be called again.
func (m *maildrop) close() {
	if m.box != nil {
		m.box.Close()
	}
	if m.unlock != nil {
		m.unlock()
	}
	*m = maildrop{}
}

// appendUIDL appends the unique-id of message n, which stays the same for ever (RFC 1939, section 7).
func (m *maildrop) appendUIDL(b []byte, n int) []byte {
	b = strconv.AppendUint(b, uint64(m.validity), 10)
	b = append(b, '.')
	return strconv.AppendUint(b, uint64(m.uids[n-1]), 10)
}

// marks are the messages that QUIT will remove. The zero value marks none.
type marks struct {
	deleted map[int]bool
	octets  int64
}

// message parses the number of a message that is there and not marked.
func (s *session) message(args arguments) (int, error) {
	var n int
	if err := args.numbers(&n); err != nil {
		return 0, err
	}
	return n, s.exists(n)
}

func (s *session) exists(n int) error {
	if n < 1 || n > len(s.maildrop.uids) || s.marks.deleted[n] {
		return mail.Errorf(mail.NotFound, "no such message")
	}
	return nil
}

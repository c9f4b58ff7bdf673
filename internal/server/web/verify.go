package web

import (
	"context"
	"errors"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/store/directory"
	"candor/internal/store/kv"
	"candor/internal/store/mailbox"
	"candor/internal/transit/queue"
)

// VerifyStore checks every row and body of a store, whether or not its parts are open. Its error means that the store
// could not be looked at; what is wrong in it goes to o.Report. The limits are those that the server reads messages with.
func VerifyStore(ctx context.Context, db *kv.Engine, limits message.Limits, o kv.VerifyOptions) (kv.Verified, error) {
	return db.Verify(ctx, o, verification(limits))
}

// RepairStore mends what VerifyStore finds. The store's parts must not be open.
func RepairStore(ctx context.Context, db *kv.Engine, limits message.Limits, o kv.RepairOptions) (kv.Verified, error) {
	return db.Repair(ctx, o, verification(limits))
}

func verification(limits message.Limits) func(*kv.Verification) error {
	return func(v *kv.Verification) error {
		err := verifyAll(v, limits)
		if !errors.Is(err, kv.ErrCorrupt) {
			return err
		}
		v.Report(kv.Finding{
			ID: "rows-damaged", Severity: kv.SeverityError, Place: "store/keys", Seen: err.Error(), Wanted: "rows that can be read",
			Fix: "look after the disk and restore a backup; nothing behind this place was looked at",
		})
		return nil
	}
}

func verifyAll(v *kv.Verification, limits message.Limits) error {
	accounts, err := directory.Verify(v)
	if err != nil {
		return err
	}
	mailboxes, err := mailbox.NewVerifier(v, mailbox.VerifyOptions{Accounts: accounts, Adopt: directory.Adopt, Limits: limits})
	if err != nil {
		return err
	}
	queued := queue.NewVerifier(v)
	for _, step := range []func() error{
		func() error { return v.Links(mailboxes, queued) },
		mailboxes.Rows,
		queued.Rows,
		func() error { return v.Keys('d', 'm', 'q') },
		v.Segments,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Verify checks the store of the running server. Errors: InUse, while another verification runs.
func (o *Operations) Verify(ctx context.Context, options kv.VerifyOptions) (kv.Verified, error) {
	if !o.verifying.TryLock() {
		return kv.Verified{}, mail.Errorf(mail.InUse, "another verification is running: wait for its end")
	}
	defer o.verifying.Unlock()
	return VerifyStore(ctx, o.Store, o.Limits, options)
}

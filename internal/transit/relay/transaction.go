package relay

import (
	"bytes"
	"context"
	"errors"
	"io"

	"candor/internal/mail"
	"candor/internal/proto/smtp"
	"candor/internal/store/kv"
	"candor/internal/transit/queue"
)

// transact sends the message to the open recipients. It reports whether the host has answered for
// it, well or badly; a connection that breaks is no answer.
func (a *attempt) transact(ctx context.Context, s *session) bool {
	blob, err := a.relay.o.Blobs.OpenBlob(ctx, a.m.Blob)
	if err != nil {
		a.settleAll(s, a.open, bodyError(err), "")
		return true
	}
	defer blob.Close()
	t := &transaction{attempt: a, session: s, blob: blob, size: int64(len(a.m.Trace)) + a.m.BlobSize}
	for {
		before := len(a.open)
		again, ok := t.run()
		if !ok {
			return false
		}
		if !again || len(a.open) == before {
			s.client.Quit()
			return true
		}
	}
}

// transaction is a mail transaction (RFC 5321, section 3.3).
type transaction struct {
	*attempt
	session *session
	blob    kv.Blob
	size    int64
}

// run makes one transaction. again: the host wants the rest of the recipients in another one. ok is
// false when the connection is of no more use and gave no answer.
func (t *transaction) run() (again, ok bool) {
	c := t.session.client
	params, to, err := t.params()
	if err != nil {
		t.settleAll(t.session, t.open, err, "")
		return false, true
	}
	if len(to) == 0 {
		return false, true
	}
	addrs := make([]mail.Address, len(to))
	for i, r := range to {
		addrs[i] = r.Address
	}
	reply, rcpts, ioErr := c.Begin(t.m.Envelope.ReversePath, params, addrs)
	if ioErr != nil {
		t.judge(to[:len(rcpts)], rcpts)
		t.note(t.session.early("MAIL", smtp.Reply{}, ioErr))
		return false, false
	}
	t.talked = true
	if reply.Class() != 2 {
		t.refuse(to, "MAIL", reply)
		return false, true
	}
	accepted, again := t.judge(to, rcpts)
	if len(accepted) == 0 {
		return false, true
	}
	return again, t.data(accepted)
}

// judge gives refused recipients their results and returns the others.
func (t *transaction) judge(to []mail.Recipient, rcpts []smtp.Reply) (accepted []mail.Recipient, again bool) {
	for i, r := range to {
		if rcpts[i].Class() == 2 {
			accepted = append(accepted, r)
			continue
		}
		again = again || tooMany(rcpts[i])
		t.refuse(to[i:i+1], "RCPT", rcpts[i])
	}
	return accepted, again
}

// data sends the content, and gives the accepted recipients their results.
func (t *transaction) data(accepted []mail.Recipient) bool {
	reply, err := t.session.client.Data(bytes.NewReader(t.m.Trace), t.blob)
	switch {
	case errors.Is(err, smtp.ErrBody):
		t.settleAll(t.session, accepted, bodyError(err), "")
		return true
	case err != nil:
		// Without its whole reply the message counts as not accepted, though it may have been: better
		// twice than never (RFC 5321, section 4.2.5, and specification, X-52).
		t.settleAll(t.session, accepted, sessionError("DATA", t.session.mta, reply, err), "")
		return false
	case reply.Class() != 2:
		t.refuse(accepted, "DATA", reply)
		return true
	}
	t.settleAll(t.session, accepted, nil, said(reply))
	return true
}

func (t *transaction) refuse(to []mail.Recipient, stage string, reply smtp.Reply) {
	t.settleAll(t.session, to, replyError(stage, t.session.mta, reply), said(reply))
}

// settleAll gives recipients one result.
func (a *attempt) settleAll(s *session, to []mail.Recipient, err *mail.Error, reply string) {
	for _, r := range append([]mail.Recipient(nil), to...) {
		res := queue.Result{
			Recipient: r, RemoteMTA: s.mta, Reply: reply, Transport: s.transport, At: a.relay.o.Now(),
		}
		if err != nil {
			res.Err = err
		}
		a.settle(r, res)
	}
}

// params chooses the parameters of MAIL by what the server offers, and leaves out recipients that it
// cannot be told of, who get their result.
func (t *transaction) params() (p smtp.MailParams, to []mail.Recipient, err *mail.Error) {
	c := t.session.client
	if limit := c.Size(); limit > 0 && t.size > limit {
		return p, nil, tooBig(t.session.mta, limit)
	}
	if _, ok := c.Extension("SIZE"); ok {
		p.Size = t.size
	}
	if _, ok := c.Extension("8BITMIME"); ok && t.m.Envelope.BodyType == "8BITMIME" {
		p.Body = t.m.Envelope.BodyType
	}
	if _, ok := c.Extension("SMTPUTF8"); ok {
		p.SMTPUTF8 = t.m.Envelope.SMTPUTF8 || !t.m.Envelope.ReversePath.ASCII()
		for _, r := range t.open {
			p.SMTPUTF8 = p.SMTPUTF8 || !r.Address.ASCII()
		}
		return p, t.open, nil
	}
	if !t.m.Envelope.ReversePath.ASCII() || (t.m.Envelope.SMTPUTF8 && !asciiHeader(t.blob)) {
		return p, nil, needsUTF8(t.session.mta)
	}
	for _, r := range append([]mail.Recipient(nil), t.open...) {
		if r.Address.ASCII() {
			to = append(to, r)
		} else {
			t.settleAll(t.session, []mail.Recipient{r}, needsUTF8(t.session.mta), "")
		}
	}
	return p, to, nil
}

// asciiHeader reports whether a message's header can travel without SMTPUTF8. One that cannot be
// read to its end counts as one that cannot.
func asciiHeader(blob kv.Blob) bool {
	const limit = 256 << 10
	r := io.NewSectionReader(blob, 0, limit)
	buf := make([]byte, 4096)
	var tail byte
	for {
		n, err := r.Read(buf)
		chunk := buf[:n]
		end := bytes.Index(chunk, []byte("\n\r\n"))
		if tail == '\n' && bytes.HasPrefix(chunk, []byte("\r\n")) {
			return true
		}
		if end >= 0 {
			chunk = chunk[:end]
		}
		for _, c := range chunk {
			if c >= 0x80 {
				return false
			}
		}
		if end >= 0 {
			return true
		}
		if err != nil {
			return errors.Is(err, io.EOF) && blob.Size() <= limit
		}
		tail = buf[n-1]
	}
}

package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"candor/internal/mail"
	"candor/internal/store/mailbox"
)

// keysRequest asks about keys of a mailbox's imports.
type keysRequest struct {
	MailboxRequest
	Keys []mailbox.ImportKey `json:"keys"`
}

// listRequest asks for messages after a UID.
type listRequest struct {
	MailboxRequest
	After mailbox.UID `json:"after"`
}

// contentsRequest asks for the contents of messages.
type contentsRequest struct {
	MailboxRequest
	UIDs []mailbox.UID `json:"uids"`
}

// contentHead begins each frame of the answer to a contentsRequest. The last one has the Problem or is Done: an answer
// without it was cut off.
type contentHead struct {
	UID     mailbox.UID `json:"uid,omitempty"`
	Done    bool        `json:"done,omitempty"`
	Problem *problem    `json:"problem,omitempty"`
}

// patience is how long the two ends of a stream wait for each other.
const patience = 2 * time.Minute

// handleStreams adds the operations whose requests or answers are streams of frames.
func handleStreams(mux *http.ServeMux, o *Operations, log *slog.Logger) {
	mux.HandleFunc("POST /v1/import", func(w http.ResponseWriter, r *http.Request) {
		results, err := importFrames(w, r, o)
		answer(w, log, "import", results, err)
	})
	mux.HandleFunc("POST /v1/contents", func(w http.ResponseWriter, r *http.Request) {
		var q contentsRequest
		body, err := readBody(w, r)
		if err == nil {
			err = json.Unmarshal(body, &q)
		}
		if err != nil {
			answer(w, log, "contents", nil, mail.Wrap(mail.Syntax, err, "the request is not understood"))
			return
		}
		if err := writeContents(w, r, o, q); err != nil {
			log.Warn("operator request failed", "operation", "contents", "err", err)
		}
	})
}

// importFrames reads the request of an import: its first frame names the mailbox, each other one is a message.
func importFrames(w http.ResponseWriter, r *http.Request, o *Operations) ([]ImportResult, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	in := newFrameReader(&unhurried{r.Body, http.NewResponseController(w)})
	var q MailboxRequest
	if _, err := in.next(&q); err != nil {
		return nil, mail.Wrap(mail.Syntax, err, "the request is not understood")
	}
	results, err := o.Import(ctx, q, func(yield func(Incoming, io.Reader) bool) {
		for {
			var m Incoming
			content, err := in.next(&m)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				cancel(err) // of what was received, nothing is stored
				return
			}
			if !yield(m, content) {
				return
			}
		}
	})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return results, err
}

// unhurried reads a request that takes as long as it has to while octets come.
type unhurried struct {
	r       io.Reader
	control *http.ResponseController
}

func (u *unhurried) Read(p []byte) (int, error) {
	if err := u.control.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// writeContents answers with a frame for each message.
func writeContents(w http.ResponseWriter, r *http.Request, o *Operations, q contentsRequest) error {
	out := newFrameWriter(&patient{w, http.NewResponseController(w)})
	err := o.Contents(r.Context(), q.MailboxRequest, q.UIDs, func(uid mailbox.UID, content io.Reader) error {
		return out.write(contentHead{UID: uid}, content)
	})
	last := contentHead{Done: true}
	if err != nil {
		e := mail.AsError(err)
		last = contentHead{Problem: &problem{e.Kind, e.Status, err.Error()}}
	}
	return errors.Join(err, out.write(last, noContent{}), out.flush())
}

// patient writes an answer that takes as long as it has to while it is read.
type patient struct {
	w       io.Writer
	control *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}

type noContent struct{}

func (noContent) Read([]byte) (int, error) { return 0, io.EOF }

// MailboxList is Operations.MailboxList; and so on for the others.
func (c *Client) MailboxList(ctx context.Context, a mail.Address) ([]Mailbox, error) {
	return ask[[]Mailbox](ctx, c, "mailboxes", accountRequest{Address: a})
}

// MakeMailbox makes a mailbox unless it is there.
func (c *Client) MakeMailbox(ctx context.Context, q NewMailbox) (MadeMailbox, error) {
	return ask[MadeMailbox](ctx, c, "mailbox/make", q)
}

// HasImported reports for each of the keys whether the mailbox has had the message.
func (c *Client) HasImported(ctx context.Context, q MailboxRequest, keys []mailbox.ImportKey) ([]bool, error) {
	return ask[[]bool](ctx, c, "import/known", keysRequest{q, keys})
}

// MessageList returns up to MaxBatch messages.
func (c *Client) MessageList(ctx context.Context, q MailboxRequest, after mailbox.UID) ([]Stored, error) {
	return ask[[]Stored](ctx, c, "messages", listRequest{q, after})
}

// Import stores messages.
func (c *Client) Import(ctx context.Context, q MailboxRequest, messages iter.Seq2[Incoming, io.Reader]) ([]ImportResult, error) {
	body, in := io.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		in.CloseWithError(writeImport(in, q, messages))
	}()
	resp, err := c.stream(ctx, "import", body)
	body.CloseWithError(errors.New("the server has answered"))
	<-sent
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var results []ImportResult
	return results, json.NewDecoder(resp.Body).Decode(&results)
}

func writeImport(w io.Writer, q MailboxRequest, messages iter.Seq2[Incoming, io.Reader]) error {
	out := newFrameWriter(w)
	if err := out.write(q, noContent{}); err != nil {
		return err
	}
	for m, content := range messages {
		if err := out.write(m, content); err != nil {
			return err
		}
	}
	return out.flush()
}

// Contents calls f with the content of each of the messages.
func (c *Client) Contents(ctx context.Context, q MailboxRequest, uids []mailbox.UID, f func(mailbox.UID, io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, answer := io.Pipe()
	defer request.Close()
	go func() { answer.CloseWithError(json.NewEncoder(answer).Encode(contentsRequest{q, uids})) }()
	resp, err := c.stream(ctx, "contents", request)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for in := newFrameReader(resp.Body); ; {
		var head contentHead
		content, err := in.next(&head)
		if err != nil {
			return fmt.Errorf("reading the server's answer: %w", noEOF(err))
		}
		switch {
		case head.Problem != nil:
			return head.Problem.err()
		case head.Done:
			return nil
		}
		if err := f(head.UID, content); err != nil {
			return err
		}
	}
}

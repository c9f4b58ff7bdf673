package queue

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"candor/internal/mail"
)

// writeReport writes a delivery report in plain words.
// TODO: drop when message composes reports (RFC 3464).
func (q *Queue) writeReport(_ context.Context, w io.Writer, e *entry, action string, rs []*recipient) (int64, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "From: Mail Delivery System <postmaster@%s>\r\nTo: <%s>\r\nSubject: Delivery %s\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\nAuto-Submitted: auto-replied\r\n\r\n",
		q.o.Hostname, e.m.Envelope.ReversePath, action, q.o.Now().Format(time.RFC1123Z), q.NewID(), q.o.Hostname)
	for _, r := range rs {
		err := mail.AsError(r.last.Err)
		fmt.Fprintf(&b, "%s: %s %s\r\n", r.to.Address, err.Status, err.Text)
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

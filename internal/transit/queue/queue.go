// Package queue is the durable queue: every accepted message passes through it. It keeps the
// schedule, retries, expiry and delivery reports; Transports make the attempts.
package queue

import (
	"context"
	"log/slog"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
	"candor/internal/store/kv"
)

// ID names a queue item; its text goes into Received fields, replies and logs.
type ID string

// Message is what is put into the queue.
type Message struct {
	ID         ID // from NewID; the Received field bears it
	Envelope   mail.Envelope
	Trace      []byte              // our Received field, with CRLF
	Blob       kv.BlobID           // the message below it, finished
	BlobSize   int64               // octets
	Attributes *message.Attributes // of the blob alone
	Inbound    mail.Transport      // the hop that brought it
	Helo       string              // EHLO name, for the record
	Remote     string              // address of the peer, for the record
}

// Item is a queued message as the operator sees it.
type Item struct {
	Message
	Recipients []RecipientState
	Created    time.Time
}

// RecipientState is a recipient that is not done yet.
type RecipientState struct {
	Recipient mail.Recipient `json:"recipient"`
	Attempts  int            `json:"attempts"`
	Next      time.Time      `json:"next"`
	Last      *Result        `json:"last,omitempty"`
}

// Result is the outcome of one attempt for one recipient.
type Result struct {
	Recipient mail.Recipient `json:"recipient"`
	Err       error          `json:"-"` // nil: delivered. A mail.Error's status says retry or give up
	RemoteMTA string         `json:"remote_mta,omitempty"`
	Reply     string         `json:"reply,omitempty"`
	Transport mail.Transport `json:"transport"`
	At        time.Time      `json:"at"`
}

// Transport makes one attempt to deliver a message to some of its recipients. It returns one result
// for each. A transport that stores into the same DB may remove the recipients from the queue in
// its own transaction with Settle and then says so by returning settled.
type Transport interface {
	Deliver(ctx context.Context, m *Message, to []mail.Recipient) []Result
}

// Options configures a Queue.
type Options struct {
	Hostname   mail.Domain
	Local      Transport // for mail.Local recipients
	Remote     Transport // for mail.Remote recipients
	Log        *slog.Logger
	Now        func() time.Time
	Workers    int             // local deliveries at a time; 0: a default
	Retry      []time.Duration // empty: 5, 10, 20, 40 min, 1 h, 2 h, then every 4 h
	Expire     time.Duration   // 0: 5 days
	Redelivery time.Duration
}

// Queue is the queue. All methods may be called concurrently.
type Queue struct{}

// Open reads the queue. Start begins the work.
func Open(ctx context.Context, db kv.DB, o Options) (*Queue, error) { panic("not built yet") }

// Recover makes the local deliveries that were waiting, regardless of retry times, until done or 10 s.
func (q *Queue) Recover(ctx context.Context) error { panic("not built yet") }

// Start begins deliveries; Close ends them, waiting for attempts under way.
func (q *Queue) Start()       { panic("not built yet") }
func (q *Queue) Close() error { panic("not built yet") }

// NewID returns a fresh ID.
func (q *Queue) NewID() ID { panic("not built yet") }

// NewBody begins a message's blob.
func (q *Queue) NewBody(ctx context.Context) (kv.BlobWriter, error) { panic("not built yet") }

// Put makes the message durable: on return it may be acknowledged. Delivery begins at once.
func (q *Queue) Put(ctx context.Context, m *Message) error { panic("not built yet") }

// List, Show, Retry and Remove are the operator's. Retry and Remove of "" mean all.
// Errors: NotFound.
func (q *Queue) List(ctx context.Context) ([]Item, error)       { panic("not built yet") }
func (q *Queue) Show(ctx context.Context, id ID) (Item, error)  { panic("not built yet") }
func (q *Queue) Retry(ctx context.Context, id ID) (int, error)  { panic("not built yet") }
func (q *Queue) Remove(ctx context.Context, id ID) (int, error) { panic("not built yet") }

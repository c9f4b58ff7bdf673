package mailbox

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
)

// attributesEffort is what an octet of encoded attributes costs, in octets of a body.
const attributesEffort = 16

// headerEffort is what an octet of a header costs, whose words may be encoded, in octets of a body.
const headerEffort = 8

// maxHeader is how much of a header is searched: more than any message that was accepted has.
const maxHeader = 1 << 20

const (
	// greatAttributes is from how many octets on encoded attributes are great: decoded they are many times as long.
	greatAttributes = 64 << 10
	// greatAtOnce is how many great ones all searches together hold at a time.
	greatAtOnce = 4
)

// candidate is a message that is being searched. What is read of it is kept until it is decided.
type candidate struct {
	search     *search
	ctx        context.Context
	entry      Entry
	record     *record
	attributes *message.Attributes
	body       *body
	header     message.Header
	great      bool // it has one of Store.great
}

func (c *candidate) close() {
	if c.great {
		<-c.search.mailbox.account.store.great
	}
	if c.body != nil {
		c.body.Close()
	}
}

// matches decides a test. Children come cheapest first, so what decides soonest spares the rest.
func (c *candidate) matches(t *test) (bool, error) {
	switch t.Op {
	case And:
		return c.each(t, true)
	case Or:
		return c.each(t, false)
	case Not:
		ok, err := c.each(t, true)
		return !ok, err
	case Header:
		return c.inField(t)
	case BodyText:
		return c.inBody(t)
	case AnyText:
		return c.inMessage(t)
	case SentBefore, SentOn, SentSince:
		return c.sent(t)
	case HasFlag, InUIDs, ModSeqFrom:
		return c.search.guess(t, &c.entry) == yes, nil
	}
	return c.byRecord(t), nil
}

// each returns until while the children return it, else what broke it off.
func (c *candidate) each(t *test, until bool) (bool, error) {
	for _, child := range t.children {
		if ok, err := c.matches(child); err != nil || ok != until {
			return ok, err
		}
	}
	return until, nil
}

func (c *candidate) byRecord(t *test) bool {
	r := c.record
	switch t.Op {
	case Larger:
		return r.size > t.Size
	case Smaller:
		return r.size < t.Size
	case Before:
		return inDay(r.received, t.Date) < 0
	case On:
		return inDay(r.received, t.Date) == 0
	case Since:
		return inDay(r.received, t.Date) >= 0
	case Younger:
		return !r.received.Before(c.search.now.Add(-t.Within))
	case Older:
		return !r.received.After(c.search.now.Add(-t.Within))
	case EmailID:
		return r.emailID() == t.Text
	case SavedBefore:
		return inDay(r.savedDay(), t.Date) < 0
	case SavedOn:
		return inDay(r.savedDay(), t.Date) == 0
	case SavedSince:
		return inDay(r.savedDay(), t.Date) >= 0
	}
	return false
}

// savedDay is when the message was saved, as a search sees it (RFC 8514, section 4.3).
func (r *record) savedDay() time.Time {
	if r.saved.IsZero() {
		return r.received
	}
	return r.saved
}

func (c *candidate) sent(t *test) (bool, error) {
	a, err := c.decoded()
	if err != nil {
		return false, err
	}
	date, ok := sentDate(a.Envelope.Date)
	if !ok {
		return false, nil
	}
	switch t.Op {
	case SentBefore:
		return inDay(date, t.Date) < 0, nil
	case SentOn:
		return inDay(date, t.Date) == 0, nil
	}
	return inDay(date, t.Date) >= 0, nil
}

// inField tests the fields of one name.
func (c *candidate) inField(t *test) (bool, error) {
	if inEnvelope(t.Field, t.Text) {
		a, err := c.decoded()
		return err == nil && t.finder.inString(envelopeText(&a.Envelope, t.Field)), err
	}
	h, err := c.readHeader()
	if err != nil {
		return false, err
	}
	for f := range h.Fields() {
		if f.Is(t.Field) && t.finder.inString(f.Decoded()) {
			return true, nil
		}
	}
	return false, nil
}

// addressFields are the fields of the envelope that hold addresses. Sender and Reply-To are not
// among them: the envelope fills them in from the From field.
var addressFields = []string{"from", "to", "cc", "bcc"}

// textFields are the fields of the envelope that hold text.
var textFields = []string{"subject", "message-id", "in-reply-to"}

// inEnvelope reports whether the envelope in the record decides about a field as exactly as the header
// would. FROM, TO, CC, BCC and SUBJECT are defined by the envelope (RFC 9051, section 6.4.4), but
// it lacks the punctuation of address lists, and does not tell an empty field from none.
func inEnvelope(field, text string) bool {
	if text == "" {
		return false
	}
	field = strings.ToLower(field)
	return slices.Contains(textFields, field) ||
		slices.Contains(addressFields, field) && !strings.ContainsAny(text, `"<>(),:;\`)
}

// envelopeText returns what the envelope has of a field, decoded.
func envelopeText(e *message.Envelope, field string) string {
	switch strings.ToLower(field) {
	case "subject":
		return message.DecodeText(e.Subject)
	case "message-id":
		return e.MessageID
	case "in-reply-to":
		return e.InReplyTo
	case "from":
		return addressText(e.From)
	case "to":
		return addressText(e.To)
	case "cc":
		return addressText(e.Cc)
	}
	return addressText(e.Bcc)
}

// addressText writes an address list on a line. Nothing can match across two of its entries, since the
// texts searched for here hold no comma.
func addressText(list []message.Mailbox) string {
	var b strings.Builder
	for _, m := range list {
		if m.Name != "" {
			b.WriteString(message.DecodeText(m.Name))
			b.WriteString(" <")
		}
		b.WriteString(m.Local)
		if m.Host != "" {
			b.WriteString("@")
			b.WriteString(m.Host)
		}
		b.WriteString(">, ")
	}
	return b.String()
}

// inMessage tests header and body.
func (c *candidate) inMessage(t *test) (bool, error) {
	if t.Text == "" {
		return true, nil
	}
	h, err := c.readHeader()
	if err != nil {
		return false, err
	}
	if t.finder.inHeader(h) {
		return true, nil
	}
	return c.inBody(t)
}

// inBody tests the text of the body: of text parts, decoded, and the headers of parts and of messages
// within, where the names of attachments stand.
func (c *candidate) inBody(t *test) (bool, error) {
	if t.Text == "" {
		return true, nil
	}
	a, err := c.decoded()
	if err != nil {
		return false, err
	}
	return c.inPart(&a.Root, t.finder)
}

func (c *candidate) inPart(p *message.Part, f *finder) (bool, error) {
	switch {
	case len(p.Children) > 0:
		return c.inChildren(p, f)
	case p.Type == "TEXT", p.Type == "MESSAGE", p.Type == "MULTIPART":
		return c.inText(p, f)
	}
	return false, nil
}

func (c *candidate) inChildren(p *message.Part, f *finder) (bool, error) {
	for i := range p.Children {
		child := &p.Children[i]
		h, err := c.read(child.HeaderOffset, child.BodyOffset-child.HeaderOffset)
		if err != nil {
			return false, err
		}
		if f.inHeader(h) {
			return true, nil
		}
		if ok, err := c.inPart(child, f); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (c *candidate) inText(p *message.Part, f *finder) (bool, error) {
	b, err := c.open()
	if err != nil {
		return false, err
	}
	raw := &paced{io.NewSectionReader(b, p.BodyOffset, p.BodySize), c}
	text, err := message.TextReader(p, raw)
	if mail.IsKind(err, mail.Unsupported) {
		return f.in(c.ctx, raw)
	}
	if err != nil {
		return false, err
	}
	return f.in(c.ctx, text)
}

// paced reads at the pace of the search.
type paced struct {
	io.Reader
	of *candidate
}

func (p *paced) Read(b []byte) (int, error) {
	p.of.search.spend(p.of.ctx, len(b))
	return p.Reader.Read(b)
}

// decoded returns the message's attributes. Great ones wait for their turn.
func (c *candidate) decoded() (_ *message.Attributes, err error) {
	if c.attributes != nil {
		return c.attributes, nil
	}
	if len(c.record.attributes) > greatAttributes && !c.great {
		select {
		case c.search.mailbox.account.store.great <- struct{}{}:
			c.great = true
		case <-c.ctx.Done():
			return nil, c.ctx.Err()
		}
	}
	c.search.spend(c.ctx, attributesEffort*len(c.record.attributes))
	c.attributes, err = c.record.decodeAttributes()
	return c.attributes, err
}

// readHeader returns the message's header.
func (c *candidate) readHeader() (_ message.Header, err error) {
	if c.header != nil {
		return c.header, nil
	}
	a, err := c.decoded()
	if err != nil {
		return nil, err
	}
	c.header, err = c.read(0, a.Root.BodyOffset)
	return c.header, err
}

// read reads a header within the message.
func (c *candidate) read(offset, size int64) (message.Header, error) {
	b, err := c.open()
	if err != nil {
		return nil, err
	}
	c.search.spend(c.ctx, headerEffort*int(min(size, maxHeader)))
	h := make(message.Header, max(0, min(size, maxHeader, b.Size()-offset)))
	n, err := b.ReadAt(h, offset)
	if err == io.EOF || n == len(h) {
		err = nil
	}
	return h[:n], err
}

func (c *candidate) open() (_ *body, err error) {
	if c.body == nil {
		c.search.mailbox.account.store.stats.searched.Add(1)
		c.body, err = c.search.mailbox.openBlob(c.ctx, c.record)
	}
	return c.body, err
}

// isExpunged reports whether err says that the message has gone.
func isExpunged(err error) bool { return mail.IsKind(err, mail.Expunged) }

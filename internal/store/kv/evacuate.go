package kv

import (
	"context"
	"time"
)

// evacuateGroup is how many octets of copies become durable together.
const evacuateGroup = 1 << 20

// evacuation copies blobs out of the victims.
type evacuation struct {
	engine  *Engine
	pace    *pace
	victims map[uint32]bool

	sent   []*record // not handed over yet
	octets int       // of sent
	noting int       // octets of copies, sent or not, whose rows are not written yet
	cargo  cargo     // likewise
	moves  []move
	blobs  int
	copied int64
}

// move is a blob with the record that it has become.
type move struct {
	id     BlobID
	record *record
}

// run copies the residents. What cannot be read stays, and with it its segment.
func (v *evacuation) run(ctx context.Context, residents []residence) error {
	defer func() { v.cargo.land(v.engine.catalog) }()
	for _, r := range residents {
		err := v.copy(ctx, r)
		if isDamage(err) {
			v.engine.log.Error("a message cannot be read, so the segment it is in stays: restore it from a backup",
				"blob", r.id.String(), "place", r.place.at.String(), "err", err)
			v.engine.catalog.spoil(r.place.at.segment)
			continue
		}
		if err != nil {
			return err
		}
		if v.noting >= evacuateGroup {
			if err := v.commit(ctx); err != nil {
				return err
			}
		}
	}
	return v.commit(ctx)
}

func (v *evacuation) copy(ctx context.Context, r residence) error {
	if err := v.pace.wait(ctx, 2*min(r.id.size(), maxChunk)); err != nil {
		return err
	}
	if r.id.isIndex() {
		return v.copyLarge(ctx, r)
	}
	b, err := v.engine.openSmall(r.id, r.place)
	if err != nil {
		return err
	}
	v.move(r.id, v.send(kindBlob, b.body))
	return nil
}

// copyLarge copies the parts that are in a victim, and writes a new index.
func (v *evacuation) copyLarge(ctx context.Context, r residence) error {
	parts, err := v.engine.readIndex(r.id, r.place)
	if err != nil {
		for n := range v.victims { // which of them hold parts is not known any more
			v.engine.catalog.spoil(n)
		}
		return err
	}
	copies := map[int]*record{}
	for i, p := range parts {
		if !v.victims[p.at.segment] {
			continue
		}
		if err := v.pace.wait(ctx, 2*int64(p.length)); err != nil {
			return err
		}
		body := make([]byte, p.length)
		if err := v.engine.readPart(p, body); err != nil {
			v.keep(homes(r.place.at, parts))
			return err
		}
		copies[i] = v.send(kindChunk, body)
		if v.octets >= evacuateGroup {
			if err := v.land(); err != nil {
				return err
			}
		}
	}
	// The parts are durable before the index that names them is written.
	if err := v.land(); err != nil {
		return err
	}
	for i, c := range copies {
		parts[i].at = c.at
	}
	v.move(r.id, v.send(kindIndex, marshalIndex(parts)))
	return nil
}

// keep lets victims stay: those who mend a blob need all that is left of it.
func (v *evacuation) keep(numbers []uint32) {
	for _, n := range numbers {
		if v.victims[n] {
			v.engine.catalog.spoil(n)
		}
	}
}

func (v *evacuation) send(kind recordKind, body []byte) *record {
	r := &record{kind: kind, body: body, sum: checksum(body), sync: true, done: make(chan error, 1)}
	v.sent = append(v.sent, r)
	v.octets += len(body)
	v.noting += len(body)
	return r
}

func (v *evacuation) move(id BlobID, r *record) {
	v.moves = append(v.moves, move{id, r})
}

// land writes what was sent and waits until it is durable.
func (v *evacuation) land() error {
	v.engine.appender.append(v.sent...)
	var failure error
	for _, r := range v.sent {
		if err := v.engine.written(r); err != nil {
			failure = err
			continue
		}
		v.cargo.add(r.at.segment)
		v.copied += int64(len(r.body))
		r.body = nil
	}
	v.sent, v.octets = nil, 0
	return failure
}

// commit notes where the blobs have moved.
func (v *evacuation) commit(ctx context.Context) error {
	if err := v.land(); err != nil {
		return err
	}
	if len(v.moves) == 0 {
		return nil
	}
	err := v.engine.Update(ctx, func(tx Tx) error {
		for _, m := range v.moves {
			tx.Set(movedKey(m.id), place{at: m.record.at, sum: m.record.sum}.marshal())
		}
		return nil
	})
	v.blobs += len(v.moves)
	v.moves, v.noting = nil, 0
	v.cargo.land(v.engine.catalog)
	v.cargo = nil
	return err
}

// pace keeps reading and writing to a rate, in octets a second.
type pace struct {
	rate  int64
	ready time.Time
}

// wait returns when n octets more may be read or written.
func (p *pace) wait(ctx context.Context, n int64) error {
	now := time.Now()
	if p.ready.Before(now) {
		p.ready = now
	}
	ahead := p.ready.Sub(now)
	p.ready = p.ready.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	if ahead < time.Millisecond {
		return ctx.Err()
	}
	return sleep(ctx, ahead)
}

package directory

import (
	"context"
	"time"

	"candor/internal/mail"
)

// TrialSeen is a trial with what was seen of the account's programs while it lasted.
type TrialSeen struct {
	Trial
	Running  bool           `json:"running"`
	Programs []TrialProgram `json:"programs"`
}

// TrialProgram is a program that logged in by the mechanism before the trial, or asked for it since.
type TrialProgram struct {
	Service Service   `json:"svc"`
	Client  string    `json:"client"`
	Outcome string    `json:"outcome"` // "works", "fails" or "not-seen"
	Instead string    `json:"instead,omitempty"`
	Last    time.Time `json:"last,omitzero"`
}

// TrialsSeen returns all trials, those that began last first.
func (d *Directory) TrialsSeen(ctx context.Context) ([]TrialSeen, error) {
	all, err := d.Trials(ctx)
	if err != nil {
		return nil, err
	}
	seen := make([]TrialSeen, 0, len(all))
	for _, t := range all {
		rows, err := d.Census(ctx, t.Account, t.From.Add(-trialMemory))
		if mail.IsKind(err, mail.NotFound) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		s := TrialSeen{Trial: t, Running: d.now().Before(t.Until), Programs: []TrialProgram{}}
		for _, p := range programsOf(rows) {
			if used, refused := p.ok[t.Mechanism], p.refused[t.Mechanism]; used != nil || refused != nil && asks(refused) {
				s.Programs = append(s.Programs, t.outcome(p))
			}
		}
		seen = append(seen, s)
	}
	return seen, nil
}

// outcome says how a program fared without the mechanism.
func (t *Trial) outcome(p *program) TrialProgram {
	o := TrialProgram{Service: p.service, Client: p.client, Outcome: "not-seen"}
	if r := p.refused[t.Mechanism]; r != nil && asks(r) && !r.Last.Before(t.From.Truncate(time.Second)) {
		o.Outcome, o.Last = "fails", r.Last
	}
	if r := p.other(t.Mechanism); r != nil && !r.Last.Before(t.From.Truncate(time.Second)) {
		o.Outcome, o.Instead, o.Last = "works", r.Mechanism, r.Last
	}
	return o
}

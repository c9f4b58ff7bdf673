package web

import (
	"context"
	"time"

	"candor/internal/mail"
	"candor/internal/store/directory"
)

// censusRequest asks for a report.
type censusRequest struct {
	Days   int    `json:"days"`
	Remove string `json:"remove,omitempty"`
}

// rowsRequest asks for the rows of an account, or of all.
type rowsRequest struct {
	Account mail.Address `json:"account,omitzero"`
	Days    int          `json:"days"`
}

// trialRequest names a trial.
type trialRequest struct {
	Account mail.Address `json:"account"`
	Remove  string       `json:"remove"`
	Hours   int          `json:"hours,omitempty"`
}

// CensusReport sums up who logged in by what in the last days, and what becomes of them without a mechanism.
func (o *Operations) CensusReport(ctx context.Context, days int, remove string) (directory.CensusReport, error) {
	return o.Directory.CensusReport(ctx, days, remove)
}

// CensusRows returns what is known of the attempts of the last days of an account or, of the zero Address, all.
func (o *Operations) CensusRows(ctx context.Context, a mail.Address, days int) ([]directory.CensusRow, error) {
	return o.Directory.Census(ctx, a, time.Now().AddDate(0, 0, -days))
}

// Trials returns the trials with what was seen of them.
func (o *Operations) Trials(ctx context.Context) ([]directory.TrialSeen, error) {
	return o.Directory.TrialsSeen(ctx)
}

// StartTrial hides a mechanism from the networks of an account.
func (o *Operations) StartTrial(ctx context.Context, a mail.Address, remove string, hours int) (directory.Trial, error) {
	return o.Directory.StartTrial(ctx, a, remove, time.Duration(hours)*time.Hour)
}

// EndTrial ends a trial.
func (o *Operations) EndTrial(ctx context.Context, a mail.Address, remove string) error {
	return o.Directory.EndTrial(ctx, a, remove)
}

// Exposed returns the credentials that crossed the network in clear and were not changed since.
func (o *Operations) Exposed(ctx context.Context) ([]directory.Exposed, error) {
	return o.Directory.ExposedCredentials(ctx)
}

// ProgramHints returns the programs of an account or, of the zero Address, all, with what to tell their users.
func (o *Operations) ProgramHints(ctx context.Context, a mail.Address) ([]directory.ProgramUse, error) {
	return o.Directory.Programs(ctx, a)
}

// CensusReport is Operations.CensusReport; and so on for the others.
func (c *Client) CensusReport(ctx context.Context, days int, remove string) (directory.CensusReport, error) {
	return ask[directory.CensusReport](ctx, c, "census", censusRequest{days, remove})
}

// CensusRows returns what is known of attempts.
func (c *Client) CensusRows(ctx context.Context, a mail.Address, days int) ([]directory.CensusRow, error) {
	return ask[[]directory.CensusRow](ctx, c, "census/rows", rowsRequest{a, days})
}

// Trials returns the trials.
func (c *Client) Trials(ctx context.Context) ([]directory.TrialSeen, error) {
	return ask[[]directory.TrialSeen](ctx, c, "trials", none{})
}

// StartTrial hides a mechanism from the networks of an account.
func (c *Client) StartTrial(ctx context.Context, a mail.Address, remove string, hours int) (directory.Trial, error) {
	return ask[directory.Trial](ctx, c, "trial/start", trialRequest{a, remove, hours})
}

// EndTrial ends a trial.
func (c *Client) EndTrial(ctx context.Context, a mail.Address, remove string) error {
	return c.call(ctx, "trial/end", trialRequest{Account: a, Remove: remove}, nil)
}

// Exposed returns the exposed credentials.
func (c *Client) Exposed(ctx context.Context) ([]directory.Exposed, error) {
	return ask[[]directory.Exposed](ctx, c, "exposed", none{})
}

// ProgramHints returns the programs of accounts.
func (c *Client) ProgramHints(ctx context.Context, a mail.Address) ([]directory.ProgramUse, error) {
	return ask[[]directory.ProgramUse](ctx, c, "programs", rowsRequest{Account: a})
}

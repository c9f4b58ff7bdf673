package directory

import "time"

// Policy is what the operator decides of logins.
type Policy struct {
	// OnExposure is what becomes of a credential that crossed the network in clear; "": Notify.
	OnExposure Exposure
	// AutoRetire is after how long without a login by it a mechanism is not offered any more; 0: never.
	AutoRetire time.Duration
	// CensusKept is how long the census has a row for each kind of attempt, before it has counts of months; 0: 90 days.
	CensusKept time.Duration
}

// defaultCensusKept is in the specification, section 3.6.
const defaultCensusKept = 90 * 24 * time.Hour

func (p *Policy) censusKept() time.Duration {
	if p.CensusKept == 0 {
		return defaultCensusKept
	}
	return p.CensusKept
}

// SetPolicy puts p in the place of the policy before. What it says of exposed credentials holds soon after, in the
// background, for those too that were exposed before.
func (d *Directory) SetPolicy(p Policy) {
	d.rules.Store(&p)
	d.wakeTighten()
	d.retire()
}

func (d *Directory) policy() *Policy { return d.rules.Load() }

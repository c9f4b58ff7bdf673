package main

import "time"

// recordsConfig is how long it is known how a message came.
type recordsConfig struct {
	KeepDays *int64 `toml:"keep_days"`
}

// deliveryConfig is about messages in mailboxes.
type deliveryConfig struct {
	TransportKeywords *bool `toml:"transport_keywords"`
}

// What [records] keep_days may be, in days (specification, TS-7.4).
const (
	leastKeepDays   = 7
	defaultKeepDays = 90
	mostKeepDays    = 400
)

func (c *config) checkRecords() error {
	if d := c.Records.KeepDays; d != nil && (*d < leastKeepDays || *d > mostKeepDays) {
		return c.refuse("records.keep_days", "", "keep_days %d is out of range: use %d to %d (default %d)", *d, leastKeepDays, mostKeepDays, defaultKeepDays)
	}
	return nil
}

// setRecords puts [records] and [delivery] into force.
func (p *parts) setRecords(c *config) {
	p.queue.KeepRecords(c.keepDays())
	p.local.SetKeywords(c.Delivery.TransportKeywords == nil || *c.Delivery.TransportKeywords)
}

// keepDays is how long records of single messages and logins are kept.
func (c *config) keepDays() time.Duration {
	days := int64(defaultKeepDays)
	if d := c.Records.KeepDays; d != nil {
		days = *d
	}
	return time.Duration(days) * 24 * time.Hour
}

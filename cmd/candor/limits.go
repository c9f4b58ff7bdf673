package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// limits are the numbers of the specification, section 2.10, by the names they have in [limits].
type limits struct {
	firstByte, handshake, authenticate, greeting  time.Duration
	smtpCommand, smtpData, imapIdle, pop3Idle     time.Duration
	unauthenticated, unauthenticatedSMTP          int64
	loginConnections, smtpConnections, handshakes int64
	badCommands, badCommandsBeforeLogin, tries    int64
	messageSize, headerSize, recipients           int64
	exempt                                        []netip.Prefix
}

// limitRow is one number: exactly one of duration and count is set.
type limitRow struct {
	name       string
	duration   *time.Duration
	count      *int64
	value      int64 // default, in seconds for a duration
	least, top int64
}

func (l *limits) rows() []limitRow {
	return []limitRow{
		{"first_byte_timeout", &l.firstByte, nil, 20, 5, 60},
		{"handshake_timeout", &l.handshake, nil, 30, 5, 120},
		{"authentication_timeout", &l.authenticate, nil, 180, 10, 600},
		{"greeting_timeout", &l.greeting, nil, 60, 10, 300},
		{"smtp_command_timeout", &l.smtpCommand, nil, 300, 10, 900},
		{"smtp_data_timeout", &l.smtpData, nil, 180, 10, 900},
		{"imap_idle_timeout", &l.imapIdle, nil, 1800, 1800, 7200},
		{"pop3_idle_timeout", &l.pop3Idle, nil, 600, 600, 3600},
		{"unauthenticated_per_address", nil, &l.unauthenticated, 20, 1, 100_000},
		{"unauthenticated_per_address_smtp", nil, &l.unauthenticatedSMTP, 50, 1, 100_000},
		{"login_connections", nil, &l.loginConnections, 2000, 10, 1_000_000},
		{"smtp_connections", nil, &l.smtpConnections, 1000, 10, 1_000_000},
		{"half_finished_handshakes", nil, &l.handshakes, 500, 10, 100_000},
		{"bad_commands", nil, &l.badCommands, 20, 1, 1000},
		{"bad_commands_before_login", nil, &l.badCommandsBeforeLogin, 10, 1, 1000},
		{"authentication_tries", nil, &l.tries, 3, 1, 100},
		{"message_size", nil, &l.messageSize, 50 << 20, 64 << 10, 1 << 30},
		{"header_size", nil, &l.headerSize, 256 << 10, 16 << 10, 1 << 20},
		{"recipients", nil, &l.recipients, 1000, 100, 100_000},
	}
}

// checkLimits sets the limits to their defaults and then to what [limits] says.
func (c *config) checkLimits() error {
	rows := c.limits.rows()
	for _, r := range rows {
		r.set(r.value)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Limits)) {
		value := c.Limits[name]
		path := "limits." + name
		if name == "exempt" {
			if err := c.setExempt(value); err != nil {
				return c.refuse(path, "", "exempt: %v", err)
			}
			continue
		}
		i := slices.IndexFunc(rows, func(r limitRow) bool { return r.name == name })
		if i < 0 {
			return c.refuse(path, "", "unknown key %q: remove it; the limits are exempt, %s", name, limitNames(rows))
		}
		if err := rows[i].parse(value); err != nil {
			return c.refuse(path, "", "%s: %v", name, err)
		}
	}
	return nil
}

func (r limitRow) set(v int64) {
	if r.duration != nil {
		*r.duration = time.Duration(v) * time.Second
		return
	}
	*r.count = v
}

// parse accepts an integer, and for a duration also text such as "5m".
func (r limitRow) parse(value any) error {
	v, ok := value.(int64)
	if s, text := value.(string); text && r.duration != nil {
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q is not a time: write seconds, or text such as \"5m\"", s)
		}
		if d%time.Second != 0 {
			return fmt.Errorf("%q is not a whole number of seconds", s)
		}
		v, ok = int64(d/time.Second), true
	}
	if !ok {
		return fmt.Errorf("%v is not a whole number", value)
	}
	if v < r.least || v > r.top {
		unit := ""
		if r.duration != nil {
			unit = " seconds"
		}
		return fmt.Errorf("%d is out of range: use %d to %d%s (default %d)", v, r.least, r.top, unit, r.value)
	}
	r.set(v)
	return nil
}

func (c *config) setExempt(value any) error {
	list, ok := value.([]any)
	if !ok {
		return fmt.Errorf("%v is not a list of networks", value)
	}
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("%v is not a network", v)
		}
		p, err := parsePrefix(s)
		if err != nil {
			return err
		}
		c.limits.exempt = append(c.limits.exempt, p)
	}
	return nil
}

func limitNames(rows []limitRow) string {
	var names []string
	for _, r := range rows {
		names = append(names, r.name)
	}
	return strings.Join(names, ", ")
}

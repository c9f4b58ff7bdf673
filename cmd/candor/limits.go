package main

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// limits are the numbers of the specification, section 2.10, by the names they have in [limits].
type limits struct {
	memory int64
	drain  time.Duration

	firstByte, peek, handshake, authenticate, greeting        time.Duration
	smtpCommand, smtpData, smtpStore, imapIdle, pop3Idle      time.Duration
	unauthenticated, unauthenticatedSMTP                      int64
	loginConnections, smtpConnections, accountConnections     int64
	handshakes                                                int64
	handshakesPerMinute, contentRate                          int64
	badCommands, badCommandsBeforeLogin, tries                int64
	commandLine, loginLine                                    int64
	imapLine, imapLineBeforeLogin                             int64
	imapLiterals, imapLiteralsBeforeLogin                     int64
	messageSize, headerSize, recipients, mimeDepth, mimeParts int64

	outConnect, outHandshake, outGreeting, outMail, outRcpt time.Duration
	outData, outBlock, outEnd                               time.Duration
	peerCertificates, peerChain                             int64

	loginCounters int64

	collectorRate     int64
	collectorInterval time.Duration

	exempt []netip.Prefix
}

// limitRow is one number: exactly one of duration and number is set.
type limitRow struct {
	name       string
	duration   *time.Duration
	unit       time.Duration // of a duration
	number     *int64
	octets     bool  // number may be written as "64KiB"
	value      int64 // default, in units for a duration
	least, top int64
}

func timeLimit(name string, d *time.Duration, value, least, top int64) limitRow {
	return limitRow{name: name, duration: d, unit: time.Second, value: value, least: least, top: top}
}

func countLimit(name string, n *int64, value, least, top int64) limitRow {
	return limitRow{name: name, number: n, value: value, least: least, top: top}
}

func sizeLimit(name string, n *int64, value, least, top int64) limitRow {
	return limitRow{name: name, number: n, octets: true, value: value, least: least, top: top}
}

func (l *limits) rows() []limitRow {
	return []limitRow{
		sizeLimit("memory", &l.memory, machineMemory(), leastMemory, mostMemory),
		timeLimit("drain_timeout", &l.drain, 30, 1, 600),
		timeLimit("first_byte_timeout", &l.firstByte, 20, 5, 60),
		{name: "peek_before_greeting", duration: &l.peek, unit: time.Millisecond, value: 0, least: 0, top: 500},
		timeLimit("handshake_timeout", &l.handshake, 30, 5, 120),
		timeLimit("authentication_timeout", &l.authenticate, 180, 10, 600),
		timeLimit("greeting_timeout", &l.greeting, 60, 10, 300),
		timeLimit("smtp_command_timeout", &l.smtpCommand, 300, 10, 900),
		timeLimit("smtp_data_timeout", &l.smtpData, 180, 10, 900),
		timeLimit("smtp_store_timeout", &l.smtpStore, 600, 60, 1800),
		timeLimit("imap_idle_timeout", &l.imapIdle, 1800, 1800, 7200),
		timeLimit("pop3_idle_timeout", &l.pop3Idle, 600, 600, 3600),
		sizeLimit("content_rate", &l.contentRate, 128, 16, 64<<10),
		countLimit("unauthenticated_per_address", &l.unauthenticated, 20, 1, 100_000),
		countLimit("unauthenticated_per_address_smtp", &l.unauthenticatedSMTP, 50, 1, 100_000),
		countLimit("login_connections", &l.loginConnections, 2000, 10, 1_000_000),
		countLimit("smtp_connections", &l.smtpConnections, 1000, 10, 1_000_000),
		countLimit("connections_per_account", &l.accountConnections, 100, 1, 100_000),
		countLimit("half_finished_handshakes", &l.handshakes, 500, 10, 100_000),
		countLimit("handshakes_per_minute", &l.handshakesPerMinute, 60, 1, 100_000),
		countLimit("bad_commands", &l.badCommands, 20, 1, 1000),
		countLimit("bad_commands_before_login", &l.badCommandsBeforeLogin, 10, 1, 1000),
		countLimit("authentication_tries", &l.tries, 3, 1, 100),
		sizeLimit("command_line", &l.commandLine, 2048, 1024, 12288),
		sizeLimit("login_line", &l.loginLine, 12288, 12288, 60<<10),
		sizeLimit("imap_line", &l.imapLine, 64<<10, 8<<10, 64<<10),
		sizeLimit("imap_line_before_login", &l.imapLineBeforeLogin, 8<<10, 1<<10, 64<<10),
		sizeLimit("imap_literals", &l.imapLiterals, 64<<10, 8<<10, 1<<20),
		sizeLimit("imap_literals_before_login", &l.imapLiteralsBeforeLogin, 4<<10, 1<<10, 64<<10),
		sizeLimit("message_size", &l.messageSize, 50<<20, 64<<10, 1<<30),
		sizeLimit("header_size", &l.headerSize, 256<<10, 16<<10, 1<<20),
		countLimit("recipients", &l.recipients, 1000, 100, 100_000),
		countLimit("mime_depth", &l.mimeDepth, 100, 10, 1000),
		countLimit("mime_parts", &l.mimeParts, 10_000, 100, 100_000),
		timeLimit("outbound_connect_timeout", &l.outConnect, 30, 5, 300),
		timeLimit("outbound_handshake_timeout", &l.outHandshake, 60, 5, 300),
		timeLimit("outbound_greeting_timeout", &l.outGreeting, 300, 10, 900),
		timeLimit("outbound_mail_timeout", &l.outMail, 300, 10, 900),
		timeLimit("outbound_rcpt_timeout", &l.outRcpt, 300, 10, 900),
		timeLimit("outbound_data_timeout", &l.outData, 120, 10, 900),
		timeLimit("outbound_block_timeout", &l.outBlock, 180, 10, 900),
		timeLimit("outbound_end_timeout", &l.outEnd, 600, 10, 1800),
		sizeLimit("peer_certificates", &l.peerCertificates, 100<<10, 16<<10, 200<<10),
		countLimit("peer_chain", &l.peerChain, 10, 2, 100),
		countLimit("login_counters", &l.loginCounters, 10_000, 100, 1_000_000),
		sizeLimit("collector_rate", &l.collectorRate, 16<<20, 64<<10, 1<<30),
		timeLimit("collector_interval", &l.collectorInterval, 600, 1, 86400),
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
		*r.duration = time.Duration(v) * r.unit
		return
	}
	*r.number = v
}

// parse accepts an integer; for a duration also text such as "5m", for octets such as "64KiB".
func (r limitRow) parse(value any) error {
	v, ok := value.(int64)
	if s, text := value.(string); text {
		var err error
		switch {
		case r.duration != nil:
			v, err = parseDuration(s, r.unit)
		case r.octets:
			v, err = parseOctets(s)
		default:
			return fmt.Errorf("%q is not a whole number", s)
		}
		if err != nil {
			return err
		}
		ok = true
	}
	if !ok {
		return fmt.Errorf("%v is not a whole number", value)
	}
	if v < r.least || v > r.top {
		return fmt.Errorf("%s is out of range: use %s to %s (default %s)", r.show(v), r.show(r.least), r.show(r.top), r.show(r.value))
	}
	r.set(v)
	return nil
}

// show is a value as the manual writes it.
func (r limitRow) show(v int64) string {
	switch {
	case r.unit == time.Millisecond:
		return fmt.Sprintf("%d ms", v)
	case r.duration != nil && v >= 60 && v%60 == 0:
		return fmt.Sprintf("%d min", v/60)
	case r.duration != nil:
		return fmt.Sprintf("%d s", v)
	case r.octets && v >= 1<<10:
		return showOctets(v)
	}
	return strconv.FormatInt(v, 10)
}

func parseDuration(s string, unit time.Duration) (int64, error) {
	name, example := "seconds", "5m"
	if unit == time.Millisecond {
		name, example = "milliseconds", "200ms"
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time: write %s, or text such as %q", s, name, example)
	}
	if d%unit != 0 {
		return 0, fmt.Errorf("%q is not a whole number of %s", s, name)
	}
	return int64(d / unit), nil
}

// octetUnits are the units of sizes, the greatest first.
var octetUnits = []struct {
	name   string
	octets int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func parseOctets(s string) (int64, error) {
	for _, u := range octetUnits {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/u.octets {
			return n * u.octets, nil
		}
	}
	return 0, fmt.Errorf("%q is not a size: write octets, or text such as \"512MiB\"", s)
}

func showOctets(v int64) string {
	for _, u := range octetUnits {
		if v >= u.octets && v%u.octets == 0 {
			return fmt.Sprintf("%d %s", v/u.octets, u.name)
		}
	}
	return strconv.FormatInt(v, 10)
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
